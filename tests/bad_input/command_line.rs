//! Words of the command line.

use super::set::Set;
use std::fs;
use std::process::Command;

#[test]
fn unknown_option() {
    let mut set = Set::new();
    set.options.extend(["--tau_fudge", "4"].map(String::from));
    set.refuse("GR-0101");
}

/// `-- K 4` and `--K -- 4` come of blanks that got into a copied line.
#[test]
fn dashes_without_a_name() {
    let with = |words: [&str; 2]| {
        let mut set = Set::new();
        set.options.extend(words.map(String::from));
        set
    };
    for words in [["—", "K"], ["--K", "--"]] {
        let message = with(words).message();
        assert!(message.starts_with("GR-0101: the word '"), "{message}");
    }
    with(["--", "K"]).refuse("GR-0101");
}

#[test]
fn option_without_its_value() {
    let mut set = Set::new();
    set.options.extend(["--K", "--norm"].map(String::from));
    set.refuse("GR-0102");
}

#[test]
fn word_for_a_number() {
    Set::new()
        .option("--particle_diameter", "72A")
        .refuse("GR-0103");
}

#[test]
fn fraction_for_a_whole_number() {
    Set::new().option("--K", "1.5").refuse("GR-0103");
}

#[test]
fn number_out_of_range() {
    Set::new().option("--K", "0").refuse("GR-0103");
}

#[test]
fn unsupported_option() {
    let mut set = Set::new();
    set.options.push("--helix".into());
    set.refuse("GR-0104");
}

#[test]
fn no_output() {
    let mut set = Set::new();
    let at = set.options.iter().position(|word| word == "--o").unwrap();
    set.options.drain(at..at + 2);
    set.refuse("GR-0105");
}

/// Class averages start from nothing, half-sets do not.
#[test]
fn no_reference() {
    let mut set = Set::new();
    let at = set.options.iter().position(|word| word == "--ref").unwrap();
    set.options.drain(at..at + 2);
    set.options.push("--auto_refine".to_owned());
    set.refuse("GR-0105");
}

#[test]
fn classes_in_auto_refine() {
    let mut set = Set::new().option("--K", "2");
    set.options.push("--auto_refine".into());
    set.refuse("GR-0106");
}

#[test]
fn fsc_corrected_for_no_mask() {
    let mut set = Set::new();
    set.options.push("--solvent_correct_fsc".into());
    set.refuse("GR-0106");
}

#[test]
fn more_point_groups_than_classes() {
    Set::new().option("--sym", "C1,C2,C3").refuse("GR-0106");
}

#[test]
fn unknown_symmetry() {
    Set::new().option("--sym", "Q7").refuse("GR-0107");
}

#[test]
fn symmetry_file_with_a_strange_line() {
    let set = Set::new().option("--sym", "my.sym");
    fs::write(set.path("my.sym"), "rot_axis 4 0 0 1\nrot_axis two 1 0 0\n").unwrap();
    set.refuse("GR-0108");
}

#[test]
fn symmetry_file_that_makes_no_group() {
    let set = Set::new().option("--sym", "my.sym");
    fs::write(set.path("my.sym"), "rot_axis 4 0 0 1\nrot_axis 2 1 0 0.3\n").unwrap();
    set.refuse("GR-0108");
}

#[test]
fn missing_output_folder() {
    Set::new().option("--o", "nowhere/run").refuse("GR-0208");
}

/// The advised command makes one folder.
#[test]
fn missing_output_folder_with_a_blank() {
    let set = Set::new().option("--o", "my job/run");
    set.refuse("GR-0208");
}

/// A root in the place where a folder is needed cannot be written to by anybody, root included. The reason is the
/// system's and differs between users, so that the message is not compared.
#[test]
fn unwritable_output_folder() {
    use std::os::unix::fs::PermissionsExt;
    let set = Set::new().option("--o", "locked/run");
    let locked = set.path("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    let (set, folder) = match fs::write(locked.join("probe"), b"") {
        // The superuser may write anywhere but in such a place.
        Ok(()) => (set.option("--o", "/proc/run"), "/proc"),
        Err(_) => (set, "locked"),
    };
    let message = set.message();
    let start = format!("GR-0209: cannot write into the output folder {folder} of --o");
    assert!(message.starts_with(&start), "{message}");
    assert!(message.contains("permissions"), "{message}");
}

#[test]
fn scratch_folder_that_is_not_there() {
    Set::new()
        .option("--scratch_dir", "nowhere")
        .refuse("GR-0210");
}

#[test]
fn devices_that_are_no_numbers() {
    // Read before any device is looked for.
    let message = Set::new().option("--gpu", "0,x").message();
    let known = ["GR-0103: ", "GR-0501: ", "GR-0502: "];
    assert!(known.iter().any(|k| message.starts_with(k)), "{message}");
}

#[test]
fn particle_of_no_size() {
    Set::new()
        .option("--particle_diameter", "0")
        .refuse("GR-0103");
}

/// A stop that the job scheduler asks for is no error, but has a code to look up.
#[test]
fn abort_on_request() {
    let set = Set::new();
    fs::write(set.path("out/RELION_JOB_ABORT_NOW"), b"").unwrap();
    let output = set.run();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let at = said
        .find("GR-")
        .unwrap_or_else(|| panic!("no code in {said}"));
    let mut lines = said[at..].lines();
    super::snapshot::check("GR-0607", lines.next().unwrap());
    assert_eq!(lines.next(), Some(" exiting with an abort ..."));
    assert!(set.path("out/RELION_JOB_EXIT_ABORTED").exists());
}

/// The log's disk is full: nothing can be printed, and that is what is said, where it still can be.
#[test]
fn log_that_cannot_be_written() {
    let set = Set::new();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(&set.options)
        .current_dir(set.folder.path())
        .stdout(full)
        .output()
        .unwrap();
    super::snapshot::check("GR-0209", &super::set::failure(&output));
    assert!(set.path("out/RELION_JOB_EXIT_FAILURE").exists());
}

#[test]
fn offset_range_beyond_the_image() {
    Set::new().option("--offset_range", "20").refuse("GR-0103");
}

#[test]
fn offset_step_beyond_the_image() {
    Set::new().option("--offset_step", "20").refuse("GR-0103");
}

#[test]
fn initial_filter_beyond_the_box() {
    Set::new().option("--ini_high", "1000").refuse("GR-0103");
}

#[test]
fn offset_range_of_many_steps() {
    Set::new().option("--offset_range", "900").refuse("GR-0106");
}

#[test]
fn offset_step_of_nothing() {
    Set::new()
        .option("--offset_step", "1e-30")
        .refuse("GR-0103");
}

#[test]
fn psi_step_of_nothing() {
    Set::new().option("--psi_step", "1e-9").refuse("GR-0103");
}

#[test]
fn more_classes_than_particles() {
    Set::new().option("--K", "10000").refuse("GR-0103");
}

/// 3·10⁶ directions, 3072 in-plane angles: 10¹¹ differences per image. How much memory is free differs.
#[test]
fn global_search_that_does_not_fit_into_memory() {
    let set = Set::new().option("--healpix_order", "9");
    let message = set.message();
    assert!(message.starts_with("GR-0511"), "{message}");
    assert!(message.contains("--healpix_order"), "{message}");
}

#[test]
fn deterministic_on_a_gpu() {
    let mut set = Set::new().option("--gpu", "0");
    set.options.push("--deterministic".into());
    set.refuse("GR-0106");
}

/// The lock of another run, held by this test.
#[test]
fn two_runs_with_one_root() {
    let set = Set::new();
    let path = set.path("out/.run.gerelion_lock");
    let lock = fs::File::create(&path).unwrap();
    lock.lock().unwrap();
    fs::write(&path, "process 4711 on node07").unwrap();
    set.refuse("GR-0212");
    // The folder's marker is that of the other run, which has not failed.
    assert!(!set.path("out/RELION_JOB_EXIT_FAILURE").exists());
}

#[test]
fn iterations_below_zero() {
    Set::new().option("--iter", "-3").refuse("GR-0103");
}

#[test]
fn psi_step_of_zero() {
    Set::new().option("--psi_step", "0").refuse("GR-0103");
}

#[test]
fn psi_step_below_zero() {
    Set::new().option("--psi_step", "-12").refuse("GR-0103");
}

/// Every option of numbers states its range; these are the ends of some, and what once was taken without a word.
#[test]
fn numbers_that_no_run_can_use() {
    for (option, value) in [
        ("--tau2_fudge", "0"),
        ("--tau2_fudge", "-4"),
        ("--limit_tilt", "200"),
        ("--ini_high", "0.0001"),
        ("--ini_high", "-5"),
        ("--strict_highres_exp", "0.01"),
        ("--angpix", "0"),
        ("--ref_angpix", "-2"),
        ("--particle_diameter", "-170"),
        ("--sigma_ang", "-3"),
        ("--sigma_ang", "1000"),
        ("--healpix_order", "10"),
        ("--maskedge", "-1"),
        ("--offset_range", "1e30"),
        ("--adaptive_fraction", "1.5"),
        ("--reject_limit", "100"),
        ("--stall_limit", "0"),
        ("--random_seed", "-2"),
        ("--verb", "-1"),
    ] {
        let message = Set::new().option(option, value).message();
        let begin = format!("GR-0103: {option} {value} is not possible: it must ");
        assert!(message.starts_with(&begin), "{message}");
    }
}

/// The options are at fault, not the first particle.
#[test]
fn resolutions_that_leave_nothing_between_them() {
    let set = Set::new().option("--strict_lowres_exp", "10");
    set.option("--strict_highres_exp", "20").refuse("GR-0103");
}

#[test]
fn samplings_that_exclude_each_other() {
    let set = Set::new().option("--minimum_angular_sampling", "20");
    set.option("--maximum_angular_sampling", "5")
        .refuse("GR-0106");
}

#[test]
fn regularisation_of_nothing() {
    Set::new().option("--tau2_fudge", "0").refuse("GR-0103");
}

#[test]
fn filter_beyond_all_maps() {
    Set::new().option("--ini_high", "0.0001").refuse("GR-0103");
}

/// Memory of the machine and its devices, and no disk.
#[test]
fn scratch_folder_of_the_system() {
    Set::new().option("--scratch_dir", "/dev").refuse("GR-0210");
}

#[test]
fn output_among_the_devices() {
    if fs::write("/dev/gerelion_probe", b"").is_ok() {
        fs::remove_file("/dev/gerelion_probe").unwrap();
        Set::new().option("--o", "/dev/run").refuse("GR-0209");
    }
}

/// Told, since it is possible.
#[test]
fn as_many_classes_as_particles() {
    let set = Set::new().option("--K", "6");
    let said = String::from_utf8(set.run().stderr).unwrap();
    assert!(
        said.contains("6 particles are divided into 6 classes (--K), 1.0 for each"),
        "{said}"
    );
    let said = String::from_utf8(Set::new().option("--K", "2").run().stderr).unwrap();
    assert!(!said.contains("are divided into"), "{said}");
}
