//! `--reject_limit`: a few images that cannot be used do not end the run; it goes on as if they were not in the STAR file.

mod runs;

use gerelion::formats::star::Document;
use runs::{command, fixture, small_set, succeeded};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};

const BOX: usize = 48;
/// 0-based images of the stack that are spoilt: one holds a value that is no number, one is empty, two are cut off.
const NOT_FINITE: usize = 3;
const EMPTY: usize = 7;
const CUT_OFF: Range<usize> = 398..400;

/// A folder with the small data set, and one iteration of its classification in it.
struct Job(tempfile::TempDir);

impl Job {
    fn new() -> Self {
        Job(small_set(&["c"]))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn spoil_images(&self) {
        const NAN: [u8; 2] = 0x7e00u16.to_le_bytes();
        let path = self.path("bundle.mrcs");
        let mut bytes = fs::read(&path).unwrap();
        let place = |image: usize| 1024 + image * BOX * BOX * 2;
        let pixel = place(NOT_FINITE) + 2 * (5 * BOX + 7);
        bytes[pixel..pixel + 2].copy_from_slice(&NAN);
        bytes[place(EMPTY)..place(EMPTY + 1)].fill(0);
        bytes.truncate(place(CUT_OFF.start));
        fs::write(&path, bytes).unwrap();
    }

    /// The same particle file without these images (0-based).
    fn leave_out(&self, images: &[usize]) {
        let names: Vec<String> = images
            .iter()
            .map(|i| format!("{:06}@bundle.mrcs", i + 1))
            .collect();
        let text = fs::read_to_string(self.path("bundle.star")).unwrap();
        let kept: Vec<&str> = text
            .lines()
            .filter(|line| !names.iter().any(|name| line.starts_with(name)))
            .collect();
        assert_eq!(kept.len(), text.lines().count() - images.len());
        fs::write(self.path("bundle.star"), kept.join("\n")).unwrap();
    }

    fn run(&self, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(command(&fixture().join("class3d_c4")))
            .args(["--iter", "1"])
            .args(options)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }
}

fn column(path: &Path, label: &str) -> Vec<String> {
    let document = Document::read(path).unwrap();
    let table = document.require("particles").unwrap();
    table.texts(label).unwrap().map(String::from).collect()
}

#[test]
fn unusable_images_are_listed_and_left_out_as_if_they_had_not_been_there() {
    let spoilt = Job::new();
    spoilt.spoil_images();
    succeeded(&spoilt.run(&["--reject_limit", "1"]));
    let list = spoilt.path("c/run_rejected.star");
    let names = column(&list, "rlnImageName");
    let of = ["000004", "000008", "000399", "000400"].map(|n| format!("{n}@bundle.mrcs"));
    assert_eq!(names, of);
    let reasons = column(&list, "gerelionReason");
    for (reason, says) in reasons
        .iter()
        .zip(["NaN at pixel (7, 5)", "are 0", "cut off", "cut off"])
    {
        assert!(reason.contains(says), "{reason}");
    }
    let without = Job::new();
    without.leave_out(&[NOT_FINITE, EMPTY, CUT_OFF.start, CUT_OFF.start + 1]);
    succeeded(&without.run(&[]));
    // The header of a map holds the time of its making.
    for (file, header) in [
        ("run_it001_data.star", 0),
        ("run_it001_model.star", 0),
        ("run_it001_class001.mrc", 1024),
    ] {
        let read = |job: &Job| {
            fs::read(job.path("c").join(file))
                .unwrap()
                .split_off(header)
        };
        assert!(read(&spoilt) == read(&without), "{file} differs");
    }
}

#[test]
fn more_unusable_images_than_allowed_end_the_run() {
    let spoilt = Job::new();
    spoilt.spoil_images();
    for (options, says) in [
        (
            &["--reject_limit", "0.9"][..],
            &["4 of 400", "--reject_limit 0.9", "run_rejected.star"][..],
        ),
        (&["--reject_limit", "100"], &["between 0 and 99"]),
        (&[], &["000399@bundle.mrcs", "cut off"]),
    ] {
        let output = spoilt.run(options);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        for part in says {
            assert!(errors.contains(part), "'{part}' is not in: {errors}");
        }
        assert!(!spoilt.path("c/run_it001_model.star").exists());
    }
    let listed = column(&spoilt.path("c/run_rejected.star"), "rlnImageName");
    assert_eq!(listed.len(), 4);
}

#[test]
fn nothing_is_listed_when_all_images_can_be_used() {
    let job = Job::new();
    let output = job.run(&["--reject_limit", "1"]);
    succeeded(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("All images can be used"));
    assert!(!job.path("c/run_rejected.star").exists());
}
