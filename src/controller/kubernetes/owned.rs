//! Objects that a fleet owns beside its replicas: kept as they should be, and never anybody else's.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::exposure::ExposeError;
use super::truce::Truces;
use crate::api::LoadBalancer;
use crate::backend::kubernetes::marks::{FIELD_MANAGER, LOADBALANCER, MANAGED_BY, RINGHOLD, every_pod};
use crate::backend::kubernetes::{pauses, watching};
use crate::controller::template;
use crate::model::{Desired, FleetId};

/// Says what was applied last, so that a field which is no longer wanted is seen to be there.
const APPLIED: &str = "ringhold.dev/applied";

/// All objects of one kind that fleets own.
pub(super) struct Owned<K: Resource<DynamicType = ()> + 'static> {
    client: Client,
    store: Store<K>,
    truces: Truces,
}

impl<K> Owned<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync,
{
    /// Follows them; the stream names the fleets whose objects have changed, and has to be polled.
    pub(super) fn watch(client: &Client, namespace: Option<&str>) -> (Self, BoxStream<'static, FleetId>) {
        let api = match namespace {
            Some(namespace) => Api::<K>::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let (store, writer) = reflector::store();
        let ours = watching().labels(&every_pod());
        let touched = watcher(api, ours).backoff(pauses()).reflect(writer).touched_objects();
        let touched = touched.filter_map(async |object| {
            let object: K = object.inspect_err(|error| tracing::debug!(%error, "a watch begins anew")).ok()?;
            let name = object.labels().get(LOADBALANCER)?;
            Some(FleetId::new(&object.namespace()?, name))
        });
        (Self { client: client.clone(), store, truces: Truces::default() }, touched.boxed())
    }

    /// Completes once all are known.
    pub(super) fn synced(&self) -> BoxFuture<'static, ()> {
        let store = self.store.clone();
        async move {
            if store.wait_until_ready().await.is_err() {
                tracing::debug!("the watch ended before it had begun");
            }
        }
        .boxed()
    }

    /// Makes it as it is wanted, or `None`: not there.
    pub(super) async fn keep(&self, desired: &Desired, name: &str, wanted: Option<Value>) -> Result<(), ExposeError> {
        let namespace = &*desired.id.namespace;
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let failed = |error| ExposeError::of(&format!("the {} {name}", K::kind(&())), error);
        let known = self.store.get(&ObjectRef::new(name).within(namespace));
        let Some((wanted, hash)) =
            wanted.map(|wanted| mark(desired, name, wanted, &K::api_version(&()), &K::kind(&())))
        else {
            return match known.filter(|known| is_ours(&**known, desired)) {
                Some(known) => delete(&api, &known).await.map_err(failed),
                None => Ok(()),
            };
        };
        let known = match known {
            Some(known) => Some(known),
            // Not known as ours; so whoever's it is, it is looked at before it is written.
            None => api.get_opt(name).await.map_err(failed)?.map(Arc::new),
        };
        let exists = known.is_some();
        match known {
            Some(known) if !is_ours(&*known, desired) => {
                let message = taken(&K::kind(&()), &*known);
                return Err(ExposeError::NameTaken { message });
            }
            Some(known) if serde_json::to_value(&*known).is_ok_and(|known| holds(&known, &wanted)) => return Ok(()),
            Some(_) if self.truces.holds(&desired.id, name, &hash) => return Err(ExposeError::Contested),
            _ => {}
        }
        apply(&api, name, &wanted, exists).await.map_err(failed)?;
        self.truces.begin(&desired.id, name, &hash);
        Ok(())
    }
}

/// Server-side apply can't take away what others have put into a list, such as a second port of our port's name. Where that
/// makes the whole invalid, the spec of one that `exists` is written over first.
async fn apply<K>(api: &Api<K>, name: &str, wanted: &Value, exists: bool) -> kube::Result<()>
where
    K: Clone + Debug + DeserializeOwned,
{
    let params = PatchParams::apply(FIELD_MANAGER);
    let applied = api.patch(name, &params.clone().force(), &Patch::Apply(wanted)).await;
    let is_invalid = matches!(&applied, Err(kube::Error::Api(status)) if status.code == 422);
    if is_invalid && exists && !wanted["spec"].is_null() {
        let spec = json!({"spec": wanted["spec"]});
        if api.patch(name, &params, &Patch::Merge(spec)).await.is_ok() {
            return api.patch(name, &params.force(), &Patch::Apply(wanted)).await.map(drop);
        }
    }
    applied.map(drop)
}

async fn delete<K: Resource + Clone + Debug + DeserializeOwned>(api: &Api<K>, known: &K) -> kube::Result<()> {
    let preconditions = Preconditions { uid: known.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(&known.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Adds whose it is, and a hash of all that is wanted, which is returned as well.
fn mark(desired: &Desired, name: &str, mut object: Value, api_version: &str, kind: &str) -> (Value, String) {
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    let metadata = &mut object["metadata"];
    metadata["name"] = json!(name);
    metadata["namespace"] = json!(desired.id.namespace);
    metadata["labels"][MANAGED_BY] = json!(RINGHOLD);
    metadata["labels"][LOADBALANCER] = json!(desired.id.name);
    metadata["ownerReferences"] = json!([{
        "apiVersion": LoadBalancer::api_version(&()),
        "kind": LoadBalancer::kind(&()),
        "name": desired.id.name,
        "uid": desired.uid.0,
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    let hash = template::hash(&object).0.to_string();
    object["metadata"]["annotations"][APPLIED] = json!(hash);
    (object, hash)
}

/// Whether what is wanted is there already, whatever else is, too: defaults, and what others have added. Fields that are no
/// longer wanted show in [`APPLIED`].
fn holds(known: &Value, wanted: &Value) -> bool {
    match (wanted, known) {
        (Value::Null, _) => true,
        (Value::Object(fields), _) => fields.iter().all(|(name, wanted)| holds(&known[name], wanted)),
        (Value::Array(items), Value::Array(known)) => {
            items.iter().all(|wanted| known.iter().any(|known| holds(known, wanted)))
        }
        (Value::Array(items), _) => items.is_empty(),
        (wanted, known) => wanted == known,
    }
}

fn is_ours<K: Resource>(object: &K, desired: &Desired) -> bool {
    object.meta().owner_references.iter().flatten().any(|owner| *owner.uid == *desired.uid.0)
}

fn taken<K: Resource>(kind: &str, object: &K) -> String {
    let name = object.meta().name.as_deref().unwrap_or_default();
    let owner = object.meta().owner_references.iter().flatten().next();
    let owner = owner.map_or_else(|| "nobody".to_owned(), |owner| format!("{} {}", owner.kind, owner.name));
    format!(
        "the {kind} {name} exists already and belongs to {owner}; it is left alone: remove it, or choose another name for the \
         LoadBalancer"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_found_among_what_others_added() {
        let port = json!({"name": "http", "port": 80, "targetPort": 5000, "protocol": "TCP"});
        let wanted = json!({
            "metadata": {"labels": {}, "annotations": {APPLIED: "1"}},
            "spec": {"type": "NodePort", "ports": [port]},
        });
        let mut known = wanted.clone();
        known["metadata"]["uid"] = json!("u");
        known["metadata"]["labels"] = Value::Null;
        known["spec"]["clusterIP"] = json!("10.0.0.1");
        known["spec"]["ports"][0]["nodePort"] = json!(30000);
        known["spec"]["ports"].as_array_mut().unwrap().insert(0, json!({"port": 443}));
        assert!(holds(&known, &wanted));
        type Change = fn(&mut Value);
        let changes: [Change; 4] = [
            |known| known["spec"]["type"] = json!("ClusterIP"),
            |known| known["spec"]["ports"][1]["targetPort"] = json!(1),
            |known| known["spec"]["ports"] = json!([]),
            |known| known["metadata"]["annotations"][APPLIED] = json!("2"),
        ];
        for change in changes {
            let mut known = known.clone();
            change(&mut known);
            assert!(!holds(&known, &wanted), "{known}");
        }
    }
}
