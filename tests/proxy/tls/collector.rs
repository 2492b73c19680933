//! A collector behind TLS, and who vouches for it.

use prometheus_client::registry::Registry;
use ringhold::telemetry::traces::TracesConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::support::get;

#[tokio::test]
async fn spans_go_to_a_collector_that_the_named_authorities_vouch_for() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let acceptor = replicas::acceptor(&authority, "127.0.0.1");
    let collector = Replica::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"POST /v1/traces "));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    for (vouching, line) in [
        (&authority, "ringhold_spans_exported_total 2"),
        (&Authority::new(), "ringhold_spans_dropped_total{reason=\"ExportFailed\"} 2"),
    ] {
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, vouching.pem()).unwrap();
        let endpoint = Some(format!("https://{}", collector.address));
        let config = TracesConfig { endpoint, certificate: Some(file), ..TracesConfig::default() };
        let traces = config.start().unwrap().unwrap();
        let mut registry = Registry::default();
        traces.register(&mut registry);
        let trace = |config: &mut ProxyConfig| config.tracer = Some(traces.tracer());
        let fixture = Fixture::configured(&[replica.address], |_| {}, trace).await;
        assert_eq!(get(fixture.port, "/", &[]).await.status, 200);
        fixture.handle.shutdown(std::time::Duration::from_secs(5)).await;
        traces.finish().await;
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        assert!(page.contains(line), "{line} not in\n{page}");
    }
}

#[tokio::test]
async fn authorities_that_can_not_be_used_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    let start = || {
        let endpoint = Some("https://collector.example".to_owned());
        let config = TracesConfig { endpoint, certificate: Some(file.clone()), ..TracesConfig::default() };
        config.start().unwrap_err().to_string()
    };
    assert!(start().starts_with(&format!("--otlp-certificate: {}: can't be read", file.display())));
    std::fs::write(&file, "nothing").unwrap();
    assert!(start().contains("holds no certificate"));
}
