#!/bin/sh
# Compares the GPU engine with the host's on a simulated set: the same iterations from the same start, with --gpu and without.
# Usage: tests/gpu_engine.sh [folder with relion_refine and gerelion, default target/release] [particles, default 500]
set -eu
cd "$(dirname "$0")/.."
programs="${1:-target/release}"
particles="${2:-500}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"$programs/gerelion" simulate --preset mini --n "$particles" --o "$work/set"
run() { # name, further options
    name="$1"; shift
    for engine in cpu gpu; do
        mkdir -p "$work/$name-$engine"
        gpu=""
        [ $engine = gpu ] && gpu="--gpu 0"
        start=$(date +%s.%N)
        # shellcheck disable=SC2086
        "$programs/relion_refine" --o "$work/$name-$engine/run" --i "$work/set.star" --ref "$work/set_truth1.mrc" \
            --ini_high 30 --ctf --particle_diameter 170 --flatten_solvent --norm --scale --pad 2 --tau2_fudge 4 \
            --oversampling 1 --healpix_order 2 --offset_range 5 --offset_step 2 --random_seed 1 "$@" $gpu \
            > "$work/$name-$engine/log" 2>&1 || { cat "$work/$name-$engine/log"; exit 1; }
        echo "$name on $engine: $(awk "BEGIN { print $(date +%s.%N) - $start }") s"
    done
}
compare() { # name, iteration
    echo "== $1, iteration $2"
    "$programs/gerelion" compare "$work/$1-cpu/run_it00$2" "$work/$1-gpu/run_it00$2" --sym C4
}

run global --K 1 --iter 2 --sym C4 --zero_mask
compare global 1
compare global 2
run noise_filled --K 1 --iter 1 --sym C4
compare noise_filled 1
run classes --K 2 --iter 2 --sym C4 --zero_mask --firstiter_cc
compare classes 1
compare classes 2
run local --K 1 --iter 1 --sym C4 --zero_mask --sigma_ang 10
compare local 1
run single_pass --K 1 --iter 1 --sym C4 --zero_mask --oversampling 0
compare single_pass 1
