#!/bin/sh
# On a real card: auto-refinement of a simulated twin within several limits of device memory, and one iteration of a large
# box within --gpu_memory 24G and without, from the same seed. Every run must end, with the maps of the run without a limit.
# Prints a table; fails when a run that was begun did not end, or when maps differ.
# Usage: tests/gpu_memory.sh [folder with relion_refine and gerelion] [particles] [box] [limits] [large box] [its particles]
#        box 0 or large box 0 leaves that part out
set -eu
cd "$(dirname "$0")/.."
programs="$(cd "${1:-target/release}" && pwd)"
particles="${2:-1000}"
box="${3:-256}"
limits="${4:-2273M 1G 2G 3G 4G 6G 8G}"
large="${5:-512}"
large_particles="${6:-200}"
# Mean FSC of two maps up to Nyquist that must be reached.
least=0.999
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
failed=no
row() { printf '%-10s %-8s %-10s %8s  %s\n' "$@"; }

# The field of view of the phantom, 256 Å, whatever the box.
simulate() { # name, box, particles
    angpix="$(awk -v box="$2" 'BEGIN { print 320 / box }')"
    "$programs/gerelion" simulate --preset mini --box "$2" --angpix "$angpix" --n "$3" --snr 0.05 --seed 1 --o "$work/$1" \
        > "$work/$1.log"
}

refine() { # name, limit or none, set, further options
    name="$1"; limit="$2"; set="$3"; shift 3
    memory="--gpu_memory $limit"
    [ "$limit" != none ] || memory=""
    start=$(date +%s)
    status=0
    # shellcheck disable=SC2086
    "$programs/relion_refine" --o "$work/$name" --i "$work/$set.star" --ref "$work/${set}_truth1.mrc" --ini_high 40 --ctf \
        --particle_diameter 170 --flatten_solvent --zero_mask --norm --sym C4 --offset_range 3 --offset_step 1.5 \
        --random_seed 1 --gpu 0 $memory "$@" > "$work/$name.log" 2>&1 || status=$?
    seconds=$(($(date +%s) - start))
}

# What the console says of steps that went to the host.
on_host() { grep -c 'on the host' "$work/$1.log" || true; }

same() { # map, map
    "$programs/gerelion" fsc "$1" "$2" > "$work/fsc.log"
    sed -n 's/.*mean \([0-9.]*\).*/\1/p' "$work/fsc.log" | head -1
}

judge() { # what, limit, name, map, map of the run without a limit
    if [ "$status" -ne 0 ]; then
        if grep -q 'GR-0507' "$work/$3.log" && ! grep -q 'Expectation iteration' "$work/$3.log"; then
            row "$1" "$2" refused "${seconds}s" "before the first iteration"
        else
            row "$1" "$2" FAILED "${seconds}s" "$(grep -m1 'GR-' "$work/$3.log" || tail -1 "$work/$3.log")"
            failed=yes
        fi
        return
    fi
    mean="$(same "$4" "$5")"
    verdict=ended
    if ! awk -v a="${mean:-0}" -v b="$least" 'BEGIN { exit !(a >= b) }'; then
        verdict=DIFFERS
        failed=yes
    fi
    row "$1" "$2" "$verdict" "${seconds}s" "FSC to the run without a limit ${mean:-?}, lines about the host: $(on_host "$3")"
}

row run limit end time result
if [ "$box" != 0 ]; then
    simulate twin "$box" "$particles"
    auto="--auto_refine --split_random_halves --firstiter_cc --healpix_order 2 --auto_local_healpix_order 3
        --low_resol_join_halves 40"
    # shellcheck disable=SC2086
    refine free none twin $auto
    judge "box $box" none free "$work/free_class001.mrc" "$work/free_class001.mrc"
    for limit in $limits; do
        # shellcheck disable=SC2086
        refine "limit$limit" "$limit" twin $auto
        judge "box $box" "$limit" "limit$limit" "$work/limit${limit}_class001.mrc" "$work/free_class001.mrc"
    done
fi
if [ "$large" != 0 ]; then
    simulate large "$large" "$large_particles"
    one="--K 1 --iter 1 --healpix_order 1 --tau2_fudge 4"
    # shellcheck disable=SC2086
    refine large_free none large $one
    judge "box $large" none large_free "$work/large_free_it001_class001.mrc" "$work/large_free_it001_class001.mrc"
    # shellcheck disable=SC2086
    refine large_24G 24G large $one
    judge "box $large" 24G large_24G "$work/large_24G_it001_class001.mrc" "$work/large_free_it001_class001.mrc"
fi
[ "$failed" = no ] || { echo "tests/gpu_memory.sh: runs failed or differ" >&2; exit 1; }
echo "tests/gpu_memory.sh: every run that was begun ended with the same map"
