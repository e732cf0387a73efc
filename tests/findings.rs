//! Findings at the end of a run: each on a set that was spoilt on purpose, and none on good sets (`docs/findings.md`).

mod runs;

use gerelion::formats::mrc::{StackMode, StackReader, StackWriter, write_map};
use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use runs::{command, fixture, golden, small_set, succeeded};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BOX: usize = 48;
const PIXEL: f64 = 4.5;
const PARTICLES: usize = 400;

/// A folder with the small data set, parts of which a test spoils.
struct Job(tempfile::TempDir);

impl Job {
    fn new() -> Self {
        Job(small_set(&["c", "r"]))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the command of a reference run without the flags in `without`, with further `options`, which win. Returns the names
    /// of the findings.
    fn findings(&self, reference: &str, without: &[&str], options: &str) -> Vec<String> {
        let words = command(&fixture().join(reference));
        let kept = words
            .iter()
            .filter(|word| !without.contains(&word.as_str()));
        let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(kept)
            .args(["--json_log", "log.jsonl"])
            .args(options.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        succeeded(&output);
        let errors = String::from_utf8(output.stderr).unwrap();
        let found = findings_in(&self.path("log.jsonl"));
        for (_, text) in &found {
            assert!(
                errors.contains(text.as_str()),
                "not printed: {text}\n{errors}"
            );
        }
        found.into_iter().map(|(name, _)| name).collect()
    }

    /// Writes the images again, changed.
    fn change_images(&self, mut change: impl FnMut(&mut [f32])) {
        let source = StackReader::open(&fixture().join("bundle.mrcs")).unwrap();
        let path = self.path("bundle.mrcs");
        let mode = StackMode::Float32;
        let mut stack = StackWriter::create(&path, BOX, PARTICLES, PIXEL, mode).unwrap();
        let mut image = vec![0.0; BOX * BOX];
        for i in 0..PARTICLES {
            source.read_into(i, &mut image).unwrap();
            change(&mut image);
            stack.push(&image).unwrap();
        }
        stack.finish().unwrap();
    }

    /// Writes the particle table with these rows (from 0) alone.
    fn write_rows(&self, rows: &[usize]) {
        let text = fs::read_to_string(fixture().join("bundle.star")).unwrap();
        let (head, body): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| !line.contains('@'));
        let kept = rows.iter().map(|row| body[*row]);
        let lines: Vec<&str> = head.into_iter().chain(kept).collect();
        fs::write(self.path("bundle.star"), lines.join("\n") + "\n").unwrap();
    }

    fn write_reference(&self, map: Array3<f32>, pixel_size: f64) {
        write_map(&self.path("bundle_truth1.mrc"), map.view(), pixel_size).unwrap();
    }

    fn truth(&self) -> Array3<f32> {
        read_map(&fixture().join("bundle_truth1.mrc")).unwrap().data
    }
}

/// Names and texts of the findings in a log.
fn findings_in(log: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(log).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let findings = lines.filter(|line| line["event"] == "finding");
    let word = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    findings
        .map(|line| (word(&line, "finding"), word(&line, "text")))
        .collect()
}

fn has(found: &[String], name: &str) {
    assert!(found.iter().any(|f| f == name), "no {name}: {found:?}");
}

#[test]
fn good_sets_have_no_findings() {
    let none: [String; 0] = [];
    assert_eq!(Job::new().findings("class3d_c4", &[], ""), none);
    let corrected = "--auto_iter_max 4 --solvent_mask mask.mrc --solvent_correct_fsc";
    let job = Job::new();
    write_map(&job.path("mask.mrc"), ball(80.0).view(), PIXEL).unwrap();
    assert_eq!(job.findings("refine3d_c4", &[], corrected), none);
}

/// The reference program's own data sets, where they are at hand.
#[test]
fn golden_sets_have_no_findings() {
    let Some(folder) = golden("class3d_k2_c4") else {
        return;
    };
    let input = folder.parent().unwrap().join("input");
    let job = tempfile::tempdir().unwrap();
    let words = command(&folder);
    let root = &words[words.iter().position(|word| word == "--o").unwrap() + 1];
    fs::create_dir_all(job.path().join(root).parent().unwrap()).unwrap();
    for entry in fs::read_dir(&input).unwrap() {
        let path = entry.unwrap().path();
        std::os::unix::fs::symlink(&path, job.path().join(path.file_name().unwrap())).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(&words)
        .args(["--iter", "3", "--json_log", "log.jsonl"])
        .current_dir(job.path())
        .output()
        .unwrap();
    succeeded(&output);
    assert_eq!(findings_in(&job.path().join("log.jsonl")), []);
}

#[test]
fn images_of_noise_leave_the_resolution_stuck() {
    let job = Job::new();
    let mut random = rand_pcg::Pcg64::seed_from_u64(3);
    job.change_images(|image| {
        image.fill_with(|| {
            let sum: f32 = (0..12).map(|_| random.random::<f32>()).sum();
            sum - 6.0
        });
    });
    has(
        &job.findings("refine3d_c4", &[], "--auto_iter_max 6"),
        "resolution_stuck",
    );
    // A run that is continued knows the reference that it began with.
    let words = "--continue r/run_it005_optimiser.star --o r/again --auto_iter_max 6 --json_log again.jsonl";
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words.split(' '))
        .current_dir(job.0.path())
        .output()
        .unwrap();
    succeeded(&output);
    let found = findings_in(&job.path("again.jsonl"));
    let names: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
    has(&names, "resolution_stuck");
}

#[test]
fn views_near_one_axis_are_preferred_orientation() {
    let job = Job::new();
    let poses = Document::read(&fixture().join("class3d_c4/run_it003_data.star")).unwrap();
    let poses = poses.require("particles").unwrap();
    let tilts = poses.real_column("rlnAngleTilt").unwrap();
    let numbers = poses.texts("rlnImageName").unwrap().map(|name| {
        let number: usize = name.split('@').next().unwrap().parse().unwrap();
        number - 1
    });
    let near_axis = |tilt: f64| !(40.0..=140.0).contains(&tilt);
    let rows: Vec<usize> = numbers
        .zip(tilts)
        .filter(|(_, tilt)| near_axis(*tilt))
        .map(|(row, _)| row)
        .collect();
    assert!(rows.len() >= 50, "{}", rows.len());
    job.write_rows(&rows);
    has(
        &job.findings("class3d_c4", &[], ""),
        "preferred_orientation",
    );
}

/// A ball of this radius, Å.
fn ball(radius: f64) -> Array3<f32> {
    Array3::from_shape_fn((BOX, BOX, BOX), |(z, y, x)| {
        let square = |i: usize| ((i as f64 - BOX as f64 / 2.0) * PIXEL).powi(2);
        let outside = (square(z) + square(y) + square(x)).sqrt() - radius;
        (1.0 - outside / (2.0 * PIXEL)).clamp(0.0, 1.0) as f32
    })
}

#[test]
fn a_mask_that_cuts_into_the_particle_is_too_tight() {
    let job = Job::new();
    write_map(&job.path("mask.mrc"), ball(25.0).view(), PIXEL).unwrap();
    let options = "--auto_iter_max 4 --solvent_mask mask.mrc --solvent_correct_fsc";
    has(&job.findings("refine3d_c4", &[], options), "mask_too_tight");
}

#[test]
fn a_map_without_a_mask_holds_noise() {
    let flags = ["--flatten_solvent", "--zero_mask"];
    has(
        &Job::new().findings("class3d_c4", &flags, ""),
        "mask_absent",
    );
}

/// After some iterations: coarse ones keep the size of the reference.
#[test]
fn a_reference_of_another_pixel_size_is_noticed() {
    let job = Job::new();
    job.write_reference(job.truth(), PIXEL * 1.06);
    let options = "--trust_ref_size --auto_iter_max 9";
    has(&job.findings("refine3d_c4", &[], options), "pixel_size");
}

#[test]
fn images_in_both_half_sets_make_them_alike() {
    let job = Job::new();
    let text = fs::read_to_string(fixture().join("bundle.star")).unwrap();
    let text = text.replace("_rlnCoordinateX ", "_rlnRandomSubset ");
    let (head, body): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| !line.contains('@'));
    let mut changed = head.join("\n") + "\n";
    for (i, line) in body.iter().enumerate() {
        // One image in four is in both.
        let halves: &[&str] = match i % 4 {
            0 => &["1", "2"],
            1 => &["1"],
            _ => &["2"],
        };
        for half in halves {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            words[6] = half;
            changed += &(words.join(" ") + "\n");
        }
    }
    fs::write(job.path("bundle.star"), changed).unwrap();
    let found = job.findings("refine3d_c4", &[], "--auto_iter_max 3");
    has(&found, "half_sets_alike");
    has(&found, "duplicates");
}

#[test]
fn dark_particles_that_fit_a_dark_reference_are_inverted() {
    let job = Job::new();
    job.change_images(|image| image.iter_mut().for_each(|v| *v = -*v));
    job.write_reference(job.truth() * -1.0, PIXEL);
    has(&job.findings("class3d_c4", &[], ""), "inverted_contrast");
}

#[test]
fn particles_on_each_other_are_duplicates() {
    let job = Job::new();
    // Every fifth particle is where the one before it is, three pixels beside.
    let text = fs::read_to_string(fixture().join("bundle.star")).unwrap();
    let (head, body): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| !line.contains('@'));
    let mut changed = head.join("\n") + "\n";
    let mut before: Vec<&str> = Vec::new();
    for (i, line) in body.iter().enumerate() {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let x;
        if i % 5 == 4 && before[1] == words[1] {
            x = (before[6].parse::<i32>().unwrap() + 3).to_string();
            (words[6], words[7]) = (&x, before[7]);
        }
        changed += &(words.join(" ") + "\n");
        before = line.split_whitespace().collect();
    }
    fs::write(job.path("bundle.star"), changed).unwrap();
    has(&job.findings("class3d_c4", &[], "--iter 1"), "duplicates");
}
