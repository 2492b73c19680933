//! Clients that send: bodies of a known length and in chunks, which come back while they are sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, split};
use tokio::time::{sleep, timeout};

use super::wire::Wire;
use super::{AnyWire, Door, Kind, PATIENCE, Shared};
use crate::ledger::End;

pub(super) async fn sends(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        let Some(mut wire) = shared.connect(door).await else { continue };
        let mut left = fastrand::u32(1..50);
        while left > 0 && shared.goes_on() {
            let Some(same) = send(&shared, door, wire).await else { break };
            wire = same;
            left -= 1;
        }
        sleep(Duration::from_millis(fastrand::u64(..10))).await;
    }
}

/// One upload; the connection, if it can be used again.
async fn send(shared: &Shared, door: Door, mut wire: AnyWire) -> Option<AnyWire> {
    let length = if fastrand::u32(..10) == 0 { fastrand::u64(..300_000) } else { fastrand::u64(..3_000) };
    let is_chunked = fastrand::bool();
    let request = shared.begin(Kind::Once, wire.answers > 0);
    let field =
        if is_chunked { "Transfer-Encoding: chunked\r\n".to_owned() } else { format!("Content-Length: {length}\r\n") };
    let head = request.head("POST", door.host, "/echo", &field);
    if wire.send(head.as_bytes()).await.is_err() {
        request.end(End::Withdrawn);
        return None;
    }
    let Wire { stream, answers, .. } = wire;
    let (reader, mut writer) = split(stream);
    let mut back = Wire::new(tokio::io::join(reader, tokio::io::sink()));
    back.answers = answers;
    let sending = async {
        let mut left = length;
        while left > 0 {
            let now = left.min(16_000);
            let piece = vec![b'x'; usize::try_from(now).unwrap_or(0)];
            let before = if is_chunked { format!("{now:x}\r\n") } else { String::new() };
            let after: &[u8] = if is_chunked { b"\r\n" } else { b"" };
            writer.write_all(&[before.as_bytes(), &piece, after].concat()).await?;
            left -= now;
        }
        if is_chunked {
            writer.write_all(b"0\r\n\r\n").await?;
        }
        writer.flush().await
    };
    let reading = async {
        let Ok(Some(head)) = back.head(false).await else { return (End::Unanswered, false) };
        match (back.body(&head).await, &head.reason) {
            (Err(_), _) => (End::Broken, false),
            (Ok(_), Some(reason)) => (shared.ledger.own(head.status, reason), !head.closes),
            (Ok(got), None) => {
                if head.status == 200 && got != length {
                    shared.complain(format!("{}: {got} bytes come back of {length}", request.number));
                }
                (End::Whole(head.status), !head.closes)
            }
        }
    };
    let (sent, (end, goes_on)) =
        timeout(PATIENCE, async { tokio::join!(sending, reading) }).await.unwrap_or_else(|_| {
            shared.complain(format!("{}: no answer to an upload in time", request.number));
            (Ok(()), (End::Left, false))
        });
    request.end(end);
    if !goes_on || sent.is_err() {
        return None;
    }
    let count = back.answers;
    let (reader, _) = back.stream.into_inner();
    let mut wire = Wire::new(reader.unsplit(writer));
    wire.answers = count;
    Some(wire)
}
