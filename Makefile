# Two commands do all: `make run` converges on manifests/, `make test` passes the tests.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export CGO_ENABLED ?= 0
export GOFLAGS ?= -trimpath

CACHE   ?= $(CURDIR)/.cache
DEMO    ?= /var/lib/reconciler-demo
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Without HTTP/2, which nobody speaks over a unix socket; what never runs, or runs once, is compiled for size.
SELDOM  := runtime/trace crypto/... encoding/asn1 encoding/pem container/... flag os/exec os/signal os/user path/... net/... regexp/... math/big text/... mime/... archive/... log/... go.yaml.in/... sigs.k8s.io/... \
           $(addprefix github.com/,spf13/... godbus/... coreos/... fsnotify/... robfig/... checkpoint-restore/... aperturerobotics/... \
           $(addprefix seed31d4122e/reconciler/,cmd/... pkg/api/... pkg/client/... pkg/web pkg/meter pkg/metric pkg/flight pkg/machine pkg/linux pkg/checkpoint/criu \
           pkg/reconcile/signature $(addprefix pkg/linux/,start namespace attribute capability oci survey journal log feature hook landlock rootfs seccomp mount network/...)))
PREFIX  ?= /usr/local
DESTDIR ?=
OUT     ?= bin
LEAN    := -tags nethttpomithttp2 $(foreach p,$(SELDOM),-gcflags=$(p)=-l)
TOOL    := go tool -modfile=internal/tools/go.mod
# Tests run as root where sudo or root is there; those that need a kernel feature skip by a named probe.
TEST    := go test -exec '$(SUDO)'

# They build what they test, and log what came of it.
ENGINES := go test -count=1 -timeout 20m -v ./... 2>&1 | { grep -vE '^(=== |  *--- PASS)'; exit $${PIPESTATUS[0]}; }

.PHONY: help run down build install deb rpm test test-seccomp test-engines test-web bench check fuzz generate site soak vm-test clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/reconciler, one static binary
	@scripts/deps.sh run
	go build $(LEAN) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/reconciler ./cmd/reconciler

run: build ## run the agent on manifests/ until Ctrl-C; the containers stay (see down)
	@$(SUDO) scripts/rootfs.sh $(DEMO)/rootfs
	@$(SUDO) chmod go-w manifests manifests/*.yaml
	@$(SUDO) ln -sfn $(CURDIR)/manifests $(DEMO)/manifests.d
	$(SUDO) bin/reconciler run --manifests $(DEMO)/manifests.d --manifest-owner $$(stat -c %u manifests)

down: build ## stop and remove what `make run` made: the same directory, without manifests
	@$(SUDO) mkdir -p $(DEMO)/nothing
	@$(SUDO) ln -sfn $(DEMO)/nothing $(DEMO)/manifests.d
	$(SUDO) bin/reconciler run --once --prune always --manifests $(DEMO)/manifests.d

install: build ## install below PREFIX (/usr/local), with units, manual pages and completions; DESTDIR stages it
	@scripts/install.sh '$(DESTDIR)' '$(PREFIX)' '$(PREFIX)/share/zsh/site-functions' '$(VERSION)'
	@[ -n '$(DESTDIR)' ] || echo 'now: systemd-sysusers && systemctl daemon-reload && systemctl enable --now reconciler'

deb rpm: build ## make a package in OUT (bin)
	@VERSION='$(VERSION)' scripts/package.sh $@ '$(OUT)'

test: ## run all tests (as root where possible) and list the skips
	@scripts/deps.sh test
	@scripts/test.sh $(TEST)

test-seccomp: ## hold seccomp profiles to the verdicts of libseccomp's filters (needs gcc and libseccomp-dev)
	@scripts/deps.sh seccomp
	cd test/seccomp && CGO_ENABLED=1 go vet ./... && CGO_ENABLED=1 go test -count=1 ./...

test-engines: ## hold the OCI command line to the specification's validation programs, podman and containerd, as runc is (needs all of those)
	@scripts/deps.sh engines
	cd test/runtimetools && go vet ./... && $(SUDO) env PATH="$$PATH" $(ENGINES)
	cd test/engines && go vet ./... && $(SUDO) env PATH="$$PATH" $(ENGINES)

test-web: ## look at the web page with a real browser (needs chromium); SCREENSHOTS=DIR keeps the pictures
	@scripts/deps.sh web
	cd test/web && go vet ./... && $(SUDO) env PATH="$$PATH" SCREENSHOTS='$(SCREENSHOTS)' $(ENGINES)

bench: ## measure ratios against crun, runc and a bare clone3
	@scripts/deps.sh bench
	$(SUDO) go test -run '^$$' -bench . -skip Checkpoint -benchtime 200x ./internal/bench
	$(SUDO) go test -run '^$$' -bench Checkpoint -benchtime 30x -timeout 1h ./internal/bench
	$(SUDO) go test -run '^$$' -bench 'Drop|Restart' -benchtime 200x ./internal/e2e
	$(SUDO) go test -run '^$$' -bench API -benchtime 1000x ./pkg/api
	$(SUDO) go test -run '^$$' -bench 'Idle|Adopt|Loud|Order|CrashLoops|Probed|TenThousand' -benchtime 1x -timeout 1h ./internal/e2e ./pkg/reconcile/...

check: ## what CI runs besides the tests: generated files, format, vet, lint, budget
	@LEAN='$(LEAN)' scripts/check.sh

fuzz: ## fuzz every target with FUZZ inputs each (default 20000x)
	@scripts/fuzz.sh $(or $(FUZZ),20000x)

generate: ## write the schema, the reference and the tables generated from comments
	go generate ./...

site: ## render docs/ as HTML below .cache/site, with Debian's mkdocs
	@scripts/deps.sh site
	mkdocs build --quiet --strict --site-dir $(CACHE)/site
	@! grep -rlE '(src|href)="(https?:)?//[^"]*\.(js|css|woff2?)"' $(CACHE)/site --include '*.html' || { echo 'error: the site wants something of the internet' >&2; exit 1; }
	@echo 'open $(CACHE)/site/index.html'

soak: ## the long campaigns: TARGET=Kill|Records|Sim|... narrows them
	@scripts/deps.sh test
	RECONCILER_SOAK=1 $(TEST) -timeout 6h -v -run '$(or $(TARGET),.)' ./...

vm-test: ## run the root tests in a Debian 13 guest: systemd, pure cgroup v2; then a container goes through its reboot and moves, and a package is installed, upgraded and removed
	@scripts/deps.sh vm
	CACHE=$(CACHE)/vm test/vm/run.sh
	CACHE=$(CACHE)/vm SMP=1 test/vm/run.sh './pkg/machine:TestCounter|TestLeaveRunning|TestPaused$$|TestGroup$$|TestTerminal$$|TestPreCopy$$|TestUsersAfterRestore' './cmd/reconciler/ocicmd:TestRestoredScope'
	CACHE=$(CACHE)/vm test/vm/reboot.sh
	CACHE=$(CACHE)/vm test/vm/package.sh

clean: ## remove what was built here (not the containers: see down)
	rm -rf bin
