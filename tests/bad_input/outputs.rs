//! Outputs that would take the place of an input or of a device, and inputs that are no files: nothing is lost, and nothing waits.

use super::set::{Set, failure};
use super::snapshot;
use super::tools::{gerelion, refuse};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The command is refused and the file is what it was.
fn keeps(file: &str, words: &str) {
    let set = Set::new();
    let before = fs::read(set.path(file)).unwrap();
    refuse(&set, words, "GR-0103");
    assert_eq!(fs::read(set.path(file)).unwrap(), before);
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn map_over_the_particles_it_is_made_of() {
    keeps(
        "particles.star",
        "reconstruct --i particles.star --o ./particles.star",
    );
}

#[test]
fn mask_over_its_map() {
    keeps(
        "ref.mrc",
        "mask --i ref.mrc --o ref.mrc --ini_threshold 0.1",
    );
}

#[test]
fn aligned_map_over_its_input() {
    keeps("ref.mrc", "align-symmetry --i ref.mrc --o ref.mrc --sym C2");
}

#[test]
fn sharpened_map_over_a_half_map() {
    let set = Set::new();
    fs::copy(set.path("ref.mrc"), set.path("half2.mrc")).unwrap();
    let before = fs::read(set.path("half2.mrc")).unwrap();
    let words = "postprocess --i ref.mrc --i2 half2.mrc --o half2";
    refuse(&set, words, "GR-0103");
    assert_eq!(fs::read(set.path("half2.mrc")).unwrap(), before);
}

/// In the place of the pipe stands a device in real life.
#[test]
fn map_in_the_place_of_a_device() {
    let set = Set::new();
    make_pipe(&set.path("device"));
    refuse(
        &set,
        "mask --i ref.mrc --o device --ini_threshold 0.1",
        "GR-0209",
    );
    use std::os::unix::fs::FileTypeExt;
    let there = fs::metadata(set.path("device")).unwrap();
    assert!(there.file_type().is_fifo());
}

/// Runs `relion_refine` on the set for some seconds at most.
fn ends_soon(set: &Set) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(&set.options)
        .current_dir(set.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it still waits");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn refuse_pipe(name: &str) {
    let set = Set::new();
    fs::remove_file(set.path(name)).unwrap();
    make_pipe(&set.path(name));
    let message = failure(&ends_soon(&set));
    snapshot::check("GR-0202", &set.neutral(&message));
}

#[test]
fn particle_file_that_is_a_pipe() {
    refuse_pipe("particles.star");
}

#[test]
fn reference_that_is_a_pipe() {
    refuse_pipe("ref.mrc");
}

/// `ulimit -f` ends the program with a message, and nothing of the attempt stays.
#[test]
fn map_beyond_the_limit_of_file_sizes() {
    let set = Set::new();
    let program = env!("CARGO_BIN_EXE_gerelion");
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -f 8; exec {program} mask --i ref.mrc --o mask.mrc --ini_threshold 0.1"
        ))
        .current_dir(set.folder.path())
        .output()
        .unwrap();
    let message = failure(&output);
    assert!(message.starts_with("GR-0209"), "{message}");
    let left: Vec<_> = fs::read_dir(set.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("mask"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Programs that write files make no folders for them: a misspelt name would hide the result.
#[test]
fn outputs_into_a_folder_that_is_not_there() {
    let set = Set::new();
    fs::copy(set.path("ref.mrc"), set.path("half2.mrc")).unwrap();
    for words in [
        "postprocess --i ref.mrc --i2 half2.mrc --o nowhere/post",
        "localres --i ref.mrc --i2 half2.mrc --o nowhere/post",
        "mask --i ref.mrc --o nowhere/mask.mrc --ini_threshold 0.1",
        "reconstruct --i particles.star --o nowhere/map.mrc",
        "align-symmetry --i ref.mrc --o nowhere/map.mrc --sym C2",
        "subset --i particles.star --n 1 --o nowhere/some.star",
    ] {
        let message = failure(&gerelion(&set, words));
        assert!(message.starts_with("GR-0208: "), "{words}: {message}");
        assert!(!set.path("nowhere").exists(), "{words}");
    }
    let words = "postprocess --i ref.mrc --i2 half2.mrc --o nowhere/post";
    refuse(&set, words, "GR-0208");
}

/// A limit on open files (`ulimit -n`) that is too low is told as such, before anything is written.
#[test]
fn too_few_open_files() {
    let set = Set::new();
    let output = Command::new("sh")
        .arg("-c")
        .arg("ulimit -n 12; exec \"$0\" \"$@\"")
        .arg(env!("CARGO_BIN_EXE_relion_refine"))
        .args(&set.options)
        .current_dir(set.folder.path())
        .output()
        .unwrap();
    snapshot::check("GR-0510", &failure(&output));
    assert!(set.path("out/RELION_JOB_EXIT_FAILURE").exists());
}

/// A run that starts from the files of another one, with its root: the first iteration would take their place.
#[test]
fn run_over_the_particles_that_it_starts_from() {
    let set = Set::new().option("--i", "out/run_it000_data.star");
    let input = set.path("out/run_it000_data.star");
    fs::copy(set.path("particles.star"), &input).unwrap();
    let before = fs::read(&input).unwrap();
    set.refuse("GR-0103");
    assert_eq!(fs::read(&input).unwrap(), before);
    // Of a later iteration than this run has.
    fs::rename(&input, set.path("out/run_it007_data.star")).unwrap();
    let set = set.option("--i", "out/run_it007_data.star");
    assert!(set.run().status.success());
}

#[test]
fn stage_log_over_the_particles() {
    let set = Set::new().option("--json_log", "particles.star");
    let before = fs::read(set.path("particles.star")).unwrap();
    set.refuse("GR-0209");
    assert_eq!(fs::read(set.path("particles.star")).unwrap(), before);
}

/// Files that an input names are inputs, too.
#[test]
fn outputs_over_files_that_inputs_name() {
    let set = Set::new();
    for (name, factor) in [("half1.mrc", 1.0), ("half2.mrc", 1.1), ("mask.mrc", 0.9)] {
        let map = super::set::blob((super::set::BOX, super::set::BOX, super::set::BOX)) * factor;
        gerelion::formats::mrc::write_map(&set.path(name), map.view(), super::set::PIXEL).unwrap();
    }
    let angles = "_rlnAngleRot #7\n_rlnAngleTilt #8\n_rlnAnglePsi #9\n";
    let star = fs::read_to_string(set.path("particles.star")).unwrap();
    let star = star.replace(
        "_rlnDefocusAngle #6\n",
        &format!("_rlnDefocusAngle #6\n{angles}"),
    );
    set.write_star(&star.replace(" 15000 15200 30\n", " 15000 15200 30 1 2 3\n"));
    for (file, words) in [
        (
            "stack.mrcs",
            "reconstruct --i particles.star --o stack.mrcs",
        ),
        (
            "mask.mrc",
            "postprocess --i half1.mrc --o mask --mask mask.mrc",
        ),
        (
            "mask.mrc",
            "mask --i ref.mrc --and mask.mrc --o mask.mrc --ini_threshold 0.1",
        ),
    ] {
        let before = fs::read(set.path(file)).unwrap();
        let message = failure(&gerelion(&set, words));
        assert!(
            message.starts_with(&format!("GR-0103: {file}: ")),
            "{words}: {message}"
        );
        assert_eq!(fs::read(set.path(file)).unwrap(), before, "{words}");
    }
}

/// The stack of the particles and a list's references have a name that the run would give to a file of its own.
#[test]
fn outputs_over_files_that_tables_of_the_run_name() {
    let set = Set::new();
    fs::copy(set.path("stack.mrcs"), set.path("over_it001_class001.mrc")).unwrap();
    let star = fs::read_to_string(set.path("particles.star")).unwrap();
    fs::write(set.path("over_rejected.star"), &star).unwrap();
    fs::copy(set.path("ref.mrc"), set.path("over_it001_class002.mrc")).unwrap();
    let list = "data_\n\nloop_\n_rlnReferenceImage\nover_it001_class002.mrc\n";
    fs::write(set.path("refs.star"), list).unwrap();
    let set = set.option("--o", "over");
    let kept = |set: &Set, file: &str| {
        let before = fs::read(set.path(file)).unwrap();
        let message = set.message();
        assert!(
            message.starts_with("GR-0103: ") && message.contains(file),
            "{message}"
        );
        assert_eq!(fs::read(set.path(file)).unwrap(), before);
    };
    let set = set.option("--ref", "refs.star");
    kept(&set, "over_it001_class002.mrc");
    let set = set
        .option("--ref", "ref.mrc")
        .option("--i", "over_rejected.star");
    kept(&set, "over_rejected.star");
    let set = set.option("--i", "particles.star");
    set.write_star(&star.replace("@stack.mrcs", "@over_it001_class001.mrc"));
    kept(&set, "over_it001_class001.mrc");
}

/// Whatever map a program writes, images that it does not read and particle tables stay.
#[test]
fn maps_over_stacks_and_particle_tables() {
    let set = Set::new();
    let star = posed(&set);
    set.write_star(&star);
    for name in ["half1.mrc", "half2.mrc"] {
        fs::copy(set.path("ref.mrc"), set.path(name)).unwrap();
    }
    let noise = |seed: f32| super::set::blob((24, 24, 24)).mapv(|v| v + 0.01 * (seed * v).sin());
    for (name, seed) in [("half1.mrc", 1e4), ("half2.mrc", 2e4)] {
        gerelion::formats::mrc::write_map(&set.path(name), noise(seed).view(), 4.0).unwrap();
    }
    for victim in ["other.mrcs", "images.mrc"] {
        fs::copy(set.path("stack.mrcs"), set.path(victim)).unwrap();
    }
    fs::copy(set.path("stack.mrcs"), set.path("post.mrc")).unwrap();
    fs::copy(set.path("particles.star"), set.path("table.star")).unwrap();
    for (file, words) in [
        (
            "other.mrcs",
            "mask --i ref.mrc --o other.mrcs --ini_threshold 0.1",
        ),
        (
            "images.mrc",
            "mask --i ref.mrc --o images.mrc --ini_threshold 0.1",
        ),
        (
            "images.mrc",
            "reconstruct --i particles.star --o images.mrc",
        ),
        (
            "images.mrc",
            "align-symmetry --i ref.mrc --o images.mrc --sym C2",
        ),
        (
            "images.mrc",
            "localsym --transform --i_map ref.mrc --o_map images.mrc --rot 10",
        ),
        ("post.mrc", "postprocess --i half1.mrc --o post"),
        ("table.star", "postprocess --i half1.mrc --o table"),
        (
            "table.star",
            "mask --i ref.mrc --o table.star --ini_threshold 0.1",
        ),
    ] {
        let before = fs::read(set.path(file)).unwrap();
        let message = failure(&gerelion(&set, words));
        assert!(
            (message.starts_with("GR-0209: ") && message.contains("which would be lost"))
                || (message.starts_with("GR-0103: ") && message.contains("the output is a map")),
            "{words}: {message}"
        );
        assert!(message.contains(file), "{words}: {message}");
        assert_eq!(fs::read(set.path(file)).unwrap(), before, "{words}");
    }
    assert!(!set.path("table.mrc").exists(), "refused before any work");
    // A map in the place of a map is a second try.
    let words = "mask --i ref.mrc --o mask.mrc --ini_threshold 0.1";
    for _ in 0..2 {
        assert!(gerelion(&set, words).status.success());
    }
    refuse(
        &set,
        "mask --i ref.mrc --o mask.mrcs --ini_threshold 0.1",
        "GR-0103",
    );
}

/// The particle file with orientations.
fn posed(set: &Set) -> String {
    let star = fs::read_to_string(set.path("particles.star")).unwrap();
    let angles = "_rlnAngleRot #7\n_rlnAngleTilt #8\n_rlnAnglePsi #9\n";
    let star = star.replace(
        "_rlnDefocusAngle #6\n",
        &format!("_rlnDefocusAngle #6\n{angles}"),
    );
    star.replace(" 15000 15200 30\n", " 15000 15200 30 1 2 3\n")
}

/// Images and a particle table have names that the run would give to its own maps and models.
#[test]
fn run_over_files_of_another_kind() {
    for (file, by) in [
        ("out/run_it001_class001.mrc", "stack.mrcs"),
        ("out/run_it001_model.star", "particles.star"),
    ] {
        let set = Set::new();
        fs::copy(set.path(by), set.path(file)).unwrap();
        let message = failure(&set.run());
        let begin = format!("GR-0209: {file}: there is a ");
        assert!(message.starts_with(&begin), "{message}");
        assert!(!set.path("out/run_it000_optimiser.star").exists());
    }
}

/// A mask among the files that the iterations to come will write.
#[test]
fn continued_run_over_its_own_mask() {
    let set = Set::new();
    assert!(set.run().status.success());
    let mask = set.path("out/new_it002_class001.mrc");
    let words = "mask --i ref.mrc --o out/new_it002_class001.mrc --ini_threshold 0.1";
    assert!(gerelion(&set, words).status.success());
    let before = fs::read(&mask).unwrap();
    let mut set = set;
    set.options = "--continue out/run_it001_optimiser.star --o out/new --iter 2 --pipeline_control out/ --solvent_mask \
                   out/new_it002_class001.mrc"
        .split_whitespace()
        .map(String::from)
        .collect();
    snapshot::check("GR-0103", &failure(&set.run()));
    assert_eq!(fs::read(&mask).unwrap(), before);
    // The mask may be a file of an iteration that is over.
    fs::rename(&mask, set.path("out/new_it001_class001.mrc")).unwrap();
    let set = set.option("--solvent_mask", "out/new_it001_class001.mrc");
    assert!(set.run().status.success());
}

/// Nothing is said of a first continuation; a second one finds the files of the first.
#[test]
fn continued_run_over_the_files_of_another() {
    let mut set = Set::new();
    assert!(set.run().status.success());
    set.options =
        "--continue out/run_it001_optimiser.star --o out/other --iter 2 --pipeline_control out/"
            .split_whitespace()
            .map(String::from)
            .collect();
    let said = |set: &Set| String::from_utf8(set.run().stderr).unwrap();
    let words = "there are files of iterations up to 2 of another run, or of an earlier attempt, with --o out/other: those from \
                 iteration 2 to 2 are replaced";
    let first = said(&set);
    assert!(!first.contains("of another run"), "{first}");
    let second = said(&set);
    assert!(second.contains(words), "{second}");
}

#[test]
fn simulated_set_over_another() {
    let set = Set::new();
    let words = "simulate --o sim --n 3 --box 24 --angpix 8";
    assert!(gerelion(&set, words).status.success());
    let before = fs::read(set.path("sim.mrcs")).unwrap();
    refuse(
        &set,
        "simulate --o sim --n 4 --box 24 --angpix 8",
        "GR-0103",
    );
    assert_eq!(fs::read(set.path("sim.mrcs")).unwrap(), before);
    let replaced = gerelion(
        &set,
        "simulate --o sim --n 4 --box 24 --angpix 8 --overwrite",
    );
    assert!(replaced.status.success());
    assert_ne!(fs::read(set.path("sim.mrcs")).unwrap(), before);
}

#[test]
fn subset_over_another_table() {
    let set = Set::new();
    let before = b"data_other\n\n_rlnPixelSize 1\n";
    fs::write(set.path("other.star"), before).unwrap();
    let words = "subset --i particles.star --n 2 --o other.star";
    refuse(&set, words, "GR-0103");
    assert_eq!(fs::read(set.path("other.star")).unwrap(), before);
    let replaced = gerelion(&set, &format!("{words} --overwrite"));
    assert!(replaced.status.success());
    assert_ne!(fs::read(set.path("other.star")).unwrap(), before);
}

/// Said at once, not after all iterations.
#[test]
fn markers_that_cannot_be_left() {
    let set = Set::new().option("--pipeline_control", "nowhere/");
    set.refuse("GR-0209");
    assert!(!set.path("out/run_it000_optimiser.star").exists());
    let words = "mask --i ref.mrc --o mask.mrc --ini_threshold 0.1 --pipeline_control nowhere/";
    let message = failure(&gerelion(&set, words));
    assert!(message.starts_with("GR-0209: "), "{message}");
    assert!(!set.path("mask.mrc").exists());
}

/// A table in the place of images, a page in that of a table, a map in that of a table.
#[test]
fn outputs_over_files_of_another_kind() {
    let set = Set::new();
    assert!(set.run().status.success());
    fs::copy(set.path("particles.star"), set.path("table.mrc")).unwrap();
    for (file, words) in [
        (
            "stack.mrcs",
            "subset --i particles.star --n 2 --o stack.mrcs",
        ),
        ("particles.star", "report out/run --o particles.star"),
        ("ref.mrc", "report out/run --o ref.mrc"),
        (
            "table.mrc",
            "mask --i ref.mrc --o table.mrc --ini_threshold 0.1",
        ),
    ] {
        let before = fs::read(set.path(file)).unwrap();
        let message = failure(&gerelion(&set, words));
        assert!(message.starts_with("GR-0209: "), "{words}: {message}");
        assert!(
            message.contains("which would be lost"),
            "{words}: {message}"
        );
        assert_eq!(fs::read(set.path(file)).unwrap(), before, "{words}");
    }
    let words = "subset --i particles.star --n 2 --o stack.mrcs";
    refuse(&set, words, "GR-0209");
}

#[test]
fn shell_larger_than_the_memory() {
    let message = failure(&gerelion(&Set::new(), "mask --denovo --box_size 10000"));
    assert!(
        message.starts_with("GR-0511: the map of 10000 × "),
        "{message}"
    );
}
