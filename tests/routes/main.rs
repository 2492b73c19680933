//! The route table from both of its ends, without a proxy: what is published, and what is read and picked meanwhile.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../proxy/support/build.rs"]
mod build;
mod fleet;
mod picks;
mod storm;
