#!/bin/sh
# setup-kernels.sh [build]: installs what the kernels are compiled with, into the cargo target folder and (Debian's packages) the system:
#   rustc-web, rust-web-src, llvm-22   a compiler with library source, beside rustup's
#   kernel-tools/bin/llvm-bitcode-linker   built from rust-web-src
#   kernel-tools/cuda-12, cuda-13          ptxas of CUDA 12 (sm_70 and up) and 13 (sm_75 and up), from PyPI
# With `build`, ptxas, which only tests need, is left out.
# Does nothing that is already done. Succeeds without installing anything where apt or the network is not to be had:
# the build is then without kernels, or its tests without ptxas, and both say so.
set -u
cd "$(dirname "$0")/.." || exit 1
tools="${CARGO_TARGET_DIR:-target}/kernel-tools"
llvm=22
say() { echo "setup-kernels: $*"; }

mkdir -p "$tools/bin"
tools="$(cd "$tools" && pwd)"

# 1. A compiler: what is there already, else rustup's nightly with its components, else Debian's packages.
has_source() { [ -e "$1/lib/rustlib/src/rust/library/core/src/lib.rs" ]; }
complete_nightly() {
    sysroot="$(rustup run nightly rustc --print sysroot 2>/dev/null)" || return 1
    has_source "$sysroot" && ls "$sysroot"/lib/rustlib/*/bin/llc "$sysroot"/lib/rustlib/*/bin/self-contained/llvm-bitcode-linker >/dev/null 2>&1
}
if has_source /usr && [ -x "/usr/lib/llvm-$llvm/bin/llc" ]; then
    say "Debian's compiler is installed"
elif complete_nightly; then
    say "rustup's nightly has the components"
elif command -v rustup >/dev/null && rustup toolchain install nightly --profile minimal \
    --component rust-src --component llvm-tools --component llvm-bitcode-linker >/dev/null 2>&1 && complete_nightly; then
    say "installed rustup's nightly with rust-src, llvm-tools and llvm-bitcode-linker"
elif command -v apt-get >/dev/null; then
    packages="rustc-web rust-web-src llvm-$llvm"
    if [ "$(id -u)" != 0 ] && [ -z "${SUDO:-}" ]; then
        say "for GPU kernels, as root or with 'make setup SUDO=sudo': apt-get install --no-install-recommends $packages"
    elif { ${SUDO:-} apt-get update -qq && ${SUDO:-} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends $packages; } >/dev/null 2>&1; then
        say "installed $packages"
    else
        say "apt could not install $packages: the build will be without GPU kernels"
    fi
else
    say "neither rustup components nor apt: the build will be without GPU kernels"
fi

# 2. The linker, which Debian ships as source only.
source="$(ls -d /usr/src/rustc-*/src/tools/llvm-bitcode-linker 2>/dev/null | tail -1)"
if complete_nightly || [ -x "$tools/bin/llvm-bitcode-linker" ]; then
    say "llvm-bitcode-linker is installed"
elif [ -n "$source" ]; then
    # A copy outside the source tree, whose workspace would drag in the whole compiler.
    work="$(mktemp -d)"
    cp -r "$source" "$work/linker"
    if cargo install --quiet --path "$work/linker" --root "$tools" --target-dir "$work/target"; then
        say "built llvm-bitcode-linker from $source"
        # The build script looks for it again.
        touch build.rs
    else
        say "llvm-bitcode-linker could not be built from $source: the build will be without GPU kernels"
    fi
    rm -rf "$work"
fi

# 3. ptxas, to assemble the modules without a GPU.
wheel() { # package, folder under kernel-tools
    if find "$tools/$2" -name ptxas -type f 2>/dev/null | grep -q .; then
        say "ptxas of $2 is installed"
    elif python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$tools/$2" "$1" >/dev/null 2>&1; then
        find "$tools/$2" -name ptxas -type f -exec chmod +x {} +
        say "installed ptxas of $1"
    else
        say "pip could not install $1: its modules will not be assembled in tests"
    fi
}
if [ "${1:-}" != build ]; then
    wheel nvidia-cuda-nvcc-cu12==12.9.86 cuda-12
    wheel nvidia-cuda-nvcc==13.5.37 cuda-13
fi
exit 0
