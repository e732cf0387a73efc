#!/bin/bash
# Class2D from nothing by expectation-maximisation (25 iterations) and by gradient refinement (VDAM, 200 iterations, the
# interface's default) on one simulated set of which the truth is known: seconds and purity of the classes, seed by seed.
#
#   benches/purity.sh                             20,000 × 64 px, K = 20, seeds 1, 2, 3, on the CPU with all cores
#   benches/purity.sh --n 100000 --gpu            on all GPUs
#   benches/purity.sh --n 5000 --seeds "1" --j 2  fewer particles, one seed, two threads
#   benches/purity.sh --programs D                relion_refine and gerelion of folder D in place of target/release
#
# Eight preferred views, 15 % of the images are of a contaminant, 5 % empty. Purity: share of the particles that belong to the
# most frequent view (or kind) of their class. The set and the runs stay in purity/.
set -eu
top="$(cd "$(dirname "$0")/.." && pwd)"
programs="$top/target/release"
n=20000
seeds="1 2 3"
where="--j 0"
while [ $# -gt 0 ]; do
    case "$1" in
        --n) n="$2"; shift ;;
        --seeds) seeds="$2"; shift ;;
        --j) where="--j $2"; shift ;;
        --gpu) where="--gpu" ;;
        --programs) programs="$(cd "$2" && pwd)"; shift ;;
        *) echo "benches/purity.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
mkdir -p purity
cd purity
"$programs/gerelion" simulate --o set --n "$n" --snr 0.3 --views 8 --contaminants 0.15 --empty 0.05 >simulate.log

common="--i set.star --ctf --K 20 --tau2_fudge 2 --particle_diameter 160 --flatten_solvent --zero_mask --center_classes --pad 2
    --psi_step 12 --offset_range 5 --offset_step 2 --norm --scale --oversampling 1"

# Runs a job into folder $1 with the further options; prints its wall and processor seconds.
timed() {
    local folder="$1"
    shift
    mkdir -p "$folder"
    local TIMEFORMAT="%R %U"
    # shellcheck disable=SC2086
    { time "$programs/relion_refine" $common $where "$@" --o "$folder/run" >"$folder/log" 2>&1; } 2>"$folder/time" || {
        tail -n 5 "$folder/log" >&2
        exit 1
    }
    cat "$folder/time"
}

echo "seed  EM s (CPU s)  purity    VDAM s (CPU s)  purity    time VDAM / EM"
for seed in $seeds; do
    em="$(timed "em$seed" --iter 25 --random_seed "$seed")"
    vdam="$(timed "vdam$seed" --grad --iter 200 --class_inactivity_threshold 0.1 --random_seed "$seed")"
    "$programs/gerelion" compare "em$seed/run_it025" "vdam$seed/run_it200" --truth set_truth.star >"compare$seed.log"
    purity() { sed -n "s/^classes of $1 by the truth: purity \([0-9.]*\).*/\1/p" "compare$seed.log"; }
    echo "$seed $em $(purity ref) $vdam $(purity ours)" |
        awk '{ printf "%4d  %6.1f (%.0f)  %s    %6.1f (%.0f)  %s    %.2f\n", $1, $2, $3, $4, $5, $6, $7, $5 / $2 }'
done
