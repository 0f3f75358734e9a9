#!/usr/bin/env bash
# LevelDB's C interface over esker, tested beside LevelDB itself. Its last line is "N passed, N failed".
#
#   test-leveldb.sh OURS THEIRS      directories with libleveldb.so.1; THEIRS also has LevelDB's headers and c_test.c
#
# The programs are compiled once, against LevelDB, and run with either library underneath.
set -uo pipefail
cd "$(dirname "$0")/.."

ours=$(realpath "$1") theirs=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
: "${CC:=gcc}" "${CARGO:=cargo}"
tests=compat/leveldb/tests

with() { # LIBRARY_DIRECTORY COMMAND...
  env LD_LIBRARY_PATH="$1" "${@:2}"
}

names() {
  diff compat/leveldb/symbols.txt <(nm -D --defined-only "$ours/libesker_leveldb.so" | awk '{print $3}' | LC_ALL=C sort) &&
    diff compat/leveldb/symbols.txt <(nm -g --defined-only "$ours/libesker_leveldb.a" | awk 'NF == 3 {print $3}' | LC_ALL=C sort)
}

# Every function of the header, and no other name.
header_names() {
  grep -o 'leveldb_[a-z_]*(' "$theirs/include/leveldb/c.h" | tr -d '(' | LC_ALL=C sort -u | diff compat/leveldb/symbols.txt - &&
    [ "$(wc -l <compat/leveldb/symbols.txt)" = 68 ]
}

soname() {
  readelf -dW "$ours/libesker_leveldb.so" | grep -q 'SONAME.*\[libleveldb\.so\.1\]' &&
    [ "$ours/libleveldb.so.1" -ef "$ours/libesker_leveldb.so" ] && [ "$ours/libleveldb.so.1d" -ef "$ours/libesker_leveldb.so" ]
}

compile() { # SOURCE PROGRAM LINK...
  "$CC" -g -O1 -I"$theirs/include" "$1" -o "$2" "${@:3}"
}

own_program() { # NAME
  compile "$tests/$1.c" "$work/$1" -std=c99 -Wall -Wextra -Werror -L"$theirs" -lleveldb
}

# LevelDB's test, unchanged, linked as a program that chose this library.
c_test() { # RUNNER...
  compile "$theirs/c_test.c" "$work/c_test" -w -L"$ours" -lesker_leveldb || return 1
  mkdir -p "$work/c_test.db" && with "$ours" env TEST_TMPDIR="$work/c_test.db" "$@" "$work/c_test" >"$work/said" 2>&1 ||
    { cat "$work/said"; return 1; }
  grep -qx PASS "$work/said"
}

static_c_test() {
  compile "$theirs/c_test.c" "$work/static" -w "$ours/libesker_leveldb.a" -lpthread -lm -ldl &&
    mkdir -p "$work/static.db" && TEST_TMPDIR=$work/static.db "$work/static" 2>&1 | grep -qx PASS
}

# A program that was linked with LevelDB, and gets this library by LD_PRELOAD.
preloaded() {
  compile "$theirs/c_test.c" "$work/theirs" -w -L"$theirs" -lleveldb || return 1
  mkdir -p "$work/preload.db" && LD_PRELOAD=$ours/libesker_leveldb.so TEST_TMPDIR=$work/preload.db \
    with "$theirs" "$work/theirs" 2>&1 | grep -qx PASS && [ -n "$(ls "$work/preload.db"/*.sst)" ]
}

contract() { # LIBRARY_DIRECTORY
  own_program contract && LD_LIBRARY_PATH=$1 run "$work/contract" >"$work/said" 2>&1 || { cat "$work/said"; return 1; }
}

beyond() {
  own_program beyond && mkdir -p "$work/beyond.db" && with "$ours" "$@" "$work/beyond" "$work/beyond.db"
}

state_of() { # DIRECTORY: names, modes, times and contents
  (cd "$1" && stat -c '%n %a %Y %s' . ./* && sha256sum ./*)
}

foreign() {
  own_program beyond && with "$theirs" "$work/beyond" make "$work/real" || return 1
  state_of "$work/real" >"$work/before"
  with "$ours" "$work/beyond" refuse "$work/real" || return 1
  state_of "$work/real" | diff "$work/before" - && [ -e "$work/real/CURRENT" ]
}

# The crate's tests as they are in the registry; the setting replaces the build script that would compile LevelDB.
crate_tests() {
  local source triple
  source=$(cd benches/compare && "$CARGO" fetch --locked --quiet && "$CARGO" metadata --locked --format-version 1 |
    grep -o '"manifest_path":"[^"]*/leveldb-0[^"]*/Cargo.toml"' | head -n 1 | cut -d '"' -f 4)
  triple=$(rustc -vV | sed -n 's/^host: //p')
  cp -r "${source%/Cargo.toml}" "$work/crate" && chmod -R u+w "$work/crate" && rm -f "$work/crate/Cargo.lock" || return 1
  # That lock holds every version its tests need.
  cp benches/compare/Cargo.lock "$work/crate/Cargo.lock"
  (cd "$work/crate" && with "$ours" "$CARGO" test --quiet --test tests --target-dir "$work/crate-target" \
    --config "target.$triple.leveldb.rustc-link-lib=['dylib=esker_leveldb']" \
    --config "target.$triple.leveldb.rustc-link-search=['$ours']") >"$work/said" 2>&1
  tail -n 30 "$work/said"
  grep -q 'test result: ok. 24 passed; 0 failed' "$work/said"
}

pass_or_fail "exactly the 68 names" names
pass_or_fail "the names are those of LevelDB's header" header_names
pass_or_fail "libleveldb.so.1, and Debian's name for it" soname
pass_or_fail "LevelDB's c_test" c_test
pass_or_fail "LevelDB's c_test, static" static_c_test
pass_or_fail "LevelDB's c_test, preloaded into a program linked with LevelDB" preloaded
pass_or_fail "the contract holds for LevelDB" contract "$theirs"
pass_or_fail "the contract holds for esker" contract "$ours"
pass_or_fail "rules beyond LevelDB's" beyond
pass_or_fail "a directory of LevelDB is refused and left alone" foreign
checked=(valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite)
if command -v valgrind >/dev/null; then
  pass_or_fail "LevelDB's c_test under valgrind" c_test "${checked[@]}"
  pass_or_fail "rules beyond LevelDB's under valgrind" beyond "${checked[@]}"
else
  skip "LevelDB's c_test under valgrind" valgrind
  skip "rules beyond LevelDB's under valgrind" valgrind
fi
pass_or_fail "the 24 tests of the crate leveldb" crate_tests
finish
