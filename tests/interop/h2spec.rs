//! h2spec, which knows what RFC 9113 and RFC 7541 ask of a server. Its report is kept beside this file, so that whatever
//! changes in it is seen; `UPDATE_DOCS=1` writes it anew. What it says has failed is explained in ARCHITECTURE.md.

use std::path::Path;

use crate::programs::run;
use crate::served::Served;

/// In seconds, for each answer.
const TIMEOUT: &str = "5";

async fn report(served: &Served) -> String {
    let port = served.ringhold.port.to_string();
    let args = ["generic", "http2", "hpack", "--strict", "--host=127.0.0.1", "--path=/whoami", "--port", &port];
    let tls: &[_] = if served.is_secured() { &["--tls", "--insecure"] } else { &[] };
    let said = run("h2spec", args.iter().chain(tls).chain(&["--timeout", TIMEOUT])).await;
    let text = String::from_utf8(said.stdout).unwrap();
    // A line is written when a test begins and again over it when it ends. How long all took is chance.
    let shown = text.lines().map(|line| line.rsplit('\r').next().unwrap().trim_end());
    let kept: Vec<_> = shown.filter(|line| !line.starts_with("Finished in")).collect();
    kept.join("\n")
}

#[tokio::test]
async fn the_report_is_the_one_that_is_kept() {
    let [clear, secured] = Served::both().await;
    let (clear, secured) = (report(&clear).await, report(&secured).await);
    let text = format!("# In the clear\n\n{clear}\n\n# By TLS\n\n{secured}\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/h2spec.txt");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let news: Vec<_> = text.lines().filter(|line| !kept.lines().any(|kept| kept == *line)).collect();
    assert!(text == kept, "h2spec says what it did not say before: {news:#?}");
}
