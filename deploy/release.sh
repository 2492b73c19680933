#!/usr/bin/env bash
# Builds Ringhold for those who count microseconds: the compiler learns from a run under load what is asked for often
# (profile-guided optimisation), and lays the program out for that. Takes some minutes more than `make build`.
#
#   release.sh     says at its end where the program is     PROFILE: cargo's profile, `release` unless set
#
# Needs wrk and h2load for the load, and an llvm-profdata that reads this compiler's profiles. What is missing is had from
# rustup or Debian where that goes, or named with a way to get it.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
host=$(rustc -vV | sed -n 's/^host: //p')
profile=${PROFILE:-release}
built=$profile # cargo's folder
[ "$profile" != dev ] || built=debug
readonly folder=$PWD/target/pgo port=5790 seconds=${RELEASE_TRAINING_SECONDS:-4}
readonly program=$folder/optimised/$host/$built/ringhold
fleet= # the process that is trained

say() { echo "release: $*" >&2; }
fail() { say "$*"; exit 1; }

main() {
  local profdata
  profdata=$(find_profdata)
  benches/proxy/prepare.sh wrk
  benches/proxy/prepare.sh h2load
  PATH=${XDG_CACHE_HOME:-$HOME/.cache}/ringhold/bench-proxy:$PATH
  say "building a Ringhold that counts what it does"
  rm -rf "$folder/raw"
  build instrumented "-Cprofile-generate=$folder/raw"
  $cargo build --locked --profile "$profile" --package ringhold-server
  train
  "$profdata" merge --output "$folder/profile" "$folder/raw"
  say "building with what was learnt"
  rm -rf "$folder/optimised" # cargo does not look into profiles
  build optimised "-Cprofile-use=$folder/profile"
  say "$program ($(du --human-readable --dereference "$program" | cut -f 1))"
}

# build FOLDER FLAGS. With a target named, flags are for the program alone and not for what builds it.
build() {
  RUSTFLAGS="${RUSTFLAGS:-} $2" $cargo build --locked --profile "$profile" --package ringhold \
    --target "$host" --target-dir "$folder/$1"
}

# One worker, and every kind of load for some seconds.
train() {
  local manifest=$folder/fleet.yaml url=http://127.0.0.1:$port
  printf '%s\n' "apiVersion: ringhold.dev/v1alpha1" "kind: LoadBalancer" "metadata: {name: training}" \
    "spec:" "  replicas: 3" "  listener: {port: $port}" "  hashKey: [{header: {name: X-User-Id}}]" \
    "  template: {spec: {containers: [{name: server, image: none, command: [$PWD/target/$built/ringhold-server]}]}}" >"$manifest"
  "$folder/instrumented/$host/$built/ringhold" local --file "$manifest" --workers 1 --show-output false \
    --admin-address 127.0.0.1:$((port + 1)) >"$folder/training.log" 2>&1 &
  fleet=$!
  trap 'kill -KILL "$fleet" 2>/dev/null || true' EXIT
  for _ in $(seq 100); do
    answers && break
    kill -0 "$fleet" 2>/dev/null || fail "the fleet to train with has ended: see $folder/training.log"
    sleep 0.1
  done
  cat >"$folder/keys.lua" <<'LUA'
local n, body, close = 0, nil, nil
function init(args)
  body = tonumber(args[1] or 0) > 0 and string.rep("x", tonumber(args[1])) or nil
  close = args[2] == "close" and "close" or nil
end
function request()
  n = n + 1
  return wrk.format(body and "POST" or "GET", nil, {["X-User-Id"] = "user-" .. n % 10000, ["Connection"] = close}, body)
end
LUA
  load "$url/whoami" -- 0
  load "$url/bytes?n=1024" -- 0
  load "$url/bytes?n=65536" -- 0
  load "$url/echo" -- 10240
  load "$url/whoami" -- 0 close
  say "training: HTTP/2"
  h2load -t1 -c8 -m8 -D "$seconds" -H 'x-user-id: ann' "$url/whoami" >/dev/null
  kill -INT "$fleet"
  wait "$fleet" || fail "the trained program ended with an error: see $folder/training.log"
  trap - EXIT
}

answers() {
  (exec 3<>/dev/tcp/127.0.0.1/$port && printf 'GET /whoami HTTP/1.0\r\nHost: a\r\n\r\n' >&3 && head -n 1 <&3) 2>/dev/null |
    grep -q ' 200 '
}

load() {
  say "training: ${*:1:1} ${*:3}"
  wrk -t1 -c32 -d"${seconds}s" -s "$folder/keys.lua" "$@" >/dev/null
}

# One that reads the profiles of this compiler: its own, or a new enough one.
find_profdata() {
  local own
  own=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
  if [ ! -x "$own" ] && command -v rustup >/dev/null; then rustup component add llvm-tools >&2 || true; fi
  for found in "$own" $(compgen -c llvm-profdata | sort -V -r | uniq); do
    command -v "$found" && "$found" --version | grep -qE 'LLVM version (19|[2-9][0-9])' && return 0
  done
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing llvm-19"
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends llvm-19 >/dev/null &&
      command -v llvm-profdata-19 && return 0
  fi
  fail "llvm-profdata is missing: rustup component add llvm-tools, or install LLVM 19 or newer"
}

main
