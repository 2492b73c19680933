//! Beside a real nginx: whoever moves a fleet over from `hash … consistent` finds every key where it was.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod ask;
#[path = "../local/client.rs"]
#[allow(dead_code, reason = "shared with tests/local, which uses all of it")]
mod client;
mod fallback;
#[path = "../local/harness.rs"]
#[allow(dead_code, reason = "shared with tests/local, which uses all of it")]
mod harness;
mod keys;
mod nginx;
mod placement;
mod takeover;
mod upstream;
