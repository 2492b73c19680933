#!/usr/bin/env bash
# Puts Debian's nginx, which the tests run, into a folder of the user's cache, once; where nginx is installed already, there
# is nothing to do.
#
#   RINGHOLD_TEST_NGINX   another nginx: its program
set -euo pipefail
# shellcheck source=tests/debian.sh
source "$(dirname "${BASH_SOURCE[0]}")/../debian.sh"

folder=${XDG_CACHE_HOME:-$HOME/.cache}/ringhold/test-nginx
program=${RINGHOLD_TEST_NGINX:-$(PATH=$PATH:/usr/local/sbin:/usr/sbin command -v nginx || echo "$folder/nginx")}

say() { echo "test nginx: $*" >&2; }
fail() { say "$*"; exit 1; }
runs() { "$program" -v 2>/dev/null; }

main() {
    runs && return 0
    [ "$program" = "$folder/nginx" ] || fail "$program does not run"
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "nginx is missing, and this is no Debian: install it
  (macOS: brew install nginx) and run this again, or set RINGHOLD_TEST_NGINX to its program."
    mkdir -p "$folder"
    exec 9>"$folder/.lock"
    flock 9 # another run may be at it: wait for what it makes
    runs && return 0

    unpack_program nginx usr/sbin/nginx "$folder"
    runs || fail "$program does not run: $("$program" -v 2>&1)"
    say "$("$program" -v 2>&1) is in $folder"
}

main
