//! The driver without a cluster: manifests in files, one process that owns everything.
//!
//! An edited file is reconciled; a broken edit is reported and changes nothing that runs; a removed file drains and stops
//! its fleet.

mod announce;
mod declared;
mod files;
mod fleet;
mod pair;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::api::LoadBalancer;
use crate::backend::Backend;
use crate::controller::accept::Refusal;
use crate::controller::claims;
use crate::controller::manifest::ManifestError;
use crate::model::{Desired, FleetId, Listener};
use crate::routes::{Listeners, Publisher, ScaleError, ScaleRequest};
use crate::shutdown::Shutdown;
use declared::Declared;
use files::{Files, Loaded};
use fleet::LocalFleet;

pub use files::WatchError;

/// A refused declaration is tried again so often: the port may have become free.
const RETRY_REFUSED: Duration = Duration::from_secs(5);
/// A plan that wants to be looked at again at once gets at least this pause.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// Tells people a line about a LoadBalancer, or about Ringhold itself.
pub type Say = Arc<dyn Fn(&dyn fmt::Display, &str) + Send + Sync>;

/// What the driver works with.
pub struct StandaloneConfig<B> {
    /// Files and folders with manifests.
    pub files: Vec<PathBuf>,
    /// Where the replicas run.
    pub backend: Arc<B>,
    /// Where routes go.
    pub publisher: Arc<Publisher>,
    /// Opens ports.
    pub listeners: Listeners,
    /// What people ask through the admin API.
    pub scale_requests: mpsc::Receiver<ScaleRequest>,
    /// Tells people what happens.
    pub say: Say,
}

/// The driver.
pub struct Standalone<B> {
    config: StandaloneConfig<B>,
    files: Files,
    fleets: Vec<LocalFleet>,
    /// Problems of the last reading, told once.
    problems: Vec<ManifestError>,
}

/// Why the driver did not start. Nothing runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The files can't be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Manifests or the LoadBalancers in them can't be used; one line for each.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

// === impl Standalone ===

impl<B: Backend> Standalone<B> {
    /// Reads the manifests, opens their ports and accepts their LoadBalancers. Nothing is started yet.
    ///
    /// # Errors
    /// Anything that is wrong with any of them, except that two claim one port and host: then the first has it, and the
    /// other waits with its condition.
    pub async fn start(config: StandaloneConfig<B>) -> Result<Self, StartError> {
        let files = Files::watch(&config.files)?;
        let mut driver = Self { config, files, fleets: Vec::new(), problems: Vec::new() };
        let problems = driver.reload().await;
        let refused = driver.fleets.iter().filter(|fleet| fleet.is_fatal_at_start()).map(|fleet| fleet.refusal());
        let problems: Vec<String> = problems.iter().map(|(_, problem)| problem.to_string()).chain(refused).collect();
        if problems.is_empty() { Ok(driver) } else { Err(StartError::Refused(problems)) }
    }

    /// Whether no LoadBalancer is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fleets.is_empty()
    }

    /// Reconciles until the shutdown, then drains and stops every fleet. `ready` turns true after the first round.
    pub async fn run(mut self, shutdown: Shutdown, ready: watch::Sender<bool>) {
        let mut retry_refused = Instant::now() + RETRY_REFUSED;
        while !shutdown.is_cancelled() {
            self.tick_all().await;
            ready.send_replace(true);
            let next = self.next_check().min(retry_refused);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.files.changed() => self.reload_and_report().await,
                Some(request) = self.config.scale_requests.recv() => self.scale(request),
                () = self.config.backend.changed() => {}
                () = self.config.publisher.woken() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            if Instant::now() >= retry_refused {
                retry_refused = Instant::now() + RETRY_REFUSED;
                self.accept_all().await;
            }
        }
        self.stop_all().await;
    }

    /// Reads all files again. What they declare is accepted or refused; what they no longer declare is removed.
    async fn reload(&mut self) -> Vec<(PathBuf, ManifestError)> {
        let Loaded { declared, problems, unreadable } = self.files.load();
        for fleet in &mut self.fleets {
            let still_there = declared.iter().any(|(_, resource)| fleet.is_declared_by(resource));
            if !still_there && !unreadable.contains(&fleet.file) && fleet.remove() {
                (self.config.say)(&fleet.id, "is removed: its replicas finish their requests and stop");
            }
        }
        for (file, resource) in declared {
            self.declare(file, resource);
        }
        self.fleets.iter_mut().for_each(LocalFleet::read_certificate);
        self.accept_all().await;
        problems
    }

    /// Reads all files again while fleets run, and tells what can't be used.
    async fn reload_and_report(&mut self) {
        let problems = self.reload().await;
        for (file, problem) in problems.iter().filter(|(_, problem)| !self.problems.contains(problem)) {
            self.report(file, problem);
        }
        self.problems = problems.into_iter().map(|(_, problem)| problem).collect();
    }

    /// Tells of a broken file, in the name of every LoadBalancer that came from it.
    fn report(&self, file: &Path, problem: &ManifestError) {
        let mut running = self.fleets.iter().filter(|fleet| fleet.file == *file).peekable();
        if running.peek().is_none() {
            (self.config.say)(&"ringhold", &format!("not taken: {problem}"));
        }
        for fleet in running {
            (self.config.say)(&fleet.id, &format!("the edit is not taken, what runs stays as it is: {problem}"));
        }
    }

    fn declare(&mut self, file: PathBuf, resource: LoadBalancer) {
        match self.fleets.iter_mut().find(|fleet| fleet.is_declared_by(&resource)) {
            Some(fleet) => fleet.declare(file, resource),
            None => self.fleets.push(LocalFleet::new(file, resource)),
        }
    }

    /// Decides on every declaration that is new, changed or was refused before. One acceptance may make room for another,
    /// so refusals come last.
    async fn accept_all(&mut self) {
        while self.accept_some().await {}
        for index in 0..self.fleets.len() {
            if let Some((declared, verdict)) = self.verdict(index).await {
                self.fleets[index].decide(declared, verdict, &self.config.say);
            }
        }
        self.files.follow(self.fleets.iter().flat_map(LocalFleet::certificate_files).collect());
    }

    /// Accepts what can be accepted now; true if that was anything.
    async fn accept_some(&mut self) -> bool {
        let mut some = false;
        for index in 0..self.fleets.len() {
            if let Some((declared, verdict @ Ok(_))) = self.verdict(index).await {
                self.fleets[index].decide(declared, verdict, &self.config.say);
                some = true;
            }
        }
        some
    }

    async fn verdict(&self, index: usize) -> Option<(Declared, Result<Desired, Refusal>)> {
        let declared = self.fleets[index].waiting()?;
        let claims = self.claims_against(index);
        let verdict = declared.check(&*self.config.backend, &claims, &self.config.listeners).await;
        Some((declared, verdict))
    }

    /// What others hold, but for those with whom it changes places, and what those declared earlier ask for.
    fn claims_against(&self, index: usize) -> Vec<(&FleetId, Listener)> {
        let circle = self.circle(index);
        let mut claims = Vec::new();
        for (other, fleet) in self.fleets.iter().enumerate().filter(|(other, _)| *other != index) {
            let held = fleet.held().filter(|_| !circle.contains(&other)).cloned();
            let asked = fleet.asked().filter(|_| other < index);
            claims.extend(held.into_iter().chain(asked).map(|listener| (&fleet.id, listener)));
        }
        claims
    }

    /// Those who each ask for what the next one holds, back to the first: they can only move all at once.
    fn circle(&self, first: usize) -> Vec<usize> {
        let mut circle = vec![first];
        while let Some(asked) = circle.last().and_then(|last| self.fleets[*last].asked()) {
            let last = circle[circle.len() - 1];
            let is_in_the_way = |fleet: &LocalFleet| {
                fleet.held().is_some_and(|held| claims::conflict(&asked, [(&fleet.id, held)]).is_some())
            };
            let next = (0..self.fleets.len()).find(|other| *other != last && is_in_the_way(&self.fleets[*other]));
            match next {
                Some(next) if next == first => return circle,
                Some(next) if !circle.contains(&next) => circle.push(next),
                _ => break,
            }
        }
        Vec::new()
    }

    fn scale(&mut self, request: ScaleRequest) {
        let ScaleRequest { id, replicas, reply } = request;
        let answer = match self.fleets.iter_mut().find(|fleet| fleet.id == id && !fleet.is_removed()) {
            None => Err(ScaleError::NotFound(id)),
            Some(fleet) => fleet.scale(replicas, &self.config.say),
        };
        if reply.send(answer).is_err() {
            tracing::debug!("whoever asked for another size did not wait for the answer");
        }
    }

    async fn tick_all(&mut self) {
        let StandaloneConfig { backend, publisher, say, .. } = &self.config;
        for fleet in &mut self.fleets {
            fleet.tick(&**backend, publisher, say).await;
        }
        let before = self.fleets.len();
        self.fleets.retain(|fleet| !fleet.is_gone());
        if self.fleets.len() < before {
            self.accept_all().await; // what they held may be what others wait for
        }
    }

    fn next_check(&self) -> Instant {
        let next = self.fleets.iter().filter_map(|fleet| fleet.next_check).min();
        let now = Instant::now();
        match next.map(|next| Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default()) {
            Some(pause) => now + pause.max(SHORTEST_PAUSE),
            None => now + RETRY_REFUSED,
        }
    }

    /// Drains and stops everything. Ends when nothing is left.
    async fn stop_all(&mut self) {
        for fleet in &mut self.fleets {
            fleet.remove();
        }
        loop {
            self.tick_all().await;
            if self.fleets.is_empty() {
                return;
            }
            let next = self.next_check();
            tokio::select! {
                () = self.config.backend.changed() => {}
                () = self.config.publisher.woken() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }
}
