#!/usr/bin/env python3
"""Tells by room what of src/ the tests ran, from LCOV, and writes down the missed lines that matter most.

    coverage.py LCOV MISSED

Unit tests in the sources and the simulated kernel are not counted: neither is shipped. A line counts as run when any
build of it ran; a branch is one outcome of one condition.
"""

import collections
import pathlib
import sys

# Rooms and files of which every missed line is listed.
LISTED = ("record/", "wal/", "version/manifest.rs", "version/edit.rs", "db/open.rs", "ffi/")


def listed(path):
    return path.startswith(LISTED) or "format" in path


def shipped_lines(path):
    """Number of the lines before the unit tests."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.strip() == "#[cfg(test)]" and lines[number + 1].startswith("mod "):
            return number, lines
    return len(lines), lines


def read(name):
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    branches = collections.defaultdict(lambda: collections.defaultdict(int))
    path = ""
    for row in open(name):
        tag, _, rest = row.rstrip("\n").partition(":")
        if tag == "SF":
            path = rest
        elif tag == "DA":
            line, count = rest.split(",")[:2]
            lines[path][int(line)] = max(lines[path][int(line)], int(count))
        elif tag == "BRDA":
            line, block, branch, count = rest.split(",")
            place = (int(line), block, branch)
            branches[path][place] = max(branches[path][place], 0 if count == "-" else int(count))
    return lines, branches


def main():
    lines, branches = read(sys.argv[1])
    source = pathlib.Path("src").resolve()
    rooms = collections.defaultdict(lambda: [0, 0, 0, 0])
    with open(sys.argv[2], "w") as missed:
        for name in sorted(lines):
            path = pathlib.Path(name)
            if not path.is_relative_to(source) or "/env/sim" in name:
                continue
            short = path.relative_to(source).as_posix()
            end, text = shipped_lines(path)
            counts = {line: count for line, count in lines[name].items() if line <= end}
            ways = [count for place, count in branches[name].items() if place[0] <= end]
            sums = rooms[short.split("/")[0].removesuffix(".rs")]
            for place, number in enumerate(
                (sum(c > 0 for c in counts.values()), len(counts), sum(c > 0 for c in ways), len(ways))
            ):
                sums[place] += number
            if listed(short):
                for line in sorted(line for line, count in counts.items() if count == 0):
                    missed.write(f"src/{short}:{line}: {text[line - 1].strip()}\n")
    total = [sum(column) for column in zip(*rooms.values())]
    print(f"{'room':<14}{'lines':>14}{'':>8}{'branches':>14}")
    for room, (ran, all_lines, taken, all_ways) in [*sorted(rooms.items()), ("all", total)]:
        share = f"{100 * ran / all_lines:.1f} %" if all_lines else ""
        ways = f"{100 * taken / all_ways:.1f} %" if all_ways else "-"
        print(f"{room:<14}{f'{ran}/{all_lines}':>14}{share:>8}{f'{taken}/{all_ways}':>14}{ways:>8}")


if __name__ == "__main__":
    main()
