//! Whether a client keeps up. Single bytes, sent or taken just before an idle time is over, would otherwise hold a
//! connection, its request and its replica's place for ever.
//!
//! A client has an account. While it is waited for, for its body or for room to write into, the account pays a rate; bytes
//! that pass fill it, up to what is there at the beginning. Nobody is charged for what a replica takes its time for.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// What a client has to move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Bytes for each sweep that it was waited for.
    per_sweep: i64,
    /// Bytes on the account at the beginning, and at most.
    full: i64,
}

/// A client's account.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// It is waited for.
    is_due: AtomicBool,
    /// Bytes that passed since the last sweep.
    passed: AtomicU32,
    /// Kept by the sweeper, in bytes.
    account: AtomicI64,
}

// === impl Rate ===

impl Rate {
    /// So many bytes a second, seen so often, and paid in advance for so long; `None` where there is no rate.
    pub(super) fn new(per_second: u32, sweep: Duration, grace: Duration) -> Option<Self> {
        let bytes =
            |span: Duration| i64::try_from(u128::from(per_second) * span.as_millis() / 1000).unwrap_or(i64::MAX);
        (per_second > 0).then(|| Self { per_sweep: bytes(sweep).max(1), full: bytes(grace) })
    }
}

// === impl Pace ===

impl Pace {
    /// From now on it is waited for.
    pub(super) fn wait(&self) {
        self.is_due.store(true, Relaxed);
    }

    /// From now on it is not.
    pub(super) fn go_on(&self) {
        self.is_due.store(false, Relaxed);
    }

    /// Whether it is waited for.
    pub(super) fn is_due(&self) -> bool {
        self.is_due.load(Relaxed)
    }

    /// Bytes came, or were taken.
    pub(super) fn on_bytes(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.passed.store(self.passed.load(Relaxed).saturating_add(count), Relaxed);
        self.go_on();
    }

    /// For the sweeper: begins anew.
    pub(super) fn reset(&self, rate: Rate) {
        self.passed.store(0, Relaxed);
        self.account.store(rate.full, Relaxed);
    }

    /// For the sweeper, once each: whether the client is too slow.
    pub(super) fn is_too_slow(&self, rate: Rate) -> bool {
        let passed = i64::from(self.passed.swap(0, Relaxed));
        let charged = if self.is_due.load(Relaxed) { rate.per_sweep } else { 0 };
        let account = (self.account.load(Relaxed) + passed).min(rate.full) - charged;
        self.account.store(account, Relaxed);
        account < 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: Duration = Duration::from_millis(100);

    fn rate() -> Rate {
        Rate::new(100, SWEEP, Duration::from_secs(1)).unwrap()
    }

    /// Sweeps until it is too slow, at most so often; this many bytes pass before each.
    fn sweeps(bytes: usize, is_due: bool, most: usize) -> usize {
        let pace = Pace::default();
        pace.reset(rate());
        let slow = (0..most).position(|_| {
            pace.on_bytes(bytes);
            if is_due {
                pace.wait();
            }
            pace.is_too_slow(rate())
        });
        slow.unwrap_or(most)
    }

    #[test]
    fn only_who_is_waited_for_and_slower_than_the_rate_is_too_slow() {
        assert_eq!(sweeps(0, true, 1_000), 10, "a second was paid in advance");
        assert_eq!(sweeps(5, true, 1_000), 19, "half the rate lasts twice as long");
        assert_eq!(sweeps(10, true, 1_000), 1_000);
        assert_eq!(sweeps(0, false, 1_000), 1_000);
    }

    #[test]
    fn nothing_is_saved_up_beyond_the_beginning() {
        let pace = Pace::default();
        pace.reset(rate());
        pace.on_bytes(1_000_000);
        pace.wait();
        assert_eq!((0..100).position(|_| pace.is_too_slow(rate())), Some(10));
    }

    #[test]
    fn the_smallest_rate_is_one_byte_a_sweep_and_zero_is_none() {
        assert!(Rate::new(0, SWEEP, SWEEP).is_none());
        assert_eq!(Rate::new(1, SWEEP, Duration::from_secs(60)).map(|rate| (rate.per_sweep, rate.full)), Some((1, 60)));
    }
}
