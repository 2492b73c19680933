//! What stands before a fleet: a Service, EndpointSlices that lead to the proxies, and a budget that keeps evictions from
//! taking several replicas at one time.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, select_all};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Client;
use serde_json::{Value, json};

use super::owned::Owned;
use super::proxies::{Endpoint, Proxies};
use crate::api::LoadBalancer;
use crate::backend::kubernetes::marks::LOADBALANCER;
use crate::controller::validate::{Service as Declared, service as declared_service};
use crate::model::{Desired, FleetId};

/// More endpoints than this are not allowed in one EndpointSlice.
const SLICE: usize = 1000;
/// The port's name, the same in Service and EndpointSlice.
const PORT: &str = "http";

/// All that fleets own beside their replicas.
pub(super) struct Exposures {
    services: Owned<Service>,
    slices: Owned<EndpointSlice>,
    budgets: Owned<PodDisruptionBudget>,
}

/// Why something is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExposeError {
    /// Somebody else's object has the name.
    NameTaken { message: String },
    /// The API server will not have it, until something else changes.
    Refused {
        /// In the API server's own words.
        message: String,
    },
    /// It was written a moment ago and is not so any more, or not yet as far as is known.
    Contested,
    /// The API server did not answer, or can't now.
    Unavailable {
        /// What happened.
        message: String,
    },
}

// === impl Exposures ===

impl Exposures {
    /// Follows them; the stream names the fleets whose objects have changed, and has to be polled.
    pub(super) fn watch(client: &Client, namespace: Option<&str>) -> (Self, BoxStream<'static, FleetId>) {
        let (services, services_touched) = Owned::watch(client, namespace);
        let (slices, slices_touched) = Owned::watch(client, namespace);
        let (budgets, budgets_touched) = Owned::watch(client, namespace);
        let touched = select_all([services_touched, slices_touched, budgets_touched]);
        (Self { services, slices, budgets }, touched.boxed())
    }

    /// Complete once all are known.
    pub(super) fn synced(&self) -> [BoxFuture<'static, ()>; 3] {
        [self.services.synced(), self.slices.synced(), self.budgets.synced()]
    }

    /// Makes everything as the spec wants it, the rest also after one has failed.
    pub(super) async fn keep(
        &self,
        desired: &Desired,
        resource: &LoadBalancer,
        proxies: &Proxies,
    ) -> Result<(), ExposeError> {
        let name = &*desired.id.name;
        let service = service(desired, resource);
        let endpoints = proxies.endpoints();
        let mut outcome = self.budgets.keep(desired, name, Some(budget(desired))).await;
        let [v4, v6] = [false, true].map(|is_v6| {
            let family = endpoints.iter().filter(|endpoint| endpoint.address.is_ipv6() == is_v6);
            family.take(SLICE).collect::<Vec<_>>()
        });
        let is_exposed = service.is_some();
        let slices = [
            (format!("{name}-ringhold"), is_exposed.then(|| slice(desired, "IPv4", &v4))),
            (format!("{name}-ringhold-v6"), (is_exposed && !v6.is_empty()).then(|| slice(desired, "IPv6", &v6))),
        ];
        let kept = self.services.keep(desired, name, service).await;
        for (name, wanted) in slices {
            // Slices of a Service that is not ours would send its requests to us.
            let wanted = wanted.filter(|_| !matches!(kept, Err(ExposeError::NameTaken { .. })));
            outcome = worse(outcome, self.slices.keep(desired, &name, wanted).await);
        }
        worse(kept, outcome)
    }
}

/// Of two, the one that has to be told.
fn worse(one: Result<(), ExposeError>, other: Result<(), ExposeError>) -> Result<(), ExposeError> {
    let rank = |outcome: &Result<(), ExposeError>| match outcome {
        Err(ExposeError::NameTaken { .. }) => 4,
        Err(ExposeError::Refused { .. }) => 3,
        Err(ExposeError::Unavailable { .. }) => 2,
        Err(ExposeError::Contested) => 1,
        Ok(()) => 0,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

/// Our own labels and annotations are written over those of the spec.
fn service(desired: &Desired, resource: &LoadBalancer) -> Option<Value> {
    let Declared { kind, port, node_port, annotations, labels, load_balancer_class, external_traffic_policy } =
        declared_service(&resource.spec)?;
    let mut port = json!({"name": PORT, "port": port, "targetPort": desired.route.listener.port, "protocol": "TCP"});
    if let Some(node_port) = node_port {
        port["nodePort"] = json!(node_port);
    }
    let mut spec = json!({"type": kind, "ports": [port]});
    if let Some(class) = load_balancer_class {
        spec["loadBalancerClass"] = json!(class);
    }
    if let Some(policy) = external_traffic_policy {
        spec["externalTrafficPolicy"] = json!(policy);
    }
    Some(json!({"metadata": {"annotations": annotations, "labels": labels}, "spec": spec}))
}

fn slice(desired: &Desired, family: &str, endpoints: &[&Endpoint]) -> Value {
    let endpoints: Vec<Value> = endpoints.iter().map(|endpoint| endpoint.describe()).collect();
    json!({
        "metadata": {"labels": {
            "kubernetes.io/service-name": desired.id.name,
            "endpointslice.kubernetes.io/managed-by": "ringhold.dev",
        }},
        "addressType": family,
        "ports": [{"name": PORT, "port": desired.route.listener.port, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}

/// A replica that nobody counts on may always be evicted; of the others as many as a rollout would take.
fn budget(desired: &Desired) -> Value {
    json!({
        "spec": {
            "maxUnavailable": desired.rollout.max_unavailable.max(1),
            "selector": {"matchLabels": {LOADBALANCER: desired.id.name}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    })
}

// === impl ExposeError ===

impl ExposeError {
    /// The API server's answer to a request for an object of ours.
    pub(super) fn of(what: &str, error: kube::Error) -> Self {
        match error {
            // A conflict, a timeout and too many requests pass by themselves.
            kube::Error::Api(status)
                if (400..500).contains(&status.code) && ![408, 409, 429].contains(&status.code) =>
            {
                Self::Refused { message: format!("{what} can't be as the spec wants it: {}", status.message) }
            }
            error => Self::Unavailable { message: format!("{what} can't be written now: {error}") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_has_is_told_before_what_passes_by_itself() {
        let message = || "m".to_owned();
        let all: [fn(String) -> Result<(), ExposeError>; 5] = [
            |_| Ok(()),
            |_| Err(ExposeError::Contested),
            |message| Err(ExposeError::Unavailable { message }),
            |message| Err(ExposeError::Refused { message }),
            |message| Err(ExposeError::NameTaken { message }),
        ];
        for (index, milder) in all.iter().enumerate() {
            for graver in &all[index..] {
                let expected = graver(message());
                assert_eq!(format!("{:?}", worse(milder(message()), graver(message()))), format!("{expected:?}"));
                assert_eq!(format!("{:?}", worse(graver(message()), milder(message()))), format!("{expected:?}"));
            }
        }
    }
}
