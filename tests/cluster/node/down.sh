#!/usr/bin/env bash
# Takes away all that up.sh has made: processes, mounts, network, cgroups, and the folder. May be repeated.
#   tests/cluster/node/down.sh FOLDER
set -euo pipefail
# shellcheck source=tests/cluster/node/common.sh
source "$(dirname "$0")/common.sh"

[ $# = 1 ] || fail "name the folder that up.sh was given"
folder=$(realpath --canonicalize-missing "$1")
readonly folder
cd "$(dirname "$0")"
[ -d "$folder" ] || exit 0
if [ ! -d "$folder/images" ] || [ ! -d "$folder/log" ]; then fail "$folder is no folder of up.sh"; fi

# Each is the parent of a node's process 1, and everything on the node goes with that.
gone() { ! grep -qs unshare "/proc/$1/comm"; }
if [ -f "$folder/pids" ]; then
  while read -r pid; do
    # A number may belong to another process by now.
    if grep -qsF "$folder" "/proc/$pid/cmdline"; then kill -KILL "$pid"; fi
  done <"$folder/pids"
  while read -r pid; do until_true 20 "the end of process $pid" gone "$pid"; done <"$folder/pids"
fi

ip link delete $link 2>/dev/null || true
no_cgroups() {
  local cgroup
  for cgroup in $(cgroups_of "$(basename "$folder")"); do
    [ ! -d "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} + || return
  done
}
until_true 20 "the end of the last container" no_cgroups
until_true 20 "the end of the last mount" rm -rf "$folder"
say "is down"
