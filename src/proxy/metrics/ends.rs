//! How requests ended and how long they took, by status code and reason. Both are closed sets, and what never happens
//! costs a word.

use std::array;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::proxy::metrics::Counter;
use crate::proxy::metrics::collect::{counters, write};
use crate::proxy::outcome::{Ended, Outcome};

/// The codes that IANA has registered, and nginx's 499; all others are one.
const CODES: [u16; 63] = [
    100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400,
    401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425,
    426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];
/// From a code less 100 to its place in `CODES`, or behind them.
static PLACES: [u8; 500] = places();

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the duration buckets, in microseconds; one more bucket takes the rest.
const BOUNDS: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// One worker's ends of requests.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Ends {
    by_outcome: [OnceLock<Box<Series>>; Outcome::COUNT],
}

/// Of one outcome.
#[derive(Debug)]
struct Series {
    codes: [Counter; CODES.len() + 1],
    durations: [Durations; CLASSES.len()],
}

/// A histogram.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Durations {
    buckets: [Counter; BOUNDS.len() + 1],
    sum_micros: Counter,
}

/// Ends over all workers.
#[derive(Debug, Default)]
pub(super) struct EndSums {
    /// By outcome and place of the code.
    requests: BTreeMap<(usize, usize), u64>,
    /// By outcome and class.
    durations: BTreeMap<(usize, usize), DurationSums>,
}

/// A histogram over all workers.
#[derive(Debug, Default)]
pub(super) struct DurationSums {
    buckets: [u64; BOUNDS.len() + 1],
    sum_micros: u64,
}

/// Whose ends they are, as labels.
type Whose<'a> = [(&'static str, &'a str); 2];

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 256 codes")]
const fn places() -> [u8; 500] {
    let mut places = [CODES.len() as u8; 500];
    let mut place = 0;
    while place < CODES.len() {
        places[CODES[place] as usize - 100] = place as u8;
        place += 1;
    }
    places
}

// === impl Ends, Series ===

impl Ends {
    /// A request is over.
    pub(in crate::proxy) fn add(&self, ended: &Ended) {
        let series = self.by_outcome[ended.outcome.index()].get_or_init(Box::default);
        let place =
            PLACES.get(usize::from(ended.status).wrapping_sub(100)).map_or(CODES.len(), |place| usize::from(*place));
        series.codes[place].add(1);
        let class = usize::from(ended.status / 100).clamp(1, CLASSES.len()) - 1;
        series.durations[class].add(ended.took);
    }
}

impl Default for Series {
    fn default() -> Self {
        Self { codes: array::from_fn(|_| Counter::default()), durations: array::from_fn(|_| Durations::default()) }
    }
}

// === impl Durations ===

impl Durations {
    pub(in crate::proxy) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.sum_micros.add(micros);
    }
}

// === impl EndSums ===

impl EndSums {
    pub(super) fn add(&mut self, ends: &Ends) {
        for (outcome, series) in
            ends.by_outcome.iter().enumerate().filter_map(|(index, cell)| Some((index, cell.get()?)))
        {
            for (place, count) in series.codes.iter().enumerate().filter(|(_, count)| count.get() > 0) {
                *self.requests.entry((outcome, place)).or_default() += count.get();
            }
            for (class, durations) in series.durations.iter().enumerate() {
                if durations.buckets.iter().any(|count| count.get() > 0) {
                    self.durations.entry((outcome, class)).or_default().add(durations);
                }
            }
        }
    }

    /// Writes both metrics over these.
    pub(super) fn encode<'s>(
        encoder: &mut DescriptorEncoder<'_>,
        sums: impl Iterator<Item = (Whose<'s>, &'s Self)> + Clone,
    ) -> fmt::Result {
        let reasons: Vec<&str> = Outcome::all().map(|outcome| outcome.reason().unwrap_or("")).collect();
        let help = "Requests by status code and reason, which is empty for a replica's whole answer";
        let mut family = counters(encoder, "ringhold_requests", help)?;
        for ([namespace, name], sums) in sums.clone() {
            for ((outcome, place), count) in &sums.requests {
                let code = CODES.get(*place).map_or("other".to_owned(), u16::to_string);
                let labels = [namespace, name, ("code", code.as_str()), ("reason", reasons[*outcome])];
                write(&mut family, &labels, *count)?;
            }
        }
        let help = "From a request's head to its response's end, by class of the code and reason";
        let name = "ringhold_request_duration_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for ([namespace, name], sums) in sums {
            for ((outcome, class), durations) in &sums.durations {
                let labels = [namespace, name, ("class", CLASSES[*class]), ("reason", reasons[*outcome])];
                durations.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

// === impl DurationSums ===

impl DurationSums {
    pub(super) fn add(&mut self, durations: &Durations) {
        let Durations { buckets, sum_micros } = durations;
        for (sum, count) in self.buckets.iter_mut().zip(buckets) {
            *sum += count.get();
        }
        self.sum_micros += sum_micros.get();
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn encode(&self, mut to: prometheus_client::encoding::MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.buckets).collect();
        to.encode_histogram::<NoLabelSet>(self.sum_micros as f64 / 1e6, self.count(), &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_place() {
        let ends = Ends::default();
        for status in [0, 99, 100, 200, 299, 499, 511, 599, 600, 999] {
            let ended =
                Ended { status, outcome: Outcome::Whole, bytes_in: 0, bytes_out: 0, took: Duration::from_secs(1) };
            ends.add(&ended);
        }
        let mut sums = EndSums::default();
        sums.add(&ends);
        let code = |place: usize| CODES.get(place).copied();
        let counts: Vec<_> = sums.requests.iter().map(|((_, place), count)| (code(*place), *count)).collect();
        assert_eq!(counts, [(Some(100), 1), (Some(200), 1), (Some(499), 1), (Some(511), 1), (None, 6)]);
        let classes: Vec<_> = sums.durations.iter().map(|((_, class), sums)| (*class, sums.count())).collect();
        assert_eq!(classes, [(0, 3), (1, 2), (3, 1), (4, 4)]);
    }
}
