#!/usr/bin/env bash
# Builds the images ringhold:dev and ringhold-server:dev around static binaries: with Docker where one runs, and else
# as archives that `docker load`, `kind load image-archive` and `ctr images import` read.
#   deploy/image.sh [docker|archive]     PROFILE: cargo's profile, `release` unless set
set -euo pipefail
cd "$(dirname "$0")/.."
readonly images=target/images
profile="${PROFILE:-release}"
cargo="${CARGO:-cargo}"
kind="${1:-}"
if [ -z "$kind" ]; then
  if docker info >/dev/null 2>&1; then kind=docker; else kind=archive; fi
fi

fail() { echo "image: $*" >&2; exit 1; }

# Only the programs themselves are linked anew, statically; all that they are made of is what `cargo build` makes, too.
build() {
  local name folder=$profile
  [ "$profile" != dev ] || folder=debug
  mkdir -p "$images/context"
  for name in ringhold ringhold-server; do
    $cargo rustc --locked --package "$name" --bin "$name" --profile "$profile" -- -C target-feature=+crt-static
    strip -o "$images/context/$name" "${CARGO_TARGET_DIR:-target}/$folder/$name"
    ! readelf --program-headers "$images/context/$name" | grep -q INTERP || fail "$name is not static"
  done
}

sha256() { sha256sum "$1" | cut -d ' ' -f 1; }

# archive NAME PORTS DESCRIPTION: what `docker save` would write, of the same image.
archive() {
  local name=$1 ports=$2 description=$3 work architecture layer config
  work=$(mktemp -d "$images/archive.XXXXXX")
  case "$(uname -m)" in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) architecture=$(uname -m) ;; esac
  mkdir -p "$work/root/bin"
  install -m 755 "$images/context/$name" "$work/root/bin/$name"
  # The same binary gives the same image: no times, no owners.
  tar --create --file "$work/layer.tar" --directory "$work/root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner bin
  rm -r "$work/root"
  layer=$(sha256 "$work/layer.tar")
  mv "$work/layer.tar" "$work/$layer.tar"
  cat >"$work/config" <<JSON
{
  "architecture": "$architecture",
  "os": "linux",
  "config": {
    "User": "65532:65532",
    "Env": ["PATH=/bin"],
    "Entrypoint": ["/bin/$name"],
    "ExposedPorts": {$ports},
    "Labels": {
      "org.opencontainers.image.description": "$description",
      "org.opencontainers.image.licenses": "Apache-2.0",
      "org.opencontainers.image.title": "$name",
      "org.opencontainers.image.version": "$version"
    }
  },
  "history": [{"created_by": "deploy/image.sh"}],
  "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]}
}
JSON
  config=$(sha256 "$work/config")
  mv "$work/config" "$work/$config.json"
  echo "[{\"Config\": \"$config.json\", \"RepoTags\": [\"$name:dev\", \"$name:$version\"], \"Layers\": [\"$layer.tar\"]}]" \
    >"$work/manifest.json"
  tar --create --file "$images/$name.tar" --directory "$work" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner .
  rm -r "$work"
  echo "image: $images/$name.tar is $name:dev, $(du -h "$images/$name.tar" | cut -f 1)"
}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
build
case "$kind" in
  docker)
    for name in ringhold ringhold-server; do
      docker build --file deploy/Dockerfile --target "$name" --build-arg "VERSION=$version" \
        --tag "$name:dev" --tag "$name:$version" "$images/context"
    done ;;
  archive)
    archive ringhold '"5000/tcp": {}, "5001/tcp": {}' "Owns a fleet of replicas and the consistent-hash ring in front of it"
    archive ringhold-server '"8080/tcp": {}' "The sample replica: small, honest endpoints to see and test a fleet with" ;;
  *) fail "use docker or archive, or nothing to let it choose; not $kind" ;;
esac
