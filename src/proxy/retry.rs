//! When a request that a replica already had may be sent again: it must be safe to repeat, and there must be budget.
//!
//! The budget is Finagle's (Twitter, 2016; linkerd's too): of the requests of the last ten seconds a percentage, on top
//! of ten a second. A share of the requests *in flight* would be simpler, but when one of three replicas dies, a third
//! of them fails at once, and just then none should be lost.

use std::cell::RefCell;

use http::Method;

/// Seconds that the budget looks back.
const WINDOW: usize = 10;
/// Repeats a second that are always allowed, on each worker.
const RESERVE: u32 = 10;

/// One route's budget on one worker.
#[derive(Debug, Default)]
pub(super) struct Budget {
    seconds: RefCell<[Second; WINDOW]>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Second {
    at: u64,
    requests: u32,
    repeats: u32,
}

/// Safe to repeat by definition (RFC 9110 §9.2.2) and forwarded at all.
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

// === impl Budget ===

impl Budget {
    /// Counts a request in this second.
    pub(super) fn deposit(&self, now: u64) {
        let mut seconds = self.seconds.borrow_mut();
        slot(&mut seconds, now).requests += 1;
    }

    /// Takes the right to repeat one; false when there is none left.
    pub(super) fn withdraw(&self, now: u64, percent: u32) -> bool {
        let mut seconds = self.seconds.borrow_mut();
        let recent = seconds.iter().filter(|second| second.at + WINDOW as u64 > now);
        let (requests, repeats) = recent.fold((0_u64, 0_u64), |(requests, repeats), second| {
            (requests + u64::from(second.requests), repeats + u64::from(second.repeats))
        });
        let allowed = u64::from(RESERVE) * WINDOW as u64 + requests * u64::from(percent) / 100;
        let granted = repeats < allowed;
        if granted {
            slot(&mut seconds, now).repeats += 1;
        }
        granted
    }
}

fn slot(seconds: &mut [Second; WINDOW], now: u64) -> &mut Second {
    let index = usize::try_from(now % WINDOW as u64).unwrap_or(0);
    let slot = &mut seconds[index];
    if slot.at != now {
        *slot = Second { at: now, ..Second::default() };
    }
    slot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_reserve_and_a_share_of_recent_requests() {
        let budget = Budget::default();
        for _ in 0..1000 {
            budget.deposit(100);
        }
        let granted = |now| std::iter::repeat_with(|| budget.withdraw(now, 20)).take_while(|granted| *granted).count();
        assert_eq!(granted(100), 300);
        assert_eq!(granted(109), 0);
        assert_eq!(granted(110), 100, "what is ten seconds old counts no more, on either side");
    }
}
