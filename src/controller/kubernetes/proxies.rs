//! The processes that route: where Services lead, and whom the one that acts asks what a draining replica still has.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::backend::kubernetes::{pauses, watching};
use crate::controller::tick::Elsewhere;
use crate::model::{FleetId, ReplicaUid, Traffic};
use crate::shutdown::Shutdown;

/// For one process's answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Longest answer in bytes.
const LONGEST: usize = 1 << 20;
/// The admin server's port, where a pod does not name one `admin`.
const ADMIN_PORT: u16 = 5001;

/// Which pods are proxies, and which of them this process is.
pub struct ProxiesConfig {
    /// Asks the API server.
    pub client: Client,
    /// The pods' namespace.
    pub namespace: String,
    /// Their labels.
    pub selector: String,
    /// The name of this process's pod.
    pub me: String,
}

/// All proxies.
#[derive(Clone)]
pub struct Proxies {
    /// `None`: this is the only one.
    pods: Option<Store<Pod>>,
    me: Arc<str>,
    changes: watch::Receiver<u64>,
}

/// One proxy, as a Service sees it.
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    admin_port: u16,
    is_ready: bool,
    is_terminating: bool,
    pod: Value,
    node: Option<String>,
}

/// The answer of `GET …/draining`.
#[derive(Deserialize)]
struct Draining {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    uid: String,
    routed: bool,
    in_flight: usize,
}

// === impl Proxies ===

impl Proxies {
    /// This process is the only one, and no Service leads to it.
    #[must_use]
    pub fn none() -> Self {
        Self { pods: None, me: Arc::default(), changes: watch::channel(0).1 }
    }

    /// Follows the proxies' pods until the shutdown. Returns once they are known.
    pub async fn watch(config: ProxiesConfig, shutdown: Shutdown) -> Self {
        let ProxiesConfig { client, namespace, selector, me } = config;
        let (pods, writer) = reflector::store();
        let (changed, changes) = watch::channel(0);
        let only = watching().labels(&selector);
        let events = watcher(Api::<Pod>::namespaced(client, &namespace), only).backoff(pauses()).reflect(writer);
        tokio::spawn(shutdown.run_until_cancelled_owned(events.for_each(move |event| {
            match event {
                Ok(_) => changed.send_modify(|count| *count += 1),
                Err(error) => tracing::warn!(%error, "the proxies' pods can't be watched"),
            }
            std::future::ready(())
        })));
        if pods.wait_until_ready().await.is_err() {
            tracing::debug!("the watch ended before it had begun");
        }
        Self { pods: Some(pods), me: me.into(), changes }
    }

    /// An item whenever a proxy may have come, gone or changed.
    pub(super) fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        futures_util::stream::unfold(self.changes.clone(), async |mut changes| {
            changes.changed().await.is_ok().then_some(((), changes))
        })
    }

    /// All that have an address, sorted, so that equal sets look equal.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let pods = self.pods.as_ref().map(Store::state).unwrap_or_default();
        let mut endpoints: Vec<Endpoint> = pods.iter().flat_map(|pod| Endpoint::all(pod)).collect();
        endpoints.sort_by_key(|endpoint| endpoint.address);
        endpoints
    }

    /// What the other proxies know of a fleet's draining replicas; they are asked only if there are any. One that does not
    /// answer may still route to each of them.
    pub(super) async fn elsewhere(&self, id: &FleetId, drains: bool) -> Elsewhere {
        let pods = self.pods.as_ref().map(Store::state).unwrap_or_default();
        let others = pods.iter().filter(|pod| pod.name_any() != *self.me);
        let others: Vec<Endpoint> = others.filter_map(|pod| Endpoint::all(pod).into_iter().next()).collect();
        if others.is_empty() {
            return Elsewhere::Nobody;
        }
        if !drains {
            return Elsewhere::Said(HashMap::new());
        }
        let answers = join_all(others.iter().map(|other| other.draining(id))).await;
        let mut said: Option<HashMap<ReplicaUid, Traffic>> = None;
        for answer in answers {
            let one: HashMap<ReplicaUid, Traffic> = match answer {
                Ok(Some(one)) => one,
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(fleet = %id, error, "a proxy did not say what still drains there");
                    HashMap::new()
                }
            };
            said = Some(match said {
                None => one,
                // Only what every one of them has seen marked is known.
                Some(all) => all
                    .into_iter()
                    .filter_map(|(uid, traffic)| Some((uid.clone(), traffic.and(*one.get(&uid)?))))
                    .collect(),
            });
        }
        said.map_or(Elsewhere::Nobody, Elsewhere::Said)
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// One for each address family of a pod that runs.
    fn all(pod: &Pod) -> Vec<Self> {
        let Some(status) = &pod.status else { return Vec::new() };
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return Vec::new();
        }
        let conditions = status.conditions.iter().flatten();
        let is_ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
        let admin = ports.find(|port| port.name.as_deref() == Some("admin")).map(|port| port.container_port);
        let addresses = status.pod_ips.iter().flatten().filter_map(|address| address.ip.parse().ok());
        addresses
            .map(|address| Self {
                address,
                admin_port: admin.and_then(|port| u16::try_from(port).ok()).unwrap_or(ADMIN_PORT),
                is_ready,
                is_terminating: pod.metadata.deletion_timestamp.is_some(),
                pod: json!({
                    "kind": "Pod",
                    "namespace": pod.metadata.namespace,
                    "name": pod.metadata.name,
                    "uid": pod.metadata.uid,
                }),
                node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            })
            .collect()
    }

    /// As an EndpointSlice has it.
    pub(super) fn describe(&self) -> Value {
        let Self { address, admin_port: _, is_ready, is_terminating, pod, node } = self;
        let mut endpoint = json!({
            "addresses": [address],
            "conditions": {
                "ready": *is_ready && !*is_terminating,
                "serving": is_ready,
                "terminating": is_terminating,
            },
            "targetRef": pod,
        });
        if let Some(node) = node {
            endpoint["nodeName"] = json!(node);
        }
        endpoint
    }

    /// What it says; `None`: it is not there any more, or not yet, so it has nothing.
    async fn draining(&self, id: &FleetId) -> Result<Option<HashMap<ReplicaUid, Traffic>>, String> {
        let path = format!("/api/v1/loadbalancers/{}/{}/draining", id.namespace, id.name);
        let address = SocketAddr::new(self.address, self.admin_port);
        let asked = tokio::time::timeout(TIMEOUT, get(address, &path)).await;
        let body = match asked.map_err(|_| "it took too long".to_owned())? {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused && !self.is_ready => return Ok(None),
            answer => answer.map_err(|error| error.to_string())?,
        };
        let draining: Draining = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let known = draining
            .items
            .into_iter()
            .map(|Item { uid, routed, in_flight }| (ReplicaUid(uid.into()), Traffic { routed, in_flight }));
        Ok(Some(known.collect()))
    }
}

/// The body of a 200.
async fn get(address: SocketAddr, path: &str) -> std::io::Result<Bytes> {
    let stream = TcpStream::connect(address).await?;
    let other = std::io::Error::other::<hyper::Error>;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
    let request = http::Request::get(path)
        .header(http::header::HOST, address.to_string())
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(std::io::Error::other)?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(other)?;
        if !response.status().is_success() {
            return Err(std::io::Error::other(format!("it answered {}", response.status())));
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(std::io::Error::other)?;
        Ok(body.to_bytes())
    };
    // The connection ends with the exchange: its only sender goes with it.
    let (body, _) = tokio::join!(exchange, connection);
    body
}
