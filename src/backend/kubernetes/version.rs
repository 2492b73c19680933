//! Which of two versions of a pod is newer.

/// A `resourceVersion`. Since Kubernetes 1.35 two of one kind of resource may be compared (KEP-5504): as integers
/// without leading zeros, of any size. Earlier API servers never promised so, and did so all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Version(Box<str>);

// === impl Version ===

impl Version {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is known to be the same version as the other or a newer one.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        (self == other && !self.0.is_empty()) || self.is_newer_than(other)
    }

    /// Whether this is known to be newer than the other. Of what is no number nothing is known.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        let key = |version: &Self| version.is_number().then_some(version.0.len());
        match (key(self), key(other)) {
            (Some(ours), Some(theirs)) => (ours, &self.0) > (theirs, &other.0),
            _ => false,
        }
    }

    fn is_number(&self) -> bool {
        !self.0.is_empty() && !self.0.starts_with('0') && self.0.bytes().all(|byte| byte.is_ascii_digit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_integers_of_any_size() {
        let rising = ["1", "9", "10", "99", "18446744073709551615", "18446744073709551616", "99999999999999999999999"];
        for (index, lower) in rising.iter().enumerate() {
            for (other, higher) in rising.iter().enumerate() {
                let (lower, higher) = (Version::new(lower), Version::new(higher));
                assert_eq!(higher.is_newer_than(&lower), other > index, "{higher:?} after {lower:?}");
                assert_eq!(higher.reaches(&lower), other >= index, "{higher:?} reaches {lower:?}");
            }
        }
    }

    #[test]
    fn of_what_is_no_number_nothing_is_known() {
        for (one, other) in [("", ""), ("", "1"), ("2", ""), ("2", "a1"), ("b", "a"), ("2", "01"), ("-2", "1")] {
            let (one, other) = (Version::new(one), Version::new(other));
            assert!(!one.is_newer_than(&other) && !one.reaches(&other), "{one:?} and {other:?}");
        }
        assert!(Version::new("a").reaches(&Version::new("a")), "the same is the same");
    }
}
