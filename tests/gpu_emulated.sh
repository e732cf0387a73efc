#!/bin/sh
# Runs the whole GPU engine without a GPU: tests/emulated_cuda takes the place of the CUDA libraries, on host memory, with
# the same kernels run by the emulator. Slow (minutes), but every launch and array is the real one. The engine's results
# are compared with the host's.
# Usage: tests/gpu_emulated.sh [folder with relion_refine and gerelion built with kernels, default: build target/release]
set -eu
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
programs="${1:-$target/release}"
[ $# -gt 0 ] || cargo build --release --bins
cargo build --release -p gerelion-emulated-cuda
libraries="$target/emulated-cuda"
mkdir -p "$libraries"
for name in cuda cufft cublas; do
    cp "$target/release/libemulated_cuda.so" "$libraries/lib$name.so"
done
# NCCL and the driver must know the same devices: one library under two names.
ln -sf libcuda.so "$libraries/libnccl.so.2"
LD_LIBRARY_PATH="$(cd "$libraries" && pwd)"
export LD_LIBRARY_PATH
failures=yes EMULATED_DEVICES=2 sh tests/gpu_engine.sh "$programs" 24 1 2 20M
EMULATED_DEVICES=2 sh tests/gpu_ranks.sh "$programs" 8 1 2 32
