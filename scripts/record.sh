#!/usr/bin/env bash
# Enters a run that is not one of the suite's own campaigns into the table that ESKER_RECORD names; without ESKER_RECORD it does
# nothing. docs/RELIABILITY.md is made from the table.
#
#   record.sh NAME FIRST CASES COUNTS BAD SECONDS     COUNTS as in "12 opens;3 checkpoints", may be empty
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# = 6 ] || { echo "usage: record.sh NAME FIRST CASES COUNTS BAD SECONDS" >&2; exit 2; }
[ -n "${ESKER_RECORD:-}" ] || exit 0
ESKER_RUN="$1,$2,$3,$4,$5,$6" "${CARGO:-cargo}" test -q --locked --features internals --test suite -- \
  --exact campaign::page::a_run_from_outside_becomes_a_line >/dev/null
echo "entered into $ESKER_RECORD: $1"
