//! An HTTP client that does what good ones do and no more: it keeps one connection, and asks again on a new one only if
//! a kept one broke before an answer and the request may be repeated (RFC 9110, 9.2.2).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// No answer for so long is a failure.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

/// Which replica has answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct WhoAmI {
    pub(crate) name: String,
    pub(crate) ordinal: u16,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Who serves this key.
    pub(crate) async fn whoami(&mut self, method: &str, key: &str) -> Result<WhoAmI, String> {
        let body = self.send(method, "/whoami", key).await?;
        serde_json::from_slice(&body).map_err(|error| format!("{error} in {}", String::from_utf8_lossy(&body)))
    }

    /// The body of a successful answer.
    pub(crate) async fn send(&mut self, method: &str, path: &str, key: &str) -> Result<Bytes, String> {
        let sent = tokio::time::timeout(PATIENCE, self.send_patiently(method, path, key)).await;
        sent.unwrap_or_else(|_| {
            self.connection = None;
            Err(format!("{method} {path} with key {key}: no answer in {PATIENCE:?}"))
        })
    }

    async fn send_patiently(&mut self, method: &str, path: &str, key: &str) -> Result<Bytes, String> {
        let kept = match self.connection.take() {
            Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let was_kept = kept.is_some();
        let mut sender = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let request = || {
            let request = Request::builder().method(method).uri(path).header("host", "web").header("x-user-id", key);
            request.body(Empty::new()).unwrap()
        };
        let response = match sender.try_send_request(request()).await {
            Ok(response) => response,
            // Never sent, or safe to repeat.
            Err(broken) if was_kept && (broken.message().is_some() || method == "GET") => {
                sender = self.connect().await?;
                let again = sender.send_request(request()).await;
                again.map_err(|error| format!("{method} {path} with key {key}, on a new connection: {error:?}"))?
            }
            Err(broken) => return Err(format!("{method} {path} with key {key}: {:?}", broken.into_error())),
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("{method} {path} with key {key}: cut: {error:?}"))?;
        let body = body.to_bytes();
        if !head.status.is_success() {
            let reason = head.headers.get("x-ringhold-reason");
            let text = String::from_utf8_lossy(&body);
            return Err(format!("{method} {path} with key {key}: {} {reason:?} {text}", head.status));
        }
        if head.headers.get("connection").is_none_or(|value| value != "close") {
            self.connection = Some(sender);
        }
        Ok(body)
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|error| format!("can't connect to {}: {error}", self.address))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
