//! The access log, as it lies in its file.

use std::path::{Path, PathBuf};

use http::Response;
use http_body_util::Full;
use ringhold::model::KeySource;
use ringhold::proxy::{AccessLog, AccessLogFormat, LogTarget, Sample};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::{Client, Fixture, Replica, eventually, get, mk_replica, read_head, refusing};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn mk_log(file: &Path) -> AccessLog {
    AccessLog {
        target: LogTarget::File(file.to_owned()),
        format: AccessLogFormat::Json,
        sample: Sample::ALL,
        all_errors: false,
        keys: false,
    }
}

/// A folder for a log, and the file in it.
fn mk_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    (folder, file)
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The lines, once there are so many.
async fn lines(file: &Path, count: usize) -> Vec<Value> {
    eventually("the lines are there", || text(file).lines().count() >= count).await;
    let lines: Vec<Value> = text(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

/// Takes out what differs from run to run, and says whether it was a plausible number of seconds.
fn take_seconds(line: &mut Value, name: &str) -> bool {
    let seconds = line.as_object_mut().unwrap().remove(name);
    seconds.is_some_and(|seconds| seconds.as_f64().is_some_and(|seconds| (0.0..60.0).contains(&seconds)))
}

#[tokio::test]
async fn a_line_tells_all_of_a_request() {
    let replica = Replica::named("hello").await;
    let (_folder, file) = mk_file();
    let fixture =
        Fixture::configured(&[replica.address], |_| {}, |config| config.access_log = Some(mk_log(&file))).await;
    let before = jiff::Timestamp::now();
    let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    let fields =
        ["X-User-Id: secret-key", "User-Agent: curl/8 \"x\"", "Referer: http://a/", "Content-Length: 3", &parent];
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.request("POST", "/home?q=%0a", &fields, "abc").await.body, "hello");
    let mut line = lines(&file, 1).await.remove(0);
    let time: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
    assert!(before.duration_until(time).abs() < jiff::SignedDuration::from_secs(60), "{line}");
    line["time"].take();
    assert!(take_seconds(&mut line, "durationSeconds") && take_seconds(&mut line, "upstreamSeconds"), "{line}");
    let expected = serde_json::json!({
        "time": null, "client": "127.0.0.1", "method": "POST", "host": "a.example", "target": "/home?q=%0a",
        "protocol": "HTTP/1.1", "status": 200, "bytesIn": 3, "bytesOut": 5, "namespace": "default",
        "loadbalancer": "web", "ordinal": 0, "replica": "web-0-t-0", "tries": 1, "keySource": "header",
        "firstCandidate": "Taken", "userAgent": "curl/8 \"x\"", "referer": "http://a/", "traceId": TRACE,
    });
    assert_eq!(line, expected);
    assert!(!text(&file).contains("secret-key"));
}

#[tokio::test]
async fn a_line_tells_who_was_tried_and_why_it_failed() {
    let (a, (dead, _guard)) = (Replica::named("a").await, refusing());
    let (_folder, file) = mk_file();
    let configure = |config: &mut ringhold::proxy::ProxyConfig| config.access_log = Some(mk_log(&file));
    let fixture = Fixture::configured(&[a.address, dead], |_| {}, configure).await;
    assert_eq!(get(fixture.port, "/", &[&fixture.to(1)]).await.body, "a");
    let mut unready = mk_replica(0, 0, a.address);
    unready.address = None;
    fixture.publish(&[unready]);
    assert_eq!(get(fixture.port, "/", &["X-User-Id: x"]).await.status, 503);
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.request("TRACE", "/", &[], "").await.status, 405);
    let mut client = Client::connect(fixture.port).await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nExpect: foo\r\n\r\n").await;
    assert_eq!(client.response("HEAD").await.unwrap().status, 417);
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").await;
    assert_eq!(client.response("GET").await.unwrap().status, 400);
    let mut client = Client::connect(fixture.port).await;
    client.send("GET /secret \r\n\r\n").await;
    assert_eq!(client.response("GET").await.unwrap().status, 400);
    let told = lines(&file, 6).await;
    assert_eq!(told[3]["bytesOut"], 0, "an answer to HEAD has no body");
    assert_ne!(told[2]["bytesOut"], 0);
    assert_eq!([&told[5]["method"], &told[5]["target"], &told[5]["client"]], ["-", "-", "127.0.0.1"]);
    let told: Vec<Value> = told
        .iter()
        .map(|line| {
            serde_json::json!([line["status"], line["reason"], line["tries"], line["ordinal"], line["firstCandidate"]])
        })
        .collect();
    assert_eq!(
        Value::from(told),
        serde_json::json!([
            [200, null, 2, 0, "Failed"],
            [503, "NoReplica", 0, null, null],
            [405, "MethodNotAllowed", 0, null, null],
            [417, "ExpectationFailed", 0, null, null],
            [400, "BadHost", 0, null, null],
            [400, "BadRequest", 0, null, null],
        ])
    );
}

#[tokio::test]
async fn a_line_tells_who_broke_off() {
    let broken = Replica::raw(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let silent = Replica::raw(|mut stream| async move { while !read_head(&mut stream).await.is_empty() {} });
    let (broken, silent) = (broken.await, silent.await);
    let (_folder, file) = mk_file();
    let configure = |config: &mut ringhold::proxy::ProxyConfig| config.access_log = Some(mk_log(&file));
    let fixture = Fixture::configured(&[broken.address, silent.address], |_| {}, configure).await;
    let mut client = Client::connect(fixture.port).await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", fixture.to(0))).await;
    assert_eq!(client.response("GET").await, None);
    lines(&file, 1).await;
    let mut client = Client::connect(fixture.port).await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", fixture.to(1))).await;
    eventually("the request is there", || fixture.in_flight() == 1).await;
    drop(client);
    let told: Vec<Value> = lines(&file, 2)
        .await
        .iter()
        .map(|line| serde_json::json!([line["status"], line["reason"], line["bytesOut"]]))
        .collect();
    assert_eq!(Value::from(told), serde_json::json!([[200, "BrokenResponse", 4], [499, "ClientGone", 0]]));
}

#[tokio::test]
async fn keys_are_shown_only_where_that_is_asked_for() {
    let replica = Replica::named("a").await;
    for (keys, target, key) in
        [(false, Value::from("/?a=1&user=-&b"), Value::Null), (true, "/?a=1&user=ann+x&b".into(), "ann x".into())]
    {
        let (_folder, file) = mk_file();
        let change = |policy: &mut ringhold::model::RoutePolicy| {
            policy.hash_key = vec![KeySource::Query("user".to_owned())];
        };
        let configure = |config: &mut ringhold::proxy::ProxyConfig| {
            config.access_log = Some(AccessLog { keys, ..mk_log(&file) });
        };
        let fixture = Fixture::configured(&[replica.address], change, configure).await;
        let referer = "Referer: http://a/?user=ann%20x";
        assert_eq!(get(fixture.port, "/?a=1&user=ann+x&b", &[referer]).await.status, 200);
        let line = lines(&file, 1).await.remove(0);
        assert_eq!((&line["target"], &line["key"]), (&target, &key));
        assert_eq!(text(&file).contains("ann"), keys);
    }
}

#[tokio::test]
async fn no_key_is_shown_of_a_request_that_was_refused_before_its_route_was_known() {
    let replica = Replica::named("a").await;
    let long = format!("/{}?token=ann", "x".repeat(17_000));
    for keys in [false, true] {
        let (_folder, file) = mk_file();
        let change = |policy: &mut ringhold::model::RoutePolicy| {
            policy.hash_key = vec![KeySource::Query("token".to_owned())];
            policy.listener.hostnames = vec!["a.example".to_owned()];
        };
        let configure = |config: &mut ringhold::proxy::ProxyConfig| {
            config.access_log = Some(AccessLog { keys, ..mk_log(&file) });
        };
        let fixture = Fixture::configured(&[replica.address], change, configure).await;
        let refused = [
            ("TRACE /x?token=ann HTTP/1.1\r\nHost: a.example\r\n".to_owned(), 405),
            ("GET /x?token=ann HTTP/1.1\r\nHost: a.example\r\nExpect: foo\r\n".to_owned(), 417),
            ("GET /x?token=ann HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n".to_owned(), 501),
            ("GET /x?token=ann HTTP/1.1\r\nHost: b.example\r\n".to_owned(), 404),
            ("GET /x?token=ann HTTP/1.1\r\nHost: a b\r\n".to_owned(), 400),
            (format!("GET {long} HTTP/1.1\r\nHost: a.example\r\n"), 414),
        ];
        for (head, status) in &refused {
            let mut client = Client::connect(fixture.port).await;
            client.send(&format!("{head}Referer: http://a/?token=ann\r\n\r\n")).await;
            assert_eq!(client.response("GET").await.unwrap().status, *status, "{head}");
        }
        lines(&file, refused.len()).await;
        assert_eq!(text(&file).matches("=ann").count(), if keys { 2 * refused.len() } else { 0 }, "{}", text(&file));
        assert_eq!(text(&file).matches("token=-").count(), if keys { 0 } else { 2 * refused.len() });
    }
}

#[tokio::test]
async fn of_what_is_not_in_the_sample_only_failures_are_logged() {
    let replica = Replica::http(|request| async move {
        let status = if request.uri().path() == "/bad" { 500 } else { 200 };
        Response::builder().status(status).body(Full::from("a")).unwrap()
    });
    let replica = replica.await;
    let (_folder, file) = mk_file();
    let none = AccessLog { sample: Sample::percent(0.0).unwrap(), all_errors: true, ..mk_log(&file) };
    let fixture = Fixture::configured(&[replica.address], |_| {}, |config| config.access_log = Some(none)).await;
    for target in ["/", "/bad", "/", "/bad?2"] {
        get(fixture.port, target, &[]).await;
    }
    let targets: Vec<Value> = lines(&file, 2).await.iter().map(|line| line["target"].clone()).collect();
    assert_eq!(targets, ["/bad", "/bad?2"]);
}

#[tokio::test]
async fn a_log_that_was_moved_away_is_opened_anew_and_no_line_is_lost() {
    let replica = Replica::named("a").await;
    let (folder, file) = mk_file();
    let fixture =
        Fixture::configured(&[replica.address], |_| {}, |config| config.access_log = Some(mk_log(&file))).await;
    get(fixture.port, "/1", &[]).await;
    lines(&file, 1).await;
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&file, &moved).unwrap();
    get(fixture.port, "/2", &[]).await;
    lines(&moved, 2).await;
    fixture.handle.reopen_log()();
    eventually("there is a new file", || file.exists()).await;
    get(fixture.port, "/3", &[]).await;
    assert_eq!(lines(&file, 1).await[0]["target"], "/3");
    assert_eq!(text(&moved).lines().count(), 2);
}

#[tokio::test]
async fn at_the_end_every_line_is_there() {
    let replica = Replica::named("a").await;
    let (_folder, file) = mk_file();
    let fixture =
        Fixture::configured(&[replica.address], |_| {}, |config| config.access_log = Some(mk_log(&file))).await;
    let mut client = Client::connect(fixture.port).await;
    for _ in 0..100 {
        client.get("/", &[]).await;
    }
    drop(client);
    fixture.handle.shutdown(std::time::Duration::from_secs(5)).await;
    assert_eq!(text(&file).lines().count(), 100);
}

#[tokio::test]
async fn a_log_that_nobody_takes_holds_no_request_up_and_its_lines_are_counted() {
    let replica = Replica::named("a").await;
    let (_folder, file) = mk_file();
    // A pipe that is open at its other end and never read from.
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    let open = std::fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
    let fixture =
        Fixture::configured(&[replica.address], |_| {}, |config| config.access_log = Some(mk_log(&file))).await;
    let mut client = Client::connect(fixture.port).await;
    let agent = format!("User-Agent: {}", "x".repeat(30_000));
    let dropped = || {
        let metrics = fixture.metrics();
        let line = metrics.lines().find_map(|line| line.split_once("dropped_total{reason=\"QueueFull\"} ")).unwrap();
        line.1.parse::<u32>().unwrap()
    };
    for _ in 0..60 {
        assert_eq!(client.get("/", &[&agent]).await.status, 200);
    }
    eventually("lines are dropped", || dropped() > 0).await;
    assert!(dropped() < 60, "what can wait waits");
    drop(open);
}

#[tokio::test]
async fn a_log_that_is_moved_away_while_nobody_takes_it_is_opened_anew_later() {
    let replica = Replica::named("a").await;
    let (folder, file) = mk_file();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    let mut pipe = tokio::net::unix::pipe::OpenOptions::new().read_write(true).open_receiver(&file).unwrap();
    let fixture =
        Fixture::configured(&[replica.address], |_| {}, |config| config.access_log = Some(mk_log(&file))).await;
    let mut client = Client::connect(fixture.port).await;
    let agent = format!("User-Agent: {}", "x".repeat(30_000));
    while fixture.metrics().contains("ringhold_access_log_dropped_total{reason=\"QueueFull\"} 0") {
        assert_eq!(client.get("/", &[&agent]).await.status, 200);
    }
    std::fs::rename(&file, folder.path().join("access.log.1")).unwrap();
    fixture.handle.reopen_log()();
    assert!(!file.exists(), "nothing has been taken yet");
    let taker = tokio::spawn(async move { tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await });
    eventually("there is a new file", || file.exists()).await;
    assert_eq!(client.get("/last", &[]).await.status, 200);
    eventually("lines are in it", || text(&file).contains("\"/last\"")).await;
    taker.abort();
}

#[tokio::test]
async fn a_log_that_can_not_be_opened_is_told_at_the_start() {
    let bridge = ringhold::routes::bridge();
    let mut config = ringhold::proxy::ProxyConfig::new(ringhold::ring::KeyHasher::new(&[7; 16]));
    config.access_log = Some(mk_log(Path::new("/nowhere/access.log")));
    let error = ringhold::proxy::start(config, bridge.reader, bridge.listen_requests).unwrap_err();
    assert!(error.to_string().contains("/nowhere/access.log"), "{error}");
}
