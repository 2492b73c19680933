//! How long things take, on this machine, now. Medians, because other programs disturb some of the rounds.

use std::hint::black_box;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::ring::{KeyHash, KeyHasher, Ring};

/// Says on standard error what takes so long, where it is a terminal.
pub(super) struct Progress {
    begun: Instant,
    is_shown: bool,
}

/// Keys as clients have them.
pub(super) struct Keys(Vec<String>);

/// From here on people wonder.
const A_MOMENT: Duration = Duration::from_millis(500);
/// The fewest rounds that have a median worth the name.
const FEWEST: usize = 3;
const MOST: usize = 31;

/// The median time of what is done; for so long, or for enough rounds, but a few times at least.
pub(super) fn median(budget: Duration, mut round: impl FnMut()) -> Duration {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < FEWEST || (times.len() < MOST && begun.elapsed() < budget) {
        let start = Instant::now();
        round();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

// === impl Keys ===

impl Keys {
    const COUNT: u32 = 20_000;

    /// Of 16 to 24 bytes.
    pub(super) fn new() -> Self {
        let key = |number: u32| format!("session-{number:0width$}", width = 8 + number as usize % 9);
        Self((0..Self::COUNT).map(key).collect())
    }

    /// The time from a key to its first so many candidates, in nanoseconds; many keys one after the other.
    pub(super) fn lookup(&self, ring: &Ring, function: KeyHash, candidates: usize) -> f64 {
        let hasher = KeyHasher::new(&[7; 16]);
        let budget = Duration::from_millis(60);
        let time = if candidates == 1 {
            median(budget, || {
                for key in &self.0 {
                    black_box(ring.primary(hasher.hash(function, black_box(key.as_bytes()))));
                }
            })
        } else {
            median(budget, || {
                for key in &self.0 {
                    let hash = hasher.hash(function, black_box(key.as_bytes()));
                    ring.candidates(hash).take(candidates).for_each(|id| {
                        black_box(id);
                    });
                }
            })
        };
        time.as_secs_f64() * 1e9 / f64::from(Self::COUNT)
    }
}

// === impl Progress ===

impl Progress {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), is_shown: false }
    }

    /// From now on this is done.
    pub(super) fn begins(&mut self, what: &str) {
        if self.begun.elapsed() > A_MOMENT && io::stderr().is_terminal() {
            self.is_shown = true;
            // Nobody needs it.
            let _ = write!(io::stderr(), "\r\x1b[K{what} …");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
