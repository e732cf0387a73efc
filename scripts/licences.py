#!/usr/bin/env python3
"""licences.py FOLDER [--features mpi]: writes LICENCES-OF-DEPENDENCIES.txt, the licence texts of every crate in the programs,
and bill-of-materials.cdx.json (CycloneDX 1.5) into FOLDER. A crate without a licence expression is an error."""

import json
import pathlib
import subprocess
import sys

TEXTS = ("licen", "copying", "notice", "unlicense")


def dependencies(options):
    """Packages that the programs are made of: those reached by normal dependencies, on this platform."""
    host = next(
        line.split()[1]
        for line in subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines()
        if line.startswith("host:")
    )
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host, *options]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        package = todo.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    packages = [p for p in metadata["packages"] if p["id"] in found and p["source"]]
    return sorted(packages, key=lambda p: (p["name"], p["version"]))


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    files = {p for p in folder.iterdir() if p.is_file() and p.name.lower().startswith(TEXTS)}
    if package.get("license_file"):
        files.add(folder / package["license_file"])
    return sorted(files)


def main():
    folder = pathlib.Path(sys.argv[1])
    packages = dependencies(sys.argv[2:])
    unlicensed = [p["name"] for p in packages if not p["license"] and not p["license_file"]]
    if unlicensed:
        sys.exit(f"licences: no licence is stated by {', '.join(unlicensed)}")
    with open(folder / "LICENCES-OF-DEPENDENCIES.txt", "w", encoding="utf-8") as out:
        out.write(f"The programs contain {len(packages)} crates besides GeRelion itself.\n\n")
        for p in packages:
            out.write(f"{p['name']} {p['version']}: {p['license'] or 'see below'}\n")
        for p in packages:
            out.write(f"\n{'=' * 100}\n{p['name']} {p['version']}, {p['license']}\n")
            out.write(f"{', '.join(p['authors'])}\n{p['repository'] or ''}\n")
            for path in texts(p):
                out.write(f"\n--- {path.name}\n{path.read_text(encoding='utf-8', errors='replace')}\n")
    components = [
        {
            "type": "library",
            "name": p["name"],
            "version": p["version"],
            "purl": f"pkg:cargo/{p['name']}@{p['version']}",
            "licenses": [{"expression": (p["license"] or "").replace("/", " OR ")}] if p["license"] else [],
        }
        for p in packages
    ]
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}
    (folder / "bill-of-materials.cdx.json").write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")
    bare = [p["name"] for p in packages if not texts(p)]
    print(f"licences: {len(packages)} crates; {len(bare)} ship no text and have their expression only: {', '.join(bare)}")


main()
