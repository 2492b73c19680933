//! `ringhold local` as a user runs it: the real binary, real replicas, real sockets.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access_log;
mod claims;
mod client;
mod edits;
mod floods;
mod harness;
mod keys;
mod lives;
mod load;
mod refusals;
mod skew;
mod tls;
mod warnings;
mod zero_loss;
