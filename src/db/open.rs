//! Creating and recovering a database.
//!
//! Order: look at the directory, take the lock, look again, manifest, existence and size of every table,
//! which logs count (rules D8 and D9 of docs/DURABILITY.md), replay into memtables, workers.
//!
//! Invariants
//! 1. Recovery writes nothing but the lock file (D10): replayed memtables are flushed by the worker after
//!    `open` has returned, and the first change of any kind writes a new manifest.
//! 2. A directory that is not this engine's is refused with nothing written.
//! 3. Sequence and file numbers of every readable record and every name are never used again.

use crate::batch::BatchReader;
use crate::compaction::plan::Limits;
use crate::db::background;
use crate::db::commit::CommitQueue;
use crate::db::core::{DbCore, Keyspace, Work, Writer};
use crate::db::errors::ErrorRing;
use crate::db::events::EventLog;
use crate::db::interval::SyncInterval;
use crate::db::pace::Pacer;
use crate::db::read_state::StateCell;
use crate::db::snapshot::SnapshotList;
use crate::db::stats::Stats;
use crate::env::api::{Dir, DirLock, Fs};
use crate::env::call::ENOENT;
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::job::JobContext;
use crate::key::make_tag;
use crate::memtable::table::MemTable;
use crate::options::Options;
use crate::order::Order;
use crate::planted::{self, Planted};
use crate::retire::RetireList;
use crate::shared::{LogLevel, Share};
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, OnceLock};
use crate::table::cache::BlockCache;
use crate::table::check::{Step, check_table};
use crate::table::handle::TableCache;
use crate::table::meta::TableOptions;
use crate::types::{FileNum, KeyspaceId, RecoveryMode, SeqNo, VerifyOnOpen};
use crate::version::edit::KeyspaceFacts;
use crate::version::manifest::{self, Loaded};
use crate::version::set::{VersionSet, check_table_file};
use crate::version::state::ManifestState;
use crate::wal::recover::{self, LogFacts, Recovered};
use crate::wal::writer::LogWriter;
use crate::worker;

pub const DEFAULT_KEYSPACE: KeyspaceId = KeyspaceId(0);

/// Flags of `open`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenFlags {
    /// Make the database when there is none.
    pub create: bool,
    /// With `create`: `PRESENT` when there is one.
    pub exclusive: bool,
    /// Write nothing at all: neither file nor name; writes are refused.
    pub read_only: bool,
}

/// What the names in a directory say.
pub struct Listing {
    pub names: Vec<Vec<u8>>,
    known: Vec<FileKind>,
    /// The first name that is neither ours nor to be expected in an empty directory.
    stranger: Option<String>,
}

impl Listing {
    pub fn read(dir: &Dir) -> Result<Listing> {
        let names = dir.list()?;
        let known: Vec<FileKind> = names.iter().filter_map(|n| FileKind::parse(n)).collect();
        let stranger = names
            .iter()
            .find(|n| FileKind::parse(n).is_none() && !n.starts_with(b".") && *n != b"lost+found")
            .map(|n| String::from_utf8_lossy(n).into_owned());
        Ok(Listing { names, known, stranger })
    }

    pub fn has_manifest(&self) -> bool {
        self.known.iter().any(|kind| matches!(kind, FileKind::Manifest(_)))
    }

    pub fn has_data(&self) -> bool {
        self.known.iter().any(|kind| matches!(kind, FileKind::Log(_) | FileKind::Table(_)))
    }

    pub fn logs(&self) -> impl Iterator<Item = FileNum> + '_ {
        self.known.iter().filter_map(|kind| match kind {
            FileKind::Log(n) => Some(*n),
            _ => None,
        })
    }

    pub fn tables(&self) -> impl Iterator<Item = FileNum> + '_ {
        self.known.iter().filter_map(|kind| match kind {
            FileKind::Table(n) => Some(*n),
            _ => None,
        })
    }

    /// The largest number in any name.
    fn highest(&self) -> FileNum {
        self.known.iter().map(|kind| kind.number()).max().unwrap_or_default()
    }

    /// Whether the directory may be opened or created in, by `flags`.
    fn check(&self, dir: &Dir, flags: OpenFlags) -> Result<()> {
        let refuse = |kind, text: &str| {
            let message = format!("{} {text}", dir.path());
            Err(Error::new(kind, Area::Directory, message))
        };
        match (self.has_manifest(), self.has_data(), flags.create) {
            (true, _, true) if flags.exclusive => {
                refuse(ErrorKind::Present, "holds a database already")
            }
            (true, ..) => Ok(()),
            (false, true, _) => refuse(
                ErrorKind::Corrupt,
                "holds tables or logs but no manifest: the database is damaged",
            ),
            (false, false, false) => {
                refuse(ErrorKind::Missing, "holds no database (and CREATE was not given)")
            }
            (false, false, true) => match &self.stranger {
                Some(name) => refuse(
                    ErrorKind::Invalid,
                    &format!("is not an esker database and not empty: it holds {name}"),
                ),
                None => Ok(()),
            },
        }
    }
}

/// Everything recovery found out before the engine is put together.
struct Opened {
    set: VersionSet,
    writer: Writer,
    active: Arc<MemTable>,
    frozen: Vec<Arc<MemTable>>,
    visible: SeqNo,
    recovered: Recovered,
    orphans: Vec<FileKind>,
}

/// Opens the database in `path`, creating it where `flags` allow.
pub fn open(fs: &Fs, path: &[u8], options: &Options, flags: OpenFlags) -> Result<Arc<DbCore>> {
    if path.is_empty() {
        return Err(Error::invalid(Area::Argument, "the path is empty"));
    }
    let mut made = false;
    let dir = match fs.open_dir(path, options.file_mode) {
        Err(error) if error.detail().os_errno == ENOENT && flags.create => {
            // Directories get the x bits that match the r bits of the files.
            let mode = options.file_mode | ((options.file_mode & 0o444) >> 2);
            fs.make_dir(path, mode)?;
            made = true;
            fs.open_dir(path, options.file_mode)?
        }
        other => other?,
    };
    let opened = open_in(fs, Arc::new(dir), options, flags);
    if opened.is_err() && made {
        // What this call made it takes away again; a directory that is no longer empty stays.
        if let Err(error) = fs.remove_dir(path) {
            return opened.map_err(|e| e.context(&format!("(and {error})")));
        }
    }
    opened
}

fn open_in(fs: &Fs, dir: Arc<Dir>, options: &Options, flags: OpenFlags) -> Result<Arc<DbCore>> {
    Listing::read(&dir)?.check(&dir, flags)?;
    let lock = match flags.read_only {
        true => dir.lock_shared()?,
        false => {
            let lock = dir.lock()?;
            lock.announce()?;
            lock
        }
    };
    // Another process may have created or destroyed the database before the lock was ours.
    let listing = Listing::read(&dir)?;
    listing.check(&dir, flags)?;
    let retire = Arc::new(RetireList::default());
    let opened = if listing.has_manifest() {
        recover_in(fs, &dir, options, &listing, &retire)?
    } else {
        create_in(fs, &dir, options, &retire)?
    };
    let core = Arc::new(assemble(fs, dir, options, lock, opened, retire));
    core.reprice();
    if flags.read_only {
        core.errors.refuse_writes();
        background::start(&core)?;
        log_opening(&core);
        return Ok(core);
    }
    background::start(&core)?;
    if core.keyspace.state.with(|state| !state.frozen.is_empty()) {
        core.want_flush();
    }
    core.want_compaction();
    core.report_memory();
    log_opening(&core);
    Ok(core)
}

fn log_opening(core: &DbCore) {
    let (records, dropped) =
        (core.stats.recovered_records.get(), core.stats.recovered_dropped_bytes.get());
    core.log(LogLevel::Info, || format!("opened, {records} records of the log replayed"));
    if let Some(lost) = core.errors.newest() {
        core.log(LogLevel::Error, || lost.to_string());
    } else if dropped > 0 {
        core.log(LogLevel::Warn, || format!("{dropped} bytes that were not synced are lost"));
    }
}

fn create_in(
    fs: &Fs,
    dir: &Arc<Dir>,
    options: &Options,
    retire: &Arc<RetireList>,
) -> Result<Opened> {
    let order = options.order();
    let facts = KeyspaceFacts {
        id: DEFAULT_KEYSPACE,
        name: "default".to_owned(),
        comparator: order.name().to_owned(),
        exact: order.exact(),
        options: String::new(),
    };
    let levels = options.levels as usize;
    let set =
        VersionSet::create(fs.clone(), dir.clone(), facts, order.clone(), levels, retire.clone())?;
    let log = LogWriter::new(dir.clone(), Vec::new());
    Ok(Opened {
        set,
        writer: Writer { log, next_seq: 1 },
        active: MemTable::new(DEFAULT_KEYSPACE, order, options.memtable, Some(retire.clone())),
        frozen: Vec::new(),
        visible: 0,
        recovered: Recovered::default(),
        orphans: Vec::new(),
    })
}

fn recover_in(
    fs: &Fs,
    dir: &Arc<Dir>,
    options: &Options,
    listing: &Listing,
    retire: &Arc<RetireList>,
) -> Result<Opened> {
    let Some(loaded) = manifest::load(dir, &listing.names)? else {
        let message = format!("{} lost its manifest while it was being opened", dir.path());
        return Err(Error::new(ErrorKind::Corrupt, Area::Manifest, message));
    };
    let state = &loaded.state;
    check_keyspaces(state, dir, &options.order())?;
    let flushed = state.keyspaces.get(&DEFAULT_KEYSPACE).map_or(0, |k| k.flushed);
    let floor = state.log_floor;
    check_whole(dir, options, &loaded)?;
    let facts = LogFacts { recovery: options.recovery, ..log_facts(state, listing) };
    let mut recovered = recover::decide(dir, &facts)?;
    let visible = recovered.last_seq.max(state.last_seq);
    let max_seq = recovered.max_seq.max(visible);
    let highest = FileNum(listing.highest().0.max(state.next_file.saturating_sub(1)));
    recovered.dropped_bytes += loaded.dropped_bytes;
    let (active, frozen) = replay(dir, options, &facts, &recovered, flushed, retire)?;
    let levels = options.levels as usize;
    let mut set = VersionSet::recover(
        fs.clone(),
        dir.clone(),
        loaded,
        options.order(),
        levels,
        retire.clone(),
    )?;
    let counted: Vec<FileNum> = recovered.counted.iter().map(|tail| tail.number).collect();
    set.set_recovery(&counted, &recovered.dropped, highest, max_seq);
    let live = set.live_tables();
    let tables = listing.tables().filter(|t| !live.contains(t)).map(FileKind::Table);
    // Below the floor: freed by a process that was killed before it had removed them.
    let freed = listing.logs().filter(|log| *log < floor);
    let logs = freed.chain(recovered.leftovers.iter().copied()).map(FileKind::Log);
    let orphans = tables.chain(logs).collect();
    let log = LogWriter::new(dir.clone(), recovered.counted.clone());
    let writer = Writer { log, next_seq: max_seq + 1 };
    Ok(Opened { set, writer, active, frozen, visible, recovered, orphans })
}

/// What the options `recovery` and `verify_on_open` ask of manifest and tables.
fn check_whole(dir: &Dir, options: &Options, loaded: &Loaded) -> Result<()> {
    let order = options.order();
    if options.recovery == RecoveryMode::Strict && loaded.dropped_bytes > 0 {
        let (number, offset) = (loaded.number, loaded.end);
        let name = FileKind::Manifest(number).name();
        let what = format!(
            "{name}: {} bytes that were written are no whole records, at offset {offset}",
            loaded.dropped_bytes
        );
        return Err(Error::corrupt(Area::Manifest, number.0, offset, what));
    }
    for (_, _, meta) in loaded.state.tables() {
        match options.verify_on_open {
            VerifyOnOpen::None => {}
            VerifyOnOpen::Metadata => check_table_file(dir, meta)?,
            VerifyOnOpen::Full => check_table(dir, &order, meta, true, &mut |step| match step {
                Step::Read(_) => Ok(()),
                Step::Found(error) => Err(error),
            })??,
        }
    }
    Ok(())
}

/// This release knows the default keyspace, in the order that it was made with.
fn check_keyspaces(state: &ManifestState, dir: &Dir, order: &Order) -> Result<()> {
    let shown = |name: &str, exact| format!("{name}{}", if exact { "" } else { " (not exact)" });
    for keyspace in state.keyspaces.values() {
        let facts = &keyspace.facts;
        if (facts.comparator.as_str(), facts.exact) != (order.name(), order.exact()) {
            let message = format!(
                "{}: keyspace {} has the key order {}, it was opened with {}",
                dir.path(),
                facts.name,
                shown(&facts.comparator, facts.exact),
                shown(order.name(), order.exact())
            );
            return Err(Error::new(ErrorKind::Comparator, Area::Manifest, message));
        }
        if facts.id != DEFAULT_KEYSPACE {
            let message = format!(
                "{}: keyspace {} was made by a newer version of esker",
                dir.path(),
                facts.name
            );
            return Err(Error::new(ErrorKind::Format, Area::Manifest, message));
        }
    }
    if !state.keyspaces.contains_key(&DEFAULT_KEYSPACE) {
        let message = format!("{}: the manifest names no keyspace", dir.path());
        return Err(Error::new(ErrorKind::Corrupt, Area::Manifest, message));
    }
    Ok(())
}

/// What manifest and directory say about the logs.
pub fn log_facts(state: &ManifestState, listing: &Listing) -> LogFacts {
    let floor = state.log_floor;
    let counts = |log: &FileNum| *log >= floor && !state.voided.contains(log);
    LogFacts {
        last_seq: state.last_seq,
        listed: state
            .logs
            .iter()
            .filter(|(n, _)| counts(n))
            .map(|(n, s)| (*n, *s as u32))
            .collect(),
        db_id: state.db_id,
        manifest_durable: state.log_durable.iter().map(|(n, at)| (*n, *at)).collect(),
        close: state.close,
        unlisted: listing.logs().filter(|n| counts(n) && !state.logs.contains_key(n)).collect(),
        flushed: state.keyspaces.iter().map(|(id, k)| (*id, k.flushed)).collect(),
        keyspaces: state.next_keyspace(),
        recovery: RecoveryMode::Default,
    }
}

/// Puts the logged operations that are in no table into memtables: the last one stays active, the
/// others (newest first) wait for the flush worker.
fn replay(
    dir: &Dir,
    options: &Options,
    facts: &LogFacts,
    recovered: &Recovered,
    flushed: SeqNo,
    retire: &Arc<RetireList>,
) -> Result<(Arc<MemTable>, Vec<Arc<MemTable>>)> {
    let bytes: u64 = recovered.counted.iter().map(|tail| tail.len).sum();
    // A log written with a larger write buffer must not become thousands of memtables.
    let limit = options.write_buffer.max(bytes / 4);
    let fresh =
        || MemTable::new(DEFAULT_KEYSPACE, options.order(), options.memtable, Some(retire.clone()));
    let mut active = fresh();
    let mut frozen: Vec<Arc<MemTable>> = Vec::new();
    recover::replay(dir, recovered, facts, &mut |log, first, batch| {
        if !active.is_empty() && active.bytes() + batch.len() as u64 > limit {
            active.freeze(first - 1);
            frozen.insert(0, std::mem::replace(&mut active, fresh()));
        }
        let mut reader = BatchReader::new(batch)?;
        let mut seq = first;
        while let Some(op) = reader.next_op()? {
            let skipped = seq == recovered.last_seq && planted::is(Planted::ReplayStopsEarly);
            if seq > flushed && !skipped {
                active.note_log(log);
                active.insert(op.key, make_tag(seq, op.kind), op.value)?;
            }
            seq += 1;
        }
        Ok(())
    })?;
    Ok((active, frozen))
}

fn assemble(
    fs: &Fs,
    dir: Arc<Dir>,
    options: &Options,
    lock: DirLock,
    opened: Opened,
    retire: Arc<RetireList>,
) -> DbCore {
    let Opened { set, writer, active, frozen, visible, recovered, orphans } = opened;
    let (blocks, share, threads) = of_env(options);
    let most = options.open_tables_max as usize;
    let tables = TableCache::new(dir.clone(), options.order(), blocks.clone(), most);
    let numbers = set.numbers();
    let (version, db_id) = (set.version(DEFAULT_KEYSPACE), set.state().db_id);
    // Every log of this process gets a number above all that exist, so this is a floor for nothing yet.
    let current_log = numbers.peek();
    let log_sync = writer.log.sync_handle();
    DbCore {
        fs: fs.clone(),
        db_id,
        limits: limits(options),
        job: job_context(fs, &dir, options, &tables, &numbers, &retire),
        options: options.clone(),
        budgeted: share.is_some(),
        share: Mutex::new(share),
        lock: Mutex::new(Some(lock)),
        queue: CommitQueue::new(options.group_sync_us),
        writer: Mutex::new(writer),
        log_sync,
        sync_interval: SyncInterval::default(),
        pacer: Pacer::default(),
        current_log: AtomicU64::new(current_log),
        next_log: Mutex::default(),
        spares: Mutex::default(),
        given_up: Mutex::new(given_up(&recovered)),
        resuming: Mutex::new(()),
        cleaning: Mutex::default(),
        settled: AtomicBool::new(set.changed()),
        manifest: Mutex::new(set),
        numbers,
        keyspace: Keyspace {
            id: DEFAULT_KEYSPACE,
            order: options.order(),
            state: StateCell::new(active, frozen, version, retire.clone()),
            flushed: AtomicU64::new(0),
        },
        visible_seq: AtomicU64::new(visible),
        snapshots: SnapshotList::default(),
        tables,
        blocks,
        retire,
        errors: errors_of(&recovered),
        stats: recovery_stats(&recovered),
        work: Mutex::new(Work::default()),
        progress: Condvar::new(),
        hands: OnceLock::new(),
        keeper: Mutex::default(),
        compaction_threads: worker::compaction_threads(threads),
        flushing: Mutex::new(()),
        claims: Mutex::default(),
        claim_released: Condvar::new(),
        events: EventLog::new(),
        cancel: Arc::new(AtomicBool::new(false)),
        closed: AtomicBool::new(false),
        children: AtomicUsize::new(0),
        iterators: AtomicUsize::new(0),
        orphans: Mutex::new(orphans),
        dir,
    }
}

fn given_up(recovered: &Recovered) -> Vec<FileNum> {
    recovered.lost.as_ref().map_or_else(Vec::new, |lost| lost.logs.clone())
}

/// The ring, with what recovery gave up as its first entry.
fn errors_of(recovered: &Recovered) -> ErrorRing {
    let errors = ErrorRing::default();
    if let Some(lost) = &recovered.lost {
        errors.record(&lost.error());
    }
    errors
}

fn recovery_stats(recovered: &Recovered) -> Stats {
    let stats = Stats::default();
    stats.recovered_records.add(recovered.records);
    stats.recovered_dropped_bytes.add(recovered.dropped_bytes);
    stats
}

/// The block cache, the share of the memory budget and the wish for threads: of the env where there is one.
fn of_env(options: &Options) -> (Arc<BlockCache>, Option<Share>, u64) {
    match &options.env.0 {
        Some(env) => (env.blocks.clone(), env.share(), env.threads),
        None => (BlockCache::new(options.cache_bytes), None, options.threads),
    }
}

/// Bits per key of a filter at `level`; the last number of the list repeats.
fn filter_bits(options: &Options, level: usize) -> u32 {
    let bits = options.filter_bits.get(level).or(options.filter_bits.last());
    if options.filter.is_some() { bits.copied().unwrap_or(0) } else { 0 }
}

fn limits(options: &Options) -> Limits {
    Limits {
        l0_trigger: options.l0_trigger as usize,
        level_bytes: options.level_bytes,
        level_ratio: options.level_ratio,
        levels: options.levels as usize,
        table_size: options.table_size,
        dynamic: options.level_dynamic,
        victim: options.compaction_pick,
        seed: options.compaction_seed,
    }
}

fn job_context(
    fs: &Fs,
    dir: &Arc<Dir>,
    options: &Options,
    tables: &Arc<TableCache>,
    numbers: &crate::version::set::FileNumbers,
    retire: &Arc<RetireList>,
) -> JobContext {
    let level_options = |level: usize| TableOptions {
        order: options.order(),
        block_size: options.block_size as usize,
        block_entries: options.block_entries as usize,
        filter: options.filter.unwrap_or_default(),
        filter_bits: filter_bits(options, level),
        codec: options.compression,
    };
    JobContext {
        fs: fs.clone(),
        dir: dir.clone(),
        tables: tables.clone(),
        numbers: numbers.clone(),
        table_options: (0..options.levels as usize).map(level_options).collect(),
        table_size: options.table_size,
        retire: retire.clone(),
    }
}
