//! The named texts of LevelDB, from esker's numbers.

use std::ffi::CStr;
use std::fmt::Write;

use esker::capi::esker_status::{ESKER_OK, ESKER_TOO_SMALL};
use esker::capi::*;

/// LevelDB has levels 0 to 6.
const LEVELS: usize = 7;

/// The text of a property; None for an unknown name or a database that does not answer.
///
/// # Safety
/// `db` is a database of esker.
pub unsafe fn property(db: *mut esker_db, name: &str) -> Option<String> {
    let name = name.strip_prefix("leveldb.")?;
    if name == "sstables" {
        // SAFETY: the caller's promise.
        return unsafe { tables(db) };
    }
    let mut stats: esker_stats = zeroed();
    stats.struct_size = size_of::<esker_stats>() as u32;
    // SAFETY: the caller's promise, and a struct that is ours.
    if unsafe { esker_db_stats(db, &mut stats) } != ESKER_OK {
        return None;
    }
    match name {
        "stats" => Some(levels(&stats)),
        "approximate-memory-usage" => Some((stats.cache_bytes + stats.memtable_bytes).to_string()),
        _ => {
            let digits = name.strip_prefix("num-files-at-level")?;
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let level: usize = digits.parse().ok().filter(|level| plain && *level < LEVELS)?;
            stats.level.get(level).map(|level| level.tables.to_string())
        }
    }
}

/// LevelDB's table of levels. Esker does not time its compactions, so that column says so.
fn levels(stats: &esker_stats) -> String {
    const MIB: f64 = 1048576.0;
    let mut text = String::from(concat!(
        "                               Compactions\n",
        "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)\n",
        "--------------------------------------------------\n",
    ));
    for (number, level) in stats.level.iter().enumerate() {
        if level.tables > 0 || level.compactions > 0 {
            let [size, read, written] =
                [level.bytes, level.read_bytes, level.written_bytes].map(|b| b as f64 / MIB);
            let (files, time) = (level.tables, "-");
            // Writing to a String cannot fail.
            if writeln!(text, "{number:3} {files:8} {size:8.0} {time:>9} {read:8.0} {written:9.0}")
                .is_err()
            {
                break;
            }
        }
    }
    text
}

/// Esker's list of tables.
///
/// # Safety
/// `db` is a database of esker.
unsafe fn tables(db: *mut esker_db) -> Option<String> {
    let name: &CStr = c"tables";
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let mut need = 0;
        let (data, cap) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the caller's promise, and a buffer of that size.
        match unsafe { esker_property(db, name.as_ptr(), data, cap, &mut need) } {
            ESKER_OK => {
                buffer.truncate(need);
                return Some(String::from_utf8_lossy(&buffer).into_owned());
            }
            // More tables may come meanwhile.
            ESKER_TOO_SMALL => buffer.resize(need + 1, 0),
            _ => return None,
        }
    }
}
