#!/usr/bin/env bash
# Puts Kubernetes' own programs, which the tests run, into a folder of the user's cache, once:
#
#   prepare.sh        etcd, kube-apiserver, kube-controller-manager, kube-proxy, kube-scheduler, kubectl, kubelet
#   prepare.sh helm   helm besides
#
# They are downloaded, with their checksums compared, where Kubernetes' servers are reached; else they are built from the
# Go module in `components`, which takes some minutes, once.
#
#   RINGHOLD_TEST_CLUSTER   another folder to hold them
#   KUBEBUILDER_ASSETS      a folder that holds them already: then there is nothing to prepare
#   KUBERNETES_DOWNLOADS    a mirror of https://dl.k8s.io; "off": build, don't download
#   ETCD_DOWNLOADS          a mirror of https://github.com/etcd-io/etcd/releases/download
set -euo pipefail

kubernetes=$(cat "$(dirname "${BASH_SOURCE[0]}")/version")
helm=4.3.1
programs=(kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet)
needed=(etcd kube-apiserver kube-controller-manager kubectl) # what a control plane can't do without

module=$(cd "$(dirname "${BASH_SOURCE[0]}")/components" && pwd)
folder=${RINGHOLD_TEST_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/ringhold/test-cluster/$kubernetes}
downloads=${KUBERNETES_DOWNLOADS:-https://dl.k8s.io}
etcd_downloads=${ETCD_DOWNLOADS:-https://github.com/etcd-io/etcd/releases/download}

say() { echo "test cluster: $*" >&2; }
fail() { say "$*"; exit 1; }
fetch() { curl --fail --silent --show-error --location --connect-timeout 5 --retry 2 --output "$2" "$1"; }

main() {
    case ${1:-} in
        "") cluster ;;
        helm) helm ;;
        *) fail "unknown argument '$1': say nothing, or helm" ;;
    esac
}

cluster() {
    if holds_all "${KUBEBUILDER_ASSETS:-}"; then
        return 0
    fi
    local stamp
    stamp="$kubernetes $(cat "$module"/go.mod "$module"/go.sum "$module"/*.go | sha256sum | cut -d' ' -f1)"
    is_complete "$stamp" && return 0
    mkdir -p "$folder"
    exec 9>"$folder/.lock"
    flock 9 # another run may be at it: wait for what it makes
    is_complete "$stamp" && return 0
    rm -rf "$folder/stamp" "$folder"/.new.* # and what a run left that was broken off

    new=$(mktemp -d "$folder/.new.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    if [ "$downloads" != off ] && is_reachable; then
        download
    elif command -v go >/dev/null; then
        build
    else
        fail "Kubernetes' programs can't be had: $downloads is not reached, and Go is not installed.
  Either install Go $(sed -n 's/^go //p' "$module/go.mod") or newer (https://go.dev/dl) and run this again,
  or set KUBEBUILDER_ASSETS to a folder that holds ${needed[*]},
  or set KUBERNETES_DOWNLOADS to a mirror of https://dl.k8s.io."
    fi
    mv -f "$new"/* "$folder/"
    echo "$stamp" >"$folder/stamp"
    say "Kubernetes $kubernetes is in $folder"
}

holds_all() {
    local name
    [ -n "$1" ] || return 1
    for name in "${needed[@]}"; do
        [ -x "$1/$name" ] || return 1
    done
}

is_complete() {
    [ "$(cat "$folder/stamp" 2>/dev/null)" = "$1" ] && holds_all "$folder"
}

is_reachable() {
    command -v curl >/dev/null &&
        curl --fail --silent --location --connect-timeout 3 --max-time 10 --output /dev/null \
            "$downloads/v$kubernetes/bin/linux/$(architecture)/kubectl.sha256"
}

architecture() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64 | arm64) echo arm64 ;;
        *) uname -m ;;
    esac
}

download() {
    local name url etcd archive
    for name in "${programs[@]}"; do
        say "downloading $name $kubernetes"
        url="$downloads/v$kubernetes/bin/linux/$(architecture)/$name"
        fetch "$url" "$new/$name"
        fetch "$url.sha256" "$new/.sum"
        check "$new/$name" "$(cut -d' ' -f1 "$new/.sum")"
        chmod +x "$new/$name"
    done
    etcd=$(sed -n 's,^\s*go.etcd.io/etcd/server/v3 ,,p' "$module/go.mod" | head -1)
    say "downloading etcd $etcd"
    archive="etcd-$etcd-linux-$(architecture).tar.gz"
    fetch "$etcd_downloads/$etcd/$archive" "$new/.$archive"
    fetch "$etcd_downloads/$etcd/SHA256SUMS" "$new/.sum"
    check "$new/.$archive" "$(awk -v name="$archive" '$2 == name { print $1 }' "$new/.sum")"
    tar --extract --gzip --file "$new/.$archive" --directory "$new" --strip-components 1 "${archive%.tar.gz}/etcd"
}

check() {
    echo "$2  $1" | sha256sum --check --status || fail "$(basename "$1") is not what its checksum says: try again"
}

# One binary that holds them all, and a link by each name.
build() {
    local name total flags="-s -w"
    say "building Kubernetes $kubernetes with Go: some minutes on a small machine, once"
    cd "$module"
    export CGO_ENABLED=0
    # What the programs answer when asked for their version, on which charts may insist.
    for name in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $name.gitVersion=v$kubernetes -X $name.gitMajor=1 -X $name.gitMinor=$(cut -d. -f2 <<<"$kubernetes")"
    done
    go mod download
    total=$(go list -deps . | wc -l)
    # One line for a package: shown as a count, and whatever else is said, in full.
    go build -v -trimpath -ldflags "$flags" -o "$new/kubernetes" . 2>&1 | awk -v total="$total" '
        /^[^ :#]+$/ { if (++built % 100 == 0) { print "test cluster: " built " packages built, of at most " total; fflush() } next }
        { print; fflush() }' >&2
    for name in etcd "${programs[@]}"; do
        ln -s kubernetes "$new/$name"
    done
}

helm() {
    if [ -x "$folder/helm" ] && [ "$("$folder/helm" version --template '{{.Version}}')" = "v$helm" ]; then
        return 0
    fi
    command -v go >/dev/null || fail "helm is built with Go, which is not installed: see https://go.dev/dl"
    say "building helm $helm with Go"
    mkdir -p "$folder"
    GOBIN=$folder CGO_ENABLED=0 go install -trimpath -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$helm" \
        "helm.sh/helm/v4/cmd/helm@v$helm"
    say "helm $helm is in $folder"
}

main "$@"
