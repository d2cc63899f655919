#!/usr/bin/env bash
# The project's one test command: sets up what the tests need on a Debian machine with Rust, then runs them all.
#
#   bash tests/run.sh                   everything: cargo test, end to end against real registries, the compose file, the faults (small)
#   bash tests/run.sh --faults          the faults alone, at full size: three hours; writes docs/faults.md and docs/safety-report.md
#   bash tests/run.sh --faults -k frozen   some of them; anything behind --faults is handed to pytest, the documents are left alone
#   bash tests/run.sh --budgets         what one small request costs, alone; --update behind it writes tests/budgets/budgets.toml
#   bash tests/run.sh --compose         the compose file alone, with a Docker engine that the test starts (root)
#   bash tests/run.sh --fast            cargo test only
#   bash tests/run.sh --build-tools     install what the build needs (cmake, a C compiler) if it is missing, and stop
#   bash tests/run.sh --packages        the same for everything that the tests need
#   bash tests/run.sh -k haproxy -x     anything else is handed to pytest, end to end only
#
# SHARDLET_TEST_ZOT names a zot binary when none is on PATH. SHARDLET_BINARY names a built shardlet to test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/steps.sh
. tests/steps.sh

# command → Debian package that brings it
declare -A BUILD_TOOL=([cmake]=cmake [cc]=gcc [c++]=g++ [make]=make)
declare -A PACKAGE_OF=(
  [curl]=curl [ip]=iproute2 [iptables]=iptables [chromium]=chromium
  [docker-registry]=docker-registry [skopeo]=skopeo [buildah]=buildah [haproxy]=haproxy [nginx]=nginx-light [promtool]=prometheus
  [dockerd]=docker.io [docker]=docker.io [debootstrap]=debootstrap
  [h2load]=nghttp2-client [go]=golang-go [systemd-analyze]=systemd [mandoc]=mandoc [openssl]=openssl
  [valgrind]=valgrind [strace]=strace
  [shellcheck]=shellcheck [faketime]=faketime [adduser]=adduser [strip]=binutils [dpkg-shlibdeps]=dpkg-dev
)
# Clients, the conformance suite of the OCI, and what checks and builds deployments: all of them come as Go modules.
GO_MODULES=(
  github.com/google/go-containerregistry/cmd/crane@v0.22.1
  oras.land/oras/cmd/oras@v1.3.6
  github.com/regclient/regclient/cmd/regctl@v0.11.7
  github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
  sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
  github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
)
# Compose, a plugin of docker, found below DOCKER_CONFIG. Debian has version 1 alone, which speaks another dialect.
COMPOSE=github.com/docker/compose/v2/cmd@v2.40.3
# The Go that all of them can be built with; one before 1.21 cannot fetch it by itself, and Debian's may be.
GO_VERSION=go1.26.8
GO_TOOLS=.go-tools
# Builds the Debian package. In debug, since it is built here more often than it is run.
CARGO_DEB=cargo-deb@3.8.0
CARGO_TOOLS=.cargo-tools
VENV=.venv
# What the faults write at full size.
WRITTEN=(--figures docs/faults.md --safety-report docs/safety-report.md)
PYTEST_TIMEOUT_SECONDS=600
FAULT_TIMEOUT_SECONDS=1200

main() {
  local fast=no faults=no compose=no budgets=no started=$SECONDS
  if [[ ${1:-} == --fast ]]; then fast=yes; shift; fi
  if [[ ${1:-} == --faults ]]; then faults=yes; shift; fi
  if [[ ${1:-} == --compose ]]; then compose=yes; shift; fi
  if [[ ${1:-} == --budgets ]]; then budgets=yes; shift; fi
  if [[ ${1:-} == --help || ${1:-} == -h ]]; then sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0; fi

  command -v cargo >/dev/null || die "cargo is not on PATH: install Rust (https://rustup.rs) first"
  if [[ ${1:-} == --build-tools ]]; then
    PACKAGE_OF=()
  fi
  step "Debian packages" install_packages
  if [[ ${1:-} == --build-tools ]]; then exit 0; fi
  if [[ ${1:-} == --packages ]]; then prepare_tools; exit 0; fi

  if [[ $faults == yes ]]; then
    prepare
    if (($#)); then step "faults" faults --full "$@"; else step "faults" faults --full "${WRITTEN[@]}"; fi
    summary "faults passed at full size" "$started"
    exit 0
  fi

  if [[ $compose == yes ]]; then
    prepare
    step "the compose file" compose "$@"
    summary "the compose file passed" "$started"
    exit 0
  fi

  if [[ $budgets == yes ]]; then
    prepare
    step "budgets of a request" budgets "$@"
    summary "the budgets of a request are kept" "$started"
    exit 0
  fi

  # What is in `src/shard` is tested by a package of its own, compiled to run fast.
  step "cargo test" cargo test --locked -- --skip shard::
  step "cargo test of the rules" cargo test --locked -p shardlet-simulation
  if [[ $fast == yes ]]; then summary "cargo test passed; END TO END, COMPOSE AND FAULTS NOT RUN (--fast)" "$started"; exit 0; fi

  prepare
  if (($#)); then
    step "end to end" end_to_end "$@"
    summary "cargo test and end to end passed; COMPOSE AND FAULTS NOT RUN ($*)" "$started"
    exit 0
  fi
  # Each waits for other processes most of the time. The faults measure, so they are alone.
  beside "the compose file" compose
  step "budgets of a request" budgets
  step "end to end" end_to_end
  step "the comparison's own tests" comparison
  join
  step "faults" faults
  summary "cargo test, budgets, end to end, the compose file and faults passed" "$started"
}

# All that the tests need beside Debian's packages.
prepare() {
  step "tools" prepare_tools
  if [[ -z ${SHARDLET_BINARY:-} ]]; then
    step "cargo build --release" cargo build --release --locked
    SHARDLET_BINARY=${CARGO_TARGET_DIR:-target}/release/shardlet
  fi
  SHARDLET_BINARY=$(realpath "$SHARDLET_BINARY")
  export SHARDLET_BINARY
}

# Python's packages, the clients that come as Go modules, cargo-deb.
prepare_tools() {
  prepare_venv
  prepare_go_tools
  prepare_cargo_tools
}

end_to_end() { "$VENV/bin/python" -m pytest tests/e2e --timeout="$PYTEST_TIMEOUT_SECONDS" "$@"; }
compose() { "$VENV/bin/python" -m pytest tests/compose --timeout="$PYTEST_TIMEOUT_SECONDS" "$@"; }
comparison() { "$VENV/bin/python" -m pytest -p no:cacheprovider benches/compare; }
budgets() { "$VENV/bin/python" -m pytest tests/budgets "$@"; }
faults() { "$VENV/bin/python" -m pytest tests/faults --timeout="$FAULT_TIMEOUT_SECONDS" "$@"; }

# Only what is missing is installed, so a second run neither needs the network nor root.
install_packages() {
  local missing=() command
  for command in "${!BUILD_TOOL[@]}"; do
    has "$command" || missing+=("${BUILD_TOOL[$command]}")
  done
  for command in "${!PACKAGE_OF[@]}"; do
    has "$command" || missing+=("${PACKAGE_OF[$command]}")
  done
  if ((${#PACKAGE_OF[@]})); then
    has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  fi
  # callgrind names memcpy by them, and brings no command to ask for.
  ((${#PACKAGE_OF[@]} == 0)) || [[ -d /usr/lib/debug/.build-id ]] || missing+=(libc6-dbg)
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
  ((${#missing[@]})) || return 0

  has apt-get || die "missing: ${missing[*]} (named as Debian's packages), and there is no apt-get to install them with"
  local root=()
  if ((EUID != 0)); then
    has sudo || die "missing: ${missing[*]}; run as root once: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  say "apt-get install ${missing[*]}"
  without_services "${root[@]}"
  "${root[@]}" apt-get update -q
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null || die "could not install ${missing[*]}"
  for command in "${!BUILD_TOOL[@]}" "${!PACKAGE_OF[@]}"; do
    has "$command" || die "$command is still missing after installing its package"
  done
}

# docker-registry, haproxy, nginx and prometheus come with services that would start and take ports 80, 5000, 9090 and 9100.
# Debian asks policy-rc.d before it starts one; ours says no while we install, then goes away.
without_services() {
  local policy=/usr/sbin/policy-rc.d
  [[ -e $policy ]] && return 0
  printf '#!/bin/sh\nexit 101\n' | "$@" tee "$policy" >/dev/null
  "$@" chmod 755 "$policy"
  at_exit "$@" rm -f "$policy"
}

prepare_venv() {
  local stamp=$VENV/requirements.sha256
  if [[ -x $VENV/bin/python ]] && sha256sum --check --status "$stamp" 2>/dev/null; then return 0; fi
  say "python packages into $VENV"
  python3 -m venv --clear "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt ||
    die "could not install the packages of tests/requirements.txt"
  sha256sum tests/requirements.txt >"$stamp"
}

# Like the packages: a second run needs no network.
prepare_go_tools() {
  local stamp=$GO_TOOLS/modules.sha256 wanted
  wanted=$(printf '%s\n' "${GO_MODULES[@]}" "$COMPOSE" | sha256sum)
  if [[ -e $stamp && $(<"$stamp") == "$wanted" ]]; then return 0; fi
  local go module
  go=$(usable_go)
  mkdir -p "$GO_TOOLS"
  for module in "${GO_MODULES[@]}"; do
    say "go install $module"
    GOBIN=$(realpath "$GO_TOOLS") GOTOOLCHAIN=auto CGO_ENABLED=0 \
      "$go" install -p 2 -trimpath -ldflags='-s -w' "$module" ||
      die "could not install $module with $("$go" version): THE TESTS WITH REAL CLIENTS CANNOT RUN"
  done
  say "go build $COMPOSE"
  build_compose "$go" "$(realpath "$GO_TOOLS")/docker/cli-plugins/docker-compose" ||
    die "could not build $COMPOSE: THE COMPOSE FILE CANNOT BE TESTED"
  printf '%s\n' "$wanted" >"$stamp"
}

# By a module of its own: `go install` takes none whose go.mod excludes versions, as this one's does.
build_compose() (
  go=$1 program=$2 folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  export GOTOOLCHAIN=auto CGO_ENABLED=0
  version="-X ${COMPOSE%/cmd@*}/internal.Version=${COMPOSE#*@}"
  cd "$folder" && "$go" mod init tools && "$go" get "$COMPOSE" &&
    "$go" build -p 2 -trimpath -ldflags="-s -w $version" -o "$program" "${COMPOSE%@*}"
)

# Cargo itself sees whether it is there already.
prepare_cargo_tools() {
  [[ -x $CARGO_TOOLS/bin/cargo-deb ]] && [[ $("$CARGO_TOOLS/bin/cargo-deb" --version) == "${CARGO_DEB/@/ }" ]] && return 0
  say "cargo install $CARGO_DEB"
  cargo install --quiet --debug --locked --root "$CARGO_TOOLS" "$CARGO_DEB" || die "could not install $CARGO_DEB"
}

# Prints a Go that can build what GO_MODULES names: the one on PATH, or one that it fetches as a module.
usable_go() {
  local version module folder
  version=$(go env GOVERSION)
  if [[ ! $version =~ ^go1\.(1?[0-9]|20)([.a-z]|$) ]]; then printf 'go'; return 0; fi
  module=golang.org/toolchain@v0.0.1-$GO_VERSION.$(go env GOOS)-$(go env GOARCH)
  folder=$(go mod download -json "$module" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
  [[ -n $folder ]] || die "$version is too old to build the clients, and $module could not be fetched"
  chmod -R u+w "$folder"
  chmod +x "$folder"/bin/* "$folder"/pkg/tool/*/*
  printf '%s/bin/go' "$folder"
}

has() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; }
die() { printf '\ntests/run.sh: %s\n' "$*" >&2; exit 1; }
summary() { times; say "$(printf 'tests/run.sh: %s (%d s)' "$1" $((SECONDS - $2)))"; }

main "$@"
