//! HTTP/2 from clients, with the `h2` crate where a client behaves and with frames by hand where it does not.

mod client;
mod drain;
mod floods;
mod frames;
mod grpc;
mod protocol;
mod replicas;
mod streams;
mod times;
mod translate;
mod websocket;

pub(crate) use client::{Http2, get};
pub(crate) use frames::Frames;
