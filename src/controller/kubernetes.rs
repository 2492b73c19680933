//! The driver in a cluster: LoadBalancers and their pods at the API server, several processes that route, one that acts.
//!
//! kube's `Controller` decides which LoadBalancer is looked at, one look at a time for each. A look is the same for all
//! processes: decide on the spec, tick, and, where this process acts, write what the cluster should see.

mod accept;
mod events;
mod exposure;
mod fleet;
mod owned;
mod proxies;
mod registry;
mod routing;
mod secrets;
mod secured;
mod stats;
mod truce;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use crate::api::LoadBalancer;
use crate::backend::Backend;
use crate::backend::kubernetes::{pauses, watching};
use crate::controller::leader::Leader;
use crate::controller::manifest::identity;
use crate::controller::tick::Part;
use crate::model::{Desired, FleetId, FleetUid};
use crate::routes::{Listeners, Publisher, ScaleError, ScaleRequest};
use crate::shutdown::Shutdown;
use crate::tls::{Authorities, Certificate};
use events::Narrator;
use exposure::Exposures;
use registry::Registry;
use secrets::{AUTHORITIES, CERTIFICATES, Secrets};

pub use proxies::{Proxies, ProxiesConfig};
pub use stats::Stats;

/// So many LoadBalancers are looked at at one time; each waits mostly for the API server.
const CONCURRENCY: u16 = 32;
/// Changed LoadBalancers that wait to be taken up.
const BUFFER: usize = 256;

/// At the end, for the Events that wait to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the driver works with.
pub struct KubernetesConfig<B> {
    /// Asks the API server.
    pub client: Client,
    /// Only LoadBalancers of this namespace; `None`: all.
    pub namespace: Option<String>,
    /// Where the replicas run.
    pub backend: Arc<B>,
    /// What the backend makes of a template; a change of it is a rollout.
    pub manifest: fn(&Desired) -> serde_json::Value,
    /// Completes once the backend knows all replicas.
    pub synced: BoxFuture<'static, ()>,
    /// Fleets whose replicas have changed.
    pub touched: BoxStream<'static, FleetId>,
    /// Where routes go.
    pub publisher: Arc<Publisher>,
    /// Opens ports; `None`: this process does not route.
    pub listeners: Option<Listeners>,
    /// The admin server's port, which no LoadBalancer can have.
    pub admin_port: u16,
    /// Whether this process acts.
    pub leader: Arc<Leader>,
    /// The processes that route.
    pub proxies: Proxies,
    /// What people ask through the admin API.
    pub scale_requests: mpsc::Receiver<ScaleRequest>,
    /// In whose name Events are written.
    pub identity: String,
    /// What `/metrics` shows of this.
    pub stats: Arc<Stats>,
}

/// What every look shares.
struct Context<B> {
    client: Client,
    backend: Arc<B>,
    manifest: fn(&Desired) -> serde_json::Value,
    publisher: Arc<Publisher>,
    listeners: Option<Listeners>,
    admin_port: u16,
    leader: Arc<Leader>,
    proxies: Proxies,
    resources: Store<LoadBalancer>,
    /// True once the store holds them all. A store itself wakes only one of those who wait for it.
    listed: watch::Sender<bool>,
    registry: Registry,
    certificates: Secrets<Certificate>,
    authorities: Secrets<Authorities>,
    exposures: Option<Exposures>,
    narrator: Narrator,
    stats: Arc<Stats>,
}

/// A look that did not go through; the next comes after the pause.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Failure {
    message: String,
    pause: Duration,
}

/// Reconciles until the shutdown. `ready` turns true once every LoadBalancer has been looked at.
pub async fn run<B: Backend>(config: KubernetesConfig<B>, shutdown: Shutdown, ready: watch::Sender<bool>) {
    let api = match &config.namespace {
        Some(namespace) => Api::<LoadBalancer>::namespaced(config.client.clone(), namespace),
        None => Api::all(config.client.clone()),
    };
    let (resources, writer) = reflector::store_shared(BUFFER);
    let Some(news) = writer.subscribe() else { unreachable!("the store was made to be shared") };
    let (again, asked_again) = mpsc::unbounded_channel();
    // Who never acts has no rights to what fleets own, and no use for it.
    let watch = config.leader.is_candidate().then(|| Exposures::watch(&config.client, config.namespace.as_deref()));
    let (exposures, exposed) =
        watch.map_or_else(|| (None, futures_util::stream::pending().boxed()), |(all, touched)| (Some(all), touched));
    let exposed_synced = join_all(exposures.iter().flat_map(Exposures::synced));
    let (narrator, narration) = Narrator::new(config.client.clone(), config.identity);
    let narration = tokio::spawn(narration);
    let context = Arc::new(Context {
        narrator,
        certificates: Secrets::new(config.client.clone(), CERTIFICATES, again.clone()),
        authorities: Secrets::new(config.client.clone(), AUTHORITIES, again.clone()),
        client: config.client,
        backend: config.backend,
        manifest: config.manifest,
        publisher: config.publisher,
        listeners: config.listeners,
        admin_port: config.admin_port,
        leader: config.leader,
        proxies: config.proxies,
        resources: resources.clone(),
        listed: watch::Sender::new(false),
        registry: Registry::new(again),
        exposures,
        stats: config.stats,
    });
    let events = watcher(api, watching()).backoff(pauses()).reflect_shared(writer);
    let watched = tokio::spawn(shutdown.clone().run_until_cancelled_owned(follow(Arc::clone(&context), events)));
    let answered = tokio::spawn(shutdown.clone().run_until_cancelled_owned(refuse_to_scale(config.scale_requests)));
    let announced = tokio::spawn(shutdown.clone().run_until_cancelled_owned(announce(Arc::clone(&context), ready)));

    // What owned objects there are is known once their streams have been polled; what they say then is heard below.
    let (exposed, exposed_pump) = pump(exposed);
    let exposed_pump = tokio::spawn(shutdown.clone().run_until_cancelled_owned(exposed_pump));
    let routing = Arc::clone(&context);
    let (touched, touched_pump) = pump(config.touched.then(move |id| route(Arc::clone(&routing), id)));
    let touched_pump = tokio::spawn(shutdown.clone().run_until_cancelled_owned(touched_pump));
    if shutdown.run_until_cancelled(async { tokio::join!(config.synced, exposed_synced) }).await.is_some() {
        let woken = Arc::clone(&context);
        Controller::for_shared_stream(news, resources)
            .with_config(Config::default().concurrency(CONCURRENCY))
            .reconcile_on(touched.map(|id| reference(&id)))
            .reconcile_on(exposed.map(|id| reference(&id)))
            .reconcile_on(stream(asked_again).map(|id| reference(&id)))
            .reconcile_all_on(futures_util::stream::unfold(woken, async |context| {
                context.publisher.woken().await;
                Some(((), context))
            }))
            .reconcile_all_on(context.leader.changes())
            .reconcile_all_on(context.proxies.changes())
            .graceful_shutdown_on(shutdown.clone().cancelled_owned())
            .run(look, |_, failure, _| Action::requeue(failure.pause), context)
            .for_each(|_| std::future::ready(()))
            .await;
    }
    for task in [watched, answered, announced, exposed_pump, touched_pump] {
        drop(task.await);
    }
    // All looks have ended, and the narrator with them; what it has told last is written yet.
    drop(tokio::time::timeout(LAST_WORDS, narration).await);
}

/// Looks at one LoadBalancer.
async fn look<B: Backend>(resource: Arc<LoadBalancer>, context: Arc<Context<B>>) -> Result<Action, Failure> {
    let id = identity(&resource);
    let fleet = context.registry.fleet(&resource);
    let mut fleet = fleet.lock().await;
    let began = Instant::now();
    let outcome = fleet.look(&resource, &context).await;
    context.registry.end(&id, fleet.is_refused());
    context.stats.looked(outcome.is_ok(), began.elapsed());
    if let Err(Failure { message, pause }) = &outcome {
        tracing::warn!(fleet = %id, %message, ?pause, "a look failed and will be taken again");
    }
    outcome
}

/// A replica of this fleet has changed: routes it at once. Everything else is for the look that follows.
async fn route<B: Backend>(context: Arc<Context<B>>, id: FleetId) -> FleetId {
    let since = Instant::now();
    if let Some(routing) = context.registry.routing(&id) {
        match routing.follow(&*context.backend, &context.publisher).await {
            Ok(true) => context.stats.routed_after(since.elapsed()),
            Ok(false) => {}
            Err(error) => tracing::debug!(fleet = %id, %error, "news can't be routed; the look says why"),
        }
    }
    id
}

/// Follows the LoadBalancers; those that are gone are taken off the table.
async fn follow<B: Backend>(
    context: Arc<Context<B>>,
    events: impl Stream<Item = watcher::Result<Event<LoadBalancer>>>,
) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Delete(resource)) => {
                let uid = FleetUid(resource.metadata.uid.as_deref().unwrap_or_default().into());
                remove(&context, &identity(&resource), Some(&uid));
            }
            Ok(Event::InitDone) => {
                context.listed.send_replace(true);
                for id in context.registry.ids() {
                    if context.resources.get(&reference(&id)).is_none() {
                        remove(&context, &id, None);
                    }
                }
            }
            Ok(Event::Apply(_) | Event::Init | Event::InitApply(_)) => {}
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 404 => {
                tracing::error!(
                    "the API server knows no LoadBalancer: install it with `ringhold crd | kubectl apply -f -`"
                );
            }
            Err(error) => tracing::warn!(%error, "the LoadBalancers can't be watched; what is routed stays"),
        }
    }
}

/// Its replicas are the garbage collector's now.
fn remove<B: Backend>(context: &Arc<Context<B>>, id: &FleetId, uid: Option<&FleetUid>) {
    let Some(fleet) = context.registry.remove(id, uid) else { return };
    let (context, id) = (Arc::clone(context), id.clone());
    // A look that runs would put it back, so its end is waited for; the watch must not wait.
    tokio::spawn(async move {
        if let Some(desired) = fleet.lock().await.end().await {
            context.backend.forget(&desired);
        }
        if context.resources.get(&reference(&id)).is_none() {
            context.publisher.withdraw(&id);
            context.certificates.forget(&id);
            context.authorities.forget(&id);
        }
    });
}

/// Says when every LoadBalancer that there was at the start has been looked at, and when this process begins to act.
async fn announce<B: Backend>(context: Arc<Context<B>>, ready: watch::Sender<bool>) {
    if context.listed.subscribe().wait_for(|listed| *listed).await.is_err() {
        return;
    }
    let at_the_start = context.resources.state().iter().map(|resource| identity(resource)).collect();
    context.registry.looked_at(at_the_start, |id| context.resources.get(&reference(id)).is_some()).await;
    ready.send_replace(true);
    let mut changes = Box::pin(context.leader.changes());
    loop {
        context.stats.leads(context.leader.part() == Part::Acts);
        if changes.next().await.is_none() {
            return;
        }
    }
}

/// The size of a fleet is the API server's to keep.
async fn refuse_to_scale(mut requests: mpsc::Receiver<ScaleRequest>) {
    while let Some(ScaleRequest { id, replicas, reply }) = requests.recv().await {
        let FleetId { namespace, name } = id;
        let message = format!("in a cluster: kubectl scale lb {name} --namespace {namespace} --replicas={replicas}");
        if reply.send(Err(ScaleError::Invalid(message))).is_err() {
            tracing::debug!("whoever asked for another size did not wait for the answer");
        }
    }
}

fn reference(id: &FleetId) -> ObjectRef<LoadBalancer> {
    ObjectRef::new(&id.name).within(&id.namespace)
}

fn stream<T: Send + 'static>(receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    futures_util::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

/// Polls a stream from the start, whoever listens later.
fn pump<T: Send + 'static>(
    source: impl Stream<Item = T> + Send + 'static,
) -> (impl Stream<Item = T> + Send + 'static, impl Future<Output = ()> + Send + 'static) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let pump = source.for_each(move |item| {
        let _ = sender.send(item); // nobody listens any more: we are shutting down
        std::future::ready(())
    });
    (stream(receiver), pump)
}
