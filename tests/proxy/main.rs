//! The proxy on real sockets: replicas are small servers inside each test, published as the controller would.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

mod access_log;
mod balance;
mod bounded;
mod errors;
mod headers;
mod health;
mod hops;
mod http2;
mod keys;
mod lifecycle;
mod limits;
mod metrics;
mod ports;
mod raw;
mod retry;
mod routing;
mod slow;
mod streaming;
mod swaps;
mod tls;
mod traces;
mod upgrade;
