//! Which thread goes on, from a number alone.
//!
//! A quarter of the schedules choose any thread at each step, a quarter mostly stay with the one that runs, and half
//! give threads priorities that change at a few steps (PCT: Burckhardt et al., ASPLOS 2010).

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

enum Way {
    Any,
    /// Another thread once in so many steps.
    Stay(u64),
    /// Threads by number, the highest priority first; at these steps the one that runs falls behind all.
    Priorities {
        of: Vec<u64>,
        changes: Vec<u64>,
        lowest: u64,
    },
}

/// What was done so far, for whoever started it.
#[derive(Default)]
pub struct Progress {
    /// The number of the schedule that runs.
    pub current: AtomicU64,
    pub schedules: AtomicU64,
    pub steps: AtomicU64,
}

/// The scheduler.
pub struct Chooser {
    next: u64,
    left: u64,
    progress: Arc<Progress>,
    dice: Dice,
    way: Way,
    /// Steps of this schedule at which there was a choice.
    step: u64,
}

impl Chooser {
    /// `count` schedules from number `first` on.
    pub fn new(first: u64, count: u64, progress: Arc<Progress>) -> Chooser {
        Chooser { next: first, left: count, progress, dice: Dice(0), way: Way::Any, step: 0 }
    }
}

fn way(dice: &mut Dice) -> Way {
    match dice.below(4) {
        0 => Way::Any,
        1 => Way::Stay(2 << dice.below(6)),
        _ => {
            // How long a schedule will be is not known, so each length has its chance.
            let length = 64 << dice.below(6);
            let changes = (0..=dice.below(4)).map(|_| dice.below(length)).collect();
            Way::Priorities { of: Vec::new(), changes, lowest: 1 << 32 }
        }
    }
}

impl Scheduler for Chooser {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.left = self.left.checked_sub(1)?;
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.progress.current.store(number, Ordering::Relaxed);
        self.progress.schedules.fetch_add(1, Ordering::Relaxed);
        self.dice = Dice(number);
        self.way = way(&mut self.dice);
        self.step = 0;
        Some(Schedule::new(number))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        self.progress.steps.fetch_add(1, Ordering::Relaxed);
        if let [only] = runnable {
            return Some(only.id());
        }
        self.step += 1;
        let dice = &mut self.dice;
        let stays = current.filter(|id| runnable.iter().any(|task| task.id() == *id));
        match &mut self.way {
            Way::Stay(most) if !is_yielding && stays.is_some() && dice.below(*most) > 0 => stays,
            Way::Any | Way::Stay(_) => {
                Some(runnable[dice.below(runnable.len() as u64) as usize].id())
            }
            Way::Priorities { of, changes, lowest } => {
                let threads = runnable.iter().map(|task| usize::from(task.id()) + 1).max();
                while of.len() < threads.unwrap_or(0) {
                    of.push(dice.next() | 1 << 33);
                }
                if let Some(current) =
                    current.filter(|_| is_yielding || changes.contains(&self.step))
                {
                    *lowest -= 1;
                    if let Some(priority) = of.get_mut(usize::from(current)) {
                        *priority = *lowest;
                    }
                }
                runnable.iter().map(|task| task.id()).max_by_key(|id| of[usize::from(*id)])
            }
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.dice.next()
    }
}
