//! What the tests share: builders, replicas, clients, and waiting for a condition.

mod build;
mod client;
mod fixture;
mod replica;

pub(crate) use build::{mk_desired, mk_replica};
pub(crate) use client::{Client, Response, get, until_eof};
pub(crate) use fixture::{Fixture, eventually, free_port};
pub(crate) use replica::{Replica, read_head, refusing};
