#!/usr/bin/env bash
# What of the sources the tests run: the Rust suite and the C tests on instrumented builds.
#
#   coverage.sh BUILD_DIRECTORY [FILTER...]     FILTER: names of Rust tests; all by default
#
# Needs nightly Rust (for branches) with llvm-tools: rustup component add llvm-tools --toolchain nightly.
# Leaves BUILD/coverage/summary.txt, a table by room, and BUILD/coverage/missed.txt, every missed line of what decodes,
# recovers and faces C. Left out are tests that look at sources or at the shipped libraries, and the campaigns: what
# they run depends on luck and time.
set -euo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1") target=${CARGO_TARGET_DIR:-target}/coverage
shift
out=$build/coverage
tools=$(rustc +nightly --print sysroot)/lib/rustlib/$(rustc +nightly -vV | sed -n 's/^host: //p')/bin
[ -x "$tools/llvm-cov" ] || { echo "coverage.sh: no llvm-tools for nightly" >&2; exit 1; }
rm -rf "$out"
mkdir -p "$out/profiles"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/testing.sh
seconds_max=900

export RUSTFLAGS="-Cinstrument-coverage -Zcoverage-options=branch"
# Build scripts are instrumented too; nobody asks for theirs.
export LLVM_PROFILE_FILE=$work/unused-%p.profraw
cargo +nightly test --locked --features internals --lib --test suite --no-run --target-dir "$target" 2>&1 |
  tee "$work/built" | grep -v '^ *Compiling'
mapfile -t programs < <(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$work/built")
# Built for the suite, and as good for the C tests.
ln -sf "$(realpath "$target/debug/deps/libesker.so")" "$out/libesker.so"
ln -sf libesker.so "$out/libesker.so.0"

# One file for each program, into which its processes add what they did.
export LLVM_PROFILE_FILE=$out/profiles/%4m.profraw
left_out=(--skip layering:: --skip tidy:: --skip header:: --skip link:: --skip campaign:: --skip model::)
for program in "${programs[@]}"; do
  pass_or_fail "$(basename "$program")" "$program" "${left_out[@]}" "$@"
done
c_program() { # SOURCE
  gcc -std=c99 -g -O1 -Iinclude "$1" -o "$work/program" -L"$out" -lesker -lpthread -Wl,-rpath,"$out" && run "$work/program"
}
for source in tests/c/*.c examples-c/[!u]*.c; do pass_or_fail "$source" c_program "$source"; done

"$tools/llvm-profdata" merge --sparse --failure-mode=all "$out"/profiles/*.profraw -o "$out/merged.profdata"
objects=(--object "$out/libesker.so")
for program in "${programs[@]}"; do objects+=(--object "$program"); done
"$tools/llvm-cov" export --format=lcov --instr-profile="$out/merged.profdata" "${objects[@]}" \
  --ignore-filename-regex='/(rustc|\.cargo|tests|target)/' >"$out/lcov.info"
scripts/coverage.py "$out/lcov.info" "$out/missed.txt" | tee "$out/summary.txt"
finish
