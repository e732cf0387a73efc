#!/bin/sh
# in_relion.sh FOLDER: RELION itself runs jobs of a project, with the programs in FOLDER first in its PATH. Needs relion_pipeliner
# (Debian's package relion has RELION 3.1.3). Ends with the jobs' states in RELION's pipeline: 2 is finished, 3 failed.
# Warnings, those about the result among them, may be in run.err, as RELION's own are: neither changes the state of a job.
set -eu
[ $# = 1 ] || { echo "usage: in_relion.sh FOLDER-OF-PROGRAMS" >&2; exit 2; }
command -v relion_pipeliner >/dev/null || { echo "relion_pipeliner is not there" >&2; exit 2; }
PATH="$(cd "$1" && pwd):$PATH"
export PATH
project="$(mktemp -d)"
trap 'rm -rf "$project"' EXIT
cd "$project"
gerelion simulate --preset mini --n 60 --box 32 --angpix 8 --snr 0.5 --o particles >/dev/null
printf '\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n' >default_pipeline.star

# Without a blank after the semicolons: it would count as a part of the name.
common="nr_mpi == 1;nr_threads == 2;do_queue == No;use_gpu == No;particle_diameter == 170;fn_img == particles.star"
reference="fn_ref == particles_truth1.mrc;sym_name == C4;sampling == 15 degrees;ini_high == 60"
relion_pipeliner --addJob Class2D --addJobOptions "$common;nr_classes == 4;nr_iter == 2;psi_sampling == 12" >/dev/null
relion_pipeliner --addJob Class3D --addJobOptions "$common;$reference;nr_classes == 2;nr_iter == 2" >/dev/null
relion_pipeliner --addJob Refine3D --addJobOptions "$common;$reference;auto_local_sampling == 7.5 degrees" >/dev/null

status=0
for job in Class2D/job001 Class3D/job002 Refine3D/job003; do
    relion_pipeliner --RunJobs $job/ --sec_wait_after 1 >/dev/null
    relion_pipeliner --check_job_completion >/dev/null
    if ! grep -q "$job/ .* 2 *$" default_pipeline.star || grep -v '^ *+* *WARNING: ' $job/run.err ||
        ! grep -q "relion_refine" $job/note.txt || ! grep -q GeRelion $job/run_it000_optimiser.star; then
        echo "$job did not end well:"
        cat $job/run.err
        status=1
    fi
done
# The files that the interface lists as results of these jobs are there.
sed -n '/^data_pipeline_nodes/,/^data_pipeline_input/p' default_pipeline.star | awk 'NF == 2 && /\// {print $1}' | while read -r file; do
    [ -e "$file" ] || { echo "$file is missing"; exit 1; }
done || status=1
sed -n '/^data_pipeline_processes/,/^data_pipeline_nodes/p' default_pipeline.star | grep job0
exit $status
