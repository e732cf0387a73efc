#!/bin/sh
# A job over two machines, as far as one machine can show it: two sets of namespaces with a host name, processes and a network of
# their own, joined by one wire; MPI starts ranks on the second one and talks to it over TCP. The job must give what one process
# gives, sum over MPI what each machine has summed by itself, and end soon when a rank of the other machine dies or the wire is cut.
# Needs root, util-linux, iproute2 and mpirun (Open MPI).
# Usage: tests/two_nodes.sh [folder with relion_refine_mpi and gerelion] [options, such as --gpu 0,1]
# With the emulated CUDA library in LD_LIBRARY_PATH and EMULATED_DEVICES=2 each machine has two cards; it is slow, so make do with
# `iterations=1 particles=24` in the environment. Faults are tried without cards only.
set -eu
cd "$(dirname "$0")/.."
programs="$(cd "${1:-target/release}" && pwd)"
[ $# -eq 0 ] || shift
for tool in unshare nsenter ip mpirun; do
    command -v "$tool" > /dev/null || { echo "tests/two_nodes.sh: left out, there is no $tool"; exit 0; }
done
if [ "${GERELION_NODE:-}" != node01 ]; then
    unshare --net --uts --ipc --pid --fork --mount true 2> /dev/null ||
        { echo "tests/two_nodes.sh: left out, namespaces cannot be made here (needs root)"; exit 0; }
    GERELION_NODE=node01 exec unshare --net --uts --ipc --pid --fork --mount --mount-proc --kill-child \
        "$0" "$programs" "$@"
fi
work="$(mktemp -d)"
trap "rm -rf \"$work\"" EXIT

hostname node01
ip link set lo up
unshare --net --uts --ipc sh -c 'hostname node02; exec sleep infinity' &
other=$!
while [ "$(nsenter --target "$other" --uts hostname)" != node02 ]; do sleep 0.1; done
ip link add wire type veth peer name end
ip link set end netns "$other"
ip addr add 10.66.0.1/24 dev wire
ip link set wire up
nsenter --target "$other" --net sh -c 'ip link set lo up; ip addr add 10.66.0.2/24 dev end; ip link set end up'

# What starts a command on the other machine in the place of ssh.
printf '#!/bin/sh\nshift\nexec nsenter --target %s --net --uts --ipc sh -c "$*"\n' "$other" > "$work/agent"
chmod +x "$work/agent"
export OMPI_MCA_plm_rsh_agent="$work/agent" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none
# Without these mpirun itself waits for minutes for a machine that is gone (docs/cluster.md).
export OMPI_MCA_oob_tcp_keepalive_time=5 OMPI_MCA_oob_tcp_keepalive_intvl=5 OMPI_MCA_oob_tcp_keepalive_probes=3

data=tests/data/fixture
iterations="${iterations:-3}"
words="$(sed 's/^relion_refine --o [^ ]*//' "$data/class3d_c4/command.txt") --j 1 --iter $iterations"
if [ -n "${particles:-}" ]; then
    (cd "$data" && "$programs/gerelion" subset --i bundle.star --o "$work/few.star" --n "$particles")
    words="$words --i $work/few.star"
fi
job() { # name, launcher, further options
    name="$1"; launcher="$2"; shift 2
    mkdir -p "$work/$name"
    # shellcheck disable=SC2086
    (cd "$data" && $launcher "$programs/relion_refine_mpi" --o "$work/$name/run" $words "$@") \
        > "$work/$name/log" 2>&1
}
compare() { # name: against the job of one process
    report="$("$programs/gerelion" compare --sym C4 "$work/one/run_it00$iterations" "$work/$1/run_it00$iterations")"
    echo "$report" | grep -E "pose identical| min "
    echo "$report" | awk -f tests/agree.awk || { echo "$report"; echo "tests/two_nodes.sh: the maps of $1 differ" >&2; exit 1; }
}
two_nodes() { # ranks of each node
    echo "mpirun --host 10.66.0.1:$1,10.66.0.2:$1 -n $((2 * $1))"
}

job one "" "$@" || { cat "$work/one/log"; exit 1; }
for ranks in 1 2; do
    job "nodes-$ranks" "$(two_nodes $ranks)" "$@" || { cat "$work/nodes-$ranks/log"; exit 1; }
    echo "== two nodes, $ranks ranks each"
    grep -E "Sums|node0[12]" "$work/nodes-$ranks/log" | head -12
    grep -q node02 "$work/nodes-$ranks/log" || { echo "tests/two_nodes.sh: there was one node" >&2; exit 1; }
    compare "nodes-$ranks"
done

fault() { # name, what is done to the running job, what the log must say
    job "$1" "$(two_nodes 2)" --iter 50 --pipeline_control "$work/$1/" &
    running=$!
    while [ ! -e "$work/$1/run_it002_optimiser.star" ]; do
        kill -0 $running || { cat "$work/$1/log"; exit 1; }
        sleep 0.2
    done
    begin=$(date +%s)
    eval "$2"
    wait $running && { echo "tests/two_nodes.sh: $1: a status of 0" >&2; exit 1; }
    took=$(($(date +%s) - begin))
    echo "== $1: ended after $took s"
    grep -E "$3" "$work/$1/log" | head -3 || { cat "$work/$1/log"; exit 1; }
    [ $took -le 30 ] || { echo "tests/two_nodes.sh: $1 took too long" >&2; exit 1; }
    [ -e "$work/$1/run_it002_optimiser.star" ]
}
[ $# -eq 0 ] || { echo "tests/two_nodes.sh: passed"; exit 0; }
fault death \
    "kill -9 \$(pgrep -f 'relion_refine_mpi.*death' | while read -r p; do
        [ \$(readlink /proc/\$p/ns/uts) = \$(readlink /proc/$other/ns/uts) ] && [ \$(cat /proc/\$p/comm) = relion_refine_m ] && echo \$p; done | tail -1)" \
    "rank [23] .* node 10.66.0.2 exited on signal 9"
fault cut "ip link set wire down" "nothing has been heard of rank [23] of 4 \(node02\)"
echo "tests/two_nodes.sh: passed"
