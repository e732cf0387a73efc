#!/bin/sh
# first_kernel.sh [--engine]: does everything that docs/first-kernel.md says, in a copy of the sources in target/first-kernel: applies
# its changes, runs its commands, and asks that each succeeds, or fails where the page says so. With --engine also the blocks that
# build the whole program, which takes minutes.
set -eu
cd "$(dirname "$0")/.."
engine="${1:-}"
copy="$PWD/target/first-kernel"
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z | xargs -0 cp --parents -t "$copy" 2>/dev/null || [ -f "$copy/Cargo.toml" ]
# Not the target folder of the sources themselves: cargo gives the crates of both the same names there, and would take the
# changed ones for those of the sources. The tools that compile and assemble kernels are shared.
export CARGO_TARGET_DIR="$PWD/target/first-kernel-build"
mkdir -p "$CARGO_TARGET_DIR"
for shared in kernel-tools ptx-cache; do
    ln -sfn "../$shared" "$CARGO_TARGET_DIR/$shared"
done
cd "$copy"

# Blocks as files NN.KIND, where KIND is the word after the fence with blanks as dots.
awk '/^```/ { if (open) { open = 0; close(file) } else if ($0 != "```") { kind = substr($0, 4); gsub(" ", ".", kind)
         file = sprintf("block%02d.%s", ++n, kind); open = 1; printf "" > file } next }
     open { print > file }' docs/first-kernel.md
blocks="$(ls block*)"
count=0
for block in $blocks; do
    count=$((count + 1))
    case "$block" in
        *.engine*) [ "$engine" = --engine ] || { echo "$block: left out (--engine runs it)"; continue; } ;;
    esac
    echo "== $block"
    cat "$block"
    case "$block" in
        *.diff) patch -p1 <"$block" ;;
        *.fails)
            if sh -eu "$block"; then
                echo "first_kernel: $block should fail" >&2
                exit 1
            fi
            ;;
        *) sh -eu "$block" ;;
    esac
done
[ "$count" -ge 8 ] || { echo "first_kernel: only $count blocks were found on the page" >&2; exit 1; }
echo "first_kernel: all steps did what the page says"
