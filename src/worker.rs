//! Threads that work behind the scenes for every open database of the process, or of one env.
//!
//! A database joins as a member and hands in tasks on one of four lanes. One thread serves flushes only, one
//! work on logs and clean-up; the others serve flushes first, then work on logs, then compactions, so a flush
//! never waits behind compactions. There are as many of the last kind as the member that wants most asks for. An idle thread
//! sleeps without a limit, unless a delayed task has a time.
//!
//! Invariants
//! 1. The first member to join makes the threads, the last one to leave joins them.
//! 2. A member that leaves waits for its own running tasks only; those that have not begun are dropped.
//! 3. A panic in a task ends the task, not the thread.
//! 4. No signal is delivered to the threads: signals are the host's business.
//! 5. Tasks run and are dropped outside the lock.

use crate::env::process;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::planted::{self, Planted};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Condvar, Instant, Mutex, MutexGuard};
use std::collections::{BTreeSet, VecDeque};

use std::time::Duration;

/// What kind of work a task is; also, but for `Log`, what a thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Flush,
    Compaction,
    Cleanup,
    /// Short work on logs that writers may come to wait for. No thread is there for it alone.
    Log,
}

/// Something to do, once.
pub type Task = Box<dyn FnOnce() + Send>;

struct Queued {
    member: u64,
    lane: Lane,
    task: Task,
}

#[derive(Default)]
struct State {
    queues: [VecDeque<Queued>; 4],
    delayed: Vec<(Instant, Queued)>,
    members: BTreeSet<u64>,
    last_member: u64,
    /// Members of the tasks that run now, one for each.
    running: Vec<u64>,
    compaction_threads: usize,
    stopping: bool,
}

/// The threads and what waits for them.
#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    /// Wakes idle threads, by the lane they are there for.
    ready: [Condvar; 3],
    /// Wakes members that leave.
    ended: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The pool of the process while somebody is a member.
static SHARED: Mutex<Option<Arc<Pool>>> = Mutex::new(None);

/// Where a pool is found while it has members: that of the process, or of one env.
#[derive(Clone, Default)]
pub struct Home(Option<Arc<Mutex<Option<Arc<Pool>>>>>);

impl Home {
    /// A home of its own. `default` is that of the process.
    pub fn new() -> Home {
        Home(Some(Arc::default()))
    }

    fn place(&self) -> &Mutex<Option<Arc<Pool>>> {
        self.0.as_deref().unwrap_or(&SHARED)
    }
}

/// One database's membership. Before it is dropped it must `leave`.
pub struct Workers {
    home: Home,
    pool: Arc<Pool>,
    member: u64,
}

impl State {
    fn queue(&mut self, lane: Lane) -> &mut VecDeque<Queued> {
        &mut self.queues[lane as usize]
    }

    /// Lines up the delayed tasks whose time has come.
    fn promote(&mut self) {
        if self.delayed.is_empty() {
            return;
        }
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.delayed).into_iter().partition(|d| d.0 <= now);
        self.delayed = later;
        let due: Vec<(Instant, Queued)> = due;
        for (_, queued) in due {
            self.queue(queued.lane).push_back(queued);
        }
    }

    /// The next task for a thread of `lane`.
    fn next(&mut self, lane: Lane) -> Option<Queued> {
        self.promote();
        match lane {
            Lane::Compaction => {
                let flush = self.queue(Lane::Flush).pop_front();
                let other = flush.or_else(|| self.queue(Lane::Log).pop_front());
                other.or_else(|| self.queue(Lane::Compaction).pop_front())
            }
            Lane::Cleanup => {
                let log = self.queue(Lane::Log).pop_front();
                log.or_else(|| self.queue(Lane::Cleanup).pop_front())
            }
            own => self.queue(own).pop_front(),
        }
    }

    /// Takes away what a member has waiting.
    fn forget(&mut self, member: u64) -> Vec<Task> {
        let mut gone = Vec::new();
        for queue in &mut self.queues {
            let (own, others) = std::mem::take(queue).into_iter().partition(|q| q.member == member);
            *queue = others;
            let own: VecDeque<Queued> = own;
            gone.extend(own.into_iter().map(|q| q.task));
        }
        let delayed = std::mem::take(&mut self.delayed);
        let (own, others) = delayed.into_iter().partition(|(_, q)| q.member == member);
        self.delayed = others;
        let own: Vec<(Instant, Queued)> = own;
        gone.extend(own.into_iter().map(|(_, q)| q.task));
        gone
    }
}

impl Pool {
    /// Makes the threads that are missing.
    fn grow(self: &Arc<Pool>, compaction_threads: usize) -> Result<()> {
        let mut threads = self.threads.lock();
        if threads.is_empty() {
            threads.push(self.spawn("esker-flush", Lane::Flush)?);
            threads.push(self.spawn("esker-clean", Lane::Cleanup)?);
        }
        let mut made = self.state.lock().compaction_threads;
        while made < compaction_threads {
            threads.push(self.spawn("esker-compact", Lane::Compaction)?);
            made += 1;
            self.state.lock().compaction_threads = made;
        }
        Ok(())
    }

    fn spawn(self: &Arc<Pool>, name: &str, lane: Lane) -> Result<JoinHandle<()>> {
        let pool = self.clone();
        let body = move || pool.serve(lane);
        let builder = thread::Builder::new().name(name.to_owned());
        process::with_signals_blocked(|| builder.spawn(body)).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(0);
            let message = format!("starting thread {name}: {error}");
            Error::new(ErrorKind::Io, Area::Engine, message).with_errno(errno)
        })
    }

    /// The life of a thread.
    fn serve(&self, lane: Lane) {
        let mut state = self.state.lock();
        while !state.stopping {
            let Some(Queued { member, task, .. }) = state.next(lane) else {
                self.idle(&mut state, lane);
                continue;
            };
            state.running.push(member);
            MutexGuard::unlocked(&mut state, || {
                // Members contain and report their own panics; this one keeps the thread for the others.
                drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(task)));
            });
            if let Some(at) = state.running.iter().position(|running| *running == member) {
                state.running.swap_remove(at);
            }
            self.ended.notify_all();
        }
    }

    fn idle(&self, state: &mut MutexGuard<'_, State>, lane: Lane) {
        let ready = &self.ready[lane as usize];
        match state.delayed.iter().map(|delayed| delayed.0).min() {
            Some(due) => {
                // Being woken is all that matters, by whatever it was.
                ready.wait_until(state, due);
            }
            None => ready.wait(state),
        }
    }

    fn wake(&self, lane: Lane) {
        let servants: &[Lane] = match lane {
            // The thread for flushes may be in one.
            Lane::Flush => &[Lane::Flush, Lane::Compaction],
            Lane::Log => &[Lane::Cleanup, Lane::Compaction],
            Lane::Compaction => &[Lane::Compaction],
            Lane::Cleanup => &[Lane::Cleanup],
        };
        for servant in servants {
            self.ready[*servant as usize].notify_one();
        }
    }

    /// Ends the threads; nobody is a member.
    fn stop(&self) {
        self.state.lock().stopping = true;
        self.ready.iter().for_each(|ready| {
            ready.notify_all();
        });
        for thread in self.threads.lock().drain(..) {
            // A thread contains the panics of its tasks, so it has merely ended.
            drop(thread.join());
        }
    }
}

/// Stops the pool if nobody is a member. `pool` may have been replaced by another already.
fn retire_if_deserted(home: &Home, pool: &Arc<Pool>) {
    let mut shared = home.place().lock();
    let current = shared.as_ref().is_some_and(|current| Arc::ptr_eq(current, pool));
    if current && pool.state.lock().members.is_empty() {
        *shared = None;
        drop(shared);
        pool.stop();
    }
}

impl Workers {
    /// Becomes a member of the pool at `home`, which then has at least so many threads for compactions.
    pub fn join(home: &Home, compaction_threads: usize) -> Result<Workers> {
        let mut shared = home.place().lock();
        let pool = shared.get_or_insert_default().clone();
        if let Err(error) = pool.grow(compaction_threads) {
            drop(shared);
            retire_if_deserted(home, &pool);
            return Err(error);
        }
        let mut state = pool.state.lock();
        state.last_member += 1;
        let member = state.last_member;
        state.members.insert(member);
        drop(state);
        Ok(Workers { home: home.clone(), pool, member })
    }

    /// Lines up a task; after `leave` it is dropped.
    pub fn submit(&self, lane: Lane, task: Task) {
        let mut state = self.pool.state.lock();
        if !state.members.contains(&self.member) {
            drop(state);
            return;
        }
        state.queue(lane).push_back(Queued { member: self.member, lane, task });
        drop(state);
        self.pool.wake(lane);
    }

    /// Lines up a task once `delay` has passed; after `leave` it is dropped.
    pub fn submit_after(&self, delay: Duration, lane: Lane, task: Task) {
        let mut state = self.pool.state.lock();
        if !state.members.contains(&self.member) {
            drop(state);
            return;
        }
        let queued = Queued { member: self.member, lane, task };
        state.delayed.push((Instant::now() + delay, queued));
        drop(state);
        // Whoever is idle must learn of the time.
        self.pool.ready.iter().for_each(|ready| {
            ready.notify_all();
        });
    }

    /// Drops the member's tasks that have not begun and waits for those that run. The last member ends
    /// the threads. Never called by a task.
    pub fn leave(&self) {
        let mut state = self.pool.state.lock();
        if !state.members.remove(&self.member) {
            return;
        }
        let forgotten = state.forget(self.member);
        while state.running.contains(&self.member) && !planted::is(Planted::CloseDoesNotWait) {
            self.pool.ended.wait(&mut state);
        }
        drop(state);
        drop(forgotten);
        retire_if_deserted(&self.home, &self.pool);
    }
}

/// Threads for compactions that `wanted` stands for; 0 leaves one processor to the host, at most 8.
pub fn compaction_threads(wanted: u64) -> usize {
    match usize::try_from(wanted) {
        Ok(0) | Err(_) => {
            let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
            cores.saturating_sub(1).clamp(1, 8)
        }
        Ok(wanted) => wanted,
    }
}

/// Number of threads of the process's pool, 0 when nobody is a member.
#[cfg(feature = "internals")]
pub fn thread_count() -> usize {
    SHARED.lock().as_ref().map_or(0, |pool| pool.threads.lock().len())
}
