#!/usr/bin/env bash
# Builds the Debian packages out of the source tarball, with the crates in it: BUILD/deb/*.deb.
#
#   deb.sh BUILD_DIRECTORY VERSION
#
# Build dependencies are not asked for (-d): Rust may come from elsewhere than Debian. DEB_BUILD_OPTIONS=nocheck leaves
# the C tests out.
set -euo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1") release=esker-$2
rm -rf "$build/deb"
mkdir "$build/deb"
tar -xzf "$build/dist/$release.tar.gz" -C "$build/deb"
cd "$build/deb/$release"
unset MAKEFLAGS MFLAGS MAKELEVEL CARGO_TARGET_DIR
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
dpkg-buildpackage -b -d -us -uc
