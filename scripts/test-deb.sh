#!/usr/bin/env bash
# Unpacks the Debian packages into one directory, as if it were the root, and uses them from there.
#
#   test-deb.sh BUILD_DIRECTORY
#
# lintian stops at errors; no tag is overridden.
set -uo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
: "${CC:=gcc}"
root=$work/root
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
libdir=/usr/lib/$triplet

unpack() {
  local package
  for package in libesker0 libesker-dev esker-tools; do
    dpkg -x "$build"/deb/"${package}"_*.deb "$root" || return 1
  done
}

hello() { # shared|static
  export PKG_CONFIG_PATH=$root$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
  local flags extra=-Wl,-rpath,$root$libdir
  if [ "$1" = static ]; then
    flags=$(pkg-config --static --cflags --libs esker) extra=-static
  else
    flags=$(pkg-config --cflags --libs esker)
  fi
  # shellcheck disable=SC2086 # the flags are several words
  "$CC" -std=c99 examples-c/hello.c -o "$work/hello" $flags "$extra" && run_example examples-c/hello.c "$work/hello"
}

depends() { dpkg-deb -f "$build"/deb/"$1"_*.deb Depends | grep -F -- "$2"; }

manual() {
  local page
  for page in man1/esker.1 man3/esker.3 man3/esker_put.3; do
    [ -s "$root/usr/share/man/$page.gz" ] || { echo "no $page"; return 1; }
  done
}

no_errors() { lintian --allow-root --fail-on error --no-tag-display-limit "$build"/deb/*.changes; }

pass_or_fail "the three packages unpack" unpack
pass_or_fail "hello, shared" hello shared
pass_or_fail "hello, static" hello static
pass_or_fail "the program esker" scripts/test-tools.sh "$root$libdir" "$root/usr/bin/esker"
pass_or_fail "manual pages" manual
pass_or_fail "the library depends on the C library" depends libesker0 'libc6 (>='
pass_or_fail "the program depends on the library" depends esker-tools 'libesker0 (>='
pass_or_fail "development files depend on the same library" depends libesker-dev 'libesker0 (='
if command -v lintian >/dev/null; then pass_or_fail "lintian finds no error" no_errors; else skip lintian lintian; fi
finish
