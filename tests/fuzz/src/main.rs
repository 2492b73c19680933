//! Hands libFuzzer's inputs to the target that `RINGHOLD_FUZZ_TARGET` names. `make fuzz-smoke` builds and runs it.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzzed {
    use std::sync::LazyLock;

    use ringhold::fuzzing::{TARGETS, Target};

    static TARGET: LazyLock<Target> = LazyLock::new(|| {
        let wanted = std::env::var("RINGHOLD_FUZZ_TARGET").unwrap_or_default();
        let target = TARGETS.iter().find(|(name, _)| *name == wanted);
        let names = TARGETS.map(|(name, _)| name).join(", ");
        target.unwrap_or_else(|| panic!("RINGHOLD_FUZZ_TARGET={wanted:?}: use one of {names}")).1
    });

    libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET(input));
}

#[cfg(not(fuzzing))]
fn main() {
    // Without libFuzzer there is nothing to run.
}
