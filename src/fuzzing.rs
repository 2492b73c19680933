//! What `make fuzz-smoke` fuzzes: functions that take any bytes, and panic where a property does not hold. The tests run
//! them, too, with the inputs that lie in `tests/fuzz/corpus`. No other build has this module.

mod manifest;

use crate::proxy::fuzzing as proxy;

/// A function to be fuzzed.
pub type Target = fn(&[u8]);

/// All targets by name; each has a folder of this name in `tests/fuzz/corpus`.
pub const TARGETS: [(&str, Target); 5] = [
    ("chunks", proxy::chunks),
    ("key", proxy::key),
    ("manifest", manifest::check),
    ("request", proxy::request),
    ("response", proxy::response),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds_all_properties() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for file in std::fs::read_dir(corpus.join(name)).unwrap() {
                // Half of it, too: most of what breaks off is broken in a way of its own.
                let input = std::fs::read(file.unwrap().path()).unwrap();
                target(&input);
                target(&input[..input.len() / 2]);
                inputs += 1;
            }
            assert!(inputs > 0, "the target {name} has no corpus");
        }
    }
}
