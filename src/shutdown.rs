//! Stopping in order: one signal, heard by everything that runs.

use tokio_util::sync::CancellationToken;

/// Cancelled when Ringhold should stop: finish what runs, take nothing new.
pub type Shutdown = CancellationToken;
