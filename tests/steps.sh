# shellcheck shell=bash
# The steps of a run: what each of them took, and which go on beside another. Sourced by tests/run.sh and .ci/run.
#
#   step NAME COMMAND…     runs it and keeps how long it took
#   beside NAME COMMAND…   the same in the background; what it prints is kept until `join`
#   join                   waits for what runs beside and prints it; one that failed ends the run
#   times                  prints where the time went
#   at_exit COMMAND        runs it when the run ends, however it ends

STEPS=()
BESIDE=()
AT_EXIT=()

say() { printf '\n=== %s\n' "$*"; }

step() {
  local name=$1 since=$SECONDS
  shift
  say "$name"
  "$@"
  STEPS+=("$(printf '%6d s  %s' $((SECONDS - since)) "$name")")
}

# A process group of its own, so that all of it can be ended.
beside() {
  local name=$1 log
  shift
  log=$(mktemp)
  say "$name (in the background)"
  set -m
  { local since=$SECONDS; "$@"; printf '%d' $((SECONDS - since)) >"$log.seconds"; } >"$log" 2>&1 </dev/null &
  set +m
  BESIDE+=("$! $log $name")
}

join() {
  local entry pid log name failed=0
  for entry in "${BESIDE[@]}"; do
    read -r pid log name <<<"$entry"
    wait "$pid" || failed=$?
    say "$name (ran in the background)"
    cat "$log"
    ((failed == 0)) || { printf '\n%s: FAILED (exit status %d)\n' "$name" "$failed" >&2; exit 1; }
    STEPS+=("$(printf '%6d s  %s (in the background)' "$(<"$log.seconds")" "$name")")
    rm -f "$log" "$log.seconds"
  done
  BESIDE=()
}

times() { say "where the time went"; printf '%s\n' "${STEPS[@]}"; }

at_exit() { AT_EXIT+=("$*"); }

finish() {
  local status=$? entry pid log
  for entry in "${BESIDE[@]}"; do
    read -r pid log _ <<<"$entry"
    kill -- "-$pid" 2>/dev/null || true
    rm -f "$log" "$log.seconds"
  done
  for entry in "${AT_EXIT[@]}"; do $entry; done
  exit "$status"
}
trap finish EXIT
