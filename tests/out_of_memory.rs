//! A program that gets no memory says so, leaves the scheduler's marker file, and ends with status 1.

mod runs;

use runs::fixture;
use std::process::{Command, Output};

/// Runs a classification in `folder` with `words`, within `kilobytes` of address space.
fn within(kilobytes: usize, folder: &std::path::Path, words: &str) -> Output {
    let script = format!(
        "ulimit -v {kilobytes}; exec {} --i bundle.star --ref bundle_truth1.mrc --o run --pipeline_control ./ --ctf \
         --particle_diameter 170 --iter 1 --j 1 {words}",
        env!("CARGO_BIN_EXE_relion_refine")
    );
    for file in ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"] {
        std::fs::copy(fixture().join(file), folder.join(file)).unwrap();
    }
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Returns the message.
fn ends_with_message_and_marker(kilobytes: usize, words: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = within(kilobytes, folder.path(), words);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("ERROR:\nGR-0511: "), "{text}");
    assert!(text.contains("gerelion explain GR-0511"), "{text}");
    assert!(folder.path().join("RELION_JOB_EXIT_FAILURE").is_file());
    text
}

/// Refused by the plan of host memory, before anything is taken.
#[test]
fn classes_and_padding_beyond_all_memory() {
    let text = ends_with_message_and_marker(3_000_000, "--K 400 --pad 8");
    assert!(text.contains("this run needs"), "{text}");
}

/// The copies of the reference for all classes would not fit, which is found before the first is made.
#[test]
fn maps_of_all_classes_beyond_memory() {
    let text = ends_with_message_and_marker(480_000, "--K 400 --pad 1");
    assert!(text.contains("this run needs"), "{text}");
}

/// Met by an allocation that fails.
#[test]
fn a_limit_of_the_shell() {
    ends_with_message_and_marker(150_000, "--K 300 --pad 2");
}
