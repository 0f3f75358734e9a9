#!/usr/bin/env bash
# Checks what `make man doc` wrote: a page and a section per exported function, and no complaint of mandoc.
#
#   test-doc.sh BUILD_DIRECTORY
#
# mandoc stops at warnings. Its style notes are left out: they ask for markup of function names inside
# sentences, and for lines of 80 characters, which sentences of the header's comments need not have.
set -uo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh

pages_exist() {
  local name missing=0
  while read -r name; do
    [ -s "$build/man/man3/$name.3" ] || { echo "no page of $name"; missing=1; }
    grep -qx "### $name" "$build/doc/API.md" || { echo "$name is not in the reference"; missing=1; }
  done <abi/symbols.txt
  return $missing
}

pass_or_fail "a page and a section per function" pages_exist
if command -v mandoc >/dev/null; then
  pass_or_fail "mandoc finds no fault" mandoc -T lint -W warning "$build"/man/man[13]/*.[13]
else
  skip "mandoc" mandoc
fi
finish
