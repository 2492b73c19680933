//! A plain HTTP client that keeps one connection and hides nothing: no retries, no pool.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(crate) type Failure = String;

pub(crate) struct Client {
    port: u16,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, connection: None }
    }

    /// A GET; the status and the whole body.
    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<(StatusCode, Bytes), Failure> {
        self.send("GET", path, headers, "").await
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let response = self.open(method, path, headers, body).await?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| format!("body broke off: {error:?}"))?;
        Ok((status, body.to_bytes()))
    }

    /// The response's head, with its body still to come.
    pub(crate) async fn open(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<http::Response<Incoming>, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).map_err(|e| e.to_string())?;
        let sender = self.connection().await?;
        let response = sender.send_request(request).await.map_err(|error| format!("no response: {error:?}"));
        if response.as_ref().map_or(true, |response| response.headers().get("connection").is_some_and(|v| v == "close"))
        {
            self.connection = None;
        }
        response
    }

    async fn connection(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Failure> {
        let reusable = match &mut self.connection {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !reusable {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            let stream = stream.await.map_err(|error| format!("can't connect: {error}"))?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            self.connection = Some(sender);
        }
        Ok(self.connection.as_mut().expect("made above"))
    }
}
