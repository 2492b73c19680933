//! The pauses after which a watch that failed is asked for again.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// The first; each further one is twice as long, up to the longest.
const FIRST: Duration = Duration::from_millis(500);
/// Short, for until its watches are back an operator acts on an old picture. kube's own pauses grow to a minute, and one
/// whose place in the watch was forgotten meanwhile waits for two.
const LONGEST: Duration = Duration::from_secs(4);

/// For one watch. Half of each pause is left to chance, so that operators don't ask all at one time.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    /// Failures in a row.
    failures: u32,
}

// === impl Pauses ===

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        Some(pause.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_few_seconds_and_begin_anew_after_a_success() {
        let mut pauses = Pauses::default();
        let is_near = |pause: Duration, most: Duration| pause <= most && pause >= most / 2;
        for most in [500, 1_000, 2_000, 4_000, 4_000, 4_000].map(Duration::from_millis) {
            let pause = pauses.next().unwrap();
            assert!(is_near(pause, most), "{pause:?} is not near {most:?}");
        }
        pauses.reset();
        assert!(is_near(pauses.next().unwrap(), FIRST));
    }
}
