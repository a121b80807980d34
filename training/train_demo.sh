#!/bin/bash
# The shipped weights from the beginning, in five legs: bash training/train_demo.sh NUCLEI.npz
set -euo pipefail

nuclei=${1:?"give the archive of real nuclei (NPZ)"}
runs=training/runs
log=training/demo_train.csv

# each leg goes on from the weights of the one before
train() {
    python training/train.py --nuclei "$nuclei" --cache training/cache --run "$runs/$1" --weights "$runs/$1.npz" "${@:2}"
}
milder=(--peak_rate 0.001 --crowded --strange_share 0.4)
train leg1
train leg2 --start "$runs/leg1.npz" --steps 1300 "${milder[@]}"
train leg3 --start "$runs/leg2.npz" --steps 1800 --widefield "${milder[@]}"
train leg4 --start "$runs/leg3.npz" --steps 3000 --widefield "${milder[@]}" --peak_rate 0.0015
train leg5 --start "$runs/leg4.npz" --steps 5500 --widefield "${milder[@]}" --peak_rate 0.0015
cp "$runs/leg5.npz" training/demo.weights.npz

# their logs as one, steps and seconds counted on
awk -F, -v OFS=, 'FNR == 1 { if (NR == 1) print $0, "leg"; step += last_step; seconds += last_seconds; leg += 1; next }
    { last_step = $1; last_seconds = $2; $1 += step; $2 += seconds; print $0, leg }' "$runs"/leg[12345]/train.csv > "$log"
