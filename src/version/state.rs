//! Everything a manifest knows, as plain data, and the rules by which an edit changes it.
//!
//! The same `check` guards both ways: edits read from a file, before they count, and edits about to be
//! written, before they reach the disk (docs/FORMAT.md, section 5).
//!
//! Invariants
//! 1. An edit is applied whole or not at all.
//! 2. `next_file`, `last_seq`, `log_floor`, durable offsets and `flushed` never go back; every file
//!    number is below `next_file`, every sequence number at most `last_seq`.
//! 3. A table number occurs once in the whole database; what an edit drops is there, what it adds is not.
//! 4. No log is both listed and voided; a log below the floor is neither.
//! 5. Ids of dropped keyspaces are remembered and never used again.
//! 6. Applying `to_base()` to an empty state gives an equal state.

use crate::checks::CHECKS;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::order::{BUILTIN_PREFIX, Order};
use crate::record::format::FORMAT_VERSION;
use crate::sync::Arc;
use crate::table::meta::TableMeta;
use crate::types::{DbId, FileNum, KeyspaceId, LEVELS_MAX, SeqNo};
use crate::version::edit::{DbFacts, KeyspaceFacts, VersionEdit};
use crate::wal::format::CloseMark;
use std::collections::{BTreeMap, BTreeSet};

/// No file number is this large; keeps the counter from ever wrapping round.
pub const FILE_NUMBER_MAX: u64 = 1 << 60;
/// Tables in one edit of a base; bounds the size of a record.
const BASE_EDIT_TABLES: usize = 512;

/// What is known of one keyspace.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyspaceState {
    pub facts: KeyspaceFacts,
    /// Every operation up to this sequence number is in tables.
    pub flushed: SeqNo,
    /// By level and number.
    pub tables: BTreeMap<(u8, FileNum), Arc<TableMeta>>,
    /// Where the next compaction of a level starts, by level.
    pub cursors: BTreeMap<u8, Arc<Vec<u8>>>,
}

/// What is known of a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestState {
    pub db_id: DbId,
    /// Seconds since 1970, advisory.
    pub created: u64,
    pub next_file: u64,
    pub last_seq: SeqNo,
    pub log_floor: FileNum,
    /// Listed logs and their salts, as wide as offsets are: one kind of map is several kilobytes less than two.
    pub logs: BTreeMap<FileNum, u64>,
    /// Logs whose records never count again although their files may still be there.
    pub voided: BTreeSet<FileNum>,
    /// Bytes of listed logs that are known durable.
    pub log_durable: BTreeMap<FileNum, u64>,
    pub keyspaces: BTreeMap<KeyspaceId, KeyspaceState>,
    /// Ids that were dropped.
    pub dropped_keyspaces: BTreeSet<KeyspaceId>,
    /// Set when the last edit was a clean close.
    pub close: Option<CloseMark>,
    /// The database's facts are known.
    identified: bool,
    /// The base is complete.
    complete: bool,
}

fn refused(message: String) -> Error {
    Error::corrupt(Area::Manifest, 0, 0, message)
}

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(refused(message())) }
}

/// Requires that no item comes twice.
fn require_distinct<T: Ord>(
    items: impl IntoIterator<Item = T>,
    message: impl Fn(&T) -> String,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for item in items {
        require(!seen.contains(&item), || message(&item))?;
        seen.insert(item);
    }
    Ok(())
}

/// The counters as they will stand after an edit.
struct After {
    next_file: u64,
    last_seq: SeqNo,
    log_floor: FileNum,
}

impl ManifestState {
    /// The state of a database that has just been made: no keyspace, no log, no table.
    pub fn new(db_id: DbId, created: u64, next_file: u64) -> ManifestState {
        ManifestState {
            db_id,
            created,
            next_file,
            identified: true,
            complete: true,
            ..ManifestState::default()
        }
    }

    /// Whether the base has been read to its end.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Number of the first keyspace id that was never used.
    pub fn next_keyspace(&self) -> u32 {
        let live = self.keyspaces.last_key_value().map(|(id, _)| id.0);
        let dropped = self.dropped_keyspaces.last().map(|id| id.0);
        live.max(dropped).map_or(0, |id| id.saturating_add(1))
    }

    /// Every table that counts.
    pub fn tables(&self) -> impl Iterator<Item = (KeyspaceId, u8, &Arc<TableMeta>)> {
        self.keyspaces.iter().flat_map(|(&id, keyspace)| {
            keyspace.tables.iter().map(move |(&(level, _), meta)| (id, level, meta))
        })
    }

    /// Where a table is, if it is there.
    fn place_of(&self, file: FileNum) -> Option<(KeyspaceId, u8)> {
        self.keyspaces.iter().find_map(|(&id, keyspace)| {
            let mut levels = (0..LEVELS_MAX as u8).map(|level| (level, file));
            levels.find(|place| keyspace.tables.contains_key(place)).map(|(level, _)| (id, level))
        })
    }

    /// Says why an edit may not follow this state.
    pub fn check(&self, edit: &VersionEdit) -> Result<()> {
        if !CHECKS {
            return Ok(());
        }
        let after = self.check_counters(edit)?;
        self.check_logs(edit, &after)?;
        self.check_keyspaces(edit, &after)?;
        self.check_dropped_tables(edit)?;
        self.check_added_tables(edit, &after)
    }

    fn check_counters(&self, edit: &VersionEdit) -> Result<After> {
        match &edit.db {
            Some(db) if !self.identified && db.format != FORMAT_VERSION => {
                let message = format!(
                    "the database has format {}, this version reads {FORMAT_VERSION}",
                    db.format
                );
                return Err(Error::new(ErrorKind::Format, Area::Manifest, message));
            }
            Some(_) => require(!self.identified, || "second database field".to_owned())?,
            None => require(self.identified, || "no database field".to_owned())?,
        }
        require(!(edit.base_end && self.complete), || "second end of the base".to_owned())?;
        let after = After {
            next_file: edit.next_file.unwrap_or(self.next_file),
            last_seq: edit.last_seq.unwrap_or(self.last_seq),
            log_floor: edit.log_floor.unwrap_or(self.log_floor),
        };
        let counters = [
            ("next file number", self.next_file, after.next_file),
            ("last sequence number", self.last_seq, after.last_seq),
            ("log floor", self.log_floor.0, after.log_floor.0),
        ];
        for (name, old, new) in counters {
            require(new >= old, || format!("{name} goes back from {old} to {new}"))?;
        }
        require(after.next_file < FILE_NUMBER_MAX, || "file number out of range".to_owned())?;
        Ok(after)
    }

    fn check_logs(&self, edit: &VersionEdit, after: &After) -> Result<()> {
        let named = edit.logs_added.iter().map(|&(log, _)| log).chain(edit.logs_voided.clone());
        require_distinct(named, |log| format!("log {log} is named twice"))?;
        for &(log, _) in &edit.logs_added {
            require(log.0 < after.next_file && log >= after.log_floor, || {
                format!("new log {log} is below the floor or above every number given out")
            })?;
            let known = self.logs.contains_key(&log) || self.voided.contains(&log);
            require(!known, || format!("new log {log} is known already"))?;
        }
        for log in &edit.logs_voided {
            require(log.0 < after.next_file, || format!("voided log {log} was never given out"))?;
        }
        let listed = |log: &FileNum| {
            self.logs.contains_key(log) || edit.logs_added.iter().any(|(added, _)| added == log)
        };
        if let Some((log, offset)) = edit.log_durable {
            require(listed(&log), || format!("durable offset of log {log}, which is not listed"))?;
            let old = self.log_durable.get(&log).copied().unwrap_or(0);
            require(offset >= old, || {
                format!("durable offset of log {log} goes back from {old} to {offset}")
            })?;
        }
        if let Some(close) = &edit.close {
            let counts = listed(&close.log)
                && close.log >= after.log_floor
                && !edit.logs_voided.contains(&close.log);
            require(counts, || format!("closed with log {}, which does not count", close.log))?;
            require(close.last_seq <= after.last_seq, || {
                format!("closed at {}, after the last sequence number", close.last_seq)
            })?;
        }
        Ok(())
    }

    fn lives(&self, edit: &VersionEdit, id: KeyspaceId) -> bool {
        let there = self.keyspaces.contains_key(&id) && !edit.keyspaces_dropped.contains(&id);
        there || edit.keyspaces_added.iter().any(|facts| facts.id == id)
    }

    fn check_keyspaces(&self, edit: &VersionEdit, after: &After) -> Result<()> {
        let added = edit.keyspaces_added.iter().map(|facts| facts.id);
        let named = added.chain(edit.keyspaces_dropped.iter().copied());
        require_distinct(named, |id| format!("keyspace {} is named twice", id.0))?;
        for facts in &edit.keyspaces_added {
            self.check_new_keyspace(edit, facts)?;
        }
        for id in &edit.keyspaces_dropped {
            // A base carries the ids that were dropped, so that they stay used.
            let known = self.keyspaces.contains_key(id);
            let fine = if self.complete { known } else { !known };
            require(fine, || format!("dropped keyspace {} is not there", id.0))?;
        }
        require_distinct(edit.flushed.iter().map(|f| f.0), |id| {
            format!("keyspace {} is flushed twice", id.0)
        })?;
        for &(id, seq) in &edit.flushed {
            require(self.lives(edit, id), || format!("flush of unknown keyspace {}", id.0))?;
            let old = self.keyspaces.get(&id).map_or(0, |keyspace| keyspace.flushed);
            require(seq >= old && seq <= after.last_seq, || {
                format!(
                    "keyspace {} is flushed up to {seq}: before {old} or after {}",
                    id.0, after.last_seq
                )
            })?;
        }
        for &(id, level, _) in &edit.cursors {
            require(self.lives(edit, id) && usize::from(level) < LEVELS_MAX, || {
                format!("cursor of unknown keyspace {} or level {level}", id.0)
            })?;
        }
        Ok(())
    }

    fn check_new_keyspace(&self, edit: &VersionEdit, facts: &KeyspaceFacts) -> Result<()> {
        let (id, name) = (facts.id, &facts.name);
        let used = self.keyspaces.contains_key(&id) || self.dropped_keyspaces.contains(&id);
        require(!used, || format!("keyspace id {} was used before", id.0))?;
        let namesakes = edit.keyspaces_added.iter().filter(|other| other.name == *name).count();
        let mut live = self.keyspaces.iter().filter(|(id, _)| !edit.keyspaces_dropped.contains(id));
        let taken = live.any(|(_, other)| other.facts.name == *name);
        require(namesakes == 1 && !taken, || format!("keyspace name {name:?} is taken"))?;
        let order = &facts.comparator;
        let known = match Order::builtin(order) {
            Some(_) => facts.exact,
            // A caller's: it is the one who opens who must have it.
            None => !order.starts_with(BUILTIN_PREFIX) && !order.is_empty(),
        };
        if !known {
            let message = format!("keyspace {name:?} has an unknown key order, {order:?}");
            return Err(Error::new(ErrorKind::Comparator, Area::Manifest, message));
        }
        Ok(())
    }

    fn check_dropped_tables(&self, edit: &VersionEdit) -> Result<()> {
        require_distinct(edit.tables_dropped.iter().map(|t| t.2), |file| {
            format!("table {file} is dropped twice")
        })?;
        for &(id, level, file) in &edit.tables_dropped {
            let keyspace = self.keyspaces.get(&id);
            let there = keyspace.is_some_and(|k| k.tables.contains_key(&(level, file)));
            require(there, || {
                format!("dropped table {file} is not in level {level} of keyspace {}", id.0)
            })?;
        }
        Ok(())
    }

    fn check_added_tables(&self, edit: &VersionEdit, after: &After) -> Result<()> {
        require_distinct(edit.tables_added.iter().map(|t| t.2.file), |file| {
            format!("table {file} is added twice")
        })?;
        for (id, level, meta) in &edit.tables_added {
            let file = meta.file;
            require(self.lives(edit, *id) && usize::from(*level) < LEVELS_MAX, || {
                format!("table {file} goes to unknown keyspace {} or level {level}", id.0)
            })?;
            if let Some((old_id, old_level)) = self.place_of(file) {
                let moved = edit.tables_dropped.contains(&(old_id, old_level, file))
                    || edit.keyspaces_dropped.contains(&old_id);
                require(moved, || {
                    format!("new table {file} is in level {old_level} of keyspace {}", old_id.0)
                })?;
            }
            let known = self.keyspaces.get(id).map(|keyspace| &keyspace.facts);
            let facts = known.or(edit.keyspaces_added.iter().find(|facts| facts.id == *id));
            check_table(meta, facts.map_or("", |facts| &facts.comparator), after)?;
        }
        Ok(())
    }

    /// Follows an edit; unchanged on error.
    pub fn apply(&mut self, edit: &VersionEdit) -> Result<()> {
        self.check(edit)?;
        self.commit(edit);
        Ok(())
    }

    /// Follows an edit that `check` has passed.
    pub fn commit(&mut self, edit: &VersionEdit) {
        if let Some(db) = &edit.db {
            (self.db_id, self.created, self.identified) = (db.db_id, db.created, true);
        }
        self.next_file = edit.next_file.unwrap_or(self.next_file);
        self.last_seq = edit.last_seq.unwrap_or(self.last_seq);
        self.log_floor = edit.log_floor.unwrap_or(self.log_floor);
        self.complete |= edit.base_end;
        // Whatever happens after a clean close ends its promise.
        self.close = edit.close;
        self.commit_logs(edit);
        self.commit_keyspaces(edit);
        self.commit_tables(edit);
    }

    fn commit_logs(&mut self, edit: &VersionEdit) {
        for &(log, salt) in &edit.logs_added {
            note(&mut self.logs, log, u64::from(salt));
        }
        if let Some((log, offset)) = edit.log_durable {
            note(&mut self.log_durable, log, offset);
        }
        for log in &edit.logs_voided {
            forget(&mut self.logs, *log);
            forget(&mut self.log_durable, *log);
            self.voided.insert(*log);
        }
        // From the front: `split_off` is a kilobyte and more of code.
        let floor = self.log_floor;
        for map in [&mut self.logs, &mut self.log_durable] {
            while let Some(log) = map.keys().next().copied().filter(|log| *log < floor) {
                forget(map, log);
            }
        }
        while let Some(log) = self.voided.first().copied().filter(|log| *log < floor) {
            self.voided.remove(&log);
        }
    }

    fn commit_keyspaces(&mut self, edit: &VersionEdit) {
        for id in &edit.keyspaces_dropped {
            self.keyspaces.remove(id);
            self.dropped_keyspaces.insert(*id);
        }
        for facts in &edit.keyspaces_added {
            let keyspace = KeyspaceState {
                facts: facts.clone(),
                flushed: 0,
                tables: BTreeMap::new(),
                cursors: BTreeMap::new(),
            };
            self.keyspaces.insert(facts.id, keyspace);
        }
        for (id, seq) in &edit.flushed {
            if let Some(keyspace) = self.keyspaces.get_mut(id) {
                keyspace.flushed = *seq;
            }
        }
        for (id, level, key) in &edit.cursors {
            if let Some(keyspace) = self.keyspaces.get_mut(id) {
                keyspace.cursors.insert(*level, Arc::clone(key));
            }
        }
    }

    fn commit_tables(&mut self, edit: &VersionEdit) {
        for (id, level, file) in &edit.tables_dropped {
            if let Some(keyspace) = self.keyspaces.get_mut(id) {
                keyspace.tables.remove(&(*level, *file));
            }
        }
        for (id, level, meta) in &edit.tables_added {
            if let Some(keyspace) = self.keyspaces.get_mut(id) {
                keyspace.tables.insert((*level, meta.file), Arc::clone(meta));
            }
        }
    }

    /// The edits that, applied to an empty state, give this one. The last has `base_end`.
    pub fn to_base(&self) -> Vec<VersionEdit> {
        let db = DbFacts { format: FORMAT_VERSION, db_id: self.db_id, created: self.created };
        let keyspaces = || self.keyspaces.iter();
        let mut edit = VersionEdit {
            db: Some(db),
            next_file: Some(self.next_file),
            last_seq: Some(self.last_seq),
            log_floor: Some(self.log_floor),
            logs_added: self.logs.iter().map(|(&log, &salt)| (log, salt as u32)).collect(),
            logs_voided: self.voided.iter().copied().collect(),
            keyspaces_added: keyspaces().map(|(_, k)| k.facts.clone()).collect(),
            keyspaces_dropped: self.dropped_keyspaces.iter().copied().collect(),
            flushed: keyspaces().map(|(&id, k)| (id, k.flushed)).filter(|f| f.1 > 0).collect(),
            cursors: keyspaces()
                .flat_map(|(&id, k)| {
                    k.cursors.iter().map(move |(&l, key)| (id, l, Arc::clone(key)))
                })
                .collect(),
            ..VersionEdit::default()
        };
        let mut base = Vec::new();
        for (&log, &offset) in &self.log_durable {
            if edit.log_durable.is_some() {
                base.push(std::mem::take(&mut edit));
            }
            edit.log_durable = Some((log, offset));
        }
        for (id, level, meta) in self.tables() {
            if edit.tables_added.len() == BASE_EDIT_TABLES {
                base.push(std::mem::take(&mut edit));
            }
            edit.tables_added.push((id, level, Arc::clone(meta)));
        }
        edit.close = self.close;
        edit.base_end = true;
        base.push(edit);
        base
    }
}

/// What is known of logs: a salt or an offset each.
type Logs = BTreeMap<FileNum, u64>;

// Each call of a map's methods is a kilobyte or two of code; these are for all of them.
#[inline(never)]
fn note(logs: &mut Logs, log: FileNum, value: u64) {
    logs.insert(log, value);
}

#[inline(never)]
fn forget(logs: &mut Logs, log: FileNum) {
    logs.remove(&log);
}

/// Refuses a table whose facts cannot be. Whether its keys are in the order of a caller the versions see.
fn check_table(meta: &TableMeta, comparator: &str, after: &After) -> Result<()> {
    let file = meta.file;
    require(file.0 < after.next_file, || format!("table {file} has a number never given out"))?;
    let order = Order::builtin(comparator);
    let keys = order.is_none_or(|order| order.compare(&meta.smallest, &meta.largest).is_le());
    let ordered = keys && meta.min_seq <= meta.max_seq;
    let counted = meta.entries > 0 && meta.deletes <= meta.entries;
    require(ordered && counted, || format!("the facts of table {file} contradict each other"))?;
    require(meta.max_seq.max(meta.global_seq) <= after.last_seq, || {
        format!("table {file} holds sequence number {} of the future", meta.max_seq)
    })?;
    if meta.range_dels != 0 || meta.bounds_flags != 0 {
        let message = format!("table {file} holds range deletes, which this version cannot read");
        return Err(Error::new(ErrorKind::Format, Area::Manifest, message).with_file(file.0));
    }
    Ok(())
}
