#!/bin/sh
# Runs the command lines of the larger reference runs under mpirun with several numbers of ranks and judges what comes out
# by the bounds of DESIGN.md §6 and those of the reference runs' README. Minutes on a machine with 64 cores or a GPU.
# Usage: tests/golden_ranks.sh [--shared FOLDER] [--programs FOLDER] [--ranks "1 2 3 5"] [--keep FOLDER]
#                              [--runs "class3d_k1_noperturb class3d_k2_c4 refine3d_c4 refine3d_bgal_real"] [-- engine options]
# Engine options come last on each command line, in place of the --j, --cpu and --gpu of the reference: --gpu "" or --j 16.
# FOLDER of --shared holds golden/ and data/ (default: GERELION_SHARED, else ../shared); --keep leaves the outputs there.
set -eu
cd "$(dirname "$0")/.."
shared="${GERELION_SHARED:-../shared}"
programs="${CARGO_TARGET_DIR:-target}/release"
numbers="1 2 3 5"
runs="class3d_k1_noperturb class3d_k2_c4 refine3d_c4 refine3d_bgal_real"
keep=""
while [ $# -gt 0 ]; do
    case "$1" in
        --shared) shared="$2"; shift 2 ;;
        --programs) programs="$2"; shift 2 ;;
        --ranks) numbers="$2"; shift 2 ;;
        --runs) runs="$2"; shift 2 ;;
        --keep) keep="$2"; shift 2 ;;
        --) shift; break ;;
        *) echo "tests/golden_ranks.sh: '$1' is no option of this script" >&2; exit 2 ;;
    esac
done
golden="$(cd "$shared/golden" && pwd)"
data="$(cd "$shared" && pwd)/data"
programs="$(cd "$programs" && pwd)"
if [ -n "$keep" ]; then
    mkdir -p "$keep"
    work="$(cd "$keep" && pwd)"
else
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_hwloc_base_binding_policy=none \
    OMPI_MCA_btl_vader_single_copy_mechanism=none NCCL_NVLS_ENABLE=0
failures=0

# The options of a reference run without its program, number of threads and engine.
words() { # folder
    awk '{ for (i = 1; i <= NF; i++) {
        if (!started) { started = $i ~ /^relion_refine/; continue }
        if ($i == "--j" || $i == "--gpu") { i++; continue }
        if ($i != "--cpu") printf "%s ", $i
    } }' "$1/command.txt"
}

judge() { # what, condition of awk over v (the figure), figure
    if [ -n "$3" ] && awk -v v="$3" "BEGIN { exit !($2) }"; then
        echo "   ok   $1: $3 ($2)"
    else
        echo "   BAD  $1: ${3:-missing} ($2)"
        failures=$((failures + 1))
    fi
}

# One iteration against the reference run.
iteration() { # folder of the reference, root of ours, number, least share of poses
    report="$("$programs/gerelion" compare "$1/run_it00$3" "$2_it00$3")"
    pick() { echo "$report" | awk "$1"; }
    for figure in CurrentResolution CurrentImageSize; do
        judge "it $3 $figure" 'v == 0' "$(pick "/$figure/ { print \$3 - \$5; exit }")"
    done
    judge "it $3 same poses" "v >= $4" "$(pick '/pose identical/ { sub(/.*deg\) /, ""); print $0 + 0 }')"
    judge "it $3 AveragePmax" 'v <= 0.002' "$(pick '/AveragePmax/ { d = $3 - $5; print (d < 0 ? -d : d); exit }')"
    judge "it $3 sigma2" 'v <= 0.003' "$(pick '/Sigma2Noise/ { sub(/.*difference /, ""); if ($1 + 0 > m) m = $1 + 0; n++ } END { if (n) print m + 0 }')"
    judge "it $3 tau2" 'v <= 0.03' "$(pick '/Tau2/ { sub(/.*difference /, ""); if ($1 + 0 > m) m = $1 + 0; n++ } END { if (n) print m + 0 }')"
    [ -e "$1/run_it00$3_class001.mrc" ] || return 0
    judge "it $3 smallest FSC" 'v >= 0.999' "$(pick '/min up to the resolution/ { sub(/.*resolution /, ""); print $1 + 0; exit }')"
}

# Share of the particles whose class is that of the truth; classes may be exchanged.
in_their_class() { # truth, data file
    awk 'FNR == 1 { file++ }
        /^_rlnImageName/ { name = substr($2, 2) } /^_rlnClassNumber/ { class = substr($2, 2) }
        /@/ { if (file == 1) truth[$name] = $class; else if ($name in truth) { n++; same += truth[$name] == $class } }
        END { if (n) { s = same / n; print (s > 1 - s ? s : 1 - s) } }' "$1" "$2"
}

final() { # root, truth, condition of the resolution, condition of the mean FSC
    judge "final resolution" "$3" "$(awk '/_rlnCurrentResolution/ { print $2 }' "$1_model.star")"
    judge "mean FSC to the truth" "$4" "$("$programs/gerelion" fsc "$1_class001.mrc" "$2" | awk '{ print $NF }')"
}

for name in $runs; do
    reference="$golden/$name"
    for ranks in $numbers; do
        folder="$work/$name-$ranks"
        mkdir -p "$folder"
        for input in "$golden"/input/* "$data"/bgal/*; do
            [ ! -e "$input" ] || ln -sf "$input" "$folder/"
        done
        options="$(words "$reference")"
        output="$(echo "$options" | awk '{ for (i = 1; i < NF; i++) if ($i == "--o") print $(i + 1) }')"
        mkdir -p "$folder/$(dirname "$output")"
        echo "== $name on $ranks ranks"
        begin=$(date +%s)
        # shellcheck disable=SC2086
        if ! (cd "$folder" && mpirun --oversubscribe -n "$ranks" "$programs/relion_refine_mpi" $options "$@" > log 2>&1); then
            tail -n 20 "$folder/log"
            failures=$((failures + 1))
            continue
        fi
        echo "   took $(($(date +%s) - begin)) s"
        root="$folder/$output"
        case "$name" in
            class3d_k1_noperturb)
                iteration "$reference" "$root" 1 0.995
                for number in 2 3 4; do iteration "$reference" "$root" "$number" 0.985; done ;;
            class3d_k2_c4)
                judge "in their class" 'v >= 0.88' "$(in_their_class "$golden/input/mix_mini_truth.star" "${root}_it010_data.star")" ;;
            refine3d_c4)
                final "$root" "$golden/input/trpv1_mini_truth1.mrc" 'v >= 8 && v <= 9.9' 'v >= 0.765' ;;
            refine3d_bgal_real)
                final "$root" "$data/bgal/ref_5a1a_d2.mrc" 'v <= 7.6' 'v >= 0.82' ;;
            *) judge "bounds of $name" 'v == 1' "" ;;
        esac
    done
done
[ "$failures" -eq 0 ] || { echo "tests/golden_ranks.sh: $failures figures are out of bounds" >&2; exit 1; }
echo "tests/golden_ranks.sh: all within bounds"
