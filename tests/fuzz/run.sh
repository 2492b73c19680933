#!/usr/bin/env bash
# Fuzzes Ringhold with libFuzzer, on stable Rust:
#
#   run.sh                    each target for FUZZ_SECONDS (20)
#   run.sh TARGET             one target until it finds something, or for FUZZ_SECONDS
#   run.sh TARGET FILE …      one target with these inputs alone: what a finding says to run again
#
# What libFuzzer learns stays below target/fuzz and is where the next run begins. The inputs in corpus are the seeds; the
# tests run them, too, so an input that has found something belongs there, under a name that says what.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
folder=$top/target/fuzz
cargo=${CARGO:-cargo}

say() { echo "fuzz: $*" >&2; }
fail() { say "$*"; exit 1; }

main() {
    local seconds=${FUZZ_SECONDS:-} target=${1:-} found=() name
    need_cxx
    build
    case $# in
        0)
            for name in $(targets); do
                fuzz "$name" "${seconds:-20}" || found+=("$name")
            done
            [ ${#found[@]} = 0 ] || fail "findings in ${found[*]}: see above"
            ;;
        1) known "$target" && fuzz "$target" "${seconds:-0}" ;;
        *) known "$target" && RINGHOLD_FUZZ_TARGET=$target "$program" "${@:2}" ;;
    esac
}

targets() { (cd "$here/corpus" && printf '%s\n' *); }

known() { [ -d "$here/corpus/$1" ] || fail "unknown target '$1': use one of $(targets | paste -sd ' ')"; }

# libFuzzer itself is in the crate libfuzzer-sys, as C++.
need_cxx() {
    command -v "${CXX:-c++}" >/dev/null && return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        fail "a C++ compiler is missing: install one (Debian: apt-get install g++) and try again"
    say "installing g++"
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends g++ >/dev/null ||
        fail "apt-get can't install g++: try apt-get update"
}

build() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    say "building"
    (cd "$top" && RUSTFLAGS="--cfg fuzzing" RUSTC_WRAPPER="$here/rustc.sh" \
        "$cargo" build --locked --quiet --profile fuzz --package ringhold-fuzz --target "$host" --target-dir "$folder")
    program=$folder/$host/fuzz/ringhold-fuzz
}

# A target for some seconds; 0: without end.
fuzz() {
    local name=$1 seconds=$2 learnt=$folder/corpus/$1 findings=$folder/findings log rc=0 cov options
    mkdir -p "$learnt" "$findings"
    log=$findings/$name.log
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1
        -artifact_prefix="$findings/$name-")
    [ ! -f "$here/dictionaries/$name" ] || options+=(-dict="$here/dictionaries/$name")
    say "$name: $([ "$seconds" = 0 ] && echo "until something is found" || echo "$seconds s")"
    RINGHOLD_FUZZ_TARGET=$name "$program" "${options[@]}" "$learnt" "$here/corpus/$name" >"$log" 2>&1 || rc=$?
    if [ "$rc" != 0 ]; then
        grep -v '^#' "$log" | tail -n 40 >&2
        fail_input "$name" "$log"
        return 1
    fi
    cov=$(sed -n 's/^#[0-9]*\tDONE *cov: \([0-9]*\).*/\1/p' "$log")
    [ -n "$cov" ] || fail "$name: libFuzzer sees no coverage, so it only guesses: see $log"
    say "$name: nothing found; $cov branches, $(sed -n 's/^Done //p' "$log")"
}

fail_input() {
    local input
    input=$(sed -n 's/.*Test unit written to //p' "$2" | tail -1)
    say "$1: FOUND something; all that was said is in $2"
    [ -z "$input" ] || say "$1: run it again with: tests/fuzz/run.sh $1 $input"
}

main "$@"
