#!/bin/sh
# Sums over several cards by every way there is: one process with all cards, a rank a card, ranks that share a card, each with
# and without NCCL. The maps of the first iteration must be those of one card (FSC of 0.9999 in every shell), and NCCL must
# be used where it can be. Prints the times of the iterations.
# Needs two cards or more, and for the ranks mpirun and a relion_refine_mpi built with MPI.
# Usage: tests/gpu_ranks.sh [folder with relion_refine_mpi and gerelion] [particles] [healpix order] [offset range] [box]
# NCCL is found by the loader (LD_LIBRARY_PATH) or as CUDA's other libraries; TMPDIR is where the work goes.
set -eu
cd "$(dirname "$0")/.."
programs="$(cd "${1:-target/release}" && pwd)"
particles="${2:-4000}"
order="${3:-2}"
range="${4:-5}"
box="${5:-64}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export TMPDIR="$work" NCCL_NVLS_ENABLE=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
    OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none
cards="${EMULATED_DEVICES:-$(nvidia-smi -L | wc -l)}"
[ "$cards" -ge 2 ] || { echo "tests/gpu_ranks.sh: left out, there are $cards cards"; exit 0; }
list="$(seq -s , 0 $((cards - 1)))"
angpix="$(awk -v box="$box" 'BEGIN { print 4 * 64 / box }')"
"$programs/gerelion" simulate --preset mini --snr 0.02 --n "$particles" --box "$box" --angpix "$angpix" --o "$work/set"

run() { # name, ranks, what the log must say of the sums, options
    name="$1"; ranks="$2"; says="$3"; shift 3
    if [ "$ranks" -gt 1 ] && ! command -v mpirun > /dev/null; then
        echo "$name: left out, there is no mpirun"
        return
    fi
    mkdir "$work/$name"
    launch=""
    [ "$ranks" -eq 1 ] || launch="mpirun -n $ranks"
    # shellcheck disable=SC2086
    $launch "$programs/relion_refine_mpi" --o "$work/$name/run" --i "$work/set.star" --ref "$work/set_truth1.mrc" \
        --ini_high 40 --ctf --particle_diameter 170 --flatten_solvent --zero_mask --norm --scale --pad 1 \
        --healpix_order "$order" --offset_range "$range" --offset_step 2 --random_seed 1 --sym C4 $kind "$@" \
        > "$work/$name/log" 2>&1 || { cat "$work/$name/log"; exit 1; }
    echo "== $name"
    grep -E "Sums|Iteration .* took" "$work/$name/log" || true
    grep -q -e "$says" "$work/$name/log" || { echo "$name: the log does not say '$says'" >&2; exit 1; }
    [ "$name" = "$first" ] || compare "$first" "$name"
}

compare() { # name, name
    for half in $halves; do
        report="$("$programs/gerelion" compare --sym C4 $half "$work/$1/run_it001" "$work/$2/run_it001")"
        echo "$report" | grep " min "
        echo "$report" | awk -f tests/agree.awk || { echo "$report"; echo "tests/gpu_ranks.sh: the maps of $2 differ" >&2; exit 1; }
    done
}

all_ways() { # name, options of the kind of run, what the log says of the sums of one process
    first="$1-one"; kind="$2"
    run "$first" 1 "Rank 0" --gpu 0
    run "$1-cards" 1 "Sums over the $cards cards.*: $3" --gpu "$list"
    run "$1-cards-host" 1 "Sums over the $cards cards.*: without NCCL (--no_nccl)" --gpu "$list" --no_nccl
    run "$1-ranks" "$cards" "Sums over the $cards cards.*: NCCL" --gpu ""
    run "$1-ranks-mpi" "$cards" "Sums over the $cards cards.*: without NCCL (--no_nccl)" --gpu "" --no_nccl
    run "$1-shared" 2 "without NCCL (ranks share a card)" --gpu 0
}

halves="--step=7.5"
all_ways class3d "--K 2 --iter 2" NCCL
halves="--half=1 --half=2"
# An even number of cards shares half-sets out, and no sums of one are added.
case $((cards % 2)) in
    0) says="without NCCL (each half-set has cards of its own)" ;;
    *) says=NCCL ;;
esac
all_ways refine3d "--auto_refine --auto_iter_max 1" "$says"
echo "tests/gpu_ranks.sh: all ways give the same maps"
