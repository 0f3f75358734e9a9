//! The queue of writers: one leader at a time, who takes waiting writers into its group.
//!
//! This file only decides who leads and who is in a group; `db/write` does the writing. The shape is
//! LevelDB's writer queue, with the leader's role handed on explicitly.
//!
//! Invariants
//! 1. There is at most one leader; when it ends, also by a panic, the next waiting writer leads.
//! 2. Sequence order is queue order.
//! 3. Every member of a group learns its own result.
//! 4. A group led by a BUFFERED write stops before the first SYNC one; one led by SYNC takes all.

use crate::error::{Area, Error, ErrorKind, Result};
use crate::options::Durability;
use crate::sync::{Arc, Condvar, Mutex};
use crate::types::SeqNo;
use std::collections::VecDeque;
use std::time::Instant;

/// How long a write may wait for background work.
#[derive(Clone, Copy, Default)]
pub struct Patience {
    /// Not at all.
    pub no_stall: bool,
    /// Until then.
    pub deadline: Option<Instant>,
}

enum Stage {
    Waiting,
    Taken,
    Leads,
    Done(Result<SeqNo>),
}

/// A write that waits for its leader. Its bytes are a copy: the leader reads them in another thread.
pub struct Waiter {
    pub bytes: Vec<u8>,
    pub count: u32,
    pub durability: Durability,
    patience: Patience,
    // Only touched under the queue's lock.
    stage: Mutex<Stage>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    led: bool,
    stalled: bool,
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Default)]
pub struct CommitQueue {
    queue: Mutex<Queue>,
}

/// What became of a writer that joined.
pub enum Role<'q> {
    Leader(Leadership<'q>),
    Done(Result<SeqNo>),
}

/// The right and duty to write a group. Dropping it without `finish` (a panic) fails the group.
pub struct Leadership<'q> {
    queue: &'q CommitQueue,
    members: Vec<Arc<Waiter>>,
    finished: bool,
}

fn needs_sync(durability: Durability) -> bool {
    matches!(durability, Durability::Group | Durability::Sync)
}

fn timed_out() -> Error {
    let message = "the write would have to wait for background work";
    Error::new(ErrorKind::Timeout, Area::Engine, message).retryable()
}

impl CommitQueue {
    /// Joins the queue; returns when this writer leads or its write is done.
    pub fn join(
        &self,
        bytes: &[u8],
        count: u32,
        durability: Durability,
        patience: Patience,
    ) -> Role<'_> {
        let mut queue = self.queue.lock();
        if !queue.led {
            queue.led = true;
            return Role::Leader(self.leadership());
        }
        if queue.stalled && patience.no_stall {
            return Role::Done(Err(timed_out()));
        }
        let waiter = Arc::new(Waiter {
            bytes: bytes.to_vec(),
            count,
            durability,
            patience,
            stage: Mutex::new(Stage::Waiting),
            wake: Condvar::new(),
        });
        queue.waiting.push_back(waiter.clone());
        loop {
            let overdue = match patience.deadline {
                Some(deadline) => waiter.wake.wait_until(&mut queue, deadline).timed_out(),
                None => {
                    waiter.wake.wait(&mut queue);
                    false
                }
            };
            let mut stage = waiter.stage.lock();
            match &*stage {
                Stage::Leads => return Role::Leader(self.leadership()),
                Stage::Done(result) => return Role::Done(result.clone()),
                // Once taken the write is under way and its result must be awaited.
                Stage::Taken => {}
                Stage::Waiting if overdue => {
                    *stage = Stage::Taken;
                    queue.waiting.retain(|w| !Arc::ptr_eq(w, &waiter));
                    return Role::Done(Err(timed_out()));
                }
                Stage::Waiting => {}
            }
        }
    }

    fn leadership(&self) -> Leadership<'_> {
        Leadership { queue: self, members: Vec::new(), finished: false }
    }

    /// Whether a writer waits behind the leader.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().waiting.is_empty()
    }

    /// Says that the leader waits for background work (or no longer does); writers that must not wait
    /// leave the queue.
    pub fn set_stalled(&self, stalled: bool) {
        let mut queue = self.queue.lock();
        queue.stalled = stalled;
        if stalled {
            let (leaving, staying) =
                queue.waiting.drain(..).partition(|waiter: &Arc<Waiter>| waiter.patience.no_stall);
            queue.waiting = staying;
            let leaving: VecDeque<Arc<Waiter>> = leaving;
            for waiter in leaving {
                settle(&waiter, Stage::Done(Err(timed_out())));
            }
        }
    }
}

fn settle(waiter: &Waiter, stage: Stage) {
    *waiter.stage.lock() = stage;
    waiter.wake.notify_one();
}

impl Leadership<'_> {
    /// Takes waiting writers into the group, oldest first, up to `bytes_max` bytes and 128 members.
    pub fn gather(&mut self, own: Durability, bytes_max: usize) -> &[Arc<Waiter>] {
        let mut queue = self.queue.queue.lock();
        let mut bytes = 0usize;
        while let Some(next) = queue.waiting.front() {
            bytes = bytes.saturating_add(next.bytes.len());
            let would_sync = needs_sync(next.durability) && !needs_sync(own);
            if would_sync || bytes > bytes_max || self.members.len() == 127 {
                break;
            }
            *next.stage.lock() = Stage::Taken;
            self.members.extend(queue.waiting.pop_front());
        }
        &self.members
    }

    pub fn members(&self) -> &[Arc<Waiter>] {
        &self.members
    }

    /// Ends the leadership: `result` gives each member (by its place) its outcome.
    pub fn finish(mut self, result: impl Fn(usize) -> Result<SeqNo>) {
        self.end(result);
    }

    fn end(&mut self, result: impl Fn(usize) -> Result<SeqNo>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let mut queue = self.queue.queue.lock();
        for (place, member) in self.members.iter().enumerate() {
            settle(member, Stage::Done(result(place)));
        }
        queue.stalled = false;
        match queue.waiting.pop_front() {
            Some(next) => settle(&next, Stage::Leads),
            None => queue.led = false,
        }
    }
}

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        let message = "the writer that led this group panicked";
        self.end(|_| Err(Error::new(ErrorKind::Panic, Area::Engine, message)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn join_behind(
        queue: &Arc<CommitQueue>,
        durability: Durability,
    ) -> thread::JoinHandle<Result<SeqNo>> {
        let before = queue.queue.lock().waiting.len();
        let other = queue.clone();
        let handle =
            thread::spawn(move || match other.join(b"x", 1, durability, Patience::default()) {
                Role::Leader(leader) => {
                    leader.finish(|_| Ok(0));
                    Ok(0)
                }
                Role::Done(result) => result,
            });
        while queue.queue.lock().waiting.len() == before {
            thread::yield_now();
        }
        handle
    }

    fn lead(queue: &CommitQueue) -> Leadership<'_> {
        match queue.join(b"me", 1, Durability::Buffered, Patience::default()) {
            Role::Leader(leader) => leader,
            Role::Done(_) => panic!("the queue was free"),
        }
    }

    #[test]
    fn members_learn_their_own_result_and_the_next_leads() {
        let queue = Arc::new(CommitQueue::default());
        let mut leader = lead(&queue);
        let a = join_behind(&queue, Durability::Buffered);
        let b = join_behind(&queue, Durability::Buffered);
        let c = join_behind(&queue, Durability::Sync);
        // The SYNC write is not taken by a BUFFERED leader: it leads after it.
        assert_eq!(leader.gather(Durability::Buffered, 1 << 20).len(), 2);
        leader.finish(|place| Ok(10 + place as u64));
        let results = [a, b, c].map(|t| t.join().expect("no panic").expect("written"));
        assert_eq!(results, [10, 11, 0]);
        assert!(!queue.queue.lock().led);
    }

    #[test]
    fn a_panicking_leader_fails_its_group_and_frees_the_queue() {
        let queue = Arc::new(CommitQueue::default());
        let mut leader = lead(&queue);
        let a = join_behind(&queue, Durability::Buffered);
        assert_eq!(leader.gather(Durability::Buffered, 1 << 20).len(), 1);
        drop(leader);
        let error = a.join().expect("no panic").expect_err("failed");
        assert_eq!(error.kind(), ErrorKind::Panic);
        lead(&queue).finish(|_| Ok(0));
    }

    #[test]
    fn a_write_that_must_not_wait_leaves_when_the_leader_stalls() {
        let queue = Arc::new(CommitQueue::default());
        let leader = lead(&queue);
        queue.set_stalled(true);
        let patience = Patience { no_stall: true, deadline: None };
        match queue.join(b"x", 1, Durability::Buffered, patience) {
            Role::Done(Err(error)) => assert_eq!(error.kind(), ErrorKind::Timeout),
            _ => panic!("must not wait"),
        }
        leader.finish(|_| Ok(0));
    }
}
