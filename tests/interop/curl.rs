//! curl: every version of HTTP, in the clear and by TLS, and the beginning of a WebSocket.

use std::process::Stdio;

use serde_json::{Deserializer, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::programs::program;
use crate::served::Served;

/// What curl is asked to speak, and what it must have spoken.
const CLEAR: &[(&[&str], &str)] = &[
    (&["--http1.0"], "1"),
    (&["--http1.1"], "1.1"),
    // It offers to change over to HTTP/2, which RFC 9113 §3.1 has done away with.
    (&["--http2"], "1.1"),
    (&["--http2-prior-knowledge"], "2"),
];
const SECURED: &[(&[&str], &str)] = &[
    (&["--http1.1"], "1.1"),
    (&["--http2"], "2"),
    (&["--http2", "--tlsv1.2", "--tls-max", "1.2"], "2"),
    (&["--http2", "--tlsv1.3"], "2"),
];

/// What curl says of each of its requests, and what came back in all.
struct Told {
    facts: Vec<Value>,
    body: Vec<u8>,
}

/// Asks by these options; the URL is among them.
async fn curl(served: &Served, options: &[&str]) -> Told {
    curl_with_input(served, options, b"").await
}

async fn curl_with_input(served: &Served, options: &[&str], input: &[u8]) -> Told {
    let mut curl = program("curl");
    curl.args(["--silent", "--show-error", "--no-progress-meter", "--cacert"]).arg(&served.authority);
    curl.args(["--write-out", "%{stderr}%{json}\n"]).args(options).stdin(Stdio::piped());
    let mut child = curl.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = async {
        // It may have ended already.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{options:?}: {stderr}");
    let facts = Deserializer::from_str(&stderr).into_iter().map(|fact| fact.expect(&stderr)).collect();
    Told { facts, body: output.stdout }
}

/// The replica's own words on a request with this key: its ordinal, and the scheme that it was told.
async fn whoami(served: &Served, options: &[&str], version: &str, key: &str) -> (u64, String) {
    let (header, url) = (format!("X-User-Id: {key}"), served.url("/whoami"));
    let told = curl(served, &[options, &["--header", &header, &url]].concat()).await;
    let [fact] = &*told.facts else { panic!("{:?}", told.facts) };
    assert_eq!((&fact["http_code"], &fact["http_version"]), (&200.into(), &version.into()), "{options:?}");
    let whoami: Value = serde_json::from_slice(&told.body).unwrap();
    let headers = whoami["headers"].as_array().unwrap();
    let scheme = headers.iter().find(|header| header[0] == "x-forwarded-proto").unwrap();
    (whoami["ordinal"].as_u64().unwrap(), scheme[1].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_key_has_its_replica_by_every_version() {
    let [clear, secured] = Served::both().await;
    let mut seen = Vec::new();
    for key in ["ada", "grace", "edsger", "barbara", "alan", "donald"] {
        let mut ordinals = Vec::new();
        for (served, versions) in [(&clear, CLEAR), (&secured, SECURED)] {
            for (options, version) in versions {
                let (ordinal, scheme) = whoami(served, options, version, key).await;
                assert_eq!(scheme, served.scheme, "{options:?}");
                ordinals.push(ordinal);
            }
        }
        assert_eq!(ordinals, vec![ordinals[0]; CLEAR.len() + SECURED.len()], "{key}");
        seen.push(ordinals[0]);
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() > 1, "the keys are spread: {seen:?}");
}

#[tokio::test]
async fn bodies_come_back_as_they_went() {
    let body: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for served in Served::both().await {
        let url = served.url("/echo");
        for version in ["--http1.1", if served.is_secured() { "--http2" } else { "--http2-prior-knowledge" }] {
            // Of a length that is told before, and of one that is not.
            for way in [["--data-binary", "@-"], ["--upload-file", "-"]] {
                let told = curl_with_input(&served, &[version, way[0], way[1], &url], &body).await;
                assert_eq!(told.facts[0]["http_code"], 200, "{version} {way:?}");
                assert!(told.body == body, "{version} {way:?}: {} bytes", told.body.len());
            }
        }
    }
}

#[tokio::test]
async fn a_replica_says_when_it_wants_the_body() {
    for served in Served::both().await {
        // On HTTP/2, curl does not wait for it.
        let heads = ["--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "60", "--include"];
        let url = served.url("/echo");
        let told = curl_with_input(&served, &[&heads[..], &["--upload-file", "-", &url]].concat(), b"x").await;
        let text = String::from_utf8(told.body).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ") && text.ends_with("\r\n\r\nx"),
            "{text}"
        );
    }
}

/// How curl speaks on one connection again and again. Without TLS, its version 7.88 can't do so by HTTP/2, with nobody: it
/// says its preface twice.
fn lasting<'a>(clear: &'a Served, secured: &'a Served) -> [(&'a Served, &'static str); 3] {
    [(clear, "--http1.1"), (secured, "--http1.1"), (secured, "--http2")]
}

#[tokio::test]
async fn answers_without_a_body_end() {
    let [clear, secured] = Served::both().await;
    for (served, version) in lasting(&clear, &secured) {
        for code in [204, 205, 304, 404, 503] {
            let url = served.url(&format!("/status/{code}"));
            // The second request tells whether the first was understood to have ended.
            let told = curl(served, &[version, &url, &served.url("/bytes?n=3")]).await;
            assert_eq!(told.facts[0]["http_code"], code, "{version}");
            assert_eq!(told.facts[0]["size_download"] == 0, code < 400, "{version} {code}");
            assert_eq!((&told.facts[1]["http_code"], &told.facts[1]["size_download"]), (&200.into(), &3.into()));
            assert_eq!(told.facts[1]["num_connects"], 0, "{version} {code}: on the same connection");
        }
        let told = curl(served, &[version, "--head", &served.url("/bytes?n=1000")]).await;
        let head = String::from_utf8(told.body).unwrap().to_ascii_lowercase();
        assert!(head.contains("content-length: 1000"), "{version}: {head}");
        assert_eq!(told.facts[0]["size_download"], 0);
    }
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let [clear, secured] = Served::both().await;
    for (served, version) in lasting(&clear, &secured) {
        let parallel: &[_] = if version == "--http2" { &["--parallel"] } else { &[] };
        let url = served.url("/slow?ms=[1-40]");
        let told = curl(served, &[&[version, &url], parallel].concat()).await;
        assert_eq!(told.facts.len(), 40);
        assert!(told.facts.iter().all(|fact| fact["http_code"] == 200), "{version}: {:?}", told.facts);
        let connections: u64 = told.facts.iter().map(|fact| fact["num_connects"].as_u64().unwrap()).sum();
        assert_eq!(connections, 1, "{version}");
    }
}

#[tokio::test]
async fn a_websocket_begins() {
    // The key and its answer are those of RFC 6455 §1.3.
    const HEADS: &[&str] = &[
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for served in Served::both().await {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--http1.1", "--no-buffer", "--include", "--cacert"])
            .arg(&served.authority);
        curl.args(HEADS.iter().flat_map(|head| ["--header", head])).arg(served.url("/ws"));
        let mut child = curl.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut text = Vec::new();
        // The replica's first frame: a text with its name. curl would wait for more.
        while !text.windows(6).any(|part| part.starts_with(b"\x81") && part.ends_with(b"web-")) && text.len() < 4096 {
            assert_ne!(stdout.read_buf(&mut text).await.unwrap(), 0, "{}", String::from_utf8_lossy(&text));
        }
        let text = String::from_utf8_lossy(&text);
        assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
        assert!(text.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{text}");
    }
}
