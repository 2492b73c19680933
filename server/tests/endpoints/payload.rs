//! Lengths, speeds and statuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Server};

#[test]
fn slow_answers_after_the_time() {
    let server = Server::start(&[("ID", "alpha")]);
    let started = Instant::now();
    let answer = server.get("/slow?ms=60");
    assert!(started.elapsed() >= Duration::from_millis(60));
    assert_eq!((answer.status, answer.text()), (200, "alpha after 60 ms\n"));
    assert_eq!(server.get("/slow?ms=soon").status, 400);
}

#[test]
fn status_answers_with_the_code() {
    let server = Server::start(&[]);
    for code in [200, 204, 304, 404, 418, 503, 599, 999] {
        assert_eq!(server.get(&format!("/status/{code}")).status, code);
    }
    assert_eq!(server.get("/status/204").text(), "");
    for code in ["99", "101", "1000", "many"] {
        assert_eq!(server.get(&format!("/status/{code}")).status, 400, "{code}");
    }
}

#[test]
fn bytes_have_their_length_before_them() {
    let server = Server::start(&[]);
    for n in [0, 1, 200_000] {
        let answer = server.get(&format!("/bytes?n={n}"));
        assert_eq!(answer.header("content-length"), Some(n.to_string().as_str()));
        assert_eq!((answer.status, answer.raw_body.len()), (200, n));
    }
}

#[test]
fn bytes_trickle_in_chunks_where_asked() {
    let server = Server::start(&[]);
    let started = Instant::now();
    let (sizes, body) = server.get("/bytes?n=10&chunk=4&delay_ms=20").chunks();
    assert!(started.elapsed() >= Duration::from_millis(40));
    assert_eq!((sizes, body.len()), (vec![4, 4, 2], 10));
}

#[test]
fn stream_sends_lines_as_they_come() {
    let server = Server::start(&[("ID", "alpha")]);
    let (sizes, body) = server.get("/stream?n=3&ms=1").chunks();
    assert_eq!((sizes, body.as_str()), (vec![8, 8, 8], "0 alpha\n1 alpha\n2 alpha\n"));
}

#[test]
fn an_endless_stream_ends_when_the_replica_stops() {
    let mut server = Server::start(&[("ID", "alpha")]);
    let mut stream = server.connect();
    stream.write_all(b"GET /stream?ms=600000 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut stream = BufReader::new(stream);
    let mut answer = Answer::read_head(&mut stream);
    let mut first = String::new();
    stream.read_line(&mut first).unwrap();
    stream.read_line(&mut first).unwrap();
    assert_eq!(first, "8\r\n0 alpha\n");
    server.signal("TERM");
    stream.read_to_end(&mut answer.raw_body).unwrap();
    assert_eq!(answer.text(), "\r\n0\r\n\r\n");
    assert_eq!(server.finish().0.code(), Some(0));
}

#[test]
fn echo_returns_the_body_under_its_type() {
    let server = Server::start(&[]);
    let answer = server.send(
        "PATCH /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: text/x-y\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!((answer.status, answer.header("content-type"), answer.text()), (200, Some("text/x-y"), "hello"));
}

#[test]
fn echo_answers_while_the_body_still_arrives() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    assert_eq!(Answer::read_head(&mut answers).status, 200);
    let mut echoed = [0; 8];
    answers.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"3\r\none\r\n");
    stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").unwrap();
    let mut rest = [0; 13];
    answers.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"3\r\ntwo\r\n0\r\n\r\n");
}
