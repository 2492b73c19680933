//! Follows the pods and keeps one worker for each.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::context::Context;
use super::worker::Worker;

/// Between two tries while the API server is away.
const RETRY: Duration = Duration::from_millis(100);

/// The mailboxes of the workers, by UID. `None` in one says that the pod is gone.
type Mailboxes = BTreeMap<String, watch::Sender<Option<Arc<Pod>>>>;

pub(super) async fn run(context: Arc<Context>) {
    let mut events = pin!(watcher(context.all(), watcher::Config::default()));
    let mut workers = JoinSet::new();
    let mut mailboxes = Mailboxes::new();
    let mut listed = BTreeSet::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(pod))) => {
                    listed.extend(pod.uid());
                    deliver(&context, pod, &mut mailboxes, &mut workers);
                }
                Some(Ok(Event::InitDone)) => {
                    for (_, mailbox) in mailboxes.iter().filter(|(uid, _)| !listed.contains(*uid)) {
                        mailbox.send_replace(None);
                    }
                }
                Some(Ok(Event::Apply(pod))) => deliver(&context, pod, &mut mailboxes, &mut workers),
                Some(Ok(Event::Delete(pod))) => {
                    if let Some(mailbox) = mailboxes.get(&pod.uid().unwrap_or_default()) {
                        mailbox.send_replace(None);
                    }
                }
                Some(Err(_)) => tokio::time::sleep(RETRY).await,
                None => return,
            },
            Some(uid) = workers.join_next() => {
                if let Ok(uid) = uid {
                    context.leave(&uid);
                    mailboxes.remove(&uid);
                }
            }
        }
    }
}

fn deliver(context: &Arc<Context>, pod: Pod, mailboxes: &mut Mailboxes, workers: &mut JoinSet<String>) {
    let uid = pod.uid().unwrap_or_default();
    if let Some(mailbox) = mailboxes.get(&uid) {
        mailbox.send_replace(Some(Arc::new(pod)));
        return;
    }
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    if node.is_some_and(|node| *node != context.config.node) {
        return;
    }
    let pod = Arc::new(pod);
    let known = context.enter(&pod);
    let mailbox = watch::Sender::new(Some(pod.clone()));
    let worker = Worker::new(context.clone(), known, pod, mailbox.subscribe());
    mailboxes.insert(uid.clone(), mailbox);
    workers.spawn(async move {
        worker.live().await;
        uid
    });
}
