//! Connections that do nothing, beside those that ask: what they cost.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::ask::Client;
use crate::running::Running;
use crate::scenarios::Load;

/// Connections that do nothing.
pub(crate) struct Idle {
    _clients: Vec<Client>,
    /// If there are any, and a proxy has them.
    pub(crate) rest: Option<Rest>,
}

/// What connections cost that do nothing.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rest {
    pub(crate) connections: usize,
    /// Of each, in KiB.
    pub(crate) memory: f64,
    /// Milliseconds of CPU time in a second without any request.
    pub(crate) cpu: f64,
}

/// So long is looked at those that rest.
const REST: Duration = Duration::from_secs(1);

// === impl Idle ===

impl Idle {
    /// Each has asked once.
    pub(crate) fn open(running: &Running, load: &Load) -> anyhow::Result<Self> {
        let memory = || running.process.as_ref().map(|process| process.memory()).transpose();
        let before = memory()?;
        let client = |number: usize| {
            let mut client = Client::connect(running.port)?;
            client.ask("/", &number.to_string())?;
            Ok(client)
        };
        let clients = (0..load.idle).map(client).collect::<anyhow::Result<Vec<_>>>().context("idle connections")?;
        let (Some(process), Some(before), Some(after), 1..) = (&running.process, before, memory()?, load.idle) else {
            return Ok(Self { _clients: clients, rest: None });
        };
        let used = process.usage()?;
        thread::sleep(REST);
        let (user, system) = process.usage()?.since(used);
        let rest = Rest {
            connections: load.idle,
            memory: after.now.saturating_sub(before.now) as f64 / load.idle as f64,
            cpu: (user + system) / 1e3 / REST.as_secs_f64(),
        };
        Ok(Self { _clients: clients, rest: Some(rest) })
    }
}
