//! Clients that leave in the middle of everything: with a FIN, or with a RST because they have not read what came.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Door, Kind, PATIENCE, Shared};
use crate::ledger::End;

/// When a client leaves.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Within the head.
    Head,
    /// Right after it.
    AfterHead,
    /// While the replica thinks.
    Thinking,
    /// Within the answer, which has an end or has none.
    Answer(&'static str),
    /// Within a body of a known length, or of chunks.
    Body(&'static str, &'static str),
}

const MOMENTS: [Moment; 7] = [
    Moment::Head,
    Moment::AfterHead,
    Moment::Thinking,
    Moment::Answer("/bytes?n=3000000"),
    Moment::Answer("/stream?ms=3"),
    Moment::Body("Content-Length: 50000\r\n", "only so much"),
    Moment::Body("Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n7\r\nab"),
];

pub(super) async fn leaves(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        for moment in MOMENTS {
            leave(&shared, door, moment).await;
        }
        sleep(Duration::from_millis(fastrand::u64(..10))).await;
    }
}

async fn leave(shared: &Shared, door: Door, moment: Moment) {
    let Some(mut wire) = shared.connect(door).await else { return };
    let kind = if matches!(moment, Moment::Body(..)) { Kind::Once } else { door.kind };
    let request = shared.begin(kind, false);
    let head = match moment {
        Moment::Head | Moment::AfterHead => request.head("GET", door.host, "/whoami", ""),
        Moment::Thinking => request.head("GET", door.host, "/slow?ms=60", ""),
        Moment::Answer(path) => request.head("GET", door.host, path, ""),
        Moment::Body(field, _) => request.head("POST", door.host, "/echo", field),
    };
    let sent = match moment {
        Moment::Head => &head.as_bytes()[..fastrand::usize(1..head.len())],
        _ => head.as_bytes(),
    };
    if wire.send(sent).await.is_err() || matches!(moment, Moment::Head) {
        return request.end(End::Cut);
    }
    match moment {
        Moment::Head | Moment::AfterHead => {}
        Moment::Thinking => sleep(Duration::from_millis(fastrand::u64(1..30))).await,
        Moment::Body(_, part) => {
            // It may be answered already, and closed.
            let _ = wire.send(part.as_bytes()).await;
            sleep(Duration::from_millis(fastrand::u64(..10))).await;
        }
        Moment::Answer(_) => {
            let began = timeout(PATIENCE, async {
                let head = wire.head(false).await.ok().flatten()?;
                Some((wire.taste().await.unwrap_or(false), head))
            });
            match began.await {
                Ok(Some((_, head))) if head.reason.is_some() => {
                    return request.whole(head.status, head.reason.as_deref());
                }
                Ok(Some((true, _))) => {}
                Ok(Some((false, _))) => return request.end(End::Broken),
                Ok(None) => return request.end(End::Unanswered),
                Err(_) => shared.complain("an answer does not begin in time".to_owned()),
            }
        }
    }
    // Dropped with bytes unread, a socket resets; and the answer may have come, which nobody knows.
    drop(wire);
    request.end(End::Left);
}
