#!/usr/bin/env bash
# Makes a static library that links beside other Rust libraries out of the one cargo writes.
#
#   clean-archive.sh RAW.a OUT.a SYMBOL...
#
# The raw archive holds the whole standard library with some two thousand global names, so a second
# Rust archive in one program collides with it. Here everything the SYMBOLs do not need is dropped and
# everything but the SYMBOLs becomes local. Two flags look odd and are needed:
#   --force-group-allocation  without it the linker throws away this library's copy of the unwinder's
#                             personality when a second Rust library has one, and the first panic crashes;
#   -R .llvmbc -R .llvmcmd    with these sections left in, the LLVM plugin of binutils aborts `ar` and `nm`.
set -euo pipefail

raw=$1 out=$2
shift 2
[ $# -gt 0 ] || { echo "clean-archive.sh: no symbols to keep" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
roots=() keep=()
for symbol in "$@"; do
  roots+=(-u "$symbol")
  keep+=(--keep-global-symbol="$symbol")
done

name=$(basename "$out" .a)
object=$work/${name#lib}.o
ld -r --gc-sections --force-group-allocation "${roots[@]}" -o "$object" "$raw"
objcopy "${keep[@]}" -R .llvmbc -R .llvmcmd --strip-unneeded "$object"
rm -f "$work/out.a"
ar rcs "$work/out.a" "$object"
mv "$work/out.a" "$out"
