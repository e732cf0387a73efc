#!/bin/bash
# Times reconstruction and local resolution of this program and of RELION side by side: processor seconds (user + system) and wall
# seconds of every run. Both programs take turns.
#
#   bash benches/maps.sh [FOLDER OF THE PROGRAMS [REPETITIONS [THREADS]]]
#
# RELION=FOLDER names the folder of RELION's programs (default /usr/bin, where Debian's package relion has version 3.1.3). The
# machine must be quiet. RELION 3.1 runs ten rounds of density compensation unless --skip_gridding is given; this program, as
# RELION 5, runs them only with --dont_skip_gridding. Every map is therefore made in both ways by both programs.
set -eu
PROGRAMS=$(realpath "${1:-target/release}")
REPETITIONS=${2:-3}
THREADS=${3:-2}
RELION=${RELION:-/usr/bin}
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"
TIMEFORMAT='%U %S %R'

# timed NAME COMMAND...: prints processor and wall seconds of a command, which must succeed.
timed() {
    local name=$1
    shift
    local seconds
    if ! seconds=$({ time "$@" >text.log 2>&1; } 2>&1); then
        tail -n 5 text.log
        echo "failed: $*" >&2
        exit 1
    fi
    echo "$seconds" | awk -v name="$name" '{ printf "%-62s %8.2f %8.2f\n", name, $1 + $2, $3 }'
}

# in_turn NAME "RELION'S COMMAND" "OUR COMMAND": both, several times.
in_turn() {
    for _ in $(seq "$REPETITIONS"); do
        timed "$1: RELION" $RELION/$2
        timed "$1: this program" $PROGRAMS/$3
    done
}

echo "load average at the start: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) cores, $THREADS threads of this program"
"$PROGRAMS/gerelion" simulate --preset mini --n 2000 --box 128 --angpix 1.6 --snr 0.1 --sym C4 --o p >/dev/null
"$PROGRAMS/gerelion" simulate --preset mini --n 1000 --box 64 --angpix 4 --snr 0.3 --o q >/dev/null
for half in 1 2; do
    awk -v half="$half" '!/@/ || ++n % 2 == half % 2' q_truth.star >"q_half$half.star"
    "$PROGRAMS/gerelion" reconstruct --i "q_half$half.star" --ctf --o "q_half${half}_class001_unfil.mrc" >/dev/null
done
"$PROGRAMS/gerelion" mask --i q_truth1.mrc --ini_threshold 5 \
    --extend_inimask 3 --width_soft_edge 5 --o mask.mrc >/dev/null

printf '%-62s %8s %8s\n' "" "CPU s" "wall s"
OURS="--j $THREADS"
for case in "C1:--ctf" "C4:--ctf --sym C4" "Ewald:--ewald --mask_diameter 150"; do
    words=${case#*:}
    in_turn "${case%%:*}, without gridding" \
        "relion_reconstruct --i p_truth.star --o theirs.mrc $words --skip_gridding" \
        "relion_reconstruct --i p_truth.star --o ours.mrc $words $OURS"
    in_turn "${case%%:*}, with ten rounds of gridding (RELION 3.1 as called)" \
        "relion_reconstruct --i p_truth.star --o theirs.mrc $words" \
        "relion_reconstruct --i p_truth.star --o ours.mrc $words --dont_skip_gridding $OURS"
done
# RELION puts a histogram into a folder of the name of its other files, and fails without it.
mkdir theirs
LOCAL="--i q_half1_class001_unfil.mrc --locres --locres_sampling 16 --adhoc_bfac -100 --mask mask.mrc --angpix 4"
in_turn "local resolution" \
    "relion_postprocess $LOCAL --o theirs" \
    "relion_postprocess $LOCAL --o ours $OURS"
