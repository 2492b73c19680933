//! `GET …/draining`: what replicas on their way out still have in this process. Another process asks before it ends one.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::admin::AdminState;
use crate::admin::error::ApiError;
use crate::admin::fleet_path::FleetPath;
use crate::model::{ReplicaUid, Traffic};

/// Every replica that this process has seen marked. One that is missing here may still get requests from it.
#[derive(Serialize)]
pub(super) struct Draining {
    items: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    uid: ReplicaUid,
    routed: bool,
    in_flight: usize,
}

pub(super) async fn draining(
    State(mut state): State<AdminState>,
    FleetPath(id): FleetPath,
) -> Result<Json<Draining>, ApiError> {
    let table = state.reader.table();
    let fleet = table.fleet(&id).ok_or_else(|| ApiError::unknown(id, table))?;
    let items = fleet.leaving.iter().map(|leaving| {
        let Traffic { routed, in_flight } = leaving.traffic();
        Item { uid: leaving.uid.clone(), routed, in_flight }
    });
    Ok(Json(Draining { items: items.collect() }))
}
