//! Edits alone, and random edits against a model.

use super::*;
use esker::internals::version::edit::DbFacts;

#[test]
fn edits_round_trip_and_every_truncation_or_flip_is_an_error_or_an_edit() {
    let edit = VersionEdit {
        db: Some(DbFacts { format: 1, db_id: [3; 16], created: 99 }),
        next_file: Some(1 << 40),
        last_seq: Some((1 << 56) - 1),
        log_floor: Some(FileNum(4)),
        logs_added: vec![(FileNum(5), 0xdead_beef), (FileNum(6), 0)],
        log_durable: Some((FileNum(5), 640)),
        keyspaces_added: vec![facts(1, "käse"), facts(2, "")],
        keyspaces_dropped: vec![KeyspaceId(u32::MAX)],
        tables_added: vec![(KS, 3, table(7, "", "\u{7f}", 9).into())],
        tables_dropped: vec![(KS, 0, FileNum(300))],
        flushed: vec![(KS, 0)],
        cursors: vec![(KS, 2, b"here".to_vec().into()), (KS, 1, Default::default())],
        base_end: true,
        close: Some(CloseMark { log: FileNum(6), length: 88, last_seq: 12 }),
        logs_voided: vec![FileNum(2), FileNum(3)],
    };
    let bytes = edit.encode().unwrap();
    assert_eq!(VersionEdit::decode(&bytes).expect("as written"), edit);
    assert_eq!(VersionEdit::decode(&[]).expect("nothing"), VersionEdit::default());
    for len in 0..bytes.len() {
        if let Ok(shorter) = VersionEdit::decode(&bytes[..len]) {
            assert_ne!(shorter, edit, "{len} bytes say what all of them say");
        }
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(read) = VersionEdit::decode(&damaged) {
                let again =
                    VersionEdit::decode(&read.encode().unwrap()).expect("what encode wrote");
                assert_eq!(again, read, "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn ids_of_fields_are_what_they_were_in_every_release() {
    let none = VersionEdit::default;
    let db = Some(DbFacts { format: 1, db_id: [3; 16], created: 99 });
    let close = Some(CloseMark { log: FileNum(6), length: 88, last_seq: 12 });
    let table = table(7, "a", "b", 9).into();
    // 15 to 17 are kept for a later version; only the cursor is advisory.
    let fields = [
        (1, VersionEdit { db, ..none() }),
        (2, VersionEdit { next_file: Some(1), ..none() }),
        (3, VersionEdit { last_seq: Some(1), ..none() }),
        (4, VersionEdit { log_floor: Some(FileNum(1)), ..none() }),
        (5, VersionEdit { logs_added: vec![(FileNum(1), 1)], ..none() }),
        (6, VersionEdit { log_durable: Some((FileNum(1), 1)), ..none() }),
        (7, VersionEdit { keyspaces_added: vec![facts(1, "a")], ..none() }),
        (8, VersionEdit { keyspaces_dropped: vec![KS], ..none() }),
        (9, VersionEdit { tables_added: vec![(KS, 0, table)], ..none() }),
        (10, VersionEdit { tables_dropped: vec![(KS, 0, FileNum(1))], ..none() }),
        (11, VersionEdit { flushed: vec![(KS, 1)], ..none() }),
        (12, VersionEdit { cursors: vec![(KS, 1, b"k".to_vec().into())], ..none() }),
        (13, VersionEdit { base_end: true, ..none() }),
        (14, VersionEdit { close, ..none() }),
        (18, VersionEdit { logs_voided: vec![FileNum(1)], ..none() }),
    ];
    for (id, edit) in fields {
        let must_understand = u8::from(id != 12);
        assert_eq!(edit.encode().unwrap()[0], id << 1 | must_understand, "{edit:?}");
    }
    let numbers = |edit: VersionEdit| edit.encode().unwrap();
    let drop_keyspace = VersionEdit { keyspaces_dropped: vec![KeyspaceId(5)], ..none() };
    assert_eq!(numbers(drop_keyspace), [17, 1, 5]);
    let drop_table = VersionEdit { tables_dropped: vec![(KeyspaceId(5), 2, FileNum(9))], ..none() };
    assert_eq!(numbers(drop_table), [21, 9, 3, 1, 5, 5, 1, 2, 7, 1, 9]);
    let close = VersionEdit { close, ..none() };
    assert_eq!(numbers(close), [29, 9, 3, 1, 6, 5, 1, 88, 7, 1, 12]);
}

#[test]
fn a_sub_field_that_comes_twice_is_damage_and_its_place_is_told() {
    // A sequence number in front; then a log that is added: its number, its number again, its salt.
    let edit = [7, 1, 4, 11, 9, 3, 1, 5, 3, 1, 5, 5, 1, 8];
    let error = VersionEdit::decode(&edit).expect_err("twice");
    assert_eq!((error.kind(), error.detail().offset), (ErrorKind::Corrupt, 3), "{error}");
    let once = [7, 1, 4, 11, 6, 3, 1, 5, 5, 1, 8];
    let read = VersionEdit::decode(&once).expect("a legal edit");
    assert_eq!((read.last_seq, read.logs_added), (Some(4), vec![(FileNum(5), 8)]));
}

#[test]
fn random_bytes_never_panic_the_decoder() {
    let mut random = Random(0x5eed_0001);
    for _ in 0..20_000 {
        let len = random.below(64) as usize;
        let bytes: Vec<u8> = (0..len).map(|_| (random.next() >> 20) as u8 % 40).collect();
        match VersionEdit::decode(&bytes) {
            Ok(edit) => {
                assert_eq!(VersionEdit::decode(&edit.encode().unwrap()).expect("valid"), edit)
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Format), "{error}");
            }
        }
    }
}

/// What random edits should amount to, kept as simply as possible.
struct Model {
    random: Random,
    tables: Vec<(u8, TableMeta)>,
    logs: Vec<FileNum>,
    seq: u64,
}

impl Model {
    /// A random legal edit; every table of a level has a slot of the key space of its own.
    fn edit(&mut self, set: &VersionSet) -> VersionEdit {
        let mut edit = VersionEdit::default();
        self.seq += 1 + self.random.below(5);
        match self.random.below(5) {
            0 => {
                let log = set.numbers().next();
                edit.logs_added = vec![(log, self.random.next() as u32)];
                self.logs.push(log);
            }
            1 if self.logs.len() > 1 => {
                self.logs.remove(0);
                edit.log_floor = Some(self.logs[0]);
            }
            2 if !self.tables.is_empty() => {
                let at = self.random.below(self.tables.len() as u64) as usize;
                let (level, meta) = self.tables.remove(at);
                edit.tables_dropped = vec![(KS, level, meta.file)];
                if level + 1 < LEVELS as u8 {
                    edit.tables_added = vec![(KS, level + 1, meta.clone().into())];
                    self.tables.push((level + 1, meta));
                }
                edit.cursors = vec![(KS, level, b"cursor".to_vec().into())];
            }
            _ => {
                let number = set.numbers().next().0;
                let key = format!("{number:06}");
                let meta = table(number, &key, &key, self.seq);
                edit.tables_added = vec![(KS, 0, meta.clone().into())];
                edit.flushed = vec![(KS, self.seq)];
                self.tables.push((0, meta));
            }
        }
        edit
    }

    fn check(&self, set: &VersionSet) {
        let mut want: Vec<(u8, u64)> = self.tables.iter().map(|(l, m)| (*l, m.file.0)).collect();
        let version = set.version(KS);
        let mut got: Vec<(u8, u64)> = (0..LEVELS)
            .flat_map(|n| version.level(n).iter().map(move |t| (n as u8, t.meta.file.0)))
            .collect();
        want.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, want);
        for n in 0..LEVELS {
            let bytes: u64 = version.level(n).iter().map(|table| table.meta.size).sum();
            assert_eq!(version.level_bytes(n), bytes);
            for (level, meta) in &self.tables {
                let found = (n > 0).then(|| version.find(n, &meta.smallest)).flatten();
                let there = found.is_some_and(|t| t.meta.file == meta.file);
                assert_eq!(there, usize::from(*level) == n && n > 0);
            }
        }
        let level_0 = version.level(0).windows(2);
        assert!(level_0.into_iter().all(|p| p[0].meta.max_seq >= p[1].meta.max_seq));
        let logs: Vec<FileNum> = set.state().logs.keys().copied().collect();
        assert_eq!(logs, self.logs);
    }
}

#[test]
fn random_edits_agree_with_a_model_across_reopens() {
    for seed in 1..6 {
        let kernel = kernel();
        let mut set = create(&kernel).expect("create");
        let random = Random(seed);
        let mut model = Model { random, tables: Vec::new(), logs: Vec::new(), seq: 0 };
        for _ in 0..200 {
            let edit = model.edit(&set);
            for (_, _, meta) in edit.tables_added.iter().filter(|t| t.1 == 0) {
                make_table_file(&kernel, meta).expect("table file");
            }
            set.apply(edit).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            model.check(&set);
            let mut again = ManifestState::default();
            for edit in set.state().to_base() {
                again.apply(&edit).expect("a base applies");
            }
            assert_eq!(&again, set.state(), "seed {seed}");
            if model.random.below(20) == 0 {
                let state = set.state().clone();
                drop(set);
                set = recover(&kernel).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                assert_eq!(set.state(), &state, "seed {seed}");
                model.check(&set);
            }
        }
    }
}
