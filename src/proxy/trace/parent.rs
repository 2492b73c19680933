//! `traceparent` and `tracestate` as the W3C's Trace Context has them.
//!
//! The SDK's propagator takes what is too short and the first of several fields; who exports under an id that others
//! refuse tears the trace apart.

use http::HeaderValue;

use crate::proxy::message::Fields;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::proxy::trace::{TRACEPARENT, TRACESTATE};

/// Bytes of a state that everybody has to pass on (§3.3.1.5).
const MOST_STATE: usize = 512;

/// A valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) struct Parent<'h> {
    /// 32 hexadecimal digits.
    pub(in crate::proxy) trace: &'h str,
    /// 16 of them.
    span: &'h str,
    sampled: bool,
}

// === impl Parent ===

impl<'h> Parent<'h> {
    /// Reads a field's value (§3.2): version, trace, span and flags in lower-case hexadecimal.
    pub(in crate::proxy) fn parse(value: &'h [u8]) -> Option<Self> {
        let value = str::from_utf8(value).ok()?;
        let mut parts = value.split('-');
        let mut next = |length| {
            let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(|part| part.len() == length).filter(is_hex)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // Of later versions only the beginning is known.
        let is_known = version != "ff" && (version != "00" || parts.next().is_none());
        let names = |id: &str| id.bytes().any(|byte| byte != b'0');
        let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        (is_known && names(trace) && names(span)).then_some(Self { trace, span, sampled })
    }

    /// The one that a head has; with several it has none.
    pub(super) fn of(headers: &'h Fields) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT);
        let (first, second) = (values.next()?, values.next());
        Self::parse(first.as_bytes()).filter(|_| second.is_none())
    }

    /// For a span that follows it.
    pub(super) fn context(self, headers: &Fields) -> Option<SpanContext> {
        let (trace, span) = (TraceId::from_hex(self.trace).ok()?, SpanId::from_hex(self.span).ok()?);
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        Some(SpanContext::new(trace, span, flags, true, state(headers)))
    }
}

/// Several fields are one list (§3.3.1.4). What can't be read, or is longer than others have to take, is left out of our
/// spans, not of the request.
fn state(headers: &Fields) -> TraceState {
    let values = headers.get_all(TRACESTATE).filter_map(|value| value.to_str().ok());
    let state = values.collect::<Vec<_>>().join(",");
    if state.len() > MOST_STATE { TraceState::default() } else { state.parse().unwrap_or_default() }
}

/// The field that names this span as the parent.
pub(super) fn value(context: &SpanContext) -> Option<HeaderValue> {
    let (trace, span) = (context.trace_id(), context.span_id());
    HeaderValue::try_from(format!("00-{trace}-{span}-{:02x}", u8::from(context.is_sampled()))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_parent_is_taken_only_as_it_is_defined() {
        let of = |text: &str| Parent::parse(text.as_bytes()).map(|parent| (parent.trace == TRACE, parent.sampled));
        assert_eq!(of(&format!("00-{TRACE}-{SPAN}-01")), Some((true, true)));
        assert_eq!(of(&format!("00-{TRACE}-{SPAN}-fe")), Some((true, false)));
        assert_eq!(of(&format!("cc-{TRACE}-{SPAN}-01-what-comes")), Some((true, true)));
        for wrong in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            "00-1-2-01".to_owned(),
        ] {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_parents_are_none_and_two_states_are_one() {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let mut headers = Fields::default();
        headers.append(TRACEPARENT, value(&format!("00-{TRACE}-{SPAN}-01")));
        headers.append(TRACESTATE, value("a=1"));
        headers.append(TRACESTATE, value("b=2"));
        let context = Parent::of(&headers).unwrap().context(&headers).unwrap();
        assert_eq!(context.trace_state().header(), "a=1,b=2");
        assert_eq!(super::value(&context).unwrap(), format!("00-{TRACE}-{SPAN}-01"));
        headers.append(TRACEPARENT, value(&format!("00-{TRACE}-{SPAN}-01")));
        assert_eq!(Parent::of(&headers), None);
    }
}
