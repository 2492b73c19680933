#!/usr/bin/env bash
# Lints the chart in every variant and writes deploy/operator.yaml from it, for those who don't use Helm.
#   deploy/chart.sh           writes it
#   deploy/chart.sh --check   changes nothing and fails where it is out of date
set -euo pipefail
cd "$(dirname "$0")/.."
readonly chart=charts/ringhold
helm="${HELM:-$(command -v helm || echo "${RINGHOLD_TEST_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/ringhold/test-cluster/$(cat tests/cluster/version)}/helm")}"

fail() { echo "chart: $*" >&2; exit 1; }

command -v "$helm" >/dev/null || fail "helm is missing: install it, name it in HELM, or run \`tests/cluster/prepare.sh helm\`"

# Below here Helm sees the chart only.
render() { "$helm" template ringhold "$chart" --namespace ringhold-system --kube-version 1.36 "$@"; }

operator() {
  cat <<'HEAD'
# Ringhold with its defaults, for `kubectl apply --server-side -f`. Written by `make chart` from charts/ringhold.
#
# The key hash uses the well-known secret of all zeros until there is one of your own:
#   kubectl -n ringhold-system create secret generic ringhold-hash-secret --from-literal=hash-secret=$(openssl rand -hex 16)
#   kubectl -n ringhold-system rollout restart deployment/ringhold
#
# It may read no Secret. For one that a LoadBalancer names in spec.listener.tls.secretName (a certificate) or in
# spec.replicaTls.caSecretName (authorities), in its namespace:
#   kubectl -n shop create role ringhold-tls --verb=list,watch --resource=secrets --resource-name=web-tls
#   kubectl -n shop create rolebinding ringhold-tls --role=ringhold-tls --serviceaccount=ringhold-system:ringhold
apiVersion: v1
kind: Namespace
metadata:
  name: ringhold-system
  labels:
    app.kubernetes.io/name: ringhold
    pod-security.kubernetes.io/enforce: restricted
HEAD
  # Not Helm's, so not labelled so; and a secret in a public file would be none.
  render --set image.tag=dev,crds.keep=false,hashSecret.existingSecret=ringhold-hash-secret,hashSecret.optional=true |
    sed -e '/^ *helm\.sh\/chart:/d' -e '/^ *app\.kubernetes\.io\/managed-by:/d' -e '/^# Source:/d'
}

# update FILE: what is read becomes the file, or with --check has to be it already.
update() {
  local new
  new=$(cat; echo .)
  if [ "$mode" = --check ]; then
    diff -u "$1" <(printf %s "${new%.}") >&2 || fail "$1 is out of date: run \`make chart\`"
  else
    printf %s "${new%.}" >"$1"
  fi
}

mode="${1:-}"
"$helm" lint --strict --quiet "$chart"
for values in "$chart"/ci/*.yaml; do
  "$helm" lint --strict --quiet "$chart" --values "$values"
  render --values "$values" >/dev/null || fail "$values can't be rendered"
done

# What is wrong has to be refused, not ignored.
for wrong in replica=3 mode=both image.tags=dev shutdown.terminationGracePeriodSeconds=35 hashSecret.value=short admin.port=80 tls.secrets[0].namespace=shop; do
  if render --set "$wrong" >/dev/null 2>&1; then fail "--set $wrong is accepted"; fi
done

operator | update deploy/operator.yaml
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
grep -qx "appVersion: $version" "$chart/Chart.yaml" || fail "Chart.yaml's appVersion is not $version, Cargo.toml's"
