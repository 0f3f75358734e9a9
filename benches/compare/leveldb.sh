#!/usr/bin/env bash
# Compiles LevelDB from the sources in the crate leveldb-sys, as its own Release build does (-O3 -DNDEBUG,
# no snappy, no crc32c library), and makes a static library and a link to its headers.
#
#   leveldb.sh OUTPUT_DIRECTORY          makes OUTPUT_DIRECTORY/{libleveldb.a,include}
#   leveldb.sh OUTPUT_DIRECTORY shared   makes OUTPUT_DIRECTORY/{libleveldb.so,libleveldb.so.1,include,c_test.c}
set -euo pipefail
mkdir -p "$1"
out=$(realpath "$1")
cd "$(dirname "$0")"
: "${CARGO:=cargo}" "${CXX:=g++}" "${AR:=ar}"

"$CARGO" fetch --locked --quiet
manifest=$("$CARGO" metadata --locked --format-version 1 |
  grep -o '"manifest_path":"[^"]*/leveldb-sys-[^"]*/Cargo.toml"' | head -n 1 | cut -d '"' -f 4)
source=$(echo "${manifest%/Cargo.toml}"/deps/leveldb-*)
[ -d "$source" ] || { echo "no LevelDB sources below $manifest" >&2; exit 1; }

flags=(-std=c++11 -O3 -DNDEBUG -fno-exceptions -fno-rtti -w -pthread -I"$source" -I"$source/include"
  -DLEVELDB_PLATFORM_POSIX=1 -DHAVE_FDATASYNC=1 -DHAVE_FULLFSYNC=0 -DHAVE_O_CLOEXEC=1 -DHAVE_CRC32C=0 -DHAVE_SNAPPY=0
  -DLEVELDB_IS_BIG_ENDIAN=0)
[ "${2-}" != shared ] || flags+=(-fPIC)
objects=$out/objects
rm -rf "$objects" && mkdir "$objects"
cd "$source"
ls db/*.cc table/*.cc util/*.cc |
  grep -v -e '_test\.cc$' -e '_bench\.cc$' -e _windows -e leveldbutil -e testutil -e testharness |
  xargs -P "$(nproc)" -I{} sh -c '"$@" -c {} -o "$0/$(echo {} | tr / _).o"' "$objects" "$CXX" "${flags[@]}"
ln -sfn "$source/include" "$out/include"
if [ "${2-}" = shared ]; then
  ln -sfn "$source/db/c_test.c" "$out/c_test.c"
  "$CXX" -shared -Wl,-soname,libleveldb.so.1 -o "$out/libleveldb.so.1" "$objects"/*.o -pthread
  ln -sf libleveldb.so.1 "$out/libleveldb.so"
else
  rm -f "$out/libleveldb.a"
  "$AR" rcs "$out/libleveldb.a" "$objects"/*.o
fi
