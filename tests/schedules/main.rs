//! The engine under a scheduler that decides, at each use of a lock or an atomic, which thread goes on.
//!
//! A kernel is a small program of two or three threads on a database on the simulated kernel, with an invariant. Each
//! of its schedules comes from a number alone; the number of one that fails is printed, and ESKER_SCHEDULE=number
//! runs it again. Threads that wait for each other for ever are found by shuttle.
#![allow(
    clippy::print_stdout,
    reason = "tests report numbers of schedules and how many there were"
)]

mod chooser;
mod frame;
mod kernels;
mod planted;
mod stage;
