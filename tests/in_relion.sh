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

# Jobs after a refinement, on its files. That of a mask can only be added from a file.
refined=Refine3D/job003/run
mask=MaskCreate/job004/mask.mrc
cat >mask.star <<END

data_job

_rlnJobType 12
_rlnJobIsContinue 0

data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
angpix -1
do_helix No
do_queue No
extend_inimask 3
fn_in ${refined}_class001.mrc
helical_z_percentage 30
inimask_threshold 0.02
lowpass_filter 15
min_dedicated 1
nr_threads 2
other_args ""
qsub qsub
qsubscript none
queuename none
width_mask_edge 3

END
relion_pipeliner --addJobFromStar mask.star >/dev/null
half="fn_in == ${refined}_half1_class001_unfil.mrc;fn_mask == $mask;angpix == 8;do_queue == No"
relion_pipeliner --addJob PostProcess --addJobOptions "$half;do_auto_bfac == No;do_adhoc_bfac == Yes;adhoc_bfac == -500" >/dev/null
relion_pipeliner --addJob LocalRes --addJobOptions "$half;nr_mpi == 1;do_relion_locres == Yes;do_resmap_locres == No" >/dev/null
relion_pipeliner --addJob Subtract --addJobOptions "fn_opt == ${refined}_optimiser.star;fn_mask == $mask;nr_mpi == 1;do_queue == No" >/dev/null
for job in MaskCreate/job004 PostProcess/job005 LocalRes/job006 Subtract/job007; do
    relion_pipeliner --RunJobs $job/ --sec_wait_after 1 >/dev/null
    relion_pipeliner --check_job_completion >/dev/null
    if ! grep -q "$job/ .* 2 *$" default_pipeline.star; then
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
