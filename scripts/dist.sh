#!/bin/sh
# dist.sh: makes dist/gerelion-VERSION-ARCH-linux.tar.gz and its checksum: programs, manual pages, completions, module files,
# documentation, licences and a bill of materials of all dependencies.
#
# The programs start with glibc 2.31 or later: they are linked by Zig's C compiler, which brings the older library's symbols
# along (from PyPI, into the cargo target folder). GLIBC=native links with the machine's own library. They are built without
# MPI, which would have to be there for them to start; FEATURES="--features mpi" makes an archive for the MPI of this machine.
set -eu
cd "$(dirname "$0")/.."
say() { echo "dist: $*"; }
glibc="${GLIBC:-2.31}"
arch="$(uname -m)"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
target="${CARGO_TARGET_DIR:-target}"
triple="$arch-unknown-linux-gnu"

if [ "$glibc" = native ]; then
    cargo build --release --locked ${FEATURES:-}
    built="$target/release"
else
    tools="$target/dist-tools"
    if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check ziglang==0.17.1 cargo-zigbuild==0.24.1
        say "installed Zig and cargo-zigbuild into $tools"
    fi
    PATH="$(cd "$tools/bin" && pwd):$PATH" cargo zigbuild --release --locked --bins --target "$triple.$glibc" ${FEATURES:-}
    built="$target/$triple/release"
fi

name="gerelion-$version-$arch-linux"
mkdir -p dist
rm -rf "dist/$name"
sh scripts/install.sh "$built" "dist/$name"
python3 scripts/licences.py "dist/$name/share/doc/gerelion" ${FEATURES:-}
for program in "dist/$name"/bin/*; do strip --strip-debug "$program"; done

# Names, owners and times in a fixed order: the same programs give the same archive.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
    -C dist -cf - "$name" | gzip -n9 >"dist/$name.tar.gz"
(cd dist && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
needs="$(objdump -T "dist/$name"/bin/* 2>/dev/null | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -uV | tail -1)"
say "dist/$name.tar.gz, $(du -h "dist/$name.tar.gz" | cut -f1), needs glibc $needs or later"
