//! A copy of an open database in a directory of its own: the tables linked or copied, a manifest, no log.
//!
//! Invariants
//! 1. The copy is a state that the database had: every write up to the last one in tables, no other, and every
//!    write that returned before the call is in tables by then.
//! 2. The manifest comes last, when everything it names is durable: interrupted before that, the directory does not
//!    open. It bears an id of its own, so that no log of the one is taken for the other's.
//! 3. The tables of the version that is copied are held until the end: nobody removes their files.
//! 4. What was made is taken away again after an error; a directory that was there stays, empty.

use crate::db::core::DbCore;
use crate::env::api::Dir;
use crate::env::path::{FileKind, LOCK_NAME};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::sync::Arc;
use crate::table::meta::TableMeta;
use crate::types::FileNum;
use crate::version::levels::Version;
use crate::version::manifest::ManifestWriter;
use crate::version::state::ManifestState;

/// Told the bytes that are done and all there are; false cancels.
pub type Watch<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

/// A checkpoint being made.
struct Making<'a, 'w> {
    source: &'a Dir,
    target: Dir,
    watch: Watch<'w>,
    done: u64,
    total: u64,
    /// Names in the target, in the order in which they were made.
    made: Vec<String>,
}

impl DbCore {
    /// Makes a copy that opens in the directory `path`, which is made if it is not there and must hold
    /// nothing but a LOCK if it is.
    pub fn checkpoint(&self, path: &[u8], watch: Watch<'_>) -> Result<()> {
        self.check_open()?;
        if !self.fs.keeps() {
            let message = "a database in memory has no files to make a checkpoint of";
            return Err(Error::invalid(Area::Argument, message));
        }
        let (target, new) = self.empty_directory(path)?;
        let (source, done, total, made) = (&*self.dir, 0, 0, Vec::new());
        let mut making = Making { source, target, watch, done, total, made };
        let result = self.fill_checkpoint(&mut making);
        if let Err(error) = result {
            let cleared = making.clear().and_then(|()| match new {
                true => self.fs.remove_dir(path).map(drop),
                false => Ok(()),
            });
            return Err(match cleared {
                Ok(()) => error,
                Err(second) => error.context(&format!("(and {second})")),
            });
        }
        Ok(())
    }

    /// Opens or makes the target; whether it was made.
    fn empty_directory(&self, path: &[u8]) -> Result<(Dir, bool)> {
        let mode = self.options.file_mode;
        let (dir, new) = match self.fs.open_dir(path, mode) {
            Err(error) if error.kind() == ErrorKind::Missing => {
                self.fs.make_dir(path, mode | ((mode & 0o444) >> 2))?;
                (self.fs.open_dir(path, mode)?, true)
            }
            found => (found?, false),
        };
        if new {
            return Ok((dir, new));
        }
        // A LOCK alone is what a checkpoint leaves that was killed before its first file.
        if let Some(name) = dir.list()?.iter().find(|name| **name != *LOCK_NAME.as_bytes()) {
            let name = String::from_utf8_lossy(name);
            let message = format!("{} is not empty: it holds {name}", dir.path());
            return Err(Error::new(ErrorKind::Present, Area::Directory, message));
        }
        Ok((dir, new))
    }

    fn fill_checkpoint(&self, making: &mut Making<'_, '_>) -> Result<()> {
        // Whoever opens the directory meanwhile is told that it is in use.
        let _lock = making.target.lock()?;
        making.made.push(FileKind::Lock.name());
        self.flush()?;
        let (mut state, version) = self.picture();
        let tables: Vec<&TableMeta> = version.tables().map(|table| &*table.meta).collect();
        making.total = tables.iter().map(|meta| meta.size).sum();
        making.step(0)?;
        for meta in tables {
            making.bring(meta)?;
        }
        making.target.sync()?;
        self.give_identity(&mut state);
        let number = FileNum(state.next_file);
        state.next_file = state.next_file.saturating_add(1);
        making.made.push(FileKind::Manifest(number).name());
        let created = ManifestWriter::create(&self.fs, &making.target, number, &state, 0);
        created.map_err(|failure| failure.error)?;
        making.target.sync_parent()
    }

    /// What the manifest says at one moment, and the tables it names, held.
    fn picture(&self) -> (ManifestState, Arc<Version>) {
        let set = self.manifest.lock();
        (set.state().clone(), set.version(self.keyspace.id))
    }

    /// Makes the state that of another database, which has no logs yet.
    fn give_identity(&self, state: &mut ManifestState) {
        state.db_id = self.fs.random_id();
        state.created = self.fs.unix_seconds();
        state.logs.clear();
        state.voided.clear();
        state.log_durable.clear();
        state.close = None;
        // Sequence numbers of writes that are in no table are not this database's.
        let flushed = state.keyspaces.values().map(|keyspace| keyspace.flushed).max();
        state.last_seq = flushed
            .unwrap_or(0)
            .max(state.tables().map(|(_, _, meta)| meta.max_seq).max().unwrap_or(0));
    }
}

impl Making<'_, '_> {
    fn step(&mut self, bytes: u64) -> Result<()> {
        self.done = self.done.saturating_add(bytes);
        if (self.watch)(self.done, self.total) {
            return Ok(());
        }
        let message = "the checkpoint was cancelled by its caller";
        Err(Error::new(ErrorKind::Cancelled, Area::Callback, message))
    }

    /// Gives a table a name in the target too, or copies it where that cannot be.
    fn bring(&mut self, meta: &TableMeta) -> Result<()> {
        let name = FileKind::Table(meta.file).name();
        self.made.push(name.clone());
        if self.source.link_into(&self.target, &name)? {
            return self.step(meta.size);
        }
        let from = self.source.open_read(&name, Area::Table)?;
        let to = self.target.create(&name, Area::Table)?;
        from.copy_to(&to, meta.size, &mut |bytes| self.step(bytes))?;
        to.sync_data()
    }

    /// Takes away what was made, the manifest first.
    fn clear(&mut self) -> Result<()> {
        self.made.drain(..).rev().try_for_each(|name| self.target.unlink(&name))
    }
}
