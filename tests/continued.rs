//! Runs that are continued: with more iterations than were asked for, with other options, from a finished run.

mod runs;

use gerelion::formats::volume::read_map;
use gerelion::tools::compare::{CompareOptions, compare_runs};
use ndarray::Array3;
use runs::{command, fixture, succeeded, work_folder};
use std::path::Path;
use std::process::{Command, Output};

/// A run of the fixture in a folder of its own.
struct Run {
    folder: tempfile::TempDir,
    root: String,
}

impl Run {
    /// The reference run `name` with further options, which hold against those before.
    fn fresh(name: &str, options: &str) -> Self {
        let data = fixture();
        let mut words = command(&data.join(name));
        words.extend(options.split_whitespace().map(String::from));
        let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| data.join(f));
        let (folder, root) = work_folder(&inputs, &words);
        let run = Self { folder, root };
        succeeded(&run.program(&words));
        run
    }

    fn program(&self, words: &[String]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(words)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Continue from an iteration.
    fn continued(&self, iteration: usize, options: &str) -> Output {
        let from = format!("{}_it{iteration:03}_optimiser.star", self.root);
        let mut words = ["--continue", &from].map(String::from).to_vec();
        words.extend(options.split_whitespace().map(String::from));
        self.program(&words)
    }

    fn exists(&self, suffix: &str) -> bool {
        Path::new(&format!("{}{suffix}", self.root)).exists()
    }

    /// Assert that an iteration is that of another run, but for the digits that files leave out: those of norms and spectra
    /// beyond the sixth, and of maps beyond single precision.
    fn check_same(&self, root: &str, iteration: usize, half: Option<u8>) {
        let options = CompareOptions {
            symmetry: "C1".into(),
            step: 7.5,
            half,
            ..CompareOptions::default()
        };
        let (whole, part) = (
            format!("{}_it{iteration:03}", self.root),
            format!("{root}_it{iteration:03}"),
        );
        let found = compare_runs(&whole, &part, &options).unwrap();
        for figure in &found.figures[..2] {
            assert_eq!(figure.reference, figure.ours, "{}", figure.name);
        }
        assert_eq!(found.poses.identical, 1.0, "{found}");
        for map in found.maps.iter().flatten() {
            assert!(map.relative_l2 < 1e-5, "{found}");
        }
        assert!(found.maps.iter().flatten().count() > 0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Further iterations of a classification are those of a run that was asked for them at once.
#[test]
fn a_classification_goes_on_beyond_its_last_iteration() {
    let whole = Run::fresh("class3d_c4", "--iter 4");
    let parts = Run::fresh("class3d_c4", "--iter 2");
    assert!(parts.exists("_it002_optimiser.star") && !parts.exists("_it003_optimiser.star"));
    let output = parts.continued(2, "--iter 4");
    succeeded(&output);
    let said = text(&output.stdout);
    assert!(said.contains("--iter changes from 2 to 4"), "{said}");
    assert!(said.contains("Expectation iteration 4 of 4"), "{said}");
    whole.check_same(&format!("{}_ct2", parts.root), 4, None);
    // Nothing is left to do, which is said.
    let output = whole.continued(4, "");
    succeeded(&output);
    let said = text(&output.stderr);
    assert!(said.contains("--iter 4 asks for no more"), "{said}");
}

/// `--auto_iter_max` of an auto-refinement; `--force_converge` makes the next iteration the last.
#[test]
fn an_auto_refinement_goes_on_beyond_its_limit() {
    let whole = Run::fresh("refine3d_c4", "--auto_iter_max 3");
    let parts = Run::fresh("refine3d_c4", "--auto_iter_max 2");
    let output = parts.continued(2, "--auto_iter_max 3");
    succeeded(&output);
    let said = text(&output.stdout);
    // The limit is not kept in files (spec 03 §3.2).
    assert!(
        said.contains("--auto_iter_max changes from 999 to 3"),
        "{said}"
    );
    for half in [1, 2] {
        whole.check_same(&format!("{}_ct2", parts.root), 3, Some(half));
    }
    let output = parts.continued(2, "--force_converge");
    succeeded(&output);
    let said = text(&output.stdout);
    assert!(said.contains("Refinement has converged"), "{said}");
    assert!(parts.exists("_ct2_model.star") && parts.exists("_ct2_half1_class001_unfil.mrc"));
}

/// `--join_random_halves`: the map of one iteration is that of both half-sets, as `--always_join_random_halves` gives it to each of
/// them, under a name without a number (spec 06 §7).
#[test]
fn half_sets_are_joined_in_one_iteration() {
    let run = Run::fresh("refine3d_c4", "--auto_iter_max 2");
    let joined = |name: &str, option: &str| {
        let root = format!("{}_{name}", run.root);
        let output = run.continued(2, &format!("--auto_iter_max 3 {option} --o {root}"));
        succeeded(&output);
        (root, text(&output.stdout))
    };
    let (always, _) = joined("always", "--always_join_random_halves");
    let (once, said) = joined("once", "--join_random_halves");
    assert!(said.contains("half-sets were joined"), "{said}");
    let map = |path: String| read_map(Path::new(&path)).unwrap().data;
    let apart = map(format!("{}_it002_half1_class001.mrc", run.root));
    let (both, found) = (
        map(format!("{always}_it003_half1_class001.mrc")),
        map(format!("{once}_class001.mrc")),
    );
    let square = |map: &Array3<f32>| map.iter().map(|v| f64::from(v * v)).sum::<f64>();
    let relative = |other: &Array3<f32>| (square(&(&found - other)) / square(&found)).sqrt();
    assert!(relative(&both) < 1e-6, "{}", relative(&both));
    assert!(relative(&apart) > 1e-2, "{}", relative(&apart));
    assert!(!run.exists("_once_half1_class001_unfil.mrc"));
    assert!(!run.exists("_once_it003_optimiser.star"));
    // They cannot be told apart again.
    let words = ["--continue".into(), format!("{once}_optimiser.star")];
    let said = text(&run.program(&words).stderr);
    assert!(said.contains("GR-0701"), "{said}");
}

#[test]
fn options_are_checked_again_and_changes_are_said() {
    let run = Run::fresh("class3d_c4", "--iter 1");
    let output = run.continued(
        1,
        "--iter 2 --tau2_fudge 2 --no_norm --particle_diameter 150",
    );
    succeeded(&output);
    let said = text(&output.stdout);
    for change in [
        "--tau2_fudge changes from 4.0 to 2.0",
        "--norm is switched off",
        "--particle_diameter changes from 160.0 to 150.0",
    ] {
        assert!(said.contains(change), "{change}: {said}");
    }
    for (options, reason) in [
        ("--iter 2 --tau2_fudge 0", "GR-0103: --tau2_fudge"),
        ("--iter 2 --particle_diameter 1000", "--particle_diameter"),
        ("--iter 2 --solvent_mask none.mrc", "GR-0201: none.mrc"),
        ("--iter two", "GR-0103: --iter"),
        ("--iter 2 --join_random_halves", "GR-0106"),
    ] {
        let output = run.continued(1, options);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{options}");
        assert!(said.contains("ERROR:") && said.contains(reason), "{said}");
    }
}

/// Classes that start from one map are made different in iteration 2 where the first one compares by correlation: also if the run
/// was continued before.
#[test]
fn classes_from_one_map_separate_after_a_continuation() {
    let whole = Run::fresh("class3d_c4", "--K 2 --iter 3");
    let parts = Run::fresh("class3d_c4", "--K 2 --iter 1");
    let output = parts.continued(1, "--iter 3");
    succeeded(&output);
    assert!(!text(&output.stderr).contains("WARNING"), "{output:?}");
    whole.check_same(&format!("{}_ct1", parts.root), 3, None);
    let maps = [1, 2].map(|class| format!("{}_ct1_it003_class00{class}.mrc", parts.root));
    let alike = runs::mean_fsc(&maps[0], Path::new(&maps[1]));
    assert!(alike < 0.999, "{alike}");
}

/// RELION does not separate them (spec 03 §5), which is said of files without our table.
#[test]
fn classes_that_will_stay_equal_are_told() {
    let run = Run::fresh("class3d_c4", "--K 2 --iter 1");
    let path = format!("{}_it001_optimiser.star", run.root);
    let ours = std::fs::read_to_string(&path).unwrap();
    let relions = ours
        .replace("GeRelion-", "5.0-like-")
        .replace("data_gerelion_state", "data_other");
    std::fs::write(&path, relions).unwrap();
    let output = run.continued(1, "--iter 2");
    succeeded(&output);
    let said = text(&output.stderr);
    assert!(said.contains("all 2 classes are the same map"), "{said}");
}

#[test]
fn options_that_are_not_repeated_are_told() {
    let run = Run::fresh("class3d_c4", "--iter 1 --center_classes");
    let output = run.continued(1, "--iter 2");
    succeeded(&output);
    let said = text(&output.stderr);
    assert!(said.contains("--center_classes was given before"), "{said}");
    let output = run.continued(1, "--iter 2 --center_classes");
    succeeded(&output);
    assert!(!text(&output.stderr).contains("given before"), "{output:?}");
}

/// A map of one iteration over another of the same one.
#[test]
fn files_of_one_iteration_are_told_apart() {
    let run = Run::fresh("class3d_c4", "--K 2 --iter 2");
    let map = |class: usize| format!("{}_it002_class00{class}.mrc", run.root);
    std::fs::copy(map(1), map(2)).unwrap();
    let output = run.continued(2, "--iter 3");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("GR-0704") && said.contains("class001.mrc"),
        "{said}"
    );
}

/// One point group for each class, of which RELION's sampling file holds none.
#[test]
fn point_groups_of_classes_are_kept() {
    let options = "--K 2 --sym C4,C1 --healpix_order 0 --iter";
    let whole = Run::fresh("class3d_c4", &format!("{options} 3"));
    let parts = Run::fresh("class3d_c4", &format!("{options} 2"));
    succeeded(&parts.continued(2, "--iter 3"));
    whole.check_same(&format!("{}_ct2", parts.root), 3, None);
}

/// A rerun that ends earlier than the first leaves files that look like its last iteration.
#[test]
fn files_of_a_longer_run_before_are_told() {
    let run = Run::fresh("class3d_c4", "--iter 2");
    let mut words = command(&fixture().join("class3d_c4"));
    words.extend(["--iter", "1"].map(String::from));
    let output = run.program(&words);
    succeeded(&output);
    let said = text(&output.stderr);
    assert!(
        said.contains("files of iterations up to 2 of an earlier run"),
        "{said}"
    );
    assert!(run.exists("_it002_optimiser.star"));
}

/// A reference whose grey scale was changed between two parts of a run: what a new run says of it.
#[test]
fn alarms_are_raised_in_a_continued_run() {
    for (factor, alarm) in [
        (1000.0, "the norm correction of 400 of 400"),
        (0.001, "significant orientations and shifts of"),
    ] {
        let run = Run::fresh("class3d_c4", "--iter 1");
        let path = format!("{}_it001_class001.mrc", run.root);
        let mut bytes = std::fs::read(&path).unwrap();
        for value in bytes[1024..].as_chunks_mut::<4>().0 {
            *value = (f32::from_le_bytes(*value) * factor).to_le_bytes();
        }
        std::fs::write(&path, bytes).unwrap();
        let output = run.continued(1, "--iter 2");
        succeeded(&output);
        let said = text(&output.stderr);
        assert!(said.contains(alarm), "{factor}: {said}");
    }
}
