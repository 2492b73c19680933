//! The few requests that change pods. Each ends within a limited time.

use std::future::Future;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, Error, Resource};
use serde_json::{Value, json};

use super::marks;
use super::version::Version;
use crate::model::{ReplicaName, ReplicaUid};

/// For one answer of the API server, with the client's own retries. Who asked may ask again.
const LIMIT: Duration = Duration::from_secs(15);

/// The pods of one namespace.
pub(super) struct Requests<'a> {
    client: &'a Client,
    namespace: &'a str,
    api: Api<Pod>,
}

// === impl Requests ===

impl<'a> Requests<'a> {
    pub(super) fn new(client: &'a Client, namespace: &'a str) -> Self {
        Self { client, namespace, api: Api::namespaced(client.clone(), namespace) }
    }

    /// Creates a pod from JSON as it is, so that nothing is dropped on the way. A field that the API server does not know
    /// is an error: most often it is misspelt, and a template is not checked before.
    pub(super) async fn create(&self, pod: &Value) -> Result<Pod, Error> {
        let pods = Pod::url_path(&(), Some(self.namespace));
        let uri = format!("{pods}?fieldManager={}&fieldValidation=Strict", marks::FIELD_MANAGER);
        let body = serde_json::to_vec(pod).map_err(Error::SerdeError)?;
        let request =
            http::Request::post(uri).header(CONTENT_TYPE, "application/json").body(body).map_err(Error::HttpError)?;
        within_limit(self.client.request(request)).await
    }

    /// The pod of this name, if there is one.
    pub(super) async fn get(&self, name: &ReplicaName) -> Result<Option<Pod>, Error> {
        within_limit(self.api.get_opt(name.as_str())).await
    }

    /// Writes the drain mark on this very copy if it still is at this version. A conflict is the answer if it is not.
    pub(super) async fn mark_draining(
        &self,
        name: &ReplicaName,
        uid: &ReplicaUid,
        version: &Version,
        since: Timestamp,
    ) -> Result<Pod, Error> {
        let patch = json!({
            "metadata": {
                "uid": &*uid.0,
                "resourceVersion": version.as_str(),
                "annotations": {(marks::DRAINING_SINCE): since.to_string()},
            },
        });
        let params = PatchParams { field_manager: Some(marks::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        within_limit(self.api.patch(name.as_str(), &params, &Patch::Merge(patch))).await
    }

    /// Stops this very copy, with the grace that it has. The answer is the pod, where the API server gives it. A conflict
    /// is the answer if another copy bears the name.
    pub(super) async fn delete(&self, name: &ReplicaName, uid: &ReplicaUid) -> Result<Option<Pod>, Error> {
        let this_copy = Preconditions { uid: Some(uid.to_string()), resource_version: None };
        let params = DeleteParams::default().preconditions(this_copy);
        let answer = within_limit(self.api.delete(name.as_str(), &params)).await?;
        Ok(answer.left())
    }
}

async fn within_limit<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(LIMIT, request).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Service(format!("no answer within {} s", LIMIT.as_secs()).into())),
    }
}
