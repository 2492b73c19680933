//! Clients that stop in the middle and stay: they do not send the rest of a body, or do not take an answer. Their
//! LoadBalancer waits for nobody for long.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Door, Kind, Shared};
use crate::ledger::End;

/// Longer than their LoadBalancer waits.
const STALL: Duration = Duration::from_secs(4);

pub(super) async fn stalls(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        let Some(mut wire) = shared.connect(door).await else { continue };
        let request = shared.begin(Kind::Once, false);
        let sends = fastrand::bool();
        let (head, part) = if sends {
            let field = fastrand::choice(["Content-Length: 5000\r\n", "Transfer-Encoding: chunked\r\n"]).unwrap_or("");
            let path = fastrand::choice(["/slow?ms=0", "/echo"]).unwrap_or("");
            (request.head("POST", door.host, path, field), "5\r\nabcde\r\n")
        } else {
            (request.head("GET", door.host, "/bytes?n=20000000", ""), "")
        };
        if wire.send(head.as_bytes()).await.is_err() || wire.send(part.as_bytes()).await.is_err() {
            request.end(End::Withdrawn);
            continue;
        }
        if !sends {
            // No condition: this is the client's slowness.
            sleep(STALL).await;
        }
        request.answer(&mut wire, false, None).await;
    }
}
