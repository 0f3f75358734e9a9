//! Targets over whole directories: opened as a database, read in every way, written to, closed.

use super::fix;
use super::input::{Input, PATH, disk, either, put_at};
use super::records::{number_of, salt_of};
use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::read::ReadParams;
use esker::internals::db::verify::{VerifyLevel, Watch, verify_path};
use esker::internals::db::write::WriteParams;
use esker::internals::env::api::Fs;
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::Result;
use esker::internals::options::{Durability, Options};
use esker::internals::sync::Arc;
use esker::internals::table::meta::TableMeta;
use esker::internals::types::{FileNum, KeyspaceId};
use esker::internals::version::edit::VersionEdit;
use esker::internals::wal::format::CloseMark;
use std::sync::OnceLock;

/// Bits of the mode of both targets.
pub const FIX_LOGS: u8 = 1;
pub const FIX_TABLES: u8 = 2;
pub const FIX_MANIFEST: u8 = 4;
const READ_ONLY: u8 = 8;
const WRITE: u8 = 16;
const TWICE: u8 = 32;
/// Of `mutated`: which of the two databases.
pub const KILLED: u8 = 64;
const EAGER: u8 = 128;

/// Rows of a walk, and edits and changed facts of an input, at most.
const ROWS: usize = 20_000;
const EDITS: usize = 32;
const TWISTS: u32 = 4;

pub type Files = Vec<(String, Vec<u8>)>;

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
        cache_bytes: 1 << 20,
        deterministic: true,
        ..Options::default()
    }
}

/// Mode, number of the first table, lengths of manifest, log and first table; these, and a second table.
pub fn database(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (mode, number) = (input.u8(), u64::from(input.u8()));
    let lengths = [0; 3].map(|_| usize::from(input.u16()));
    let [manifest, log, first] = lengths.map(|len| input.take(len).to_vec());
    let mut files = vec![
        (FileKind::Manifest(number_of(&manifest)).name(), manifest),
        (FileKind::Log(number_of(&log)).name(), log),
    ];
    for (at, table) in [first, input.rest().to_vec()].into_iter().enumerate() {
        if !table.is_empty() {
            files.push((FileKind::Table(FileNum(number + at as u64)).name(), table));
        }
    }
    fixed(&mut files, mode);
    exercise(&disk(&files), mode)
}

/// Makes checksums right, and the manifest name the tables and logs that are there.
fn fixed(files: &mut Files, mode: u8) {
    let (mut tables, mut logs) = (Vec::new(), Vec::new());
    for (name, bytes) in files.iter_mut() {
        match FileKind::parse(name.as_bytes()) {
            Some(FileKind::Table(number)) => {
                if mode & FIX_TABLES != 0 {
                    fix::table(bytes);
                }
                tables.push(fix::meta_of(bytes, number));
            }
            Some(FileKind::Log(number)) => {
                if mode & FIX_LOGS != 0 {
                    *bytes = fix::records(bytes, 0, &mut fix::unchanged);
                }
                logs.push((number, salt_of(bytes)));
            }
            _ => {}
        }
    }
    for (name, bytes) in files.iter_mut() {
        if mode & FIX_MANIFEST != 0 && name.starts_with("MANIFEST") {
            // Without the tables it keeps what it says of them, which may be anything.
            let named = if mode & FIX_TABLES != 0 { &tables[..] } else { &[] };
            *bytes = fix::manifest(bytes, 0, named, &logs);
        }
    }
}

/// Verifies, opens, reads, writes and closes; whether it opened and all of it could be read.
fn exercise(kernel: &Arc<SimKernel>, mode: u8) -> bool {
    let fs = Fs::Sim(kernel.clone());
    let mut options = tiny();
    if mode & EAGER != 0 {
        options.write_buffer = 256;
        options.block_entries = 3;
    }
    let watch = Watch { progress: &mut |_, _| true, report: &mut |_| true };
    let sound = verify_path(&fs, PATH.as_bytes(), &options, VerifyLevel::Full, watch).is_ok();
    let flags = OpenFlags { read_only: mode & READ_ONLY != 0, ..OpenFlags::default() };
    let mut read = false;
    for _ in 0..1 + u32::from(mode & TWICE != 0) {
        let Ok(db) = Db::open(&fs, PATH.as_bytes(), &options, flags) else { return false };
        read = read_all(&db, sound).is_ok();
        if mode & WRITE != 0 {
            either(write(&db));
            either(read_all(&db, false));
        }
        either(db.close(false));
    }
    read
}

/// Both ways through all rows, and some of them by key.
fn read_all(db: &Db, sound: bool) -> Result<usize> {
    let mut keys = Vec::new();
    let mut iter = db.iter(&ReadParams::default())?;
    let (mut forward, mut backward) = (0, 0);
    while forward < ROWS && iter.next()? {
        forward += 1;
        if keys.len() < 24 {
            keys.push(iter.key().to_vec());
        }
    }
    while backward < ROWS && iter.prev()? {
        backward += 1;
    }
    assert!(!sound || forward == backward, "{forward} rows forward, {backward} backward");
    for key in &keys {
        either(db.get(&ReadParams::default(), key));
        either(db.get(&ReadParams::default(), &[key, &b"\0"[..]].concat()));
    }
    assert!(db.stats().level.len() <= 8);
    Ok(forward)
}

fn write(db: &Db) -> Result<()> {
    let params = WriteParams { durability: Some(Durability::Sync), ..WriteParams::default() };
    for n in 0..4u8 {
        db.put(&params, &[b'k', n * 60], &[n; 90])?;
        db.delete(&params, &[b'k', n])?;
    }
    db.flush()?;
    db.compact(None, None, true, &mut |_, _, _| true)?;
    db.put(&params, b"last", b"")?;
    let watch = Watch { progress: &mut |_, _| true, report: &mut |_| true };
    db.verify(VerifyLevel::Full, watch)
}

/// Numbers near the limits of the format.
const NUMBERS: [u64; 12] = [
    0,
    1,
    7,
    300,
    (1 << 32) - 1,
    1 << 32,
    (1 << 48) - 1,
    (1 << 56) - 2,
    (1 << 56) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Changes a fact of edit `which` of a manifest, and makes its checksums right.
fn twist(manifest: &mut Vec<u8>, which: u8, fact: u8, number: u64) {
    let mut at = 0u8;
    *manifest = fix::records(manifest, 0, &mut |_, payload| {
        at = at.wrapping_add(1);
        if at.wrapping_sub(1) != which % 32 {
            return None;
        }
        let mut edit = VersionEdit::decode(payload).ok()?;
        let log = edit.logs_added.last().map_or(FileNum(1), |log| log.0);
        match fact % 16 {
            0 => edit.next_file = Some(number),
            1 => edit.last_seq = Some(number),
            2 => edit.log_floor = Some(FileNum(number)),
            3 => edit.log_durable = Some((log, number)),
            4 => edit.flushed = vec![(KeyspaceId(0), number)],
            5 => edit.logs_voided.push(FileNum(number)),
            6 => edit.logs_added.push((FileNum(number), 1)),
            7 => edit.close = Some(CloseMark { log, length: number, last_seq: 1 }),
            8 => edit.cursors.push((KeyspaceId(0), number as u8 % 8, vec![b'k'; 3].into())),
            9 => edit.keyspaces_dropped.push(KeyspaceId(number as u32)),
            fact => of_table(edit.tables_added.last_mut()?, fact, number),
        }
        edit.encode().ok()
    });
}

fn of_table(table: &mut (KeyspaceId, u8, Arc<TableMeta>), fact: u8, number: u64) {
    let meta = Arc::make_mut(&mut table.2);
    match fact {
        10 => table.1 = number as u8 % 8,
        11 => meta.size = number,
        12 => meta.max_seq = number,
        13 => (meta.entries, meta.deletes) = (number, number / 2),
        14 => meta.oldest_tombstone = number,
        _ => meta.smallest.truncate(number as usize % 8),
    }
}

/// Mode; then per change: file, offset, byte. An odd offset counts from the end. A file of 240 and more stands for a
/// fact of the manifest: the halves of the offset say which edit and which fact, the byte its number.
pub fn mutated(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let mode = input.u8();
    let mut files = valid(mode & KILLED != 0).clone();
    let mut twists = 0;
    for _ in 0..EDITS {
        if input.is_empty() {
            break;
        }
        let (file, offset, byte) = (usize::from(input.u8()), usize::from(input.u16()), input.u8());
        if file >= 240 {
            twists += 1;
            if twists > TWISTS {
                continue;
            }
            let manifest = files.iter_mut().find(|(name, _)| name.starts_with("MANIFEST"));
            let number = NUMBERS[usize::from(byte) % NUMBERS.len()];
            let manifest = &mut manifest.expect("every database has one").1;
            twist(manifest, (offset >> 8) as u8, offset as u8, number);
            continue;
        }
        let at = file % files.len();
        let bytes = &mut files[at].1;
        let len = bytes.len();
        let place = if offset % 2 == 1 { len.saturating_sub(offset / 2) } else { offset / 2 };
        put_at(bytes, place % len.max(1), &[byte]);
    }
    fixed(&mut files, mode);
    exercise(&disk(&files), mode)
}

/// A small database with tables on several levels and rows in its log: closed, or killed while it was open.
pub fn valid(killed: bool) -> &'static Files {
    static VALID: OnceLock<[Files; 2]> = OnceLock::new();
    &VALID.get_or_init(|| [made(false, 60, &|_| ()), made(true, 60, &|_| ())])[usize::from(killed)]
}

/// A closed database with so many tables, and rows in its log.
pub fn smallest(tables: u32) -> Files {
    made(false, tables * 2, &|db| db.flush().expect("flushes"))
}

fn made(killed: bool, rows: u32, after: &dyn Fn(&Db)) -> Files {
    let kernel = SimKernel::new(7);
    let options = if rows < 10 { calm() } else { tiny() };
    let flags = OpenFlags { create: true, ..OpenFlags::default() };
    let db = Db::open(&Fs::Sim(kernel.clone()), PATH.as_bytes(), &options, flags).expect("opens");
    let durability = Some(if killed { Durability::Sync } else { Durability::Buffered });
    let params = WriteParams { durability, ..WriteParams::default() };
    for n in 0..rows {
        let key = format!("key{:03}", n * 37 % 50);
        match n % 7 {
            3 => db.delete(&params, key.as_bytes()).expect("deleted"),
            _ => db.put(&params, key.as_bytes(), &[b'v'; 30]).expect("written"),
        };
        if n % 2 == 1 {
            after(&db);
        }
    }
    db.put(&params, b"key in the log", b"v").expect("written");
    let image = match killed {
        true => {
            let image = kernel.crash(CrashPolicy::Kill, 1);
            // A dead process does nothing more, so its drop must not close cleanly.
            kernel.freeze_after(0);
            image
        }
        false => {
            db.close(false).expect("closes");
            kernel
        }
    };
    let mut files = image.files(PATH);
    files.retain(|(name, _)| name != "LOCK");
    for (name, bytes) in &mut files {
        // Files are allocated ahead. What follows the content is zeros, and looking at them is all the time there is.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used.next_multiple_of(8) + if killed { 64 } else { 0 });
        if name.ends_with(".wal") {
            fix::any_length(bytes);
        }
    }
    files
}

/// Nothing is compacted.
fn calm() -> Options {
    Options { compaction_auto: false, ..tiny() }
}
