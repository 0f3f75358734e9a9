#!/usr/bin/env bash
# Installs into empty prefixes and builds every example from them as a stranger would: by pkg-config and by
# CMake, shared and static, below DESTDIR and in a plain PREFIX that is moved afterwards. Then uninstalls.
#
#   test-install.sh
set -uo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
: "${CC:=gcc}" "${MAKE:=make}"
export LC_ALL=C
sources=(examples-c/*.c)

make_quietly() { env -u MAKEFLAGS -u MFLAGS "$MAKE" -s "$@"; }

files_below() { (cd "$1" && find . ! -type d | sort); }

# pc_example SOURCE TREE PC_DIRECTORY LIBDIR shared|static
pc_example() {
  local source=$1 tree=$2 pc=$3 libdir=$4 kind=$5 flags extra
  export PKG_CONFIG_PATH=$pc PKG_CONFIG_SYSROOT_DIR=$tree
  if [ "$kind" = static ]; then
    flags=$(pkg-config --static --cflags --libs esker) extra=-static
  else
    flags=$(pkg-config --cflags --libs esker) extra=-Wl,-rpath,$libdir
  fi
  unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
  [ -n "$flags" ] || return 1
  # shellcheck disable=SC2086 # the flags are several words
  "$CC" -std=c99 "$source" -o "$work/program" $flags "$extra" || return 1
  check_linkage "$work/program" "$kind" && run_example "$source" "$work/program"
}

check_linkage() { # PROGRAM shared|static
  if readelf -dW "$1" | grep -q 'NEEDED.*libesker\.so\.[0-9]*\]'; then
    [ "$2" = shared ] || { echo "$1 needs the shared library"; return 1; }
  else
    [ "$2" = static ] || { echo "$1 does not need the shared library"; return 1; }
  fi
}

cmake_build() { # PREFIX BUILD
  cmake -S tests/package -B "$2" -DCMAKE_PREFIX_PATH="$1" -DEXAMPLES="$PWD/examples-c" \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_BUILD_TYPE=Release && cmake --build "$2" --parallel 2
}

cmake_example() { # SOURCE BUILD shared|static
  local program
  program=$2/$(basename "$1" .c)-$3
  check_linkage "$program" "$3" && run_example "$1" "$program"
}

# examples_from NAME TREE PREFIX: TREE is what stands before PREFIX (DESTDIR), or nothing.
examples_from() {
  local name=$1 tree=$2 prefix=$3 source kind libdir=$2$3/lib
  for kind in shared static; do
    for source in "${sources[@]}"; do
      pass_or_fail "$name, pkg-config, $kind: $source" pc_example "$source" "$tree" "$libdir/pkgconfig" "$libdir" $kind
    done
  done
  if ! command -v cmake >/dev/null; then skip "$name, CMake" cmake; return; fi
  pass_or_fail "$name, CMake builds" cmake_build "$tree$prefix" "$work/cmake-$name"
  for kind in shared static; do
    for source in "${sources[@]}"; do
      pass_or_fail "$name, CMake, $kind: $source" cmake_example "$source" "$work/cmake-$name" $kind
    done
  done
}

# Nothing that was installed may name the place where it was staged or built.
no_traces() { # TREE TEXT
  ! grep -rIlF "$2" "$1" || { echo "the files above name $2"; return 1; }
}

plain_then_moved() {
  mv "$work/plain" "$work/moved" || return 1
  cmake_build "$work/moved" "$work/from-moved" && cmake_example examples-c/hello.c "$work/from-moved" shared
}

multiarch() {
  make_quietly install DESTDIR="$work/multi" PREFIX=/usr LIBDIR="/usr/lib/$("$CC" -dumpmachine)" &&
    cmake_build "$work/multi/usr" "$work/from-multi" && cmake_example examples-c/hello.c "$work/from-multi" static
}

uninstall_leaves_nothing() {
  make_quietly uninstall DESTDIR="$work/stage" PREFIX=/opt/esker || return 1
  [ -z "$(files_below "$work/stage")" ] || { echo "left behind:"; files_below "$work/stage"; return 1; }
}

if ! command -v pkg-config >/dev/null; then skip "install" pkg-config; finish; exit; fi

pass_or_fail "make install DESTDIR" make_quietly install DESTDIR="$work/stage" PREFIX=/opt/esker
pass_or_fail "staged files do not name DESTDIR" no_traces "$work/stage" "$work"
examples_from staged "$work/stage" /opt/esker

pass_or_fail "make install PREFIX" make_quietly install PREFIX="$work/plain"
examples_from plain "" "$work/plain"
pass_or_fail "installed files do not name the source tree" no_traces "$work/plain" "$PWD/"
command -v cmake >/dev/null && pass_or_fail "CMake, tree moved" plain_then_moved

command -v cmake >/dev/null && pass_or_fail "CMake, multiarch LIBDIR" multiarch
pass_or_fail "make install-tools" make_quietly install-tools DESTDIR="$work/stage" PREFIX=/opt/esker
pass_or_fail "make uninstall" uninstall_leaves_nothing

finish
