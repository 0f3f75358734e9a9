//! Failing calls, the freeze and the full disk.

use super::{create, create_synced, kernel_with_db};
use esker::internals::env::api::{Dir, File, Fs};
use esker::internals::env::sim::{CallKind, CrashPolicy, Fault, SimKernel};
use esker::internals::error::{Area, ErrorKind, Result};
use esker::internals::sync::Arc;

/// Makes one call of the kind through the api.
fn make_call(fs: &Fs, dir: &Dir, file: &File, call: CallKind) -> Result<()> {
    match call {
        CallKind::Pwrite => file.write_all_at(b"abcdefgh", 0),
        CallKind::Pread => file.read_at(&mut [0; 8], 0).map(|_| ()),
        CallKind::Fdatasync => file.sync_data(),
        CallKind::Fsync => dir.sync(),
        CallKind::Open => fs.open_dir(b"/db", 0o600).map(|_| ()),
        CallKind::Create => {
            dir.unlink("new")?;
            dir.create("new", Area::Table).map(|_| ())
        }
        CallKind::Rename => dir.rename("a", "a"),
        CallKind::Unlink => dir.unlink("none"),
        CallKind::Truncate => file.truncate(8),
        CallKind::Fallocate => file.allocate(8),
        CallKind::List => dir.list().map(|_| ()),
        // Without a file LOCK it is the directory alone that is locked.
        CallKind::Lock => dir.lock_shared().map(|_| ()),
        CallKind::Stat => dir.stat("a").map(|_| ()),
        CallKind::Mkdir => fs.make_dir(b"/db/sub", 0o700),
        CallKind::Rmdir => fs.remove_dir(b"/db/none").map(|_| ()),
    }
}

fn world() -> (Arc<SimKernel>, Fs, Dir, File) {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "a", b"12345678");
    (Arc::clone(&kernel), Fs::Sim(kernel), dir, file)
}

#[test]
fn fault_fires_at_the_nth_call_of_its_kind_and_once() {
    for call in CallKind::ALL {
        let (kernel, fs, dir, file) = world();
        make_call(&fs, &dir, &file, call).unwrap();
        kernel.set_fault(Fault { call, nth: 3, errno: libc::EIO, forever: false, short: false });
        for n in 1..=5 {
            let outcome = make_call(&fs, &dir, &file, call).map_err(|e| e.detail().os_errno);
            let expected = if n == 3 { Err(libc::EIO) } else { Ok(()) };
            assert_eq!(outcome, expected, "{call:?} call {n}");
        }
        assert_eq!(kernel.faults_fired(), 1, "{call:?}");
    }
}

#[test]
fn lasting_fault_fails_until_cleared() {
    for call in CallKind::ALL {
        let (kernel, fs, dir, file) = world();
        kernel.set_fault(Fault { call, nth: 2, errno: libc::EMFILE, forever: true, short: false });
        make_call(&fs, &dir, &file, call).unwrap();
        for _ in 0..4 {
            let error = make_call(&fs, &dir, &file, call).unwrap_err();
            assert_eq!(error.detail().os_errno, libc::EMFILE, "{call:?}");
        }
        kernel.clear_faults();
        make_call(&fs, &dir, &file, call).unwrap();
    }
}

#[test]
fn failed_call_changes_nothing() {
    for call in CallKind::ALL {
        let (kernel, fs, dir, file) = world();
        let before = kernel.directory_hash("/db");
        let names = dir.list().unwrap();
        kernel.set_fault(Fault { call, nth: 1, errno: libc::EIO, forever: true, short: false });
        make_call(&fs, &dir, &file, call).unwrap_err();
        kernel.clear_faults();
        assert_eq!(kernel.directory_hash("/db"), before, "{call:?}");
        assert_eq!(dir.list().unwrap(), names, "{call:?}");
    }
}

#[test]
fn faults_add_up() {
    let (kernel, _fs, _dir, file) = world();
    let call = CallKind::Pwrite;
    kernel.set_fault(Fault { call, nth: 1, errno: libc::EIO, forever: false, short: false });
    kernel.set_fault(Fault { call, nth: 2, errno: libc::ENOSPC, forever: false, short: false });
    let errno = || file.write_all_at(b"x", 0).map_err(|e| e.detail().os_errno);
    assert_eq!([errno(), errno(), errno()], [Err(libc::EIO), Err(libc::ENOSPC), Ok(())]);
}

#[test]
fn short_write_leaves_half_and_then_fails() {
    let (kernel, _fs, dir, _) = world();
    let file = create(&dir, "log");
    let call = CallKind::Pwrite;
    kernel.set_fault(Fault { call, nth: 2, errno: libc::ENOSPC, forever: false, short: true });
    file.write_all_at(b"before", 0).unwrap();
    let error = file.write_all_at(b"abcdefgh", 6).unwrap_err();
    assert_eq!((error.kind(), error.detail().offset), (ErrorKind::NoSpace, 10));
    assert_eq!(kernel.read_file("/db", "log").unwrap(), b"beforeabcd");
    file.write_all_at(b"after", 10).unwrap();
    assert_eq!(kernel.faults_fired(), 2);
}

#[test]
fn short_transfers_without_an_error_are_completed_by_the_caller() {
    let (kernel, _fs, _dir, file) = world();
    for call in [CallKind::Pwrite, CallKind::Pread] {
        kernel.set_fault(Fault { call, nth: 1, errno: 0, forever: true, short: true });
    }
    file.write_all_at(b"ABCDEFGH", 0).unwrap();
    let mut buf = [0; 8];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"ABCDEFGH");
    assert_eq!(kernel.count(CallKind::Pwrite), 1 + 4, "8 bytes in steps of 4, 2, 1 and 1");
}

#[test]
fn short_read_fails_at_its_second_half() {
    let (kernel, _fs, _dir, file) = world();
    let call = CallKind::Pread;
    kernel.set_fault(Fault { call, nth: 1, errno: libc::EIO, forever: true, short: true });
    let error = file.read_exact_at(&mut [0; 8], 0).unwrap_err();
    assert_eq!((error.kind(), error.detail().offset), (ErrorKind::Io, 4));
}

#[test]
fn interrupted_calls_are_repeated() {
    for call in CallKind::ALL {
        let (kernel, fs, dir, file) = world();
        kernel.set_fault(Fault { call, nth: 1, errno: libc::EINTR, forever: false, short: false });
        make_call(&fs, &dir, &file, call).unwrap();
        assert_eq!(kernel.faults_fired(), 1, "{call:?}");
    }
}

#[test]
fn allocation_falls_back_to_the_size_where_it_is_not_supported() {
    let (kernel, _fs, dir, _) = world();
    let file = create(&dir, "log");
    let (call, errno) = (CallKind::Fallocate, libc::EOPNOTSUPP);
    kernel.set_fault(Fault { call, nth: 1, errno, forever: true, short: false });
    file.allocate(100).unwrap();
    assert_eq!((file.size().unwrap(), kernel.count(CallKind::Truncate)), (100, 1));
}

/// Three writes, each followed by a sync; says how many were acknowledged.
fn write_and_sync(dir: &Dir) -> u64 {
    let run = || -> Result<u64> {
        let file = dir.create("log", Area::Wal)?;
        dir.sync()?;
        Ok((0..3)
            .take_while(|&i| {
                let written = file.write_all_at(&[i as u8 + 1], i);
                written.and_then(|()| file.sync_data()).is_ok()
            })
            .count() as u64)
    };
    run().unwrap_or(0)
}

#[test]
fn freeze_stops_the_world_at_every_mutating_call() {
    let (kernel, dir) = kernel_with_db(1);
    let before = kernel.calls();
    assert_eq!(write_and_sync(&dir), 3);
    let points = kernel.calls() - before;
    assert_eq!(points, 2 + 3 * 2);
    for point in 0..=points {
        let (kernel, dir) = kernel_with_db(1);
        kernel.freeze_after(point);
        let acknowledged = write_and_sync(&dir);
        assert_eq!(kernel.calls() - before, point);
        assert_eq!(kernel.frozen(), point < points);
        assert_eq!(acknowledged, point.saturating_sub(2) / 2, "point {point}");
        let left = kernel.crash(CrashPolicy::OnlySynced, point).read_file("/db", "log");
        let expected = (point >= 2).then(|| (1..=acknowledged as u8).collect::<Vec<_>>());
        assert_eq!(left, expected, "point {point}");
    }
}

#[test]
fn frozen_kernel_refuses_every_call_and_changes_nothing() {
    let (kernel, fs, dir, file) = world();
    kernel.freeze_after(1);
    file.read_exact_at(&mut [0; 8], 0).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.read_exact_at(&mut [0; 8], 0).unwrap();
    file.truncate(0).unwrap_err();
    let before = kernel.directory_hash("/db");
    for call in CallKind::ALL {
        let error = make_call(&fs, &dir, &file, call).unwrap_err();
        assert_eq!(error.detail().os_errno, libc::EIO, "{call:?}");
    }
    assert_eq!(kernel.directory_hash("/db"), before);
    assert!(kernel.crash(CrashPolicy::OnlySynced, 1).read_file("/db", "a").is_some());
    let image = Fs::Sim(kernel.crash(CrashPolicy::Kill, 1));
    assert!(image.open_dir(b"/db", 0o600).is_ok(), "the next life is not frozen");
}

#[test]
fn who_looks_at_a_disk_or_tampers_with_it_is_neither_counted_nor_stopped() {
    let (kernel, _fs, _dir, file) = world();
    for call in CallKind::ALL {
        kernel.set_fault(Fault { call, nth: 1, errno: libc::EIO, forever: true, short: false });
    }
    kernel.freeze_after(0);
    file.truncate(0).unwrap_err();
    let counted = || {
        let kinds = CallKind::ALL.map(|call| kernel.count(call));
        (kernel.calls(), kernel.calls_before_syncs(), kernel.faults_fired(), kinds)
    };
    let before = counted();
    let empty = kernel.directory_hash("/none");
    let hash = kernel.directory_hash("/db");
    assert_ne!(hash, empty);
    kernel.write_file("/db", "b", b"12");
    kernel.corrupt("/db", "b", 1, 1);
    assert_eq!(kernel.read_file("/db", "b").unwrap(), b"13");
    let shown = [("a".to_owned(), b"12345678".to_vec()), ("b".to_owned(), b"13".to_vec())];
    assert_eq!((kernel.files("/db"), kernel.used()), (shown.into(), 10));
    assert_ne!(kernel.directory_hash("/db"), hash);
    assert!(kernel.remove_file("/db", "b"));
    assert_eq!((kernel.read_file("/db", "b"), kernel.directory_hash("/db")), (None, hash));
    kernel.sync_all();
    assert!(kernel.frozen() && counted() == before);
}

#[test]
fn full_disk_refuses_growth_until_something_is_removed() {
    let (kernel, _fs, dir, file) = world();
    kernel.set_capacity(100);
    let log = create(&dir, "log");
    log.write_all_at(&[1; 92], 0).unwrap();
    let error = log.write_all_at(&[1; 1], 92).unwrap_err();
    assert_eq!((error.kind(), error.detail().retryable), (ErrorKind::NoSpace, true));
    assert_eq!(log.allocate(200).unwrap_err().kind(), ErrorKind::NoSpace);
    log.write_all_at(&[2; 92], 0).unwrap();
    assert_eq!(log.size().unwrap(), 92);
    dir.unlink("a").unwrap();
    log.write_all_at(&[1; 1], 92).unwrap_err();
    drop(file);
    log.write_all_at(&[1; 8], 92).unwrap();
    assert_eq!(kernel.used(), 100);
}

/// Two jobs make names; the sync of one fails, and with it the kernel forgets those of the other, whose own sync then finds
/// nothing to do. (Found by the campaign "faults".)
#[test]
fn a_failed_sync_of_a_directory_spoils_the_names_of_whoever_was_making_some() {
    let (kernel, _fs, dir, _) = world();
    let failed = dir.failed_syncs();
    drop(create(&dir, "mine"));
    let call = CallKind::Fsync;
    kernel.set_fault(Fault { call, nth: 1, errno: libc::EIO, forever: false, short: false });
    dir.sync().unwrap_err();
    let error = dir.sync_since(failed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    let left = |name| kernel.crash(CrashPolicy::OnlySynced, 1).read_file("/db", name);
    assert_eq!(left("mine"), None, "it would have been believed to be there");
    let failed = dir.failed_syncs();
    drop(create(&dir, "another"));
    dir.sync_since(failed).unwrap();
    assert!(left("another").is_some());
}
