//! How a request came to its end.

use std::time::Duration;

use crate::proxy::errors::Reason;

/// How a response came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was a replica's, and whole.
    Whole,
    /// The client left, or was too slow, before it had all of it.
    Left,
    /// The replica broke off in the middle.
    Broken,
    /// It was ours.
    Own(Reason),
}

/// All that is to be said of a request that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// [`Ended::NO_STATUS`] where the client left before there was one.
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    /// Of bodies.
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) took: Duration,
}

// === impl Outcome ===

impl Outcome {
    /// How many there are.
    pub(super) const COUNT: usize = 3 + Reason::ALL.len();

    /// All, each at its own number.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Self::Whole, Self::Left, Self::Broken].into_iter().chain(Reason::ALL.map(Self::Own))
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Whole => 0,
            Self::Left => 1,
            Self::Broken => 2,
            Self::Own(reason) => 3 + reason as usize,
        }
    }

    /// Why it is not simply a replica's whole answer.
    pub(super) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Left => Some("ClientGone"),
            Self::Broken => Some("BrokenResponse"),
            Self::Own(reason) => Some(reason.as_str()),
        }
    }
}

// === impl Ended ===

impl Ended {
    /// What nginx writes there.
    pub(super) const NO_STATUS: u16 = 499;

    /// Whether it is the service's failure.
    pub(super) fn is_failure(&self) -> bool {
        self.status >= 500 || self.outcome == Outcome::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_numbered_as_listed() {
        let numbers: Vec<usize> = Outcome::all().map(Outcome::index).collect();
        assert_eq!(numbers, (0..Outcome::COUNT).collect::<Vec<_>>());
    }
}
