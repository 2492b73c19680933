#!/usr/bin/env bash
# A kind cluster with Ringhold and its sample in it.
#   deploy/kind.sh up|down
set -euo pipefail
cd "$(dirname "$0")/.."
readonly cluster=ringhold node_port=30500
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

fail() { echo "kind: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is missing: see $2"; }
# kind itself, or built from its source.
kind() {
  if [ -n "$(type -P kind)" ]; then command kind "$@"; else go run sigs.k8s.io/kind@v0.33.0 "$@"; fi
}
[ -n "$(type -P kind)" ] || need go https://kind.sigs.k8s.io
need docker https://docs.docker.com/engine/install

case "${1:-}" in
  down) kind delete cluster --name $cluster ;;
  up)
    [ "$(uname -s)" = Linux ] || fail "the images are built around Linux binaries of this machine: use a Linux machine"
    need kubectl https://kubernetes.io/docs/tasks/tools
    need helm https://helm.sh/docs/intro/install
    deploy/image.sh docker
    kind get clusters | grep -qx $cluster || kind create cluster --config deploy/kind.yaml --wait 120s
    context=(--context "kind-$cluster")
    for image in ringhold ringhold-server; do
      kind load docker-image "$image:dev" "$image:$version" --name $cluster
    done
    helm upgrade ringhold charts/ringhold --install --kube-context "kind-$cluster" --namespace ringhold-system --create-namespace \
      --set image.tag=dev --wait --timeout 3m
    # Images of the same name may be newer than the pods.
    kubectl "${context[@]}" --namespace ringhold-system rollout restart deployment ringhold
    kubectl "${context[@]}" --namespace ringhold-system rollout status deployment ringhold --timeout 3m
    kubectl "${context[@]}" apply --filename deploy/samples/web.yaml
    # The node's port that deploy/kind.yaml gives this machine.
    kubectl "${context[@]}" patch loadbalancer web --type merge \
      --patch "{\"spec\": {\"service\": {\"type\": \"NodePort\", \"port\": 80, \"nodePort\": $node_port}}}"
    kubectl "${context[@]}" wait loadbalancer web --for condition=Available --timeout 3m
    cat <<'TEXT'
Ringhold runs in kind:
  curl -H 'X-User-Id: ann' localhost:5000/home
  kubectl scale loadbalancer web --replicas 5
  kubectl get loadbalancers,pods
TEXT
    ;;
  *) fail "say up or down" ;;
esac
