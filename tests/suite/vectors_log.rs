//! The vectors of docs/FORMAT.md, sections 2 to 4, against what the code writes and reads.

use crate::vectors::vector;
use esker::internals::batch::{BatchReader, WriteBatch, check};
use esker::internals::env::api::Fs;
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::SimKernel;
use esker::internals::error::Area;
use esker::internals::key::EntryKind;
use esker::internals::record::format::{FileHeader, FileMagic, RecordKind, append_record};
use esker::internals::record::reader::RecordReader;
use esker::internals::types::{FileNum, KeyspaceId};
use esker::internals::wal::format::{CloseMark, LogStart};
use esker::internals::wal::recover::{LogFacts, decide, replay};

const SALT: u32 = 0x1234_5678;
const NUMBER: FileNum = FileNum(7);

fn header() -> FileHeader {
    let db_id = std::array::from_fn(|i| i as u8);
    FileHeader { number: NUMBER, db_id, salt: SALT, recycled: false, made: 4096 }
}

fn log_start() -> LogStart {
    LogStart { prev: FileNum(3), prev_len: 200, prev_durable: 120, prev_last_seq: 9 }
}

/// One record of log 7.
fn record(offset: u64, kind: RecordKind, number: u64, synced: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, SALT, offset, kind, number, synced, payload);
    out
}

/// Log 7 as the page describes it.
fn whole_log() -> Vec<u8> {
    let parts = ["log-file-header", "log-start", "log-batch", "log-stamp", "log-close"];
    parts.map(vector).concat()
}

#[test]
fn batch_vector_is_what_the_batch_writes_and_reads() {
    let bytes = vector("batch-put-delete");
    let mut batch = WriteBatch::new();
    batch.put(KeyspaceId(0), b"key", b"value").expect("within the limits");
    batch.delete(KeyspaceId(0), b"").expect("within the limits");
    assert_eq!(batch.as_bytes(), bytes);
    assert_eq!(check(&bytes, 1).expect("valid"), 2);
    let mut reader = BatchReader::new(&bytes).expect("valid");
    let put = reader.next_op().expect("valid").expect("two operations");
    assert_eq!((put.kind, put.key, put.value), (EntryKind::Put, &b"key"[..], &b"value"[..]));
    let delete = reader.next_op().expect("valid").expect("two operations");
    assert_eq!((delete.kind, delete.key), (EntryKind::Delete, &b""[..]));
    assert_eq!(reader.next_op().expect("valid"), None);
}

#[test]
fn a_length_above_127_takes_two_bytes_in_the_batch_vector() {
    let bytes = vector("batch-long-value");
    let mut batch = WriteBatch::new();
    batch.put(KeyspaceId(0), b"k", &[b'x'; 130]).expect("within the limits");
    assert_eq!(batch.as_bytes(), bytes);
    assert_eq!(check(&bytes, 1).expect("valid"), 1);
}

#[test]
fn file_header_vector_is_what_is_written_and_read() {
    let bytes = vector("log-file-header");
    assert_eq!(header().encode(FileMagic::Log).as_slice(), bytes);
    let read = FileHeader::decode(&bytes, FileMagic::Log, NUMBER, Area::Wal).expect("valid");
    assert_eq!(read, header());
}

#[test]
fn record_vectors_are_what_is_written() {
    let start = record(64, RecordKind::LogStart, 9, 0, &log_start().encode());
    assert_eq!(start, vector("log-start"));
    let batch = record(120, RecordKind::Batch, 10, 0, &vector("batch-put-delete"));
    assert_eq!(batch, vector("log-batch"));
    assert_eq!(record(168, RecordKind::Stamp, 11, 168, b""), vector("log-stamp"));
    assert_eq!(record(192, RecordKind::Close, 11, 168, b""), vector("log-close"));
}

#[test]
fn the_log_on_the_page_is_read_back_record_by_record() {
    let kernel = SimKernel::new(1);
    let name = FileKind::Log(NUMBER).name();
    kernel.write_file("/", &name, &whole_log());
    let dir = Fs::Sim(kernel).open_dir(b"/", 0o600).expect("the root is there");
    let file = dir.open_read(&name, Area::Wal).expect("just written");
    let mut reader = RecordReader::new(&file, SALT, u64::MAX);
    let mut seen = Vec::new();
    while let Some(record) = reader.next_record().expect("readable") {
        seen.push((record.offset, record.kind, record.number, record.synced));
        if record.kind == RecordKind::LogStart {
            assert_eq!(LogStart::decode(record.payload), Some(log_start()));
        }
    }
    let expected = [
        (64, RecordKind::LogStart, 9, 0),
        (120, RecordKind::Batch, 10, 0),
        (168, RecordKind::Stamp, 11, 168),
        (192, RecordKind::Close, 11, 168),
    ];
    assert_eq!(seen, expected);
    assert_eq!(reader.position(), 216);
}

#[test]
fn the_log_on_the_page_is_recovered_as_cleanly_closed() {
    let kernel = SimKernel::new(1);
    kernel.write_file("/", &FileKind::Log(NUMBER).name(), &whole_log());
    let dir = Fs::Sim(kernel).open_dir(b"/", 0o600).expect("the root is there");
    let facts = LogFacts {
        listed: vec![(NUMBER, SALT)],
        db_id: header().db_id,
        close: Some(CloseMark { log: NUMBER, length: 216, last_seq: 11 }),
        keyspaces: 1,
        ..LogFacts::default()
    };
    let recovered = decide(&dir, &facts).expect("as written");
    assert_eq!((recovered.records, recovered.last_seq, recovered.dropped_bytes), (1, 11, 0));
    let mut seen = Vec::new();
    replay(&dir, &recovered, &facts, &mut |log, seq, bytes| {
        seen.push((log, seq, bytes.to_vec()));
        Ok(())
    })
    .expect("as written");
    assert_eq!(seen, [(NUMBER, 10, vector("batch-put-delete"))]);
}
