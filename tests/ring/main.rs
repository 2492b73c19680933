//! `ringhold ring` as people call it: the real binary, what it prints, draws and refuses.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod json;
mod pictures;
mod refusals;
mod tables;

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// The command with these arguments, in no environment but its own.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
    command.arg("ring").args(args).env_clear().current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// What it prints, which ends well and in silence.
fn printed(args: &[&str]) -> String {
    text(command(args).output().unwrap())
}

/// What it prints when this is its standard input.
fn printed_of(input: &str, args: &[&str]) -> String {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    text(child.wait_with_output().unwrap())
}

fn text(output: Output) -> String {
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it refuses, and how it ends.
fn refused(args: &[&str]) -> (i32, String) {
    let output = command(args).output().unwrap();
    assert!(output.stdout.is_empty(), "{args:?} printed an answer");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}
