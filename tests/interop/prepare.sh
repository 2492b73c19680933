#!/usr/bin/env bash
# Puts the clients of others that `make test-interop` runs into a folder of the user's cache, once, without root:
#
#   curl, slowhttptest      Debian's packages, unpacked; where they are installed already, those
#   nghttp, h2load          the same, both of `nghttp2-client`
#   h2spec                  built with Go, from the Go modules' proxy
#   python                  an environment with grpcio, h2 and wsproto, of the Python Package Index
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/debian.sh
source "$here/../debian.sh"

h2spec=v2.2.1+incompatible # the newest that the modules' proxy knows
folder=${XDG_CACHE_HOME:-$HOME/.cache}/ringhold/test-interop

say() { echo "test interop: $*" >&2; }
fail() { say "$*"; exit 1; }

main() {
    mkdir -p "$folder"
    exec 9>"$folder/.lock"
    flock 9 # another run may be at it: wait for what it makes
    debian curl usr/bin/curl
    debian slowhttptest usr/bin/slowhttptest
    debian nghttp2-client usr/bin/nghttp
    debian nghttp2-client usr/bin/h2load
    h2spec
    python
}

debian() {
    local name=${2##*/}
    [ ! -x "$folder/$name" ] || return 0
    if command -v "$name" >/dev/null; then
        ln -sf "$(command -v "$name")" "$folder/$name"
        return 0
    fi
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "this is no Debian: install $name"
    # In a process of its own, because it cleans up as that ends.
    (unpack_program "$1" "$2" "$folder")
    say "$name of Debian's package $1 is in $folder"
}

h2spec() {
    [ "$(cat "$folder/h2spec.version" 2>/dev/null)" != "$h2spec" ] || return 0
    command -v go >/dev/null || fail "Go is missing: install it"
    GOFLAGS=-mod=mod GOBIN=$folder go install "github.com/summerwind/h2spec/cmd/h2spec@$h2spec"
    echo "$h2spec" >"$folder/h2spec.version"
    say "h2spec $h2spec is in $folder"
}

python() {
    ! cmp --silent "$here/python/requirements.txt" "$folder/python/requirements.txt" || return 0
    command -v python3 >/dev/null || fail "Python is missing: install python3, with venv and pip"
    rm -rf "$folder/python"
    python3 -m venv "$folder/python"
    "$folder/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/python/requirements.txt" >&2
    cp "$here/python/requirements.txt" "$folder/python/"
    say "Python's packages are in $folder/python"
}

main
