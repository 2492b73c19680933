//! Of what should be in a place the last good one counts, whatever becomes of the place: a certificate, or authorities.

use std::sync::Arc;

use jiff::Timestamp;

use crate::controller::accept::Refusal;
use crate::model::{Condition, ConditionStatus, ConditionType};
use crate::tls::TlsError;

/// What is in the place where a certificate should be, or authorities.
#[derive(Debug)]
pub(super) struct Found<T> {
    /// The field and its value, for people.
    pub(super) place: String,
    pub(super) content: Result<Arc<T>, Refusal>,
}

/// The last good one, on which terms it is used, and what was made of both.
#[derive(Debug)]
pub(super) struct Kept<T, K, M> {
    pub(super) content: Arc<T>,
    terms: K,
    pub(super) made: M,
}

/// Status, reason and message.
pub(super) type Said = (bool, &'static str, String);

// === impl Kept ===

impl<T, K: PartialEq, M> Kept<T, K, M> {
    /// What was found, if it is good, else what there was.
    pub(super) fn last_good(kept: Option<&Self>, found: &Found<T>) -> Option<Arc<T>> {
        found.content.as_ref().ok().or(kept.map(|kept| &kept.content)).cloned()
    }

    /// Goes on with this, on these terms. Where both are as before, so is what was made of them: clients' tickets and
    /// connections belong to it.
    pub(super) fn renew(
        kept: &mut Option<Self>,
        content: &Arc<T>,
        terms: K,
        is_same: fn(&T, &T) -> bool,
        make: impl FnOnce(&Arc<T>, &K) -> Result<M, TlsError>,
    ) -> Result<(), TlsError> {
        if !kept.as_ref().is_some_and(|kept| kept.terms == terms && is_same(&kept.content, content)) {
            let made = make(content, &terms)?;
            *kept = Some(Self { content: Arc::clone(content), terms, made });
        }
        Ok(())
    }
}

/// What is said now, in place of what was `told` before.
pub(super) fn stated(
    told: &mut Option<Condition>,
    kind: ConditionType,
    (status, reason, message): Said,
    generation: i64,
    now: Timestamp,
) -> Condition {
    let status = ConditionStatus::from(status);
    let since = told.as_ref().filter(|told| told.status == status).map(|told| told.last_transition_time);
    let last_transition_time = since.unwrap_or(now);
    let condition = Condition { kind, status, observed_generation: generation, last_transition_time, reason, message };
    *told = Some(condition.clone());
    condition
}

/// With the comfort that there is another one, where there is.
pub(super) fn and_before(message: &str, is_there: bool) -> String {
    if is_there { format!("{message}; what was there before goes on serving") } else { message.to_owned() }
}
