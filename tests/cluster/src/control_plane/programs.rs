//! How each program of the control plane is called.

use std::path::Path;

use serde_json::json;

use super::{ADMIN, CONTROLLERS, ControlPlane, NODE_AGENT, Ports, token};
use crate::Binaries;
use crate::certificates::{CA, CA_KEY, SERVER, SERVER_KEY, TOKEN_KEY, TOKEN_PUBLIC_KEY};
use crate::program::Program;

pub(super) const AUDIT_LOG: &str = "audit.log";
const AUDIT_POLICY: &str = "audit-policy.json";
const TOKENS: &str = "tokens.csv";
const CONTROLLERS_KUBECONFIG: &str = "controllers.kubeconfig";

/// What the programs read besides the certificates.
pub(super) fn write_files(folder: &Path) -> anyhow::Result<()> {
    let tokens = [ADMIN, CONTROLLERS, NODE_AGENT].map(|user| format!("{},{user},{user},system:masters\n", token(user)));
    std::fs::write(folder.join(TOKENS), tokens.concat())?;
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitManagedFields": true,
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            // What the API server asks itself says nothing about anybody.
            {"level": "None", "users": ["system:apiserver"]},
            {"level": "Metadata"},
        ],
    });
    Ok(std::fs::write(folder.join(AUDIT_POLICY), policy.to_string())?)
}

pub(super) fn etcd(binaries: &Binaries, folder: &Path, ports: &Ports) -> anyhow::Result<Program> {
    let clients = format!("http://127.0.0.1:{}", ports.etcd.number());
    let peers = format!("http://127.0.0.1:{}", ports.etcd_peer.number());
    let arguments = [
        "--name=test".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=test={peers}"),
        // Nothing has to survive the machine, and waiting for its disk would be most of the time.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    Program::start(&binaries.path("etcd"), &arguments, folder)
}

pub(super) fn api_server(cluster: &ControlPlane) -> anyhow::Result<Program> {
    let ControlPlane { binaries, folder, config, ports, .. } = cluster;
    let file = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd.number()),
        format!("--secure-port={}", ports.api_server.number()),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        // It would write 127.0.0.1 as the endpoint of its service, which is not allowed.
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--tls-cert-file={}", file(SERVER)),
        format!("--tls-private-key-file={}", file(SERVER_KEY)),
        format!("--client-ca-file={}", file(CA)),
        format!("--token-auth-file={}", file(TOKENS)),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", file(TOKEN_PUBLIC_KEY)),
        format!("--service-account-signing-key-file={}", file(TOKEN_KEY)),
        format!("--audit-policy-file={}", file(AUDIT_POLICY)),
        format!("--audit-log-path={}", file(AUDIT_LOG)),
        "--audit-log-maxsize=4096".to_owned(), // megabytes; one file, which nobody rotates
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
    ];
    if !config.controllers {
        // Nobody makes the account that this would ask each pod for.
        arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    arguments.extend_from_slice(&config.api_server_arguments);
    Program::start(&binaries.path("kube-apiserver"), &arguments, folder)
}

pub(super) fn controllers(cluster: &ControlPlane) -> anyhow::Result<Program> {
    let ControlPlane { binaries, folder, config, .. } = cluster;
    let file = |name: &str| folder.join(name).display().to_string();
    let kubeconfig = file(CONTROLLERS_KUBECONFIG);
    cluster.access(CONTROLLERS, &token(CONTROLLERS), "default").write_kubeconfig(&kubeconfig)?;
    let mut arguments = vec![
        format!("--kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        format!("--root-ca-file={}", file(CA)),
        format!("--service-account-private-key-file={}", file(TOKEN_KEY)),
        format!("--cluster-signing-cert-file={}", file(CA)),
        format!("--cluster-signing-key-file={}", file(CA_KEY)),
        format!("--node-monitor-grace-period={}s", config.node_grace.as_secs().max(1)),
        "--node-monitor-period=1s".to_owned(),
        "--horizontal-pod-autoscaler-sync-period=1s".to_owned(),
        "--horizontal-pod-autoscaler-downscale-stabilization=1s".to_owned(),
        "--horizontal-pod-autoscaler-initial-readiness-delay=1s".to_owned(),
        "--horizontal-pod-autoscaler-cpu-initialization-period=1s".to_owned(),
        "--resource-quota-sync-period=1s".to_owned(),
        "--namespace-sync-period=5s".to_owned(),
    ];
    arguments.extend_from_slice(&config.controller_arguments);
    Program::start(&binaries.path("kube-controller-manager"), &arguments, folder)
}
