//! From numbers to places, and which numbers are written beside an axis.

/// One axis of a chart.
#[derive(Debug, Clone)]
pub struct Axis {
    /// How numbers become places.
    pub scale: Scale,
    /// The least and the greatest number.
    pub range: (f64, f64),
    /// What is written beside a tick.
    pub label: fn(f64) -> String,
}

/// How numbers become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences look equal.
    Linear,
    /// Equal ratios look equal; for numbers above 0.
    Log,
}

// === impl Axis ===

impl Axis {
    /// Where the number stands between the ends, 0 to 1.
    pub(super) fn place(&self, number: f64) -> f64 {
        let (least, most) = self.range;
        let on_scale = |number: f64| match self.scale {
            Scale::Linear => number,
            Scale::Log => number.max(f64::MIN_POSITIVE).ln(),
        };
        let width = on_scale(most) - on_scale(least);
        if width > 0.0 { ((on_scale(number) - on_scale(least)) / width).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Round numbers of the range, not many more than `wanted`.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        let (least, most) = self.range;
        match self.scale {
            Scale::Linear => {
                let step = round_step((most - least) / wanted.max(1) as f64);
                let first = (least / step).ceil();
                let ticks = (0..=4 * wanted).map(|index| (first + index as f64) * step);
                ticks.take_while(|tick| *tick <= most * (1.0 + 1e-9)).collect()
            }
            Scale::Log => {
                let decades = (most / least).log10();
                let factors: &[f64] = if decades > wanted as f64 / 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let first = least.log10().floor();
                let powers = (0..=40).map(|index| 10_f64.powf(first + f64::from(index)));
                let ticks = powers.flat_map(|power| factors.iter().map(move |factor| factor * power));
                let inside = |tick: &f64| (least * (1.0 - 1e-9)..=most * (1.0 + 1e-9)).contains(tick);
                ticks.filter(inside).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, not below the step.
fn round_step(step: f64) -> f64 {
    if step <= 0.0 || !step.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, range: (f64, f64)) -> Axis {
        Axis { scale, range, label: |number| number.to_string() }
    }

    #[test]
    fn ticks_are_round_and_lie_within() {
        assert_eq!(axis(Scale::Linear, (0.0, 34.0)).ticks(4), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(axis(Scale::Linear, (0.0, 1.0)).ticks(5).len(), 6);
        assert_eq!(axis(Scale::Log, (2.0, 100.0)).ticks(6), [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(axis(Scale::Log, (1.0, 10_000.0)).ticks(6), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
    }

    #[test]
    fn an_empty_range_has_a_place() {
        assert_eq!(axis(Scale::Linear, (0.0, 0.0)).place(0.0), 0.0);
        assert_eq!(axis(Scale::Log, (1.0, 1.0)).place(5.0), 0.0);
        assert!(axis(Scale::Linear, (0.0, 0.0)).ticks(4).contains(&0.0));
    }
}
