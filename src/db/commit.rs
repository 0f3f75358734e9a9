//! The queue of writers: one leader at a time, who takes waiting writers into its group.
//!
//! This file only decides who leads and who is in a group; `db/write` does the writing. The shape is
//! LevelDB's writer queue, with the leader's role handed on explicitly.
//!
//! Invariants
//! 1. There is at most one leader; when it ends, also by a panic, the next waiting writer leads.
//! 2. Sequence order is queue order.
//! 3. Every member of a group learns its own result.
//! 4. A group led by a BUFFERED or UNLOGGED write stops before the first that must be synced; one led by SYNC takes all.
//! 5. A GROUP write first waits in the room, outside the queue, unsequenced and holding no lock: until the
//!    oldest has waited for the window, a SYNC write comes or `ROOM_BYTES_MAX` wait. Then all of the room
//!    enters the queue together. The first in the room watches the clock and never leaves it before.

use crate::buffer::reserve;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::options::Durability;
use crate::planted::{self, Planted};
use crate::sync::{Arc, Condvar, Instant, Mutex, MutexGuard};
use crate::types::SeqNo;
use std::collections::VecDeque;
use std::time::Duration;

/// So many bytes in the room end its wait.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// How long a write may wait for background work.
#[derive(Clone, Copy, Default)]
pub struct Patience {
    /// Not at all.
    pub no_stall: bool,
    /// Until then.
    pub deadline: Option<Instant>,
}

enum Stage {
    /// In the room.
    Gathers,
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
    /// GROUP writes that are not in the queue yet, oldest first.
    room: Vec<Arc<Waiter>>,
    room_bytes: usize,
}

impl Queue {
    /// Moves the whole room into the queue; somebody must lead, or be about to.
    fn open_room(&mut self) {
        self.room_bytes = 0;
        for waiter in self.room.drain(..) {
            if self.stalled && waiter.patience.no_stall {
                settle(&waiter, Stage::Done(Err(timed_out())));
                continue;
            }
            *waiter.stage.lock() = Stage::Waiting;
            if waiter.patience.deadline.is_some() {
                // From here on it has a time to watch.
                waiter.wake.notify_one();
            }
            self.waiting.push_back(waiter);
        }
    }

    /// Hands the leadership to the oldest waiting writer; there is none without one.
    fn lead_next(&mut self) {
        let next = self.waiting.pop_front();
        self.led = next.is_some();
        if let Some(next) = next {
            settle(&next, Stage::Leads);
        }
    }

    /// The room's time is over.
    fn dispatch_room(&mut self) {
        self.open_room();
        if !self.led {
            self.lead_next();
        }
    }
}

#[derive(Default)]
pub struct CommitQueue {
    queue: Mutex<Queue>,
    /// Longest time in the room; zero: there is no room.
    window: Duration,
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
    /// A queue whose GROUP writes wait up to `group_sync_us` for each other.
    pub fn new(group_sync_us: u64) -> CommitQueue {
        CommitQueue { queue: Mutex::default(), window: Duration::from_micros(group_sync_us) }
    }

    /// Joins the queue; returns when this writer leads or its write is done.
    pub fn join(
        &self,
        bytes: &[u8],
        count: u32,
        durability: Durability,
        patience: Patience,
    ) -> Role<'_> {
        let mut queue = self.queue.lock();
        if durability == Durability::Sync {
            queue.open_room();
        }
        let gathers = durability == Durability::Group && !self.window.is_zero();
        if !gathers && !queue.led {
            queue.led = true;
            return Role::Leader(self.leadership());
        }
        if queue.stalled && patience.no_stall {
            return Role::Done(Err(timed_out()));
        }
        let mut own = Vec::new();
        if let Err(error) = reserve(&mut own, bytes.len(), Area::Batch) {
            return Role::Done(Err(error));
        }
        own.extend_from_slice(bytes);
        let waiter = Arc::new(Waiter {
            bytes: own,
            count,
            durability,
            patience,
            stage: Mutex::new(if gathers { Stage::Gathers } else { Stage::Waiting }),
            wake: Condvar::new(),
        });
        let mut opens_at = None;
        if gathers {
            opens_at = queue.room.is_empty().then(|| Instant::now() + self.window);
            queue.room_bytes = queue.room_bytes.saturating_add(bytes.len());
            queue.room.push(waiter.clone());
            if queue.room_bytes >= ROOM_BYTES_MAX {
                queue.dispatch_room();
            }
        } else {
            queue.waiting.push_back(waiter.clone());
        }
        self.wait(queue, &waiter, opens_at)
    }

    /// Waits until the writer leads or its write is done. `opens_at`: when it has to open the room, if it
    /// is the one that watches the clock.
    fn wait(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        waiter: &Arc<Waiter>,
        opens_at: Option<Instant>,
    ) -> Role<'_> {
        loop {
            let mut stage = waiter.stage.lock();
            let (until, gathers) = match &*stage {
                Stage::Leads => return Role::Leader(self.leadership()),
                Stage::Done(result) => return Role::Done(result.clone()),
                Stage::Gathers => (opens_at, true),
                Stage::Waiting => (waiter.patience.deadline, false),
                // Once taken the write is under way and its result must be awaited.
                Stage::Taken => (None, false),
            };
            match until {
                Some(at) if Instant::now() < at => {
                    drop(stage);
                    waiter.wake.wait_until(&mut queue, at);
                }
                Some(_) if gathers => {
                    drop(stage);
                    queue.dispatch_room();
                }
                Some(_) => {
                    *stage = Stage::Taken;
                    queue.waiting.retain(|w| !Arc::ptr_eq(w, waiter));
                    return Role::Done(Err(timed_out()));
                }
                None => {
                    drop(stage);
                    if planted::is(Planted::CallMissed) {
                        MutexGuard::unlocked(&mut queue, || ());
                    }
                    waiter.wake.wait(&mut queue);
                }
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
        queue.lead_next();
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

    /// A GROUP writer in its own thread, once it is in the room.
    fn join_room(queue: &Arc<CommitQueue>, bytes: usize) -> thread::JoinHandle<usize> {
        let (before, other) = (queue.queue.lock().room.len(), queue.clone());
        let handle = thread::spawn(move || {
            let batch = vec![0; bytes];
            match other.join(&batch, 1, Durability::Group, Patience::default()) {
                Role::Leader(mut leader) => {
                    let size = leader.gather(Durability::Group, 1 << 22).len() + 1;
                    leader.finish(|_| Ok(0));
                    size
                }
                Role::Done(result) => result.map_or(0, |_| 0),
            }
        });
        while queue.queue.lock().room.len() == before && !handle.is_finished() {
            thread::yield_now();
        }
        handle
    }

    /// A queue whose room is opened by nothing but what the test does.
    fn patient() -> Arc<CommitQueue> {
        Arc::new(CommitQueue::new(3_600_000_000))
    }

    #[test]
    fn group_writes_gather_outside_the_queue_until_a_sync_write_comes() {
        let queue = patient();
        let members = [join_room(&queue, 1), join_room(&queue, 1), join_room(&queue, 1)];
        assert!(!queue.queue.lock().led, "the room leads nothing");
        // BUFFERED writes pass it by.
        lead(&queue).finish(|_| Ok(0));
        assert_eq!(queue.queue.lock().room.len(), 3);
        let Role::Leader(mut leader) = queue.join(b"x", 1, Durability::Sync, Patience::default())
        else {
            panic!("the queue was free")
        };
        assert_eq!(leader.gather(Durability::Sync, 1 << 20).len(), 3);
        leader.finish(|_| Ok(0));
        assert_eq!(members.map(|m| m.join().expect("no panic")), [0, 0, 0]);
    }

    #[test]
    fn a_full_room_enters_the_queue_as_one_group() {
        let queue = patient();
        let first = join_room(&queue, 1);
        let second = join_room(&queue, ROOM_BYTES_MAX);
        let sizes = [first, second].map(|m| m.join().expect("no panic"));
        assert_eq!(sizes, [2, 0], "the first leads both");
        assert!(queue.queue.lock().room.is_empty() && !queue.queue.lock().led);
    }

    #[test]
    fn a_lone_group_write_leads_when_its_window_has_passed() {
        let queue = Arc::new(CommitQueue::new(1));
        assert_eq!(join_room(&queue, 1).join().expect("no panic"), 1);
    }

    #[test]
    fn a_stalled_leader_is_left_by_room_members_that_must_not_wait() {
        let queue = patient();
        let leader = lead(&queue);
        let other = queue.clone();
        let member = thread::spawn(move || {
            let patience = Patience { no_stall: true, deadline: None };
            match other.join(b"x", 1, Durability::Group, patience) {
                Role::Done(Err(error)) => error.kind(),
                _ => panic!("must not wait"),
            }
        });
        while queue.queue.lock().room.is_empty() {
            thread::yield_now();
        }
        queue.set_stalled(true);
        queue.queue.lock().open_room();
        assert_eq!(member.join().expect("no panic"), ErrorKind::Timeout);
        leader.finish(|_| Ok(0));
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
