# What the node's scripts share: addresses, names, words for people. Sourced, not run.
# shellcheck shell=bash disable=SC2034

# This machine reaches node-1 over one veth pair, and through it everything else: node-2, Services, pods.
readonly link=ringhold0
readonly host_ip=10.201.0.1
readonly node_ips=(- 10.201.0.11 10.201.2.12)   # by number
readonly between=10.201.2.1                     # node-1's end of the pair to node-2
readonly machine_range=10.201.0.0/16
readonly service_range=10.202.0.0/16
readonly api_service=10.202.0.1
readonly pod_range=10.203.0.0/16
pods_of() { echo "10.203.$1.0/24"; }

readonly server="https://${node_ips[1]}:6443"
version=$(cat "$(dirname "${BASH_SOURCE[0]}")/../version")
readonly version
readonly bin="${RINGHOLD_TEST_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/ringhold/test-cluster/$version}"
find_cni() { local dir; for dir in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do [ ! -x $dir/ptp ] || { echo $dir; return; }; done; }
cni_bin=$(find_cni)
export PATH="$bin:$PATH:/usr/sbin:/sbin"

say() { printf 'node: %3ds %s\n' "$SECONDS" "$*"; }
fail() { echo "node: $*" >&2; exit 1; }

# What ends every wait early. up.sh has one of its own.
still_fine() { :; }

# until_true SECONDS WHAT COMMAND...: the command succeeds in time, or that is the error.
until_true() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    still_fine
    [ $SECONDS -lt $end ] || fail "$what does not come: \`$*\` keeps failing"
    sleep 0.1
  done
}

# Every place where this run has a cgroup: one in version 2, one for each controller in version 1.
cgroups_of() {
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo "/sys/fs/cgroup/$1"; return; fi
  local hierarchy
  for hierarchy in /sys/fs/cgroup/*/; do [ -L "${hierarchy%/}" ] || echo "$hierarchy$1"; done
}
