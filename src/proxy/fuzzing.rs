//! What fuzzing tries of the proxy. Each target takes bytes, and panics where one of its properties does not hold; the
//! first bytes of an input say how the rest arrives and is taken.

mod key;
mod peer;
mod request;
mod response;
mod serve;
mod strict;

use http::Method;

use self::peer::{Cuts, Then};
use self::request::Trust;

const METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

/// A replica's answer: cuts, method, then its bytes.
pub(crate) fn response(input: &[u8]) {
    if let [cuts, method, text @ ..] = input {
        response::check(&METHODS[usize::from(*method) % METHODS.len()], text, Cuts::new(*cuts));
    }
}

/// A body in chunks, from a replica to a client: cuts, then the coded bytes.
pub(crate) fn chunks(input: &[u8]) {
    if let [cuts, coded @ ..] = input {
        let head = &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: a, b\r\n\r\n"[..];
        response::check(&Method::GET, &[head, coded].concat(), Cuts::new(*cuts));
    }
}

/// A request's key: sources, hash, then the target and the fields.
pub(crate) fn key(input: &[u8]) {
    if let [sources, hash, text @ ..] = input {
        key::check(*sources, *hash, text);
    }
}

/// A client's connection: cuts of what it says, of which two bits say whether it is trusted and what replicas are told;
/// cuts of what the replica takes, of which one bit says whether the client leaves; then its bytes.
pub(crate) fn request(input: &[u8]) {
    if let [reads, writes, text @ ..] = input {
        let trust = Trust { is_trusted: reads & 1 != 0, tells_forwarded: reads & 2 != 0 };
        let then = if writes & 1 == 0 { Then::Waits } else { Then::Ends };
        request::check(text, then, Cuts::new(*reads), Cuts::new(*writes), trust);
    }
}
