//! `spec.service`: the Service in front of the proxies, which only a cluster knows.

use std::collections::BTreeMap;

use crate::api::{ExternalTrafficPolicy, LoadBalancerSpec, ServiceSpec, ServiceType};
use crate::controller::validate::Checker;

/// The Service that an accepted spec asks for. Names and annotations that only the API server can judge are as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Who reaches it.
    pub kind: ServiceType,
    /// Its port.
    pub port: u16,
    /// Its port on every node; `None`: the cluster's choice.
    pub node_port: Option<u16>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels, besides ours.
    pub labels: BTreeMap<String, String>,
    /// Who provides a load balancer; `None`: the cluster's own.
    pub load_balancer_class: Option<String>,
    /// Only for what is reached from outside; `None`: the cluster's default.
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

const MOST_ENTRIES: usize = 64;
const PORT: u16 = 80;

/// The Service that this spec asks for; `None` where it leaves it out, or asks for one that can't be.
#[must_use]
pub fn service(spec: &LoadBalancerSpec) -> Option<Service> {
    let mut check = Checker::default();
    checked(spec, &mut check).filter(|_| check.is_content())
}

pub(super) fn checked(spec: &LoadBalancerSpec, check: &mut Checker) -> Option<Service> {
    let declared = &spec.service;
    if *declared == ServiceSpec::default() {
        return None;
    }
    let ServiceSpec { kind, port, node_port, annotations, labels, load_balancer_class, external_traffic_policy } =
        declared.clone();
    let kind = kind.unwrap_or_default();
    let port = port.map_or(PORT, |port| check.number("spec.service.port", port, 1, u16::MAX));
    let node_port = node_port.map(|port| check.number("spec.service.nodePort", port, 1, u16::MAX));
    texts("spec.service.annotations", &annotations, 4_096, check);
    texts("spec.service.labels", &labels, 63, check);
    if kind == ServiceType::ClusterIP {
        let rule = "leave it out, or use NodePort or LoadBalancer in spec.service.type";
        if let Some(port) = node_port {
            check.fail("spec.service.nodePort", &port.to_string(), rule);
        }
        if let Some(policy) = external_traffic_policy {
            check.fail("spec.service.externalTrafficPolicy", &format!("{policy:?}"), rule);
        }
    }
    if let Some(class) = &load_balancer_class {
        const PATH: &str = "spec.service.loadBalancerClass";
        if !is_qualified_name(class) {
            check.fail(PATH, class, "use a name such as internal, or example.com/internal");
        }
        if kind != ServiceType::LoadBalancer {
            check.fail(PATH, class, "leave it out, or use LoadBalancer in spec.service.type");
        }
    }
    Some(Service { kind, port, node_port, annotations, labels, load_balancer_class, external_traffic_policy })
}

fn texts(path: &str, entries: &BTreeMap<String, String>, longest: usize, check: &mut Checker) {
    if entries.len() > MOST_ENTRIES {
        check.fail(path, &format!("{} entries", entries.len()), &format!("use at most {MOST_ENTRIES}"));
    }
    for (name, value) in entries {
        check.length(&format!("{path}.{name}"), value, longest);
    }
}

/// A label's kind of name, with a domain before it or without.
fn is_qualified_name(text: &str) -> bool {
    let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    let is_alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let is_name = bytes.len() <= 63
        && is_alphanumeric(bytes.first())
        && is_alphanumeric(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte));
    let is_domain = |domain: &str| domain.split('.').all(super::is_label);
    is_name && domain.is_none_or(is_domain) && text.len() <= 317
}
