//! Ringhold, with every protection as it comes.

use anyhow::Context;

use super::{Arguments, Front, Key, Setup};
use crate::replica::HEALTH;

pub(super) fn prepare(setup: &Setup<'_>) -> anyhow::Result<Arguments> {
    std::fs::write(setup.folder.join("ringhold.yaml"), manifest(setup)?)?;
    let (workers, admin) = (setup.workers.to_string(), format!("127.0.0.1:{}", setup.admin.port));
    let arguments = ["local", "--file", "ringhold.yaml", "--workers", &workers, "--admin-address", &admin];
    Ok(arguments.map(Into::into).into())
}

/// It starts the replicas itself: the same program, which goes to the load's core.
fn manifest(setup: &Setup<'_>) -> anyhow::Result<String> {
    let Setup { folder: _, port, admin: _, replicas, front, key, workers: _, is_bounded, certificate } = setup;
    let program = std::env::current_exe()?;
    let program = serde_json::to_string(program.to_str().context("a path that is no UTF-8")?)?;
    let key = match key {
        Key::Header => "header: {name: X-Key}",
        Key::Path => "path: {}",
    };
    let bounded = if *is_bounded { "boundedLoad: {factor: 1.25}" } else { "" };
    let tls = if *front == Front::Tls {
        let (certificate, key) = (certificate.certificate.display(), certificate.private_key.display());
        format!(", tls: {{certificateFile: {certificate}, keyFile: {key}}}")
    } else {
        String::new()
    };
    let count = replicas.len();
    Ok(format!(
        "apiVersion: ringhold.dev/v1alpha1
kind: LoadBalancer
metadata: {{name: bench}}
spec:
  replicas: {count}
  listener: {{port: {port}{tls}}}
  hashKey:
  - {key}
  {bounded}
  health: {{path: {HEALTH}}}
  template:
    spec:
      containers:
      - name: replica
        image: none
        command: [{program}, replica]
        ports: [{{name: http, containerPort: 8080}}]
"
    ))
}
