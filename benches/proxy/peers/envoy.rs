//! Envoy.

use super::{Arguments, Front, Key, Setup};

pub(super) fn prepare(setup: &Setup<'_>) -> anyhow::Result<Arguments> {
    std::fs::write(setup.folder.join("envoy.yaml"), configuration(setup))?;
    let workers = setup.workers.to_string();
    let arguments = ["-c", "envoy.yaml", "--concurrency", &workers, "--disable-hot-restart", "--log-level", "error"];
    Ok(arguments.map(Into::into).into())
}

/// Its circuit breakers would refuse what goes beyond 1024; its own fields about a request would cost it time.
fn configuration(setup: &Setup<'_>) -> String {
    let Setup { folder: _, port, admin: _, replicas, front, key, workers: _, is_bounded: _, certificate } = setup;
    let endpoints: String = replicas
        .iter()
        .map(|port| {
            format!("        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}\n")
        })
        .collect();
    let key = match key {
        Key::Header => "x-key",
        Key::Path => ":path",
    };
    let codec = if *front == Front::Http2 { "HTTP2" } else { "HTTP1" };
    let tls = if *front == Front::Tls {
        format!(
            "
      transport_socket:
        name: tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: {{filename: {}}}
              private_key: {{filename: {}}}",
            certificate.certificate.display(),
            certificate.private_key.display()
        )
    } else {
        String::new()
    };
    format!(
        "static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          codec_type: {codec}
          use_remote_address: true
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - match: {{prefix: /}}
                route: {{cluster: replicas, hash_policy: [{{header: {{header_name: '{key}'}}}}]}}
          http_filters:
          - name: router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true{tls}
  clusters:
  - name: replicas
    type: STATIC
    lb_policy: RING_HASH
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - {{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 100000}}
    load_assignment:
      cluster_name: replicas
      endpoints:
      - lb_endpoints:
{endpoints}"
    )
}
