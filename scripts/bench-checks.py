#!/usr/bin/env python3
"""What the checks cost that are always on: one benchmark program over two builds of the library, in turns.

    bench-checks.py PROGRAM CHECKED UNCHECKED DIRECTORY N PAIRS

CHECKED and UNCHECKED are directories with a libesker.so.0. Prints for each row the ratio of times, checked to unchecked: the
geometric mean over the pairs, and its 95 % interval (Student's t over the logarithms). Fails when the upper end of
any is above 1.05.
"""
import csv
import math
import os
import shutil
import statistics
import subprocess
import sys

LIMIT = 1.05
# The rows by which data is written, read from memory, read from disk, merged and recovered.
ROWS = "fillrandom,overwrite,readrandom,readseq,seekrandom,compact,reopen"
# The cache is far too small for the set, so that reads verify blocks all the time, and as large as it is by default.
CACHES = [("cached", 512), ("from disk", 8)]
# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
       2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042]


def run(program, library, directory, n, cache):
    """Nanoseconds per operation of every row, and what each found."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    table = os.path.join(directory, "rows.csv")
    arguments = [directory + "/db", f"n={n}", f"reads={n // 2}", "rounds=1", "engines=esker", "buffer_mib=16", f"cache_mib={cache}",
                 f"rows={ROWS}", f"csv={table}"]
    environment = dict(os.environ, LD_LIBRARY_PATH=library)
    subprocess.run([program, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    with open(table, newline="", encoding="ascii") as file:
        rows = {row["row"]: (float(row["ns_per_op"]), row["found"]) for row in csv.DictReader(file)}
    shutil.rmtree(directory)
    return rows


def main():
    program, checked, unchecked, directory, n, pairs = sys.argv[1:]
    n, pairs = int(n), int(pairs)
    if not 2 <= pairs <= len(T95):
        sys.exit(f"pairs: from 2 to {len(T95)}")
    logarithms = {}
    for pair in range(pairs):
        for name, cache in CACHES:
            # Either begins as often as the other.
            order = [checked, unchecked] if pair % 2 == 0 else [unchecked, checked]
            times = {library: run(program, library, directory, n, cache) for library in order}
            for row, (ns, found) in times[checked].items():
                other, other_found = times[unchecked][row]
                if found != other_found:
                    sys.exit(f"{row}: {found} and {other_found} keys were found: the two did not do the same work")
                logarithms.setdefault((row, name), []).append(math.log(ns / other))
        print(f"pair {pair + 1} of {pairs}", file=sys.stderr)
    worst = 0
    print("| row | blocks | checked / unchecked | 95 % interval |\n|---|---|---|---|")
    for (row, name), values in logarithms.items():
        mean, half = statistics.mean(values), T95[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))
        low, high = math.exp(mean - half), math.exp(mean + half)
        worst = max(worst, high)
        print(f"| {row} | {name} | {math.exp(mean):.3f} | {low:.3f}–{high:.3f} |")
    print(f"\nUpper ends: at most {worst:.3f}; the limit is {LIMIT}.")
    sys.exit(worst > LIMIT)


main()
