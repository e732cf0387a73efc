"""Rows of docs/evidence.md that no program prints: poses that two particle tables share, findings in logs, and measured rows of bench.csv.

evidence.py poses FIRST SECOND    share of the particles with the same pose, per cent
evidence.py findings LOG          names of the findings in a log of --json_log, or "none"
evidence.py bench FOLDER          the latest row of each card and job in FOLDER/*/bench.csv
"""

import csv
import json
import pathlib
import sys


def poses_of(path):
    """Angles and origins of a particle table, by image."""
    labels, found = [], {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if line.startswith("data_"):
                labels = []
            elif line.startswith("_rln"):
                labels.append(words[0])
            elif words and "_rlnImageName" in labels and len(words) == len(labels):
                row = dict(zip(labels, words))
                names = ("_rlnAngleRot", "_rlnAngleTilt", "_rlnAnglePsi", "_rlnOriginXAngst", "_rlnOriginYAngst")
                found[row["_rlnImageName"]] = [float(row[name]) for name in names]
    return found


def poses(first, second):
    """Same to 0.01 degrees and 0.01 Å, as in `gerelion compare`."""
    first, second = poses_of(first), poses_of(second)
    common = first.keys() & second.keys()
    same = sum(all(abs(a - b) < 0.01 for a, b in zip(first[i], second[i])) for i in common)
    return f"{100 * same / len(common):.2f} %"


def findings(log):
    with open(log, encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    if events[-1]["event"] != "end" or events[-1]["status"] != "finished":
        sys.exit(f"{log}: the run has not finished")
    return ", ".join(event["finding"] for event in events if event["event"] == "finding") or "none"


def bench(folder):
    latest = {}
    for path in sorted(pathlib.Path(folder).glob("*/bench.csv")):
        card = path.parent.name.split("-", 3)[3]
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                latest[card, row["job"]] = row
    print("| card | job | measured | iterations | whole run, s | resolution, Å | mean FSC to the truth |")
    print("|---|---|---|---|---|---|---|")
    for (card, job), row in sorted(latest.items()):
        cells = [card, job] + [row[c] for c in ("date", "iterations", "total", "resolution_A", "FSC_to_truth")]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["poses", first, second]:
            print(poses(first, second))
        case ["findings", log]:
            print(findings(log))
        case ["bench", folder]:
            bench(folder)
        case _:
            sys.exit(__doc__)
