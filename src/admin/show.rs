//! What is published of each LoadBalancer, as JSON.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::admin::AdminState;
use crate::admin::error::ApiError;
use crate::admin::fleet_path::FleetPath;
use crate::model::{Condition, FleetStatus, Ordinal, ReplicaName, ReplicaStatus};
use crate::routes::{FleetEntry, Route, Upstream};

/// Every LoadBalancer, sorted by namespace and name.
#[derive(Serialize)]
pub(super) struct List {
    items: Vec<LoadBalancer>,
}

/// One LoadBalancer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoadBalancer {
    namespace: String,
    name: String,
    /// `null`, as is the ring: not routed now.
    listener: Option<Listener>,
    observed_generation: i64,
    desired_replicas: u16,
    ready_replicas: u16,
    updated_replicas: u16,
    available_replicas: u16,
    ring: Option<Ring>,
    ordinals: Vec<Seat>,
    replicas: Vec<Replica>,
    conditions: Vec<Condition>,
}

#[derive(Serialize)]
struct Listener {
    port: u16,
    hostnames: Vec<String>,
    tls: bool,
}

#[derive(Serialize)]
struct Ring {
    algorithm: &'static str,
    members: usize,
    fingerprint: String,
    slots: usize,
}

/// A member of the ring and who serves its keys.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seat {
    ordinal: Ordinal,
    /// Of the key space, 0 to 1.
    share: f64,
    replica: Option<ReplicaName>,
    address: Option<SocketAddr>,
    in_flight: Option<usize>,
    ejected: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replica {
    #[serde(flatten)]
    status: ReplicaStatus,
    /// `null`: not in the ring, so not known here.
    in_flight: Option<usize>,
}

pub(super) async fn list(State(mut state): State<AdminState>) -> Json<List> {
    Json(List { items: state.reader.table().fleets().map(|fleet| LoadBalancer::new(fleet)).collect() })
}

pub(super) async fn show(
    State(mut state): State<AdminState>,
    FleetPath(id): FleetPath,
) -> Result<Json<LoadBalancer>, ApiError> {
    let table = state.reader.table();
    let fleet = table.fleet(&id).ok_or_else(|| ApiError::unknown(id, table))?;
    Ok(Json(LoadBalancer::new(fleet)))
}

// === impl LoadBalancer ===

impl LoadBalancer {
    fn new(fleet: &FleetEntry) -> Self {
        let FleetEntry { id, status, route, leaving: _, moved: _ } = fleet; // those are among the replicas
        let FleetStatus {
            observed_generation,
            desired_replicas,
            replicas: _, // counted by state in the list of replicas
            ready_replicas,
            updated_replicas,
            available_replicas,
            ring: _, // the route has the one that is published
            conditions,
            members,
        } = status.clone();
        let route = route.as_deref();
        Self {
            namespace: id.namespace.to_string(),
            name: id.name.to_string(),
            listener: route.map(|route| Listener {
                port: route.policy.listener.port,
                hostnames: route.policy.listener.hostnames.clone(),
                tls: route.policy.listener.tls.is_some(),
            }),
            observed_generation,
            desired_replicas,
            ready_replicas,
            updated_replicas,
            available_replicas,
            ring: route.map(|route| Ring::new(&route.ring)),
            ordinals: route.map(ordinals).unwrap_or_default(),
            replicas: members.into_iter().map(|status| Replica::new(status, route)).collect(),
            conditions,
        }
    }
}

impl Ring {
    fn new(ring: &crate::ring::Ring) -> Self {
        Self {
            algorithm: ring.spec().algorithm(),
            members: ring.members().len(),
            fingerprint: ring.fingerprint().to_string(),
            slots: ring.size(),
        }
    }
}

impl Replica {
    fn new(status: ReplicaStatus, route: Option<&Route>) -> Self {
        let seats = route.map(Route::seats).unwrap_or_default();
        let upstream = seats.iter().filter_map(|seat| seat.upstream.as_ref()).find(|up| up.name == status.name);
        let in_flight = upstream.map(|upstream| upstream.in_flight()).or(status.finishing);
        Self { status, in_flight }
    }
}

fn ordinals(route: &Route) -> Vec<Seat> {
    let seat = |(seat, share): (&crate::routes::Seat, &f64)| {
        let upstream = seat.upstream.as_deref();
        Seat {
            ordinal: seat.ordinal,
            share: *share,
            replica: upstream.map(|upstream| upstream.name.clone()),
            address: upstream.map(|upstream| upstream.address),
            in_flight: upstream.map(Upstream::in_flight),
            ejected: upstream.is_some_and(Upstream::is_ejected),
        }
    };
    route.seats().iter().zip(&*route.shares).map(seat).collect()
}
