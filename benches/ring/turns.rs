//! Measuring in turns: what else the machine does then meets all alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::args::Sizes;

/// One of those that are compared.
pub(crate) struct Turn<'task> {
    /// What one turn does so many times.
    operations: usize,
    /// Does it, and says how long it took.
    run: Box<dyn FnMut() -> anyhow::Result<Duration> + 'task>,
}

/// Times of one operation over all rounds, in nanoseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// Gives everybody a turn in each round. Each round begins with another, so that nobody always follows the same one.
pub(crate) fn in_turns(rounds: u16, mut turns: Vec<Turn<'_>>) -> anyhow::Result<Vec<Spread>> {
    let mut times = vec![Vec::with_capacity(rounds.into()); turns.len()];
    for round in 0..usize::from(rounds) {
        for place in 0..turns.len() {
            let index = (round + place) % turns.len();
            let turn = &mut turns[index];
            let nanoseconds = (turn.run)()?.as_secs_f64() * 1e9;
            times[index].push(nanoseconds / turn.operations as f64);
        }
    }
    Ok(times.into_iter().map(Spread::of).collect())
}

// === impl Turn ===

impl<'task> Turn<'task> {
    /// One operation that measures itself.
    pub(crate) fn once(run: impl FnMut() -> anyhow::Result<Duration> + 'task) -> Self {
        Self::of(1, run)
    }

    /// So many operations that are measured together.
    pub(crate) fn of(operations: usize, run: impl FnMut() -> anyhow::Result<Duration> + 'task) -> Self {
        Self { operations, run: Box::new(run) }
    }

    /// As many operations as fill a turn. `run` does the first so many of at most `most`; for longer turns it is called
    /// again. What it returns must follow from all that it does, and is used.
    pub(crate) fn filled(sizes: &Sizes, most: usize, run: impl Fn(usize) -> u64 + 'task) -> Self {
        let time = |count| {
            let start = Instant::now();
            black_box(run(black_box(count)));
            start.elapsed()
        };
        let (mut count, mut took) = (1, time(1));
        while count < most && took < sizes.turn() {
            count = (count * 2).min(most);
            took = time(count);
        }
        let passes = sizes.turn().div_duration_f64(took.max(Duration::from_nanos(1))).ceil().clamp(1.0, 1e6);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let passes = passes as usize;
        Self::of(count * passes, move || {
            // The first is not timed: it brings the table back into the caches, from which the one before has driven it.
            black_box(run(black_box(count)));
            let start = Instant::now();
            for _ in 0..passes {
                black_box(run(black_box(count)));
            }
            Ok(start.elapsed())
        })
    }
}

// === impl Spread ===

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self { median: at(values.len() / 2), least: at(0), most: at(values.len().saturating_sub(1)) }
    }

    pub(crate) fn scaled(self, by: f64) -> Self {
        Self { median: self.median * by, least: self.least * by, most: self.most * by }
    }
}
