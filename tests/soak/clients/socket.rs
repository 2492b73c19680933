//! Clients that talk through a WebSocket, and end it with a farewell or without.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Door, Kind, PATIENCE, Shared};
use crate::ledger::End;

pub(super) async fn talks(shared: Arc<Shared>, door: Door) {
    while shared.goes_on() {
        if timeout(PATIENCE, talk(&shared, door)).await.is_err() {
            shared.complain("a tunnel does not move".to_owned());
        }
        sleep(Duration::from_millis(fastrand::u64(..20))).await;
    }
}

async fn talk(shared: &Shared, door: Door) {
    let Some(wire) = shared.connect(door).await else { return };
    let request = shared.begin(Kind::Safe, false);
    let uri = format!("ws://{}{}", door.host, request.target("/ws"));
    let mut handshake = uri.into_client_request().expect("a valid address");
    handshake.headers_mut().insert("user-agent", request.agent().parse().expect("visible ASCII"));
    let mut socket = match client_async(handshake, wire.stream).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(response)) => {
            let reason = response.headers().get("x-ringhold-reason").and_then(|reason| reason.to_str().ok());
            return request.whole(response.status().as_u16(), reason);
        }
        Err(_) => return request.end(End::Unanswered),
    };
    for round in 0..fastrand::u32(1..30) {
        // The replica may die or say farewell; then its tunnel ends.
        if socket.send(Message::text("x".repeat(fastrand::usize(1..2_000)))).await.is_err() {
            break;
        }
        if !matches!(socket.next().await, Some(Ok(Message::Text(_)))) {
            break;
        }
        sleep(Duration::from_millis(u64::from(round % 5))).await;
    }
    if fastrand::bool() {
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    }
    drop(socket);
    request.end(End::Whole(101));
}
