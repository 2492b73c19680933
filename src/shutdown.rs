//! Stopping in order: one signal, heard by everything that runs.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled when Ringhold should stop: finish what runs, take nothing new.
pub type Shutdown = CancellationToken;

/// Returns at the next Ctrl-C (SIGINT) or SIGTERM.
///
/// # Errors
/// The system lets nobody listen to signals.
pub async fn signalled() -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
