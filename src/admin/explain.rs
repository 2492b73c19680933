//! `GET …/route?key=K`: where a key would go now, and why.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;

use crate::admin::AdminState;
use crate::admin::error::ApiError;
use crate::admin::fleet_path::FleetPath;
use crate::model::{ConditionType, ReplicaName};
use crate::routes::{Candidate, FleetEntry, PickError, Verdict};

/// The answer.
#[derive(Serialize)]
pub(super) struct Explained {
    key: String,
    /// 16 hexadecimal digits.
    hash: String,
    candidates: Vec<Candidate>,
    taken: Option<ReplicaName>,
    why: String,
}

pub(super) async fn explain(
    State(mut state): State<AdminState>,
    FleetPath(id): FleetPath,
    RawQuery(query): RawQuery,
) -> Result<Json<Explained>, ApiError> {
    let table = state.reader.table();
    let fleet = table.fleet(&id).ok_or_else(|| ApiError::unknown(id, table))?;
    let bytes = key(query.as_deref().unwrap_or_default())
        .ok_or_else(|| ApiError::Invalid("key is missing; ask with ?key=K".to_owned()))?;
    let route = fleet
        .route
        .as_ref()
        .ok_or_else(|| ApiError::NotRouted { id: fleet.id.clone(), reason: why_not_routed(fleet) })?;
    let hash = state.hasher.hash(route.policy.key_hash, &bytes);
    let candidates = route.explain(hash);
    let taken = candidates.iter().position(|candidate| candidate.verdict == Verdict::Taken);
    Ok(Json(Explained {
        key: String::from_utf8_lossy(&bytes).into_owned(),
        hash: format!("{hash:016x}"),
        why: why(&candidates, taken),
        taken: taken.and_then(|taken| candidates[taken].replica.clone()),
        candidates,
    }))
}

/// The bytes of the first `key=` that is not empty, percent-decoded. A plus sign is a plus sign: the key may come from
/// any source, and only in a client's query does it stand for a space.
fn key(query: &str) -> Option<Vec<u8>> {
    let value = query.split('&').filter_map(|pair| pair.strip_prefix("key=")).find(|value| !value.is_empty())?;
    Some(percent_encoding::percent_decode_str(value).collect())
}

fn why(candidates: &[Candidate], taken: Option<usize>) -> String {
    let Some(owner) = candidates.first() else { return "the ring has no members".to_owned() };
    match taken {
        Some(0) => format!("ordinal {} owns this key and is taken", owner.ordinal),
        Some(taken) => {
            let before: Vec<String> = candidates[..taken].iter().map(describe).collect();
            let taken = candidates[taken].ordinal;
            format!(
                "ordinal {} owns this key; passed over: {}; ordinal {taken} is taken",
                owner.ordinal,
                before.join(", ")
            )
        }
        None if candidates.iter().any(|candidate| candidate.verdict == Verdict::Full) => PickError::Full.to_string(),
        None => PickError::NoReplica.to_string(),
    }
}

fn describe(candidate: &Candidate) -> String {
    let because = match candidate.verdict {
        Verdict::Taken => "taken",
        Verdict::Spare => "spare",
        Verdict::NotReady => "not ready",
        Verdict::Failed => "failed",
        Verdict::Ejected => "ejected after failures",
        Verdict::Ramping => "in slow start",
        Verdict::OverBound => "over its bounded load",
        Verdict::Full => "full",
    };
    format!("{} ({because})", candidate.ordinal)
}

fn why_not_routed(fleet: &FleetEntry) -> String {
    let accepted = fleet.status.condition(ConditionType::Accepted);
    accepted.map_or_else(|| "it has not been accepted yet".to_owned(), |condition| condition.message.clone())
}
