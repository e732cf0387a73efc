#!/bin/sh
# Installs what building and testing need and the machine lacks. Needs rustup, a C compiler and a package manager.
# Does nothing that is already done. What cannot be installed but is not indispensable is said and left out.
set -u
cd "$(dirname "$0")/.." || exit 1
say() { echo "setup: $*"; }
fail() { say "$*" >&2; exit 1; }

command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs, then open a new shell"
command -v cc >/dev/null || fail "a C compiler is missing: apt-get install build-essential"

# The test runner: a prebuilt binary where one is to be had, otherwise built from source.
if ! cargo nextest --version >/dev/null 2>&1; then
    bin="${CARGO_HOME:-$HOME/.cargo}/bin"
    if command -v curl >/dev/null && curl -LsSf https://get.nexte.st/latest/linux 2>/dev/null | tar zxf - -C "$bin" 2>/dev/null \
        && cargo nextest --version >/dev/null 2>&1; then
        say "installed cargo-nextest"
    else
        cargo install --quiet --locked cargo-nextest || fail "cargo-nextest could not be installed"
        say "built cargo-nextest"
    fi
fi

# Python modules that tests compare with; tests say what they leave out without them.
has_modules() { "$1" -c 'import mrcfile, starfile, numpy' >/dev/null 2>&1; }
if command -v python3 >/dev/null; then
    if has_modules .venv/bin/python3 || has_modules python3; then
        :
    elif python3 -m venv .venv >/dev/null 2>&1 && .venv/bin/python3 -m pip install --quiet --disable-pip-version-check \
        mrcfile starfile numpy >/dev/null 2>&1; then
        say "installed mrcfile, starfile and numpy into .venv"
    else
        # A folder without its modules would hide the system's python3.
        rm -rf .venv
        if python3 -m pip install --quiet --disable-pip-version-check --break-system-packages mrcfile starfile numpy \
            >/dev/null 2>&1; then
            say "installed mrcfile, starfile and numpy"
        else
            say "pip could not install mrcfile, starfile and numpy: files will not be compared with theirs in tests"
        fi
    fi
else
    say "python3 is missing: files will not be compared with mrcfile and starfile in tests"
fi

# Jobs of several processes (feature `mpi`): Open MPI and what its bindings are made with.
has_mpi() { command -v mpicc >/dev/null && command -v mpirun >/dev/null && ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1; }
if ! has_mpi; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    if command -v apt-get >/dev/null && { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends \
        libopenmpi-dev openmpi-bin libclang-dev; } >/dev/null 2>&1 && has_mpi; then
        say "installed Open MPI and libclang"
    else
        say "libopenmpi-dev, openmpi-bin and libclang-dev could not be installed: jobs of several processes are left out"
    fi
fi

sh scripts/setup-kernels.sh
exit 0
