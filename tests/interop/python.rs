//! Python's h2 and wsproto, by the scripts in `python`. Each says what it saw as JSON.

use serde_json::{Value, json};

use crate::programs::{ended, program};
use crate::served::Served;

/// Where the scripts are.
pub(crate) const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/python");

pub(crate) async fn script(served: &Served, name: &str, args: &[&str]) -> Value {
    let mut python = program("python/bin/python");
    python.arg("-B").arg(format!("{SCRIPTS}/{name}.py"));
    python.arg(served.ringhold.port.to_string());
    python.arg(if served.is_secured() { served.authority.to_str().unwrap() } else { "" });
    let said = ended({
        python.args(args);
        python
    });
    serde_json::from_str(&said.await.well()).unwrap()
}

#[tokio::test]
async fn h2_agrees() {
    for served in Served::both().await {
        let said = script(&served, "streams", &[]).await;
        let expected = json!({
            "settings": {"ENABLE_CONNECT_PROTOCOL": 1, "MAX_CONCURRENT_STREAMS": 100},
            "ping": true,
            "sent": 300_000,
            "echoed": true,
            "typed": true,
            "slow": "200",
            "order": ["quick", "slow"],
            "missing": ["404", "application/json"],
            "reset_then": "200",
            "ordinals_of_ada": 1,
            "goaway": null,
        });
        assert_eq!(said, expected);
    }
}

#[tokio::test]
async fn wsproto_agrees_by_both_versions() {
    for served in Served::both().await {
        let by_http1 = script(&served, "websocket", &["http/1.1"]).await;
        let by_http2 = script(&served, "websocket", &["h2"]).await;
        for (said, status) in [(&by_http1, 101), (&by_http2, 200)] {
            let expected = json!({
                "status": status,
                "name": by_http1["name"],
                "text": "good day",
                "fragments": "one two",
                "bytes": 100_000,
                "pong": "here",
                "closed": 1000,
            });
            assert_eq!(*said, expected);
        }
        assert!(by_http1["name"].as_str().unwrap().starts_with("web-"), "the replica's name");
    }
}
