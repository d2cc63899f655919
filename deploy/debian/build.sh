#!/usr/bin/env bash
# Builds the Debian package; prints where it is. Needs cargo-deb (cargo install cargo-deb).
#
#   bash deploy/debian/build.sh               builds the program first, without the demo
#   bash deploy/debian/build.sh PROGRAM [--fast]   takes a built one; anything behind it is handed to cargo-deb
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Cargo.toml takes from here what it packs.
BUILD=target/debian

main() {
  local program=${1:-}
  if [[ -z $program ]]; then
    cargo build --release --locked --no-default-features --features stores
    program=${CARGO_TARGET_DIR:-target}/release/shardlet
  fi
  rm -rf "$BUILD"
  install -D "$program" "$BUILD/shardlet"
  strip "$BUILD/shardlet"
  papers
  cargo deb --no-build --quiet --output "$BUILD" "${@:2}"
}

# Completions and manual pages, by the program itself.
papers() {
  local shell
  mkdir "$BUILD/completions"
  for shell in bash zsh fish; do
    "$BUILD/shardlet" completions "$shell" >"$BUILD/completions/$shell"
  done
  # Its day is that of the commit, so that two builds of one commit are the same.
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} "$BUILD/shardlet" man "$BUILD/man"
}

main "$@"
