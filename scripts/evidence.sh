#!/bin/sh
# evidence.sh [FOLDER-OF-PROGRAMS]: writes docs/evidence.md: what the results of this program were compared with, with the figures.
# Every figure comes from a command of this script, none is typed. RELION's reference runs are those of tests/data, and those of
# ../shared/golden where they are at hand. MPI is compared where mpirun is found and the programs are built with it.
# GPU=LIST (as for --gpu; empty for all cards) compares cards as well. Where the cards are in another machine:
#   evidence.sh --on-cards FOLDER [FOLDER-OF-PROGRAMS]   there: makes the run that is compared, with GPU, and keeps it in FOLDER
#   CARDS=FOLDER evidence.sh                             here: takes the cards' run from FOLDER
set -eu
cards_alone=""
if [ "${1:-}" = --on-cards ]; then
    mkdir -p "$2"
    cards_alone="$(cd "$2" && pwd)"
    shift 2
fi
[ -z "${CARDS:-}" ] || CARDS="$(cd "$CARDS" && pwd)"
cd "$(dirname "$0")/.."
PATH="$(cd "${1:-target/release}" && pwd):$PATH"
export PATH
fixture="$PWD/tests/data/fixture"
golden="$PWD/../shared/golden"
out="$PWD/docs/evidence.md"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
page="$work/page.md"

# run REFERENCE NAME [OPTIONS]: runs the command of a reference run in $work/NAME, with further options.
run() {
    reference="$1" folder="$work/$2"
    shift 2
    words="$(sed 's/^.*relion_refine[_a-z]* //; s/--j [0-9]*//; s/--gpu [0-9]*//' "$reference/command.txt")"
    mkdir -p "$folder"
    for input in "$(dirname "$reference")"/*.star "$(dirname "$reference")"/*.mrc* "$(dirname "$reference")"/input/* ${inputs:-}; do
        [ ! -f "$input" ] || ln -sf "$input" "$folder/"
    done
    root="$(echo "$words" | sed 's/.*--o \([^ ]*\).*/\1/')"
    mkdir -p "$folder/$(dirname "$root")"
    # shellcheck disable=SC2086 # words of a command line
    (cd "$folder" && ${launch:-} relion_refine $words --json_log log.jsonl "$@" >run.log 2>&1) || { cat "$folder/run.log" >&2; return 1; }
    root="$folder/$root"
}

# The cards of this machine, as "2 NVIDIA H200".
names_of_cards() { nvidia-smi --query-gpu=name --format=csv,noheader | sort | uniq -c | sed 's/^ *//' | paste -sd, -; }

if [ -n "$cards_alone" ]; then
    run "$fixture/class3d_c4" cards --gpu "${GPU:-}"
    cp "${root}_it003"_*.star "${root}_it003"_*.mrc "$cards_alone/"
    names_of_cards >"$cards_alone/cards.txt"
    exit 0
fi

heads='| compared | resolution of the first, the second, Å | same poses | largest difference of σ² up to the resolution | lowest FSC of the maps up to the resolution | relative L2 of the maps |
|---|---|---|---|---|---|'

# row LABEL FIRST SECOND SYMMETRY [OPTIONS]: compares one iteration of two runs.
row() {
    label="$1" first="$2" second="$3" symmetry="$4"
    shift 4
    gerelion compare "$first" "$second" --sym "$symmetry" "$@" >"$work/compared" || { cat "$work/compared" >&2; exit 1; }
    awk -v label="$label" '
        $1 == "CurrentResolution" { resolution = sprintf("%.2f, %.2f", $3, $5) }
        /Sigma2Noise/ && /relative difference/ { s = $0; sub(/.*relative difference /, "", s); sub(/ .*/, "", s); if (s + 0 >= sigma + 0) sigma = s }
        /pose identical/ { p = $0; sub(/.*identical \(<0.01 deg\) /, "", p); sub(/,.*/, "", p); poses = sprintf("%.2f %%", 100 * p) }
        /relative L2/ {
            l = $0; sub(/.*relative L2 /, "", l); sub(/,.*/, "", l); if (l + 0 >= l2 + 0) l2 = l
            f = $0; sub(/.*up to the resolution /, "", f); if (fsc == "" || f < fsc) fsc = f
        }
        END { print "| " label " | " resolution " | " poses " | " sigma " | " fsc " | " l2 " |" }' "$work/compared" >>"$page"
}

# The same for class averages, which are matched by what they show.
heads_2d='| compared | resolution of the first, the second, Å | classes: purity, particles that have one | same poses | lowest correlation of an average |
|---|---|---|---|---|'
row_2d() { # LABEL FIRST SECOND
    gerelion compare "$2" "$3" >"$work/compared" || { cat "$work/compared" >&2; exit 1; }
    awk -v label="$1" '
        $1 == "CurrentResolution" { resolution = sprintf("%.2f, %.2f", $3, $5) }
        /pose identical/ { p = $0; sub(/.*identical \(<0.01 deg\) /, "", p); sub(/,.*/, "", p); poses = sprintf("%.2f %%", 100 * p) }
        # Gradient runs look at a part of the particles.
        /^classes of ours by those of ref/ {
            c = n = $0
            sub(/.*purity /, "", c); sub(/,.*/, "", c); sub(/ particles.*/, "", n); sub(/.* /, "", n)
            classes = sprintf("%.2f %%, %d", 100 * c, n)
        }
        /: correlation / { r = $0; sub(/.*: correlation /, "", r); sub(/,.*/, "", r); if (lowest == "" || r < lowest) lowest = r }
        END { print "| " label " | " resolution " | " classes " | " poses " | " lowest " |" }' "$work/compared" >>"$page"
}

say() { printf '%s\n' "$@" >>"$page"; }

say "# Evidence" "" \
    "What the results of this program were compared with. \`scripts/evidence.sh\` wrote this page: it ran the commands and took every figure from their" \
    "output; none is typed. The tests compare more, with bounds ([numerics](numerics.md) says which)." "" \
    "| | |" "|---|---|" \
    "| program | $(gerelion --version) |" \
    "| sources | $(git describe --always --dirty --abbrev=12) |" \
    "| machine | $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores |" \
    "| written | $(date -u +%Y-%m-%d) |"

say "" "## RELION's iterations" "" \
    "The same command from the same start; first RELION 5.0.1 (double precision, CPU), second this program." "" "$heads"
run "$fixture/class3d_c4" class3d
for iteration in 1 3; do
    row "3D classification, helix bundle, 400 × 48², C4, iteration $iteration" "$fixture/class3d_c4/run_it00$iteration" "${root}_it00$iteration" C4
done
one="$root"
if [ -d "$golden" ]; then
    # The stacks of the reference runs are beside them.
    run "$golden/class3d_k2_c4" class3d_k2
    two_classes="$root"
    row "3D classification, two classes, 2,000 × 64², C4, iteration 1" "$golden/class3d_k2_c4/run_it001" "${root}_it001" C4
    run "$golden/class3d_k1_noperturb" class3d_k1
    for iteration in 1 2 4; do
        row "3D classification, TRPV1 from its atoms, 2,000 × 64², C1, iteration $iteration" \
            "$golden/class3d_k1_noperturb/run_it00$iteration" "${root}_it00$iteration" C1
    done
    inputs="$golden/inimodel_vdam/mix600.star" run "$golden/inimodel_vdam" inimodel
    mkdir "$work/inimodel_vdam"
    for file in "$golden"/inimodel_vdam/run_it00[12]_*; do
        case "$file" in
            *.gz) gunzip -c "$file" >"$work/inimodel_vdam/$(basename "$file" .gz)" ;;
            *) cp "$file" "$work/inimodel_vdam/" ;;
        esac
    done
    for iteration in 1 2; do
        row "initial model (VDAM) from nothing, 600 × 64², iteration $iteration" "$work/inimodel_vdam/run_it00$iteration" "${root}_it00$iteration" C1
    done
    say "" "2D classes from nothing:" "" "$heads_2d"
    inputs="$golden/class2d_em/mix500.star" run "$golden/class2d_em" class2d --iter 2
    for iteration in 1 2; do
        row_2d "2D classification, K = 8, 500 × 64², iteration $iteration" "$golden/class2d_em/run_it00$iteration" "${root}_it00$iteration"
    done
    inputs="$golden/class2d_em/mix500.star" run "$golden/class2d_vdam" class2d_vdam
    for iteration in 1 2; do
        row_2d "2D classification by VDAM, K = 8, subsets of 100, iteration $iteration" "$golden/class2d_vdam/run_it00$iteration" "${root}_it00$iteration"
    done
fi

say "" "## RELION beside itself" "" \
    "How far two builds of RELION are apart in one iteration from the same start: what agreement can be asked for." "" \
    "| compared | same poses |" "|---|---|" \
    "| 5.0.1, plain CPU path, and 3.1.3, vectorised path: 3D classification, helix bundle, iteration 1 | $(python3 scripts/evidence.py poses \
        "$fixture/class3d_c4/run_it001_data.star" "$fixture/class3d_c4_vectorised/run_it001_data.star") |"

say "" "## This program beside itself" "" \
    "The run of the first table on one thread, on several processes, on cards, and continued, each beside the same run on all threads of one process." "" "$heads"
run "$fixture/class3d_c4" one_thread --j 1
row "one thread" "${one}_it003" "${root}_it003" C4
run "$fixture/class3d_c4" stopped --iter 1
(cd "$folder" && relion_refine --continue "${root#"$folder"/}_it001_optimiser.star" --iter 3 >>run.log 2>&1)
row "continued after iteration 1" "${one}_it003" "${root}_ct1_it003" C4
ranks="not compared: no MPI on the machine, or programs without it"
if command -v mpirun >/dev/null && launch="mpirun --allow-run-as-root --oversubscribe -n 3" run "$fixture/class3d_c4" ranks 2>/dev/null; then
    row "three processes (MPI)" "${one}_it003" "${root}_it003" C4
    ranks=""
fi
cards="not compared: there was none when this page was written"
if [ -n "${CARDS:-}" ]; then
    row "$(cat "$CARDS/cards.txt")" "${one}_it003" "$CARDS/run_it003" C4
    cards=""
elif [ -n "${GPU+set}" ]; then
    run "$fixture/class3d_c4" cards --gpu "$GPU"
    row "$(names_of_cards)" "${one}_it003" "${root}_it003" C4
    cards=""
fi
[ -z "$ranks" ] || say "" "Processes: $ranks."
[ -z "$cards" ] || say "" "Cards: $cards."

say "" "## Known truth" "" \
    "Auto-refinement with the commands of RELION's runs, of images whose map is known, and of real ones, compared with a map from the atomic model (PDB 5A1A). RELION 5.0.1 beside it." "" \
    "| set | program | resolution by the gold standard, Å | FSC to the truth 0.5 at, Å | mean FSC over all shells |" "|---|---|---|---|---|"
# truth_row SET PROGRAM RUN TRUTH
truth_row() {
    resolution="$(sed -n 's/^_rlnCurrentResolution *//p' "$3_model.star" | xargs printf '%.2f')"
    gerelion fsc "$4" "$3_class001.mrc" >"$work/fsc"
    say "| $1 | $2 | $resolution | $(sed -n 's/^FSC0.5 \([0-9.]*\).*/\1/p' "$work/fsc") | $(sed -n 's/.*mean //p' "$work/fsc") |"
}
bundle="helix bundle, 400 × 48², C4, simulated"
truth_row "$bundle" "RELION 5.0.1" "$fixture/refine3d_c4/run" "$fixture/bundle_truth1.mrc"
run "$fixture/refine3d_c4" refine3d
refined="$root"
truth_row "$bundle" "this program" "$refined" "$fixture/bundle_truth1.mrc"
bgal="β-galactosidase, 2,374 × 64², D2, real"
if [ -d "$golden" ]; then
    data="$(cd "$golden/../data/bgal" && pwd)"
    truth_row "$bgal" "RELION 5.0.1" "$golden/refine3d_bgal_real/run" "$data/ref_5a1a_d2.mrc"
    inputs="$(echo "$data"/*)" run "$golden/refine3d_bgal_real" bgal
    real="$root"
    truth_row "$bgal" "this program" "$real" "$data/ref_5a1a_d2.mrc"
fi

say "" "## Findings on good sets" "" \
    "What the program finds wrong at the end of runs of good sets ([findings](findings.md)). It should be nothing." "" \
    "| set | job | resolution, Å | findings |" "|---|---|---|---|"
# found SET JOB MODEL LOG...: a row about a run.
found() {
    resolution="$(sed -n 's/^_rlnCurrentResolution *//p' "$3" | xargs printf '%.2f')"
    row="| $1 | $2 | $resolution |"
    shift 3
    say "$row $(python3 scripts/evidence.py findings "$@") |"
}
found "$bundle" "3D classification" "${one}_it003_model.star" "$work/class3d/log.jsonl"
found "$bundle" "auto-refine" "${refined}_model.star" "$work/refine3d/log.jsonl"
if [ -d "$golden" ]; then
    found "two conformations, 2,000 × 64², simulated" "3D classification, two classes" "${two_classes}_it010_model.star" "$work/class3d_k2/log.jsonl"
    found "$bgal" "auto-refine" "${real}_model.star" "$work/bgal/log.jsonl"
fi
mkdir "$work/findings_demo"
(cd "$work/findings_demo" && gerelion demo >run.log 2>&1)
for job in Class2D/run_it010 InitialModel/run_it040 Refine3D/run; do
    found "\`gerelion demo\`, 800 × 64², simulated" "${job%/*}" "$work/findings_demo/demo/${job}_model.star" "$work/findings_demo/demo/${job%/*}/log.jsonl"
done

say "" "## Whole jobs on cards" "" \
    "Rows that \`gerelion bench\` measured, from \`benches/runs\` (the latest of each card and job): the answer beside the time ([how](../benches/BENCHMARKING.md))." ""
python3 scripts/evidence.py bench benches/runs >>"$page"
mv "$page" "$out"
echo "evidence: $out"
