#!/usr/bin/env bash
# Compiles RocksDB from the sources in the crate librocksdb-sys as its release build does (-O3 -DNDEBUG, SSE 4.2 and
# PCLMUL for its checksums, no compression library), and makes a static library and a link to its headers. Takes
# half an hour of processor time; objects that exist are kept, so that it can be interrupted.
#
#   rocksdb.sh OUTPUT_DIRECTORY      makes OUTPUT_DIRECTORY/{librocksdb.a,include}
set -euo pipefail
mkdir -p "$1/objects"
out=$(realpath "$1")
cd "$(dirname "$0")"
: "${CARGO:=cargo}" "${CXX:=g++}" "${AR:=ar}"

"$CARGO" fetch --locked --quiet
manifest=$("$CARGO" metadata --locked --format-version 1 |
  grep -o '"manifest_path":"[^"]*/librocksdb-sys-[^"]*/Cargo.toml"' | head -n 1 | cut -d '"' -f 4)
root=${manifest%/Cargo.toml}
source=$root/rocksdb
[ -d "$source" ] || { echo "no RocksDB sources below $manifest" >&2; exit 1; }

flags=(-std=c++20 -O3 -DNDEBUG -w -pthread -fno-rtti -I"$source/include" -I"$source" -I"$root"
  -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX
  -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT
  -DROCKSDB_RANGESYNC_PRESENT)
[ "$(uname -m)" != x86_64 ] || flags+=(-msse4.2 -mpclmul)
{ sed "s|^|$source/|" "$root/rocksdb_lib_sources.txt" | grep -v 'util/build_version.cc$'; echo "$root/build_version.cc"; } |
  tr -d ' \r' |
  xargs -P "$(nproc)" -I{} sh -c '
    object=$0/$(echo "{}" | tr / _).o
    [ -e "$object" ] || { "$@" -c {} -o "$object.part" && mv "$object.part" "$object"; }' \
    "$out/objects" "$CXX" "${flags[@]}"
rm -f "$out/librocksdb.a"
"$AR" rcs "$out/librocksdb.a" "$out/objects"/*.o
ln -sfn "$source/include" "$out/include"
