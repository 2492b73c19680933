//! TLS in the spec.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS with clients, ended by the proxy. The certificate is read again whenever it changes; connections that are open go
/// on with the one that they began with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTlsSpec {
    /// In a cluster: a Secret in the LoadBalancer's namespace, as of type `kubernetes.io/tls`, with the chain in `tls.crt`
    /// and its key in `tls.key`. The operator has to be allowed to list and watch it: `tls.secrets` in the Helm chart.
    #[schemars(length(min = 1, max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Without a cluster: a file with the chain in PEM form, the server's own certificate first; relative to the manifest.
    #[schemars(length(min = 1, max = 4_096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<String>,
    /// Without a cluster: a file with the certificate's private key in PEM form; relative to the manifest.
    #[schemars(length(min = 1, max = 4_096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// The oldest version of TLS that is spoken.
    pub min_version: MinTlsVersion,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum MinTlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "TLS12")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLS13")]
    Tls13,
}

/// TLS with replicas: each has to show a certificate for this name that one of the authorities vouches for, before anything
/// is sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaTlsSpec {
    /// The name in the certificate of every replica; it is asked for, too (SNI). Addresses of pods come and go, so no
    /// certificate has them.
    #[schemars(length(min = 1, max = 253))]
    pub hostname: String,
    /// A Secret in the LoadBalancer's namespace with the certificates of the authorities in `ca.crt`. The operator has to be
    /// allowed to list and watch it: `tls.secrets` in the Helm chart.
    #[schemars(length(min = 1, max = 253))]
    pub ca_secret_name: String,
}
