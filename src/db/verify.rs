//! Looks a database over for damage: one that is open and in use, or one that nobody has open.
//!
//! Invariants
//! 1. Nothing is changed, on disk or in memory, but for the lock file of a database that nobody has open.
//! 2. Work that goes on meanwhile is no damage: tables are those of one version, which is held; of a log what was
//!    complete when it was looked up; the manifest is read while nobody can append to it.
//! 3. A file that cannot be judged is told like one that is damaged; only what is no fault of the database (memory, a
//!    cancelled job) ends the work early.

use crate::db::core::DbCore;
use crate::db::open::{Listing, log_facts};
use crate::env::api::{Dir, DirLock, Fs};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::options::Options;
use crate::order::Order;
use crate::sync::Arc;
use crate::sync::Ordering;
use crate::table::check::{Step, check_disjoint, check_identity, check_table, metas};
use crate::table::meta::TableMeta;
use crate::version::levels::Version;
use crate::version::manifest;
use crate::version::state::ManifestState;
use crate::wal::recover;
use crate::wal::scan;
use std::collections::BTreeMap;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerifyLevel {
    /// Manifest, logs, presence, size and identity of every table, order of the levels.
    Metadata,
    /// And every byte of every table.
    Checksums,
    /// And every entry.
    Full,
}

/// Whom a verification tells; false cancels.
pub struct Watch<'a> {
    /// Bytes looked at so far, and in all.
    pub progress: &'a mut dyn FnMut(u64, u64) -> bool,
    pub report: &'a mut dyn FnMut(&Error) -> bool,
}

/// A verification under way.
struct Inspection<'a, 'w> {
    dir: &'a Dir,
    order: Order,
    level: VerifyLevel,
    watch: Watch<'w>,
    /// Whether the database is being closed.
    closing: &'a dyn Fn() -> bool,
    done: u64,
    total: u64,
    findings: u64,
    first: Option<Error>,
}

fn cancelled(who: &str) -> Error {
    Error::new(ErrorKind::Cancelled, Area::Callback, format!("verification was cancelled by {who}"))
}

impl Inspection<'_, '_> {
    fn tell(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Read(bytes) => {
                self.done = self.done.saturating_add(bytes).min(self.total);
                if (self.closing)() {
                    return Err(cancelled("closing the database"));
                }
                if !(self.watch.progress)(self.done, self.total) {
                    return Err(cancelled("its caller"));
                }
            }
            Step::Found(error) if error.kind() == ErrorKind::NoMem => return Err(error),
            Step::Found(error) => {
                self.findings = self.findings.saturating_add(1);
                if !(self.watch.report)(&error) {
                    return Err(cancelled("its caller"));
                }
                self.first.get_or_insert(error);
            }
        }
        Ok(())
    }

    fn tell_unless(&mut self, sound: Result<()>) -> Result<()> {
        match sound {
            Ok(()) => Ok(()),
            Err(error) => self.tell(Step::Found(error)),
        }
    }

    /// Every table of every level, level 0 first.
    fn tables(&mut self, levels: &[Vec<&TableMeta>]) -> Result<()> {
        let order = self.order.clone();
        self.tell(Step::Read(0))?;
        for (level, tables) in levels.iter().enumerate() {
            if level > 0 {
                check_disjoint(&order, level, tables, &mut |step| self.tell(step))?;
            }
            for meta in tables {
                let before = self.done;
                let (dir, full) = (self.dir, self.level == VerifyLevel::Full);
                let readable = match self.level {
                    VerifyLevel::Metadata => check_identity(dir, meta),
                    _ => check_table(dir, &order, meta, full, &mut |step| self.tell(step))?,
                };
                self.tell_unless(readable)?;
                self.done = before;
                self.tell(Step::Read(meta.size))?;
            }
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        let Some(first) = self.first else { return Ok(()) };
        let what = match self.findings {
            1 => "1 finding".to_owned(),
            n => format!("{n} findings, the first"),
        };
        Err(first.context(&what).with_kind(ErrorKind::Corrupt))
    }
}

impl DbCore {
    /// Looks over the open database; `CORRUPT` with the first finding when there are any.
    pub fn verify(&self, level: VerifyLevel, watch: Watch<'_>) -> Result<()> {
        self.check_open()?;
        let closing = || self.closed.load(Ordering::Acquire);
        let mut inspection = Inspection {
            dir: &self.dir,
            order: self.keyspace.order.clone(),
            level,
            watch,
            closing: &closing,
            done: 0,
            total: 0,
            findings: 0,
            first: None,
        };
        // Held to the end: its files stay.
        let version = self.keyspace.state.load().version.clone();
        let levels = by_level(&version);
        inspection.total = bytes_of(&levels);
        inspection.tell_unless(self.verify_manifest())?;
        self.verify_logs(&mut inspection)?;
        inspection.tables(&levels)?;
        inspection.end()
    }

    /// Whether the file says what this process holds to be true.
    fn verify_manifest(&self) -> Result<()> {
        let set = self.manifest.lock();
        if set.failed().is_some() {
            // What it says is what stopped writes, and that has been told.
            return Ok(());
        }
        let Some(loaded) = manifest::load(&self.dir, &self.dir.list()?)? else {
            let message = format!("{} has no manifest any more", self.dir.path());
            return Err(Error::corrupt(Area::Manifest, 0, 0, message));
        };
        let tables = |state: &ManifestState| -> Vec<(u8, Arc<TableMeta>)> {
            state.tables().map(|(_, level, meta)| (level, Arc::clone(meta))).collect()
        };
        // What this process found may end in a torn tail; what it wrote may not.
        let whole =
            !set.changed() || (loaded.dropped_bytes, loaded.edit_number) == (0, set.edit_number());
        let same = loaded.state.db_id == self.db_id && tables(&loaded.state) == tables(set.state());
        if !whole || !same {
            let message = "the manifest on disk is not the one that this process has written";
            return Err(Error::corrupt(Area::Manifest, loaded.number.0, 0, message));
        }
        Ok(())
    }

    /// The records of every log that is still needed, up to what was complete just now.
    fn verify_logs(&self, inspection: &mut Inspection<'_, '_>) -> Result<()> {
        // Then the salts: a log is listed before it takes records.
        let ends = self.log_sync.ends();
        let salts: BTreeMap<_, _> = self.manifest.lock().state().logs.clone();
        for (number, end) in ends {
            let Some(&salt) = salts.get(&number) else { continue };
            let sound = scan::check_prefix(&self.dir, number, salt as u32, &self.db_id, end);
            // A flush may have freed it meanwhile.
            if sound.is_err() && !self.log_sync.is_live(number) {
                continue;
            }
            inspection.tell_unless(sound)?;
            inspection.tell(Step::Read(0))?;
        }
        Ok(())
    }
}

fn bytes_of(levels: &[Vec<&TableMeta>]) -> u64 {
    // As the manifest says, which may be damaged.
    levels.iter().flatten().fold(0, |sum, meta| sum.saturating_add(meta.size))
}

fn by_level(version: &Version) -> Vec<Vec<&TableMeta>> {
    (0..version.levels()).map(|level| metas(version.level(level))).collect()
}

/// Keeps others out of a database that nobody has open. Writes the lock file, and not that where it may not.
pub fn lock_closed(dir: &Dir) -> Result<DirLock> {
    let found = Listing::read(dir)?;
    if !found.has_manifest() && !found.has_data() {
        let message = format!("{} holds no database", dir.path());
        return Err(Error::new(ErrorKind::Missing, Area::Directory, message));
    }
    match dir.lock() {
        // Where nothing may be written, at least no writer comes in.
        Err(error) if error.kind() == ErrorKind::ReadOnly => dir.lock_shared(),
        lock => lock,
    }
}

/// Looks over the database in `path`, which nobody has open: also one that cannot be opened. Writes nothing but
/// the lock file, and not that where it may not.
pub fn verify_path(
    fs: &Fs,
    path: &[u8],
    options: &Options,
    level: VerifyLevel,
    watch: Watch<'_>,
) -> Result<()> {
    let dir = fs.open_dir(path, options.file_mode)?;
    let _lock = lock_closed(&dir)?;
    let listing = Listing::read(&dir)?;
    let mut inspection = Inspection {
        dir: &dir,
        order: options.order(),
        level,
        watch,
        closing: &|| false,
        done: 0,
        total: 0,
        findings: 0,
        first: None,
    };
    let loaded = manifest::load(&dir, &listing.names).and_then(|loaded| {
        let message = format!("{} has no manifest", dir.path());
        loaded.ok_or_else(|| Error::corrupt(Area::Manifest, 0, 0, message))
    });
    match loaded {
        // Without it nothing says which files count.
        Err(error) => inspection.tell(Step::Found(error))?,
        Ok(loaded) => {
            inspection.order = order_of(&loaded.state, options)?;
            verify_closed(&mut inspection, &loaded.state, &listing)?;
        }
    }
    inspection.end()
}

fn verify_closed(
    inspection: &mut Inspection<'_, '_>,
    state: &ManifestState,
    listing: &Listing,
) -> Result<()> {
    let (dir, facts) = (inspection.dir, log_facts(state, listing));
    let logs = recover::decide(dir, &facts).and_then(|recovered| match inspection.level {
        VerifyLevel::Full => recover::replay(dir, &recovered, &facts, &mut |_, _, _| Ok(())),
        _ => Ok(()),
    });
    let mut levels: Vec<Vec<&TableMeta>> = Vec::new();
    for (_, level, meta) in state.tables() {
        let level = usize::from(level);
        levels.resize(levels.len().max(level + 1), Vec::new());
        levels[level].push(meta);
    }
    let order = inspection.order.clone();
    for level in levels.iter_mut().skip(1) {
        order.sort_by_key(level, |meta| &meta.smallest);
    }
    inspection.total = bytes_of(&levels);
    inspection.tell_unless(logs)?;
    inspection.tables(&levels)
}

/// The order of the keys: the manifest's, which for a custom one only the options have.
pub fn order_of(state: &ManifestState, options: &Options) -> Result<Order> {
    let given = options.order();
    let Some(facts) = state.keyspaces.values().next().map(|keyspace| &keyspace.facts) else {
        return Ok(given);
    };
    if (facts.comparator.as_str(), facts.exact) == (given.name(), given.exact()) {
        return Ok(given);
    }
    Order::builtin(&facts.comparator).ok_or_else(|| {
        let message = format!(
            "the keys are in the order {}, which only its comparator knows; the options have {}",
            facts.comparator,
            given.name()
        );
        Error::new(ErrorKind::Comparator, Area::Manifest, message)
    })
}
