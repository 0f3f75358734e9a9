//! The log on the simulated kernel: writing, deciding what counts, crash loops.
//!
//! `Rig` plays the manifest: it keeps the list of logs and hands recovery the facts an engine would.

mod writing;
mod deciding;
mod hostile;
mod crashing;
mod recycling;

use esker::internals::batch::WriteBatch;
use esker::internals::env::api::{Dir, Fs};
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::SimKernel;
use esker::internals::error::{ErrorKind, Result};
use esker::internals::record::format::record_len;
use esker::internals::sync::Arc;
use esker::internals::types::{DbId, FileNum, KeyspaceId, SeqNo};
use esker::internals::wal::format::CloseMark;
use esker::internals::wal::prepare::{NewLog, prepare, recycle};
use esker::internals::wal::recover::{LogFacts, Recovered, decide, replay};
use esker::internals::wal::sync::{LogSync, LogTail};
use esker::internals::wal::writer::LogWriter;
use std::io::Write;

pub const PATH: &str = "/db";
pub const DB_ID: DbId = *b"a database's id!";
pub const KS: KeyspaceId = KeyspaceId(0);
/// Where the first batch of a log begins.
pub const FIRST: u64 = 120;

/// One process over one simulated kernel.
pub struct Rig {
    pub kernel: Arc<SimKernel>,
    pub fs: Fs,
    pub dir: Arc<Dir>,
    pub writer: LogWriter,
    pub sync: Arc<LogSync>,
    /// What a manifest would say.
    pub facts: LogFacts,
    pub next_number: u64,
    pub seq: SeqNo,
}

pub fn open_dir(kernel: &Arc<SimKernel>) -> (Fs, Arc<Dir>) {
    let fs = Fs::Sim(Arc::clone(kernel));
    let dir = fs.open_dir(PATH.as_bytes(), 0o600).expect("the directory is there");
    (fs, Arc::new(dir))
}

/// Writes a line past the test harness, which would keep it to itself.
pub fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("standard output takes a line");
}

/// A batch of one put of a value of `len` bytes.
pub fn batch(key: &str, len: usize) -> Vec<u8> {
    let mut batch = WriteBatch::new();
    batch.put(KS, key.as_bytes(), &vec![b'v'; len]).expect("within the limits");
    batch.as_bytes().to_vec()
}

pub fn name(number: u64) -> String {
    FileKind::Log(FileNum(number)).name()
}

impl Rig {
    /// An empty database.
    pub fn new(seed: u64) -> Rig {
        let kernel = SimKernel::new(seed);
        kernel.make_dir(PATH.as_bytes(), 0o700).expect("a fresh kernel");
        kernel.sync_all();
        let facts = LogFacts { db_id: DB_ID, keyspaces: 1, ..LogFacts::default() };
        Rig::open(kernel, facts, Vec::new(), 1, 0)
    }

    pub fn open(
        kernel: Arc<SimKernel>,
        facts: LogFacts,
        inherited: Vec<LogTail>,
        next_number: u64,
        seq: SeqNo,
    ) -> Rig {
        let (fs, dir) = open_dir(&kernel);
        let writer = LogWriter::new(Arc::clone(&dir), inherited);
        let sync = writer.sync_handle();
        Rig { kernel, fs, dir, writer, sync, facts, next_number, seq }
    }

    /// A prepared and listed log.
    pub fn prepare(&mut self, payload_bytes: u64) -> Result<NewLog> {
        let number = FileNum(self.next_number);
        self.next_number += 1;
        let log = prepare(&self.fs, &self.dir, number, DB_ID, payload_bytes)?;
        self.facts.listed.push((number, log.salt));
        Ok(log)
    }

    /// As `prepare`, out of the file of the freed log `old`.
    pub fn recycle(&mut self, old: u64, payload_bytes: u64) -> Result<NewLog> {
        let number = FileNum(self.next_number);
        self.next_number += 1;
        let log = recycle(&self.fs, &self.dir, FileNum(old), number, DB_ID, payload_bytes)?;
        self.facts.listed.push((number, log.salt));
        Ok(log)
    }

    /// Begins the next log.
    pub fn rotate(&mut self) -> FileNum {
        let log = self.prepare(8192).expect("no fault is planned");
        let number = log.number;
        self.writer.start(log, self.seq).expect("no fault is planned");
        number
    }

    /// Appends a group.
    pub fn append(&mut self, batches: &[Vec<u8>]) -> Result<()> {
        let group: Vec<_> =
            batches.iter().enumerate().map(|(i, b)| (self.seq + 1 + i as u64, &b[..])).collect();
        // Burned whatever happens.
        self.seq += batches.len() as u64;
        self.writer.append(&group, self.seq)
    }

    /// Appends one batch, beginning a log when there is none; returns its sequence.
    pub fn put(&mut self, key: &str) -> SeqNo {
        let batch = batch(key, 20);
        if !self.writer.fits(record_len(batch.len())) {
            self.rotate();
        }
        self.append(&[batch]).expect("no fault is planned");
        self.seq
    }

    pub fn sync_and_stamp(&mut self) {
        self.sync.sync(|_| ()).expect("no fault is planned");
        self.writer.stamp_if_useful().expect("no fault is planned");
    }

    pub fn close(&mut self) -> CloseMark {
        let closed = self.writer.close(self.seq).expect("no fault is planned");
        let (log, length) = closed.expect("a log was written");
        let mark = CloseMark { log, length, last_seq: self.seq };
        self.facts.close = Some(mark);
        mark
    }

    pub fn decide(&self) -> Result<Recovered> {
        decide(&self.dir, &self.facts)
    }

    /// Keys and sequences of what a recovery now would bring back.
    pub fn recovered(&self) -> (Recovered, Vec<SeqNo>) {
        let recovered = self.decide().expect("the image is legal");
        let mut seqs = Vec::new();
        replay(&self.dir, &recovered, &self.facts, &mut |_, seq, _| {
            seqs.push(seq);
            Ok(())
        })
        .expect("what counts can be replayed");
        (recovered, seqs)
    }

    /// Asserts that recovery refuses, naming this log and an offset up to `offset`.
    pub fn assert_refused(&self, log: u64, offset: u64) -> String {
        let error = self.decide().expect_err("damage must be refused");
        let detail = error.detail();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!((detail.file_number, detail.offset), (log, offset), "{error}");
        assert!(detail.message.contains(&FileNum(log).to_string()), "{error}");
        assert!(detail.message.contains(&offset.to_string()), "{error}");
        detail.message.clone()
    }

    pub fn corrupt(&self, log: u64, offset: u64) {
        self.kernel.corrupt(PATH, &name(log), offset, 0x10);
    }

    pub fn bytes_of(&self, log: u64) -> Vec<u8> {
        self.kernel.read_file(PATH, &name(log)).expect("the log is there")
    }

    pub fn set_bytes(&self, log: u64, bytes: &[u8]) {
        self.kernel.write_file(PATH, &name(log), bytes);
    }
}
