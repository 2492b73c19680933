#!/usr/bin/env bash
# `make e2e`: builds the images, brings up a real Kubernetes on this machine and runs the journey in it. Needs root.
# Folders: target/images, target/e2e (logs of a run that failed).
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then
  echo "e2e: nodes need root: run \`sudo -E env PATH=\"\$PATH\" make e2e\`" >&2
  exit 1
fi
# A folder of others may lack what a node needs.
unset KUBEBUILDER_ASSETS
tests/cluster/prepare.sh
tests/cluster/prepare.sh helm
deploy/chart.sh --check
# Quick to build is what counts here; `make image` gives the optimised ones.
PROFILE="${PROFILE:-dev}" deploy/image.sh archive
programs="${RINGHOLD_TEST_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/ringhold/test-cluster/$(cat tests/cluster/version)}"
export PATH="$programs:$PATH" RINGHOLD_E2E=1
exec ${CARGO:-cargo} test --locked --test e2e -- --nocapture
