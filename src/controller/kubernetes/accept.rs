//! May a LoadBalancer have what it asks for?

use std::sync::Arc;

use serde_json::json;

use super::Context;
use super::registry::in_force;
use crate::api::{LoadBalancer, PodTemplate};
use crate::backend::Backend;
use crate::controller::accept::{Refusal, accept};
use crate::controller::claims::Conflict;
use crate::controller::template;
use crate::controller::validate::validate;
use crate::model::{Desired, Listener, ListenerTls};

/// The answer.
pub(super) enum Verdict {
    /// Follow this.
    Accepted(Box<Desired>),
    /// Keep what runs. Where nothing does yet, this is known of what ran before this process began.
    Refused(Refusal, Option<Fallback>),
}

/// What is followed in place of a spec that is refused.
pub(super) struct Fallback {
    pub(super) desired: Box<Desired>,
    /// Its template is the fleet's own. Without that only the routes can be followed.
    pub(super) is_whole: bool,
}

/// What is followed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    Nothing,
    /// The routes of a spec whose template can't be read.
    Routes,
    /// An earlier spec.
    Spec,
}

/// Decides on a resource's spec.
pub(super) async fn decide<B: Backend>(context: &Context<B>, resource: &LoadBalancer, followed: Followed) -> Verdict {
    let mut desired = match validate(resource) {
        Ok(desired) => desired,
        Err(errors) if followed != Followed::Nothing => return Verdict::Refused(errors.into(), None),
        Err(errors) => return Verdict::Refused(errors.into(), routes_alone(context, resource).await),
    };
    let manifest = (context.manifest)(&desired);
    let prepared = Arc::make_mut(&mut desired.template);
    prepared.manifest = manifest;
    prepared.hash = template::hash(&prepared.manifest);
    match claim(context, resource, desired.clone()).await {
        Ok(desired) => Verdict::Accepted(Box::new(desired)),
        Err(refusal) if followed == Followed::Spec => Verdict::Refused(refusal, None),
        Err(refusal) => {
            let before = match in_force(resource) {
                Some(listener) => claim(context, resource, with_listener(desired, listener)).await.ok(),
                None => None,
            };
            let whole = |desired| Fallback { desired: Box::new(desired), is_whole: true };
            Verdict::Refused(refusal, before.map(whole))
        }
    }
}

/// A template that can't be read makes no pods, and keeps none from being routed to: each bears its own port. Their
/// number is the one that was told last, for nothing is drained that a smaller one would leave out.
async fn routes_alone<B: Backend>(context: &Context<B>, resource: &LoadBalancer) -> Option<Fallback> {
    let mut readable = resource.clone();
    let container = json!({"name": "unknown", "image": "unknown", "ports": [{"containerPort": 1}]});
    readable.spec.template = PodTemplate(json!({"spec": {"containers": [container]}}));
    readable.spec.target_port = None;
    if let Some(status) = resource.status.as_ref().filter(|status| status.replicas > 0) {
        readable.spec.replicas = status.replicas;
    }
    let mut desired = validate(&readable).ok()?;
    if let Some(listener) = in_force(resource) {
        desired = with_listener(desired, listener);
    }
    let desired = Box::new(claim(context, resource, desired).await.ok()?);
    Some(Fallback { desired, is_whole: false })
}

/// Takes the port and hosts, opens the port, has the backend agree; all of it or nothing.
async fn claim<B: Backend>(
    context: &Context<B>,
    resource: &LoadBalancer,
    desired: Desired,
) -> Result<Desired, Refusal> {
    let listener = &desired.route.listener;
    if listener.port == context.admin_port {
        let port = listener.port;
        let message = format!("spec.listener.port: {port} is Ringhold's own admin port; choose another port");
        return Err(Refusal::new("PortInUse", &message));
    }
    if let Some(ListenerTls { secret: None, files, .. }) = &listener.tls {
        let file = files.as_ref().map(|files| &*files.certificate).unwrap_or_default();
        let message = format!(
            "spec.listener.tls.certificateFile: {file}: pods have no such file; put the certificate into a Secret and name \
             that in spec.listener.tls.secretName"
        );
        return Err(Refusal::new("Unsupported", &message));
    }
    let others = context.resources.state();
    let id = desired.id.clone();
    let before = context.registry.claim(resource, listener, &others).map_err(|conflict: Conflict| conflict)?;
    let accepted = accept(desired, &*context.backend, context.listeners.as_ref()).await;
    if accepted.is_err() {
        context.registry.hold(&id, before);
    }
    accepted
}

fn with_listener(mut desired: Desired, listener: Listener) -> Desired {
    Arc::make_mut(&mut desired.route).listener = listener;
    desired
}
