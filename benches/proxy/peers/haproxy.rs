//! HAProxy.

use super::{Arguments, Front, Key, Setup};

pub(super) fn prepare(setup: &Setup<'_>) -> anyhow::Result<Arguments> {
    std::fs::write(setup.folder.join("haproxy.cfg"), configuration(setup))?;
    Ok(vec!["-db".into(), "-f".into(), "haproxy.cfg".into()])
}

/// `http-reuse always` lets any request take any idle connection.
fn configuration(setup: &Setup<'_>) -> String {
    let Setup { folder: _, port, admin: _, replicas, front, key, workers, is_bounded: _, certificate } = setup;
    let servers: String = replicas.iter().map(|port| format!("    server r{port} 127.0.0.1:{port}\n")).collect();
    let balance = match key {
        Key::Header => "hdr(X-Key)",
        Key::Path => "uri",
    };
    let option = match front {
        Front::Http1 => String::new(),
        Front::Http2 => " proto h2".to_owned(),
        Front::Tls => format!(" ssl crt {}", certificate.both.display()),
    };
    format!(
        "global
    nbthread {workers}
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option forwardfor
    http-reuse always
frontend clients
    bind 127.0.0.1:{port}{option}
    default_backend replicas
backend replicas
    balance {balance}
    hash-type consistent
{servers}"
    )
}
