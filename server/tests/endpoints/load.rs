//! How many requests there are.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{LIMIT, Server};

/// Waits until so many requests are there.
fn until_now(server: &Server, count: u64) {
    let deadline = Instant::now() + LIMIT;
    while server.get("/load").json()["now"] != count {
        assert!(Instant::now() < deadline, "never {count}: {}", server.get("/load").text());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn load_tells_how_many_requests_there_are_and_were_at_one_time() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/load").json(), json!({"now": 0, "peak": 0, "requests": 0}));
    let mut waiting = Vec::new();
    for count in 1..=3 {
        let mut client = server.connect();
        client.write_all(b"GET /slow?ms=600000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        waiting.push(client);
        until_now(&server, count);
    }
    drop(waiting);
    until_now(&server, 0);
    server.get("/heartbeat");
    server.get("/home");
    assert_eq!(server.get("/load").json(), json!({"now": 0, "peak": 3, "requests": 4}));
}

#[test]
fn requests_are_noted_where_many_replicas_can_write_and_a_kill_loses_none() {
    let log = std::env::temp_dir().join(format!("ringhold-server-{}.log", std::process::id()));
    let path = log.to_str().unwrap();
    for name in ["a", "b"] {
        let server = Server::start(&[("REQUEST_LOG", path), ("ID", name)]);
        server.get("/heartbeat");
        server.request("POST", "/slow?ms=1&id=7", "");
        // Drop kills.
    }
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert_eq!(text, "a POST /slow?ms=1&id=7\nb POST /slow?ms=1&id=7\n");
}
