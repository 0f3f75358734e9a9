//! A cursor of the database beside the list of rows it must show, moved in step.
//!
//! The rules of standing and turning: a fresh cursor stands nowhere, so next goes to the first row and prev
//! to the last; past an end DONE is repeated and turning round gives the end row; a seek that finds nothing
//! leaves it past the end (GE, GT), before the start (LE, LT) or nowhere (EQ).

use super::dice::{Dice, KeySpace};
use super::oracle::{Oracle, Row, Shown, shown};
use esker::internals::db::handle::Db;
use esker::internals::db::iter::{DbIter, SeekMode};
use esker::internals::db::read::ReadParams;
use esker::internals::order::Order;
use esker::internals::types::SeqNo;

pub const MODES: [SeekMode; 5] =
    [SeekMode::Ge, SeekMode::Gt, SeekMode::Le, SeekMode::Lt, SeekMode::Eq];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    On(usize),
    Before,
    After,
    /// The limit of rows is used up.
    Exhausted,
}

/// What `check` is told when no move was made.
const RESTING: &str = "resting";

/// A key that is never written.
const NOBODY: &[u8] = b"\xfe\xfe nobody has this key";

/// One move.
#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Next,
    Prev,
    Seek(SeekMode, Vec<u8>),
}

/// A cursor and what it must show.
pub struct Walk {
    iter: DbIter,
    order: Order,
    rows: Vec<Row>,
    place: Place,
    limit: u64,
    left: u64,
    view: ReadParams,
}

/// Whether the range of `params` holds a key, by the words of the header.
fn inside(params: &ReadParams, order: &Order, key: &[u8]) -> bool {
    let above = params.lower.as_deref().is_none_or(|lower| {
        let place = order.compare(key, lower);
        if params.lower_exclusive { place.is_gt() } else { place.is_ge() }
    });
    let below = params.upper.as_deref().is_none_or(|upper| {
        let place = order.compare(key, upper);
        if params.upper_inclusive { place.is_le() } else { place.is_lt() }
    });
    let within = params.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix));
    above && below && within
}

/// A range, prefix and limit, in all mixes.
pub fn random_view(dice: &mut Dice, keys: KeySpace, order: &Order) -> ReadParams {
    let mut params = ReadParams { no_fill: dice.percent(20), ..ReadParams::default() };
    if dice.percent(30) {
        params.lower = Some(keys.key(dice));
        params.lower_exclusive = dice.percent(30);
    }
    if dice.percent(30) {
        params.upper = Some(keys.key(dice));
        params.upper_inclusive = dice.percent(30);
    }
    if let (Some(lower), Some(upper)) = (&mut params.lower, &mut params.upper) {
        if order.compare(lower, upper).is_gt() {
            std::mem::swap(lower, upper);
        }
    }
    if dice.percent(15) && order.prefix_range(b"").is_ok() {
        let mut prefix = keys.key(dice);
        prefix.truncate(prefix.len().div_ceil(2));
        params.prefix = Some(prefix);
    }
    if dice.percent(15) {
        params.limit = dice.between(1, 6);
    }
    params
}

impl Walk {
    /// Opens a cursor; `seq` is what it must show, `params` what it is asked for.
    pub fn open(db: &Db, oracle: &Oracle, params: &ReadParams, seq: SeqNo) -> Result<Walk, String> {
        let iter = db.iter(params).map_err(|e| format!("iter({params:?}): {e}"))?;
        let order = oracle.order().clone();
        let rows = oracle.rows(seq, |key| inside(params, &order, key));
        let limit = params.limit;
        Ok(Walk {
            iter,
            order,
            rows,
            place: Place::Nowhere,
            limit,
            left: limit,
            view: params.clone(),
        })
    }

    /// Moves at random, `steps` times.
    pub fn stroll(&mut self, dice: &mut Dice, keys: KeySpace, steps: u64) -> Result<(), String> {
        self.check(false, RESTING)?;
        for _ in 0..steps {
            let step = self.draw(dice, keys);
            self.go(&step)?;
        }
        Ok(())
    }

    fn draw(&self, dice: &mut Dice, keys: KeySpace) -> Move {
        let turning = matches!(self.place, Place::Before | Place::After | Place::Nowhere);
        match dice.below(100) {
            // With a limit it is left open whether turning at an end begins to count anew.
            0..35 if !(self.limit > 0 && turning) => Move::Next,
            35..70 if !(self.limit > 0 && turning) => Move::Prev,
            70..75 => Move::First,
            75..80 => Move::Last,
            _ => Move::Seek(dice.pick(&MODES), self.seek_key(dice, keys)),
        }
    }

    fn seek_key(&self, dice: &mut Dice, keys: KeySpace) -> Vec<u8> {
        if self.rows.is_empty() || dice.percent(40) {
            return keys.key(dice);
        }
        let mut key = self.rows[dice.index(self.rows.len())].key.clone();
        match dice.below(4) {
            _ if self.order.checks_keys() => {}
            0 => key.push(0),
            1 => drop(key.pop()),
            _ => {}
        }
        key
    }

    fn go(&mut self, step: &Move) -> Result<(), String> {
        let iter = &mut self.iter;
        let moved = match step {
            Move::First => iter.first(),
            Move::Last => iter.last(),
            Move::Next => iter.next(),
            Move::Prev => iter.prev(),
            Move::Seek(mode, key) => iter.seek(*mode, key),
        };
        let from = self.place;
        self.place = self.expect(step);
        let told = moved.map_err(|e| format!("{} in {:?}: {e}", describe(step), self.view))?;
        self.check(told, "moved")
            .map_err(|text| format!("{} from {from:?}: {text}", describe(step)))
    }

    /// Where the move must lead; counts the rows of a limit.
    fn expect(&mut self, step: &Move) -> Place {
        let anew = !matches!(step, Move::Next | Move::Prev) || self.place == Place::Nowhere;
        if anew {
            self.left = self.limit;
        } else if self.limit > 0 && self.left == 0 {
            return Place::Exhausted;
        }
        let place = self.target(step);
        if matches!(place, Place::On(_)) {
            self.left = self.left.saturating_sub(1);
        }
        place
    }

    fn target(&self, step: &Move) -> Place {
        let on = |index: Option<usize>, else_at: Place| index.map_or(else_at, Place::On);
        let rows = &self.rows;
        let first = (!rows.is_empty()).then_some(0);
        let last = rows.len().checked_sub(1);
        match (step, self.place) {
            (Move::First, _) | (Move::Next, Place::Nowhere | Place::Before) => {
                on(first, Place::After)
            }
            (Move::Last, _) | (Move::Prev, Place::Nowhere | Place::After) => {
                on(last, Place::Before)
            }
            (Move::Next, Place::On(i)) => on((i + 1 < rows.len()).then_some(i + 1), Place::After),
            (Move::Prev, Place::On(i)) => on(i.checked_sub(1), Place::Before),
            (Move::Next | Move::Prev, place) => place,
            (Move::Seek(mode, key), _) => {
                let place = |row: &Row| self.order.compare(&row.key, key);
                let at = rows.partition_point(|row| place(row).is_lt());
                let behind = rows.partition_point(|row| place(row).is_le());
                match mode {
                    SeekMode::Ge => on((at < rows.len()).then_some(at), Place::After),
                    SeekMode::Gt => on((behind < rows.len()).then_some(behind), Place::After),
                    SeekMode::Le => on(behind.checked_sub(1), Place::Before),
                    SeekMode::Lt => on(at.checked_sub(1), Place::Before),
                    SeekMode::Eq => on((at < behind).then_some(at), Place::Nowhere),
                }
            }
        }
    }

    /// Compares what the cursor shows with where it must stand; `told` is what the move returned.
    fn check(&self, told: bool, what: &str) -> Result<(), String> {
        let iter = &self.iter;
        let on_row = matches!(self.place, Place::On(_));
        let told_right = told == on_row || what == RESTING;
        let right = match self.place {
            Place::On(index) => {
                iter.valid() && self.rows[index].matches(iter.key(), iter.value(), iter.seq())
            }
            _ => !iter.valid() && iter.key().is_empty() && iter.value().is_empty(),
        };
        if told_right && right && iter.error().is_none() {
            return Ok(());
        }
        let want = match self.place {
            Place::On(i) => {
                let row = &self.rows[i];
                format!("{}={} @{}", shown(&row.key), shown(&row.value), row.seq)
            }
            _ => "no row".to_owned(),
        };
        Err(format!(
            "cursor {what}: shows {}={} @{} (valid {}, told {told}), must be {:?} {want}; {} rows in {:?}",
            shown(iter.key()),
            shown(iter.value()),
            iter.seq(),
            iter.valid(),
            self.place,
            self.rows.len(),
            self.view
        ))
    }

    /// After the database was closed: moving says so, the row last shown stays readable.
    pub fn is_closed(&mut self) -> Result<(), String> {
        use esker::internals::error::ErrorKind;
        match self.iter.next() {
            Err(error) if error.kind() == ErrorKind::Closed => self.check(false, RESTING),
            other => Err(format!("a cursor of a closed database: {other:?}")),
        }
    }
}

fn describe(step: &Move) -> String {
    match step {
        Move::Seek(mode, key) => format!("Seek {mode:?} {}", shown(key)),
        other => format!("{other:?}"),
    }
}

/// Everything the database shows, first to last.
pub fn scan(db: &Db, params: &ReadParams) -> Result<Vec<Shown>, String> {
    let mut iter = db.iter(params).map_err(|e| format!("iter: {e}"))?;
    let mut rows = Vec::new();
    let mut more = iter.first().map_err(|e| format!("first: {e}"))?;
    while more {
        let (key, value) = (iter.key().to_vec(), iter.value().to_vec());
        rows.push(Shown { key, value, seq: iter.seq() });
        more = iter.next().map_err(|e| format!("next after {}: {e}", shown(iter.key())))?;
    }
    Ok(rows)
}

/// Compares the whole database as of `seq` with the oracle, forward, backward and by `get`.
pub fn compare_all(
    db: &Db,
    oracle: &Oracle,
    params: &ReadParams,
    seq: SeqNo,
) -> Result<(), String> {
    let rows = oracle.rows(seq, |_| true);
    let mut walk = Walk::open(db, oracle, params, seq)?;
    for step in [Move::Next, Move::Prev] {
        let nobody: &[u8] = if oracle.order().checks_keys() { b"no key!!" } else { NOBODY };
        walk.go(&Move::Seek(SeekMode::Eq, nobody.to_vec()))?;
        for _ in 0..=rows.len() {
            walk.go(&step)?;
        }
    }
    for row in rows.iter().step_by(3) {
        compare_get(db, oracle, params, &row.key, seq)?;
    }
    Ok(())
}

/// Compares one key.
pub fn compare_get(
    db: &Db,
    oracle: &Oracle,
    params: &ReadParams,
    key: &[u8],
    seq: SeqNo,
) -> Result<(), String> {
    let want = oracle.get(key, seq);
    let got = db.get(params, key).map_err(|e| format!("get {}: {e}", shown(key)))?;
    if got.as_deref() == want {
        return Ok(());
    }
    let [got, want] = [got.as_deref(), want].map(|v| v.map_or("nothing".to_owned(), shown));
    Err(format!("get {} at {seq}: {got} instead of {want}", shown(key)))
}
