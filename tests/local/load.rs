//! Steady load, and the question which replica a key belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::Client;

/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;

/// Load that runs until it is stopped.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Sends GETs with ever other keys over kept connections, each as soon as the last was answered.
    pub(crate) fn of_gets(port: u16) -> Self {
        Self::start(port, "GET")
    }

    /// The same with POSTs, which nobody may send twice: only a replica that is left in peace loses none.
    pub(crate) fn of_posts(port: u16) -> Self {
        Self::start(port, "POST")
    }

    fn start(port: u16, method: &'static str) -> Self {
        let shared: Arc<Shared> = Arc::default();
        let mut tasks = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                let mut client = Client::new(port);
                let mut number = connection;
                while !shared.stop.load(Ordering::Relaxed) {
                    number += CONNECTIONS;
                    let key = format!("key-{number}");
                    match client.send(method, "/slow?ms=2", &[("X-User-Id", &key)], "").await {
                        Ok((status, _)) if status == 200 => drop(shared.answered.fetch_add(1, Ordering::Relaxed)),
                        Ok((status, body)) => shared.failed(format!("{status}: {}", String::from_utf8_lossy(&body))),
                        Err(failure) => shared.failed(failure),
                    }
                }
            });
        }
        Self { tasks, shared }
    }

    /// Waits until so many more requests have been answered, so that the load really meets what happens.
    pub(crate) async fn answers(&self, more: u64) {
        let goal = self.shared.answered.load(Ordering::Relaxed) + more;
        while self.shared.answered.load(Ordering::Relaxed) < goal && self.shared.failures.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// Stops and returns what failed.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        assert!(self.shared.answered.load(Ordering::Relaxed) > 0, "the load did nothing");
        std::mem::take(&mut self.shared.failures.lock().unwrap())
    }
}

impl Shared {
    fn failed(&self, failure: String) {
        self.failures.lock().unwrap().push(failure);
    }
}

/// The ordinal that serves each of these keys, asked by real requests.
pub(crate) async fn owners(port: u16, keys: u32) -> Vec<u64> {
    let mut tasks = JoinSet::new();
    let connections = u32::try_from(CONNECTIONS).unwrap();
    for first in 0..connections {
        tasks.spawn(async move {
            let mut client = Client::new(port);
            let mut found = Vec::new();
            for key in (first..keys).step_by(CONNECTIONS) {
                let (status, body) = client.get("/whoami", &[("X-User-Id", &format!("user-{key}"))]).await.unwrap();
                assert_eq!(status, 200);
                let whoami: Value = serde_json::from_slice(&body).unwrap();
                found.push((key, whoami["ordinal"].as_u64().unwrap()));
            }
            found
        });
    }
    let found: BTreeMap<u32, u64> = tasks.join_all().await.into_iter().flatten().collect();
    found.into_values().collect()
}
