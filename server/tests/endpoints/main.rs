//! Every endpoint of the real binary, over real sockets.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;
mod lifecycle;
mod load;
mod payload;
mod socket;

use harness::Server;
use serde_json::{Value, json};

#[test]
fn home_greets_with_the_name() {
    let server = Server::start(&[("ID", "alpha")]);
    let answer = server.get("/home");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), json!({"message": "Hello from Server: alpha", "status": "successful"}));
}

#[test]
fn the_name_comes_from_the_id_then_from_ringhold_then_from_the_host() {
    let name = |env: &[(&str, &str)]| Server::start(env).get("/whoami").json()["name"].as_str().unwrap().to_owned();
    assert_eq!(name(&[("ID", "alpha"), ("RINGHOLD_NAME", "web-0"), ("HOSTNAME", "host")]), "alpha");
    assert_eq!(name(&[("ID", ""), ("RINGHOLD_NAME", "web-0"), ("HOSTNAME", "host")]), "web-0");
    assert_eq!(name(&[("HOSTNAME", "host")]), "host");
}

#[test]
fn whoami_tells_who_answers_and_what_arrived() {
    let server = Server::start(&[("RINGHOLD_NAME", "web-1-abc-0"), ("RINGHOLD_ORDINAL", "1")]);
    let answer =
        server.send("PUT /whoami?a=1&b HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nConnection: close\r\nX-Two: 2\r\n\r\n");
    let mut seen = answer.json();
    let peer: std::net::SocketAddr = serde_json::from_value(seen["peer"].take()).unwrap();
    assert!(peer.ip().is_loopback());
    assert_eq!(
        seen,
        json!({
            "name": "web-1-abc-0",
            "ordinal": 1,
            "pid": server.pid(),
            "peer": Value::Null,
            "method": "PUT",
            "path": "/whoami",
            "query": "a=1&b",
            "version": "HTTP/1.1",
            "headers": [["host", "h"], ["x-one", "1"], ["connection", "close"], ["x-two", "2"]],
        })
    );
}

#[test]
fn unknown_paths_are_not_found() {
    let answer = Server::start(&[]).get("/other?x=1");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json(), json!({"message": "there is nothing at /other", "status": "failure"}));
}

#[test]
fn other_methods_are_not_allowed() {
    let server = Server::start(&[]);
    assert_eq!(server.request("DELETE", "/home", "").status, 405);
    assert_eq!(server.get("/exit").status, 405);
}
