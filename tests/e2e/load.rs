//! Steady load through the Service, and what it met.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};

use crate::client::Client;

/// Connections that ask at the same time, of each sort.
const CONNECTIONS: usize = 6;
/// Keys of a connection, asked for in turn.
const KEYS: usize = 8;
/// Between two requests of a connection: a busy machine shall still run its cluster.
const PAUSE: Duration = Duration::from_millis(15);

/// Sorts of requests that run at once. Only what may be repeated is promised to succeed always.
const SORTS: [(&str, &str); 3] = [("GET", "/whoami"), ("GET", "/slow?ms=400"), ("POST", "/whoami")];

/// What a load met.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) answered: u64,
    /// Failures of requests that may be repeated.
    pub(crate) failures: Vec<String>,
    /// Failures of requests that nobody may repeat.
    pub(crate) posts: Vec<String>,
    /// The ordinals that served each key, in order, without repetitions.
    pub(crate) ordinals: BTreeMap<String, Vec<u16>>,
}

/// Runs the act under load, from the first answers before it to the last ones after it.
pub(crate) async fn during(address: SocketAddr, act: impl Future<Output = ()>) -> Report {
    let report: Rc<RefCell<Report>> = Rc::default();
    let stop: Rc<Cell<bool>> = Rc::default();
    let local = LocalSet::new();
    local
        .run_until(async {
            let mut tasks = JoinSet::new();
            for (sort, (method, path)) in SORTS.into_iter().enumerate() {
                for connection in 0..CONNECTIONS {
                    let (report, stop) = (Rc::clone(&report), Rc::clone(&stop));
                    let keys = (0..KEYS).map(|key| format!("load-{sort}-{connection}-{key}")).collect();
                    tasks.spawn_local(ask(address, method, path, keys, report, stop));
                }
            }
            some_more(&report).await;
            act.await;
            some_more(&report).await;
            stop.set(true);
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
        })
        .await;
    report.take()
}

async fn some_more(report: &RefCell<Report>) {
    let goal = report.borrow().answered + 300;
    while report.borrow().answered < goal && report.borrow().failures.is_empty() {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(
    address: SocketAddr,
    method: &'static str,
    path: &'static str,
    keys: Vec<String>,
    report: Rc<RefCell<Report>>,
    stop: Rc<Cell<bool>>,
) {
    let mut client = Client::new(address);
    for key in keys.iter().cycle() {
        if stop.get() {
            return;
        }
        let met = if path == "/whoami" {
            client.whoami(method, key).await.map(|who| Some(who.ordinal))
        } else {
            client.send(method, path, key).await.map(|_| None)
        };
        report.borrow_mut().add(method, key, met);
        tokio::time::sleep(PAUSE).await;
    }
}

// === impl Report ===

impl Report {
    fn add(&mut self, method: &str, key: &str, met: Result<Option<u16>, String>) {
        match met {
            Ok(ordinal) => {
                self.answered += 1;
                let served = self.ordinals.entry(key.to_owned()).or_default();
                served.extend(ordinal.filter(|ordinal| served.last() != Some(ordinal)));
            }
            Err(failure) => {
                let failure = format!("{}: {failure}", jiff::Timestamp::now());
                if method == "GET" { self.failures.push(failure) } else { self.posts.push(failure) }
            }
        }
    }

    /// Nothing that may be repeated has failed.
    pub(crate) fn lost_nothing(self) -> Self {
        let Self { answered, failures, posts: _, ordinals: _ } = &self;
        let shown: Vec<_> = failures.iter().take(10).collect();
        assert!(failures.is_empty(), "{} of {answered} requests failed: {shown:#?}", failures.len());
        self
    }

    /// Nothing has failed at all.
    pub(crate) fn lost_no_post_either(self) -> Self {
        let shown: Vec<_> = self.posts.iter().take(10).collect();
        assert!(self.posts.is_empty(), "{} of {} POSTs failed: {shown:#?}", self.posts.len(), self.answered);
        self.lost_nothing()
    }

    /// No key was served by another ordinal, not even once.
    pub(crate) fn moved_no_key(self) -> Self {
        let moved: Vec<_> = self.ordinals.iter().filter(|(_, served)| served.len() > 1).collect();
        assert!(moved.is_empty(), "{} of {} keys changed their ordinal: {moved:?}", moved.len(), self.ordinals.len());
        self
    }
}
