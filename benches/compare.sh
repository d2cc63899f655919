#!/usr/bin/env bash
# Measures shardlet beside nginx, HAProxy and zot's own cluster hop on this machine, in one run, over loopback only.
#
#   bash benches/compare.sh                   everything, medians of several rounds: up to twenty minutes
#   bash benches/compare.sh --quick           one short round: about a minute, good for a smoke test only
#   bash benches/compare.sh --write           everything, into docs/performance.md, tables and plots
#   bash benches/compare.sh --again FILE      shows what a run has kept (target/compare.json) and measures nothing
#   bash benches/compare.sh --only local      contestants whose name contains the text (may be given again)
#   bash benches/compare.sh --work gets       some of the works (see --help)
#   bash benches/compare.sh --against FILE    another shardlet binary in the same run, such as the last release
#   bash benches/compare.sh --rounds 5        more rounds, or fewer
#
# SHARDLET_BINARY names a built shardlet, SHARDLET_LOAD a built load (benches/load); without them both are built.
# SHARDLET_TEST_ZOT names a zot when none is on PATH; without one its rows are missing. It needs two CPUs, and nothing
# else at work on them. What is measured, and how: docs/performance.md. Exits with 1 if a contestant answered wrongly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# command → Debian package that brings it
declare -A PACKAGE_OF=([nginx]=nginx-light [haproxy]=haproxy [openssl]=openssl [python3]=python3)

main() {
  if [[ ${1:-} == --help || ${1:-} == -h ]]; then sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0; fi
  # Where Debian has the servers; a user's PATH may leave it out.
  export PATH=$PATH:/usr/sbin:/sbin
  install_packages
  local built=${CARGO_TARGET_DIR:-target}/release
  if [[ -z ${SHARDLET_BINARY:-} ]]; then
    cargo build --release --locked
    SHARDLET_BINARY=$built/shardlet
  fi
  if [[ -z ${SHARDLET_LOAD:-} ]]; then
    cargo build --release --locked --example load
    SHARDLET_LOAD=$built/examples/load
  fi
  # Idle connections: both ends of them are on this machine.
  ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"
  # Bytecode beside the sources would litter the tree.
  PYTHONDONTWRITEBYTECODE=1 exec python3 benches/compare --binary "$SHARDLET_BINARY" --load "$SHARDLET_LOAD" "$@"
}

# Only what is missing is installed, so a second run neither needs the network nor root.
install_packages() {
  local missing=() command
  for command in "${!PACKAGE_OF[@]}"; do
    command -v "$command" >/dev/null || missing+=("${PACKAGE_OF[$command]}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (named as Debian's packages), and there is no apt-get"
  local root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "missing: ${missing[*]}; run as root once: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  without_services "${root[@]}"
  "${root[@]}" apt-get update -q >&2
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null >&2 || die "could not install ${missing[*]}"
}

# nginx and haproxy come with services that would start. Debian asks policy-rc.d before it starts one.
without_services() {
  local policy=/usr/sbin/policy-rc.d
  [[ -e $policy ]] && return 0
  printf '#!/bin/sh\nexit 101\n' | "$@" tee "$policy" >/dev/null
  "$@" chmod 755 "$policy"
  # shellcheck disable=SC2064  # the words of now are meant
  trap "$* rm -f $policy" EXIT
}

die() { printf 'benches/compare.sh: %s\n' "$*" >&2; exit 1; }

main "$@"
