//! The contract of `ringhold::backend::Backend`, held against every backend that needs nothing but this machine, and
//! what the process backend promises besides.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod contract;
mod fleet;
mod guard;
mod harness;
mod process;
mod starts;
mod stops;
