//! A database on a simulated kernel, for tests that crash it, fail it and look into its files.

use esker::internals::db::core::DbCore;
use esker::internals::db::handle::Db;
use esker::internals::db::open::{self, OpenFlags};
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::env::sim::slow::Held;
use esker::internals::error::{ErrorKind, Result};
use esker::internals::options::{Durability, Options};
use esker::internals::sync::Arc;
use esker::internals::version::manifest::load;
use esker::internals::version::state::ManifestState;
use std::collections::BTreeMap;

pub const PATH: &str = "/db";

/// Errno numbers, the same on all systems that matter here.
pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// The ends that a machine without power may make of it.
pub const POWER_CUTS: [CrashPolicy; 5] = [
    CrashPolicy::OnlySynced,
    CrashPolicy::Ext4Like,
    CrashPolicy::RandomPages,
    CrashPolicy::Torn512,
    CrashPolicy::Reordered,
];

pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Tiny limits and all background work in the calling thread: a few writes make tables and levels.
pub fn tiny() -> Options {
    Options {
        write_buffer: 1 << 10,
        block_size: 256,
        table_size: 512,
        level_bytes: 1 << 10,
        level_ratio: 2,
        level_dynamic: false,
        l0_trigger: 2,
        l0_stop: 8,
        deterministic: true,
        ..Options::default()
    }
}

/// Large limits, no threads: nothing is flushed unless asked for.
pub fn calm() -> Options {
    Options { deterministic: true, write_buffer: 4 << 20, ..Options::default() }
}

pub fn open(kernel: &Arc<SimKernel>, options: &Options) -> Result<Db> {
    let flags = OpenFlags { create: true, ..OpenFlags::default() };
    Db::open(&Fs::Sim(kernel.clone()), PATH.as_bytes(), options, flags)
}

/// The engine without its handle, for tests that look at what all verbs share; they close it themselves.
pub fn open_core(kernel: &Arc<SimKernel>, options: &Options) -> Result<Arc<DbCore>> {
    let flags = OpenFlags { create: true, ..OpenFlags::default() };
    open::open(&Fs::Sim(kernel.clone()), PATH.as_bytes(), options, flags)
}

/// What the manifest in a directory says.
pub fn manifest(kernel: &Arc<SimKernel>, path: &[u8]) -> ManifestState {
    let dir = Fs::Sim(kernel.clone()).open_dir(path, 0o600).expect("the directory is there");
    let names = dir.list().expect("no fault");
    load(&dir, &names).expect("a sound manifest").expect("there is one").state
}

/// Opens a database that must be there.
pub fn reopen(kernel: &Arc<SimKernel>, options: &Options) -> Result<Db> {
    Db::open(&Fs::Sim(kernel.clone()), PATH.as_bytes(), options, OpenFlags::default())
}

/// What `open` refuses with.
pub fn refusal(kernel: &Arc<SimKernel>, options: &Options) -> esker::internals::error::Error {
    match reopen(kernel, options) {
        Ok(_) => panic!("the database must not open"),
        Err(error) => error,
    }
}

pub fn with(durability: Durability) -> WriteParams {
    WriteParams { durability: Some(durability), ..WriteParams::default() }
}

pub fn buffered() -> WriteParams {
    with(Durability::Buffered)
}

pub fn synced() -> WriteParams {
    with(Durability::Sync)
}

pub fn get(db: &Db, key: &[u8]) -> Option<Vec<u8>> {
    let value = db.get(&ReadParams::default(), key).expect("the read works");
    value.map(|value| value.to_vec())
}

/// Everything a cursor shows, and that it shows the same backward.
pub fn rows(db: &Db) -> Rows {
    rows_of(db, &ReadParams::default())
}

pub fn rows_of(db: &Db, params: &ReadParams) -> Rows {
    let mut iter = db.iter(params).expect("a cursor opens");
    let mut rows = Vec::new();
    while iter.next().expect("the cursor moves") {
        rows.push((iter.key().to_vec(), iter.value().to_vec()));
    }
    let mut backward = Vec::new();
    while iter.prev().expect("the cursor moves back") {
        backward.push((iter.key().to_vec(), iter.value().to_vec()));
    }
    backward.reverse();
    assert!(rows == backward, "forward and backward differ");
    assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "rows are in order, each key once");
    rows.into_iter().collect()
}

/// Adds every row that a cursor shows, up to its first error.
pub fn scan_into(db: &Db, rows: &mut Rows) -> Result<()> {
    let mut iter = db.iter(&ReadParams::default())?;
    while iter.next()? {
        rows.insert(iter.key().to_vec(), iter.value().to_vec());
    }
    Ok(())
}

/// Ends the process without a word; the new kernel holds what is left.
pub fn crash(
    kernel: &Arc<SimKernel>,
    db: Option<Db>,
    policy: CrashPolicy,
    seed: u64,
) -> Arc<SimKernel> {
    let image = kernel.crash(policy, seed);
    // A dead process does nothing more, so its drop must not close cleanly.
    kernel.freeze_after(0);
    drop(db);
    image
}

/// The n-th call of a kind fails, from 1 and once.
pub fn fail_once(kernel: &SimKernel, call: CallKind, nth: u64, errno: i32) {
    kernel.set_fault(Fault { call, nth, errno, forever: false, short: false });
}

/// Every call of a kind fails until the faults are cleared.
pub fn fail_always(kernel: &SimKernel, call: CallKind, errno: i32) {
    kernel.set_fault(Fault { call, nth: 1, errno, forever: true, short: false });
}

/// Names of the database's files that end so.
pub fn names(kernel: &SimKernel, ending: &str) -> Vec<String> {
    let files = kernel.files(PATH).into_iter().map(|(name, _)| name);
    files.filter(|name| name.ends_with(ending)).collect()
}

/// Every file but the lock, which is the one that opening may write.
pub fn files(kernel: &SimKernel) -> Vec<(String, Vec<u8>)> {
    let mut files = kernel.files(PATH);
    files.retain(|(name, _)| name != "LOCK");
    files
}

/// Closes, opens again.
pub fn cycle(kernel: &Arc<SimKernel>, db: Db, options: &Options) -> Db {
    db.close(false).expect("the database closes");
    drop(db);
    reopen(kernel, options).expect("a closed database opens")
}

pub fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// How many tables each level holds.
pub fn shape(db: &Db) -> Vec<u64> {
    db.stats().level.iter().map(|level| level.tables).collect()
}

/// A disk that is held; it is let go at the end, also when a test fails: closing the database would wait for it.
pub struct HeldDisk(Arc<SimKernel>);

impl Drop for HeldDisk {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Holds calls of the disk until the result is dropped or they are released.
#[must_use = "what is held is let go with it"]
pub fn hold(kernel: &Arc<SimKernel>, what: Held) -> HeldDisk {
    kernel.hold(what);
    HeldDisk(kernel.clone())
}
