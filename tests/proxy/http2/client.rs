//! A client that behaves.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing in these tests takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// One connection to the proxy.
pub(crate) struct Http2 {
    pub(crate) sender: SendRequest<Bytes>,
    /// Ends when the connection does: with what the proxy said last.
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A request without body.
pub(crate) fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

// === impl Http2 ===

impl Http2 {
    /// With room in the connection's window for a stream that is not read and its neighbours.
    pub(crate) async fn connect(port: u16) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1024 * 1024);
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        Self { sender, connection: tokio::spawn(connection) }
    }

    /// Sends a head, and what can be awaited for it; the body goes into the stream.
    pub(crate) async fn open(
        &mut self,
        request: Request<()>,
        is_whole: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut sender = timeout(PATIENCE, self.sender.clone().ready()).await.expect("streams are left").unwrap();
        sender.send_request(request, is_whole).unwrap()
    }

    /// One request without body, answered.
    pub(crate) async fn ask(&mut self, request: Request<()>) -> Answer {
        let (response, _stream) = self.open(request, true).await;
        whole(response).await.expect("an answer")
    }

    /// One request with this body.
    pub(crate) async fn send(&mut self, request: Request<()>, body: &str) -> Answer {
        let (response, mut stream) = self.open(request, false).await;
        stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
        whole(response).await.expect("an answer")
    }

    /// How the connection ended.
    pub(crate) async fn end(self) -> Result<(), h2::Error> {
        drop(self.sender);
        timeout(PATIENCE, self.connection).await.expect("the connection ends in time").unwrap()
    }
}

/// The response's head, or why the stream was reset.
pub(crate) async fn head(response: h2::client::ResponseFuture) -> Result<Response<RecvStream>, Option<Reason>> {
    timeout(PATIENCE, response).await.expect("an answer in time").map_err(|error| error.reason())
}

/// The whole answer, or why the stream was reset.
pub(crate) async fn whole(response: h2::client::ResponseFuture) -> Result<Answer, Option<Reason>> {
    let (parts, mut stream) = head(response).await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = timeout(PATIENCE, stream.data()).await.expect("data in time") {
        let data = data.map_err(|error| error.reason())?;
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    let trailers = timeout(PATIENCE, stream.trailers()).await.expect("trailers in time");
    let trailers = trailers.map_err(|error| error.reason())?;
    let body = String::from_utf8(body).unwrap();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

// === impl Answer ===

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
