#!/bin/sh
# Measures the work around the expectation for a large particle table: from the start to the first particle, and per iteration.
#
#   sh benches/million_rows.sh [FOLDER OF THE PROGRAMS [ROWS]]
#
# The stacks are one file of 200 images of 32 × 32 pixels under many names, so the table is large and the images are not. VDAM
# takes few of the particles in an iteration, so what is left is what depends on the number of rows.
set -eu
PROGRAMS=$(realpath "${1:-target/release}")
ROWS=${2:-1000000}
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"$PROGRAMS/gerelion" simulate --o set --n 200 --box 32 --diameter 100 --seed 1 >/dev/null
mkdir stacks
awk -v rows="$ROWS" '
    !/@/ { print; next }
    { line[++n] = $0 }
    END {
        for (row = 0; row < rows; row++) {
            micrograph = sprintf("%05d", row / n)
            text = line[row % n + 1]
            sub(/@set\.mrcs/, "@stacks/" micrograph ".mrcs", text)
            sub(/mic[0-9]+\.mrc/, "mic" micrograph ".mrc", text)
            print text
        }
    }' set.star >large.star
for number in $(seq 0 $(((ROWS - 1) / 200))); do
    ln -s ../set.mrcs "stacks/$(printf %05d "$number").mrcs"
done

"$PROGRAMS/relion_refine" --i large.star --o run --grad --iter 4 --K 2 --ctf --particle_diameter 100 --psi_step 30 \
    --offset_range 3 --offset_step 2 --zero_mask --random_seed 1 --j 2 --json_log log.json >text.log &
wait $! || { tail -n 5 text.log; exit 1; }

python3 - "$ROWS" <<'END'
import json, sys
lines = [json.loads(line) for line in open("log.json")]
stages = [line for line in lines if line["event"] == "stage"]
first = next(s for s in stages if s["stage"] == "expectation")
print(f"{sys.argv[1]} rows: {first['elapsed_s'] - first['seconds']:.2f} s from the start to the first particle")
ends = [s for s in stages if s["stage"] == "expectation"]
for before, after in zip(ends, ends[1:]):
    between = after["elapsed_s"] - after["seconds"] - before["elapsed_s"]
    print(f"iteration {after['iteration']}: {between:.2f} s between two expectation steps")
for s in stages:
    if s["stage"] == "write_files":
        print(f"files of iteration {s['iteration']}: {s['seconds']:.2f} s, while the next iteration runs")
END
