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

sh scripts/setup-kernels.sh
exit 0
