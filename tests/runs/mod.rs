//! Runs of the program from files to files, and what the tests ask of their results.
#![allow(dead_code)] // each test program uses its part

use gerelion::formats::star::Document;
use gerelion::tools::compare::{CompareOptions, Comparison, compare_runs};
use gerelion::tools::fsc::compare_files;
#[allow(unused_imports)] // each test program uses its part
pub use material::golden;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The small data set of this repository and its reference runs.
pub fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixture")
}

/// A folder with copies of the files of the small data set, and these empty folders.
pub fn small_set(folders: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"] {
        std::fs::copy(fixture().join(file), folder.path().join(file)).unwrap();
    }
    for name in folders {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

/// The words of the command of a reference run (`command.txt`) after the program's name, without the number of threads
/// of the reference machine.
pub fn command(reference: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(reference.join("command.txt")).unwrap();
    let words: Vec<&str> = text
        .split_whitespace()
        .skip_while(|word| !word.starts_with("relion_refine"))
        .skip(1)
        .collect();
    let at = words.iter().position(|word| *word == "--j");
    words
        .iter()
        .enumerate()
        .filter(|(i, _)| at.is_none_or(|at| *i != at && *i != at + 1))
        .map(|(_, word)| (*word).to_owned())
        .collect()
}

/// A folder with copies of the files of `inputs` and the folder of the output of `words`, and the root of that output.
pub fn work_folder(inputs: &[PathBuf], words: &[String]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for input in inputs {
        std::fs::copy(input, folder.path().join(input.file_name().unwrap())).unwrap();
    }
    let root = &words[words.iter().position(|word| word == "--o").unwrap() + 1];
    let root = folder.path().join(root);
    std::fs::create_dir_all(root.parent().unwrap()).unwrap();
    (folder, root.to_string_lossy().into_owned())
}

/// Run the command of a reference run on copies of the files of `inputs`. Returns the folder, which holds the output
/// under the root of the command, and that root.
pub fn rerun(reference: &Path, inputs: &[PathBuf]) -> (tempfile::TempDir, String) {
    run_words(&command(reference), inputs)
}

/// As [`rerun`], with these words after the program's name.
pub fn run_words(words: &[String], inputs: &[PathBuf]) -> (tempfile::TempDir, String) {
    let (folder, root) = work_folder(inputs, words);
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words)
        .current_dir(folder.path())
        .output()
        .unwrap();
    succeeded(&output);
    (folder, root)
}

/// Assert that a program ended well; its texts are shown otherwise.
pub fn succeeded(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Compare one iteration with the reference run.
pub fn compare(reference: &Path, ours: &str, iteration: usize, symmetry: &str) -> Comparison {
    let options = CompareOptions {
        symmetry: symmetry.into(),
        step: 7.5,
        half: None,
        ..CompareOptions::default()
    };
    let reference = reference.join(format!("run_it{iteration:03}"));
    let ours = format!("{ours}_it{iteration:03}");
    compare_runs(&reference.to_string_lossy(), &ours, &options).unwrap()
}

/// Bounds of one iteration.
pub struct Bounds {
    /// Share of particles with the same pose.
    pub poses: f64,
    /// Relative difference of σ² up to the current resolution.
    pub sigma2: f64,
    /// Relative difference of τ² up to the current resolution.
    pub tau2: f64,
    /// Difference of the average Pmax.
    pub pmax: f64,
    /// Smallest FSC of the maps up to the current resolution.
    pub fsc: f64,
}

/// Assert the bounds; resolution and image size must be equal.
pub fn check(found: &Comparison, bounds: &Bounds, iteration: usize) {
    let text = format!("iteration {iteration}\n{found}");
    let figure = |name: &str| {
        let figure = found.figures.iter().find(|f| f.name == name).unwrap();
        (figure.reference.unwrap(), figure.ours.unwrap())
    };
    for name in ["CurrentResolution", "CurrentImageSize"] {
        let (reference, ours) = figure(name);
        assert_eq!(reference, ours, "{name}, {text}");
    }
    let (reference, ours) = figure("AveragePmax");
    assert!((reference - ours).abs() <= bounds.pmax, "Pmax, {text}");
    assert!(found.poses.identical >= bounds.poses, "poses, {text}");
    for spectrum in &found.spectra {
        let bound = if spectrum.name.contains("Tau2") {
            bounds.tau2
        } else {
            bounds.sigma2
        };
        assert!(spectrum.to_resolution <= bound, "{}, {text}", spectrum.name);
    }
    for map in found.maps.iter().flatten() {
        assert!(map.smallest_to_resolution >= bounds.fsc, "map, {text}");
    }
}

/// A number of a list table of one of our files.
pub fn number(file: &str, table: &str, label: &str) -> f64 {
    let document = Document::read(Path::new(file)).unwrap();
    document.require(table).unwrap().real(0, label).unwrap()
}

/// Mean FSC of two maps over all shells.
pub fn mean_fsc(a: &str, b: &Path) -> f64 {
    compare_files(Path::new(a), b, None).unwrap().mean
}
