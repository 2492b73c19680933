//! `PUT …/scale`: another size for a fleet, through the controller.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde::Serialize;
use serde_json::Value;

use crate::admin::AdminState;
use crate::admin::error::ApiError;
use crate::admin::fleet_path::FleetPath;

/// The accepted size; the fleet follows.
#[derive(Serialize)]
pub(super) struct Scaled {
    namespace: String,
    name: String,
    replicas: i64,
}

pub(super) async fn scale(
    State(mut state): State<AdminState>,
    FleetPath(id): FleetPath,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Scaled>, ApiError> {
    let replicas = parse(&body.map_err(ApiError::Body)?).map_err(ApiError::Invalid)?;
    state.requests.scale(id.clone(), replicas).await.map_err(|error| ApiError::scale(error, state.reader.table()))?;
    Ok(Json(Scaled { namespace: id.namespace.to_string(), name: id.name.to_string(), replicas }))
}

/// Whether a fleet can have that size is the controller's to say; here it only has to be a number.
fn parse(body: &[u8]) -> Result<i64, String> {
    const EXAMPLE: &str = r#"send {"replicas": 3}"#;
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON ({error}); {EXAMPLE}"))?;
    let Some(fields) = body.as_object() else { return Err(format!("the body is {body}; {EXAMPLE}")) };
    if let Some(unknown) = fields.keys().find(|field| *field != "replicas") {
        return Err(format!("{unknown} is no field of a scale request; {EXAMPLE}"));
    }
    let replicas = fields.get("replicas").ok_or_else(|| format!("replicas is missing; {EXAMPLE}"))?;
    replicas.as_i64().ok_or_else(|| format!("replicas is {replicas}; use a whole number, as in {EXAMPLE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_whole_number_or_an_error_that_names_field_value_and_way_out() {
        let parse = |body: &str| parse(body.as_bytes());
        let error = |message: &str| Err(message.to_owned());
        assert_eq!(parse(r#"{"replicas": 4}"#), Ok(4));
        assert_eq!(parse(r#"{"replicas": -1}"#), Ok(-1));
        assert_eq!(
            parse("4 replicas"),
            error(r#"the body is not JSON (trailing characters at line 1 column 3); send {"replicas": 3}"#)
        );
        assert_eq!(parse("4"), error(r#"the body is 4; send {"replicas": 3}"#));
        assert_eq!(parse("{}"), error(r#"replicas is missing; send {"replicas": 3}"#));
        assert_eq!(parse(r#"{"n": 4}"#), error(r#"n is no field of a scale request; send {"replicas": 3}"#));
        for value in [r#""4""#, "4.5", "null", "99999999999999999999"] {
            let message = parse(&format!(r#"{{"replicas": {value}}}"#)).expect_err("no whole number");
            assert!(message.starts_with("replicas is ") && message.ends_with(r#"as in send {"replicas": 3}"#));
        }
    }
}
