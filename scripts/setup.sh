#!/bin/sh
# setup.sh [build]: installs what building and testing need and the machine lacks, with package managers only: cargo, pip (into .venv), apt.
# Needs rustup and a C compiler. Does nothing that is already done. What cannot be installed but is not indispensable is
# said and left out. System packages are installed by root, or by SUDO where it is set (make setup SUDO=sudo); without
# either, the command that would install them is printed. With `build`, what only tests need is left out.
set -u
only="${1:-}"
cd "$(dirname "$0")/.." || exit 1
say() { echo "setup: $*"; }
fail() { say "$*" >&2; exit 1; }
# Runs apt-get as root, or by $SUDO.
apt_install() {
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" != 0 ] && [ -z "${SUDO:-}" ]; then
        say "as root, or with 'make setup SUDO=sudo': apt-get install --no-install-recommends $*"
        return 1
    fi
    { ${SUDO:-} apt-get update -qq && ${SUDO:-} env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null 2>&1
}

command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs, then open a new shell"
command -v cc >/dev/null || fail "a C compiler is missing: apt-get install build-essential"

# The test runner, from crates.io with the checksums of its lock file.
NEXTEST=0.9.143
if [ "$only" != build ] && ! cargo nextest --version >/dev/null 2>&1; then
    cargo install --quiet --locked --version "$NEXTEST" cargo-nextest || fail "cargo-nextest $NEXTEST could not be installed"
    say "built cargo-nextest $NEXTEST"
fi

# Python modules that tests compare with, kept beside the sources; tests say what they leave out without them.
MODULES="mrcfile==1.5.4 starfile==0.5.13 numpy"
has_modules() { "$1" -c 'import mrcfile, starfile, numpy' >/dev/null 2>&1; }
if [ "$only" = build ]; then
    :
elif command -v python3 >/dev/null; then
    if has_modules .venv/bin/python3 || has_modules python3; then
        :
    elif python3 -m venv .venv >/dev/null 2>&1 && .venv/bin/python3 -m pip install --quiet --disable-pip-version-check \
        $MODULES >/dev/null 2>&1; then
        say "installed mrcfile, starfile and numpy into .venv"
    else
        # A folder without its modules would hide the system's python3.
        rm -rf .venv
        say "mrcfile, starfile and numpy could not be installed into .venv (is python3-venv there?): files will not be compared with theirs in tests"
    fi
else
    say "python3 is missing: files will not be compared with mrcfile and starfile in tests"
fi

# Jobs of several processes (feature `mpi`): Open MPI and what its bindings are made with.
has_mpi() { command -v mpicc >/dev/null && command -v mpirun >/dev/null && ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1; }
if ! has_mpi; then
    if apt_install libopenmpi-dev openmpi-bin libclang-dev && has_mpi; then
        say "installed Open MPI and libclang"
    else
        say "libopenmpi-dev, openmpi-bin and libclang-dev are missing: jobs of several processes are left out"
    fi
fi

sh scripts/setup-kernels.sh $only
exit 0
