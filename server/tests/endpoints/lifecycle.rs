//! Readiness, starting, failing and stopping.

use std::io::{BufReader, Read, Write};

use crate::harness::{Answer, Server, command, exit_status, signal};

#[test]
fn heartbeat_is_empty_and_follows_the_switches() {
    let server = Server::start(&[]);
    let heartbeat = || {
        let answer = server.get("/heartbeat");
        (answer.status, answer.raw_body.len())
    };
    assert_eq!(heartbeat(), (200, 0));
    assert_eq!(server.request("POST", "/unready", "").status, 200);
    assert_eq!(heartbeat(), (503, 0));
    assert_eq!(server.request("POST", "/ready", "").status, 200);
    assert_eq!(heartbeat(), (200, 0));
}

#[test]
fn exit_ends_the_process_with_the_code_and_no_answer() {
    let mut server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"POST /exit?code=7 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let (status, said) = server.finish();
    assert_eq!((status.code(), said.as_str()), (Some(7), ""));
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn fail_exits_with_1() {
    let mut child = command(&[("FAIL", "1")]).spawn().unwrap();
    assert_eq!(exit_status(&mut child).code(), Some(1));
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = command(&[("PORT", &port)]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with(&format!("ringhold-server: can't serve on 127.0.0.1:{port}: ")), "said {said:?}");
}

#[test]
fn a_start_delay_passes_before_listening_and_ends_with_sigterm() {
    let started = std::time::Instant::now();
    drop(Server::start(&[("START_DELAY_MS", "80")]));
    assert!(started.elapsed().as_millis() >= 80);

    let mut child = command(&[("START_DELAY_MS", "600000")]).spawn().unwrap();
    // The signal may come before the handler stands; then it ends the process by itself.
    signal(child.id(), "TERM");
    let status = exit_status(&mut child);
    assert!(status.code() == Some(0) || status.code().is_none(), "{status}");
}

#[test]
fn sigterm_finishes_the_running_request_closes_idle_connections_and_exits_with_0() {
    let mut server = Server::start(&[("ID", "alpha")]);
    let mut idle = server.connect();
    idle.write_all(b"GET /heartbeat HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut idle = BufReader::new(idle);
    assert_eq!(Answer::read_head(&mut idle).status, 200);

    // A running request: its first line has come, its last has not.
    let mut running = server.connect();
    running.write_all(b"GET /stream?n=4&ms=100 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut running = BufReader::new(running);
    let mut answer = Answer::read_head(&mut running);
    server.signal("TERM");
    server.wait_until_refusing();
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "the idle connection is closed");
    running.read_to_end(&mut answer.raw_body).unwrap();
    assert_eq!(answer.chunks().1, "0 alpha\n1 alpha\n2 alpha\n3 alpha\n");
    let (status, said) = server.finish();
    assert_eq!((status.code(), said.as_str()), (Some(0), "alpha has stopped\n"));
}

#[test]
fn a_second_signal_exits_at_once() {
    for second in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        let mut running = server.connect();
        running.write_all(b"GET /stream?n=2&ms=600000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut running = BufReader::new(running);
        assert_eq!(Answer::read_head(&mut running).status, 200);
        server.signal("TERM");
        server.wait_until_refusing();
        server.signal(second);
        assert_eq!(server.finish().0.code(), Some(1));
    }
}
