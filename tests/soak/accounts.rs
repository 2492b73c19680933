//! The accounts: what clients, metrics, access log and replicas say must be the same.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ledger::{Book, End, Entry, Kind, Word};
use crate::ringhold::{Metrics, label};

/// Tries after the first, unless a setting says more; see [`crate::churn`].
const ATTEMPTS: u8 = 2;
/// So many examples are told.
const EXAMPLES: usize = 5;

/// A statement that has to hold.
#[derive(Debug, Serialize)]
pub(crate) struct Claim {
    pub(crate) says: String,
    pub(crate) holds: bool,
    /// Where it does not hold, in which cases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) examples: Vec<String>,
}

/// All that was counted.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Heads that clients began.
    pub(crate) begun: u64,
    /// By how they ended for their clients.
    pub(crate) cut: u64,
    pub(crate) whole: u64,
    pub(crate) own: u64,
    pub(crate) broken: u64,
    pub(crate) left: u64,
    pub(crate) withdrawn: u64,
    pub(crate) unanswered: u64,
    /// Of the withdrawn and unanswered, those that the access log does not know.
    pub(crate) unread: u64,
    /// What the others say.
    pub(crate) lines: u64,
    pub(crate) stray_lines: u64,
    pub(crate) metrics: u64,
    pub(crate) tries: u64,
    pub(crate) noted: u64,
    /// Tries that no replica noted.
    pub(crate) unnoted: u64,
    /// By reason, those that must not fail and did, for a reason that may be.
    pub(crate) excused: BTreeMap<String, u64>,
    /// Own answers by reason, of all kinds.
    pub(crate) reasons: BTreeMap<String, u64>,
}

/// What is claimed, and what was counted.
#[derive(Debug, Serialize)]
pub(crate) struct Accounts {
    pub(crate) counts: Counts,
    pub(crate) claims: Vec<Claim>,
}

/// Cases in which a claim does not hold.
#[derive(Default)]
struct Cases {
    count: u64,
    examples: Vec<String>,
}

/// Requests by LoadBalancer, code and reason.
type Cells = BTreeMap<(String, String, String), u64>;

impl Accounts {
    /// `metrics`: the last page, with what the guest's pages said in each of its lives.
    pub(crate) fn close(book: &Book, metrics: &Metrics) -> Self {
        let mut counts = Counts { begun: book.entries.len() as u64, ..Counts::default() };
        let (mut open, mut unmatched, mut repeated, mut lost, mut failed) =
            (Cases::default(), Cases::default(), Cases::default(), Cases::default(), Cases::default());
        let (mut cells, mut retries, mut unsent) = (Cells::new(), 0, Cases::default());
        let mut spent = 0;
        for (number, entry) in book.entries.iter().enumerate() {
            counts.add(book, entry);
            let tell = || tell(book, number, entry);
            open.unless(entry.end != End::Open, tell);
            unmatched.unless(is_matched(book, entry), tell);
            lost.unless(is_noted(entry), tell);
            repeated.unless(entry.kind != Kind::Once || entry.seen <= 1, tell);
            unsent.unless(entry.seen <= entry.line.tries, tell);
            if entry.lines > 0 && book.text(entry.line.load_balancer) != "stray" {
                let line = &entry.line;
                let cell = [line.load_balancer, line.reason].map(|word| book.text(word).to_owned());
                let [load_balancer, reason] = cell;
                *cells.entry((load_balancer, line.status.to_string(), reason)).or_default() += 1;
                retries += u64::from(line.tries.saturating_sub(1));
            }
            match excuse(book, entry) {
                Excuse::NotNeeded => {}
                Excuse::None => failed.unless(false, tell),
                Excuse::Reason(reason) => {
                    spent += u64::from(reason == "UpstreamReset" && entry.line.tries <= ATTEMPTS);
                    *counts.excused.entry(reason.to_owned()).or_default() += 1;
                }
            }
        }
        let strays = |labels: &str| label(labels, "loadbalancer") == Some("stray");
        let told = requests(metrics);
        counts.metrics = told.values().sum();
        let sum = |name| metrics.sum(name, |labels| !strays(labels));
        let over_budget = sum("ringhold_retries_over_budget_total");
        let repeats = metrics
            .sum("ringhold_retries_total", |labels| !strays(labels) && label(labels, "kind") == Some("repeated"));
        let (picks, tries) = (sum("ringhold_picks_total"), counts.tries - stray_tries(book));
        let known = counts.whole + counts.own + counts.broken + counts.left + counts.withdrawn + counts.unanswered
            - counts.unread;
        let claims = vec![
            Claim::of("every request has one end for its client", open),
            Claim::new(
                format!(
                    "clients' requests = lines of the access log: {known} = {} (of {} heads begun {} were cut and {} never read)",
                    counts.lines, counts.begun, counts.cut, counts.unread
                ),
                known == counts.lines && book.strange.is_empty(),
                book.strange.iter().take(EXAMPLES).cloned().collect(),
            ),
            Claim::of(
                "each has the one line that its end demands, with the status and reason that the client got",
                unmatched,
            ),
            Claim::new(
                format!(
                    "lines = ringhold_requests_total, by LoadBalancer, code and reason: {} = {} (and {} lines of the stray, whose counters went with it)",
                    counts.lines - counts.stray_lines,
                    counts.metrics,
                    counts.stray_lines
                ),
                cells == told,
                differences(&cells, &told),
            ),
            Claim::new(
                format!(
                    "tries after the first = ringhold_retries_total: {retries} = {}",
                    sum("ringhold_retries_total")
                ),
                retries == sum("ringhold_retries_total"),
                vec![],
            ),
            Claim::new(
                format!(
                    "ringhold_picks_total ≤ tries ≤ that and the repeated: {picks} ≤ {tries} ≤ {picks} + {repeats}"
                ),
                picks <= tries && tries <= picks + repeats,
                vec![],
            ),
            Claim::new(
                format!(
                    "tries = requests that replicas noted + tries that ended before: {} = {} + {}",
                    counts.tries, counts.noted, counts.unnoted
                ),
                counts.tries == counts.noted + counts.unnoted,
                vec![],
            ),
            Claim::of("no replica noted a request more often than it was tried", unsent),
            Claim::of("who got a replica's answer was noted by that replica", lost),
            Claim::of("what must not be sent twice was not", repeated),
            Claim::of("no GET without a body failed but for a reason that may be", failed),
            Claim::new(
                format!("of those, resets before the tries were spent ≤ retries over budget: {spent} ≤ {over_budget}"),
                spent <= over_budget,
                vec![],
            ),
            Claim::new(
                "no line of the access log was dropped".to_owned(),
                sum("ringhold_access_log_dropped_total") == 0,
                vec![],
            ),
        ];
        Self { counts, claims }
    }
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, book: &Book, entry: &Entry) {
        let Entry { end, lines, line, seen, .. } = *entry;
        let counter = match end {
            End::Open => return,
            End::Cut => &mut self.cut,
            End::Whole(_) => &mut self.whole,
            End::Own(..) => &mut self.own,
            End::Broken => &mut self.broken,
            End::Left => &mut self.left,
            End::Withdrawn => &mut self.withdrawn,
            End::Unanswered => &mut self.unanswered,
        };
        *counter += 1;
        if let End::Own(_, reason) = end {
            *self.reasons.entry(book.text(reason).to_owned()).or_default() += 1;
        }
        self.unread += u64::from(lines == 0 && matches!(end, End::Withdrawn | End::Unanswered));
        self.lines += u64::from(lines);
        self.stray_lines += if book.text(line.load_balancer) == "stray" { u64::from(lines) } else { 0 };
        self.tries += u64::from(line.tries);
        self.noted += u64::from(seen);
        self.unnoted += u64::from(line.tries.saturating_sub(seen));
    }
}

/// Whether the access log has as many lines of a request as its end demands, and they say the same.
fn is_matched(book: &Book, entry: &Entry) -> bool {
    let Entry { end, lines, line, .. } = *entry;
    match end {
        // Told apart elsewhere.
        End::Open => true,
        End::Cut => lines == 0,
        End::Whole(status) => lines == 1 && (line.status, line.reason) == (status, Word::NONE),
        End::Own(status, reason) => lines == 1 && (line.status, line.reason) == (status, reason),
        End::Broken => lines == 1 && line.reason != Word::NONE,
        End::Left => lines == 1,
        End::Withdrawn => lines <= 1,
        // Whoever was read is answered; though the answer may break off before its head has left hyper's buffer.
        End::Unanswered if lines == 0 => entry.reused,
        End::Unanswered => lines == 1 && book.text(line.reason) == "BrokenResponse",
    }
}

/// Whether replicas noted a request at least where one has answered it, and not where nobody was asked.
fn is_noted(entry: &Entry) -> bool {
    match entry.end {
        End::Whole(_) => entry.seen > 0 && entry.seen_by == entry.line.replica,
        _ => entry.lines > 0 || entry.seen == 0,
    }
}

enum Excuse {
    /// It did not fail, or may.
    NotNeeded,
    Reason(&'static str),
    None,
}

/// Why a request that must not fail did.
fn excuse(book: &Book, entry: &Entry) -> Excuse {
    if entry.kind != Kind::Safe {
        return Excuse::NotNeeded;
    }
    match entry.end {
        End::Open | End::Cut | End::Whole(_) | End::Left | End::Withdrawn => Excuse::NotNeeded,
        // The answer had begun, and can't be taken back.
        End::Broken | End::Unanswered if book.text(entry.line.reason) == "BrokenResponse" => {
            Excuse::Reason("BrokenResponse")
        }
        // All tries met a replica that died, or the budget was spent.
        End::Own(_, reason) if book.text(reason) == "UpstreamReset" => Excuse::Reason("UpstreamReset"),
        // It crossed the end of an idle connection, and nobody had it (RFC 9112 §9.3.1).
        End::Unanswered if entry.lines == 0 && entry.reused => Excuse::Reason("closed before it was read"),
        End::Own(..) | End::Broken | End::Unanswered => Excuse::None,
    }
}

fn stray_tries(book: &Book) -> u64 {
    let strays = book.entries.iter().filter(|entry| book.text(entry.line.load_balancer) == "stray");
    strays.map(|entry| u64::from(entry.line.tries)).sum()
}

fn requests(metrics: &Metrics) -> Cells {
    let mut cells = Cells::new();
    for (labels, count) in metrics.of("ringhold_requests_total") {
        let of = |name| label(labels, name).unwrap_or_default().to_owned();
        if of("loadbalancer") != "stray" {
            *cells.entry((of("loadbalancer"), of("code"), of("reason"))).or_default() += count;
        }
    }
    cells
}

fn differences(lines: &Cells, told: &Cells) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = lines.keys().chain(told.keys()).collect();
    let of = |cells: &Cells, key| cells.get(key).copied().unwrap_or(0);
    let differing = keys.into_iter().filter(|key| of(lines, key) != of(told, key));
    differing.map(|key| format!("{key:?}: {} lines, {} counted", of(lines, key), of(told, key))).collect()
}

fn tell(book: &Book, number: usize, entry: &Entry) -> String {
    let Entry { kind, reused, end, lines, line, seen, seen_by } = *entry;
    let end = match end {
        End::Own(status, reason) => format!("Own({status}, {})", book.text(reason)),
        end => format!("{end:?}"),
    };
    format!(
        "request {number}, {kind:?}, reused {reused}: {end}; {lines} lines: {} {:?} by {:?} at {:?} after {} tries; noted {seen} times, by {:?}",
        line.status,
        book.text(line.reason),
        book.text(line.load_balancer),
        book.text(line.replica),
        line.tries,
        book.text(seen_by),
    )
}

// === impl Claim, Cases ===

impl Claim {
    pub(crate) fn new(says: String, holds: bool, examples: Vec<String>) -> Self {
        Self { says, holds, examples }
    }

    fn of(says: &str, Cases { count, examples }: Cases) -> Self {
        let says = if count == 0 { says.to_owned() } else { format!("{says}: not of {count}") };
        Self { says, holds: count == 0, examples }
    }
}

impl Cases {
    fn unless(&mut self, holds: bool, tell: impl Fn() -> String) {
        if !holds {
            self.count += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(tell());
            }
        }
    }
}
