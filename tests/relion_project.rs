//! In RELION's place: the commands of a project's four job types, as RELION's interface writes them (spec 03 §4.3, 04 §16, 05 §17),
//! run by a shell that has this program first in its PATH. The jobs are small, everything else is the interface's.

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

/// What the program finds wrong with a result stands in `run.err`; the job is finished all the same.
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
