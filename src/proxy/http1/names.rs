//! Field names that were read lately. Messages mostly have the same, and a name that nobody knows yet costs a table of
//! characters, and one of its own an allocation.

use std::cell::RefCell;

use http::HeaderName;

use crate::proxy::http1::head::Invalid;

/// Names that are remembered, a power of two.
const SLOTS: usize = 128;
/// Longer ones are not.
const MAX_BYTES: usize = 40;

thread_local! {
    /// Each as it was spelled, where its bytes lead to. Whoever sends names that nobody else does takes places, and nothing else.
    static KNOWN: RefCell<Vec<Option<Known>>> = RefCell::new(vec![None; SLOTS]);
}

#[derive(Clone)]
struct Known {
    spelled: Box<[u8]>,
    name: HeaderName,
}

/// The name of a field that is spelled so.
pub(super) fn name(spelled: &[u8]) -> Result<HeaderName, Invalid> {
    let [first, .., last] = spelled else { return parse(spelled) };
    if spelled.len() > MAX_BYTES {
        return parse(spelled);
    }
    let middle = spelled[spelled.len() / 2];
    let mixed = usize::from(*first) ^ (usize::from(*last) << 2) ^ (usize::from(middle) << 4) ^ (spelled.len() << 3);
    KNOWN.with_borrow_mut(|known| {
        let slot = &mut known[mixed % SLOTS];
        match slot {
            Some(known) if *known.spelled == *spelled => Ok(known.name.clone()),
            _ => {
                let name = parse(spelled)?;
                *slot = Some(Known { spelled: spelled.into(), name: name.clone() });
                Ok(name)
            }
        }
    })
}

fn parse(spelled: &[u8]) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(spelled).map_err(|_| Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_however_often_it_was_read() {
        let spelled = ["Host", "host", "HOST", "X-User-Id", "x-user-id", "a", "", "User-Agent", "x y", "é"];
        let long = format!("x-{}", "y".repeat(100));
        for _ in 0..3 {
            for spelled in spelled.iter().copied().chain([long.as_str()]) {
                assert_eq!(
                    name(spelled.as_bytes()).ok(),
                    HeaderName::from_bytes(spelled.as_bytes()).ok(),
                    "{spelled:?}"
                );
            }
        }
    }

    #[test]
    fn names_that_share_a_place_are_told_apart() {
        for number in (0..10_000).chain(0..10_000) {
            let spelled = format!("x-{number}");
            assert_eq!(name(spelled.as_bytes()).unwrap().as_str(), spelled);
        }
    }
}
