//! Who answers, and what arrived.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, Uri, Version};
use serde::Serialize;
use serde_json::{Value, json};

use crate::routes::Replica;

pub(super) async fn home(State(replica): State<Replica>) -> Json<Value> {
    Json(json!({"message": format!("Hello from Server: {}", replica.name), "status": "successful"}))
}

/// The replica, and the request as it arrived here.
#[derive(Serialize)]
pub(super) struct WhoAmI {
    name: String,
    ordinal: Option<u16>,
    pid: u32,
    peer: SocketAddr,
    method: String,
    path: String,
    query: Option<String>,
    version: String,
    /// Names in lower case, in the order of their first occurrence.
    headers: Vec<[String; 2]>,
}

pub(super) async fn whoami(
    State(replica): State<Replica>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
) -> Json<WhoAmI> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Json(WhoAmI {
        name: replica.name.to_string(),
        ordinal: replica.ordinal,
        pid: std::process::id(),
        peer,
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().map(str::to_owned),
        version: format!("{version:?}"),
        headers: headers.iter().map(|(name, value)| [name.to_string(), text(value.as_bytes())]).collect(),
    })
}
