//! Signals: those that stop in order, heard by everything that runs, and the one that says that logs have been moved away.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled when Ringhold should stop: finish what runs, take nothing new.
pub type Shutdown = CancellationToken;

/// Ctrl-C (SIGINT), SIGTERM and a closed terminal (SIGHUP) from now on; none is missed between two looks.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

/// SIGUSR1 from now on, which whoever rotates logs sends by custom. It must not end the process, whether there is a log
/// of ours or not.
#[derive(Debug)]
pub struct Rotations(Signal);

// === impl Signals ===

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system lets nobody listen to signals.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns at the next signal that nobody has been told of.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

// === impl Rotations ===

impl Rotations {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system lets nobody listen to signals.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::user_defined1()).map(Self)
    }

    /// Does this at each signal, for as long as it is polled.
    pub async fn each(mut self, act: impl Fn()) {
        while self.0.recv().await.is_some() {
            act();
        }
    }
}
