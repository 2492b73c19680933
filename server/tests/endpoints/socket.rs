//! The WebSocket, with frames by hand (RFC 6455, 5.2): short ones, masked with zeros from us to the server.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use crate::harness::{Answer, Server};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

fn open(server: &Server) -> (TcpStream, BufReader<TcpStream>) {
    let mut stream = server.connect();
    let handshake = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(handshake.as_bytes()).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let answer = Answer::read_head(&mut answers);
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    (stream, answers)
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[kind, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

fn read(answers: &mut impl Read) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    answers.read_exact(&mut head).unwrap();
    let mut payload = vec![0; usize::from(head[1])];
    answers.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

#[test]
fn a_socket_names_the_replica_and_then_echoes_until_closed() {
    let server = Server::start(&[("ID", "alpha")]);
    let (mut stream, mut answers) = open(&server);
    assert_eq!(read(&mut answers), (TEXT, b"alpha".to_vec()));
    stream.write_all(&frame(TEXT, b"hello")).unwrap();
    assert_eq!(read(&mut answers), (TEXT, b"hello".to_vec()));
    stream.write_all(&frame(CLOSE, &1000_u16.to_be_bytes())).unwrap();
    assert_eq!(read(&mut answers), (CLOSE, 1000_u16.to_be_bytes().to_vec()));
    assert_eq!(answers.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_socket_says_farewell_when_the_replica_stops() {
    let mut server = Server::start(&[("ID", "alpha")]);
    let (_stream, mut answers) = open(&server);
    assert_eq!(read(&mut answers), (TEXT, b"alpha".to_vec()));
    server.signal("TERM");
    assert_eq!(read(&mut answers), (CLOSE, [&1001_u16.to_be_bytes()[..], b"stopping"].concat()));
    assert_eq!(server.finish().0.code(), Some(0));
}

#[test]
fn a_plain_request_to_the_socket_is_refused() {
    assert_eq!(Server::start(&[]).get("/ws").status, 400);
}
