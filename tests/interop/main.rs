//! Clients that others have written, against the real binary: `make test-interop` prepares and runs them. What is asserted
//! is what they say, of the protocol, the answer and the replica.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../local/client.rs"]
#[allow(dead_code, reason = "shared with tests/local, which uses all of it")]
mod client;
mod curl;
mod grpc;
mod h2load;
mod h2spec;
#[path = "../local/harness.rs"]
#[allow(dead_code, reason = "shared with tests/local, which uses all of it")]
mod harness;
mod nghttp;
mod programs;
mod python;
mod served;
mod slowhttptest;
