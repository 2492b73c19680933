//! The sample's fleet as its users see it: the resource, its pods, and who serves which key.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::load::{self, Report};

/// Keys whose owners are compared.
const KEYS: usize = 300;

/// `deploy/samples/web.yaml`, applied.
pub(crate) struct Fleet<'a> {
    pub(crate) cluster: &'a Cluster,
    /// The Service by its address in the cluster.
    pub(crate) service: SocketAddr,
    /// Its port on each of the nodes.
    pub(crate) node_ports: Vec<SocketAddr>,
    /// The ordinals of all keys while three replicas are ready.
    pub(crate) owners: Vec<u16>,
}

impl<'a> Fleet<'a> {
    pub(crate) async fn apply_sample(cluster: &'a Cluster) -> Self {
        cluster.say("applies deploy/samples/web.yaml");
        cluster.kubectl("apply --filename deploy/samples/web.yaml").await;
        let spec = r#"{"spec": {"service": {"type": "NodePort", "port": 80}}}"#;
        cluster.try_kubectl(&["patch", "lb", "web", "--type=merge", "--patch", spec], "").await.unwrap();
        settled(cluster, 3).await;
        let service = cluster.eventually("a Service with a port on the nodes", async || {
            let service = cluster.get("service web").await;
            service["spec"]["ports"][0]["nodePort"].is_number().then_some(service).ok_or("not yet".to_owned())
        });
        let service = service.await["spec"].take();
        let port = |field: &str| u16::try_from(service["ports"][0][field].as_u64().unwrap()).unwrap();
        let nodes = cluster.list("nodes").await;
        let node_ports = nodes.iter().map(|node| {
            let mut addresses = node["status"]["addresses"].as_array().unwrap().iter();
            let internal = addresses.find(|address| address["type"] == "InternalIP").unwrap();
            SocketAddr::new(address_of(&internal["address"]), port("nodePort"))
        });
        let mut fleet = Self {
            cluster,
            service: SocketAddr::new(address_of(&service["clusterIP"]), port("port")),
            node_ports: node_ports.collect(),
            owners: Vec::new(),
        };
        fleet.answers().await;
        fleet.owners = fleet.owners_through(fleet.service).await;
        fleet
    }

    /// A chapter: says what is done, and runs it under load through the Service.
    pub(crate) async fn under_load(&self, what: impl Display, act: impl Future<Output = ()>) -> Report {
        self.cluster.say(what);
        let report = load::during(self.service, act).await;
        let Report { answered, failures, posts, ordinals } = &report;
        let moved = ordinals.values().filter(|served| served.len() > 1).count();
        self.cluster.say(format!(
            "  {answered} requests answered, {} GETs and {} POSTs failed, {moved} of {} keys moved",
            failures.len(),
            posts.len(),
            ordinals.len()
        ));
        if let Some(failure) = failures.iter().chain(posts).next() {
            self.cluster.say(format!("  {failure}"));
        }
        report
    }

    /// Waits until the resource says that so many replicas are all there is, ready and up to date.
    pub(crate) async fn settled(&self, replicas: u64) {
        settled(self.cluster, replicas).await;
    }

    /// Three replicas are ready, and every key is where it was: at once, unless a proxy keeps away for a while from a
    /// replica that has broken connections.
    pub(crate) async fn is_as_at_first(&self) {
        self.settled(3).await;
        let home = self.cluster.eventually("every key has its first ordinal", async || {
            let away = moved(&self.owners, &self.owners_through(self.service).await);
            if away == 0 { Ok(()) } else { Err(format!("{away} of {KEYS} keys are elsewhere")) }
        });
        home.await;
    }

    /// The ordinals that serve all keys.
    pub(crate) async fn owners_through(&self, address: SocketAddr) -> Vec<u16> {
        let mut client = Client::new(address);
        let mut owners = Vec::new();
        for key in 0..KEYS {
            owners.push(client.whoami("GET", &format!("user-{key}")).await.unwrap().ordinal);
        }
        owners
    }

    /// All pods of the fleet, the ones on their way out, too.
    pub(crate) async fn pods(&self) -> Vec<Value> {
        pods(self.cluster).await
    }

    /// Patches the resource.
    pub(crate) async fn patch(&self, kind: &str, patch: &str) {
        let args = ["patch", "loadbalancer", "web", "--type", kind, "--patch", patch];
        self.cluster.try_kubectl(&args, "").await.unwrap();
    }

    /// Deletes the resource; nothing of it stays.
    pub(crate) async fn delete(self) {
        self.cluster.say("deletes the LoadBalancer");
        self.cluster.kubectl("delete loadbalancer web").await;
        let cluster = self.cluster;
        let nothing_left = cluster.eventually("nothing of the LoadBalancer is left", async || {
            let all = cluster.list("pods,services,endpointslices,poddisruptionbudgets,controllerrevisions").await;
            let mut left: Vec<_> = all.iter().map(|object| format!("{}/{}", object["kind"], name(object))).collect();
            left.retain(|object| !object.ends_with("/kubernetes"));
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
        nothing_left.await;
    }

    /// Waits until the Service's first request is answered: kube-proxy follows the pods a moment later.
    async fn answers(&self) {
        for address in self.node_ports.iter().chain([&self.service]) {
            let answer =
                self.cluster.eventually("an answer", async || Client::new(*address).whoami("GET", "ann").await);
            answer.await;
        }
    }
}

async fn pods(cluster: &Cluster) -> Vec<Value> {
    let selector = cluster.get("loadbalancer web").await["status"]["selector"].as_str().unwrap_or("app=web").to_owned();
    cluster.list(&format!("pods --selector {selector}")).await
}

async fn settled(cluster: &Cluster, replicas: u64) {
    let settled = cluster.eventually(format!("{replicas} replicas"), async || {
        let resource = cluster.get("loadbalancer web").await;
        let status = &resource["status"];
        let counts = ["replicas", "readyReplicas", "updatedReplicas", "availableReplicas"];
        let is_current = status["observedGeneration"] == resource["metadata"]["generation"];
        if !is_current || counts.iter().any(|count| status[count].as_u64() != Some(replicas)) {
            return Err(status.to_string());
        }
        let pods: BTreeSet<_> = pods(cluster).await.iter().map(name).collect();
        if pods.len() as u64 == replicas { Ok(()) } else { Err(format!("{pods:?}")) }
    });
    settled.await;
}

/// How many keys have another owner.
pub(crate) fn moved(before: &[u16], after: &[u16]) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

pub(crate) fn uids(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(|object| object["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
}

/// The address of a pod.
pub(crate) fn address_of(text: &Value) -> IpAddr {
    text.as_str().unwrap().parse().unwrap()
}
