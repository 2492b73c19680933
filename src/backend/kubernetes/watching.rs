//! How everything of the cluster is watched: how long a watch lives, and when one that failed is asked for again.

use std::time::Duration;

use backon::ExponentialBuilder;
use kube::runtime::watcher::{Config, ExponentialBackoff};

/// A watch is asked for anew so often, in seconds, where it left off. So one whose connection has died without a word is
/// noticed, and one on which nothing happens is not taken for dead.
const LIFE: u32 = 60;
/// The first pause after a failure; each further one is twice as long, up to the longest.
const FIRST: Duration = Duration::from_millis(500);
/// Short, for until its watches are back an operator acts on an old picture. kube's own pauses grow to half a minute, and
/// one whose place in the watch was forgotten meanwhile waits for two.
const LONGEST: Duration = Duration::from_secs(4);

/// A watch of everything; labels and fields narrow it.
pub fn watching() -> Config {
    Config::default().timeout(LIFE)
}

/// For one watch. Part of each pause is left to chance, so that operators don't ask all at one time.
pub fn pauses() -> ExponentialBackoff {
    let builder = ExponentialBuilder::default().with_min_delay(FIRST).with_max_delay(LONGEST).with_factor(2.0);
    builder.with_jitter().without_max_times().into()
}
