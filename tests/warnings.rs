//! Warnings about particles and references that do not belong together, with the right numbers; and none of them about good
//! sets.

mod runs;

use gerelion::formats::mrc::{StackMode, StackReader, StackWriter, write_map};
use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use runs::{command, fixture, small_set, succeeded};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const BOX: usize = 48;
const PIXEL: f64 = 4.5;
const PARTICLES: usize = 400;

/// Words of these warnings; none of them may be said about a good set.
const NEW: [&str; 8] = [
    "power is out of proportion",
    "in both half-sets",
    "of very different size",
    "the contrast seems to be inverted",
    "the norm correction of",
    "its grey scale is wrong",
    "significant orientations and shifts",
    "--particle_diameter is in Å",
];

/// A folder with the small data set, parts of which a test may change.
struct Job(tempfile::TempDir);

impl Job {
    fn new() -> Self {
        Job(small_set(&["c", "r"]))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Run the command of a reference run with further options, which win. Returns what it printed on standard output and
    /// standard error.
    fn run(&self, reference: &str, options: &str) -> [String; 2] {
        let output = self.output(command(&fixture().join(reference)), options);
        succeeded(&output);
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    }

    /// One iteration of the classification without --firstiter_cc. Returns its warnings.
    fn likelihood(&self, reference: &str) -> String {
        let words = command(&fixture().join("class3d_c4"));
        let words = words.into_iter().filter(|word| word != "--firstiter_cc");
        let output = self.output(words.collect(), &format!("--iter 1 --ref {reference}"));
        succeeded(&output);
        String::from_utf8(output.stderr).unwrap()
    }

    fn output(&self, words: Vec<String>, options: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(words)
            .args(options.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Write a map times a factor as `ref.mrc`.
    fn write_reference(&self, map: &Path, factor: f32) {
        let map = read_map(map).unwrap().data * factor;
        write_map(&self.path("ref.mrc"), map.view(), PIXEL).unwrap();
    }

    /// Write the images again, as 32-bit floats, some of them changed.
    fn change_images(&self, change: impl Fn(usize, &mut [f32])) {
        let source = StackReader::open(&fixture().join("bundle.mrcs")).unwrap();
        let path = self.path("bundle.mrcs");
        let mode = StackMode::Float32;
        let mut stack = StackWriter::create(&path, BOX, PARTICLES, PIXEL, mode).unwrap();
        let mut image = vec![0.0; BOX * BOX];
        for i in 0..PARTICLES {
            source.read_into(i, &mut image).unwrap();
            change(i, &mut image);
            stack.push(&image).unwrap();
        }
        stack.finish().unwrap();
    }

    /// Give each particle (of this name) a half-set, and as many rows as there are half-sets.
    fn write_halves(&self, rows: impl Fn(usize) -> Vec<(String, u8)>) {
        let text = fs::read_to_string(fixture().join("bundle.star")).unwrap();
        let text = text.replace("_rlnCoordinateX ", "_rlnRandomSubset ");
        let mut number = 0;
        let mut changed = String::new();
        for line in text.lines() {
            if !line.contains('@') {
                changed += &format!("{line}\n");
                continue;
            }
            for (name, half) in rows(number) {
                let mut words: Vec<&str> = line.split_whitespace().collect();
                let half = half.to_string();
                (words[0], words[6]) = (&name, &half);
                changed += &format!("{}\n", words.join(" "));
            }
            number += 1;
        }
        fs::write(self.path("bundle.star"), changed).unwrap();
    }
}

fn image_name(index: usize) -> String {
    format!("{:06}@bundle.mrcs", index + 1)
}

fn assert_none(errors: &str) {
    for words in NEW {
        assert!(
            !errors.contains(words),
            "'{words}' about a good set: {errors}"
        );
    }
}

fn assert_says(errors: &str, words: &[&str]) {
    assert_times(1, errors, words);
}

fn assert_times(times: usize, errors: &str, words: &[&str]) {
    for words in words {
        let found = errors.matches(words).count();
        assert_eq!(found, times, "'{words}' in: {errors}");
    }
}

#[test]
fn nothing_is_said_about_good_sets() {
    let [_, errors] = Job::new().run("class3d_c4", "");
    assert_none(&errors);
    let [_, errors] = Job::new().run("refine3d_c4", "--auto_iter_max 3");
    assert_none(&errors);
    // A reference of the grey scale of the images needs no --firstiter_cc.
    let job = Job::new();
    job.write_reference(&fixture().join("class3d_c4/run_it003_class001.mrc"), 1.0);
    assert_none(&job.likelihood("ref.mrc"));
}

#[test]
fn the_grey_scale_of_the_reference_is_measured() {
    let right = fixture().join("class3d_c4/run_it003_class001.mrc");
    let job = Job::new();
    for (factor, how) in [
        (1000.0, "stronger"),
        (10.0, "stronger"),
        (3.0, "stronger"),
        (0.3, "weaker"),
        (0.1, "weaker"),
    ] {
        job.write_reference(&right, factor);
        let errors = job.likelihood("ref.mrc");
        assert_says(
            &errors,
            &["its grey scale is wrong", "Start with --firstiter_cc"],
        );
        let said = errors.split("is about ").nth(1).unwrap();
        let (said, rest) = said.split_once(" times ").unwrap();
        assert!(rest.starts_with(how), "{factor}: {errors}");
        let said: f32 = said.parse().unwrap();
        let expected = factor.max(1.0 / factor);
        // A reference that is too weak does not find the poses, which costs a part of the signal.
        let least = if factor > 1.0 { 0.7 } else { 0.4 };
        assert!(
            (least * expected..1.4 * expected).contains(&said),
            "{factor}: {errors}"
        );
        assert_eq!(
            errors.contains("norm correction of 400 of 400"),
            factor == 1000.0,
            "{errors}"
        );
    }
}

#[test]
fn inverted_contrast_is_seen_whatever_the_first_iteration_compares_by() {
    let job = Job::new();
    job.write_reference(&fixture().join("bundle_truth1.mrc"), -1.0);
    let inverted = "the contrast seems to be inverted: of 128 images";
    let [_, errors] = job.run("class3d_c4", "--iter 1 --ref ref.mrc");
    assert_says(&errors, &[inverted]);
    assert_says(&job.likelihood("ref.mrc"), &[inverted]);
    let job = Job::new();
    job.change_images(|_, image| image.iter_mut().for_each(|v| *v = -*v));
    let [_, errors] = job.run("class3d_c4", "--iter 1");
    assert_says(&errors, &[inverted]);
}

/// One hot pixel and one image times 1000: the noise is that of the other images, and with --reject_limit the run is that of
/// the set without them.
#[test]
fn images_of_enormous_power_stay_out_of_the_noise() {
    let job = Job::new();
    job.change_images(|index, image| match index {
        4 => image[700] = 3000.0,
        9 => image.iter_mut().for_each(|v| *v *= 1e10),
        _ => {}
    });
    let [_, errors] = job.run("class3d_c4", "--iter 1 --reject_limit 1");
    assert_says(
        &errors,
        &[
            "2 of 400 particles (0.500 %) cannot be used",
            "times more power",
        ],
    );
    let rejected = Document::read(&job.path("c/run_rejected.star")).unwrap();
    let rejected = rejected.require("particles").unwrap();
    let names: Vec<&str> = rejected.texts("rlnImageName").unwrap().collect();
    assert_eq!(names, [image_name(4), image_name(9)]);

    let noise = |job: &Job| {
        let model = Document::read(&job.path("c/run_it000_model.star")).unwrap();
        let table = model.require("model_optics_group_1").unwrap();
        table.real_column("rlnSigma2Noise").unwrap()
    };
    let without = noise(&job);
    let hot = Job::new();
    hot.change_images(|index, image| match index {
        4 => image[700] = 3000.0,
        9 => image.iter_mut().for_each(|v| *v *= 1000.0),
        _ => {}
    });
    let [_, errors] = hot.run("class3d_c4", "--iter 1");
    assert_says(
        &errors,
        &[
            "power is out of proportion: 2 of the 400",
            "that of particle 5 (",
        ],
    );
    assert_eq!(noise(&hot), without);
}

/// Only 100 images are looked at for the noise; the outlier among the others is seen once it has been aligned.
#[test]
fn images_of_enormous_power_are_seen_wherever_they_are() {
    let job = Job::new();
    job.change_images(|index, image| {
        if index == 333 {
            image.iter_mut().for_each(|v| *v *= 1000.0);
        }
    });
    for root in ["class3d_c4", "refine3d_c4"] {
        let last = match root {
            "class3d_c4" => "--iter 1",
            _ => "--auto_iter_max 1",
        };
        let [_, errors] = job.run(root, &format!("{last} --nr_parts_sigma2noise 100"));
        assert_says(
            &errors,
            &[
                "power is out of proportion: 1 of the 400 that have been read",
                "that of particle 334 (",
            ],
        );
    }
    let good = Job::new();
    let [_, errors] = good.run("class3d_c4", "--iter 1 --nr_parts_sigma2noise 100");
    assert_none(&errors);
}

#[test]
fn copies_are_drawn_into_one_half_set() {
    let job = Job::new();
    // Every particle twice, with another spelling, and no half-sets.
    job.write_halves(|index| {
        let name = image_name(index);
        vec![
            (name.clone(), 0),
            (format!("{}@./bundle.mrcs", index + 1), 0),
        ]
    });
    let [text, errors] = job.run("refine3d_c4", "--auto_iter_max 1");
    assert!(
        text.contains("400 particles are copies of the image of another one"),
        "{text}"
    );
    assert_none(&errors);
    let data = Document::read(&job.path("r/run_it001_data.star")).unwrap();
    let table = data.require("particles").unwrap();
    let halves = table.integer_column("rlnRandomSubset").unwrap();
    let names = table.texts("rlnImageName").unwrap();
    let mut half_of = std::collections::HashMap::new();
    for (name, half) in names.zip(halves) {
        let number: usize = name.split('@').next().unwrap().parse().unwrap();
        assert_eq!(*half_of.entry(number).or_insert(half), half, "{name}");
    }
    assert_eq!(half_of.len(), PARTICLES);
}

#[test]
fn images_in_both_half_sets_of_the_file_are_counted() {
    let job = Job::new();
    // 40 of the 400 images are in both half-sets: 220 rows in each.
    job.write_halves(|index| {
        let half = (index % 2) as u8 + 1;
        let mut rows = vec![(image_name(index), half)];
        if index < 40 {
            rows.push((format!("{}@./bundle.mrcs", index + 1), 3 - half));
        }
        rows
    });
    let [_, errors] = job.run("refine3d_c4", "--auto_iter_max 1");
    // 40 / √(220 · 220).
    let said = [
        "80 of 440 particles have an image that is in both half-sets",
        "an FSC of 0.18 instead of 0",
    ];
    // At the start, and among the findings at the end.
    assert_times(2, &errors, &said);
    let page = job.path("page.html");
    let output = Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .args(["report", "r/run", "--o", "page.html"])
        .current_dir(job.0.path())
        .output()
        .unwrap();
    succeeded(&output);
    assert_says(&fs::read_to_string(page).unwrap(), &said);
    // A continued run says so again.
    let words = [
        "--continue",
        "r/run_it001_optimiser.star",
        "--auto_iter_max",
        "2",
    ];
    let output = job.output(words.map(String::from).into(), "");
    succeeded(&output);
    assert_times(2, &String::from_utf8(output.stderr).unwrap(), &said);
}

#[test]
fn half_sets_of_very_different_size() {
    let job = Job::new();
    job.write_halves(|index| vec![(image_name(index), if index < 3 { 2 } else { 1 })]);
    let [_, errors] = job.run("refine3d_c4", "--auto_iter_max 1");
    assert_says(&errors, &["of very different size, 397 and 3 particles"]);
}

/// A reference a hundred times too weak tells nothing about poses.
#[test]
fn searches_that_determine_nothing_say_why_they_take_so_long() {
    let job = Job::new();
    job.write_reference(&fixture().join("class3d_c4/run_it003_class001.mrc"), 0.01);
    let errors = job.likelihood("ref.mrc");
    assert_says(
        &errors,
        &[
            "significant orientations and shifts of",
            "its grey scale is wrong",
        ],
    );
}

#[test]
fn more_threads_than_help_are_not_started() {
    let [text, _] = Job::new().run("class3d_c4", "--iter 1 --j 100000");
    assert!(text.contains("(--j 100000 would be slower"), "{text}");
}

/// Defocus of 0, of both signs, and along one axis only, in the file of the particles.
#[test]
fn defoci_that_no_file_should_have() {
    let both = ["rlnDefocusU", "rlnDefocusV"];
    for (columns, defocus, share, words) in [
        (&both[..], "0", 1, "400 of 400 particles (optics group"),
        (&both[..], "-15000", 2, "have a negative defocus"),
        (&both[..1], "1.5", 1, "that differ by more than 1 µm"),
    ] {
        let job = Job::new();
        let document = Document::read(&job.path("bundle.star")).unwrap();
        let text = fs::read_to_string(job.path("bundle.star")).unwrap();
        let table = document.require("particles").unwrap();
        let place = |label: &&str| table.labels().iter().position(|l| l == label).unwrap();
        let at: Vec<usize> = columns.iter().map(place).collect();
        let mut row = 0;
        let lines = text.lines().map(|line| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            if line.contains("bundle.mrcs") {
                row += 1;
                if row % share == 0 {
                    at.iter().for_each(|&column| words[column] = defocus);
                }
            }
            format!("{}\n", words.join(" "))
        });
        let changed: String = lines.collect();
        fs::write(job.path("bundle.star"), changed).unwrap();
        let [_, errors] = job.run("class3d_c4", "--iter 1");
        assert!(errors.contains(words), "{defocus}: {errors}");
    }
}

/// Of options that contradict each other, the run says which it takes and which it does not.
#[test]
fn options_that_contradict_each_other() {
    let job = Job::new();
    let options = "--denovo_3dref --grad --iter 1 --grad_ini_subset 200 --grad_fin_subset 100";
    let [_, errors] = job.run("class3d_c4", options);
    for words in [
        "--ref gives the references, so --denovo_3dref makes none",
        "--grad_ini_subset 200 is larger than --grad_fin_subset 100",
    ] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
}
