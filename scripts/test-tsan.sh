#!/usr/bin/env bash
# Runs what works in threads under ThreadSanitizer: the standard library is instrumented too, so there is nothing to
# suppress.
#
#   test-tsan.sh SECONDS     SECONDS for each of the two campaigns of several threads; the other tests once
#
# Needs nightly Rust with its component rust-src.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: test-tsan.sh SECONDS}
target=x86_64-unknown-linux-gnu
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}/tsan")

build=(cargo +nightly test -Zbuild-std --locked --target "$target" --target-dir "$target_dir" --features internals --test suite)
suite() { RUSTFLAGS="-Zsanitizer=thread --cfg esker_tsan" "${build[@]}" -- --test-threads=1 "$@"; }

export TSAN_OPTIONS=halt_on_error=0:exitcode=66
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if suite race:: >"$log" 2>&1 || ! grep -q 'WARNING: ThreadSanitizer: data race' "$log"; then
  cat "$log"
  echo "ThreadSanitizer does not report the planted race"
  exit 1
fi
echo "the planted race is reported"

begin=$SECONDS status=0
{
  # Memtables against each other, background jobs side by side, stalls, group commit, resuming, statistics, copies.
  suite memtable:: parallel:: stalls:: group:: recovery::resume metrics:: rows:: checkpoint:: readonly:: api:: || status=$?
  # What these do here is no figure of theirs.
  (unset ESKER_RECORD; ESKER_TIME=$seconds suite --nocapture campaign::history campaign::banks) || status=$?
} > >(tee "$log") 2>&1
wait $!

tests=$(sed -n 's/^test result: .* \([0-9]*\) passed;.*/\1/p' "$log" | awk '{sum += $1} END {print sum + 0}')
reports=$(grep -c 'WARNING: ThreadSanitizer' "$log" || true)
scripts/record.sh "tests in threads under ThreadSanitizer" 0 "$tests" "" $((reports > 0 ? reports : status != 0)) $((SECONDS - begin))
echo "$tests tests, $reports reports"
exit $status
