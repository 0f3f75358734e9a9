//! What the database must answer: a sorted map with history, and what each kind of crash may take.
//!
//! A logged write is promised against a kill once it is acknowledged, against a power cut once a sync
//! covers it; what comes back after a crash is a prefix of the writes, whole batches, with everything that
//! was promised. UNLOGGED writes stand outside of that: they are judged key by key.

use esker::internals::order::Order;
use esker::internals::types::SeqNo;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A key in its order.
#[derive(Clone, Debug)]
struct Ranked {
    key: Vec<u8>,
    order: Order,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        self.order.compare(&self.key, &other.key)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

/// One key's state as of one write.
#[derive(Clone, Debug)]
struct Version {
    /// As it was written; in an order that is not exact others may be equal to it.
    key: Vec<u8>,
    seq: SeqNo,
    /// False for the write that a crash interrupted: its real number is not known, only its place.
    exact: bool,
    /// `None` deletes.
    value: Option<Vec<u8>>,
    logged: bool,
}

/// A row of an expected answer.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub seq: SeqNo,
    pub exact: bool,
}

/// A row that the database showed.
#[derive(Clone, Debug)]
pub struct Shown {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub seq: SeqNo,
}

/// One batch, by its sequence numbers.
#[derive(Clone, Copy, Debug)]
struct Write {
    first: SeqNo,
    last: SeqNo,
}

/// A change of one key: `None` deletes.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug, Default)]
pub struct Oracle {
    order: Order,
    history: BTreeMap<Ranked, Vec<Version>>,
    writes: Vec<Write>,
    /// Every logged write up to here survives a power cut.
    durable: SeqNo,
    /// The part of it that calls of the present process have promised.
    known_durable: SeqNo,
    /// Every write up to here, logged or not, is in durable tables.
    flushed: SeqNo,
}

/// Keys and values in messages.
pub fn shown(bytes: &[u8]) -> String {
    if bytes.len() > 60 {
        format!("\"{}...\" ({} bytes)", bytes[..60].escape_ascii(), bytes.len())
    } else {
        format!("\"{}\"", bytes.escape_ascii())
    }
}

impl Row {
    /// Whether `other` shows this row; a number that compaction has zeroed is fine.
    pub fn matches(&self, key: &[u8], value: &[u8], seq: SeqNo) -> bool {
        self.key == key && self.value == value && (seq == 0 || !self.exact || seq == self.seq)
    }
}

impl Oracle {
    /// Of a database whose keys are in `order`.
    pub fn new(order: Order) -> Oracle {
        Oracle { order, ..Oracle::default() }
    }

    pub fn order(&self) -> &Order {
        &self.order
    }

    fn ranked(&self, key: &[u8]) -> Ranked {
        Ranked { key: key.to_vec(), order: self.order.clone() }
    }

    /// The number of the newest write.
    pub fn last_seq(&self) -> SeqNo {
        self.writes.last().map_or(0, |write| write.last)
    }

    /// Enters a write whose last operation got number `last`.
    pub fn write(&mut self, changes: Vec<Change>, last: SeqNo, logged: bool) -> Result<(), String> {
        let first = (last + 1).checked_sub(changes.len() as u64);
        let newest = self.last_seq();
        match first {
            Some(first) if first > newest => self.enter(changes, first, logged, true),
            _ => return Err(format!("a write got number {last} after {newest}")),
        }
        Ok(())
    }

    /// Enters the write in which the process died: it may come back or not. Its number is above `latest`,
    /// the newest the database showed: that one may belong to no write here, because it was burned or
    /// because the write that bore it left no trace in the state that came back.
    pub fn write_interrupted(&mut self, changes: Vec<Change>, latest: SeqNo, logged: bool) {
        self.enter(changes, self.last_seq().max(latest) + 1, logged, false);
    }

    fn enter(&mut self, changes: Vec<Change>, first: SeqNo, logged: bool, exact: bool) {
        let last = first + changes.len() as u64 - 1;
        for (seq, (key, value)) in (first..).zip(changes) {
            let versions = self.history.entry(self.ranked(&key)).or_default();
            versions.push(Version { key, seq, exact, value, logged });
        }
        self.writes.push(Write { first, last });
    }

    /// The logs are synced up to `seq`.
    pub fn note_durable(&mut self, seq: SeqNo) {
        self.durable = self.durable.max(seq);
        self.known_durable = self.known_durable.max(seq);
    }

    /// A new process begins; `on_platter`: whatever it sees cannot be lost any more.
    pub fn begin_life(&mut self, on_platter: bool) {
        self.known_durable = 0;
        if on_platter {
            self.durable = self.last_seq();
        }
    }

    /// What this process has been told to be durable.
    pub fn known_durable(&self) -> SeqNo {
        self.known_durable
    }

    /// Everything up to `seq` is in durable tables.
    pub fn note_flushed(&mut self, seq: SeqNo) {
        self.flushed = self.flushed.max(seq);
        self.note_durable(seq);
    }

    /// Lowest sequence number to which a crash may take the database back. `torn`: the newest write had
    /// perhaps not returned.
    pub fn promised(&self, power_cut: bool, torn: bool) -> SeqNo {
        let skip = usize::from(torn);
        let acknowledged = self.writes.iter().rev().nth(skip).map_or(0, |write| write.last);
        if power_cut { self.durable } else { acknowledged.max(self.durable) }
    }

    fn version(versions: &[Version], seq: SeqNo) -> Option<&Version> {
        versions.iter().rev().find(|version| version.seq <= seq)
    }

    /// The value of a key as of `seq`.
    pub fn get(&self, key: &[u8], seq: SeqNo) -> Option<&[u8]> {
        Oracle::version(self.history.get(&self.ranked(key))?, seq)?.value.as_deref()
    }

    /// Rows as of `seq` whose keys `inside` accepts, in key order.
    pub fn rows(&self, seq: SeqNo, inside: impl Fn(&[u8]) -> bool) -> Vec<Row> {
        self.visible(seq)
            .filter(|(key, ..)| inside(key))
            .map(|(key, version, value)| Row {
                key: key.clone(),
                value: value.clone(),
                seq: version.seq,
                exact: version.exact,
            })
            .collect()
    }

    fn visible(&self, seq: SeqNo) -> impl Iterator<Item = (&Vec<u8>, &Version, &Vec<u8>)> {
        self.history.values().filter_map(move |versions| {
            let version = Oracle::version(versions, seq)?;
            Some((&version.key, version, version.value.as_ref()?))
        })
    }

    /// A key that was written at some time, by its place.
    pub fn key_at(&self, index: usize) -> Option<&Vec<u8>> {
        self.history.keys().nth(index).map(|ranked| &ranked.key)
    }

    pub fn keys(&self) -> usize {
        self.history.len()
    }

    fn is_state_at(&self, seq: SeqNo, rows: &[Shown]) -> bool {
        let mut shown = rows.iter();
        let matching = self.visible(seq).all(|(key, version, value)| {
            shown.next().is_some_and(|row| {
                let number = row.seq == 0 || !version.exact || row.seq == version.seq;
                row.key == *key && row.value == *value && number
            })
        });
        matching && shown.next().is_none()
    }

    /// After a crash of a database whose writes were all logged: finds the prefix that came back, the
    /// shortest where several fit (their difference cannot be seen), and forgets the rest.
    pub fn cut_to(&mut self, rows: &[Shown], promised: SeqNo) -> Result<(), String> {
        // Numbers between two writes were burned; what is promised up to there ends with the write before.
        let first = self.writes.iter().rev().map(|write| write.last).find(|end| *end <= promised);
        let first = first.unwrap_or(0);
        let ends = [0].into_iter().chain(self.writes.iter().map(|write| write.last));
        let mut ends = ends.skip_while(|end| *end < first);
        let Some(end) = ends.find(|end| self.is_state_at(*end, rows)) else {
            return Err(self.explain(rows, promised));
        };
        self.writes.retain(|write| write.last <= end);
        self.history.retain(|_, versions| {
            versions.retain(|version| version.seq <= end);
            !versions.is_empty()
        });
        Ok(())
    }

    fn explain(&self, rows: &[Shown], promised: SeqNo) -> String {
        let last = self.last_seq();
        let mut text = format!("no state from {promised} to {last} came back;");
        let want = self.rows(last, |_| true);
        for row in &want {
            if !rows.iter().any(|r| row.matches(&r.key, &r.value, r.seq)) {
                text += &format!(
                    " {}={} @{} is not there,",
                    shown(&row.key),
                    shown(&row.value),
                    row.seq
                );
            }
        }
        for row in rows {
            if !want.iter().any(|w| w.matches(&row.key, &row.value, row.seq)) {
                text +=
                    &format!(" {}={} @{} is there,", shown(&row.key), shown(&row.value), row.seq);
            }
        }
        let ends: Vec<String> =
            self.writes.iter().rev().take(8).map(|w| format!("{}..{}", w.first, w.last)).collect();
        text + &format!(" against the newest state; last writes {}", ends.join(" "))
    }

    /// After a crash of a database with unlogged writes: every key must show a version that is not older
    /// than the newest promised one. What is newer than what it shows is forgotten. `latest` is the newest number
    /// that the database shows.
    pub fn adopt(&mut self, rows: &[Shown], power_cut: bool, latest: SeqNo) -> Result<(), String> {
        let logged_until = if power_cut { self.durable } else { SeqNo::MAX };
        let flushed = self.flushed;
        let mut shown_rows = rows.iter().peekable();
        let mut newest = 0;
        let order = &self.order;
        for (Ranked { key, .. }, versions) in &mut self.history {
            let row = shown_rows.next_if(|row| order.same(&row.key, key));
            let promised =
                |v: &Version| (v.exact && v.logged && v.seq <= logged_until) || v.seq <= flushed;
            let floor = versions.iter().rposition(promised);
            let fits = |place: &usize| {
                let version = &versions[*place];
                let number = |r: &Shown| r.seq == 0 || !version.exact || r.seq == version.seq;
                version.value.as_ref() == row.map(|r| &r.value) && row.is_none_or(number)
            };
            // Of several that look alike the newest: a power cut may undo it and show what lay below, for
            // instance an unlogged write that had been flushed. But the number of a lost write, which is
            // above the latest, may be given again.
            let places = floor.unwrap_or(0)..versions.len();
            let known = |place: &usize| versions[*place].seq <= latest && fits(place);
            let newest_known = places.clone().rev().find(known);
            let kept = newest_known.or_else(|| places.clone().find(fits));
            match (kept, row) {
                // But where a delete is known to be what hides it, the versions below may come back.
                (_, None) if floor.is_none() && newest_known.is_none() => versions.clear(),
                (Some(place), _) => {
                    // Older versions stay: after a kill a power cut may still bring one back.
                    versions.truncate(place + 1);
                    newest = newest.max(versions[place].seq);
                }
                _ => {
                    let found = row.map_or("nothing".to_owned(), |r| shown(&r.value));
                    return Err(format!("key {} shows {found}: {versions:?}", shown(key)));
                }
            }
        }
        self.writes = vec![Write { first: newest, last: newest }];
        self.durable = self.durable.min(newest);
        self.flushed = self.flushed.min(newest);
        match shown_rows.next() {
            Some(row) => Err(format!("key {} was never written", shown(&row.key))),
            None => Ok(()),
        }
    }

    /// Changes one visible value (or number of rows), so that a comparison must fail.
    pub fn falsify(&mut self, how: Falsehood) {
        let last = self.last_seq();
        let keys: Vec<Vec<u8>> = self.visible(last).map(|(key, ..)| key.clone()).collect();
        let middle = keys[keys.len() / 2].clone();
        let ranked = self.ranked(&middle);
        match how {
            Falsehood::Value => {
                let versions = self.history.get_mut(&ranked).expect("the key is visible");
                let newest = versions.last_mut().expect("a key has a version");
                newest.value = Some(b"a value that nobody wrote".to_vec());
            }
            Falsehood::Missing => {
                self.history.remove(&ranked);
            }
            Falsehood::Extra => {
                let key = [&middle[..], b"\x00"].concat();
                let version = Version {
                    key: key.clone(),
                    seq: last,
                    exact: true,
                    value: Some(vec![1]),
                    logged: true,
                };
                self.history.insert(self.ranked(&key), vec![version]);
            }
            Falsehood::Number => {
                let versions = self.history.get_mut(&ranked).expect("the key is visible");
                versions.last_mut().expect("a key has a version").seq -= 1;
            }
        }
    }
}

/// How a model may be wrong about a database.
#[derive(Clone, Copy, Debug)]
pub enum Falsehood {
    Value,
    Missing,
    Extra,
    Number,
}
