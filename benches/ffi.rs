//! What the C boundary costs: the same work inside Rust and through the shared library, side by side.
//!
//!   ffi LIBRARY DIRECTORY [ROWS]
//!
//! Two copies of one database of ROWS rows (16-byte keys, 100-byte values), one open through each; rounds take
//! turns, and what is shown are medians over them. Fails when a limit is passed: a get through the ABI may cost
//! 10 ns more, a row of a chunked scan 15 ns more, a `multi_get` of 16 no more than 16 gets.
#![allow(unsafe_code, reason = "calls the library as a C program does")]
#![allow(clippy::print_stdout, reason = "a benchmark says what it found")]

use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::api::Fs;
use esker::internals::options::Options;
use std::ffi::{CString, c_char, c_void};
use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::time::Instant;

const ROUNDS: usize = 9;
/// Keys that gets ask for: few enough to stay in the processor's caches, so that the boundary shows.
const HOT: usize = 256;
const GETS: usize = 200_000;
const GROUP: usize = 16;
const CACHE_BYTES: u64 = 1 << 30;

#[repr(C)]
struct Slice {
    data: *const u8,
    size: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Got {
    status: i32,
    reserved: u32,
    offset: u64,
    size: u64,
}

#[repr(C)]
struct Chunk {
    struct_size: u32,
    layout: u32,
    flags: u32,
    reserved: u32,
    max_rows: u64,
    buf: *mut u8,
    cap: usize,
    used: usize,
    rows: u64,
    need: usize,
}

type Handle = *mut c_void;
type OptionsNew = unsafe extern "C" fn(*mut Handle) -> i32;
type OptionsParse = unsafe extern "C" fn(Handle, *const c_char, usize, *mut c_void) -> i32;
type Open = unsafe extern "C" fn(*const c_char, Handle, u32, *mut Handle, *mut c_void) -> i32;
type Get = unsafe extern "C" fn(
    Handle,
    *const c_void,
    *const u8,
    usize,
    *mut u8,
    usize,
    *mut usize,
) -> i32;
type MultiGet = unsafe extern "C" fn(
    Handle,
    *const c_void,
    usize,
    *const Slice,
    *mut u8,
    usize,
    *mut Got,
) -> i32;
type IterNew = unsafe extern "C" fn(Handle, *const c_void, *mut Handle) -> i32;
type IterChunk = unsafe extern "C" fn(Handle, *mut Chunk) -> i32;
type Free = unsafe extern "C" fn(Handle) -> i32;

/// The functions of the library that are measured.
struct Library {
    options_new: OptionsNew,
    options_parse: OptionsParse,
    open: Open,
    get: Get,
    multi_get: MultiGet,
    iter_new: IterNew,
    iter_chunk: IterChunk,
    iter_free: Free,
}

impl Library {
    fn load(path: &str) -> Library {
        let c_path = CString::new(path).expect("a path");
        // SAFETY: a NUL-terminated path; the library stays loaded.
        let library = unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "{path} cannot be loaded");
        macro_rules! symbol {
            ($name:literal, $type:ty) => {{
                // SAFETY: an open library and a NUL-terminated name.
                let address = unsafe { libc::dlsym(library, $name.as_ptr()) };
                assert!(!address.is_null(), "{path} lacks {:?}", $name);
                // SAFETY: the function has this type, says include/esker.h.
                unsafe { std::mem::transmute::<*mut c_void, $type>(address) }
            }};
        }
        Library {
            options_new: symbol!(c"esker_options_new", OptionsNew),
            options_parse: symbol!(c"esker_options_parse", OptionsParse),
            open: symbol!(c"esker_open", Open),
            get: symbol!(c"esker_get", Get),
            multi_get: symbol!(c"esker_multi_get", MultiGet),
            iter_new: symbol!(c"esker_iter_new", IterNew),
            iter_chunk: symbol!(c"esker_iter_chunk", IterChunk),
            iter_free: symbol!(c"esker_iter_free", Free),
        }
    }

    fn open(&self, path: &str) -> Handle {
        let c_path = CString::new(path).expect("a path");
        let text = format!("cache_bytes={CACHE_BYTES}");
        let (mut options, mut db): (Handle, Handle) = (null_mut(), null_mut());
        // SAFETY: handles are written to places of ours, texts are readable for their lengths.
        let status = unsafe {
            assert_eq!((self.options_new)(&raw mut options), 0);
            let parsed =
                (self.options_parse)(options, text.as_ptr().cast(), text.len(), null_mut());
            assert_eq!(parsed, 0);
            (self.open)(c_path.as_ptr(), options, 0, &raw mut db, null_mut())
        };
        assert_eq!(status, 0, "{path} does not open");
        db
    }
}

fn key(n: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(format!("{n:016}").as_bytes());
    key
}

fn options() -> Options {
    Options { cache_bytes: CACHE_BYTES, ..Options::default() }
}

/// Two directories with the same rows.
fn prepare(directory: &str, rows: u64) -> (String, String) {
    let paths = (format!("{directory}/rust"), format!("{directory}/c"));
    #[allow(clippy::needless_update, reason = "flags are added from time to time")]
    let flags = OpenFlags { create: true, exclusive: true, ..OpenFlags::default() };
    let db = Db::open(&Fs::Real, paths.0.as_bytes(), &options(), flags).expect("a fresh directory");
    let mut value = [0u8; 100];
    for n in 0..rows {
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        value.iter_mut().enumerate().for_each(|(i, byte)| *byte = (mixed >> (i % 56)) as u8);
        db.put(&WriteParams::default(), &key(n), &value).expect("written");
    }
    db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
    db.checkpoint(paths.1.as_bytes(), &mut |_, _| true).expect("copied");
    db.close(false).expect("closes");
    paths
}

/// Nanoseconds of each of `n` operations.
fn timed(n: usize, work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64 / n as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Both sides, opened, and what they are asked for.
struct Bench {
    db: Db,
    library: Library,
    handle: Handle,
    keys: Vec<[u8; 16]>,
    rows: usize,
}

impl Bench {
    fn get_in_rust(&self) -> f64 {
        let (params, mut buffer) = (ReadParams::default(), [0u8; 128]);
        timed(GETS, || {
            for i in 0..GETS {
                let found = self.db.get(&params, &self.keys[i % HOT]).expect("read");
                let value = found.expect("every key is there");
                buffer[..value.len()].copy_from_slice(&value);
                black_box(&mut buffer);
            }
        })
    }

    fn get_in_c(&self) -> f64 {
        let (mut buffer, mut size) = ([0u8; 128], 0);
        timed(GETS, || {
            for i in 0..GETS {
                let key = &self.keys[i % HOT];
                // SAFETY: an open database, and memory of ours.
                let status = unsafe {
                    let (out, len) = (buffer.as_mut_ptr(), buffer.len());
                    (self.library.get)(
                        self.handle,
                        null(),
                        key.as_ptr(),
                        key.len(),
                        out,
                        len,
                        &raw mut size,
                    )
                };
                assert_eq!(status, 0);
                black_box(&mut buffer);
            }
        })
    }

    fn multi_get_in_c(&self) -> f64 {
        let slice = |key: &[u8; 16]| Slice { data: key.as_ptr(), size: key.len() };
        let slices: Vec<Slice> = self.keys.iter().map(slice).collect();
        let (mut buffer, mut results) = ([0u8; 128 * GROUP], [Got::default(); GROUP]);
        timed(GETS, || {
            for group in 0..GETS / GROUP {
                let keys = &slices[group * GROUP % HOT..][..GROUP];
                // SAFETY: as above; HOT is a multiple of GROUP.
                let status = unsafe {
                    let (out, len) = (buffer.as_mut_ptr(), buffer.len());
                    let to = results.as_mut_ptr();
                    (self.library.multi_get)(
                        self.handle,
                        null(),
                        GROUP,
                        keys.as_ptr(),
                        out,
                        len,
                        to,
                    )
                };
                assert_eq!((status, results[GROUP - 1].status), (0, 0));
                black_box(&mut buffer);
            }
        })
    }

    fn scan_in_rust(&self) -> f64 {
        timed(self.rows, || {
            let mut iter = self.db.iter(&ReadParams::default()).expect("an iterator");
            let (mut rows, mut more) = (0, iter.first().expect("read"));
            while more {
                black_box((iter.key(), iter.value()));
                rows += 1;
                more = iter.next().expect("read");
            }
            assert_eq!(rows, self.rows);
        })
    }

    fn scan_in_c(&self, layout: u32) -> f64 {
        let mut buffer = vec![0u8; 256 << 10];
        timed(self.rows, || {
            let mut iter: Handle = null_mut();
            let mut chunk = Chunk {
                struct_size: size_of::<Chunk>() as u32,
                layout,
                flags: 0,
                reserved: 0,
                max_rows: 1_024,
                buf: buffer.as_mut_ptr(),
                cap: buffer.len(),
                used: 0,
                rows: 0,
                need: 0,
            };
            let mut rows = 0;
            // SAFETY: as above; the iterator is used by this thread alone and freed once.
            unsafe {
                assert_eq!((self.library.iter_new)(self.handle, null(), &raw mut iter), 0);
                loop {
                    let status = (self.library.iter_chunk)(iter, &raw mut chunk);
                    rows += chunk.rows as usize;
                    if status != 0 {
                        break;
                    }
                }
                assert_eq!((self.library.iter_free)(iter), 0);
            }
            black_box(&mut buffer);
            assert_eq!(rows, self.rows);
        })
    }
}

/// Shows a pair; false when the limit is passed.
fn judge(what: &str, sides: (&str, &str), rounds: &[(f64, f64)], limit: f64) -> bool {
    let first = median(rounds.iter().map(|round| round.0).collect());
    let second = median(rounds.iter().map(|round| round.1).collect());
    let more = median(rounds.iter().map(|round| round.1 - round.0).collect());
    let verdict = if more <= limit { "ok" } else { "TOO MUCH" };
    let (before, after) = sides;
    println!(
        "{what}: {before} {first:.1} ns, {after} {second:.1} ns: {more:+.1} ns, at most {limit:+.0}: {verdict}"
    );
    more <= limit
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [library, directory, rest @ ..] = arguments.as_slice() else {
        panic!("usage: ffi LIBRARY DIRECTORY [ROWS]");
    };
    let rows: u64 = rest.first().map_or(1_000_000, |rows| rows.parse().expect("a number of rows"));
    let paths = prepare(directory, rows);
    let db = Db::open(&Fs::Real, paths.0.as_bytes(), &options(), OpenFlags::default());
    let library = Library::load(library);
    let handle = library.open(&paths.1);
    let mixed = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % rows;
    let keys = (0..HOT as u64).map(|i| key(mixed(i))).collect();
    let bench = Bench { db: db.expect("opens"), library, handle, keys, rows: rows as usize };
    // Warm caches on both sides.
    for warm in [bench.scan_in_rust(), bench.scan_in_c(0), bench.get_in_rust(), bench.get_in_c()] {
        black_box(warm);
    }
    let rounds = |a: &dyn Fn() -> f64, b: &dyn Fn() -> f64| -> Vec<(f64, f64)> {
        // In turns, so that neither side is always the first.
        let both = |round| {
            if round % 2 == 0 {
                (a(), b())
            } else {
                let b = b();
                (a(), b)
            }
        };
        (0..ROUNDS).map(both).collect()
    };
    let (rust, c) = ("in Rust", "through the ABI");
    let gets = rounds(&|| bench.get_in_rust(), &|| bench.get_in_c());
    let packed = rounds(&|| bench.scan_in_rust(), &|| bench.scan_in_c(0));
    let columns = rounds(&|| bench.scan_in_rust(), &|| bench.scan_in_c(1));
    let many = rounds(&|| bench.get_in_c(), &|| bench.multi_get_in_c());
    let all = [
        judge("get", (rust, c), &gets, 10.0),
        judge("row of a scan, packed chunks", (rust, c), &packed, 15.0),
        judge("row of a scan, chunks of columns", (rust, c), &columns, 15.0),
        judge("key of a multi_get of 16", ("one by one", "at once"), &many, 0.0),
    ];
    if all.contains(&false) {
        std::process::exit(1);
    }
}
