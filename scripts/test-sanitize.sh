#!/usr/bin/env bash
# The C side under AddressSanitizer and LeakSanitizer, in the library as well as in the programs; or under valgrind.
#
#   test-sanitize.sh asan DIRECTORY       DIRECTORY holds a libesker.so built with -Zsanitizer=address
#   test-sanitize.sh valgrind BUILD       the examples, with the library as it is shipped
#
# All of tests/c and examples-c, but for lifetimes.c while esker panics: that takes a library of its own (test-c.sh has it).
# gcc, not clang: clang 14's leak check does not see what the library allocates.
set -uo pipefail
cd "$(dirname "$0")/.."

kind=$1 directory=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
seconds_max=900

asan_compile() { # SOURCE
  local compiler=(gcc -std=c99)
  case $1 in *.cc) compiler=(g++ -std=c++11) ;; esac
  "${compiler[@]}" -g -O1 -fno-omit-frame-pointer -fsanitize=address -Wall -Wextra -Werror -Iinclude "$1" -o "$work/program" \
    -L"$directory" -lesker -lpthread -Wl,-rpath,"$directory"
}

asan_program() { asan_compile "$1" && run "$work/program"; }

asan_example() { asan_compile "$1" && run_example "$1" "$work/program"; }

# What is planted must be found, or a clean run of the rest says nothing.
planted() { # overflow|leak PATTERN PATTERN
  asan_compile tests/sanitize/planted.c || return 1
  run "$work/program" "$1" >"$work/planted" 2>&1 && { echo "not reported"; return 1; }
  grep -q "$2" "$work/planted" && grep -q "$3" "$work/planted" || { cat "$work/planted"; return 1; }
}

valgrind_example() {
  gcc -std=c99 -g -O1 -Iinclude "$1" -o "$work/compiled" -L"$directory" -lesker -lpthread -Wl,-rpath,"$directory" || return 1
  printf '#!/bin/sh\nexec valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --log-file=%s %s "$@"\n' \
    "$work/valgrind" "$work/compiled" >"$work/program"
  chmod +x "$work/program"
  run_example "$1" "$work/program" || { cat "$work/valgrind"; return 1; }
}

case $kind in
  asan)
    export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0
    pass_or_fail "an overflow inside the library is seen" planted overflow heap-buffer-overflow libesker
    pass_or_fail "a leak is seen" planted leak 'LeakSanitizer: detected memory leaks' planted.c
    for source in tests/c/*.c tests/c/*.cc; do pass_or_fail "$source" asan_program "$source"; done
    for source in examples-c/*.c; do pass_or_fail "$source" asan_example "$source"; done
    ;;
  valgrind)
    if ! command -v valgrind >/dev/null; then skip valgrind valgrind; finish; exit; fi
    for source in examples-c/*.c; do pass_or_fail "valgrind, $source" valgrind_example "$source"; done
    ;;
esac
finish
