//! What the API server was asked, by whom, and how it answered.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;

const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// `system:serviceaccount:NAMESPACE:NAME` for a service account.
    pub user: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Empty for the core group, as are all names that there are not.
    pub group: String,
    /// In the plural: `pods`.
    pub resource: String,
    /// `status`, `scale`, `binding` …
    pub subresource: String,
    /// Of what was asked for.
    pub namespace: String,
    /// Of what was asked for.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// `ResponseComplete`, or `Panic`.
    pub stage: String,
    /// When the request came.
    pub received: Timestamp,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

/// Reads the log once a request of our own has shown up in it, so that what was answered before is in it, too. Of one user
/// only, if there is one: a long log is read much faster then.
pub(crate) async fn read(client: &Client, log: &Path, user: Option<&str>) -> anyhow::Result<Vec<AuditEvent>> {
    static MARKS: AtomicU64 = AtomicU64::new(0);
    let mark = format!("/version?audit-mark={}", MARKS.fetch_add(1, Ordering::Relaxed));
    client.request_text(http::Request::get(&mark).body(Vec::new())?).await?;
    let user = user.map(|user| format!("\"username\":\"{user}\""));
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let text = std::fs::read_to_string(log)?;
        if text.contains(&format!("\"requestURI\":\"{mark}\"")) {
            let of_user = |line: &&str| user.as_ref().is_none_or(|user| line.contains(user));
            let events = parse(text.lines().filter(of_user))?;
            return Ok(events.into_iter().filter(|event| !event.uri.contains("audit-mark=")).collect());
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "a request is not in the audit log after {LIMIT:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// A last line that is still being written does not count, nor does one that a killed API server left half.
fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<AuditEvent>> {
    let mut events = Vec::new();
    for line in lines.filter(|line| line.ends_with('}')) {
        match serde_json::from_str::<Line>(line) {
            Ok(line) => events.push(line.into()),
            Err(error) if error.is_data() => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(events)
}

// === impl AuditEvent ===

impl AuditEvent {
    /// Whether it was a request to change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb.as_str())
    }
}

impl From<Line> for AuditEvent {
    fn from(line: Line) -> Self {
        let Line { stage, request_uri, verb, user, user_agent, object_ref, response_status, .. } = line;
        let ObjectRef { resource, subresource, namespace, name, api_group } = object_ref;
        let code = response_status.map_or(0, |status| status.code);
        let (received, user, uri) = (line.request_received_timestamp, user.username, request_uri);
        let group = api_group;
        Self { user, user_agent, verb, group, resource, subresource, namespace, name, uri, code, stage, received }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_from_its_line() {
        let line = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"x","stage":"ResponseComplete",
            "requestURI":"/apis/ringhold.dev/v1alpha1/namespaces/n/loadbalancers/web/status","verb":"patch",
            "user":{"username":"someone","groups":["system:authenticated"]},"sourceIPs":["127.0.0.1"],"userAgent":"ringhold",
            "objectRef":{"resource":"loadbalancers","namespace":"n","name":"web","apiGroup":"ringhold.dev",
            "apiVersion":"v1alpha1","subresource":"status"},"responseStatus":{"metadata":{},"code":200},
            "requestReceivedTimestamp":"2026-01-02T03:04:05.678901Z","stageTimestamp":"2026-01-02T03:04:05.688901Z"}"#;
        let line = line.replace('\n', "");
        let event = AuditEvent {
            user: "someone".to_owned(),
            user_agent: "ringhold".to_owned(),
            verb: "patch".to_owned(),
            group: "ringhold.dev".to_owned(),
            resource: "loadbalancers".to_owned(),
            subresource: "status".to_owned(),
            namespace: "n".to_owned(),
            name: "web".to_owned(),
            uri: "/apis/ringhold.dev/v1alpha1/namespaces/n/loadbalancers/web/status".to_owned(),
            code: 200,
            stage: "ResponseComplete".to_owned(),
            received: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        };
        assert_eq!(parse([&line[..], &line[..200]].into_iter()).unwrap(), [event]);
    }
}
