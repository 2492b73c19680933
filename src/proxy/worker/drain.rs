//! How a worker ends: with everybody's last answer, as far as the time allows.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::proxy::watch::{Phase, Watch};
use crate::proxy::worker::{Command, Entry, IDLE_GRACE, SWEEP, Worker};

impl Worker {
    /// Drains, and serves what other workers have handed over before they knew of the end.
    pub(super) async fn drain_beside(
        self: &Rc<Self>,
        deadline: Duration,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> usize {
        let end = Instant::now() + deadline;
        let mut cut = 0;
        loop {
            let mut draining = pin!(self.drain(end.saturating_duration_since(Instant::now())));
            cut += loop {
                tokio::select! {
                    cut = &mut draining => break cut,
                    Some(command) = commands.recv() => self.on_late(command),
                }
            };
            // From now on who hands over gets it back; what had been handed over is still served.
            commands.close();
            let Ok(command) = commands.try_recv() else { return cut };
            self.on_late(command);
        }
    }

    fn on_late(self: &Rc<Self>, command: Command) {
        if let Command::Adopt(accepted) = command {
            self.adopt(accepted, None);
        }
    }

    /// Waits until all connections have ended, closes tunnels after their grace and cuts the rest at the deadline;
    /// returns how many those were.
    async fn drain(&self, deadline: Duration) -> usize {
        self.draining.set(true);
        for Entry { client, .. } in self.connections.borrow().values() {
            let phase = client.watch.phase();
            if matches!(phase, Phase::Idle | Phase::Vacant | Phase::Handshake) {
                client.watch.enter(phase, IDLE_GRACE);
            }
            client.watch.wake();
        }
        let grace = self.config.tunnel_grace.min(deadline);
        if self.emptied(grace).await {
            return 0;
        }
        let tunnels = self.close_tunnels();
        if self.emptied(deadline - grace).await {
            return tunnels;
        }
        let cut = tunnels + self.connections.borrow().len();
        // Those that began since.
        self.close_tunnels();
        for Entry { client, task } in self.connections.borrow().values() {
            let watch = &client.watch;
            if watch.phase() != Phase::Tunnel {
                // Who is idle and still here has not taken the end of its response.
                if matches!(watch.phase(), Phase::Stream | Phase::Idle) && watch.has_served() {
                    watch.mark_broken();
                }
                task.abort();
            }
        }
        // Both take effect when their tasks run, which is now.
        self.emptied(SWEEP).await;
        cut
    }

    /// Waits until all connections have ended; false if they have not in this time.
    async fn emptied(&self, limit: Duration) -> bool {
        let emptied = async {
            while !self.connections.borrow().is_empty() {
                self.gone.notified().await;
            }
        };
        tokio::time::timeout(limit, emptied).await.is_ok()
    }

    /// Has every tunnel close both its sides in order; returns how many there are.
    fn close_tunnels(&self) -> usize {
        let mut count = 0;
        let mut close = |watch: &Watch| {
            if watch.phase() == Phase::Tunnel {
                watch.expire();
                watch.wake();
                count += 1;
            }
        };
        for Entry { client, .. } in self.connections.borrow().values() {
            close(&client.watch);
            client.streams.for_each(&mut close);
        }
        count
    }
}
