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
