//! What readers look at: memtables and a version, swapped whole.
//!
//! Invariants
//! 1. Readers take no lock: they load the state, then `visible_seq`, in this order. The other order could
//!    miss a key: a flush after the sequence was read may drop the version that sequence sees.
//! 2. On a memtable switch the new state is published before the first write into the new memtable.
//! 3. A state keeps alive every file it names; the last reference frees nothing in a reader, it hands
//!    its parts to the cleanup thread. Where there is none, with the option `deterministic` and after a close, whoever
//!    has the last reference frees them.

use crate::memtable::table::MemTable;
use crate::retire::RetireList;
use crate::sync::{Arc, ArcSwap, Mutex};
use crate::version::levels::Version;

/// One consistent picture: the active memtable, the frozen ones (newest first), the tables.
pub struct ReadState {
    pub active: Arc<MemTable>,
    pub frozen: Vec<Arc<MemTable>>,
    pub version: Arc<Version>,
    retire: Arc<RetireList>,
}

impl Drop for ReadState {
    fn drop(&mut self) {
        let frozen = std::mem::take(&mut self.frozen);
        self.retire.push(Box::new((self.active.clone(), frozen, self.version.clone())));
    }
}

/// The current state and the lock under which it is replaced.
pub struct StateCell {
    current: ArcSwap<ReadState>,
    publish: Mutex<()>,
    retire: Arc<RetireList>,
}

impl StateCell {
    pub fn new(
        active: Arc<MemTable>,
        frozen: Vec<Arc<MemTable>>,
        version: Arc<Version>,
        retire: Arc<RetireList>,
    ) -> StateCell {
        let state = ReadState { active, frozen, version, retire: retire.clone() };
        StateCell { current: ArcSwap::from_pointee(state), publish: Mutex::new(()), retire }
    }

    pub fn load(&self) -> Arc<ReadState> {
        self.current.load_full()
    }

    /// Borrows the current state for a short read without counting a reference.
    pub fn with<R>(&self, read: impl FnOnce(&ReadState) -> R) -> R {
        read(&self.current.load())
    }

    /// Puts `active` in front and the former active memtable among the frozen ones.
    pub fn switch_memtable(&self, active: Arc<MemTable>) {
        self.replace(|old| {
            let mut frozen = Vec::with_capacity(old.frozen.len() + 1);
            frozen.push(old.active.clone());
            frozen.extend(old.frozen.iter().cloned());
            (active, frozen, old.version.clone())
        });
    }

    /// Shows `version` and forgets the memtables it has absorbed.
    pub fn install(&self, version: Arc<Version>, flushed: &[Arc<MemTable>]) {
        self.replace(|old| {
            let stays = |m: &&Arc<MemTable>| !flushed.iter().any(|f| Arc::ptr_eq(f, m));
            let frozen = old.frozen.iter().filter(stays).cloned().collect();
            (old.active.clone(), frozen, version)
        });
    }

    fn replace(
        &self,
        next: impl FnOnce(&ReadState) -> (Arc<MemTable>, Vec<Arc<MemTable>>, Arc<Version>),
    ) {
        let _publishing = self.publish.lock();
        let old = self.current.load_full();
        let (active, frozen, version) = next(&old);
        let state = ReadState { active, frozen, version, retire: self.retire.clone() };
        self.current.store(Arc::new(state));
    }
}
