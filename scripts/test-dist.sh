#!/usr/bin/env bash
# Builds and tests the source tarball as a distribution would: unpacked elsewhere, no network, no crates but its own.
#
#   test-dist.sh BUILD_DIRECTORY VERSION
#
# Without a network means: in a network namespace of its own (`unshare -n`), or, where that is not allowed, with cargo
# told to stay offline. CARGO_HOME is an empty directory. What runs there is a part that takes about two minutes: the
# libraries, every C and C++ test and example, and of the Rust suite the vectors, the sizes of options, the layering
# and the header against the source. The whole suite runs in the tree itself (`make test`).
set -uo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1") release=esker-$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
seconds_max=900

same_bytes() {
  mkdir "$work/again" && scripts/dist.sh "$work/again" "${release#esker-}" && cmp "$work/again/$release.tar.gz" "$build/dist/$release.tar.gz"
}

unpacked() {
  tar -xzf "$build/dist/$release.tar.gz" -C "$work" && [ -d "$work/$release/vendor" ] && [ ! -e "$work/$release/target" ] &&
    [ ! -e "$work/$release/build" ] && [ ! -e "$work/$release/.git" ]
}

pass_or_fail "the tarball is the same when made again" same_bytes

# Rustup, where cargo is its proxy, keeps the toolchain beside the old CARGO_HOME.
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} CARGO_HOME=$work/cargo-home CARGO_TERM_COLOR=never
mkdir "$CARGO_HOME"
unset MAKEFLAGS MFLAGS CARGO_TARGET_DIR CARGO_NET_OFFLINE
if unshare -n true 2>/dev/null; then
  apart=(unshare -n)
elif unshare -rn true 2>/dev/null; then
  apart=(unshare -rn)
else
  apart=(env CARGO_NET_OFFLINE=true)
fi

inside() { (cd "$work/$release" && timeout "$seconds_max" "${apart[@]}" "$@"); }

# The separation itself: the registry must be out of reach.
no_registry() { (cd "$work" && ! timeout 60 "${apart[@]}" cargo --quiet search --limit 1 libc); }

only_vendored() { [ -z "$(find "$CARGO_HOME" -name "*.crate" -o -name "*.rs")" ] || { find "$CARGO_HOME"; return 1; }; }

pass_or_fail "it unpacks to sources and vendored crates" unpacked
pass_or_fail "${apart[*]}: no registry" no_registry
pass_or_fail "${apart[*]}: make" inside make
pass_or_fail "${apart[*]}: C and C++ tests" inside make test-c
pass_or_fail "${apart[*]}: part of the Rust suite" inside cargo test --locked --features internals --test suite -- \
  vectors options:: layering:: header::the
pass_or_fail "${apart[*]}: make man doc" inside make man doc
pass_or_fail "no crate came from elsewhere" only_vendored
finish
