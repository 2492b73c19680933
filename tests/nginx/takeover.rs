//! A Ringhold that was started beside nginx has every key where nginx has it: with the README's two pieces of
//! configuration, which differ from there only in addresses.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::Value;

use crate::ask::{Answer, Asked, ask, ask_from, get, keyed};
use crate::harness::{Ringhold, free_port};
use crate::keys::keys;
use crate::nginx::{Nginx, nginx_or_skip};

/// Three servers of nginx, and a Ringhold with three replicas that takes over from them.
struct Both {
    nginx: Nginx,
    servers: Vec<String>,
    ringhold: Ringhold,
    manifest: String,
}

/// What the README's section shows in this language.
fn shown<'a>(readme: &'a str, language: &str) -> &'a str {
    let (_, section) = readme.split_once("\n## Coming from nginx\n").unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0
}

impl Both {
    /// nginx has an upstream for each of these variables, which gives the key: `rooms-0`, `rooms-1` …
    async fn start(program: &Path, variables: &[&str]) -> Self {
        let mut readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        let servers: Vec<String> = (0..3).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        for (shown, server) in ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"].iter().zip(&servers) {
            readme = readme.replace(shown, server);
        }
        let upstream = shown(&readme, "nginx");
        let names: Vec<String> = (0..variables.len()).map(|number| format!("rooms-{number}")).collect();
        let upstreams = variables.iter().zip(&names).map(|(variable, name)| {
            let text =
                upstream.replace("$http_x_user_id", variable).replace("upstream rooms", &format!("upstream {name}"));
            (name.as_str(), text.replace('}', "    keepalive 32;\n}\n"))
        });
        let nginx = Nginx::start_with(program, &upstreams.collect::<Vec<_>>(), &servers).await;

        let port = free_port();
        let manifest = format!(
            "apiVersion: ringhold.dev/v1alpha1
kind: LoadBalancer
metadata: {{name: web}}
{}
  listener: {{port: {port}}}
  health: {{periodSeconds: 1}}
  template: {{spec: {{containers: [{{name: server, command: [ringhold-server]}}]}}}}
",
            shown(&readme, "yaml")
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.yaml");
        std::fs::write(&file, &manifest).unwrap();
        let ringhold = Ringhold::start_on(folder, file, port);
        ringhold.settled().await;
        Self { nginx, servers, ringhold, manifest }
    }

    /// Fails if nginx and Ringhold answered any of these requests from different places.
    fn compare(&self, nginx: &[Answer], ringhold: &[Answer]) {
        assert!(nginx.len() == ringhold.len() && !nginx.is_empty());
        let by_nginx = nginx.iter().map(|answer| {
            let server = str::from_utf8(&answer.body).unwrap();
            self.servers.iter().position(|name| name == server).unwrap()
        });
        let by_ringhold = ringhold.iter().map(|answer| {
            let whoami: Value = serde_json::from_slice(&answer.body).unwrap();
            usize::try_from(whoami["ordinal"].as_u64().unwrap()).unwrap()
        });
        let moved = by_nginx.zip(by_ringhold).filter(|(before, after)| before != after).count();
        assert_eq!(moved, 0, "keys moved, of {}:\n{}", nginx.len(), self.manifest);
    }
}

#[tokio::test]
async fn no_key_moves_when_ringhold_takes_over_from_nginx() {
    let Some(program) = nginx_or_skip() else { return };
    let both = Both::start(&program, &["$http_x_user_id"]).await;
    let keys = keys(10_000);
    let before = both.nginx.ask(keyed("/rooms-0", &keys)).await;
    both.compare(&before, &ask(both.ringhold.port, keyed("/whoami", &keys)).await);
}

#[tokio::test]
async fn keys_from_elsewhere_in_a_request_stay_too() {
    let Some(program) = nginx_or_skip() else { return };
    let both = Both::start(&program, &["$cookie_user", "$arg_user", "$remote_addr"]).await;
    let become_by = async |generation, source: &str| {
        let manifest = both.manifest.replace("header: {name: X-User-Id}", source);
        assert_ne!(manifest, both.manifest);
        both.ringhold.write(&manifest);
        both.ringhold.settled_at(generation).await;
    };
    let numbers = || 0..1_000;

    become_by(2, "cookie: {name: user}").await;
    let by_cookie = |path| -> Vec<Asked> {
        let cookie = |number| format!("theme=dark; user=\"{number}\"; other={number}0");
        numbers().map(|number| get(path, |request| request.header("cookie", cookie(number)))).collect()
    };
    let before = both.nginx.ask(by_cookie("/rooms-0")).await;
    both.compare(&before, &ask(both.ringhold.port, by_cookie("/whoami")).await);

    become_by(3, "query: {name: user}").await;
    let by_query = |path| -> Vec<Asked> {
        numbers().map(|number| get(&format!("{path}?id=1&user=u-{number}&user=2"), |request| request)).collect()
    };
    let before = both.nginx.ask(by_query("/rooms-1")).await;
    both.compare(&before, &ask(both.ringhold.port, by_query("/whoami")).await);

    if !cfg!(target_os = "linux") {
        return; // elsewhere a machine calls itself 127.0.0.1 only
    }
    become_by(4, "sourceIp: {}").await;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for number in 1..=100 {
        let from = Ipv4Addr::new(127, 0, 7, number);
        before.push(ask_from(both.nginx.port, from, get("/rooms-2", |request| request)).await);
        after.push(ask_from(both.ringhold.port, from, get("/whoami", |request| request)).await);
    }
    both.compare(&before, &after);
}
