#!/bin/sh
# clean_machine.sh archive|modules|source SYSTEM...: does on clean machines what a new user types, and prints how long each command takes.
# SYSTEM is bookworm (Debian 12), trixie (Debian 13) or noble (Ubuntu 24.04). Run as root; needs debootstrap.
#
#   archive   the first commands of docs/install.md, with the archive of `make dist` (or ARCHIVE), in a system to which nothing is added
#   modules   installs Lmod, then Environment Modules, and with each does the commands of docs/install.md, section Module file, with the archive
#   source    `apt-get install build-essential`, then the commands of the README's section Install, with the committed sources
#
# Each system is made anew in FOLDER (/tmp/clean-machines) and removed at the end, unless KEEP=1. A system that KEEP=1 left is used again.
# In place of an installation of rustup, which `source` presupposes, the system is lent this machine's: ~/.rustup, read only.
# Ends with 1 when a command fails.
set -eu
here="$(cd "$(dirname "$0")/.." && pwd)"
# Home of the user root within each system.
home=/root
usage() { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
say() { echo "clean_machine: $*"; }

# Commands of the first shell block after a heading of a page, with a clock before each.
timed_block() { # page, heading
    awk -v heading="$2" '
        $0 == heading { here = 1 }
        here && /^```$/ && open { exit }
        open && NF { line = $0; sub(/ *#.*/, "", line); printf "clock \047%s\047\n%s\n", line, line }
        here && /^```sh$/ { open = 1 }' "$1"
}

# Inside of the namespace of one system, whose mounts end with it.
inside() { # archive|source, folder of the system
    kind="$1" system="$2"
    mount -t proc proc "$system/proc"
    mount -t sysfs -o ro sysfs "$system/sys"
    cp /etc/resolv.conf "$system/etc/resolv.conf"
    counted() { chroot "$system" dpkg-query -f . -W | wc -c; }
    before="$(counted)"
    script="$system$home/typed.sh"
    install_in() { chroot "$system" sh -euc "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $*" >/dev/null; }
    cat >"$script" <<'END'
began=0 command=""
clock() {
    now="$(date +%s)"
    [ -z "$command" ] || echo "==== $((now - began)) s: $command"
    began="$now" command="$1"
    [ -z "$1" ] || echo "==== \$ $1"
}
END
    if [ "$kind" = archive ]; then
        { echo "cd /opt"; timed_block "$here/docs/install.md" "## From an archive"; } >>"$script"
        cp "$archive" "$archive.sha256" "$system/opt/"
    elif [ "$kind" = modules ]; then
        install_in man-db
        tar -C "$system/opt" -xzf "$archive"
        # Each takes the other's place.
        for tool in lmod:lmod/lmod environment-modules:modules; do
            {
                echo "clock 'apt-get install ${tool%:*}'"
                echo "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq ${tool%:*} >/dev/null"
                echo "set +u; . /usr/share/${tool#*:}/init/bash"
                timed_block "$here/docs/install.md" "## Module file, manual pages, completions" | sed 's/^man .*/& | head -4/'
                echo "clock 'relion_refine --version'"
                echo "command -v relion_refine; relion_refine --version"
                echo "clock 'module unload gerelion'"
                echo "module unload gerelion; if command -v relion_refine; then exit 1; fi"
            } >>"$script"
        done
    else
        # What an installation has beside the packages that debootstrap takes: updates, and certificates for downloads.
        . "$system/etc/os-release"
        if [ "$ID" = debian ]; then
            echo "deb http://deb.debian.org/debian $VERSION_CODENAME-updates main" >"$system/etc/apt/sources.list.d/updates.list"
            echo "deb http://deb.debian.org/debian-security $VERSION_CODENAME-security main" >>"$system/etc/apt/sources.list.d/updates.list"
        fi
        install_in ca-certificates
        cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$system/etc/ssl/certs/ca-certificates.crt"
        mkdir -p "$system$home/.rustup" "$system$home/.cargo/bin" "$system$home/gerelion"
        cp -a "$HOME"/.cargo/bin/. "$system$home/.cargo/bin/"
        mount --bind "$HOME/.rustup" "$system$home/.rustup"
        mount -o remount,ro,bind "$system$home/.rustup"
        git -C "$here" archive HEAD | tar -x -C "$system$home/gerelion"
        {
            echo "clock 'apt-get install build-essential'"
            echo "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq build-essential >/dev/null"
            echo "cd $home/gerelion"
            timed_block "$here/README.md" "## Install"
            echo "clock '/opt/gerelion/bin/relion_refine --version'"
            echo "/opt/gerelion/bin/relion_refine --version"
        } >>"$script"
    fi
    echo 'clock ""' >>"$script"
    status=0
    # shellcheck disable=SC2016 # the variables of the system's shell
    env -i HOME=$home TERM=dumb LANG=C.UTF-8 PATH=$home/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$system" bash -eu $home/typed.sh || status=1
    say "$(sed -n 's/^PRETTY_NAME=//p' "$system/etc/os-release"): $before packages before, $(counted) after; $([ $status = 0 ] && echo "all commands ended well" || echo "A COMMAND FAILED")"
    exit $status
}

[ $# -ge 2 ] || usage
kind="$1"
shift
archive="${ARCHIVE:-$here/dist/gerelion-$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/Cargo.toml" | head -1)-$(uname -m)-linux.tar.gz}"
case "$kind" in
    inside) inside "$@" ;;
    archive | modules) [ -f "$archive" ] || { say "$archive is not there: make dist" >&2; exit 2; } ;;
    source) ;;
    *) usage ;;
esac
[ "$(id -u)" = 0 ] || { say "only root can make a system" >&2; exit 2; }
folder="${FOLDER:-/tmp/clean-machines}"
mkdir -p "$folder"
failed=0
for name in "$@"; do
    case "$name" in
        bookworm | trixie) mirror=http://deb.debian.org/debian components=main ;;
        noble) mirror=http://archive.ubuntu.com/ubuntu components=main,universe ;;
        *) usage ;;
    esac
    system="$folder/$name"
    if [ ! -f "$system/etc/os-release" ]; then
        say "making $name"
        debootstrap --variant=minbase --components=$components "$name" "$system" $mirror >"$system.log" 2>&1 || { tail -5 "$system.log"; failed=1; continue; }
    fi
    ARCHIVE="$archive" unshare --mount --propagation private sh "$0" inside "$kind" "$system" || failed=1
    # What was mounted went with the namespace.
    [ "${KEEP:-}" = 1 ] || rm -rf --one-file-system "$system"
done
exit $failed
