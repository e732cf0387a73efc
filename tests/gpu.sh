#!/bin/sh
# Runs all tests that need a GPU, on any machine with an NVIDIA driver.
#
#   tests/gpu.sh              build and test
#   tests/gpu.sh --sanitize   also under compute-sanitizer (memcheck, racecheck)
#   tests/gpu.sh --binary F   run a test binary built elsewhere (cargo test --no-run --test gpu_kernels) instead of building
#   tests/gpu.sh --programs D relion_refine and gerelion of folder D in place of target/release
set -eu
cd "$(dirname "$0")/.."
sanitize=no
binary=
programs=target/release
while [ $# -gt 0 ]; do
    case "$1" in
        --sanitize) sanitize=yes ;;
        --binary) binary="$2"; shift ;;
        --programs) programs="$2"; shift ;;
        *) echo "tests/gpu.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || {
    echo "tests/gpu.sh: no NVIDIA driver here" >&2
    exit 1
}
if [ -z "$binary" ]; then
    sh scripts/setup-kernels.sh
    binary="$(cargo test --release --no-run --test gpu_kernels --message-format=json |
        sed -n 's/.*"executable":"\([^"]*gpu_kernels[^"]*\)".*/\1/p' | tail -1)"
fi

# A skipped test is a failure here: the device must have been used.
out="$("$binary" --test-threads=1 --nocapture)" || { echo "$out"; exit 1; }
echo "$out"
if echo "$out" | grep -q "^skipped"; then
    echo "tests/gpu.sh: a test skipped; see above" >&2
    exit 1
fi

if [ "$sanitize" = yes ]; then
    for tool in memcheck racecheck; do
        echo "compute-sanitizer --tool $tool"
        compute-sanitizer --tool "$tool" --error-exitcode 9 "$binary" --test-threads=1 a_batch_gives images_are_prepared \
            tied_correlations waits:: staged maximization::
    done
fi
# The whole engine against the host's, where the programs are built.
if [ -x "$programs/relion_refine" ]; then
    sh tests/gpu_engine.sh "$programs"
else
    echo "tests/gpu.sh: $programs/relion_refine is not built; the engines are not compared"
fi
echo "tests/gpu.sh: all passed"
