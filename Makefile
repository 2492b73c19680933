# Everything that people and CI run. `make help` lists it.
CARGO   ?= cargo
RELEASE := target/release
SAMPLE  ?= deploy/samples/web.yaml
PROFILE ?= release

.DEFAULT_GOAL := help
.PHONY: help up build release test test-cluster test-interop bench-controller bench-proxy bench-ring soak fuzz-smoke fuzz verify fmt docs image chart e2e kind-up kind-down clean .need-rust

help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: build ## Build, start three replicas and serve them on http://localhost:5000 (SAMPLE=FILE for another manifest)
	@PATH="$(CURDIR)/$(RELEASE):$$PATH" $(RELEASE)/ringhold local --file $(SAMPLE)

build: .need-rust ## Build Ringhold and the sample replica
	@$(CARGO) build --locked --release --workspace

release: .need-rust ## Build Ringhold for speed: the compiler learns from a run under load (half an hour; says where the program is)
	@CARGO="$(CARGO)" deploy/release.sh

test: .need-rust ## Run all tests; those that need an API server or nginx say loudly where there is none (with CI=true they fail)
	@tests/cluster/prepare.sh || [ "$$CI" != true ]
	@tests/nginx/prepare.sh || [ "$$CI" != true ]
	@$(CARGO) build --locked --workspace
	@$(CARGO) test --locked --workspace --doc
	@$(CARGO) test --locked --workspace --all-targets

test-cluster: ## Prepare Kubernetes' own programs for the tests that need a cluster, once
	@tests/cluster/prepare.sh

test-interop: .need-rust ## Hold Ringhold against clients of others: curl, nghttp, h2load, h2spec, slowhttptest, Python's (Debian, Go)
	@tests/interop/prepare.sh
	@$(CARGO) build --locked --workspace
	@$(CARGO) test --locked --test interop -- --test-threads=8

bench-controller: .need-rust ## Measure the operator at scale beside Kubernetes' own controllers, in some quiet minutes (BENCH="--help" says more)
	@tests/cluster/prepare.sh
	@$(CARGO) bench --locked --bench controller -- $(BENCH)

bench-proxy: build ## Measure the proxy beside nginx, HAProxy, Envoy and Pingora, in a quarter of an hour (BENCH="--help" says more)
	@CARGO="$(CARGO)" benches/proxy/prepare.sh
	@$(CARGO) bench --locked --package ringhold-bench-proxy --bench proxy -- $(BENCH)

bench-ring: .need-rust ## Measure the ring beside the rings of other crates, in a minute and a half (BENCH="--help" says more)
	@$(CARGO) bench --locked --package ringhold-bench-ring --bench ring -- $(BENCH)

soak: .need-rust ## Run Ringhold under load for ten minutes while everything changes, and account for every request (SOAK_SECONDS=60; PROFILE=dev; SOAK="--help" says more)
	@$(CARGO) build --locked --profile $(PROFILE) --package ringhold-server
	@$(CARGO) test --locked --profile $(PROFILE) --test soak -- $(SOAK)

fuzz-smoke: .need-rust ## Fuzz each target for FUZZ_SECONDS (20): what parses what others send, under libFuzzer
	@CARGO="$(CARGO)" tests/fuzz/run.sh

fuzz: .need-rust ## Fuzz one TARGET until it finds something (FUZZ_SECONDS=… for so long)
	@CARGO="$(CARGO)" tests/fuzz/run.sh $(or $(TARGET),$(error TARGET is missing: make fuzz TARGET=chunks))

verify: .need-rust ## Check format, lints, documentation and generated parts
	@$(CARGO) fmt --all --check
	@$(CARGO) fmt --manifest-path benches/proxy/pingora/Cargo.toml --check
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@$(CARGO) clippy --locked --workspace --test e2e --test interop --test soak --bench controller --bench proxy --bench ring -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items
	@$(CARGO) test --locked --test docs --test tidy

fmt: .need-rust ## Format the code
	@$(CARGO) fmt --all

docs: .need-rust ## Write the generated parts of the documents anew
	@UPDATE_DOCS=1 $(CARGO) test --locked --test docs -- --test-threads=1

image: .need-rust ## Build the images ringhold:dev and ringhold-server:dev (PROFILE=dev for quick ones), with or without Docker
	@CARGO="$(CARGO)" deploy/image.sh

chart: ## Lint the Helm chart and write deploy/operator.yaml from it
	@deploy/chart.sh

e2e: .need-rust ## Run Ringhold in a real Kubernetes on this machine, as its users do (as root; some minutes)
	@CARGO="$(CARGO)" tests/e2e/run.sh

kind-up: .need-rust ## Try Ringhold in a kind cluster: create it, install the chart and the sample (Linux; needs Docker, kubectl, Helm)
	@CARGO="$(CARGO)" deploy/kind.sh up

kind-down: ## Remove the kind cluster
	@deploy/kind.sh down

clean: .need-rust ## Remove everything that was built
	@$(CARGO) clean

.need-rust:
	@command -v $(CARGO) >/dev/null || { echo "make: Rust is missing: install it with rustup (https://rustup.rs) and try again" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "make: a C compiler is missing: install one (Debian: apt-get install gcc) and try again" >&2; exit 1; }
