//! The fields of a head, in the order in which they came.

use std::borrow::Borrow;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields of a head (RFC 9110 §5). Looks like [`HeaderMap`], and is a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Fields(Vec<(HeaderName, HeaderValue)>);

// === impl Fields ===

impl Fields {
    pub(in crate::proxy) fn len(&self) -> usize {
        self.0.len()
    }

    /// Leaves its memory for others.
    pub(in crate::proxy) fn clear(&mut self) {
        self.0.clear();
    }

    pub(in crate::proxy) fn reserve(&mut self, more: usize) {
        self.0.reserve(more);
    }

    pub(in crate::proxy) fn iter(&self) -> impl DoubleEndedIterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// All names; one that comes more than once as often.
    pub(in crate::proxy) fn keys(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|(name, _)| name)
    }

    pub(in crate::proxy) fn contains_key(&self, name: impl Borrow<HeaderName>) -> bool {
        self.place(name.borrow()).is_some()
    }

    /// The first of this name.
    pub(in crate::proxy) fn get(&self, name: impl Borrow<HeaderName>) -> Option<&HeaderValue> {
        self.place(name.borrow()).map(|place| &self.0[place].1)
    }

    pub(in crate::proxy) fn get_all(
        &self,
        name: impl Borrow<HeaderName>,
    ) -> impl DoubleEndedIterator<Item = &HeaderValue> {
        self.0.iter().filter_map(move |(other, value)| (other == name.borrow()).then_some(value))
    }

    /// One more.
    pub(in crate::proxy) fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// The only one of this name: others go.
    pub(in crate::proxy) fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let Some(place) = self.place(&name) else { return self.append(name, value) };
        self.0[place].1 = value;
        if self.0[place + 1..].iter().any(|(other, _)| *other == name) {
            let mut is_first = true;
            self.0.retain(|(other, _)| *other != name || std::mem::take(&mut is_first));
        }
    }

    /// Unless there is one of this name.
    pub(in crate::proxy) fn insert_new(&mut self, name: HeaderName, value: impl FnOnce() -> HeaderValue) {
        if !self.contains_key(&name) {
            self.append(name, value());
        }
    }

    /// Removes all of this name; returns the first.
    pub(in crate::proxy) fn remove(&mut self, name: impl Borrow<HeaderName>) -> Option<HeaderValue> {
        let name = name.borrow();
        let place = self.place(name)?;
        let (_, removed) = self.0.remove(place);
        self.0.retain(|(other, _)| other != name);
        Some(removed)
    }

    /// Keeps those whose name may stay.
    pub(in crate::proxy) fn retain(&mut self, mut stays: impl FnMut(&HeaderName) -> bool) {
        self.0.retain(|(name, _)| stays(name));
    }

    #[cfg(test)]
    pub(in crate::proxy) fn of(fields: &[(&'static str, &'static str)]) -> Self {
        let of = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Self(fields.iter().map(of).collect())
    }

    fn place(&self, name: &HeaderName) -> Option<usize> {
        self.0.iter().position(|(other, _)| other == name)
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Vec::with_capacity(map.len() + 4);
        let mut last = None;
        for (name, value) in map {
            // Of several values of one name the first alone has it.
            last = name.or(last);
            if let Some(name) = &last {
                fields.push((name.clone(), value));
            }
        }
        Self(fields)
    }
}

impl From<Fields> for HeaderMap {
    fn from(Fields(fields): Fields) -> Self {
        let mut map = Self::with_capacity(fields.len());
        for (name, value) in fields {
            map.append(name, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST, VIA};

    use super::*;

    fn text(fields: &Fields) -> String {
        let fields = fields.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        fields.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn fields_stay_in_their_order() {
        let mut fields = Fields::of(&[("via", "a"), ("host", "b"), ("via", "c"), ("accept", "d")]);
        fields.append(VIA, HeaderValue::from_static("e"));
        assert_eq!(text(&fields), "via=a host=b via=c accept=d via=e");
        assert_eq!(fields.get_all(VIA).collect::<Vec<_>>(), ["a", "c", "e"]);
        fields.insert(VIA, HeaderValue::from_static("f"));
        assert_eq!(text(&fields), "via=f host=b accept=d");
        fields.insert_new(VIA, || unreachable!("there is one"));
        assert_eq!(fields.remove(HOST), Some(HeaderValue::from_static("b")));
        fields.insert_new(HOST, || HeaderValue::from_static("g"));
        assert_eq!((text(&fields).as_str(), fields.remove(ACCEPT).is_some()), ("via=f accept=d host=g", true));
        assert_eq!((fields.remove(ACCEPT), fields.get(ACCEPT), fields.len()), (None, None, 2));
    }

    #[test]
    fn of_several_all_are_removed() {
        let mut fields = Fields::of(&[("via", "a"), ("host", "b"), ("via", "c")]);
        assert_eq!(fields.remove(VIA), Some(HeaderValue::from_static("a")));
        assert_eq!(text(&fields), "host=b");
    }

    #[test]
    fn a_map_and_a_list_say_the_same() {
        let fields = Fields::of(&[("via", "a"), ("host", "b"), ("via", "c")]);
        let map = HeaderMap::from(fields);
        assert_eq!(map.get_all(VIA).iter().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(text(&Fields::from(map)), "via=a via=c host=b");
    }
}
