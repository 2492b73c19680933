//! One port for both protocols: the first bytes tell.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::frames::{HEADERS, PREFACE, SETTINGS, frame, get_block};
use super::{Http2, get};
use crate::support::{Client, Fixture, Replica, eventually, until_eof};

#[tokio::test]
async fn one_port_speaks_both_protocols() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut old = Client::connect(fixture.port).await;
    let mut new = Http2::connect(fixture.port).await;
    for _ in 0..3 {
        assert_eq!(old.get("/", &[]).await.body, "a");
        let answer = new.ask(get("http://a.example/")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "a"));
    }
    assert_eq!(fixture.handle.metrics().client_connections(), 2);
}

#[tokio::test]
async fn a_preface_may_come_in_any_pieces() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let request = frame(HEADERS, 5, 1, &get_block(&[]));
    let all = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &request].concat();
    for cut in [1, 3, 4, 17, 18, 23, 24, 25, 40, all.len()] {
        let mut client = Client::connect(fixture.port).await;
        let (first, rest) = all.split_at(cut);
        client.stream.write_all(first).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.stream.write_all(rest).await.unwrap();
        let mut frames = super::Frames { stream: client.stream };
        let head = frames.next_of(HEADERS).await;
        assert_eq!(head.map(|head| head.stream), Some(1), "cut after {cut}");
    }
}

#[tokio::test]
async fn what_only_begins_like_a_preface_is_http1() {
    let a = Replica::mirror().await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("PR").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.send("OPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.response("GET").await.unwrap();
    assert!(answer.body.starts_with("PROPFIND /x\n"), "{}", answer.body);
    let mut client = Client::connect(fixture.port).await;
    client.send("PRI * HTTP/2.0\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.send("XX\r\n\r\n").await;
    assert_eq!(client.response("GET").await.unwrap().status, 400);
}

#[tokio::test]
async fn an_end_within_the_preface_is_an_end() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("PRI * HT").await;
    client.stream.shutdown().await.unwrap();
    until_eof(&mut client.stream).await.unwrap();
    eventually("it is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn a_preface_that_trickles_is_cut_off() {
    let a = Replica::named("a").await;
    let short = Duration::from_millis(200);
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.header_read_timeout = short).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("PRI * HTTP/2.0\r\n").await;
    assert!(client.is_closed_now().await);
}

#[tokio::test]
async fn a_client_that_says_nothing_after_the_preface_is_cut_off() {
    let a = Replica::named("a").await;
    let short = Duration::from_millis(200);
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.client_idle_timeout = short).await;
    let mut client = Client::connect(fixture.port).await;
    client.stream.write_all(PREFACE).await.unwrap();
    until_eof(&mut client.stream).await.unwrap();
}

#[tokio::test]
async fn no_upgrade_to_http2_is_made() {
    let a = Replica::mirror().await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut client = Client::connect(fixture.port).await;
    let fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"];
    let answer = client.get("/", &fields).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("h2c") && !answer.body.contains("http2-settings"), "{}", answer.body);
}
