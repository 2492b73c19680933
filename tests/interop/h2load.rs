//! h2load: thousands of requests by many connections and streams; it, Ringhold and nobody in between lose one.

use crate::programs::run;
use crate::served::Served;

const REQUESTS: u32 = 4_000;

/// Loads with these options; the protocol that h2load says it spoke.
async fn load(served: &Served, options: &[&str], path: &str) -> String {
    let before = served.counted("ringhold_requests_total").await;
    let (count, url) = (REQUESTS.to_string(), served.url(path));
    let args = ["--requests", &count, "--clients=8", "--header=x-user-id: ada"];
    let said = run("h2load", args.iter().chain(options).chain([&&*url])).await.well();
    let all =
        format!("{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout");
    assert!(said.contains(&all) && said.contains(&format!("status codes: {count} 2xx")), "{options:?}: {said}");
    let counted = served.counted("ringhold_requests_total").await - before;
    assert!((counted - f64::from(REQUESTS)).abs() < 0.5, "{options:?}: Ringhold counts {counted}");
    let protocol = said.lines().find_map(|line| line.strip_prefix("Application protocol: "));
    protocol.expect(&said).to_owned()
}

#[tokio::test]
async fn no_request_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, [b'x'; 10_000]).unwrap();
    let post = format!("--data={}", file.display());
    let [clear, secured] = Served::both().await;
    for (served, h2) in [(&clear, "h2c"), (&secured, "h2")] {
        assert_eq!(load(served, &["--max-concurrent-streams=32"], "/home").await, h2);
        assert_eq!(load(served, &["--max-concurrent-streams=32", &post], "/echo").await, h2);
        assert_eq!(load(served, &["--h1"], "/home").await, "http/1.1");
    }
}
