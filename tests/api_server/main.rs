//! The operator against a real Kubernetes API server, with a stand-in for the nodes that runs pods as local processes, so
//! that real requests flow. `make test-cluster` prepares the API server's programs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod at_rest;
mod conditions;
mod exposure;
mod foreign;
mod leaders;
mod lives;
mod outages;
mod pods;
mod rights;
mod rules;
mod samples;
mod scale;
mod stale;
mod support;
mod tls;
