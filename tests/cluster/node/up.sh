#!/usr/bin/env bash
# Brings up a whole Kubernetes on this machine: etcd, API server, controller manager, scheduler, and nodes with
# containerd, kubelet and kube-proxy. Each node has namespaces of its own; this machine gets one veth pair and one folder,
# which down.sh takes away again. Needs root.
#   tests/cluster/node/up.sh [--nodes 1|2] [--owner PID] [--seconds N] [--image ARCHIVE]... FOLDER
#     --nodes     how many, 2 unless given
#     --owner     the process whose end ends the cluster
#     --seconds   how long it may live; 2400 unless given
#     --image     an archive of images that every node has
#   FOLDER        where it all lies; FOLDER/kubeconfig is the administrator's
set -euo pipefail
# shellcheck source=tests/cluster/node/common.sh
source "$(dirname "$0")/common.sh"
# shellcheck source=tests/cluster/node/secrets.sh
source "$(dirname "$0")/secrets.sh"

nodes=2 owner=1 seconds=2400 images=()
while [ $# -gt 1 ]; do
  case "$1" in
    --nodes) nodes=$2 ;;
    --owner) owner=$2 ;;
    --seconds) seconds=$2 ;;
    --image) images+=("$(realpath --canonicalize-existing "$2")") ;;
    *) fail "$1 is unknown" ;;
  esac
  shift 2
done
[ $# = 1 ] || fail "name the folder that it shall live in"
folder=$(realpath --canonicalize-missing "$1")
readonly folder
cd "$(dirname "$0")"

[ "$(id -u)" = 0 ] || fail "a node needs root"
[ "$nodes" = 1 ] || [ "$nodes" = 2 ] || fail "--nodes $nodes: there can be 1 or 2"
case "$folder" in /run/* | /var/*) fail "$folder: nodes have a /run and a /var of their own; choose another place" ;; esac
[ ! -e "$folder" ] || fail "$folder exists"
! ip link show $link >/dev/null 2>&1 || fail "another cluster is up ($link exists): end it with its down.sh"
[ -z "$(ip route show root "$machine_range")$(ip route show root "$service_range")$(ip route show root "$pod_range")" ] ||
  fail "this machine has routes in $machine_range, $service_range or $pod_range already"

# What a fresh Debian or Ubuntu lacks.
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need containerd containerd
need runc runc
need nft nftables
need ip iproute2
need openssl openssl
need curl curl
need cc gcc
[ -n "$cni_bin" ] || missing+=(containernetworking-plugins)
if [ ${#missing[@]} != 0 ]; then
  say "installs ${missing[*]}"
  command -v apt-get >/dev/null || fail "install ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get can't install ${missing[*]}: try apt-get update"
fi
cni_bin=$(find_cni)
for program in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
  [ -x "$bin/$program" ] || command -v $program >/dev/null || fail "$program is missing: run tests/cluster/prepare.sh"
done

mkdir -p "$folder"/{images,log}
finish() {
  local status=$?
  [ $status = 0 ] && return
  echo "node: it did not come up; the ends of its logs:" >&2
  tail -n 5 "$folder"/log/* >&2 || true
  ./down.sh "$folder"
}
trap finish EXIT

# Images: the ones given, and the one that every pod starts with.
make_pause() {
  local work=$folder/pause
  mkdir -p "$work"
  cc -static -Os -o "$work/pause" pause.c
  tar --create --file "$work/layer.tar" --directory "$work" pause
  local layer
  layer=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
  echo "{\"architecture\": \"$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')\", \"os\": \"linux\", \"config\": {\"Entrypoint\": [\"/pause\"]}, \"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"sha256:$layer\"]}}" >"$work/config.json"
  echo '[{"Config": "config.json", "RepoTags": ["pause:dev"], "Layers": ["layer.tar"]}]' >"$work/manifest.json"
  tar --create --file "$folder/images/pause.tar" --directory "$work" layer.tar config.json manifest.json
}
make_pause
for image in "${images[@]}"; do ln -s "$image" "$folder/images/"; done
make_secrets "$folder" "$nodes"

# In version 1 of cgroups a cpuset has to be filled by hand; in version 2 the controllers have to be handed down.
for cgroup in $(cgroups_of "$(basename "$folder")"); do
  for place in "$cgroup" "$cgroup"/node-{1..2}; do
    mkdir -p "$place"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -f "$cgroup/../cgroup.clone_children" ] || [ ! -f "$place/$file" ] || cat "$place/../$file" >"$place/$file"
    done
    [ ! -f "$place/cgroup.controllers" ] || sed 's/\</+/g' "$place/../cgroup.controllers" >"$place/../cgroup.subtree_control"
  done
done

# start_node NUMBER: sets `pid`, its process 1 as this machine sees it.
start_node() {
  setsid unshare --fork --kill-child --pid --mount-proc --mount --net ./node.sh "$folder" "$1" "$nodes" \
    >"$folder/log/node-$1.log" 2>&1 </dev/null &
  echo $! >>"$folder/pids"
  until_true 10 "node-$1's first process" grep -q . "/proc/$!/task/$!/children"
  pid=$(tr -d ' ' <"/proc/$!/task/$!/children")
}

say "starts $nodes nodes in $folder"
start_node 1
first=$pid
ip link add $link type veth peer name eth0 netns "$first"
ip address add "$host_ip/24" dev $link
ip link set $link up
if [ "$nodes" = 2 ]; then
  start_node 2
  # Made in this machine's namespace, to be gone from it at once.
  ip link add ringhold2 type veth peer name eth0 netns "$pid"
  ip link set ringhold2 netns "$first" name node-2
fi
for range in "$machine_range" "$service_range" "$pod_range"; do ip route add "$range" via "${node_ips[1]}"; done

export KUBECONFIG=$folder/kubeconfig
still_fine() {
  local node
  while read -r node; do
    kill -0 "$node" 2>/dev/null || fail "a node has ended: $(tail -qn 1 "$folder"/log/node-?.log)"
  done <"$folder/pids"
}
answers() { curl --silent --fail --cacert "$folder/secrets/ca.crt" "$server/readyz"; }
ready_nodes() { [ "$(kubectl get nodes --no-headers | grep -cw Ready)" = "$nodes" ]; }
until_true 60 "the API server" answers
say "the API server is ready"
until_true 90 "a ready node" ready_nodes
until_true 30 "the default service account" kubectl get serviceaccount default
say "$nodes nodes are ready: export KUBECONFIG=$folder/kubeconfig"

# Ends it with its owner, or when its time is over.
# shellcheck disable=SC2016
setsid bash -c 'while [ -d "/proc/$1" ] && [ $SECONDS -lt "$2" ] && [ -d "$3" ]; do sleep 1; done; [ ! -d "$3" ] || exec ./down.sh "$3"' \
  ringhold-node-watch "$owner" "$seconds" "$folder" >/dev/null 2>&1 </dev/null &
