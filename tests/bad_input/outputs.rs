//! Outputs that would take the place of an input or of a device, and inputs that are no files: nothing is lost, and nothing waits.

use super::set::{Set, failure};
use super::snapshot;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn gerelion(set: &Set, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .args(words.split_whitespace())
        .current_dir(set.folder.path())
        .output()
        .unwrap()
}

fn refuse(set: &Set, words: &str, code: &str) {
    let message = failure(&gerelion(set, words));
    snapshot::check(code, &set.neutral(&message));
}

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
