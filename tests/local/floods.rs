//! Clients that flood, against the real process: its memory stays what it was.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Manifest, Ringhold, free_port};

const CONNECTIONS: usize = 40;
/// Growth that allocator and caches may make out of chance.
const SLACK: u64 = 24 * 1024;

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that are not indexed (RFC 7541 §6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// What is sent again and again, by its name.
fn floods() -> [(&'static str, Vec<u8>); 4] {
    let head = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/slow?ms=1000")]);
    let pair = |stream| [frame(1, 5, stream, &head), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
    let long = block(&[("x", &"y".repeat(100))]);
    [
        ("rapid reset", (0..20_000).map(|number| 2 * number + 1).flat_map(pair).collect()),
        ("PING", frame(6, 0, 0, &[1; 8]).repeat(100_000)),
        ("SETTINGS", frame(4, 0, 0, &[]).repeat(100_000)),
        ("CONTINUATION", [frame(1, 1, 1, &head), frame(9, 0, 1, &long).repeat(20_000)].concat()),
    ]
}

/// Floods one connection until it ends.
fn flood(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    });
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, 0, &[])].concat();
    stream.write_all(&preface).unwrap();
    // It fails once the connection has ended.
    let _ = stream.write_all(bytes);
    assert!(reading.join().unwrap(), "the connection ends by itself");
}

/// Resident memory, in KiB.
fn memory(ringhold: &Ringhold) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringhold.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn floods_fill_no_memory_and_leave_no_connection() {
    let ringhold = Ringhold::start(&Manifest::new(free_port())).await;
    let port = ringhold.port;
    for (name, bytes) in floods() {
        flood(port, &bytes);
        let before = memory(&ringhold);
        for _ in 0..CONNECTIONS {
            flood(port, &bytes);
        }
        let grown = memory(&ringhold).saturating_sub(before);
        assert!(grown < SLACK, "{name}: {CONNECTIONS} floods took {grown} KiB");
    }
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 200, "and it serves on");
}
