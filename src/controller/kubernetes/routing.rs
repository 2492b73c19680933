//! Routes that wait for nobody: what the news of a replica means for the table is published at once, also while a look at
//! its fleet waits for the API server, or for its turn.
//!
//! It is the tick of a process that only follows, with the spec that the last look has settled on. So it decides nothing
//! that another process would not decide alike, and can no more end a replica than one of those.
//!
//! A look may tick at the same time. Neither can publish an older picture over a newer one: the control plane is one thread,
//! and a tick awaits nothing of the cluster's between its observing and its publishing.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::FakeBackend;
    use crate::controller::manifest;
    use crate::controller::tick::{Elsewhere, Exposure};
    use crate::controller::validate::validate;
    use crate::model::{Condition, ConditionStatus, ConditionType};
    use crate::routes::bridge;
    use std::path::Path;
    use std::time::Duration;

    const MANIFEST: &str = "
apiVersion: ringhold.dev/v1alpha1
kind: LoadBalancer
metadata: {name: web}
spec:
  replicas: 2
  ring: {slots: 256}
  template: {spec: {containers: [{name: server, command: [server]}]}}
";

    fn mk_standing() -> Standing {
        let accepted = Condition {
            kind: ConditionType::Accepted,
            status: ConditionStatus::True,
            observed_generation: 1,
            last_transition_time: Timestamp::UNIX_EPOCH,
            reason: "Accepted",
            message: String::new(),
        };
        Standing {
            accepted,
            exposure: Exposure::Routed,
            part: Part::Acts,
            elsewhere: Elsewhere::Nobody,
            security: None,
            trust: None,
        }
    }

    #[tokio::test]
    async fn news_is_routed_by_what_the_last_look_settled_on_and_nothing_is_done_about_it() {
        let desired = validate(&manifest::parse(Path::new("web.yaml"), MANIFEST).unwrap().remove(0)).unwrap();
        let (backend, publisher) = (FakeBackend::new(1, Timestamp::now()), bridge().publisher);
        let (routing, mut memory) = (Routing::default(), Memory::default());
        let served = || {
            let table = publisher.table();
            let route = table.fleet(&desired.id).and_then(|entry| entry.route.clone());
            route.map_or(0, |route| route.seats().iter().filter(|seat| seat.upstream.is_some()).count())
        };
        assert!(!routing.follow(&backend, &publisher).await.unwrap(), "nothing is settled yet");

        routing.settle(&desired, &mk_standing(), &memory).await;
        tick(&backend, &publisher, &desired, &mk_standing(), &mut memory, Timestamp::now()).await.unwrap();
        backend.advance(Duration::from_secs(2));
        assert_eq!(served(), 0);
        assert!(routing.follow(&backend, &publisher).await.unwrap());
        assert_eq!(served(), 2);

        backend.kill(&backend.observe(&desired.id).await.unwrap()[0].uid);
        let done = backend.log();
        routing.follow(&backend, &publisher).await.unwrap();
        assert_eq!((served(), backend.log()), (1, done));

        routing.end().await;
        assert!(!routing.follow(&backend, &publisher).await.unwrap(), "it is over");
    }
}
