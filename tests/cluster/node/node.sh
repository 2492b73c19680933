#!/usr/bin/env bash
# One node: process 1 in namespaces of its own (network, mounts, processes), which up.sh has made. Killing it ends and
# removes all that runs and is mounted here. What the programs write by habit to /run and /var stays in here, too.
#   node.sh FOLDER NUMBER NODES
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/cluster/node/common.sh
source ./common.sh

readonly folder=$1 number=$2 nodes=$3
readonly name=node-$number ip=${node_ips[$2]} secrets=$1/secrets state=$1/node-$2 log=$1/log

declare -A names=()
start() {
  local program=$1
  shift
  "$@" >"$log/$name-$program.log" 2>&1 </dev/null &
  names[$!]=$program
}

mounts() {
  mount --make-rprivate /
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /var
  mkdir -p /var/lib /var/log /var/tmp "$state"/{containerd,kubelet,cni,sysctl}
  ln -s /run /var/run
  # The kubelet wants these of the whole machine. It may read that they are so.
  local wish
  for wish in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    echo "${wish#*=}" >"$state/sysctl/${wish##*/}"
    mv "$state/sysctl/${wish##*/}" "$state/sysctl/$(basename "${wish%=*}")"
    mount --bind "$state/sysctl/$(basename "${wish%=*}")" "/proc/sys/${wish%=*}"
  done
}

network() {
  local key other
  ip link set lo up
  until_true 10 "the node's link" ip link show eth0
  for key in ip_forward=1 conf/all/rp_filter=0 conf/default/rp_filter=0; do
    echo "${key#*=}" >"/proc/sys/net/ipv4/${key%=*}"
  done
  ip address add "$ip/24" dev eth0
  ip link set eth0 up
  if [ "$number" != 1 ]; then ip route add default via "$between"; return; fi
  ip route add default via "$host_ip"
  for ((other = 2; other <= nodes; other++)); do
    until_true 10 "the link to node-$other" ip link show "node-$other"
    ip address add "$between/24" dev "node-$other"
    ip link set "node-$other" up
    ip route add "$(pods_of "$other")" via "${node_ips[$other]}"
  done
}

control_plane() {
  start etcd etcd --data-dir "$folder/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
  start kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$ip" --service-cluster-ip-range "$service_range" --allow-privileged \
    --authorization-mode Node,RBAC --token-auth-file "$secrets/tokens.csv" --anonymous-auth=true \
    --enable-admission-plugins NodeRestriction,OwnerReferencesPermissionEnforcement \
    --audit-policy-file "$secrets/audit.yaml" --audit-log-path "$log/audit.log" \
    --tls-cert-file "$secrets/apiserver.crt" --tls-private-key-file "$secrets/apiserver.key" \
    --client-ca-file "$secrets/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$secrets/kubelet-client.crt" --kubelet-client-key "$secrets/kubelet-client.key" \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$secrets/service-accounts.key" \
    --service-account-signing-key-file "$secrets/service-accounts.key"
  until_true 60 "the API server" curl --silent --fail --cacert "$secrets/ca.crt" "$server/readyz"
  start kube-controller-manager kube-controller-manager --kubeconfig "$secrets/controller-manager.kubeconfig" \
    --leader-elect=false --bind-address 127.0.0.1 --root-ca-file "$secrets/ca.crt" \
    --service-account-private-key-file "$secrets/service-accounts.key" --use-service-account-credentials
  start kube-scheduler kube-scheduler --kubeconfig "$secrets/scheduler.kubeconfig" --leader-elect=false \
    --bind-address 127.0.0.1
}

containers() {
  local snapshotter=overlayfs image
  # Overlays can't lie on overlays, which a machine that is a container itself is made of.
  [ "$(stat --file-system --format %T "$state")" != overlayfs ] || snapshotter=native
  cat >"$state/cni/10-ringhold.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "ringhold", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses",
    "ranges": [[{"subnet": "$(pods_of "$number")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
JSON
  cat >"$state/containerd.toml" <<TOML
version = 2
root = "$state/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:dev"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$cni_bin"
    conf_dir = "$state/cni"
TOML
  start containerd containerd --config "$state/containerd.toml"
  until_true 30 containerd ctr version
  for image in "$folder"/images/*.tar; do
    ctr --namespace k8s.io images import --snapshotter "$snapshotter" "$image" >>"$log/$name-images.log" 2>&1 ||
      fail "$image can't be imported: $(tail -n 3 "$log/$name-images.log")"
  done
}

node() {
  cat >"$state/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $secrets/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$(basename "$folder")/$name
failCgroupV1: false
enforceNodeAllocatable: []
failSwapOn: false
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
evictionHard: {memory.available: 1Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
resolvConf: ""
# Nobody is there; without it every pod gets a warning.
clusterDNS: [10.202.0.10]
nodeStatusUpdateFrequency: 2s
YAML
  cat >"$state/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $secrets/proxy.kubeconfig}
hostnameOverride: $name
mode: ${RINGHOLD_NODE_PROXY_MODE:-nftables}
detectLocalMode: ClusterCIDR
clusterCIDR: $pod_range
bindAddressHardFail: false
# The machine's own limits stay as they are.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
  until_true 60 "the API server" curl --silent --fail --cacert "$secrets/ca.crt" "$server/readyz"
  start kubelet kubelet --config "$state/kubelet.yaml" --kubeconfig "$secrets/$name.kubeconfig" \
    --root-dir "$state/kubelet" --hostname-override "$name" --node-ip "$ip"
  start kube-proxy kube-proxy --config "$state/proxy.yaml"
}

mounts
network
[ "$number" != 1 ] || control_plane
containers
node

# A node with a part missing would only fail later and elsewhere.
wait -n -p ended "${!names[@]}" || true
fail "${names[$ended]} of $name has ended"
