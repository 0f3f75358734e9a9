//! The current versions of a database and the one way to change them.
//!
//! `apply` makes an edit durable, then visible. A process never appends to a manifest it found: its first
//! change writes a new one whose base is the recovered state with that change in it, later changes are
//! appended, and a manifest that has grown is replaced. When an append or a sync fails, the file is
//! abandoned for a new manifest that includes the edit; when that fails too, nobody can say what a crash
//! would show, so the set is failed until the database is opened again (docs/DURABILITY.md).
//!
//! The set lives under the manifest lock of its owner: every method is called with that lock held.
//!
//! Invariants
//! 1. `state` and the versions change only after the edit that changes them is durable.
//! 2. An edit whose `apply` returned an error is not visible, and unless the set has failed it is not in
//!    any manifest either.
//! 3. Until `changed`, nothing that this process read from the manifest is known to be durable: no file
//!    may be removed on its word.
//! 4. File numbers only rise; every manifest says a `next_file` above every number given out before it.

use crate::env::api::{Dir, Fs};
use crate::env::call::FileType;
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::order::Order;
use crate::retire::RetireList;
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::table::handle::TableHandle;
use crate::table::meta::TableMeta;
use crate::types::{FileNum, KeyspaceId, SeqNo};
use crate::version::edit::{KeyspaceFacts, VersionEdit};
use crate::version::levels::Version;
use crate::version::manifest::{CreateError, Loaded, ManifestWriter};
use crate::version::state::{FILE_NUMBER_MAX, ManifestState};
use std::collections::{BTreeMap, BTreeSet};

/// A manifest is replaced when it is larger than this and than `ROTATE_RATIO` bases.
const ROTATE_BYTES_MIN: u64 = 1 << 20;
const ROTATE_RATIO: u64 = 5;

/// The one counter of file numbers; shared with the jobs that make files.
#[derive(Clone)]
pub struct FileNumbers(Arc<AtomicU64>);

impl FileNumbers {
    /// A counter whose first number is `next`.
    pub fn new(next: u64) -> FileNumbers {
        FileNumbers(Arc::new(AtomicU64::new(next)))
    }

    /// A number that no file has had. It must not be used before a manifest's `next_file` is above it
    /// or its file has been created.
    pub fn next(&self) -> FileNum {
        FileNum(self.0.fetch_add(1, Ordering::Relaxed))
    }

    /// The number `next` will give.
    pub fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Never gives out `number` or a smaller one. Numbers the counter cannot reach are left alone.
    pub fn reserve_above(&self, number: FileNum) {
        if number.0 < FILE_NUMBER_MAX - 1 {
            self.0.fetch_max(number.0 + 1, Ordering::Relaxed);
        }
    }
}

type Versions = BTreeMap<KeyspaceId, Arc<Version>>;

/// Current versions, the state behind them and the manifest.
pub struct VersionSet {
    fs: Fs,
    dir: Arc<Dir>,
    retire: Arc<RetireList>,
    /// Of the keys of every keyspace.
    order: Order,
    levels: usize,
    state: ManifestState,
    versions: Versions,
    numbers: FileNumbers,
    edit_number: u64,
    /// This process's manifest.
    writer: Option<ManifestWriter>,
    /// The recovered state with what log recovery decided; what the first new manifest starts from.
    recovered: Option<ManifestState>,
    /// Size at which the manifest is replaced.
    rotate_at: u64,
    /// Carried by the next edit.
    noted_seq: SeqNo,
    noted_durable: Option<(FileNum, u64)>,
    /// The manifest this process found.
    found: Option<FileNum>,
    /// Manifests to be removed once a newer one is durable, or that could not be removed.
    stale: Vec<FileKind>,
    /// Logs freed by a durable floor and not yet said to be gone.
    freed: BTreeSet<FileNum>,
    failed: Option<Error>,
}

impl VersionSet {
    /// Makes a new database in `dir`, which has its LOCK and nothing else: MANIFEST-1 with one keyspace, whose
    /// facts name `order`.
    pub fn create(
        fs: Fs,
        dir: Arc<Dir>,
        facts: KeyspaceFacts,
        order: Order,
        levels: usize,
        retire: Arc<RetireList>,
    ) -> Result<VersionSet> {
        let number = FileNum(1);
        let mut state = ManifestState::new(fs.random_id(), fs.unix_seconds(), number.0 + 1);
        state.apply(&VersionEdit { keyspaces_added: vec![facts], ..VersionEdit::default() })?;
        let writer = ManifestWriter::create(&fs, &dir, number, &state, 0).map_err(|e| e.error)?;
        dir.sync_parent()?;
        let mut set = VersionSet::with_state(fs, dir, state, order, levels, retire)?;
        set.adopt(writer);
        Ok(set)
    }

    /// The set as the manifest found by `load` describes it. Looks at no table; the levels must be in `order`, else
    /// `CORRUPT`, or `COMPARATOR` where the order may be to blame.
    pub fn recover(
        fs: Fs,
        dir: Arc<Dir>,
        loaded: Loaded,
        order: Order,
        levels: usize,
        retire: Arc<RetireList>,
    ) -> Result<VersionSet> {
        let mut set = VersionSet::with_state(fs, dir, loaded.state, order, levels, retire)?;
        set.numbers.reserve_above(loaded.number);
        set.edit_number = loaded.edit_number;
        set.found = Some(loaded.number);
        set.stale = loaded.leftovers;
        set.stale.push(FileKind::Manifest(loaded.number));
        for kind in &set.stale {
            set.numbers.reserve_above(kind.number());
        }
        Ok(set)
    }

    fn with_state(
        fs: Fs,
        dir: Arc<Dir>,
        state: ManifestState,
        order: Order,
        levels: usize,
        retire: Arc<RetireList>,
    ) -> Result<VersionSet> {
        let deepest = state.tables().map(|(_, level, _)| usize::from(level)).max().unwrap_or(0);
        let numbers = FileNumbers::new(state.next_file);
        let mut set = VersionSet {
            fs,
            dir,
            retire,
            order,
            levels: levels.max(deepest + 1),
            noted_seq: state.last_seq,
            state: ManifestState::default(),
            versions: Versions::new(),
            numbers,
            edit_number: 0,
            writer: None,
            recovered: None,
            rotate_at: 0,
            noted_durable: None,
            found: None,
            stale: Vec::new(),
            freed: BTreeSet::new(),
            failed: None,
        };
        let all = VersionEdit {
            keyspaces_added: state.keyspaces.values().map(|k| k.facts.clone()).collect(),
            tables_added: state.tables().map(|(id, level, m)| (id, level, Arc::clone(m))).collect(),
            ..VersionEdit::default()
        };
        set.versions = set.next_versions(&all)?;
        set.state = state;
        Ok(set)
    }

    /// Remembers what log recovery decided; it becomes part of the first new manifest, which lists
    /// exactly the `counted` logs and voids the others. `highest_seen` is the largest file number in the
    /// directory, `max_seq` the largest sequence number of any readable record.
    pub fn set_recovery(
        &mut self,
        counted: &[FileNum],
        dropped: &[FileNum],
        highest_seen: FileNum,
        max_seq: SeqNo,
    ) {
        self.numbers.reserve_above(highest_seen);
        self.note_seq(max_seq);
        let mut state = self.state.clone();
        let listed = self.state.logs.keys().copied();
        let others = listed.filter(|log| !counted.contains(log));
        state.voided.extend(others.chain(dropped.iter().copied()));
        for logs in [&mut state.logs, &mut state.log_durable] {
            logs.retain(|log, _| counted.contains(log));
        }
        self.recovered = Some(state);
    }

    /// What the next edit changes.
    fn base(&self) -> &ManifestState {
        self.recovered.as_ref().unwrap_or(&self.state)
    }

    /// What the manifest says.
    pub fn state(&self) -> &ManifestState {
        &self.state
    }

    /// The current picture of a keyspace; one without tables for an id that is not there.
    pub fn version(&self, keyspace: KeyspaceId) -> Arc<Version> {
        let found = self.versions.get(&keyspace).map(Arc::clone);
        found.unwrap_or_else(|| Arc::new(Version::empty(self.levels, self.order.clone())))
    }

    pub fn numbers(&self) -> FileNumbers {
        self.numbers.clone()
    }

    /// Whether this process has a manifest of its own; before that no file may be removed.
    pub fn changed(&self) -> bool {
        self.writer.is_some()
    }

    /// Makes what this process found in the manifest durable: one that was killed may have left the last
    /// edit, or the file's name, in the page cache. Nothing to do once `changed`.
    pub fn settle(&self) -> Result<()> {
        let Some(number) = self.found.filter(|_| !self.changed()) else { return Ok(()) };
        let file = self.dir.open_read(&FileKind::Manifest(number).name(), Area::Manifest)?;
        file.sync_data()?;
        // Its names are older than any sync that this process has tried.
        self.dir.sync_since(0)
    }

    /// Number of the last edit.
    pub fn edit_number(&self) -> u64 {
        self.edit_number
    }

    /// Number of the manifest that counts, as far as this process made it.
    pub fn manifest_number(&self) -> Option<FileNum> {
        self.writer.as_ref().map(ManifestWriter::number)
    }

    /// Why nothing can be changed any more. After a failure the outputs of the refused edit must be left
    /// alone: a crash may show that it counted.
    pub fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// The last sequence number, carried by every later edit.
    pub fn note_seq(&mut self, seq: SeqNo) {
        self.noted_seq = self.noted_seq.max(seq);
    }

    /// How much of the newest log is durable, carried by every later edit.
    pub fn note_durable(&mut self, log: FileNum, offset: u64) {
        self.noted_durable = self.noted_durable.max(Some((log, offset)));
    }

    /// Logs that nobody needs: below the durable floor, or voided. Empty until `changed`.
    pub fn obsolete_logs(&self) -> Vec<FileNum> {
        if !self.changed() {
            return Vec::new();
        }
        self.freed.union(&self.state.voided).copied().collect()
    }

    /// Whether a log found in the directory may be removed.
    #[cfg(any(test, feature = "internals"))]
    pub fn is_obsolete_log(&self, log: FileNum) -> bool {
        self.changed() && (log < self.state.log_floor || self.state.voided.contains(&log))
    }

    /// Forgets an obsolete log. The caller has removed the file and synced the directory since: a voided
    /// log that came back after the manifest has forgotten it would be damage.
    pub fn void_gone(&mut self, log: FileNum) {
        self.freed.remove(&log);
        self.state.voided.remove(&log);
    }

    /// The tables that count.
    pub fn live_tables(&self) -> BTreeSet<FileNum> {
        let mut live = BTreeSet::new();
        live.extend(self.state.tables().map(|(_, _, meta)| meta.file));
        live
    }

    /// Makes an edit durable and then current; fills in the counters it carries. On an error nothing has
    /// changed for this process: `CORRUPT` when the edit contradicts the state, an I/O error when it
    /// could not be written (see `failed`), `POISONED` when an earlier failure has ended all change.
    pub fn apply(&mut self, edit: VersionEdit) -> Result<()> {
        if let Some(first) = &self.failed {
            let message = format!("the manifest cannot be written since: {first}");
            return Err(Error::new(ErrorKind::Poisoned, Area::Manifest, message));
        }
        let edit = self.complete(edit);
        self.base().check(&edit)?;
        let versions = self.next_versions(&edit)?;
        let next = self.persist(&edit)?;
        let listed_before: Vec<FileNum> = self.state.logs.keys().copied().collect();
        match next {
            Some(next) => self.state = next,
            None => self.state.commit(&edit),
        }
        let floor = self.state.log_floor;
        self.freed.extend(listed_before.into_iter().filter(|log| *log < floor));
        let old = std::mem::replace(&mut self.versions, versions);
        self.retire_dropped(&edit, &old);
        self.remove_stale();
        Ok(())
    }

    /// Ends the state of failure by a new manifest that says what was last visible; what the refused edit left in
    /// older ones counts no more. Nothing to do when there was no failure.
    pub fn revive(&mut self) -> Result<()> {
        if self.failed.is_none() {
            return Ok(());
        }
        let edit = self.complete(VersionEdit::default());
        self.state = self.renew(&edit).map_err(|failure| failure.error)?;
        self.failed = None;
        self.remove_stale();
        Ok(())
    }

    /// Fills in what every edit carries.
    fn complete(&self, mut edit: VersionEdit) -> VersionEdit {
        let base = self.base();
        let flushed = edit.flushed.iter().map(|&(_, seq)| seq);
        let tables = edit.tables_added.iter().map(|(_, _, meta)| meta.max_seq.max(meta.global_seq));
        let close = edit.close.iter().map(|close| close.last_seq);
        let seq = flushed.chain(tables).chain(close).chain(edit.last_seq).max();
        edit.last_seq = Some(self.noted_seq.max(seq.unwrap_or(0)).max(base.last_seq));
        edit.next_file = Some(self.numbers.peek().max(edit.next_file.unwrap_or(0)));
        edit.log_durable = edit.log_durable.or(self.noted_durable).filter(|(log, offset)| {
            let listed = base.logs.contains_key(log)
                || edit.logs_added.iter().any(|(added, _)| added == log);
            listed && base.log_durable.get(log).is_none_or(|known| offset >= known)
        });
        edit
    }

    /// The versions after `edit`; the current ones stay as they are.
    fn next_versions(&self, edit: &VersionEdit) -> Result<Versions> {
        let make = |meta: Arc<TableMeta>| TableHandle::new(meta, Some(Arc::clone(&self.retire)));
        let mut next = self.versions.clone();
        for id in &edit.keyspaces_dropped {
            next.remove(id);
        }
        for facts in &edit.keyspaces_added {
            let empty = Version::empty(self.levels, self.order.clone());
            next.insert(facts.id, Arc::new(empty));
        }
        let added = edit.tables_added.iter().map(|t| t.0);
        let mut touched = BTreeSet::new();
        touched.extend(added.chain(edit.tables_dropped.iter().map(|t| t.0)));
        for id in touched {
            if let Some(version) = next.get_mut(&id) {
                *version = Arc::new(version.apply(edit, id, &make)?);
            }
        }
        Ok(next)
    }

    /// Makes the edit durable, in this process's manifest or in a new one. Returns the state after it
    /// when that is more than the edit alone.
    fn persist(&mut self, edit: &VersionEdit) -> Result<Option<ManifestState>> {
        let grown = self.writer.as_ref().is_none_or(|writer| writer.size() > self.rotate_at);
        let mut first_error = None;
        let mut tries = 2;
        if !grown {
            match self.append(edit) {
                None => {}
                Some(Ok(())) => return Ok(None),
                Some(Err(error)) => (first_error, tries) = (Some(error), 1),
            }
        }
        for _ in 0..tries {
            let failure = match self.renew(edit) {
                Ok(next) => return Ok(Some(next)),
                Err(failure) => failure,
            };
            if !failure.renamed && first_error.is_none() {
                // Nothing has been touched: the manifest in use stays the truth and may still grow.
                self.rotate_at = self.rotate_at.saturating_add(ROTATE_BYTES_MIN);
                return match self.append(edit) {
                    Some(Ok(())) => Ok(None),
                    Some(Err(error)) => Err(self.fail(error)),
                    None => Err(failure.error),
                };
            }
            first_error.get_or_insert(failure.error);
        }
        let error = first_error.unwrap_or_else(|| {
            Error::new(ErrorKind::Io, Area::Manifest, "the manifest could not be written")
        });
        Err(self.fail(error))
    }

    /// Appends to this process's manifest; `None` when there is none that can be appended to.
    fn append(&mut self, edit: &VersionEdit) -> Option<Result<()>> {
        let writer = self.writer.as_mut().filter(|writer| writer.is_sound())?;
        let result = writer.append(edit);
        if result.is_ok() {
            self.edit_number = writer.edit_number();
        }
        Some(result)
    }

    /// Writes a new manifest whose base includes the edit.
    fn renew(&mut self, edit: &VersionEdit) -> std::result::Result<ManifestState, CreateError> {
        let number = self.numbers.next();
        let mut edit = edit.clone();
        edit.next_file = Some(self.numbers.peek());
        let mut next = self.base().clone();
        next.commit(&edit);
        let created = ManifestWriter::create(&self.fs, &self.dir, number, &next, self.edit_number);
        match created.and_then(|writer| self.settle_directory().map(|()| writer)) {
            Ok(writer) => {
                self.adopt(writer);
                Ok(next)
            }
            Err(failure) => {
                self.stale.push(FileKind::ManifestTemp(number));
                if failure.renamed {
                    self.stale.push(FileKind::Manifest(number));
                }
                Err(failure)
            }
        }
    }

    /// Makes the directory's own name durable at the first change of a process: one that died while it
    /// made the database may have left that out, and nothing else ever does it.
    fn settle_directory(&self) -> std::result::Result<(), CreateError> {
        if self.changed() {
            return Ok(());
        }
        self.dir.sync_parent().map_err(|error| CreateError { error, renamed: true })
    }

    /// Goes on with a manifest that has just become the truth.
    fn adopt(&mut self, writer: ManifestWriter) {
        self.edit_number = writer.edit_number();
        self.rotate_at = ROTATE_BYTES_MIN.max(writer.base_size().saturating_mul(ROTATE_RATIO));
        self.recovered = None;
        if let Some(old) = self.writer.replace(writer) {
            self.stale.push(FileKind::Manifest(old.number()));
        }
    }

    /// No more changes: what a crash would show is unknown.
    fn fail(&mut self, error: Error) -> Error {
        self.failed.get_or_insert_with(|| error.clone());
        error
    }

    /// Marks the files of tables that left the tree; each is removed when its last reader lets go.
    fn retire_dropped(&self, edit: &VersionEdit, old: &Versions) {
        let gone = |id: &KeyspaceId, file: FileNum| {
            edit.keyspaces_dropped.contains(id)
                || edit.tables_dropped.iter().any(|t| t.0 == *id && t.2 == file)
        };
        let mut kept = BTreeSet::new();
        kept.extend(edit.tables_added.iter().map(|t| t.2.file));
        let touched = |id: &KeyspaceId| {
            edit.keyspaces_dropped.contains(id) || edit.tables_dropped.iter().any(|t| t.0 == *id)
        };
        for (id, version) in old.iter().filter(|(id, _)| touched(id)) {
            let dropped = version.tables().filter(|table| gone(id, table.meta.file));
            for table in dropped.filter(|table| !kept.contains(&table.meta.file)) {
                table.mark_obsolete();
            }
        }
    }

    /// Removes manifests that a newer durable one replaces. One that cannot be removed is tried again
    /// after the next change; it is never read, since the highest number is the truth.
    fn remove_stale(&mut self) {
        if self.changed() {
            let dir = &self.dir;
            self.stale.retain(|kind| dir.unlink(&kind.name()).is_err());
        }
    }
}

/// Refuses a table whose file is not what the manifest says; its bytes are checked when they are read.
pub fn check_table_file(dir: &Dir, meta: &TableMeta) -> Result<()> {
    let name = FileKind::Table(meta.file).name();
    let what = match dir.stat(&name)? {
        None => "is missing".to_owned(),
        Some(stat) if stat.kind != FileType::Regular => "is not a regular file".to_owned(),
        Some(stat) if stat.size != meta.size => {
            format!("has {} bytes, the manifest says {}", stat.size, meta.size)
        }
        Some(_) => return Ok(()),
    };
    let message = format!("table {}/{name} {what}", dir.path());
    Err(Error::corrupt(Area::Table, meta.file.0, 0, message))
}
