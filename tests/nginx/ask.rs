//! Many requests over a few connections that are kept.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

/// Connections that ask at the same time.
const CONNECTIONS: usize = 8;

pub(crate) type Asked = Request<Empty<Bytes>>;

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A GET for a path, with what is added to it.
pub(crate) fn get(path: &str, add: impl FnOnce(Builder) -> Builder) -> Asked {
    add(Request::get(path).header("host", "localhost")).body(Empty::new()).unwrap()
}

/// A GET for each key, which it has in `X-User-Id`.
pub(crate) fn keyed(path: &str, keys: &[Vec<u8>]) -> Vec<Asked> {
    keys.iter().map(|key| get(path, |request| request.header("x-user-id", &key[..]))).collect()
}

/// The answers to these requests, in their order.
pub(crate) async fn ask(port: u16, requests: Vec<Asked>) -> Vec<Answer> {
    let count = requests.len();
    let mut shares: Vec<Vec<(usize, Asked)>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
    for (number, request) in requests.into_iter().enumerate() {
        shares[number % CONNECTIONS].push((number, request));
    }
    let mut tasks = JoinSet::new();
    for share in shares {
        tasks.spawn(async move {
            let mut connection = connect(port, Ipv4Addr::LOCALHOST).await;
            let mut answers = Vec::new();
            for (number, request) in share {
                answers.push((number, send(&mut connection, request).await));
            }
            answers
        });
    }
    let mut answers: Vec<(usize, Answer)> = tasks.join_all().await.into_iter().flatten().collect();
    answers.sort_by_key(|(number, _)| *number);
    assert_eq!(answers.len(), count);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// The answer to one request that comes from an address.
pub(crate) async fn ask_from(port: u16, from: Ipv4Addr, request: Asked) -> Answer {
    send(&mut connect(port, from).await, request).await
}

async fn connect(port: u16, from: Ipv4Addr) -> SendRequest<Empty<Bytes>> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(connection: &mut SendRequest<Empty<Bytes>>, request: Asked) -> Answer {
    connection.ready().await.unwrap();
    let (head, body) = connection.send_request(request).await.unwrap().into_parts();
    Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}
