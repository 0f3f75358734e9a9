//! The version room on the simulated kernel: what a set of versions does when nothing goes wrong. Its
//! edits are in `edits`, crashes, faults and damage in `crash`.

mod crash;
mod edits;

use esker::internals::env::api::{Dir, Fs};
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::SimKernel;
use esker::internals::error::{Area, ErrorKind, Result};
use esker::internals::order::{CustomOrder, Order};
use esker::internals::retire::RetireList;
use esker::internals::sync::Arc;
use esker::internals::table::meta::TableMeta;
use esker::internals::types::{FileNum, KeyspaceId};
use esker::internals::version::edit::{KeyspaceFacts, VersionEdit};
use esker::internals::version::levels::Version;
use esker::internals::version::manifest::{Loaded, load};
use esker::internals::version::set::{VersionSet, check_table_file};
use esker::internals::version::state::ManifestState;
use esker::internals::wal::format::CloseMark;

const PATH: &str = "db";
const LEVELS: usize = 4;
const KS: KeyspaceId = KeyspaceId(0);

/// A small generator of random numbers; tests print the seed they gave it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn facts(id: u32, name: &str) -> KeyspaceFacts {
    KeyspaceFacts {
        id: KeyspaceId(id),
        name: name.to_owned(),
        comparator: "esker.bytewise".to_owned(),
        exact: true,
        options: String::new(),
    }
}

fn table(file: u64, smallest: &str, largest: &str, seq: u64) -> TableMeta {
    TableMeta {
        file: FileNum(file),
        table_id: [file as u8; 16],
        size: 10 + file,
        footer_crc: file as u32,
        entries: 3,
        deletes: 1,
        range_dels: 0,
        min_seq: seq,
        max_seq: seq,
        global_seq: 0,
        smallest: smallest.as_bytes().to_vec(),
        largest: largest.as_bytes().to_vec(),
        bounds_flags: 0,
        oldest_tombstone: 5,
    }
}

fn open_dir(kernel: &Arc<SimKernel>) -> Result<(Fs, Arc<Dir>)> {
    let fs = Fs::Sim(Arc::clone(kernel));
    let dir = fs.open_dir(PATH.as_bytes(), 0o600)?;
    Ok((fs, Arc::new(dir)))
}

fn create(kernel: &Arc<SimKernel>) -> Result<VersionSet> {
    Fs::Sim(Arc::clone(kernel)).make_dir(PATH.as_bytes(), 0o700)?;
    let (fs, dir) = open_dir(kernel)?;
    VersionSet::create(
        fs,
        dir,
        facts(0, "default"),
        Order::Bytewise,
        LEVELS,
        Arc::new(RetireList::default()),
    )
}

fn load_from(kernel: &Arc<SimKernel>) -> Result<Option<Loaded>> {
    let (_, dir) = open_dir(kernel)?;
    let names = dir.list()?;
    load(&dir, &names)
}

fn highest_number(kernel: &Arc<SimKernel>) -> FileNum {
    let files = kernel.files(PATH);
    let kinds = files.iter().filter_map(|(name, _)| FileKind::parse(name.as_bytes()));
    kinds.map(FileKind::number).max().unwrap_or_default()
}

fn recover(kernel: &Arc<SimKernel>) -> Result<VersionSet> {
    let loaded = load_from(kernel)?.expect("the directory holds a database");
    let (fs, dir) = open_dir(kernel)?;
    loaded.state.tables().try_for_each(|(_, _, meta)| check_table_file(&dir, meta))?;
    let logs: Vec<FileNum> = loaded.state.logs.keys().copied().collect();
    let mut set = VersionSet::recover(
        fs,
        dir,
        loaded,
        Order::Bytewise,
        LEVELS,
        Arc::new(RetireList::default()),
    )?;
    set.set_recovery(&logs, &[], highest_number(kernel), 0);
    Ok(set)
}

fn kernel() -> Arc<SimKernel> {
    SimKernel::new(7)
}

/// Makes the file of a table, so that `recover` finds it.
fn make_table_file(kernel: &Arc<SimKernel>, meta: &TableMeta) -> Result<()> {
    let (_, dir) = open_dir(kernel)?;
    let file = dir.create(&FileKind::Table(meta.file).name(), Area::Table)?;
    file.truncate(meta.size)?;
    file.sync_data()?;
    dir.sync()
}

fn manifests(kernel: &Arc<SimKernel>) -> Vec<String> {
    let names = kernel.files(PATH).into_iter().map(|(name, _)| name);
    names.filter(|name| name.starts_with("MANIFEST-")).collect()
}

/// Makes a table file and the edit that adds it to level 0.
fn flush_edit(kernel: &Arc<SimKernel>, set: &VersionSet, seq: u64) -> Result<VersionEdit> {
    let meta = table(set.numbers().next().0, "a", "m", seq);
    make_table_file(kernel, &meta)?;
    Ok(VersionEdit {
        tables_added: vec![(KS, 0, meta.into())],
        flushed: vec![(KS, seq)],
        ..VersionEdit::default()
    })
}

#[test]
fn a_database_is_found_again_as_it_was_left() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    assert_eq!(manifests(&kernel), ["MANIFEST-0000000001"]);
    let edit = flush_edit(&kernel, &set, 5).expect("table");
    set.apply(edit).expect("apply");
    let log = set.numbers().next();
    set.note_seq(50);
    set.apply(VersionEdit { logs_added: vec![(log, 77)], ..VersionEdit::default() }).expect("log");
    set.note_durable(log, 128);
    let cursors = vec![(KS, 1, b"k".to_vec().into())];
    set.apply(VersionEdit { cursors, ..VersionEdit::default() }).expect("cursor");
    let state = set.state().clone();
    assert_eq!(state.last_seq, 50);
    assert_eq!(state.log_durable[&log], 128);

    let loaded = load_from(&kernel).expect("load").expect("a database");
    assert_eq!(loaded.state, state);
    assert_eq!((loaded.number, loaded.dropped_bytes), (FileNum(1), 0));
    let again = recover(&kernel).expect("recover");
    assert!(!again.changed());
    assert_eq!(again.version(KS).level(0)[0].meta, set.version(KS).level(0)[0].meta);
    assert!(again.numbers().peek() > log.0);
}

#[test]
fn recovery_writes_nothing_and_the_first_change_makes_a_new_manifest() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let edit = flush_edit(&kernel, &set, 5).expect("table");
    set.apply(edit).expect("apply");
    drop(set);
    let before = kernel.directory_hash(PATH);
    let calls = kernel.calls();
    let mut set = recover(&kernel).expect("recover");
    assert_eq!((kernel.directory_hash(PATH), kernel.calls()), (before, calls));
    let old_number = load_from(&kernel).expect("load").expect("db").edit_number;

    let edit = flush_edit(&kernel, &set, 6).expect("table");
    set.apply(edit).expect("apply");
    assert!(set.changed());
    assert_eq!(manifests(&kernel), [FileKind::Manifest(set.manifest_number().unwrap()).name()]);
    let loaded = load_from(&kernel).expect("load").expect("db");
    assert_eq!(&loaded.state, set.state());
    assert!(loaded.edit_number > old_number);
    assert!(loaded.state.next_file > loaded.number.0);
}

#[test]
fn the_first_change_lists_counted_logs_and_voids_the_others() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let logs: Vec<FileNum> = (0..4).map(|_| set.numbers().next()).collect();
    let logs_added = logs.iter().map(|&log| (log, 1)).collect();
    set.apply(VersionEdit { logs_added, ..VersionEdit::default() }).expect("logs");
    drop(set);

    let loaded = load_from(&kernel).expect("load").expect("db");
    let (fs, dir) = open_dir(&kernel).expect("dir");
    let mut set = VersionSet::recover(
        fs,
        dir,
        loaded,
        Order::Bytewise,
        LEVELS,
        Arc::new(RetireList::default()),
    )
    .expect("set");
    // The last is neither counted nor dropped: listed, but never written.
    set.set_recovery(&logs[..2], &logs[2..3], FileNum(1000), 70);
    assert_eq!(set.state().logs.len(), 4);
    assert!(set.obsolete_logs().is_empty() && !set.is_obsolete_log(logs[2]));
    set.apply(VersionEdit::default()).expect("apply");

    let loaded = load_from(&kernel).expect("load").expect("db");
    assert_eq!(loaded.state.logs.keys().copied().collect::<Vec<_>>(), logs[..2]);
    assert_eq!(loaded.state.voided.iter().copied().collect::<Vec<_>>(), logs[2..]);
    assert!(loaded.state.next_file > 1000 && loaded.state.last_seq == 70);
    assert_eq!(set.obsolete_logs(), logs[2..]);

    set.void_gone(logs[2]);
    let log_floor = Some(logs[1]);
    set.apply(VersionEdit { log_floor, ..VersionEdit::default() }).expect("floor");
    assert_eq!(set.obsolete_logs(), [logs[0], logs[3]]);
    assert!(set.is_obsolete_log(logs[0]) && !set.is_obsolete_log(logs[1]));
    set.void_gone(logs[0]);
    assert_eq!(set.obsolete_logs(), [logs[3]]);
}

#[test]
fn a_missing_or_resized_table_file_refuses_the_open() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let edit = flush_edit(&kernel, &set, 5).expect("table");
    let meta = edit.tables_added[0].2.clone();
    set.apply(edit).expect("apply");
    let name = FileKind::Table(meta.file).name();
    recover(&kernel).expect("whole");
    kernel.write_file(PATH, &name, b"short");
    let error = recover(&kernel).err().expect("wrong size");
    assert_eq!((error.kind(), error.detail().file_number), (ErrorKind::Corrupt, meta.file.0));
    kernel.remove_file(PATH, &name);
    let error = recover(&kernel).err().expect("missing");
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&name), "{error}");
}

#[test]
fn logs_or_tables_without_a_manifest_are_never_an_empty_directory() {
    let kernel = kernel();
    Fs::Sim(Arc::clone(&kernel)).make_dir(PATH.as_bytes(), 0o700).expect("dir");
    assert!(load_from(&kernel).expect("load").is_none());
    kernel.write_file(PATH, "MANIFEST-0000000001.tmp", b"half");
    kernel.write_file(PATH, "LOCK", b"");
    kernel.write_file(PATH, "stranger", b"");
    assert!(load_from(&kernel).expect("load").is_none());
    kernel.write_file(PATH, "0000000003.wal", b"");
    assert_eq!(load_from(&kernel).err().expect("log").kind(), ErrorKind::Corrupt);
}

#[test]
fn only_the_highest_manifest_counts_and_leftovers_go_with_the_next_change() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let old = kernel.read_file(PATH, "MANIFEST-0000000001").expect("manifest");
    drop(set);
    set = recover(&kernel).expect("recover");
    set.note_seq(9);
    set.apply(VersionEdit::default()).expect("apply");
    let newest = FileKind::Manifest(set.manifest_number().unwrap()).name();
    drop(set);
    kernel.write_file(PATH, "MANIFEST-0000000001", &old);
    kernel.write_file(PATH, "MANIFEST-0000000099.tmp", b"half");
    assert_eq!(load_from(&kernel).expect("load").expect("db").state.last_seq, 9);

    let mut set = recover(&kernel).expect("recover");
    set.apply(VersionEdit::default()).expect("apply");
    assert_eq!(manifests(&kernel), [FileKind::Manifest(set.manifest_number().unwrap()).name()]);
    assert!(set.manifest_number().unwrap() > FileNum(99));
    drop(set);

    // The newest is damaged: an older one that is whole is no substitute.
    let name = manifests(&kernel).remove(0);
    kernel.write_file(PATH, &newest, &old);
    kernel.corrupt(PATH, &name, 100, 1);
    assert_eq!(load_from(&kernel).err().expect("damage").kind(), ErrorKind::Corrupt);
}

#[test]
fn dropped_tables_are_handed_over_after_their_last_reader() {
    let kernel = kernel();
    Fs::Sim(Arc::clone(&kernel)).make_dir(PATH.as_bytes(), 0o700).expect("dir");
    let (fs, dir) = open_dir(&kernel).expect("dir");
    let retire = Arc::new(RetireList::default());
    let mut set = VersionSet::create(
        fs,
        dir,
        facts(0, "default"),
        Order::Bytewise,
        LEVELS,
        Arc::clone(&retire),
    )
    .expect("set");
    let edit = flush_edit(&kernel, &set, 5).expect("table");
    let meta = edit.tables_added[0].2.clone();
    set.apply(edit).expect("add");
    let reader = set.version(KS);
    let moved = VersionEdit {
        tables_dropped: vec![(KS, 0, meta.file)],
        tables_added: vec![(KS, 1, meta.clone())],
        ..VersionEdit::default()
    };
    set.apply(moved).expect("move");
    assert!(Arc::ptr_eq(&reader.level(0)[0], &set.version(KS).level(1)[0]));
    drop(reader);
    assert!(retire.take().tables.is_empty());

    let reader = set.version(KS);
    let drop_edit =
        VersionEdit { tables_dropped: vec![(KS, 1, meta.file)], ..VersionEdit::default() };
    set.apply(drop_edit).expect("drop");
    assert!(retire.take().tables.is_empty(), "a reader holds the table");
    drop(reader);
    assert_eq!(retire.take().tables, [meta.file]);
    assert!(set.live_tables().is_empty());
}

#[test]
fn contradicting_edits_are_refused_and_change_nothing() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    set.note_seq(100);
    let numbers = set.numbers();
    let (one, two, log) = (numbers.next().0, numbers.next().0, numbers.next());
    let first = VersionEdit {
        tables_added: vec![(KS, 1, table(one, "c", "f", 5).into())],
        logs_added: vec![(log, 1)],
        log_floor: Some(log),
        flushed: vec![(KS, 5)],
        ..VersionEdit::default()
    };
    set.apply(first).expect("base");
    let add = |level, meta| VersionEdit {
        tables_added: vec![(KS, level, meta)],
        ..VersionEdit::default()
    };
    let mut backwards = table(two, "a", "b", 5);
    std::mem::swap(&mut backwards.smallest, &mut backwards.largest);
    let refused = [
        ("overlap", add(1, table(two, "f", "g", 6).into())),
        ("present", add(2, table(one, "x", "y", 6).into())),
        ("unknown number", add(0, table(1000, "x", "y", 6).into())),
        ("bounds", add(0, backwards.into())),
        ("level", add(8, table(two, "x", "y", 6).into())),
        (
            "twice",
            VersionEdit {
                tables_added: vec![
                    (KS, 0, table(two, "x", "y", 6).into()),
                    (KS, 2, table(two, "x", "y", 6).into()),
                ],
                ..VersionEdit::default()
            },
        ),
        (
            "absent drop",
            VersionEdit { tables_dropped: vec![(KS, 2, FileNum(one))], ..VersionEdit::default() },
        ),
        ("keyspace", VersionEdit { flushed: vec![(KeyspaceId(3), 1)], ..VersionEdit::default() }),
        ("flushed back", VersionEdit { flushed: vec![(KS, 4)], ..VersionEdit::default() }),
        ("floor back", VersionEdit { log_floor: Some(FileNum(1)), ..VersionEdit::default() }),
        ("log twice", VersionEdit { logs_added: vec![(log, 1)], ..VersionEdit::default() }),
        (
            "name",
            VersionEdit { keyspaces_added: vec![facts(1, "default")], ..VersionEdit::default() },
        ),
        ("id", VersionEdit { keyspaces_added: vec![facts(0, "b")], ..VersionEdit::default() }),
        ("base", VersionEdit { base_end: true, ..VersionEdit::default() }),
        (
            "close",
            VersionEdit {
                close: Some(CloseMark { log: FileNum(1), length: 1, last_seq: 1 }),
                ..VersionEdit::default()
            },
        ),
    ];
    let (state, bytes) = (set.state().clone(), kernel.directory_hash(PATH));
    for (what, edit) in refused {
        let error = set.apply(edit).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(set.state() == &state && kernel.directory_hash(PATH) == bytes, "{what}");
    }
    let other = KeyspaceFacts { comparator: "esker.sideways".to_owned(), ..facts(1, "other") };
    let edit = VersionEdit { keyspaces_added: vec![other], ..VersionEdit::default() };
    assert_eq!(set.apply(edit).expect_err("order").kind(), ErrorKind::Comparator);
    let error = set.apply(add(1, table(two, "e", "g", 6).into())).expect_err("overlap").to_string();
    assert!(error.contains(&FileNum(one).to_string()) && error.contains(&FileNum(two).to_string()));
    set.apply(add(1, table(two, "g", "h", 6).into())).expect("fits");
}

/// Below the set, which fills in counters so that they never go back, and leaves out offsets that would.
#[test]
fn a_state_refuses_what_goes_back_or_comes_twice_and_stays_as_it_is() {
    let mut state = ManifestState::new([1; 16], 0, 10);
    let none = VersionEdit::default;
    let first = VersionEdit {
        next_file: Some(20),
        last_seq: Some(100),
        log_floor: Some(FileNum(3)),
        logs_added: vec![(FileNum(4), 1)],
        log_durable: Some((FileNum(4), 640)),
        logs_voided: vec![FileNum(5)],
        keyspaces_added: vec![facts(0, "default")],
        flushed: vec![(KS, 50)],
        ..none()
    };
    state.apply(&first).expect("a legal edit");
    let close = |last_seq| Some(CloseMark { log: FileNum(4), length: 1, last_seq });
    let log = |number| vec![(FileNum(number), 1)];
    let add = |meta: TableMeta| vec![(KS, 0, meta.into())];
    let refused = [
        ("next file goes back", VersionEdit { next_file: Some(19), ..none() }),
        ("last sequence goes back", VersionEdit { last_seq: Some(99), ..none() }),
        ("floor goes back", VersionEdit { log_floor: Some(FileNum(2)), ..none() }),
        ("durable goes back", VersionEdit { log_durable: Some((FileNum(4), 639)), ..none() }),
        ("flushed goes back", VersionEdit { flushed: vec![(KS, 49)], ..none() }),
        ("flushed in the future", VersionEdit { flushed: vec![(KS, 101)], ..none() }),
        ("closed in the future", VersionEdit { close: close(101), ..none() }),
        (
            "table of the future",
            VersionEdit { tables_added: add(table(9, "a", "b", 101)), ..none() },
        ),
        (
            "table not given out",
            VersionEdit { tables_added: add(table(20, "a", "b", 1)), ..none() },
        ),
        ("log not given out", VersionEdit { logs_added: log(20), ..none() }),
        ("void not given out", VersionEdit { logs_voided: vec![FileNum(20)], ..none() }),
        ("log below the floor", VersionEdit { logs_added: log(2), ..none() }),
        (
            "added and voided",
            VersionEdit { logs_added: log(6), logs_voided: vec![FileNum(6)], ..none() },
        ),
        ("voided before", VersionEdit { logs_added: log(5), ..none() }),
        ("durable though voided", VersionEdit { log_durable: Some((FileNum(5), 1)), ..none() }),
    ];
    let before = state.clone();
    for (what, edit) in refused {
        let error = state.apply(&edit).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(state == before, "{what}");
    }
    // As far as they may go.
    let last = VersionEdit {
        log_durable: Some((FileNum(4), 640)),
        logs_added: log(19),
        flushed: vec![(KS, 100)],
        tables_added: add(table(9, "a", "b", 100)),
        ..none()
    };
    state.apply(&last).expect("a legal edit");
    state.apply(&VersionEdit { close: close(100), ..none() }).expect("a legal edit");
    state.apply(&VersionEdit { logs_voided: vec![FileNum(4)], ..none() }).expect("a legal edit");
    assert!(!state.logs.contains_key(&FileNum(4)) && state.log_durable.is_empty());
    state.apply(&VersionEdit { log_floor: Some(FileNum(19)), ..none() }).expect("a legal edit");
    assert!(state.voided.is_empty(), "below the floor a log is neither listed nor voided");
    assert_eq!(state.logs.keys().copied().collect::<Vec<_>>(), [FileNum(19)]);
}

#[test]
fn a_table_that_ends_before_it_begins_in_a_callers_order_is_refused() {
    let kernel = kernel();
    Fs::Sim(Arc::clone(&kernel)).make_dir(PATH.as_bytes(), 0o700).expect("dir");
    let (fs, dir) = open_dir(&kernel).expect("dir");
    let custom = CustomOrder {
        name: "test.backwards".to_owned(),
        exact: true,
        compare: Box::new(|a: &[u8], b: &[u8]| b.cmp(a)),
    };
    let order = Order::Custom(Arc::new(custom));
    let facts = KeyspaceFacts { comparator: "test.backwards".to_owned(), ..facts(0, "default") };
    let retire = Arc::new(RetireList::default());
    let mut set = VersionSet::create(fs, dir, facts, order, LEVELS, retire).expect("set");
    let number = set.numbers().next().0;
    let add = |level, smallest, largest| VersionEdit {
        tables_added: vec![(KS, level, table(number, smallest, largest, 5).into())],
        ..VersionEdit::default()
    };
    let (state, bytes) = (set.state().clone(), kernel.directory_hash(PATH));
    for level in [0, 1] {
        let error = set.apply(add(level, "a", "b")).expect_err("backwards");
        // It may be the fault of the order, which has changed since.
        assert_eq!(error.kind(), ErrorKind::Comparator, "{error}");
        assert!(error.to_string().contains(&FileNum(number).to_string()), "{error}");
        assert!(set.state() == &state && kernel.directory_hash(PATH) == bytes);
        assert_eq!(set.version(KS).tables().count(), 0);
    }
    set.apply(add(1, "b", "a")).expect("forwards");
}

#[test]
fn of_tables_with_equal_sequence_numbers_the_later_file_is_the_newer() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let numbers: Vec<u64> = (0..5).map(|_| set.numbers().next().0).collect();
    let seqs = [5, 5, 9, 5, 1];
    // Some come together, none in the order of their numbers.
    for added in [vec![1, 2], vec![3, 0], vec![4]] {
        let meta = |at: usize| (KS, 0, table(numbers[at], "a", "m", seqs[at]).into());
        let tables_added = added.into_iter().map(meta).collect();
        set.apply(VersionEdit { tables_added, ..VersionEdit::default() }).expect("tables");
    }
    let newest_first = [2, 3, 1, 0, 4].map(|at| numbers[at]);
    let shown = |set: &VersionSet| -> Vec<u64> {
        set.version(KS).level(0).iter().map(|table| table.meta.file.0).collect()
    };
    assert_eq!(shown(&set), newest_first);
    drop(set);
    let loaded = load_from(&kernel).expect("load").expect("db");
    let (fs, dir) = open_dir(&kernel).expect("dir");
    let retire = Arc::new(RetireList::default());
    let set = VersionSet::recover(fs, dir, loaded, Order::Bytewise, LEVELS, retire).expect("set");
    assert_eq!(shown(&set), newest_first, "after recovery too");
}

#[test]
fn dropped_keyspaces_take_their_tables_and_their_id_with_them() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    set.note_seq(10);
    let id = KeyspaceId(set.state().next_keyspace());
    let keyspaces_added = vec![facts(id.0, "second")];
    set.apply(VersionEdit { keyspaces_added, ..VersionEdit::default() }).expect("add");
    let file = set.numbers().next();
    let tables_added = vec![(id, 0, table(file.0, "a", "b", 1).into())];
    set.apply(VersionEdit { tables_added, ..VersionEdit::default() }).expect("table");
    assert_eq!(set.version(id).level(0).len(), 1);
    let drop_it = VersionEdit { keyspaces_dropped: vec![id], ..VersionEdit::default() };
    set.apply(drop_it.clone()).expect("drop");
    assert_eq!(set.apply(drop_it).expect_err("gone").kind(), ErrorKind::Corrupt);
    assert!(set.version(id).level(0).is_empty() && set.live_tables().is_empty());
    drop(set);
    for _ in 0..2 {
        let mut set = recover(&kernel).expect("recover");
        assert_eq!(set.state().next_keyspace(), id.0 + 1);
        let keyspaces_added = vec![facts(id.0, "third")];
        let again = VersionEdit { keyspaces_added, ..VersionEdit::default() };
        assert_eq!(set.apply(again).expect_err("its id").kind(), ErrorKind::Corrupt);
        set.apply(VersionEdit::default()).expect("new base");
    }
}

#[test]
fn a_close_mark_holds_until_the_next_change() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let log = set.numbers().next();
    set.apply(VersionEdit { logs_added: vec![(log, 1)], ..VersionEdit::default() }).expect("log");
    let close = Some(CloseMark { log, length: 88, last_seq: 3 });
    set.apply(VersionEdit { close, ..VersionEdit::default() }).expect("close");
    drop(set);
    let mut set = recover(&kernel).expect("recover");
    assert_eq!(set.state().close, close);
    set.apply(VersionEdit::default()).expect("change");
    assert_eq!(load_from(&kernel).expect("load").expect("db").state.close, None);
}

#[test]
fn a_large_base_spans_several_edits() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let first = set.numbers().next().0;
    set.numbers().reserve_above(FileNum(first + 2000));
    let tables_added = (0..2000)
        .map(|i| (KS, 1, table(first + i, &format!("{i:06}"), &format!("{i:06}x"), 1).into()))
        .collect();
    set.apply(VersionEdit { tables_added, ..VersionEdit::default() }).expect("apply");
    assert_eq!(set.state().to_base().len(), 4);
    let mut again = ManifestState::default();
    for edit in set.state().to_base() {
        again.apply(&edit).expect("a base applies");
    }
    assert_eq!(&again, set.state());
    let version = set.version(KS);
    assert_eq!(version.overlapping(1, Some(b"000100"), Some(b"000102")).len(), 3);
    assert_eq!(version.overlapping(1, None, Some(b"000002")).len(), 3);
    assert_eq!(version.overlapping(1, Some(b"001998"), None).len(), 2);
    assert!(version.find(1, b"000100y").is_none() && version.find(1, b"000100").is_some());
    assert!(!version.is_bottom(0, Some(b"000100"), Some(b"000100")));
    assert!(version.is_bottom(0, Some(b"000100y"), Some(b"000100z")));
    assert!(version.is_bottom(1, None, None) && !version.is_bottom(0, None, None));
    assert_eq!((version.deepest(), Version::empty(3, Order::Bytewise).deepest()), (1, 0));
}

#[test]
fn a_manifest_that_has_grown_is_replaced() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let first = set.manifest_number().unwrap();
    let key = vec![b'k'; 40_000];
    let mut rotations = 0;
    let mut number = first;
    for i in 0..80 {
        set.note_seq(i);
        let cursors = vec![(KS, 1, key.clone().into())];
        set.apply(VersionEdit { cursors, ..VersionEdit::default() }).expect("apply");
        rotations += u64::from(set.manifest_number().unwrap() != number);
        number = set.manifest_number().unwrap();
        let size = kernel.read_file(PATH, &FileKind::Manifest(number).name()).unwrap().len();
        assert!(size < (1 << 20) + (200 << 10), "{size}");
    }
    assert_eq!(rotations, 2);
    assert_eq!(manifests(&kernel).len(), 1);
    assert_eq!(&load_from(&kernel).expect("load").expect("db").state, set.state());
}
