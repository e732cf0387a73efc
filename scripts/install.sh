#!/bin/sh
# install.sh FROM PREFIX: puts the programs built in the folder FROM under PREFIX, with manual pages, shell completions, module
# files and licences. `make install` and `make dist` call it.
set -eu
[ $# = 2 ] || { echo "usage: install.sh FOLDER-OF-PROGRAMS PREFIX" >&2; exit 2; }
from="$(cd "$1" && pwd)"
mkdir -p "$2"
prefix="$(cd "$2" && pwd)"
cd "$(dirname "$0")/.."
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"

# The programs are those of the manifest. The MPI name is a link: it is the same program.
mkdir -p "$prefix/bin"
sed -n '/^\[\[bin\]\]/,/^name/s/^name = "\(.*\)"/\1/p' Cargo.toml | while read -r name; do
    case $name in
    relion_refine_mpi) ln -sf relion_refine "$prefix/bin/$name" ;;
    *) install -m 755 "$from/$name" "$prefix/bin/$name" ;;
    esac
done
# RELION's MPI names of the programs after a refinement: rank 0 works with all cores, the others end at once.
for name in relion_reconstruct relion_particle_subtract relion_localsym relion_postprocess; do
    ln -sf "$name" "$prefix/bin/${name}_mpi"
done

share="$prefix/share"
"$prefix/bin/gerelion" man "$share/man/man1"
"$prefix/bin/gerelion" completions bash "$share/bash-completion/completions"
"$prefix/bin/gerelion" completions zsh "$share/zsh/site-functions"
"$prefix/bin/gerelion" completions fish "$share/fish/vendor_completions.d"
# bash-completion looks for a file with the name of the program.
for script in "$share"/bash-completion/completions/*.bash; do
    mv "$script" "${script%.bash}"
done

# Both files find PREFIX from where they lie, so that it can be moved.
modules="$share/modulefiles/gerelion"
mkdir -p "$modules"
install -m 644 packaging/modulefiles/gerelion.lua "$modules/$version.lua"
install -m 644 packaging/modulefiles/gerelion.tcl "$modules/$version"

docs="$share/doc/gerelion"
mkdir -p "$docs"
install -m 644 README.md CHANGELOG.md CITATION.cff LICENSE-MIT LICENSE-APACHE "$docs"
cp -r docs/. "$docs/"
echo "installed under $prefix: export PATH=$prefix/bin:\$PATH, or module use $share/modulefiles"
