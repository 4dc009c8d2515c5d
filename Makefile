# `make` lists the targets.

CARGO ?= cargo
SUDO  := $(if $(filter 0,$(shell id -u)),,sudo)

# A program, or a file with a slash in its name, that is there only if the package is installed.
DEPENDENCIES := \
	gcc:gcc \
	/usr/include/stdlib.h:libc6-dev \
	pkg-config:pkg-config \
	ip:iproute2 \
	nft:nftables \
	iptables-nft:iptables \
	conntrack:conntrack \
	setpriv:util-linux \
	mkfs.ext4:e2fsprogs \
	mount:mount \
	strace:strace \
	getcap:libcap2-bin \
	file:file \
	jq:jq \
	/usr/include/libnftnl/rule.h:libnftnl-dev \
	/usr/include/libmnl/libmnl.h:libmnl-dev \
	clang:clang \
	/usr/lib/python3/dist-packages/prometheus_client/openmetrics/parser.py:python3-prometheus-client \
	/usr/share/doc/python3-venv:python3-venv \
	systemd-analyze:systemd \
	kill:procps \
	/usr/share/doc/python3-seccomp:python3-seccomp

# What `make image` needs: the other architecture's linker and C library, and its processor to see the binary run. Debian names
# them from amd64's view and from arm64's.
IMAGE_DEPENDENCIES := \
	gcc:gcc \
	/usr/include/stdlib.h:libc6-dev \
	file:file \
	jq:jq \
	python3:python3 \
	$(if $(filter aarch64,$(shell uname -m)), \
		x86_64-linux-gnu-gcc:gcc-x86-64-linux-gnu \
		/usr/x86_64-linux-gnu/lib/libc.a:libc6-dev-amd64-cross \
		qemu-x86_64-static:qemu-user-static, \
		aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu \
		/usr/aarch64-linux-gnu/lib/libc.a:libc6-dev-arm64-cross \
		qemu-aarch64-static:qemu-user-static)

# What `make acceptance-kubernetes` needs beyond that; the servers are its own matter.
ACCEPTANCE_DEPENDENCIES := \
	curl:curl \
	openssl:openssl \
	iptables-nft:iptables \
	nft:nftables \
	ip:iproute2 \
	nsenter:util-linux

# What the peers of `make bench` need beyond that.
BENCH_DEPENDENCIES := \
	ipset:ipset \
	chrt:util-linux

# What `make fuzz` needs: libFuzzer is C++.
FUZZ_DEPENDENCIES := \
	gcc:gcc \
	g++:g++ \
	/usr/include/stdlib.h:libc6-dev

# What `make acceptance-systemd` needs: a Debian tree, and what boots it.
ACCEPTANCE_SYSTEMD_DEPENDENCIES := \
	ip:iproute2 \
	dpkg-deb:dpkg \
	debootstrap:debootstrap \
	systemd-nspawn:systemd-container

HOST_TARGET   = $(shell rustc -vV | sed -n 's/^host: //p')
STATIC_TARGET ?= $(HOST_TARGET)
STATIC_BINARY = $(call target_directory,Cargo.toml)/$(STATIC_TARGET)/release/ip-masq-agent
DEB_DIRECTORY = $(call target_directory,Cargo.toml)/debian
BENCH_TARGET  = $(call target_directory,benches/Cargo.toml)
# The numbers of a quick run are not worth keeping.
BENCH_OUTPUT  = $(if $(QUICK),$(BENCH_TARGET)/quick,docs)

# The Debian release of `make acceptance-systemd`.
SUITE ?= bookworm

# What `make chaos` does, and for how long in each layout.
SEED    ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
SECONDS ?= 300

# How many nodes `make fleet` has.
NODES ?= 200

# What `make fuzz` does, and for how long each.
FUZZ_TARGETS   := rules goyaml codec netlink state flags
FUZZ_SECONDS    = $(if $(filter file,$(origin SECONDS)),60,$(SECONDS))
FUZZ_DIRECTORY  = $(call target_directory,fuzz/Cargo.toml)

target_directory = $(shell $(CARGO) metadata --format-version 1 --no-deps --locked --manifest-path $(1) | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

.DEFAULT_GOAL := help
.PHONY: help demo deps deps-bench deps-fuzz test chaos fuzz mutants bench lint fmt static chart fleet deps-acceptance-systemd deb acceptance-systemd deps-image image deps-acceptance acceptance-kubernetes

help: ## list the targets
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

demo: ## apply Kubernetes' documentation example in a sandbox of its own (no root) and print the rules
	@$(CARGO) run --quiet --release --locked -- apply --sandbox --print-rules --config rules/kubernetes-docs/config.yaml

deps: ## install what the tests need, if something is missing: by apt, and into the target directory
	$(call install,$(DEPENDENCIES))
	@tests/deploy/install-tools.sh $(call target_directory,Cargo.toml)/tools

deps-bench: ## install what `make bench` needs
	$(call install,$(DEPENDENCIES) $(BENCH_DEPENDENCIES))

deps-fuzz: ## install what `make fuzz` needs
	$(call install,$(FUZZ_DEPENDENCIES))
	@command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked

deps-image: ## install what `make image` needs
	$(call install,$(IMAGE_DEPENDENCIES))

deps-acceptance: deps deps-image ## install what `make acceptance-kubernetes` needs
	$(call install,$(ACCEPTANCE_DEPENDENCIES))

define install
	@missing=; for dependency in $(1); do \
		program=$${dependency%%:*}; package=$${dependency##*:}; \
		case $$program in /*) test -e $$program ;; *) PATH=$$PATH:/usr/sbin:/sbin command -v $$program >/dev/null ;; esac \
			|| missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		$(SUDO) apt-get update && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; \
	fi
endef

test: deps ## run all tests; those that need the kernel make network namespaces, so run it as root
	@status=0; \
	$(CARGO) test --locked --no-fail-fast || status=1; \
	$(CARGO) test --locked --no-fail-fast --manifest-path tests/conformance/Cargo.toml || status=1; \
	$(CARGO) test --locked --no-fail-fast --lib --manifest-path benches/Cargo.toml || status=1; \
	exit $$status

chaos: deps ## let everything happen to the agent at once, SECONDS=300 in each layout of the rules; SEED=… repeats a run
	CHAOS_SEED=$(SEED) CHAOS_SECONDS=$(SECONDS) $(CARGO) test --locked --test chaos -- --nocapture --test-threads=1

fleet: deps ## roll a policy out over NODES=200 agents, each in a namespace of its own, with faults; SEED=… repeats a run
	$(CARGO) build --release --locked
	FLEET_SEED=$(SEED) FLEET_NODES=$(NODES) FLEET_AGENT=$(call target_directory,Cargo.toml)/release/ip-masq-agent \
		$(CARGO) test --locked --test fleet a_fleet_follows -- --nocapture

# What is changed and which tests have to notice: .cargo/mutants.toml.
mutants: deps ## change the core in one place after the other and tell which changes no test notices; ONLY=exchange takes those whose place or name has it
	@command -v cargo-mutants >/dev/null || $(CARGO) install cargo-mutants --locked
	$(CARGO) mutants --jobs 1 $(if $(ONLY),--re '$(ONLY)')

# Nothing in the product is unsafe, so no sanitizer is needed, nor a nightly compiler.
fuzz: deps-fuzz ## give random input to all that reads any, SECONDS=60 for each target of fuzz/; SEED=… repeats a run
	$(CARGO) fuzz build --sanitizer none --target $(HOST_TARGET)
	fuzz/run.sh $(FUZZ_DIRECTORY)/$(HOST_TARGET)/release $(FUZZ_DIRECTORY)/fuzz $(FUZZ_SECONDS) $(SEED) $(FUZZ_TARGETS)

bench: deps-bench static ## measure against nft, iptables, ipset and BEFORE=commit-or-binary, and write docs/benchmarks.md; QUICK=1 only shows that all can be measured
	$(CARGO) build --release --locked --manifest-path benches/Cargo.toml
	$(if $(and $(QUICK),$(if $(ONLY),,all)),$(SUDO) rm -rf $(BENCH_OUTPUT))
	@before=$$(benches/before.sh "$(BEFORE)" $(BENCH_TARGET)/before) && set -x && \
	$(SUDO) $(BENCH_TARGET)/release/measure --agent $(STATIC_BINARY) --version "$$(git describe --always --dirty)" \
		$${before:+--before "$$before" --before-version "$(BEFORE)"} $(if $(MACHINE),--machine "$(MACHINE)") \
		--output $(BENCH_OUTPUT) $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

lint: ## check the format, and everything that the compiler, clippy and rustdoc can find
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked
	$(CARGO) fmt --check --manifest-path tests/conformance/Cargo.toml
	$(CARGO) clippy --all-targets --locked --manifest-path tests/conformance/Cargo.toml -- -D warnings
	$(CARGO) fmt --check --manifest-path benches/Cargo.toml
	$(CARGO) clippy --all-targets --locked --manifest-path benches/Cargo.toml -- -D warnings
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --no-default-features --locked --manifest-path fuzz/Cargo.toml -- -D warnings

fmt: ## bring all code into the format
	$(CARGO) fmt
	$(CARGO) fmt --manifest-path tests/conformance/Cargo.toml
	$(CARGO) fmt --manifest-path benches/Cargo.toml
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml

# The same commit gives the same bytes, which carry the list of what is linked into them.
static: ## build a static binary (STATIC_TARGET=aarch64-unknown-linux-gnu for another machine) and run it in an empty root
	CARGO=$(CARGO) deploy/image/static.sh $(STATIC_TARGET)
	@file $(STATIC_BINARY) | grep -E 'statically linked|static-pie linked'
	@if [ $(STATIC_TARGET) = $(HOST_TARGET) ]; then \
		root=$$(mktemp -d) && trap 'rm -r "$$root"' EXIT && \
		cp $(STATIC_BINARY) "$$root/" && \
		$(SUDO) chroot "$$root" /ip-masq-agent --version; \
	fi

chart: ## package the Helm chart into the target directory; the same files give the same archive
	@tests/deploy/install-tools.sh $(call target_directory,Cargo.toml)/tools
	@$(call target_directory,Cargo.toml)/tools/python/bin/python deploy/helm/package.py deploy/helm/ip-masq-agent $(call target_directory,Cargo.toml)/chart

# With the time of the commit as the time of its files, the same commit gives the same package.
deb: static ## build the Debian package of the static binary (STATIC_TARGET=… for another machine): its units, default configuration and documentation
	@command -v cargo-deb >/dev/null || $(CARGO) install cargo-deb --locked
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(CARGO) deb --no-build --no-strip --locked --target $(STATIC_TARGET) --output $(DEB_DIRECTORY)/

deps-acceptance-systemd: ## install what `make acceptance-systemd` needs
	$(call install,$(ACCEPTANCE_SYSTEMD_DEPENDENCIES))

acceptance-systemd: deps-acceptance-systemd deb ## install the package on a real systemd (SUITE=bookworm: 252, SUITE=trixie: 257) and try all that docs/systemd.md promises
	$(SUDO) tests/acceptance/systemd.sh $(DEB_DIRECTORY)/ip-masq-agent_*_$$(dpkg --print-architecture).deb $(call target_directory,Cargo.toml)/nspawn $(SUITE)

image: deps-image ## build the OCI image, without a daemon, into the target directory; IMAGE_ARCHITECTURES="amd64 arm64" by default
	CARGO=$(CARGO) IMAGE_SOURCE=$(IMAGE_SOURCE) deploy/image/build.sh $(or $(IMAGE_ARCHITECTURES),amd64 arm64)

# Kubernetes' servers stay in the user's cache, as they take ten minutes to build and are no part of this project.
SERVERS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ip-masq-agent-acceptance

acceptance-kubernetes: deps-acceptance ## run the image under deploy/'s manifests on a real node of Kubernetes; ONLY=policy for a part, UPSTREAM=binary for upstream's agent
	$(MAKE) --no-print-directory image IMAGE_ARCHITECTURES=$(if $(filter aarch64,$(shell uname -m)),arm64,amd64)
	ONLY=$(ONLY) UPSTREAM=$(UPSTREAM) tests/acceptance/kubernetes.sh $(call target_directory,Cargo.toml) $(SERVERS)
