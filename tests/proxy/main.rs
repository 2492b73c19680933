//! The proxy on real sockets: replicas are small servers inside each test, published as the controller would.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

mod bounded;
mod errors;
mod headers;
mod health;
mod http2;
mod keys;
mod lifecycle;
mod limits;
mod metrics;
mod ports;
mod retry;
mod routing;
mod streaming;
mod swaps;
mod upgrade;
