//! Routes that wait for nobody: what the news of a replica means for the table is published at once, also while a look at
//! its fleet waits for the API server, or for its turn.
//!
//! It is the tick of a process that only follows, with the spec that the last look has settled on. So it decides nothing
//! that another process would not decide alike, and can no more end a replica than one of those.

use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::backend::Backend;
use crate::controller::tick::{Memory, Part, Standing, TickError, tick};
use crate::model::Desired;
use crate::routes::Publisher;

/// One fleet's.
#[derive(Default)]
pub(super) struct Routing {
    settled: Mutex<Option<Settled>>,
}

/// What the last look has settled on.
struct Settled {
    desired: Desired,
    standing: Standing,
    memory: Memory,
    /// Share of the key space that has changed owner since, 0 to 1.
    moved: f64,
}

// === impl Routing ===

impl Routing {
    /// A look ticks with these from now on. Returns what share of the key space has changed owner since the last one.
    pub(super) async fn settle(&self, desired: &Desired, standing: &Standing, memory: &Memory) -> f64 {
        let standing = Standing { part: Part::Follows, ..standing.clone() };
        let settled = Settled { desired: desired.clone(), standing, memory: memory.clone(), moved: 0.0 };
        self.settled.lock().await.replace(settled).map_or(0.0, |before| before.moved)
    }

    /// Nothing is routed any more until a look settles on something.
    pub(super) async fn end(&self) {
        *self.settled.lock().await = None;
    }

    /// Publishes what the replicas are now. `false`: no look has settled on anything yet, so the next one will.
    pub(super) async fn follow<B: Backend>(&self, backend: &B, publisher: &Publisher) -> Result<bool, TickError> {
        let mut settled = self.settled.lock().await;
        let Some(Settled { desired, standing, memory, moved }) = settled.as_mut() else { return Ok(false) };
        *moved += tick(backend, publisher, desired, standing, memory, Timestamp::now()).await?.moved;
        Ok(true)
    }
}
