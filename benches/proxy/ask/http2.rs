//! Single questions over HTTP/2 without TLS.

use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::{Answer, PATIENCE};
use crate::replica::NAME;

/// A connection to a port.
pub(crate) struct Client {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
}

// === impl Client ===

impl Client {
    pub(super) fn connect(port: u16) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connect = async {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
            let (requests, connection) = h2::client::handshake(stream).await?;
            // If it breaks, the questions say so.
            tokio::spawn(async { drop(connection.await) });
            anyhow::Ok(requests)
        };
        let requests = runtime.block_on(async { timeout(PATIENCE, connect).await })??;
        Ok(Self { runtime, requests })
    }

    pub(super) fn ask(&mut self, path: &str, key: &str) -> anyhow::Result<Answer> {
        let Self { runtime, requests } = self;
        runtime.block_on(async { timeout(PATIENCE, ask(requests, path, key)).await })?
    }
}

async fn ask(requests: &SendRequest<Bytes>, path: &str, key: &str) -> anyhow::Result<Answer> {
    let request = Request::get(format!("http://localhost{path}")).header("x-key", key).body(())?;
    let (response, _) = requests.clone().ready().await?.send_request(request, true)?;
    let response = response.await?;
    ensure!(response.status() == 200, "an answer with status {}", response.status());
    let replica =
        response.headers().get(NAME).with_context(|| format!("an answer without {NAME}"))?.to_str()?.parse()?;
    let (mut stream, mut body) = (response.into_body(), Vec::new());
    while let Some(part) = stream.data().await.transpose()? {
        stream.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    Ok(Answer { replica, body: String::from_utf8_lossy(&body).into_owned() })
}
