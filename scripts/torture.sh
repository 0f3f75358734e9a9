#!/usr/bin/env bash
# Kills a writing process again and again, and enters what came of it into the table that ESKER_RECORD names, if any.
#
#   torture.sh PROGRAM ROUNDS SEED
set -euo pipefail
cd "$(dirname "$0")/.."

program=$1 rounds=$2 seed=$3
work=$(mktemp -d)
begin=$SECONDS status=0
"$program" "$work/db" "$rounds" "$seed" | tee "$work/printed" || status=$?
# number TEXT: the number behind it in what was printed.
number() { sed -n "s/.*$1 \([0-9]*\).*/\1/p" "$work/printed"; }
counts="$(number acknowledged) acknowledged writes;$(number opens) opens;$(number 'checkpoints checked') checkpoints"
scripts/record.sh "kill torture" "$seed" "$(number rounds)" "$counts" $((status != 0)) $((SECONDS - begin))
if [ $status = 0 ]; then rm -rf "$work"; else echo "the database is left in $work/db"; fi
exit $status
