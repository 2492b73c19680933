//! A WebSocket that says who it is and then repeats what it hears.

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;

use crate::routes::Replica;

pub(super) async fn echo(State(replica): State<Replica>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| converse(socket, replica))
}

/// Ends with the client, or with a farewell when the replica stops.
async fn converse(mut socket: WebSocket, mut replica: Replica) {
    if socket.send(Message::text(&*replica.name)).await.is_err() {
        return;
    }
    loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            () = replica.stopping.requested() => {
                let going = CloseFrame { code: close_code::AWAY, reason: Utf8Bytes::from_static("stopping") };
                drop(socket.send(Message::Close(Some(going))).await);
                return;
            }
        };
        let sent = match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => socket.send(message).await,
            // Pings and closes are answered by the library.
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => return,
        };
        if sent.is_err() {
            return;
        }
    }
}
