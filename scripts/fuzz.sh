#!/usr/bin/env bash
# Fuzzes the decoders: builds fuzz/ with AddressSanitizer and coverage, runs every target, keeps what reaches new code.
#
#   fuzz.sh SECONDS [TARGET...]     SECONDS for each target; without names all of them
#
# Needs nightly Rust and a C++ compiler; libFuzzer comes with the crate libfuzzer-sys. A crash ends with status 1; the
# input is left in build/fuzz/TARGET/. The corpus in tests/fuzz/corpus/TARGET/ is rewritten: at most 60 inputs that
# together cover what all known ones cover.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift
host=x86_64-unknown-linux-gnu
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}/fuzz")
all=$(sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | tail -n +2)
[ $# -gt 0 ] || set -- $all
files_max=60 bytes_max=16384

# What cargo-fuzz passes, without the need to install it.
flags="-Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares -Cforce-frame-pointers=yes -Ccodegen-units=4"
bins=()
for name; do bins+=(--bin "$name"); done
RUSTFLAGS=$(echo $flags) cargo +nightly build --locked --release --manifest-path fuzz/Cargo.toml --target $host \
  --target-dir "$target_dir" "${bins[@]}"

# With a small quarantine a fuzzer stays below 256 MiB, AddressSanitizer included.
limits="-rss_limit_mb=256 -malloc_limit_mb=256 -timeout=1 -max_len=$bytes_max"
export ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=8:allocator_may_return_null=1:detect_leaks=0

# keep FROM TO CONTROL: copies the inputs of the merge whose control file is CONTROL that cover most, the best first. In it
# the names follow two numbers, then a line per input has all that it covers.
keep() {
  awk -v most=$files_max '
    NR == 1 { files = $1 }
    NR > 2 && NR <= files + 2 { name[NR - 3] = $0 }
    $1 == "FT" { line = $0; sub(/^FT [0-9]+ ?/, "", line); covers[$2] = line }
    END {
      while (chosen < most) {
        best = -1; most_new = 0
        for (file in covers) {
          fresh = 0; n = split(covers[file], parts, " ")
          for (i = 1; i <= n; i++) if (!(parts[i] in seen)) fresh++
          if (fresh > most_new) { most_new = fresh; best = file }
        }
        if (best == -1) break
        n = split(covers[best], parts, " ")
        for (i = 1; i <= n; i++) seen[parts[i]]
        delete covers[best]; print name[best]; chosen++
      }
    }' "$3" >"$3.kept"
  [ -s "$3.kept" ] || return 1
  find "$2" -type f -delete
  while read -r file; do
    cp "$file" "$2/$(sha1sum <"$file" | cut -c 1-16)"
  done <"$3.kept"
}

# merge PROGRAM TO FROM...: what together covers as much as all of FROM. Edges alone decide: with counters and compared
# values it would be thousands of inputs.
merge() {
  local program=$1 to=$2
  shift 2
  rm -rf "$to" "$to.control" && mkdir "$to"
  "$program" -set_cover_merge=1 -use_counters=0 $limits -merge_control_file="$to.control" "$to" "$@" >"$to.log" 2>&1
}

status=0
for name; do
  program=$target_dir/$host/release/$name
  corpus=tests/fuzz/corpus/$name
  work=build/fuzz/$name
  mkdir -p "$corpus" "$work/found"
  begin=$SECONDS crashed=0
  "$program" "$work/found" "$corpus" $limits -len_control=0 -max_total_time="$seconds" -artifact_prefix="$work/" \
    -print_final_stats=1 >"$work/log" 2>&1 || { status=1 crashed=1; echo "$name: CRASH, see $work/log"; }
  # The second merge is over few inputs, and its control file tells which of them cover most.
  merge "$program" "$work/merged" "$corpus" "$work/found" && merge "$program" "$work/again" "$work/merged" &&
    keep "$work/merged" "$corpus" "$work/again.control" || { status=1; echo "$name: no merge, see $work"; }
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
  covered=$(sed -n 's/.* cov: \([0-9]*\) ft: \([0-9]*\) .*/\1 edges, \2 features/p' "$work/log" | tail -n 1)
  kept=$(ls "$corpus" | wc -l)
  echo "$name: ${runs:-?} executions, ${covered:-no coverage}, $kept inputs kept"
  # Cases are executions. A run that crashed at once has no count.
  scripts/record.sh "fuzzing $name" 0 "${runs:-0}" "" "$crashed" $((SECONDS - begin))
done
exit $status
