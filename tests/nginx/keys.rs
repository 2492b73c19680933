//! Keys of all kinds that a header can carry.

use std::collections::BTreeSet;
use std::iter::repeat_with;

use fastrand::Rng;

const LETTERS: [char; 12] = ['a', 'Z', '7', '-', '_', '.', 'é', 'ß', 'ж', '鍵', '🔑', '\u{a0}'];

/// So many different keys, the same in each run: numbered, random, in UTF-8, percent-encoded and long.
pub(crate) fn keys(count: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(42);
    let mut seen = BTreeSet::new();
    (0..).map(|number| key(number, &mut rng)).filter(|key| seen.insert(key.clone())).take(count).collect()
}

fn key(number: usize, rng: &mut Rng) -> Vec<u8> {
    let (len, long) = (rng.usize(1..=64), rng.usize(65..=2048));
    match number % 5 {
        0 => format!("user-{number}").into_bytes(),
        1 => repeat_with(|| rng.u8(b'!'..=b'~')).take(len).collect(),
        2 => repeat_with(|| LETTERS[rng.usize(..LETTERS.len())]).take(len).collect::<String>().into_bytes(),
        3 => repeat_with(|| format!("%{:02X}", rng.u8(..))).take(len).collect::<String>().into_bytes(),
        _ => repeat_with(|| rng.u8(b'!'..=b'~')).take(long).collect(),
    }
}
