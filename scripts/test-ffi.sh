#!/usr/bin/env bash
# Runs tests/ffi: the same scenario from other languages, against the library as it is shipped.
#
#   test-ffi.sh BUILD_DIRECTORY
#
# Tools are looked for on PATH and in BUILD_DIRECTORY/ffi, where `.ci/run` puts what npm and pip give.
set -uo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
: "${CC:=gcc}" "${CXX:=g++}"
tests=$PWD/tests/ffi include=$PWD/include library=$build/libesker.so
link=(-L"$build" -lesker -Wl,-rpath,"$build")
mkdir -p "$build/ffi"
export PATH=$PATH:$build/ffi/python/bin NODE_PATH=$build/ffi/node_modules${NODE_PATH:+:$NODE_PATH}

cxx_() {
  "$CXX" -std=c++11 -Wall -Wextra -Wpedantic -Werror -I"$include" "$tests/scan.cc" -o "$work/cc" "${link[@]}" &&
    run "$work/cc"
}

go_() {
  # No module, no proxy: the program imports the standard library only.
  GO111MODULE=off GOPROXY=off GOTOOLCHAIN=local GOFLAGS= GOCACHE="$build/ffi/go-cache" CGO_ENABLED=1 CC="$CC" \
    CGO_CFLAGS="-I$include" CGO_LDFLAGS="${link[*]}" go build -o "$work/go" "$tests/scan.go" && run "$work/go"
}

zig_() ( # TOOL
  mkdir "$work/zig" && cp "$tests/scan.zig" "$work/zig" && cd "$work/zig" || return 1
  export ZIG_GLOBAL_CACHE_DIR=$build/ffi/zig-cache
  "$1" translate-c -lc -I"$include" "$include/esker.h" >esker.zig &&
    "$1" build-exe scan.zig -lc -L"$build" -lesker -rpath "$build" && run ./scan
)

python_() { run_last "$library" python3 "$tests/scan.py"; }

luajit_() {
  # The standard headers are left out: LuaJIT knows their types itself.
  "$CC" -E -P -DESKER_API= -DESKER_MUST_USE= -D_STDDEF_H -D_STDINT_H -D_GCC_WRAP_STDINT_H -D__CLANG_STDINT_H \
    "$include/esker.h" >"$work/esker.i" && run_last "$work/esker.i" luajit "$tests/scan.lua" "$library"
}

node_() { run_last "$library" node "$tests/scan.js"; }

# run_last LAST COMMAND...: COMMAND LAST DIRECTORY.
run_last() {
  local last=$1
  shift
  timeout "$seconds_max" "$@" "$last" "$(mktemp -d -p "$work")"
}

# language NAME TOOL FUNCTION [ARGUMENT]
language() {
  local name=$1 tool=$2
  shift 2
  if command -v "$tool" >/dev/null; then pass_or_fail "$name" "$@"; else skip "$name" "$tool"; fi
}

language C++ "$CXX" cxx_
language Go go go_
zig_tool=$(command -v zig || command -v python-zig || echo zig)
language Zig "$zig_tool" zig_ "$zig_tool"
language Python python3 python_
language LuaJIT luajit luajit_
if node -e 'require("koffi")' 2>/dev/null; then pass_or_fail Node node_; else skip Node "node with koffi"; fi

finish
