# The main commands:
#   make lab      a complete lab on this computer, from nothing
#   make build    the whole program
#   make test     every test, from nothing
# Each installs what is missing, as root or with sudo.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The prefix for commands that need root: empty if the user is root.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# The prefix for commands that use Docker: Docker may accept only root, which is known once it runs.
WITH_DOCKER = $(if $(SUDO),$$(docker info >/dev/null 2>&1 || echo sudo -E env PATH="$$PATH"))

# The AWS SDK takes as long to build as everything else, and a lab on this computer does not need
# it. The profile `lab` has its own folder, so its build does not replace the full build.
LAB_BUILD := cargo build --profile lab
PLATFORM := target/lab/platform
LAB := inventories/rehearsal.yaml
CATALOG := tests/standins/catalog.yaml
# The stand-ins for Mesos, Marathon and Chronos; their images are built from folders of these names.
STANDINS := mesos-master mesos-agent marathon chronos

# The tests that need Docker, images and QEMU. `cargo test` alone does not run them.
DOCKER_TESTS := --test docker --test e2e

# Needed packages, as `command-that-it-installs:package`.
LAB_NEEDS := dockerd:docker.io mmdebstrap:mmdebstrap ssh:openssh-client cc:gcc
TEST_NEEDS := $(LAB_NEEDS) sshd:openssh-server sudo:sudo openssl:openssl sslscan:sslscan dash:dash \
  fish:fish tcsh:tcsh qemu-system-x86_64:qemu-system-x86 python3:python3 haproxy:haproxy \
  docker-registry:docker-registry chromium:chromium chromedriver:chromium-driver

include bench/Makefile.inc

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: lab
lab: needs := $(LAB_NEEDS)
lab: tools docker standins ## Make a lab on this computer: machines, registry, ZooKeeper, Mesos
	$(LAB_BUILD) --no-default-features
	$(WITH_DOCKER) $(PLATFORM) image build $(CATALOG)
	$(WITH_DOCKER) $(PLATFORM) up $(LAB) --yes
	@echo
	@$(WITH_DOCKER) $(PLATFORM) status $(LAB)
	@echo; printf '%s\n' 'To use it:' \
	  '  $(PLATFORM) status $(LAB)' \
	  '  $(PLATFORM) ssh $(LAB) control-1' \
	  '  $(PLATFORM) exec $(LAB) --sudo -- docker ps' \
	  'To change it, edit $(LAB), then:' \
	  '  $(PLATFORM) plan $(LAB)' \
	  '  $(PLATFORM) up $(LAB)' \
	  'To remove it:' \
	  '  make lab-down'

.PHONY: build
build: needs := cc:gcc
build: tools ## Build the whole program: target/release/platform
	cargo build --release

.PHONY: lab-down
lab-down: ## Remove the lab
	$(WITH_DOCKER) $(PLATFORM) down $(LAB) --yes

# An image is built from its folder, so the programs are copied there, but only those that changed:
# a changed file makes a new image. They are built separately from the program itself: with its
# features, shared libraries would look for certificates in images that have none.
.PHONY: standins
standins: tools
	$(LAB_BUILD) --package standins
	@for name in $(STANDINS); do \
	  cmp -s target/lab/$$name tests/standins/images/$$name/$$name || \
	    install target/lab/$$name tests/standins/images/$$name/$$name; \
	done

# All commands name the whole workspace: for a part of it, Cargo would choose other features of
# shared packages, and build everything a second time.
.PHONY: test
test: needs := $(TEST_NEEDS)
test: tools docker lint standins ec2 ## Run every test, including the end-to-end tests
	cargo test --workspace --no-run
	cargo test --workspace $(DOCKER_TESTS) --no-run
	$(WITH_DOCKER) target/debug/platform image build images/base.yaml
	$(WITH_DOCKER) target/debug/platform image build $(CATALOG)
	$(WITH_DOCKER) cargo test --workspace
	$(WITH_DOCKER) cargo test --workspace $(DOCKER_TESTS)

# Kills each pair of verbs five times with each provider: 50 killed runs. It takes an hour or two.
.PHONY: test-kills
test-kills: needs := $(TEST_NEEDS)
test-kills: tools docker standins ## Kill 50 runs, each followed at once by the next
	cargo test --workspace --test e2e --no-run
	$(WITH_DOCKER) target/debug/platform image build $(CATALOG)
	$(WITH_DOCKER) env PLATFORM_TEST_KILLS=5 cargo test --workspace --test e2e killed_is_finished_by_the_next_at_once -- --nocapture

# The tests' EC2 runs in its own Python environment, which is made again if its requirements change.
.PHONY: ec2
ec2: needs := python3:python3
ec2: tools target/ec2/installed

target/ec2/installed: tests/ec2/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || $(SUDO) apt-get -q -y install python3-venv
	rm -rf target/ec2
	python3 -m venv target/ec2
	target/ec2/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: lint
lint: ## Check the code's format, its lints and its documentation
	cargo fmt --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo clippy --workspace $(DOCKER_TESTS) -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --document-private-items --quiet

.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo 'Install Rust first: see https://rustup.rs'; exit 1; }
	@missing=; \
	for need in $(needs); do \
	  PATH=$$PATH:/usr/sbin:/sbin command -v "$${need%%:*}" >/dev/null || missing="$$missing $${need##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "Installing:$$missing"; \
	  $(SUDO) apt-get -q update; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $$missing; \
	fi

# Starts Docker if it does not run. Debian's engine needs AppArmor's parser if AppArmor is on.
.PHONY: docker
docker: tools
	@if ! $(SUDO) docker info >/dev/null 2>&1; then \
	  if grep -qs Y /sys/module/apparmor/parameters/enabled && ! command -v apparmor_parser >/dev/null; then \
	    $(SUDO) apt-get -q -y install apparmor; \
	  fi; \
	  echo 'Starting Docker'; \
	  if [ -d /run/systemd/system ]; then \
	    $(SUDO) systemctl start docker; \
	  else \
	    mkdir -p target; \
	    $(SUDO) setsid --fork dockerd >target/dockerd.log 2>&1 </dev/null; \
	  fi; \
	  for try in $$(seq 60); do $(SUDO) docker info >/dev/null 2>&1 && break; sleep 1; done; \
	  $(SUDO) docker info >/dev/null || { echo 'Docker does not answer; see target/dockerd.log'; exit 1; }; \
	fi
