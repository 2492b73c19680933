//! Stopping: the first SIGTERM or SIGINT asks to finish what runs, the second ends it.

use std::convert::Infallible;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// For everything that has no end of its own: tells when to end, and that it has ended by being dropped.
#[derive(Debug, Clone)]
pub(crate) struct Stopping {
    requested: watch::Receiver<bool>,
    _running: mpsc::Sender<Infallible>,
}

/// Waits for all [`Stopping`] to be dropped.
#[derive(Debug)]
pub(crate) struct Stopped {
    running: mpsc::Receiver<Infallible>,
}

/// Listens for signals. The second one exits at once, with status 1.
pub(crate) fn stop_on_signal() -> io::Result<(Stopping, Stopped)> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (request, requested) = watch::channel(false);
    tokio::spawn(async move {
        for already_stopping in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if already_stopping {
                std::process::exit(1);
            }
            request.send_replace(true);
        }
    });
    let (alive, running) = mpsc::channel(1);
    Ok((Stopping { requested, _running: alive }, Stopped { running }))
}

// === impl Stopping, Stopped ===

impl Stopping {
    /// Returns once the replica should stop.
    pub(crate) async fn requested(&mut self) {
        // An error means that no signal can come any more, which the listening task rules out.
        drop(self.requested.wait_for(|stop| *stop).await);
    }

    pub(crate) fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }
}

impl Stopped {
    pub(crate) async fn wait(mut self) {
        while self.running.recv().await.is_some() {}
    }
}
