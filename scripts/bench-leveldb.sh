#!/usr/bin/env bash
# One binary with either library underneath, in turns; prints a table of medians and ratios.
#
#   bench-leveldb.sh PROGRAM OURS THEIRS DIRECTORY N ROUNDS
#
# Fails when the two find different numbers of keys: then they did not do the same work.
set -euo pipefail
program=$(realpath "$1") ours=$2 theirs=$3 directory=$4 n=$5 rounds=$6
export LC_ALL=C
mkdir -p "$directory"
work=$(mktemp -d -p "$directory")
trap 'rm -rf "$work"' EXIT

for round in $(seq "$rounds"); do
  for side in ours theirs; do
    LD_LIBRARY_PATH=${!side} "$program" "$work/db" "$n" | sed "s/^/$side /" | tee -a "$work/rows" | sed "s/^/round $round: /" >&2
    rm -rf "$work/db"
  done
done

awk '{if (!(($2) in found)) found[$2] = $4; else if (found[$2] != $4) {print $2 ": the two found different numbers of keys" > "/dev/stderr"; bad = 1}} END {exit bad}' "$work/rows"
echo "| row | LevelDB, thousand/s | esker under LevelDB's interface, thousand/s | ratio of medians | ratios of the rounds |"
echo "|---|---|---|---|---|"
for row in fillrandom readrandom readseq readseq-again overwrite; do
  paste -d ' ' <(awk -v row=$row '$1 == "theirs" && $2 == row {print $3}' "$work/rows") \
    <(awk -v row=$row '$1 == "ours" && $2 == row {print $3}' "$work/rows") |
    awk -v row=$row '
      function median(values, count,   i, j, swap) {
        for (i = 1; i <= count; i++) for (j = i + 1; j <= count; j++)
          if (values[j] < values[i]) { swap = values[i]; values[i] = values[j]; values[j] = swap }
        return count % 2 ? values[(count + 1) / 2] : (values[count / 2] + values[count / 2 + 1]) / 2
      }
      { theirs[NR] = $1; ours[NR] = $2; ratio = $1 / $2
        if (NR == 1 || ratio < low) low = ratio
        if (NR == 1 || ratio > high) high = ratio }
      END { t = median(theirs, NR); o = median(ours, NR)
        printf "| %s | %.0f | %.0f | %.2f | %.2f–%.2f |\n", row, 1e6 / t, 1e6 / o, t / o, low, high }'
done
