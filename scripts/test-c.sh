#!/usr/bin/env bash
# Compiles and runs the C side against the library as it is shipped. Its last line is "N passed, N failed".
#
#   test-c.sh BUILD_DIRECTORY
#
# What it runs: every tests/c/*.c (C99) and *.cc (C++11), every examples-c/*.c, the program in README.md
# (shared and static), and `make install` with a program built through pkg-config. Each program gets a
# fresh directory as its first argument. A missing tool skips its step, or fails it when ESKER_ALL=1.
set -uo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
: "${CC:=gcc}" "${CXX:=g++}" "${MAKE:=make}"
warnings=(-Wall -Wextra -Wpedantic -Werror -Iinclude -g -O1)
link=(-L"$build" -lesker -lpthread -Wl,-rpath,"$build")

c_program() { # SOURCE [ARGUMENT...]
  local source=$1 program=$work/program
  shift
  "$CC" -std=c99 "${warnings[@]}" "$source" -o "$program" "${link[@]}" && run "$program" "$@"
}

example() { # SOURCE
  "$CC" -std=c99 "${warnings[@]}" "$1" -o "$work/program" "${link[@]}" && run_example "$1" "$work/program"
}

cxx_program() { # SOURCE
  "$CXX" -std=c++11 "${warnings[@]}" "$1" -o "$work/program" "${link[@]}" && run "$work/program"
}

static_program() { # SOURCE
  "$CC" -std=c99 "${warnings[@]}" "$1" -o "$work/program" "$build/libesker.a" -lpthread -lm -ldl &&
    run "$work/program"
}

panicking_program() { # SOURCE
  "$CC" -std=c99 "${warnings[@]}" -DFORCED_PANIC "$1" -o "$work/program" "$panicking" -lpthread -lm -ldl &&
    run "$work/program"
}

# The demo is stopped by SIGKILL while it loads; what it had acknowledged must then be found.
demo_killed() {
  local directory=$work/killed loader status
  "$CC" -std=c99 "${warnings[@]}" examples-c/unicode.c -o "$work/unicode" "${link[@]}" || return 1
  "$work/unicode" "$directory" examples-c/data/unicode-names.tsv --load >"$work/acknowledged" &
  loader=$!
  # The first acknowledgement shows that loading is under way.
  until [ -s "$work/acknowledged" ] || ! kill -0 "$loader" 2>/dev/null; do :; done
  kill -9 "$loader"
  wait "$loader" 2>/dev/null
  timeout "$seconds_max" "$work/unicode" "$directory" examples-c/data/unicode-names.tsv --resume-check \
    <"$work/acknowledged"
}

installed_program() {
  local stage=$work/stage prefix=/opt/esker flags
  env -u MAKEFLAGS -u MFLAGS "$MAKE" -s install DESTDIR="$stage" PREFIX="$prefix" || return 1
  export PKG_CONFIG_PATH=$stage$prefix/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage
  flags=$(pkg-config --cflags --libs esker) || return 1
  # shellcheck disable=SC2086 # the flags are several words
  "$CC" -std=c99 "$work/readme.c" -o "$work/program" $flags -Wl,-rpath,"$stage$prefix/lib" || return 1
  run "$work/program" || return 1
  env -u MAKEFLAGS -u MFLAGS "$MAKE" -s uninstall DESTDIR="$stage" PREFIX="$prefix" || return 1
  [ -z "$(find "$stage" ! -type d)" ] || { echo "left behind by uninstall:"; find "$stage" ! -type d; return 1; }
}

for source in tests/c/*.c; do
  [ -e "$source" ] && pass_or_fail "$source" c_program "$source"
done
for source in tests/c/*.cc; do
  [ -e "$source" ] || continue
  if command -v "$CXX" >/dev/null; then pass_or_fail "$source" cxx_program "$source"; else skip "$source" "$CXX"; fi
done

# Every call contains a panic: against the archive that `make test` builds with the feature forced_panic.
panicking=$build/forced_panic/libesker.a
if [ -e "$panicking" ]; then
  pass_or_fail "tests/c/lifetimes.c, panicking" panicking_program tests/c/lifetimes.c
else
  skip "tests/c/lifetimes.c, panicking" "$panicking, which make test builds"
fi

for source in examples-c/*.c; do
  pass_or_fail "$source" example "$source"
done
pass_or_fail "examples-c/unicode.c, killed" demo_killed

awk '/^```c$/ {inside = 1; next} /^```$/ {if (inside) exit} inside' README.md >"$work/readme.c"
pass_or_fail "README.md program, shared" c_program "$work/readme.c"
pass_or_fail "README.md program, static" static_program "$work/readme.c"
if command -v pkg-config >/dev/null; then
  pass_or_fail "make install, pkg-config, make uninstall" installed_program
else
  skip "make install" pkg-config
fi

finish
