//! The contract of `ringhold::backend::Backend`, held against every backend, and what each of them promises
//! besides.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cluster;
mod contract;
mod fleet;
mod guard;
mod harness;
mod marks;
mod pods;
mod process;
mod starts;
mod stops;
