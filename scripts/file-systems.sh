#!/usr/bin/env bash
# Power cuts on real file systems: what ext4 in its three modes, XFS and btrfs would leave of a database.
#
#   file-systems.sh BUILD IMAGES SECONDS [NAME...]    at least IMAGES images and SECONDS of each file system;
#                                                     NAME: ext4-ordered ext4-writeback ext4-journal xfs btrfs
#
# Each file system lies on an image, a file on an XFS of its own, and is mounted by a loop device. While
# tests/torture/power_cut.c writes into it, the image is cloned at random moments (FICLONE). Such a clone is what a disk
# may hold after a power cut:
#   - What the file system still has in memory (pages that nobody synced, its journal's open transaction) has not
#     reached the loop device, and is in no clone.
#   - A request that the loop device has completed is in the clone, whether it was flushed or not: FICLONE writes back
#     the image's own pages first, under the lock that writes to the image take. So the loop device keeps nothing
#     that the clone lacks, with or without direct I/O. A disk may keep all it was given: here it always does, and
#     never loses from its cache what no flush covered, which is what simulated power cuts do (campaign::crash).
#   - A request under way is in the clone as far as it had come, as on a disk.
# Each clone is then mounted, so that the file system replays its journal, and the database opened and checked.
#
# WORK=directory for the images (2 GiB at most; in memory, as in /dev/shm, there are more writes and syncs), SEED=n,
# LIBRARY=directory of another libesker.so.0, RECORD=docs/reliability.csv to enter the runs.
# Everything is mounted in a mount namespace of this script, which ends with it: however it ends, nothing stays mounted.
set -euo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1") images_min=$2 seconds_min=$3
shift 3
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(ext4-ordered ext4-writeback ext4-journal xfs btrfs)
per_round=20
keep_max=${KEEP:-3}

cannot() {
  echo "SKIPPED file-systems: $1"
  exit 0
}

[ "$(id -u)" = 0 ] || cannot "only root may mount"
for tool in unshare losetup mkfs.xfs mkfs.ext4; do
  command -v "$tool" >/dev/null || cannot "there is no $tool"
done
if [ -z "${ESKER_NAMESPACE:-}" ]; then
  unshare --mount --propagation private true 2>/dev/null || cannot "no mount namespace can be made"
  ESKER_NAMESPACE=1 exec unshare --mount --propagation private -- \
    scripts/file-systems.sh "$build" "$images_min" "$seconds_min" "${names[@]}"
fi

work=$(mktemp -d -p "${WORK:-${TMPDIR:-/tmp}}")
outer=$work/outer inner=$work/inner image=$work/outer/image state=$work/outer/state
clean_up() {
  local status=$?
  trap - EXIT
  for at in "$inner" "$outer"; do
    ! mountpoint -q "$at" || umount "$at" || umount -l "$at"
  done
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "$outer" "$inner"
truncate -s 2G "$work/disk"
mkfs.xfs -q -m reflink=1 "$work/disk" || cannot "mkfs.xfs does not make a file system with reflinks"
mount -o loop,nodiscard "$work/disk" "$outer" 2>"$work/why" || cannot "no loop mounts: $(cat "$work/why")"

program() { LD_LIBRARY_PATH=${LIBRARY:-$build} timeout --foreground 300 "$build/power_cut" "$@"; }

make_image() { # NAME
  rm -rf "$image" "$state"
  mkdir "$state"
  truncate -s 320M "$image"
  case $1 in
    ext4-*) mkfs.ext4 -q -E nodiscard "$image" ;;
    xfs) mkfs.xfs -q -K "$image" ;;
    btrfs) mkfs.btrfs -q -K "$image" >/dev/null ;;
  esac
}

# Commits every second: then names and sizes reach the disk that nobody synced, too.
mount_image() { # NAME IMAGE
  case $1 in
    ext4-*) mount -t ext4 -o "loop,commit=1,data=${1#ext4-}" "$2" "$inner" ;;
    xfs) mount -t xfs -o loop "$2" "$inner" ;;
    # The kernel remembers the file system that a clone is one of by its first image.
    btrfs) btrfs device scan -u >/dev/null 2>&1 || true; mount -t btrfs -o loop,commit=1 "$2" "$inner" ;;
  esac
}

unmount() {
  local tries
  for tries in 1 2 3 4 5; do umount "$inner" 2>/dev/null && return; sleep 0.2; done
  umount "$inner"
}

# keep NAME SEED CLONE: what check_clone says after a failure is how to see it again.
keep() {
  local to=$build/file-systems/$1-$2-$3
  rm -rf "$to"
  mkdir -p "$to"
  cp --sparse=always "$state/clone-$3" "$to/image"
  cp --sparse=always "$state/story" "$state/cut-$3" "$to/"
  echo "kept in $to: mount a copy of image, then power_cut check MOUNTED $to $3"
}

# check_clone NAME CLONE: mounts a clone of the clone, as mounting changes it. Prints what the program prints.
check_clone() {
  local status=0
  cp --reflink=always "$state/clone-$2" "$work/outer/checked"
  mount_image "$1" "$work/outer/checked" || { echo "the clone cannot be mounted"; return 1; }
  program check "$inner" "$state" "$2" || status=$?
  unmount
  rm "$work/outer/checked"
  return $status
}

# run_round NAME SEED CLONES KEEP: adds to images, bad, there, lost, copies, kills.
run_round() {
  local name=$1 seed=$2 clones=$3 keep=$4 n status=0 line
  program run "$inner" "$image" "$state" "$clones" "$seed" >"$work/said" 2>&1 || status=$?
  unmount
  if [ $status != 0 ]; then
    bad=$((bad + 1))
    echo "$name: seed $seed: the writing program ended with status $status: $(cat "$work/said")"
    if [ "$keep" = 1 ]; then mkdir -p "$build/file-systems" && cp --sparse=always "$image" "$build/file-systems/$name-$seed-run"; fi
    return
  fi
  kills=$((kills + $(cat "$work/said")))
  for ((n = 1; n <= clones; n++)); do
    images=$((images + 1))
    if check_clone "$name" "$n" >"$work/checked" 2>&1; then
      read -r -a line <"$work/checked"
      there=$((there + line[0])) lost=$((lost + line[1])) copies=$((copies + line[2]))
    else
      bad=$((bad + 1))
      echo "$name: seed $seed, clone $n: $(cat "$work/checked")"
      [ "$keep" = 0 ] || [ $bad -gt $keep_max ] || keep "$name" "$seed" "$n"
    fi
  done
}

# Whatever is claimed too much must be noticed, or a clean run says nothing.
planted() {
  local images=0 bad=0 there=0 lost=0 copies=0 kills=0 seed
  for ((seed = 1; seed <= 5 && bad == 0; seed++)); do
    make_image ext4-ordered
    mount_image ext4-ordered "$image" 2>"$work/why" || cannot "ext4-ordered: $(cat "$work/why")"
    ESKER_CLAIM_SYNC=1 run_round ext4-ordered $seed 10 0 >/dev/null
  done
  echo "file systems: BUFFERED writes taken for SYNC ones are missed in $bad of $images images"
  [ $bad -gt 0 ] && [ $images -gt 0 ]
}

enter() { # NAME SEED SECONDS
  ESKER_RECORD=${RECORD:-} scripts/record.sh "power cuts on ${1/-/ }" "$2" "$images" \
    "$there writes there;$lost lost unpromised;$copies checkpoints;$kills kills" "$bad" "$3"
}

one_file_system() { # NAME
  local images=0 bad=0 there=0 lost=0 copies=0 kills=0 rounds=0 seed=${SEED:-$(date +%s)} started=$SECONDS clones left
  local first=$seed
  if ! command -v "mkfs.${1%%-*}" >/dev/null; then echo "SKIPPED file-systems: $1: there is no mkfs.${1%%-*}"; return; fi
  while [ $images -lt "$images_min" ] || [ $((SECONDS - started)) -lt "$seconds_min" ]; do
    left=$((images_min - images))
    clones=$((left > 0 && left < per_round ? left : per_round))
    make_image "$1"
    if ! mount_image "$1" "$image" 2>"$work/why"; then
      [ $rounds = 0 ] || { cat "$work/why"; return 1; }
      echo "SKIPPED file-systems: $1: $(cat "$work/why")"
      return
    fi
    run_round "$1" "$seed" "$clones" 1
    seed=$((seed + 1)) rounds=$((rounds + 1))
    [ $bad -le 20 ] || break
    [ ! -t 1 ] || printf '\r%s: %d images, %d bad; %d s ' "$1" "$images" "$bad" $((SECONDS - started))
  done
  [ ! -t 1 ] || printf '\r'
  echo "file systems: ${1/-/ }: $images images, $bad bad; $((SECONDS - started)) s; $there writes there," \
    "$lost lost that nobody had promised, $copies checkpoints, $kills kills; seed $first"
  enter "$1" "$first" $((SECONDS - started))
  [ $bad = 0 ]
}

failed=0
planted || { echo "file systems: nothing was missed, so nothing is tested"; exit 1; }
for name in "${names[@]}"; do one_file_system "$name" || failed=1; done
exit $failed
