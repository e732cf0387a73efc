//! In RELION's place: the commands of a project's jobs, as RELION's interface writes them (spec 03 §4.3, 04 §16, 05 §17; those after a
//! refinement as the notes of RELION 3.1.3's jobs have them), run by a shell that has this program first in its PATH. The jobs are
//! small, everything else is the interface's.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the programs under test: first in PATH while the interface's commands run.
fn programs() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_relion_refine"));
    program.parent().unwrap().to_owned()
}

/// Runs lines of shell in the project's folder, as the interface does with the command of a job.
fn shell(project: &Path, lines: &str) {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-ec", lines])
        .env("PATH", format!("{}:{path}", programs().display()))
        .current_dir(project)
        .output()
        .unwrap();
    assert!(output.status.success(), "{lines}\n{output:?}");
}

/// Runs the command of one job, whose folder the interface has made with `job.star` and `note.txt`.
fn job(project: &Path, folder: &str, command: &str) {
    let directory = project.join(folder);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(
        directory.join("job.star"),
        "\ndata_job\n\n_rlnJobTypeLabel relion.refine3d\n",
    )
    .unwrap();
    let note = format!(
        " ++++ Executing new job on Mon Nov 23 10:00:00 2026\n ++++ with the following command(s):\n{command}\n"
    );
    std::fs::write(directory.join("note.txt"), &note).unwrap();
    shell(
        project,
        &format!("{command} >> {folder}/run.out 2>> {folder}/run.err"),
    );
    let left = |name: &str| directory.join(name);
    assert!(left("RELION_JOB_EXIT_SUCCESS").exists(), "{folder}");
    assert!(!left("RELION_JOB_EXIT_FAILURE").exists(), "{folder}");
    // Files of the interface stay as they are.
    assert_eq!(std::fs::read_to_string(left("note.txt")).unwrap(), note);
    assert_warnings_alone(&std::fs::read_to_string(left("run.err")).unwrap());
}

/// The interface shows `run.err` to the user, in red: it holds warnings, as that of RELION's programs does, and no other lines.
fn assert_warnings_alone(text: &str) {
    for line in text.lines() {
        let line = line.trim_start_matches([' ', '+']);
        assert!(line.starts_with("WARNING: "), "{line}");
    }
}

/// Whether the files that the interface lists as results are there.
fn assert_there(project: &Path, files: &[&str]) {
    for file in files {
        assert!(project.join(file).exists(), "{file} is missing");
    }
}

/// A project with a refinement.
fn refined_project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    shell(
        project,
        "gerelion simulate --preset mini --n 60 --box 32 --angpix 8 --snr 0.5 --o particles",
    );
    job(
        project,
        "Refine3D/job005",
        "`which relion_refine_mpi` --o Refine3D/job005/run --auto_refine --split_random_halves --i particles.star \
         --ref particles_truth1.mrc --firstiter_cc --ini_high 60 --dont_combine_weights_via_disc --pool 3 --pad 2 --ctf \
         --particle_diameter 170 --flatten_solvent --zero_mask --oversampling 1 --healpix_order 1 --auto_local_healpix_order 2 \
         --offset_range 5 --offset_step 2 --sym C4 --low_resol_join_halves 40 --norm --scale --j 2 --pipeline_control Refine3D/job005/",
    );
    folder
}

#[test]
fn jobs_after_a_refinement_run_as_the_interface_starts_them() {
    let folder = refined_project();
    let project = folder.path();
    job(
        project,
        "MaskCreate/job006",
        "`which relion_mask_create` --i Refine3D/job005/run_class001.mrc --o MaskCreate/job006/mask.mrc --lowpass 15 --ini_threshold 0.02 \
         --extend_inimask 3 --width_soft_edge 3 --j 1  --pipeline_control MaskCreate/job006/",
    );
    assert_there(project, &["MaskCreate/job006/mask.mrc"]);
    job(
        project,
        "PostProcess/job007",
        "`which relion_postprocess` --mask MaskCreate/job006/mask.mrc --i Refine3D/job005/run_half1_class001_unfil.mrc \
         --o PostProcess/job007/postprocess  --angpix 8 --adhoc_bfac -1000  --pipeline_control PostProcess/job007/",
    );
    assert_there(
        project,
        &[
            "PostProcess/job007/postprocess.mrc",
            "PostProcess/job007/postprocess_masked.mrc",
            "PostProcess/job007/logfile.pdf",
            "PostProcess/job007/postprocess.star",
        ],
    );
    job(
        project,
        "LocalRes/job008",
        "`which relion_postprocess` --locres --i Refine3D/job005/run_half1_class001_unfil.mrc --o LocalRes/job008/relion --angpix 8 \
         --adhoc_bfac -100 --mask MaskCreate/job006/mask.mrc  --pipeline_control LocalRes/job008/",
    );
    assert_there(
        project,
        &[
            "LocalRes/job008/histogram.pdf",
            "LocalRes/job008/relion_locres_filtered.mrc",
            "LocalRes/job008/relion_locres.mrc",
        ],
    );
    job(
        project,
        "Subtract/job009",
        "`which relion_particle_subtract` --i Refine3D/job005/run_optimiser.star --mask MaskCreate/job006/mask.mrc --o Subtract/job009/ \
         --recenter_on_mask --new_box -1  --pipeline_control Subtract/job009/",
    );
    assert_there(project, &["Subtract/job009/particles_subtracted.star"]);
    // The interface's next job reads what this one lists.
    shell(
        project,
        "relion_reconstruct --i Subtract/job009/particles_subtracted.star --o subtracted.mrc --ctf",
    );
}

/// The interface has no job for these; they are started as an external one, with its marker files, for each half-set.
#[test]
fn reconstructions_run_as_an_external_job_starts_them() {
    let folder = refined_project();
    let project = folder.path();
    for (folder, options) in [
        ("External/job011", "--ctf"),
        ("External/job012", "--ewald --mask_diameter 170"),
    ] {
        job(
            project,
            folder,
            &format!(
                "`which relion_reconstruct` --i Refine3D/job005/run_data.star --o {folder}/run_class001.mrc --sym C4 --pad 2 {options} \
                 --pipeline_control {folder}/"
            ),
        );
        assert_there(project, &[&format!("{folder}/run_class001.mrc")]);
    }
}

#[test]
fn the_four_job_types_run_as_the_interface_starts_them() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    std::fs::create_dir_all(project.join("Extract/job001")).unwrap();
    shell(
        project,
        "gerelion simulate --preset mini --n 60 --box 32 --angpix 8 --snr 0.5 --o Extract/job001/particles",
    );
    let common = "--i Extract/job001/particles.star --dont_combine_weights_via_disc --pool 3 --ctf --particle_diameter 170 --flatten_solvent \
                  --zero_mask --oversampling 1";
    job(
        project,
        "Class2D/job002",
        &format!(
            "`which relion_refine` --o Class2D/job002/run --iter 2 {common} --pad 2 --tau2_fudge 2 --K 4 --center_classes --psi_step 24 \
             --offset_range 5 --offset_step 2 --norm --scale --j 2 --pipeline_control Class2D/job002/"
        ),
    );
    assert_there(
        project,
        &[
            "Class2D/job002/run_it002_data.star",
            "Class2D/job002/run_it002_optimiser.star",
            "Class2D/job002/run_it002_model.star",
            "Class2D/job002/run_it002_classes.mrcs",
        ],
    );
    job(
        project,
        "InitialModel/job003",
        &format!(
            "`which relion_refine` --o InitialModel/job003/run --iter 6 --grad --denovo_3dref {common} --K 1 --sym C1 --pad 1 \
             --healpix_order 1 --offset_range 6 --offset_step 2 --auto_sampling --tau2_fudge 4 --j 2 --pipeline_control InitialModel/job003/ \
             && rm -f InitialModel/job003/RELION_JOB_EXIT_SUCCESS \
             && `which relion_align_symmetry` --i InitialModel/job003/run_it006_model.star --o InitialModel/job003/initial_model.mrc --sym C4 \
             --apply_sym --select_largest_class && touch InitialModel/job003/RELION_JOB_EXIT_SUCCESS"
        ),
    );
    assert_there(project, &["InitialModel/job003/initial_model.mrc"]);
    let of_map = "--ref Extract/job001/particles_truth1.mrc --firstiter_cc --trust_ref_size --ini_high 60 --pad 2 --healpix_order 1 \
                  --offset_range 5 --offset_step 2 --sym C4 --norm --scale --j 2";
    job(
        project,
        "Class3D/job004",
        &format!(
            "`which relion_refine` --o Class3D/job004/run {common} {of_map} --iter 2 --tau2_fudge 4 --K 2 --pipeline_control Class3D/job004/"
        ),
    );
    assert_there(
        project,
        &[
            "Class3D/job004/run_it002_data.star",
            "Class3D/job004/run_it002_optimiser.star",
            "Class3D/job004/run_it002_class001.mrc",
            "Class3D/job004/run_it002_class002.mrc",
        ],
    );
    job(
        project,
        "Refine3D/job005",
        &format!(
            "`which relion_refine_mpi` --o Refine3D/job005/run --auto_refine --split_random_halves {common} {of_map} \
             --auto_local_healpix_order 2 --low_resol_join_halves 40 --pipeline_control Refine3D/job005/"
        ),
    );
    assert_there(
        project,
        &[
            "Refine3D/job005/run_data.star",
            "Refine3D/job005/run_optimiser.star",
            "Refine3D/job005/run_class001.mrc",
            "Refine3D/job005/run_half1_class001_unfil.mrc",
            "Refine3D/job005/run_half2_class001_unfil.mrc",
        ],
    );
}

/// Findings about a result stand in `run.err`; the job is finished all the same.
#[test]
fn a_finding_does_not_make_a_job_fail() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    shell(
        project,
        "gerelion simulate --preset mini --n 60 --box 32 --angpix 8 --snr 0.5 --o particles",
    );
    // Nothing takes the noise around the particle away.
    job(
        project,
        "Class3D/job001",
        "`which relion_refine` --o Class3D/job001/run --i particles.star --ref particles_truth1.mrc --firstiter_cc --ini_high 60 --ctf \
         --particle_diameter 170 --iter 2 --sym C4 --j 2 --pipeline_control Class3D/job001/",
    );
    let errors = std::fs::read_to_string(project.join("Class3D/job001/run.err")).unwrap();
    assert!(errors.contains("--flatten_solvent"), "{errors}");
}
