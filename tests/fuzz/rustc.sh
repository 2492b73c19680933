#!/usr/bin/env bash
# Calls rustc, with libFuzzer's coverage for the crates where it says something: ours, and those that take messages and
# manifests apart. In the others there would be a million branches that no input decides, to be looked at after each run.
# The compiler's pass for it is as old as stable Rust; what only nightly has is the short way to name it.
crates=" ringhold ringhold_fuzz http httparse hyper cookie percent_encoding serde_saphyr granit_parser serde_json "
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=3
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
)
arguments="$* "
name=${arguments#*--crate-name }
# A compiler's own helpers, which are built for no target, would look for a libFuzzer in the compiler.
[[ $arguments != *" --target "* || $crates != *" ${name%% *} "* ]] || set -- "$@" "${flags[@]}"
exec "$@"
