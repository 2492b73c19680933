//! Clients that share a connection: streams that are answered, that send, and that are taken back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::Response;
use tokio::time::{sleep, timeout};

use super::{Door, KEYS, Kind, PATIENCE, Request, Shared};
use crate::ledger::End;

/// At one time on a connection.
const STREAMS: usize = 8;

pub(super) async fn shares(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        let Some(wire) = shared.connect(door).await else { continue };
        let Ok((sender, connection)) = h2::client::handshake(wire.stream).await else {
            shared.complain("no handshake of HTTP/2".to_owned());
            continue;
        };
        // Which of both ends first says nothing.
        let connection = tokio::spawn(async move { drop(connection.await) });
        let streams: FuturesUnordered<_> = (0..STREAMS).map(|_| stream(&shared, door, sender.clone())).collect();
        drop(sender);
        streams.collect::<()>().await;
        if timeout(PATIENCE, connection).await.is_err() {
            shared.complain("a connection of HTTP/2 does not end".to_owned());
        }
    }
}

/// Some requests, one after the other.
async fn stream(shared: &Shared, door: Door, mut sender: SendRequest<Bytes>) {
    for _ in 0..fastrand::u32(1..100) {
        if !shared.goes_on() {
            return;
        }
        sender = match timeout(PATIENCE, sender.ready()).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(_)) => return,
            Err(_) => return shared.complain("no stream is left in time".to_owned()),
        };
        if !ask(shared, door, &mut sender).await {
            return;
        }
    }
}

async fn ask(shared: &Shared, door: Door, sender: &mut SendRequest<Bytes>) -> bool {
    let body = fastrand::u32(..5) == 0;
    let request = shared.begin(if body { Kind::Once } else { door.kind }, true);
    let length = fastrand::u64(..20_000);
    let (method, path) = match (body, fastrand::u32(..10)) {
        (true, _) => ("POST", "/echo".to_owned()),
        (false, 0..6) => ("GET", "/whoami".to_owned()),
        (false, 6..9) => ("GET", format!("/bytes?n={length}")),
        (false, _) => ("GET", format!("/slow?ms={}", fastrand::u32(..20))),
    };
    let scheme = if door.tls { "https" } else { "http" };
    let head = http::Request::builder()
        .method(method)
        .uri(format!("{scheme}://{}{}", door.host, request.target(&path)))
        .header("user-agent", request.agent())
        .header("x-user-id", format!("user-{}", fastrand::u32(..KEYS)))
        .body(())
        .expect("a valid head");
    let Ok((response, mut stream)) = sender.send_request(head, !body) else {
        request.end(End::Cut);
        return false;
    };
    if body && stream.send_data(Bytes::from(vec![b'x'; 5_000]), true).is_err() {
        request.end(End::Withdrawn);
        return false;
    }
    let leaves = fastrand::u32(..12);
    if leaves == 0 {
        // Before the answer, most of the time.
        sleep(Duration::from_micros(fastrand::u64(..3_000))).await;
        stream.send_reset(Reason::CANCEL);
        request.end(End::Withdrawn);
        return true;
    }
    match timeout(PATIENCE, response).await {
        Ok(Ok(response)) if leaves == 1 => {
            drop(response);
            stream.send_reset(Reason::CANCEL);
            request.end(End::Withdrawn);
            true
        }
        Ok(Ok(response)) => whole(request, response).await,
        Ok(Err(error)) => {
            request.end(End::Unanswered);
            error.is_reset()
        }
        Err(_) => {
            shared.complain("a stream is not answered in time".to_owned());
            request.end(End::Withdrawn);
            false
        }
    }
}

async fn whole(request: Request<'_>, response: Response<RecvStream>) -> bool {
    let (head, mut body) = response.into_parts();
    let reason = head.headers.get("x-ringhold-reason").and_then(|reason| reason.to_str().ok());
    loop {
        match timeout(PATIENCE, body.data()).await {
            Ok(Some(Ok(data))) => drop(body.flow_control().release_capacity(data.len())),
            Ok(None) => {
                request.whole(head.status.as_u16(), reason);
                return true;
            }
            Ok(Some(Err(error))) => {
                request.end(End::Broken);
                return error.is_reset();
            }
            Err(_) => {
                request.shared.complain("a stream does not end in time".to_owned());
                request.end(End::Withdrawn);
                return false;
            }
        }
    }
}
