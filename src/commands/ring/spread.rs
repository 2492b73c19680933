//! How far values lie apart.

use serde::Serialize;

/// Of some values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) peak: f64,
    pub(super) mean: f64,
    pub(super) minimum: f64,
    /// The standard deviation, of these values as the whole.
    pub(super) deviation: f64,
}

// === impl Spread ===

impl Spread {
    /// Of these, of which there is at least one.
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.clone().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Self {
            peak: values.clone().fold(f64::NEG_INFINITY, f64::max),
            mean,
            minimum: values.fold(f64::INFINITY, f64::min),
            deviation: variance.sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_of_the_whole_and_not_of_a_sample() {
        let spread = Spread::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter());
        assert_eq!(spread, Spread { peak: 9.0, mean: 5.0, minimum: 2.0, deviation: 2.0 });
    }
}
