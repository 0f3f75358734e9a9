# Sourced by the test scripts: counts outcomes, and skips what a missing tool would run.
# Needs bash; the sourcing script has set `work` to a directory that it removes at its end.

passed=0 failed=0
: "${seconds_max:=300}"

# pass_or_fail NAME COMMAND...: runs the command, counts the outcome, shows the output of a failure.
pass_or_fail() {
  local title=$1 status=0
  shift
  "$@" >"$work/output" 2>&1 || status=$?
  if [ $status = 0 ]; then
    passed=$((passed + 1))
    echo "ok      $title"
  else
    failed=$((failed + 1))
    echo "FAILED  $title (status $status)"
    tail -n 60 "$work/output" | cut -c 1-300 | sed 's/^/        /'
  fi
}

# skip NAME TOOL: a failure when ESKER_ALL=1.
skip() {
  if [ "${ESKER_ALL:-0}" = 1 ]; then
    pass_or_fail "$1" sh -c "echo 'SKIPPED $1: $2, which ESKER_ALL=1 forbids'; exit 1"
  else
    echo "SKIPPED $1: $2"
  fi
}

# run PROGRAM [ARGUMENT...]: in a fresh directory, with a time limit.
run() {
  local program=$1 directory
  shift
  directory=$(mktemp -d -p "$work") || return 1
  timeout "$seconds_max" "$program" "$directory" "$@"
}

# run_example SOURCE PROGRAM: what an example prints must be what its closing comment says it prints.
run_example() {
  case $1 in
    */unicode.c) run "$2" examples-c/data/unicode-names.tsv; return ;;
  esac
  run "$2" >"$work/printed" || { cat "$work/printed"; return 1; }
  sed -n '/^\/\* Prints:$/,$ {s/^ \* //p}' "$1" >"$work/expected"
  diff "$work/expected" "$work/printed"
}

# finish: the last line of a test script, and its status.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}
