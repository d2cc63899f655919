#!/usr/bin/env bash
# What a fleet of 3 to 1,000 members is like: writes the tables and plots of docs/scale.md, and docs/scale/.
#
#   bash benches/scale.sh            simulates up to 10 million repositories: four minutes on two cores, without a network
#   bash benches/scale.sh --fleet    the same, and measures real sidecars on this machine: five minutes more
#   bash benches/scale.sh --quick    a small simulation, printed as JSON: seconds, and no document is written
#   bash benches/scale.sh --write    only writes the document again, out of docs/scale/figures.json
#
# SHARDLET_BINARY names a built shardlet to measure; without it one is built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
# Real members on this machine, and the one among those that a process plays (tests/e2e/test_42_scale.py).
FLEETS=("8 100" "16 300" "30 1000")

main() {
  local scratch
  case ${1:-} in
    --help | -h) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --quick) exec cargo bench --locked --bench scale -- --quick ;;
    --write) document; exit 0 ;;
    --fleet | "") ;;
    *) die "what is $1? See --help" ;;
  esac
  scratch=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of now is meant
  trap "rm -rf '$scratch'" EXIT
  cargo bench --locked --bench scale >"$scratch/simulated.json"
  document --simulated "$scratch/simulated.json"
  if [[ ${1:-} == --fleet ]]; then
    measure "$scratch/measured.jsonl"
    document --measured "$scratch/measured.jsonl"
  fi
}

measure() {
  local size members crowd
  [[ -x $VENV/bin/pytest ]] || die "no $VENV/bin/pytest: bash tests/run.sh --packages makes it"
  if [[ -z ${SHARDLET_BINARY:-} ]]; then
    cargo build --release --locked
    SHARDLET_BINARY=${CARGO_TARGET_DIR:-target}/release/shardlet
  fi
  SHARDLET_BINARY=$(realpath "$SHARDLET_BINARY")
  export SHARDLET_BINARY SHARDLET_SCALE_FIGURES=$1
  for size in "${FLEETS[@]}"; do
    read -r members crowd <<<"$size"
    SHARDLET_SCALE_MEMBERS=$members SHARDLET_SCALE_CROWD=$crowd "$VENV/bin/pytest" tests/e2e/test_42_scale.py
  done
}

# Bytecode beside the sources would litter the tree.
document() { python3 -B benches/scale "$@"; }

die() { printf 'benches/scale.sh: %s\n' "$*" >&2; exit 1; }

main "$@"
