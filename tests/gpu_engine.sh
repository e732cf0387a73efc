#!/bin/sh
# Compares the GPU engine with the host's on simulated sets: the same iterations from the same start, with --gpu and
# without. Fails when the maps' FSC falls below 0.9999 in some shell, or when more than one pose in 200 differs.
# Usage: tests/gpu_engine.sh [folder with relion_refine and gerelion] [particles] [healpix order] [offset range]
#                            [little device memory, such as 2G: the same results are asked for within it]
# With the emulated device, `failures=yes` in the environment also tries what can go wrong with a card.
set -eu
cd "$(dirname "$0")/.."
programs="${1:-target/release}"
particles="${2:-500}"
order="${3:-2}"
range="${4:-5}"
little="${5:-1G}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"$programs/gerelion" simulate --preset mini --snr 0.02 --n "$particles" --o "$work/set"

# A set of two optics groups: another box and pixel size, beam tilt, trefoil, spherical aberration, magnification.
"$programs/gerelion" simulate --preset mini --snr 0.02 --n "$((particles / 2))" --box 48 --angpix 5.2 --seed 7 --o "$work/other"
{
    printf 'data_optics\n\nloop_\n'
    i=0
    for label in OpticsGroupName OpticsGroup Voltage SphericalAberration AmplitudeContrast ImagePixelSize ImageSize \
        ImageDimensionality BeamTiltX BeamTiltY OddZernike EvenZernike MagMat00 MagMat01 MagMat10 MagMat11; do
        i=$((i + 1))
        echo "_rln$label #$i"
    done
    echo 'one 1 300 2 0.1 4 64 2 0 0 [0,0,0,0,0,0] [0,0,0,0,0,0,0,0,0] 1 0 0 1'
    echo 'two 2 300 2 0.1 5.2 48 2 0.3 -0.2 [0,0,0.1,0.05,0,0] [0,0.1,0,0.05,0,0,0.1,0,0] 1.01 0.004 0.002 0.99'
    printf '\ndata_particles\n\nloop_\n'
    sed -n '/^data_particles/,$p' "$work/set.star" | grep '^_rln'
    sed -n '/^data_particles/,$p' "$work/set.star" | grep '@'
    sed -n '/^data_particles/,$p' "$work/other.star" | grep '@' | awk '{ $3 = 2; print }'
} > "$work/groups.star"

# Cards of the runs with --gpu.
cards=0
images="$work/set.star"
run() { # name, further options
    name="$1"; shift
    for engine in cpu gpu; do one "$name" $engine "$@"; done
}
one() { # name, engine, further options
    name="$1"; engine="$2"; shift 2
    mkdir -p "$work/$name-$engine"
    gpu=""
    [ "$engine" = cpu ] || gpu="--gpu $cards"
    start=$(date +%s)
    # shellcheck disable=SC2086
    "$programs/relion_refine" --o "$work/$name-$engine/run" --i "$images" --ref "$work/set_truth1.mrc" \
        --ini_high 40 --ctf --particle_diameter 170 --flatten_solvent --norm --scale --pad 1 --tau2_fudge 4 \
        --healpix_order "$order" --offset_range "$range" --offset_step 2 --random_seed 1 "$@" $gpu \
        > "$work/$name-$engine/log" 2>&1 || { cat "$work/$name-$engine/log"; exit 1; }
    grep WARNING "$work/$name-$engine/log" || true
    echo "$name on $engine: $(($(date +%s) - start)) s"
}
compare() { # name, iteration, engines, share of poses that must be the same
    engines="${3:-cpu gpu}"
    poses="${4:-0.995}"
    echo "== $1, iteration $2, $engines"
    report="$("$programs/gerelion" compare "$work/$1-${engines% *}/run_it00$2" "$work/$1-${engines#* }/run_it00$2")"
    echo "$report"
    for engine in $engines; do
        grep -E "WARNING: (the contrast|the norm correction|the reference is about|half of the particles)" "$work/$1-$engine/log" |
            tr -d '0-9' > "$work/warnings-$engine" || true
    done
    cmp "$work/warnings-${engines% *}" "$work/warnings-${engines#* }" ||
        { echo "tests/gpu_engine.sh: the warnings of $1 differ" >&2; exit 1; }
    echo "$report" | awk -v poses="$poses" -f tests/agree.awk ||
        { echo "tests/gpu_engine.sh: the results of $1 differ" >&2; exit 1; }
}

run global --K 1 --iter 2 --sym C4 --zero_mask
compare global 1
compare global 2
one global little --K 1 --iter 2 --sym C4 --zero_mask --gpu_memory "$little"
compare global 2 "gpu little"
# What goes wrong in the middle of a run can be asked of the emulated device alone (tests/emulated_cuda/src/driver.rs).
if [ "${failures:-no}" = yes ]; then
    EMULATED_FULL=coarse_list:1 one global full --K 1 --iter 1 --sym C4 --zero_mask
    grep -q "Going on with $((particles / 2)) particles at once instead of $particles" "$work/global-full/log" ||
        { echo "tests/gpu_engine.sh: a full device was not noticed" >&2; exit 1; }
    compare global 1 "gpu full"
    if (EMULATED_FAULT=fine_weights:1 one global fault --K 1 --iter 1 --sym C4 --zero_mask) > "$work/fault.log"; then
        echo "tests/gpu_engine.sh: a run with a failed kernel succeeded" >&2
        exit 1
    fi
    grep "ERROR:" "$work/fault.log"
    grep -q "device 0: launching fine_weights failed with CUDA_ERROR_LAUNCH_FAILED" "$work/fault.log" ||
        { cat "$work/fault.log"; echo "tests/gpu_engine.sh: the failed kernel is not named" >&2; exit 1; }
fi
run noise_filled --K 1 --iter 1 --sym C4
compare noise_filled 1
run classes --K 2 --iter 3 --sym C4 --zero_mask --firstiter_cc
compare classes 1
compare classes 3
# Local searches are around the orientations of the file.
images="$work/set_truth.star"
run local --K 1 --iter 1 --sym C4 --zero_mask --sigma_ang 10
compare local 1
images="$work/set.star"
run single_pass --K 1 --iter 1 --sym C4 --zero_mask --oversampling 0
compare single_pass 1
images="$work/groups.star"
run optics_groups --K 1 --iter 1 --sym C4 --zero_mask
compare optics_groups 1
images="$work/set_truth.star"
run skip_align --K 1 --iter 1 --sym C4 --zero_mask --skip_align
compare skip_align 1
run skip_rotate --K 1 --iter 1 --sym C4 --zero_mask --skip_rotate --oversampling 3
compare skip_rotate 1
images="$work/set.star"
# Several cards in one process: the same maps. The emulated device is as many as EMULATED_DEVICES says.
present="${EMULATED_DEVICES:-$(nvidia-smi -L 2>/dev/null | wc -l)}"
for cards in 0,1 0,1,2,3; do
    count=$(echo "$cards" | tr , '\n' | wc -l)
    if [ "$count" -gt "$present" ]; then
        echo "left out: $count cards, there are $present"
        continue
    fi
    one global "cards$count" --K 1 --iter 1 --sym C4 --zero_mask
    compare global 1 "gpu cards$count"
done
echo "tests/gpu_engine.sh: the engines agree"
