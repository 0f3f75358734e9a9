//! A small database on the simulated kernel, for kernels.

use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::{CrashPolicy, SimKernel};
use esker::internals::error::{ErrorKind, Result};
use esker::internals::options::{Durability, Options};
use esker::internals::shared::{EnvOption, SharedEnv};
use esker::internals::sync::{Arc, thread};
use std::collections::BTreeMap;

pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A database and what it stands on. Its workers are its own: a kernel shares nothing with the ones before.
pub struct Stage {
    pub kernel: Arc<SimKernel>,
    pub env: Arc<SharedEnv>,
    pub options: Options,
    pub db: Db,
}

fn open(kernel: &Arc<SimKernel>, options: &Options) -> Db {
    let flags = OpenFlags { create: true, ..OpenFlags::default() };
    Db::open(&Fs::Sim(kernel.clone()), b"/db", options, flags).expect("the database opens")
}

impl Stage {
    /// An empty database with the smallest of everything, changed by `change`.
    pub fn new(change: impl FnOnce(&mut Options)) -> Stage {
        let env = SharedEnv::new(0, 0, 1);
        let mut options = Options {
            env: EnvOption(Some(env.clone())),
            write_buffer: 1 << 10,
            block_size: 256,
            table_size: 512,
            level_bytes: 1 << 10,
            level_ratio: 2,
            level_dynamic: false,
            levels: 3,
            l0_trigger: 2,
            l0_stop: 8,
            log_bytes: 2 << 10,
            compaction_auto: false,
            filter: None,
            ..Options::default()
        };
        change(&mut options);
        let kernel = SimKernel::new(1);
        let db = open(&kernel, &options);
        Stage { kernel, env, options, db }
    }

    /// Closes; what went wrong behind the scenes is wrong.
    pub fn close(&self) {
        self.check_errors();
        self.db.close(false).expect("the database closes");
        self.check_errors();
    }

    fn check_errors(&self) {
        let (errors, _) = self.db.errors_since(0);
        assert!(errors.is_empty(), "errors behind the scenes: {errors:?}");
    }

    /// No job of any kernel panics.
    pub fn check_no_panic(&self) {
        let (errors, _) = self.db.errors_since(0);
        assert!(errors.iter().all(|error| error.kind() != ErrorKind::Panic), "{errors:?}");
    }

    /// What a power cut at this moment would leave.
    pub fn rows_after_power_cut(&self) -> Rows {
        self.rows_of(&self.kernel.crash(CrashPolicy::OnlySynced, 1))
    }

    /// What opening again would show.
    pub fn rows_after_reopening(&self) -> Rows {
        self.rows_of(&self.kernel.crash(CrashPolicy::Kill, 1))
    }

    fn rows_of(&self, kernel: &Arc<SimKernel>) -> Rows {
        let options =
            Options { env: EnvOption::default(), deterministic: true, ..self.options.clone() };
        let db = open(kernel, &options);
        let rows = rows(&db, &ReadParams::default());
        // A look, not a life.
        kernel.freeze_after(0);
        rows
    }
}

pub fn with(durability: Durability) -> WriteParams {
    WriteParams { durability: Some(durability), ..WriteParams::default() }
}

pub fn put(db: &Db, durability: Durability, key: &str, value: u64) -> Result<u64> {
    db.put(&with(durability), key.as_bytes(), value.to_string().as_bytes())
}

fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).expect("a number")
}

pub fn get_at(db: &Db, snapshot: Option<u64>, key: &str) -> Option<u64> {
    let params = ReadParams { snapshot, ..ReadParams::default() };
    db.get(&params, key.as_bytes()).expect("the read works").map(|value| number(&value))
}

pub fn get(db: &Db, key: &str) -> Option<u64> {
    get_at(db, None, key)
}

/// The value of a key among rows.
pub fn value(rows: &Rows, key: &str) -> Option<u64> {
    rows.get(key.as_bytes()).map(|value| number(value))
}

pub fn rows(db: &Db, params: &ReadParams) -> Rows {
    let mut iter = db.iter(params).expect("a cursor opens");
    let mut rows = Rows::new();
    while iter.next().expect("the cursor moves") {
        rows.insert(iter.key().to_vec(), iter.value().to_vec());
    }
    rows
}

/// Runs `body` in a thread of its own with the database.
pub fn spawn<R: Send + 'static>(
    db: &Db,
    body: impl FnOnce(&Db) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let db = db.clone();
    thread::spawn(move || body(&db))
}
