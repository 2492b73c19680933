//! Who talks to the API server, and which way.

use std::net::SocketAddr;
use std::path::Path;

use k8s_openapi::ByteString;
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde_json::json;

use crate::Gate;
use crate::certificates::Authority;

/// A user of one API server, who may be anybody: the administrator, a node agent, a service account.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) server: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) user: String,
    pub(crate) token: String,
    pub(crate) namespace: String,
}

// === impl Access ===

impl Access {
    /// The same user, who comes through a gate.
    #[must_use]
    pub fn through(&self, gate: &Gate) -> Self {
        Self { server: gate.address(), ..self.clone() }
    }

    /// The user's name, as the audit log has it.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The user's bearer token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A new client, for the tokio runtime that this is called in.
    ///
    /// # Errors
    /// What building it gives.
    pub fn client(&self) -> anyhow::Result<Client> {
        let mut config = Config::new(self.url().parse()?);
        config.default_namespace.clone_from(&self.namespace);
        config.root_cert = Some(vec![self.authority.der.clone()]);
        config.auth_info = AuthInfo { token: Some(self.token.clone().into()), ..AuthInfo::default() };
        Ok(Client::try_from(config)?)
    }

    /// Writes a kubeconfig file, for programs.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write_kubeconfig(&self, path: impl AsRef<Path>) -> anyhow::Result<()> {
        let authority = ByteString(self.authority.pem.clone().into_bytes());
        // JSON is YAML.
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url(), "certificate-authority-data": authority}}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": self.namespace}}],
            "current-context": "test",
        });
        Ok(std::fs::write(path, serde_json::to_vec_pretty(&kubeconfig)?)?)
    }

    fn url(&self) -> String {
        format!("https://{}", self.server)
    }
}
