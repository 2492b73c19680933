//! A real nginx as a child process, on a free port, with a folder of its own.

use std::env;
use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringhold_test_cluster::leave_out;
use tempfile::TempDir;

use crate::ask::{Answer, Asked, ask};
use crate::harness::{PATIENCE, free_port};
use crate::upstream::Upstream;

/// Runs nginx until it ends or the pipe closes, which it does with this process, however that ends.
const SCRIPT: &str = r#"
exec 3<&0
"$@" &
nginx=$!
{ read -r _ || kill "$nginx"; } <&3 &
wait "$nginx"
"#;

/// A running nginx, with a path for each upstream.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    shell: Child,
    folder: TempDir,
}

/// What a test that needs nginx begins with. Where it is missing, the test is left out; with `CI=true`, it fails.
pub(crate) fn nginx_or_skip() -> Option<PathBuf> {
    let found = program();
    if found.is_none() {
        leave_out(&"nginx is missing: run `tests/nginx/prepare.sh` once, or set RINGHOLD_TEST_NGINX to its program");
    }
    found
}

/// The same places as in `prepare.sh`.
fn program() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(program) = set("RINGHOLD_TEST_NGINX") {
        return Some(program);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let prepared = cache.map(|cache| cache.join("ringhold/test-nginx"));
    installed.chain(prepared).map(|folder| folder.join("nginx")).find(|program| program.is_file())
}

// === impl Nginx ===

impl Nginx {
    /// Starts it with these upstreams, and with a server at each of these addresses, which answers with its address.
    pub(crate) async fn start(program: &Path, upstreams: &[Upstream], servers: &[String]) -> Self {
        let upstreams = upstreams.iter().map(|upstream| (upstream.name.as_str(), upstream.configuration()));
        Self::start_with(program, &upstreams.collect::<Vec<_>>(), servers).await
    }

    /// The same with upstreams as text.
    pub(crate) async fn start_with(program: &Path, upstreams: &[(&str, String)], servers: &[String]) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("nginx.conf"), configuration(port, upstreams, servers)).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(program).arg("-p").arg(folder.path()).args(["-c", "nginx.conf"]);
        let log = File::create(folder.path().join("nginx.log")).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let nginx = Self { port, shell: command.spawn().unwrap(), folder };
        nginx.ready().await
    }

    async fn ready(mut self) -> Self {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let has_ended = self.shell.try_wait().unwrap().is_some();
            assert!(!has_ended && Instant::now() < deadline, "nginx does not start: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self
    }

    /// The answers to these requests, in their order.
    pub(crate) async fn ask(&self, requests: Vec<Asked>) -> Vec<Answer> {
        ask(self.port, requests).await
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("nginx.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

// === impl Answer ===

impl Answer {
    /// The addresses that nginx tried, one after the other.
    pub(crate) fn tried(&self) -> Vec<&str> {
        self.headers["x-tried"].to_str().unwrap().split(", ").collect()
    }
}

fn configuration(port: u16, upstreams: &[(&str, String)], servers: &[String]) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
    let locations = upstreams.iter().map(|(name, _)| format!("location = /{name} {{ proxy_pass http://{name}; }}\n"));
    let locations: String = locations.collect();
    let upstreams: String = upstreams.iter().map(|(_, text)| text.as_str()).collect();
    let servers = servers.iter().map(|server| format!("server {{ listen {server}; return 200 '{server}'; }}\n"));
    let servers: String = servers.collect();
    // One process, which ends when it is told to. Connections are kept whatever they have carried.
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
access_log off;
keepalive_requests 1000000;
{temporary}
{upstreams}
server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_next_upstream error;
    add_header X-Tried $upstream_addr always;
    {locations}
}}
{servers}
}}
"
    )
}
