//! Sets of files that a run cannot be continued from.

use super::{BOX, Run, text};
use crate::refinement::checkpoint::resume::read_optimiser;
use crate::refinement::checkpoint::{FinalFiles, OriginalSampling, write_final};
use ndarray::Array3;

#[test]
fn files_missing_from_a_set_are_named() {
    for file in ["half2_model.star", "half1_class001.mrc", "sampling.star"] {
        let run = Run::new();
        let optimiser = run.write().unwrap();
        std::fs::remove_file(run.folder.path().join(format!("run_it003_{file}"))).unwrap();
        let error = read_optimiser(&optimiser).unwrap_err().to_string();
        assert!(error.contains(&format!("run_it003_{file}")), "{error}");
    }
}

#[test]
fn a_second_half_that_is_not_named_is_explained() {
    let run = Run::new();
    let optimiser = run.write().unwrap();
    let without: Vec<String> = text(&optimiser)
        .lines()
        .filter(|line| !line.starts_with("_rlnModelStarFile2"))
        .map(String::from)
        .collect();
    std::fs::write(&optimiser, without.join("\n")).unwrap();
    let error = read_optimiser(&optimiser).unwrap_err().to_string();
    assert!(error.contains("rlnModelStarFile2"), "{error}");
}

#[test]
fn missing_labels_are_listed() {
    let run = Run::new();
    let optimiser = run.write().unwrap();
    let without: Vec<String> = text(&optimiser)
        .lines()
        .filter(|line| !line.contains("RandomSeed") && !line.contains("rlnDoZeroMask"))
        .map(String::from)
        .collect();
    std::fs::write(&optimiser, without.join("\n")).unwrap();
    let error = read_optimiser(&optimiser).unwrap_err().to_string();
    assert!(
        error.contains("rlnRandomSeed, rlnDoZeroMask missing"),
        "{error}"
    );
}

#[test]
fn starting_points_and_converged_files_are_refused() {
    let mut run = Run::new();
    run.state.iteration = 0;
    let error = read_optimiser(&run.write().unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("iteration 0"), "{error}");

    run.state.converged = true;
    let map = Array3::zeros([BOX; 3]);
    let last = write_final(&FinalFiles {
        settings: &run.settings,
        state: &run.state,
        particles: &run.particles,
        model: &run.models[0],
        sampling: &run.sampling,
        original_sampling: OriginalSampling::of(&run.sampling),
        order_iteration: 1,
        unfiltered: &[map.clone().into(), map.into()],
    })
    .unwrap();
    assert!(
        run.folder
            .path()
            .join("run_half2_class001_unfil.mrc")
            .is_file()
    );
    assert!(!text(&last).contains("rlnModelStarFile2"));
    let error = read_optimiser(&last).unwrap_err().to_string();
    assert!(error.contains("has converged"), "{error}");
}
