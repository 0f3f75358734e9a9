#!/usr/bin/env bash
# The program esker, called as from a shell: what it prints and its exit status.
#
#   test-tools.sh BUILD_DIRECTORY [PROGRAM]
set -uo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1") program=${2:-$1/tools/esker}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
export LD_LIBRARY_PATH=$build
db=$work/db

# gives STATUS TEXT ARGUMENT...: exit status and standard output, newlines as they are.
gives() {
  local status=0 wanted_status=$1 wanted=$2
  shift 2
  "$program" "$@" >"$work/printed" || status=$?
  [ "$status" = "$wanted_status" ] || { echo "status $status, not $wanted_status"; return 1; }
  printf '%b' "$wanted" | diff - "$work/printed"
}

# says PATTERN ARGUMENT...: an error, told on standard error, nothing on standard output.
says() {
  local pattern=$1 status=0
  shift
  "$program" "$@" >"$work/printed" 2>"$work/said" || status=$?
  [ "$status" -ge 2 ] && [ ! -s "$work/printed" ] && grep -q -- "$pattern" "$work/said" || { echo "$status"; cat "$work/said"; return 1; }
}

from_input() { printf 'a\0b' | "$program" put "$db" binary - && gives 0 'binary\ta\\x00b\n' scan -p bin "$db"; }

lists_options() { "$program" options | grep -q '^write_buffer=.*bytes)$'; }

has_stats() {
  "$program" stats "$db" >"$work/printed" && grep -Eq '^keys, about +[1-9]' "$work/printed" && grep -q '^level ' "$work/printed" &&
    "$program" property "$db" stats.json | grep -q '"level":\[{"tables":'
}

full_disk() { "$program" options >/dev/full; [ $? = 3 ]; }

held_elsewhere() {
  local status=0 writer
  mkfifo "$work/pipe" || return 1
  "$program" put "$db" held - <"$work/pipe" &
  writer=$!
  exec 9>"$work/pipe"
  # More than a pipe holds: when this returns, the writer is reading, so it has opened the database.
  head -c 200000 /dev/zero >&9
  says "held by process $writer" get "$db" apple || status=1
  exec 9>&-
  wait $writer && return $status
}

# One byte in the middle of a table is another one.
finds_damage() {
  local damaged=$work/damaged table
  cp -r "$db" "$damaged" && table=$(ls "$damaged"/*.sst | head -n 1) || return 1
  printf 'X' | dd of="$table" bs=1 seek=20 conv=notrunc status=none
  "$program" verify "$damaged" >"$work/found" 2>"$work/complaint"
  [ $? = 3 ] && grep -q "$(basename "$table" .sst | sed 's/^0*//')" "$work/found" && grep -q '1 finding' "$work/complaint"
}

# The row is in the table whose byte is another one; the rows of the log are still there.
salvages() {
  local damaged=$work/damaged
  "$program" put "$damaged" late row || return 1
  "$program" salvage "$damaged" "$work/salvaged" >"$work/found" 2>"$work/told" || return 1
  grep -q checksum "$work/found" && grep -q '1 rows; .* blocks: 0 read, 1 lost' "$work/told" &&
    gives 0 'late\trow\n' scan "$work/salvaged"
}

pass_or_fail "a missing database is an error" says "$db" get "$db" apple
pass_or_fail "put creates and stores" gives 0 '' --create --sync put "$db" apple red
pass_or_fail "get prints the value as it is" gives 0 'red' get "$db" apple
pass_or_fail "an absent key is status 1" gives 1 '' get "$db" pear
pass_or_fail "hexadecimal keys and values" gives 0 '' -x put "$db" 00ff 0A
pass_or_fail "hexadecimal output" gives 0 '0a\n' -x get "$db" 00fF
pass_or_fail "half a byte is an error" says hexadecimal -x get "$db" 0
pass_or_fail "values from standard input" from_input
pass_or_fail "scan in order" gives 0 '00ff\t0a\n6170706c65\t726564\n' -x scan --to=62 "$db"
pass_or_fail "scan backwards, keys, limit" gives 0 'binary\n' scan -rk -n 1 "$db"
pass_or_fail "scan from" gives 0 'binary\n' scan -k --from=b "$db"
pass_or_fail "a limit that is no number" says limit scan -n 1x "$db"
pass_or_fail "delete" gives 0 '' delete "$db" binary
pass_or_fail "deleted" gives 1 '' get "$db" binary
pass_or_fail "compact" gives 0 '' compact "$db"
pass_or_fail "checkpoint" gives 0 '' checkpoint "$db" "$work/copy"
pass_or_fail "a checkpoint is a database" gives 0 'red' get "$work/copy" apple
pass_or_fail "a checkpoint is made over nothing" says "not empty" checkpoint "$db" "$work/copy"
pass_or_fail "verify finds a sound database sound" gives 0 '' verify "$db"
pass_or_fail "verify by checksums" gives 0 '' --level=checksums verify "$db"
pass_or_fail "verify finds damage" finds_damage
pass_or_fail "salvage keeps what can be read" salvages
pass_or_fail "salvage of a sound database" gives 0 '' salvage "$db" "$work/whole"
pass_or_fail "its rows are all there" gives 0 'red' get "$work/whole" apple
pass_or_fail "salvage into a database" says "already" salvage "$db" "$work/whole"
pass_or_fail "an unknown level" says level --level=deep verify "$db"
pass_or_fail "stats" has_stats
pass_or_fail "an unknown property is status 1" gives 1 '' property "$db" nonsense
pass_or_fail "an unknown option of the database" says nonsense -o nonsense=1 get "$db" apple
pass_or_fail "options are listed" lists_options
pass_or_fail "a full standard output is an error" full_disk
pass_or_fail "another process holds the database" held_elsewhere
pass_or_fail "an unknown command" says usage frobnicate "$db"
pass_or_fail "an unknown flag" says usage --frobnicate
finish
