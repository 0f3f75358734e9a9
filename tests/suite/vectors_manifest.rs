//! docs/FORMAT.md, section 5: its vectors are what the code writes and reads.

use crate::vectors::vector;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::record::format::{FileHeader, RecordKind, append_record};
use esker::internals::table::meta::TableMeta;
use esker::internals::types::{FileNum, KeyspaceId};
use esker::internals::version::edit::{KeyspaceFacts, VersionEdit};
use esker::internals::version::manifest::{base_image, load};
use esker::internals::version::state::ManifestState;

const KS: KeyspaceId = KeyspaceId(0);
const DB_ID: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const SALT: u32 = 0x0102_0304;

/// The database of the vector: one log, one voided log, nothing else yet.
fn base() -> ManifestState {
    let mut state = ManifestState::new(DB_ID, 1_700_000_000, 6);
    let default = KeyspaceFacts {
        id: KS,
        name: "default".to_owned(),
        comparator: "esker.bytewise".to_owned(),
        exact: true,
        options: String::new(),
    };
    let edit = VersionEdit {
        last_seq: Some(300),
        log_floor: Some(FileNum(2)),
        logs_added: vec![(FileNum(4), 0xa1b2_c3d4)],
        logs_voided: vec![FileNum(2)],
        keyspaces_added: vec![default],
        ..VersionEdit::default()
    };
    state.apply(&edit).expect("a legal edit");
    state
}

/// The edit of the vector: a flush that frees logs below 4.
fn flush() -> VersionEdit {
    let meta = TableMeta {
        file: FileNum(6),
        table_id: [0xee; 16],
        size: 4096,
        footer_crc: 0x1234_5678,
        entries: 200,
        deletes: 7,
        range_dels: 0,
        min_seq: 1,
        max_seq: 300,
        global_seq: 0,
        smallest: b"apple".to_vec(),
        largest: b"pear".to_vec(),
        bounds_flags: 0,
        oldest_tombstone: 0,
    };
    VersionEdit {
        next_file: Some(7),
        last_seq: Some(310),
        log_floor: Some(FileNum(4)),
        log_durable: Some((FileNum(4), 1024)),
        tables_added: vec![(KS, 0, meta.into())],
        flushed: vec![(KS, 300)],
        cursors: vec![(KS, 1, b"m".to_vec().into())],
        ..VersionEdit::default()
    }
}

#[test]
fn the_edit_of_the_format_page_is_what_the_code_writes_and_reads() {
    let bytes = vector("manifest-edit");
    assert_eq!(flush().encode().unwrap(), bytes);
    assert_eq!(VersionEdit::decode(&bytes).expect("a legal edit"), flush());
}

#[test]
fn the_manifest_of_the_format_page_is_what_the_code_writes_and_reads() {
    let number = FileNum(5);
    let header = FileHeader { number, db_id: DB_ID, salt: SALT, recycled: false, made: 0 };
    let (mut built, last) = base_image(&header, &base(), 40).unwrap();
    let base_end = built.len() as u64;
    let edit = flush().encode().unwrap();
    append_record(&mut built, SALT, base_end, RecordKind::Edit, last + 1, base_end, &edit);
    let end = built.len() as u64;
    append_record(&mut built, SALT, end, RecordKind::Stamp, last + 1, end, &[]);
    let bytes = vector("manifest-file");
    assert_eq!(built, bytes);

    let kernel = SimKernel::new(1);
    let fs = Fs::Sim(kernel.clone());
    fs.make_dir(b"db", 0o700).expect("directory");
    kernel.write_file("db", "MANIFEST-0000000005", &bytes);
    let dir = fs.open_dir(b"db", 0o600).expect("directory");
    let loaded = load(&dir, &dir.list().expect("names")).expect("legal").expect("a database");
    let mut want = base();
    want.apply(&flush()).expect("a legal edit");
    assert_eq!(loaded.state, want);
    assert_eq!((loaded.number, loaded.edit_number, loaded.dropped_bytes), (number, 42, 0));
    assert!(want.voided.is_empty(), "the floor has passed the voided log");
}
