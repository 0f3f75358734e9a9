#!/usr/bin/env bash
# The binary interface, against what was stored of it.
#
#   abi.sh store BUILD     rewrites abi/esker.abi and abi/tests-MAJOR.MINOR/ from include/esker.h and tests/c
#   abi.sh check BUILD     exported names are abi/symbols.txt; abidiff finds nothing removed or changed since
#                          abi/esker.abi; the stored C tests, compiled with their own header, run on the library
#
# abi/esker.abi describes the header's types and functions, taken from a stub that has debug information and no
# engine: small, and the same on every machine. That the library has what the header says is shown by the test
# that regenerates the header from the source, and by the comparison of names here.
set -uo pipefail
cd "$(dirname "$0")/.."

command=$1 build=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
: "${CC:=gcc}" "${CXX:=g++}"
export LC_ALL=C

# describe HEADER_DIRECTORY OUT
describe() {
  local here=$work/describe
  mkdir -p "$here/include" "$here/abi" && cp "$1/esker.h" "$here/include" || return 1
  (cd "$here" && "$build/esker-reference" stub stub.c && "$CC" -std=c99 -g -shared -fPIC -Iinclude stub.c -o libesker.so &&
    abidw --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed --no-architecture --type-id-style hash \
      --out-file "$2" libesker.so)
}

# unchanged OLD NEW: additions are allowed.
unchanged() { abidiff --no-added-syms --suppressions abi/additions.suppr "$1" "$2"; }

names_are_listed() {
  nm -D --defined-only "$build/libesker.so" | awk '{print $3}' | sort | diff abi/symbols.txt -
}

no_change() { describe include "$work/now.abi" && unchanged abi/esker.abi "$work/now.abi"; }

# The gate itself: each of these edits of the header must be refused, or allowed.
edited() { # refused|allowed SED_SCRIPT
  mkdir -p "$work/edited" && sed -E "$2" include/esker.h >"$work/edited/esker.h" || return 1
  ! cmp -s include/esker.h "$work/edited/esker.h" || { echo "the edit changed nothing"; return 1; }
  describe "$work/edited" "$work/edited.abi" || return 1
  if unchanged "$work/now.abi" "$work/edited.abi"; then [ "$1" = allowed ]; else [ "$1" = refused ]; fi
}

stored_test() { # SOURCE COMPILER STANDARD
  "$2" "-std=$3" -g -O1 "-I$(dirname "$1")" "$1" -o "$work/program" -L"$build" -lesker -lpthread -Wl,-rpath,"$build" &&
    run "$work/program"
}

store() {
  local directory
  directory=abi/tests-$(sed -n 's/^version = "\([0-9]*\.[0-9]*\)\..*/\1/p' Cargo.toml | head -n 1)
  describe include "$work/now.abi" && cp "$work/now.abi" abi/esker.abi || return 1
  rm -rf "$directory" && mkdir "$directory" && cp include/esker.h tests/c/*.c tests/c/*.cc tests/c/*.h "$directory"
}

if [ "$command" = store ]; then store; exit; fi

pass_or_fail "exported names are abi/symbols.txt" names_are_listed
if command -v abidiff >/dev/null; then
  pass_or_fail "nothing removed or changed since abi/esker.abi" no_change
  pass_or_fail "a removed function is refused" edited refused 's/esker_sync\(/esker_synced(/'
  pass_or_fail "a changed parameter is refused" edited refused 's/uint32_t esker_version\(void\)/uint32_t esker_version(int x)/'
  pass_or_fail "a renumbered status is refused" edited refused 's/ESKER_BUSY = -20/ESKER_BUSY = -200/'
  pass_or_fail "a moved field is refused" edited refused 's/  uint64_t puts;/  uint64_t moved; uint64_t puts;/'
  pass_or_fail "a new status is allowed" edited allowed 's/(  ESKER_BUSY = -20,)/\1 ESKER_NEWER = -99,/'
  pass_or_fail "a new function is allowed" edited allowed 's/^(ESKER_API uint32_t esker_abi\(void\);)/\1\n\/** New. *\/\nESKER_API uint32_t esker_newer(void);/'
  pass_or_fail "a field at the end of a sized struct is allowed" edited allowed 's/^(  struct esker_level_stats level.*;)/\1 uint64_t newer;/'
else
  skip "abidiff" abigail-tools
fi
for directory in abi/tests-*/; do
  for source in "$directory"*.c; do pass_or_fail "$source" stored_test "$source" "$CC" c99; done
  for source in "$directory"*.cc; do
    if command -v "$CXX" >/dev/null; then pass_or_fail "$source" stored_test "$source" "$CXX" c++11; else skip "$source" "$CXX"; fi
  done
done
finish
