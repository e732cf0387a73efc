//! Gradient refinement of given maps, from files to files: files, continuation, threads, ranks of iterations.

mod runs;

use gerelion::formats::star::Document;
use runs::{command, fixture, number, succeeded, work_folder};
use std::path::Path;
use std::process::Command;

/// A job in a folder of its own.
struct Job {
    folder: tempfile::TempDir,
    root: String,
}

impl Job {
    /// Two classes of the fixture from one map.
    fn run(options: &str) -> Self {
        let data = fixture();
        let mut words = command(&data.join("class3d_c4"));
        words.retain(|word| word != "--firstiter_cc");
        let more = "--grad --K 2 --iter 12 --grad_write_iter 5 --grad_ini_subset 60 --grad_fin_subset 120 --sym C4";
        for text in [more, options] {
            words.extend(text.split_whitespace().map(String::from));
        }
        let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| data.join(f));
        let (folder, root) = work_folder(&inputs, &words);
        let job = Self { folder, root };
        job.program(&words);
        job
    }

    /// Returns what was printed.
    fn program(&self, words: &[String]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(words)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        succeeded(&output);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn continued(&self, iteration: usize, options: &str) -> String {
        let from = format!("{}_it{iteration:03}_optimiser.star", self.root);
        let mut words = vec!["--continue".to_owned(), from];
        words.extend(options.split_whitespace().map(String::from));
        self.program(&words)
    }

    fn exists(&self, suffix: &str) -> bool {
        Path::new(&format!("{}{suffix}", self.root)).exists()
    }

    fn bytes(&self, suffix: &str) -> Vec<u8> {
        std::fs::read(format!("{}{suffix}", self.root)).unwrap()
    }
}

fn optimiser(root: &str, iteration: usize, label: &str) -> f64 {
    let file = format!("{root}_it{iteration:03}_optimiser.star");
    number(&file, "optimiser_general", label)
}

fn column(file: &str, table: &str, label: &str) -> Vec<f64> {
    let document = Document::read(Path::new(file)).unwrap();
    document.require(table).unwrap().real_column(label).unwrap()
}

/// Iterations 0, 5, 10 and the last are written, with moments of both halves and all classes; the last takes all particles.
#[test]
fn files_of_a_gradient_run() {
    let job = Job::run("");
    for iteration in 0..=12 {
        let written = [0, 5, 10, 12].contains(&iteration);
        for file in [
            "_optimiser.star",
            "_data.star",
            "_class002.mrc",
            "_1moment004.mrc",
            "_2moment002.mrc",
        ] {
            let name = format!("_it{iteration:03}{file}");
            assert_eq!(job.exists(&name), written, "{name}");
        }
    }
    assert!(!job.exists("_it012_1moment005.mrc"));
    assert!(!job.exists("_it005_class001_angdist.bild"));
    let at = |iteration, label| optimiser(&job.root, iteration, label);
    assert_eq!(at(5, "rlnDoGradientRefine"), 1.0);
    assert_eq!(at(0, "rlnDoStochasticGradientDescent"), 0.0);
    assert_eq!(at(5, "rlnDoStochasticGradientDescent"), 1.0);
    assert_eq!(at(5, "rlnGradCurrentStepsize"), 0.3);
    // n_ini = 3, n_in = 7.
    assert_eq!(at(5, "rlnSgdSubsetSize"), 77.0);
    assert_eq!(at(12, "rlnSgdSubsetSize"), -1.0);
    // The last iteration gives every particle a class.
    let classes = |iteration: usize| {
        let file = format!("{}_it{iteration:03}_data.star", job.root);
        column(&file, "particles", "rlnClassNumber")
    };
    assert!(classes(5).contains(&0.0));
    assert!(!classes(12).contains(&0.0));
}

/// A run that is continued is the run that it would have been, but for the digits that files leave out.
#[test]
fn a_gradient_run_goes_on_as_if_it_had_never_stopped() {
    let whole = Job::run("--grad_em_iters 1 --grad_stepsize_scheme 3-step");
    let part = format!("{}_part", whole.root);
    let text = whole.continued(5, &format!("--o {part}"));
    assert!(
        text.contains(" Gradient optimisation iteration 6 of 12 with 86 particles (Step size 0.3"),
        "{text}"
    );
    assert!(text.contains(" Expectation iteration 12 of 12"), "{text}");
    for iteration in [10, 12] {
        let stem = |root: &str| format!("{root}_it{iteration:03}");
        let [a, b] = [&whole.root, &part].map(|root| stem(root));
        for label in [
            "rlnAngleRot",
            "rlnAnglePsi",
            "rlnOriginXAngst",
            "rlnClassNumber",
        ] {
            let [a, b] = [&a, &b].map(|s| column(&format!("{s}_data.star"), "particles", label));
            let differ = a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > 1e-3);
            assert_eq!(differ.count(), 0, "{label}, iteration {iteration}");
        }
        for map in ["class001", "class002", "1moment003"] {
            let read = |stem: &str| {
                let path = format!("{stem}_{map}.mrc");
                gerelion::formats::volume::read_map(Path::new(&path))
                    .unwrap()
                    .data
            };
            let [a, b] = [&a, &b].map(|s| read(s));
            let norm = |m: &ndarray::Array3<f32>| m.iter().map(|v| f64::from(v * v)).sum::<f64>();
            let difference = (norm(&(&a - &b)) / norm(&a)).sqrt();
            assert!(
                difference < 1e-4,
                "{map}, iteration {iteration}: {difference}"
            );
        }
        for label in [
            "rlnGradCurrentStepsize",
            "rlnSgdSubsetSize",
            "rlnNumberOfIterWithoutResolutionGain",
        ] {
            let [a, b] = [&whole.root, &part].map(|root| optimiser(root, iteration, label));
            assert_eq!(a, b, "{label}");
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_gradient_run() {
    let one = Job::run("--iter 4 --grad_write_iter 1 --j 1");
    let two = Job::run("--iter 4 --grad_write_iter 1 --j 2");
    for file in ["class001.mrc", "1moment002.mrc", "2moment001.mrc"] {
        let name = format!("_it003_{file}");
        // Behind the header, which holds the time.
        assert_eq!(one.bytes(&name)[1024..], two.bytes(&name)[1024..], "{name}");
    }
    let name = "_it004_data.star";
    assert_eq!(one.bytes(name), two.bytes(name));
}
