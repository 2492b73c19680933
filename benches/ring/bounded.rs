//! Clients that ask for few keys often, and a bound on what each replica has at one time: how far the bound holds, and how
//! many requests stay where their key belongs.
//!
//! A closed load: each client has one request in flight, and when it ends begins the next. Keys are drawn by Zipf's law.

mod ours;
mod ring_rs;

use std::time::Instant;

use anyhow::{Context, ensure};

use crate::args::Sizes;
use crate::keys::SEED;
use crate::report::{Cell, Column, Row, Table};
use crate::turns::{Turn, in_turns};

const REPLICAS: u16 = 100;
const CLIENTS: usize = 1000;
const KEYS: u32 = 100_000;
const EXPONENT: f64 = 1.1;
/// The bound is ⌈1.25 · requests / replicas⌉, in integers so that it is computed apart from what is measured.
const FACTOR: (usize, usize) = (5, 4);

/// Sends requests to replicas.
pub(crate) trait Balancer {
    /// Begins a request with this key and says who has it; the client has none now.
    fn begin(&mut self, client: usize, key: u32) -> Option<u16>;

    /// Ends the client's request.
    fn end(&mut self, client: usize);

    /// Whom the key belongs to, whatever the load.
    fn first(&self, key: u32) -> Option<u16>;
}

/// One that is measured.
struct Entry {
    name: &'static str,
    balancer: Box<dyn Balancer>,
    /// By how much it may be over the bound.
    at_most: Option<f64>,
}

/// What came of one simulated load.
struct Outcome {
    /// The most that a replica had at one time.
    most: usize,
    /// By how much a replica was over the bound when it got a request, at most.
    over: usize,
    /// The share of requests that went to their key's first candidate.
    stayed: f64,
}

/// Which client ends its request and begins one with which key, one after the other.
struct Load {
    requests: Vec<(usize, u32)>,
    /// Each key's share of the requests.
    shares: Vec<f64>,
}

pub(crate) fn measure(sizes: &Sizes) -> anyhow::Result<Table> {
    let load = Load::new(sizes.requests);
    let bounded = Some(FACTOR.0 as f64 / FACTOR.1 as f64);
    let ours = |name, algorithm| {
        let balancer = Box::new(ours::Ours::new(algorithm, bounded)?);
        anyhow::Ok(Entry { name, balancer, at_most: Some(0.0) })
    };
    let unbounded = Box::new(ours::Ours::new("Rendezvous", None)?);
    let mut entries = [
        ours("Ringhold Rendezvous", "Rendezvous")?,
        ours("Ringhold Maglev", "Maglev")?,
        ours("Ringhold Ketama", "Ketama")?,
        Entry { name: "ring-rs 0.0.0", balancer: Box::new(ring_rs::RingRs::new()), at_most: None },
        Entry { name: "Ringhold Rendezvous, no bound", balancer: unbounded, at_most: None },
    ];
    let mut cells = Vec::new();
    for Entry { name, balancer, at_most: _ } in &mut entries {
        let Outcome { most, over, stayed } = load.simulate(&mut **balancer).with_context(|| (*name).to_owned())?;
        let could_stay = load.could_stay(&**balancer);
        cells.push([most as f64, over as f64, stayed * 100.0, could_stay * 100.0].map(Cell::Number));
    }
    let turns = entries.iter_mut().map(|entry| {
        Turn::of(CLIENTS + load.requests.len(), || {
            let start = Instant::now();
            load.run(&mut *entry.balancer);
            Ok(start.elapsed())
        })
    });
    let times = in_turns(sizes.rounds, turns.collect())?;
    let rows = entries.into_iter().zip(cells).zip(times).map(|((entry, cells), time)| {
        let cells = cells.into_iter().chain([Cell::Spread(time)]).collect();
        Row::new(entry.name, "", cells).at_most(1, entry.at_most)
    });
    Ok(Table {
        name: "bounded",
        title: format!(
            "Bounded load: {REPLICAS} replicas, {CLIENTS} requests in flight, keys by Zipf's law (exponent {EXPONENT}, {KEYS} \
             keys), bound {} = ⌈1.25 · {CLIENTS} / {REPLICAS}⌉",
            bound(CLIENTS)
        ),
        columns: vec![
            Column::new("most at one time", 0),
            Column::new("over the bound", 0),
            Column::new("% on their first", 1),
            Column::new("% the bound allows", 1),
            Column::new("ns a request", 0),
        ],
        rows: rows.collect(),
        remarks: vec![
            "the bound allows: what all first candidates may have by their keys' share and the bound".to_owned(),
            "no other crate of those above bounds loads; ring-next is not on crates.io".to_owned(),
        ],
    })
}

/// By their rank.
fn keys() -> Vec<String> {
    (0..KEYS).map(|rank| format!("user-{rank}")).collect()
}

/// With so many requests in all, one replica's.
fn bound(total: usize) -> usize {
    (FACTOR.0 * total).div_ceil(FACTOR.1 * usize::from(REPLICAS))
}

// === impl Load ===

impl Load {
    fn new(requests: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut sum = 0.0;
        let cumulated: Vec<f64> = (1..=KEYS)
            .map(|rank| {
                sum += f64::from(rank).powf(-EXPONENT);
                sum
            })
            .collect();
        let shares = cumulated.iter().scan(0.0, |before, cumulated| {
            let share = (cumulated - *before) / sum;
            *before = *cumulated;
            Some(share)
        });
        let shares = shares.collect();
        let mut key = || {
            let at = random.f64() * sum;
            u32::try_from(cumulated.partition_point(|cumulated| *cumulated < at)).unwrap_or(0).min(KEYS - 1)
        };
        let keys: Vec<u32> = (0..requests).map(|_| key()).collect();
        Self { requests: keys.into_iter().map(|key| (random.usize(0..CLIENTS), key)).collect(), shares }
    }

    /// With a look at everything that happens.
    fn simulate(&self, balancer: &mut dyn Balancer) -> anyhow::Result<Outcome> {
        let mut counts = vec![0_usize; REPLICAS.into()];
        let mut at: Vec<Option<u16>> = vec![None; CLIENTS];
        let mut outcome = Outcome { most: 0, over: 0, stayed: 0.0 };
        let mut stayed = 0;
        let start = (0..CLIENTS).map(|client| (client, self.requests[client % self.requests.len()].1));
        for (client, key) in start.chain(self.requests.iter().copied()) {
            if let Some(replica) = at[client].take() {
                balancer.end(client);
                counts[usize::from(replica)] -= 1;
            }
            let total: usize = counts.iter().sum();
            let replica = balancer.begin(client, key).context("nobody takes a request")?;
            let count = counts.get_mut(usize::from(replica)).context("a stranger takes a request")?;
            *count += 1;
            at[client] = Some(replica);
            outcome.most = outcome.most.max(*count);
            outcome.over = outcome.over.max(count.saturating_sub(bound(total + 1)));
            stayed += usize::from(balancer.first(key) == Some(replica));
        }
        ensure!(counts.iter().sum::<usize>() == CLIENTS, "a request was lost");
        (0..CLIENTS).for_each(|client| balancer.end(client));
        outcome.stayed = stayed as f64 / (self.requests.len() + CLIENTS) as f64;
        Ok(outcome)
    }

    /// The most that can stay with their first candidates, on average: no replica has more than its bound of the requests
    /// in flight, nor more than its keys' share of them.
    fn could_stay(&self, balancer: &dyn Balancer) -> f64 {
        let mut shares = vec![0.0; REPLICAS.into()];
        for (key, share) in (0..).zip(&self.shares) {
            if let Some(of_first) = balancer.first(key).and_then(|first| shares.get_mut(usize::from(first))) {
                *of_first += share;
            }
        }
        let allowed = bound(CLIENTS) as f64 / CLIENTS as f64;
        shares.into_iter().map(|share| share.min(allowed)).sum()
    }

    /// The same as fast as it goes; ends what is in flight after.
    fn run(&self, balancer: &mut dyn Balancer) {
        let start = (0..CLIENTS).map(|client| (client, self.requests[client % self.requests.len()].1));
        for (client, key) in start {
            balancer.begin(client, key);
        }
        for (client, key) in &self.requests {
            balancer.end(*client);
            balancer.begin(*client, *key);
        }
        (0..CLIENTS).for_each(|client| balancer.end(client));
    }
}
