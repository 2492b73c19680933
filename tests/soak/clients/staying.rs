//! Clients that wait for their answers: on kept connections, on short ones, several requests at once, or slowly.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{AnyWire, Door, Kind, Shared};
use crate::ledger::End;

/// A GET without a body, and how long the answer's is where that is known.
fn any() -> (&'static str, String, Option<u64>) {
    let length = |n: u64| ("GET", format!("/bytes?n={n}"), Some(n));
    match fastrand::u32(..100) {
        0..55 => ("GET", "/whoami".to_owned(), None),
        55..70 => length(fastrand::u64(..4_096)),
        70..76 => length(fastrand::u64(30_000..70_000)),
        76..78 => length(fastrand::u64(200_000..400_000)),
        78..82 => ("HEAD", "/whoami".to_owned(), None),
        82..86 => ("GET", format!("/slow?ms={}", fastrand::u32(..40)), None),
        86..89 => ("GET", format!("/stream?n={}&ms={}", fastrand::u32(1..8), fastrand::u32(..4)), None),
        89..92 => ("GET", format!("/bytes?n={}&chunk=700", 9_000), Some(9_000)),
        _ => ("GET", format!("/status/{}", fastrand::choice([200, 204, 304, 404, 500, 503]).unwrap_or(200)), None),
    }
}

/// One after the other on a connection, for as long as it lasts and a while at most.
pub(super) async fn kept(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        let Some(mut wire) = shared.connect(door).await else { continue };
        let mut left = fastrand::u32(1..2_000);
        while left > 0 && shared.goes_on() && ask(&shared, door, &mut wire, "").await {
            left -= 1;
            if fastrand::u32(..1_000) == 0 {
                // It is idle for a while, and may find its connection closed.
                sleep(Duration::from_millis(fastrand::u64(..3_000))).await;
            }
        }
    }
}

/// One on each connection.
pub(super) async fn short(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        let Some(mut wire) = shared.connect(door).await else { continue };
        if ask(&shared, door, &mut wire, "Connection: close\r\n").await {
            shared.complain("an answer does not say that it is the last".to_owned());
        }
        sleep(Duration::from_millis(fastrand::u64(..10))).await;
    }
}

/// Heads that come in pieces, and answers that are taken in pieces.
pub(super) async fn slow(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        let Some(mut wire) = shared.connect(door).await else { continue };
        wire.pause = Duration::from_millis(fastrand::u64(1..30));
        let request = shared.begin(door.kind, false);
        let length = fastrand::u64(..600_000);
        let head = request.head("GET", door.host, &format!("/bytes?n={length}"), "");
        let mut is_sent = true;
        for piece in head.as_bytes().chunks(20) {
            is_sent = is_sent && wire.send(piece).await.is_ok();
            sleep(wire.pause).await;
        }
        if is_sent {
            request.answer(&mut wire, false, Some(length)).await;
        } else {
            request.end(End::Cut);
        }
    }
}

/// Several heads in one write. Some clients leave before they have read all.
pub(super) async fn pipelined(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        let Some(mut wire) = shared.connect(door).await else { continue };
        for _ in 0..fastrand::u32(1..20) {
            let asked = (0..fastrand::u32(2..7)).map(|_| {
                let (method, path, length) = any();
                let request = shared.begin(door.kind, wire.answers > 0);
                (request.head(method, door.host, &path, ""), request, method == "HEAD", length)
            });
            let asked: Vec<_> = asked.collect();
            let heads: String = asked.iter().map(|(head, ..)| head.as_str()).collect();
            let mut goes_on = wire.send(heads.as_bytes()).await.is_ok();
            let stays = fastrand::u32(..20) > 0;
            for (index, (_, request, is_head, length)) in asked.into_iter().enumerate() {
                if !goes_on || (index > 0 && !stays) {
                    // What was before it was the last answer, or the client leaves.
                    request.end(End::Withdrawn);
                    goes_on = false;
                } else {
                    goes_on = request.answer(&mut wire, is_head, length).await;
                }
            }
            if !goes_on {
                break;
            }
        }
        sleep(Duration::from_millis(fastrand::u64(..10))).await;
    }
}

/// A request; whether the connection goes on.
async fn ask(shared: &Shared, door: Door, wire: &mut AnyWire, fields: &str) -> bool {
    let _peace = if door.kind == Kind::Guest { Some(shared.peace.read().await) } else { None };
    let (method, path, length) = any();
    let request = shared.begin(door.kind, wire.answers > 0);
    let head = request.head(method, door.host, &path, fields);
    match wire.send(head.as_bytes()).await {
        Ok(()) => request.answer(wire, method == "HEAD", length).await,
        Err(_) => {
            request.end(End::Withdrawn);
            false
        }
    }
}
