//! nginx.

use super::{Arguments, Front, Key, Setup};

pub(super) fn prepare(setup: &Setup<'_>) -> anyhow::Result<Arguments> {
    std::fs::write(setup.folder.join("nginx.conf"), configuration(setup))?;
    Ok(vec!["-p".into(), setup.folder.into(), "-c".into(), "nginx.conf".into()])
}

/// `keepalive`, HTTP/1.1 and an empty `Connection` are what keeps connections to replicas; without the limits on requests
/// they would be opened anew every thousand. The buffers hold the largest answer, which would touch files else.
fn configuration(setup: &Setup<'_>) -> String {
    let Setup { folder: _, port, admin: _, replicas, front, key, workers, is_bounded: _, certificate } = setup;
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("    {kind}_temp_path {kind};\n")).concat();
    let servers: String = replicas.iter().map(|port| format!("        server 127.0.0.1:{port};\n")).collect();
    let key = match key {
        Key::Header => "$http_x_key",
        Key::Path => "$uri",
    };
    let (option, tls) = match front {
        Front::Http1 => ("", String::new()),
        Front::Http2 => (" http2", "http2_max_requests 100000000;".to_owned()),
        Front::Tls => (
            " ssl",
            format!(
                "ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
                certificate.certificate.display(),
                certificate.private_key.display()
            ),
        ),
    };
    let master = if *workers == 1 { "off" } else { "on" };
    format!(
        "daemon off;
master_process {master};
worker_processes {workers};
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
{temporary}
    upstream replicas {{
        hash {key} consistent;
{servers}        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port}{option};
        {tls}
        location / {{
            proxy_pass http://replicas;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffer_size 16k;
            proxy_buffers 8 16k;
        }}
    }}
}}
"
    )
}
