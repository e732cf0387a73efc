//! The command line as scripts use it: the published GeRelion commands, refusals, suggestions, help, exit status.

use gerelion::options::{CommandLine, Treatment, table};
use gerelion::refinement::settings::Settings;
use std::process::{Command, Output};

/// Options of every published command (the paper's Table 2 jobs).
const COMMON: &str = "--ctf --ctf_corrected_ref --flatten_solvent --zero_mask --oversampling 1 --healpix_order 2 --norm \
                      --scale --dont_combine_weights_via_disc --firstiter_cc --mode 1";

fn parse(text: &str) -> Settings {
    let words = text.split_whitespace().map(String::from);
    let line = CommandLine::parse(words).unwrap_or_else(|e| panic!("{text}\n{e}"));
    Settings::from_command_line(&line).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn refusal(text: &str) -> String {
    CommandLine::parse(text.split_whitespace().map(String::from))
        .and_then(|line| Settings::from_command_line(&line))
        .expect_err("must be refused")
        .to_string()
}

fn relion_refine(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words)
        .output()
        .expect("the program starts")
}

fn assert_common(settings: &Settings) {
    assert!(settings.ctf && settings.flatten_solvent && settings.zero_mask);
    assert!(settings.norm && settings.scale && settings.first_iteration_cc);
    assert!(!settings.ctf_uncorrected_reference);
    assert_eq!(
        (settings.oversampling, settings.healpix_order),
        (1, Some(2))
    );
    assert_eq!(
        settings.gpu.as_deref(),
        Some(""),
        "--mode 1 asks for the GPU"
    );
    assert_eq!(settings.offset_step, Some(2.0));
    assert_eq!(settings.perturbation, 0.5);
}

#[test]
fn paper_auto_refine_trpv1() {
    for symmetry in ["C1", "C4"] {
        let settings = parse(&format!(
            "--o Refine_OPT_{symmetry}/run8 --auto_refine --split_random_halves --i new_DFMerge_20.star --particle_diameter 160 \
             --angpix 1.2156 --ref EMD-5778.mrc --ini_high 60 --auto_local_healpix_order 4 --offset_range 5 --offset_step 2 \
             --sym {symmetry} --low_resol_join_halves 40 --j 1 --memory_per_thread 8 {COMMON}"
        ));
        assert_common(&settings);
        assert!(settings.auto_refine && settings.split_random_halves);
        assert_eq!(settings.output_root, format!("Refine_OPT_{symmetry}/run8"));
        assert_eq!(settings.symmetry, symmetry);
        assert_eq!(settings.particle_diameter, Some(160.0));
        assert_eq!(settings.pixel_size, Some(1.2156));
        assert_eq!(settings.initial_low_pass, Some(60.0));
        assert_eq!(settings.low_resol_join_halves, Some(40.0));
        assert_eq!(settings.auto_local_healpix_order, 4);
        assert_eq!(settings.offset_range, Some(5.0));
        assert_eq!(
            (settings.classes, settings.threads, settings.iterations),
            (1, 1, None)
        );
        assert_eq!(settings.random_seed, None);
    }
}

#[test]
fn paper_classification_trpv1() {
    for symmetry in ["C1", "C4"] {
        let settings = parse(&format!(
            "--o Class3D_OPT/run8 --i allimg.star --particle_diameter 180 --angpix 1.23 --ref 3D_relion_class001_shz-5.dat \
             --ini_high 40 --iter 25 --tau2_fudge 4 --K 6 --offset_range 5 --offset_step 2 --sym {symmetry} --j 1 \
             --memory_per_thread 8 {COMMON}"
        ));
        assert_common(&settings);
        assert!(!settings.auto_refine && !settings.split_random_halves);
        assert_eq!(settings.iterations, Some(25));
        assert_eq!(settings.tau2_fudge, Some(4.0));
        assert_eq!(settings.classes, 6);
        assert_eq!(settings.symmetry, symmetry);
        assert_eq!(
            settings.reference.unwrap().to_str(),
            Some("3D_relion_class001_shz-5.dat")
        );
    }
}

#[test]
fn paper_auto_refine_rag() {
    let settings = parse(&format!(
        "--o Refine3D_OPT/run8 --auto_refine --split_random_halves --i particles_autopick_sort_class2d.star \
         --particle_diameter 200 --angpix 3.54 --ref 3i3e_lp50A.mrc --ini_high 60 --auto_local_healpix_order 4 \
         --offset_range 4 --offset_step 2 --sym D2 --low_resol_join_halves 40 --j 2 --memory_per_thread 4 \
         --random_seed 1401784870 {COMMON}"
    ));
    assert_common(&settings);
    assert_eq!(settings.random_seed, Some(1_401_784_870));
    assert_eq!((settings.symmetry.as_str(), settings.threads), ("D2", 2));
    assert_eq!(settings.offset_range, Some(4.0));
}

#[test]
fn paper_classification_rag() {
    let settings = parse(&format!(
        "--o Class3D_OPT/run8 --i particles_autopick_sort_class2d.star --particle_diameter 200 --angpix 3.54 \
         --ref 3i3e_lp50A.mrc --ini_high 50 --iter 25 --tau2_fudge 2 --K 4 --offset_range 3 --offset_step 2 --sym C1 --j 1 \
         --memory_per_thread 4 {COMMON}"
    ));
    assert_common(&settings);
    assert_eq!((settings.classes, settings.tau2_fudge), (4, Some(2.0)));
}

/// Command line of the RELION GUI for a Refine3D job with an empty GPU field.
#[test]
fn the_gui_command_is_accepted() {
    let words = [
        "--o",
        "Refine3D/job002/run",
        "--auto_refine",
        "--split_random_halves",
        "--i",
        "Extract/job001/particles.star",
        "--ref",
        "ref.mrc",
        "--firstiter_cc",
        "--trust_ref_size",
        "--ini_high",
        "60",
        "--dont_combine_weights_via_disc",
        "--no_parallel_disc_io",
        "--preread_images",
        "--pool",
        "3",
        "--pad",
        "2",
        "--auto_ignore_angles",
        "--auto_resol_angles",
        "--ctf",
        "--ctf_intact_first_peak",
        "--particle_diameter",
        "200",
        "--flatten_solvent",
        "--zero_mask",
        "--solvent_mask",
        "mask.mrc",
        "--solvent_correct_fsc",
        "--oversampling",
        "1",
        "--healpix_order",
        "2",
        "--auto_local_healpix_order",
        "4",
        "--offset_range",
        "5",
        "--offset_step",
        "2",
        "--sym",
        "C4",
        "--low_resol_join_halves",
        "40",
        "--norm",
        "--scale",
        "--j",
        "4",
        "--gpu",
        "",
        "--pipeline_control",
        "Refine3D/job002/",
    ];
    let line = CommandLine::parse(words.map(String::from)).unwrap();
    let settings = Settings::from_command_line(&line).unwrap();
    assert_eq!(settings.gpu.as_deref(), Some(""));
    assert_eq!(
        settings.pipeline_control.as_deref(),
        Some("Refine3D/job002/")
    );
    assert!(
        settings.solvent_correct_fsc && settings.auto_resol_angles && settings.trust_reference_size
    );
    assert!(settings.ctf_flags.intact_first_peak);
}

#[test]
fn whole_families_are_refused_with_their_reason() {
    for (option, reason) in [
        ("--helix", "helical processing"),
        ("--som", "self-organising maps"),
        ("--tomograms t.star", "tomography"),
        ("--multibody_masks m.star", "multi-body"),
        ("--realign_movie_frames m.star", "movie"),
        ("--sim_anneal", "simulated annealing"),
        ("--sgd", "gradient"),
        ("--pad_ctf", "disabled"),
    ] {
        let message = refusal(&format!("--i a.star --o run --ref r.mrc {option}"));
        let name = option.split(' ').next().unwrap();
        assert!(
            message.starts_with(&format!("{name} is not supported by this program: ")),
            "{message}"
        );
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn every_refused_flag_is_refused() {
    for entry in table::all() {
        if let (Treatment::Refused(reason), gerelion::options::Kind::Flag) =
            (entry.treatment, entry.kind)
        {
            assert!(refusal(entry.name).contains(reason), "{}", entry.name);
        }
    }
}

#[test]
fn combinations_that_cannot_work_are_refused() {
    for (text, part) in [
        (
            "--auto_refine --K 2",
            "half-sets are refined against one reference",
        ),
        (
            "--split_random_halves --K 3",
            "half-sets are refined against one reference",
        ),
        (
            "--perturb 1.5",
            "--perturb 1.5 is not possible: it must lie between 0 and 1",
        ),
        ("--perturb -0.1", "it must lie between 0 and 1"),
        ("--fast_subsets --iter 10", "needs at least 20 iterations"),
        (
            "--fast_subsets --auto_refine",
            "--fast_subsets is for classification",
        ),
        ("--solvent_correct_fsc", "needs --solvent_mask"),
        ("--lowpass_mask m.mrc", "--lowpass X"),
        ("--free_gpu_memory -5", "it must be at least 0 MB"),
        (
            "--particle_diameter 0",
            "it must lie between 1 and 100000 Å",
        ),
        ("--K 0", "it must be at least 1"),
        ("--mode 2", "it must lie between 0 and 1"),
        ("--adaptive_fraction 1.2", "it must lie between 0.001 and 1"),
    ] {
        let message = refusal(&format!("--i a.star --o run --ref r.mrc {text}"));
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn input_output_and_reference_are_needed() {
    assert!(refusal("--o run --ref r.mrc").starts_with("--i is missing"));
    assert!(refusal("--i a.star --ref r.mrc").starts_with("--o is missing"));
    assert!(refusal("--ref r.mrc").starts_with("--i and --o are missing"));
    assert!(refusal("--i a.star --o run --auto_refine").starts_with("--ref is missing"));
}

#[test]
fn a_misspelt_option_stops_the_program_with_the_nearest_name() {
    let output = relion_refine(&[
        "--i",
        "a.star",
        "--o",
        "run",
        "--ref",
        "r.mrc",
        "--tau_fudge",
        "4",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.starts_with(
            "ERROR:\nGR-0101: --tau_fudge is not an option of relion_refine; did you mean --tau2_fudge?"
        ),
        "{message}"
    );
}

#[test]
fn help_and_version_end_well() {
    let help = |words: &[&str]| {
        let output = relion_refine(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&["--help"]);
    for entry in table::all() {
        let is_refused = matches!(entry.treatment, Treatment::Refused(_));
        let is_named = all.split_whitespace().any(|word| word == entry.name);
        assert_eq!(is_named, !is_refused, "{}", entry.name);
    }
    let usual = help(&["-h"]);
    assert!(usual.lines().count() <= 52 && usual.contains("--particle_diameter"));
    assert_eq!(help(&[]), usual);
    assert_eq!(help(&["--continue"]), usual);
    assert!(help(&["--help", "diameter"]).contains("--particle_diameter"));
    assert_eq!(relion_refine(&["--help", "xyzzy"]).status.code(), Some(1));
    let output = relion_refine(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("RELION version"));
}

/// The help of a program begins with what it is for, and not with the word for its options.
#[test]
fn the_help_of_each_program_begins_with_its_purpose() {
    for (program, verb) in [
        (env!("CARGO_BIN_EXE_relion_align_symmetry"), "Turn"),
        (env!("CARGO_BIN_EXE_relion_localres"), "Find"),
        (env!("CARGO_BIN_EXE_relion_localsym"), "Average"),
        (env!("CARGO_BIN_EXE_relion_mask_create"), "Make"),
        (env!("CARGO_BIN_EXE_relion_particle_subtract"), "Subtract"),
        (env!("CARGO_BIN_EXE_relion_postprocess"), "Make"),
        (env!("CARGO_BIN_EXE_relion_reconstruct"), "Make"),
        (env!("CARGO_BIN_EXE_gerelion"), "Simulate"),
    ] {
        let output = Command::new(program).arg("--help").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(verb), "{program}: {text}");
    }
}

#[test]
fn lists_are_printed_without_a_run() {
    let output = relion_refine(&["--sym", "D2", "--print_symmetry_ops"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("D2 has 4 operators") && text.contains("Operator 4"),
        "{text}"
    );

    let output = relion_refine(&["--print_metadata_labels"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("_rlnImageName"));
}

#[test]
fn the_mpi_name_is_the_same_program_and_refuses_to_run_as_copies() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine_mpi"))
        .args([
            "--i",
            "a.star",
            "--ref",
            "r.mrc",
            "--o",
            root.to_str().unwrap(),
        ])
        .env("OMPI_COMM_WORLD_SIZE", "3")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("GR-0601: started as 3 processes by an MPI launcher"),
        "{message}"
    );
}

#[test]
fn the_job_scheduler_is_told_of_a_failure_even_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = format!("{}/", folder.path().display());
    let output = relion_refine(&["--i", "a.star", "--nonsense", "--pipeline_control", &prefix]);
    assert_eq!(output.status.code(), Some(1));
    assert!(folder.path().join("RELION_JOB_EXIT_FAILURE").exists());
    assert!(!folder.path().join("RELION_JOB_EXIT_SUCCESS").exists());
}

/// The pages and scripts that `make install` puts in place: each program has them, the options come from the table.
#[test]
fn manual_pages_and_completions_are_made_from_the_option_table() {
    let folder = tempfile::tempdir().unwrap();
    let gerelion = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gerelion"))
            .args(words)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?} {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    gerelion(&["man", "man1"]);
    let page = read("man1/relion_refine.1").replace("\\-", "-");
    for entry in table::all() {
        let is_refused = matches!(entry.treatment, Treatment::Refused(_));
        let is_named = page.contains(&format!("\\fB{}\\fR", entry.name));
        assert_eq!(is_named, !is_refused, "{}", entry.name);
    }
    for name in [
        "relion_refine_mpi",
        "relion_align_symmetry",
        "gerelion",
        "gerelion-report",
    ] {
        assert!(
            read(&format!("man1/{name}.1")).contains(".SH NAME"),
            "{name}"
        );
    }
    for (shell, file) in [
        ("bash", "relion_refine.bash"),
        ("zsh", "_relion_refine"),
        ("fish", "relion_refine.fish"),
    ] {
        gerelion(&["completions", shell, "scripts"]);
        let script = read(&format!("scripts/{file}"));
        let names = ["particle_diameter", "healpix_order", "sigma_ang"];
        assert!(names.iter().all(|name| script.contains(name)), "{script}");
        assert!(!script.contains("multibody_masks"), "{script}");
        let printed = gerelion(&["completions", shell]);
        assert!(printed.contains(&script), "{shell}");
        if Command::new(shell).arg("--version").output().is_ok() {
            let path = folder.path().join("scripts").join(file);
            let read = Command::new(shell).arg("-n").arg(path).status().unwrap();
            assert!(read.success(), "{shell} does not read {file}");
        }
    }
}
