#!/usr/bin/env bash
# Puts Debian's nginx, which the tests run, into a folder of the user's cache, once; where nginx is installed already, there
# is nothing to do. It is unpacked, not installed: that needs no root, and starts no nginx on port 80.
#
#   RINGHOLD_TEST_NGINX   another nginx: its program
set -euo pipefail

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

    new=$(mktemp -d "$folder/.new.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    unpack nginx
    if [[ $(ldd "$new/files/usr/sbin/nginx") == *"not found"* ]]; then
        # Its own libraries; the C library is the machine's.
        apt-cache depends nginx | sed -n 's/^ *Depends: \(lib.*\)/\1/p' | grep -vx libc6 | while read -r library; do
            unpack "$library"
        done
    fi
    rm -rf "$folder/files"
    mv "$new/files" "$folder/"
    libraries=$(find "$folder/files" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd: -)
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$folder/files/usr/sbin/nginx" >"$folder/nginx"
    chmod +x "$folder/nginx"
    runs || fail "$program does not run: $("$program" -v 2>&1)"
    say "$("$program" -v 2>&1) is in $folder"
}

unpack() {
    (cd "$new" && download "$1")
    dpkg-deb --extract "$new/$1"_*.deb "$new/files"
}

# The lists of packages may be missing, or older than the packages that there are.
download() {
    local log="$new/.log"
    if ! apt-get download "$1" >"$log" 2>&1; then
        [ "$(id -u)" != 0 ] || apt-get update >>"$log" 2>&1 || true
        apt-get download "$1" >>"$log" 2>&1 || fail "the package $1 can't be had: $(tail -1 "$log")
  Update the lists of packages (as root: apt-get update) and run this again, or install nginx."
    fi
}

main
