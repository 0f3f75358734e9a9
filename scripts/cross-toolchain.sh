#!/usr/bin/env bash
# Fetches a Rust compiler with the standard library of a foreign machine, from Debian 12's own archive, into a directory.
#
#   cross-toolchain.sh DIRECTORY ARCHITECTURE      ARCHITECTURE as Debian calls it: s390x
#
# rustup has no such library where only Debian's archive can be reached. The packages are unpacked, not installed, and
# apt works on lists of its own, so the machine stays as it is. DIRECTORY/rustc is then the compiler.
set -euo pipefail

directory=$1 architecture=$2
mkdir -p "$directory/state/lists/partial" "$directory/cache/archives/partial"
directory=$(realpath "$directory")
host=$(dpkg --print-architecture)
apt=(-q -o "Dir::State=$directory/state" -o "Dir::Cache=$directory/cache" -o Dir::State::status=/dev/null
  -o APT::Sandbox::User=root -o "APT::Architectures::=$host" -o "APT::Architectures::=$architecture")

apt-get "${apt[@]}" update
# The newest that the foreign machine has; compiler and library must be of one version.
version=$(apt-cache "${apt[@]}" policy "libstd-rust-web-dev:$architecture" | awk '/Candidate:/ {print $2}')
[ -n "$version" ] && [ "$version" != "(none)" ]
series=$(apt-cache "${apt[@]}" show "libstd-rust-web-dev:$architecture=$version" |
  sed -n 's/^Depends: .*\(libstd-rust-web-[0-9.]*\).*/\1/p')
rm -rf "$directory/debs" "$directory/root"
mkdir "$directory/debs"
cd "$directory/debs"
apt-get "${apt[@]}" download "rustc-web:$host=$version" "libstd-rust-web-dev:$host=$version" "$series:$host=$version" \
  "libstd-rust-web-dev:$architecture=$version"
for package in *.deb; do dpkg -x "$package" "$directory/root"; done
cd "$directory"
rm -rf "$directory/debs" "$directory/state" "$directory/cache"

cat >"$directory/rustc" <<RUSTC
#!/bin/sh
export LD_LIBRARY_PATH=$(dirname "$directory"/root/usr/lib/*/librustc_driver*.so)
exec $directory/root/usr/bin/rustc --sysroot $directory/root/usr "\$@"
RUSTC
chmod +x "$directory/rustc"
"$directory/rustc" --version
