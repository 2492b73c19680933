//! What a test does that lacks a program of others.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, Write};

/// Leaves the test that calls it out, loudly, so that it has only to return; with `CI=true`, the test fails, since there
/// nobody would see that it was left out. `missing` says what is missing, and the way out.
///
/// # Panics
/// `CI` is `true`.
pub fn leave_out(missing: &impl Display) {
    assert!(!must_run(env::var_os("CI").as_deref()), "{missing}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not `eprintln!`, which the test harness shows only for tests that fail.
    drop(writeln!(io::stderr(), "\nSKIPPED {test}: {missing}\n"));
}

fn must_run(ci: Option<&OsStr>) -> bool {
    ci.is_some_and(|ci| ci == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_in_ci_nothing_may_be_left_out() {
        assert!(must_run(Some(OsStr::new("true"))));
        assert!(!must_run(None));
        assert!(!must_run(Some(OsStr::new("false"))));
        assert!(!must_run(Some(OsStr::new(""))));
    }
}
