//! One pod's way: placed, started, reported, stopped, gone.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Run;
use super::container::{Container, Exit};
use super::context::{Context, Controls, Known, Seen};
use super::life::{Life, State};
use super::probe::Probe;
use crate::claims;

/// Between two tries of a request that failed.
const RETRY: Duration = Duration::from_millis(100);
/// A container that ends starts again at once, then after this, then after ever longer.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// A container that ran so long has recovered.
const RECOVERED: Duration = Duration::from_secs(10);

pub(super) struct Worker {
    context: Arc<Context>,
    known: Known,
    pod: Arc<Pod>,
    mailbox: watch::Receiver<Option<Arc<Pod>>>,
    controls: watch::Receiver<Controls>,
    kills: u64,
}

/// A pod that has its place.
struct Placed {
    worker: Worker,
    life: Life,
    probe: Probe,
    container: Option<Container>,
    started: Instant,
    backoff: Duration,
    /// When to start the container.
    start_at: Option<Instant>,
    /// When to kill a container that was told to stop.
    kill_at: Option<Instant>,
    reported: Option<Value>,
    report_at: Option<Instant>,
}

enum Happened {
    Changed,
    Gone,
    Controlled,
    Ended(Exit),
    KillDue,
    StartDue,
    ReportDue,
    Answered(bool),
    Acting,
}

// === impl Worker ===

impl Worker {
    pub(super) fn new(
        context: Arc<Context>,
        known: Known,
        pod: Arc<Pod>,
        mailbox: watch::Receiver<Option<Arc<Pod>>>,
    ) -> Self {
        let controls = known.controls.subscribe();
        Self { context, known, pod, mailbox, controls, kills: 0 }
    }

    /// Until the pod is gone, or has gone to another node.
    pub(super) async fn live(mut self) {
        if self.place().await.is_none() {
            return;
        }
        // Only a machine whose 64 networks are all taken has no address left; the pod then stays pending.
        if let Ok(address) = claims::address() {
            Placed::new(self, address).live().await;
        }
    }

    /// Binds the pod to the node. `None`: it is gone, or somebody else's.
    async fn place(&mut self) -> Option<()> {
        loop {
            let spec = self.pod.spec.as_ref()?;
            match &spec.node_name {
                Some(node) => return (*node == self.context.config.node).then_some(()),
                None if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) => {
                    self.next_version().await?;
                }
                None => match self.bind().await {
                    Ok(()) => return Some(()),
                    Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => self.next_version().await?,
                    Err(_) => tokio::time::sleep(RETRY).await,
                },
            }
        }
    }

    async fn bind(&self) -> kube::Result<()> {
        self.context.until_acting().await;
        let _turn = self.context.turn().await;
        let name = self.pod.name_any();
        let target = json!({"apiVersion": "v1", "kind": "Node", "name": self.context.config.node});
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "uid": self.pod.uid()},
            "target": target,
        });
        let pods = self.context.beside(&self.pod);
        pods.create_subresource::<_, Value>("binding", &name, &PostParams::default(), &binding).await.map(drop)
    }

    /// Waits for the next version of the pod; `None`: it is gone.
    async fn next_version(&mut self) -> Option<()> {
        self.mailbox.changed().await.ok()?;
        self.pod = self.mailbox.borrow_and_update().clone()?;
        Some(())
    }
}

// === impl Placed ===

impl Placed {
    fn new(worker: Worker, address: std::net::Ipv4Addr) -> Self {
        let is_asked = matches!(worker.context.config.run, Run::Processes(_));
        let mut placed = Self {
            life: Life::new(address, Timestamp::now()),
            probe: Probe::new(&worker.pod, address, is_asked),
            container: None,
            started: Instant::now(),
            backoff: Duration::ZERO,
            start_at: None,
            kill_at: None,
            reported: None,
            report_at: None,
            worker,
        };
        // One that is to go, or is over, is not started; one that an earlier agent has run is run again.
        let phase = placed.worker.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            placed.life.ended(
                Exit { code: i32::from(phase != Some("Succeeded")), signal: None },
                false,
                Timestamp::now(),
            );
        } else if placed.worker.pod.metadata.deletion_timestamp.is_none() {
            placed.start_at = Some(placed.started);
        }
        placed
    }

    async fn live(mut self) {
        if self.start_at.is_some() && self.worker.context.is_acting() {
            // What is there at once is reported at once, in one go.
            self.start().await;
        }
        self.follow();
        loop {
            self.show();
            if self.kill_at.is_some() && self.container.is_none() {
                return self.finish().await;
            }
            self.report().await;
            match self.happens().await {
                Happened::Changed => self.follow(),
                Happened::Gone => return self.vanish().await,
                Happened::Controlled => self.obey(),
                Happened::Ended(exit) => self.ended(exit),
                Happened::KillDue => self.kill(),
                Happened::StartDue => self.start().await,
                Happened::ReportDue => self.report_at = None,
                Happened::Answered(is_success) => {
                    self.probe.answered(is_success);
                    self.refresh();
                }
                Happened::Acting => self.follow(),
            }
        }
    }

    async fn happens(&mut self) -> Happened {
        let Self { worker, container, probe, kill_at, start_at, report_at, .. } = self;
        let Worker { context, pod, mailbox, controls, .. } = worker;
        let mut acting = context.acting.subscribe();
        let is_acting = *acting.borrow_and_update();
        let (is_running, start_at) = (container.is_some(), start_at.filter(|_| is_acting));
        tokio::select! {
            biased;
            changed = mailbox.changed() => match changed.ok().and_then(|()| mailbox.borrow_and_update().clone()) {
                Some(next) => {
                    *pod = next;
                    Happened::Changed
                }
                None => Happened::Gone,
            },
            Ok(()) = controls.changed() => Happened::Controlled,
            exit = ended(container) => Happened::Ended(exit),
            () = at(*kill_at), if is_running => Happened::KillDue,
            () = at(start_at) => Happened::StartDue,
            () = at(*report_at) => Happened::ReportDue,
            answer = probe.ask(), if is_running => Happened::Answered(answer),
            Ok(()) = acting.changed() => Happened::Acting,
        }
    }

    /// Looks whether the pod is to stop. A lost node does not hear of it.
    fn follow(&mut self) {
        let metadata = &self.worker.pod.metadata;
        if metadata.deletion_timestamp.is_none() || !self.worker.context.is_acting() {
            return;
        }
        let grace = metadata.deletion_grace_period_seconds.and_then(|grace| u64::try_from(grace).ok()).unwrap_or(30);
        let kill_at = Instant::now() + Duration::from_secs(grace);
        self.start_at = None;
        match self.kill_at {
            None => {
                self.kill_at = Some(kill_at);
                if let Some(container) = &self.container {
                    container.terminate();
                }
            }
            // A second deletion can only shorten the first one's grace.
            Some(before) => self.kill_at = Some(before.min(kill_at)),
        }
    }

    /// Does what the test wants.
    fn obey(&mut self) {
        let Controls { kills, is_evicted, is_forced_unready: _ } = *self.worker.controls.borrow_and_update();
        if kills != self.worker.kills {
            self.worker.kills = kills;
            self.kill();
        }
        if is_evicted && !self.life.is_over() {
            self.life.is_evicted = true;
            self.start_at = None;
            self.kill();
        }
        self.refresh();
    }

    async fn start(&mut self) {
        self.start_at = None;
        let Worker { context, pod, known, .. } = &self.worker;
        match Container::start(&context.config.run, pod, self.life.address, &known.log).await {
            Ok(container) => {
                self.container = Some(container);
                self.started = Instant::now();
                self.life.state = State::Running { since: Timestamp::now() };
                self.probe.restart();
                self.refresh();
            }
            Err(waiting) => {
                self.life.state = State::Waiting(waiting);
                self.start_later();
            }
        }
    }

    fn kill(&self) {
        if let Some(container) = &self.container {
            container.kill();
        }
    }

    fn ended(&mut self, exit: Exit) {
        self.container = None;
        let policy = self.worker.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        let is_wanted = match policy {
            Some("Never") => false,
            Some("OnFailure") => exit.code != 0,
            _ => true,
        };
        let is_restarted = is_wanted && self.kill_at.is_none() && !self.life.is_evicted;
        self.life.ended(exit, is_restarted, Timestamp::now());
        if is_restarted {
            self.start_later();
        }
    }

    fn start_later(&mut self) {
        if self.started.elapsed() > RECOVERED {
            self.backoff = Duration::ZERO;
        }
        self.start_at = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
    }

    fn refresh(&mut self) {
        let is_forced_unready = self.worker.controls.borrow().is_forced_unready;
        self.life.is_ready = self.probe.is_ready && !is_forced_unready;
    }

    /// Shows the agent's owner what there is.
    fn show(&self) {
        let process = self.container.as_ref().and_then(Container::process_id);
        let seen = Seen { is_running: self.container.is_some(), process };
        self.worker.known.seen.send_if_modified(|known| std::mem::replace(known, seen) != seen);
    }

    /// Writes the pod's status if it is not what was written last.
    async fn report(&mut self) {
        let Worker { context, pod, .. } = &self.worker;
        let mut patch = self.life.patch(pod, Timestamp::now());
        if self.report_at.is_some() || self.reported.as_ref() == Some(&patch) || !context.is_acting() {
            return;
        }
        let _turn = context.turn().await;
        let name = pod.name_any();
        self.reported = Some(patch.clone());
        // Not worth a write of its own.
        patch["status"]["observedGeneration"] = pod.metadata.generation.into();
        match context.beside(pod).patch_status(&name, &PatchParams::default(), &Patch::Strategic(&patch)).await {
            Ok(_) => {}
            // Gone, or another of its name: the watch says so soon.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
            Err(_) => (self.reported, self.report_at) = (None, Some(Instant::now() + RETRY)),
        }
    }

    /// The pod is gone without us. A lost node runs it on until it hears of that.
    async fn vanish(mut self) {
        loop {
            tokio::select! {
                () = self.worker.context.until_acting() => return,
                Ok(()) = self.worker.controls.changed() => self.obey(),
                exit = ended(&mut self.container) => self.ended(exit),
            }
            self.show();
        }
    }

    /// Says how the pod ended, and lets it go.
    async fn finish(mut self) {
        if !self.life.is_over() {
            // It never ran.
            self.life.ended(Exit { code: 0, signal: None }, false, Timestamp::now());
        }
        self.report_at = None;
        let uid = self.worker.pod.uid();
        let preconditions = Preconditions { uid, ..Preconditions::default() };
        let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
        loop {
            self.worker.context.until_acting().await;
            self.report().await;
            let context = &self.worker.context;
            let _turn = context.turn().await;
            match context.beside(&self.worker.pod).delete(&self.worker.pod.name_any(), &params).await {
                Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => break,
                Ok(_) => break,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
            self.report_at = None;
        }
        // Versions from before its end are still on their way, and finalizers may hold it.
        while self.worker.next_version().await.is_some() {}
    }
}

async fn ended(container: &mut Option<Container>) -> Exit {
    match container {
        Some(container) => container.ended().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
