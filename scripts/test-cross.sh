#!/usr/bin/env bash
# A database goes from this machine to a big-endian one (s390x, emulated) and back, and the other way round.
#
#   test-cross.sh BUILD_DIRECTORY TARGET_DIRECTORY
#
# Needs BUILD_DIRECTORY/cross/s390x (scripts/cross-toolchain.sh), Debian's cross compiler and qemu-user-static.
set -uo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1") target_dir=$2 target=s390x-unknown-linux-gnu
cross=$build/cross
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
: "${CC:=gcc}" "${CARGO:=cargo}"
emulator=(qemu-s390x-static -L /usr/s390x-linux-gnu)

missing=
[ -x "$cross/s390x/rustc" ] || missing=scripts/cross-toolchain.sh
for tool in s390x-linux-gnu-gcc qemu-s390x-static; do command -v $tool >/dev/null || missing=$tool; done
if [ -n "$missing" ]; then skip "s390x" "$missing"; finish; exit; fi

foreign_library() {
  RUSTC=$cross/s390x/rustc CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 "$CARGO" rustc --locked --release --lib --crate-type cdylib --target $target \
    --target-dir "$target_dir/cross" || return 1
  cp "$target_dir/cross/$target/release/libesker.so" "$cross/" && ln -sf libesker.so "$cross/libesker.so.0"
}

compile() { # SOURCE NAME
  "$CC" -std=c99 -O1 -Wall -Wextra -Werror -Iinclude "$1" -o "$work/$2-here" -L"$build" -lesker -lpthread -Wl,-rpath,"$build" &&
    s390x-linux-gnu-gcc -std=c99 -O1 -Wall -Wextra -Werror -Iinclude "$1" -o "$work/$2-there" -L"$cross" -lesker -lpthread \
      -Wl,-rpath,"$cross"
}

at() { # here|there PROGRAM ARGUMENT...
  local place=$1 program=$2
  shift 2
  if [ "$place" = here ]; then "$work/$program-here" "$@"; else "${emulator[@]}" "$work/$program-there" "$@"; fi
}

# A writes, B reads it and goes on writing, A reads what B wrote.
exchange() { # A B OPTIONS
  local db
  db=$(mktemp -d -p "$work")
  at "$1" exchange "$db" write 1 "$3" && at "$2" exchange "$db" check 1 "$3" &&
    at "$2" exchange "$db" write 2 "$3" && at "$1" exchange "$db" check 2 "$3" && at "$2" exchange "$db" check 2 "$3"
}

# The test itself: a round that was not written must be missed.
notices() {
  local db
  db=$(mktemp -d -p "$work")
  at here exchange "$db" write 1 "" && ! at there exchange "$db" check 2 ""
}

foreign_example() { run_example "$1" "$work/foreign"; }

pass_or_fail "the library for $target" foreign_library
pass_or_fail "programs" compile tests/cross/exchange.c exchange
pass_or_fail "a difference is noticed" notices
small="write_buffer=64KiB;table_size=64KiB;level_bytes=128KiB;level_dynamic=0"
for options in "" "$small" "$small;compression=lz4" "$small;filter=classic" "$small;filter=blocked;block_size=512"; do
  pass_or_fail "here, there, here: $options" exchange here there "$options"
  pass_or_fail "there, here, there: $options" exchange there here "$options"
done
for source in examples-c/*.c; do
  compile "$source" example || { pass_or_fail "$source, big-endian" false; continue; }
  printf '#!/bin/sh\nexec %s %s "$@"\n' "${emulator[*]}" "$work/example-there" >"$work/foreign"
  chmod +x "$work/foreign"
  pass_or_fail "$source, big-endian" foreign_example "$source"
done
finish
