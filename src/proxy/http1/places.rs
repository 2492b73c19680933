//! A head's fields, from where they stand in its bytes to a list that shares these.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::proxy::ProxyConfig;
use crate::proxy::http1::head::Invalid;
use crate::proxy::http1::names;
use crate::proxy::message::Fields;

/// Bytes of a head at most: places are 16 bits wide.
pub(super) const MAX_BYTES: usize = u16::MAX as usize;
/// Fields that are read without an allocation.
const COMMON_FIELDS: usize = ProxyConfig::DEFAULT_MAX_HEADERS;

/// What a parser of heads writes fields to.
pub(super) type Slots<'s, 'b> = &'s mut [MaybeUninit<httparse::Header<'b>>];

/// From where to where something stands in a head.
pub(super) type Span = (u16, u16);

/// Where the fields of a head stand.
pub(super) struct Places {
    /// On the heap, they would be an allocation for each head.
    some: [(Span, Span); COMMON_FIELDS],
    many: Vec<(Span, Span)>,
    count: usize,
}

// === impl Places ===

impl Places {
    /// Has a head parsed, with room for so many fields. What the parser returns beside them is returned.
    pub(super) fn parse<'b, T>(
        &mut self,
        bytes: &'b [u8],
        limit: usize,
        parse: impl for<'s> FnOnce(Slots<'s, 'b>) -> Result<Option<(&'s [httparse::Header<'b>], T)>, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        let (mut some, mut many) = ([const { MaybeUninit::uninit() }; COMMON_FIELDS], Vec::new());
        let slots = if limit <= COMMON_FIELDS {
            &mut some[..limit]
        } else {
            many.resize_with(limit, MaybeUninit::uninit);
            self.many.resize(limit, Default::default());
            &mut many[..]
        };
        let Some((fields, parsed)) = parse(slots)? else { return Ok(None) };
        self.count = fields.len();
        let places = if limit <= COMMON_FIELDS { &mut self.some[..] } else { &mut self.many[..] };
        for (field, place) in fields.iter().zip(places) {
            *place = (span(bytes, field.name.as_bytes())?, span(bytes, field.value)?);
        }
        Ok(Some(parsed))
    }

    /// Puts them into an empty list. `bytes` are those that were parsed.
    pub(super) fn put(
        &self,
        bytes: &Bytes,
        list: &mut Fields,
        mut see: impl FnMut(&HeaderName),
    ) -> Result<(), Invalid> {
        let places = if self.many.is_empty() { &self.some[..] } else { &self.many[..] };
        // Some come on the way.
        list.reserve(self.count + 4);
        for (name, value) in &places[..self.count] {
            let name = names::name(&bytes[range(*name)])?;
            let value = HeaderValue::from_maybe_shared(bytes.slice(range(*value))).map_err(|_| Invalid)?;
            see(&name);
            list.append(name, value);
        }
        Ok(())
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { some: [Default::default(); COMMON_FIELDS], many: Vec::new(), count: 0 }
    }
}

/// Where a part of the bytes stands.
pub(super) fn span(bytes: &[u8], part: &[u8]) -> Result<Span, Invalid> {
    if part.is_empty() {
        return Ok((0, 0)); // it may lie elsewhere
    }
    let from = part.as_ptr().addr() - bytes.as_ptr().addr();
    let number = |at| u16::try_from(at).map_err(|_| Invalid);
    Ok((number(from)?, number(from + part.len())?))
}

pub(super) fn range((from, to): Span) -> std::ops::Range<usize> {
    usize::from(from)..usize::from(to)
}
