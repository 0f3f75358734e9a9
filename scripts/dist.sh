#!/usr/bin/env bash
# Writes esker-VERSION.tar.gz: the committed files, every crate they need, and the setting that makes cargo use those.
#
#   dist.sh DIRECTORY VERSION
#
# The same commit gives the same bytes: names sorted, one owner, every time the commit's. Rivals of the benchmarks
# are not in it; `make bench` needs a clone.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath "$1") name=esker-$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

git diff --quiet HEAD -- || echo "dist.sh: what is not committed stays out" >&2
commit_time=$(git log -1 --format=%ct)
git archive --prefix="$name/" HEAD | tar -x -C "$work"

# Written here, since cargo prints no setting with --quiet.
(cd "$work/$name" && cargo vendor --quiet --locked --versioned-dirs vendor >/dev/null && mkdir .cargo)
cat >"$work/$name/.cargo/config.toml" <<'CONFIG'
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
CONFIG
# Modes as git knows them, whatever the umask and the registry's archives say.
chmod -R u=rwX,go=rX "$work/$name"
tar -c -C "$work" --sort=name --mtime="@$commit_time" --owner=0 --group=0 --numeric-owner --format=gnu "$name" |
  gzip -9 -n >"$work/out"
mv "$work/out" "$out/$name.tar.gz"
