//! 3D classification from files to files, iteration by iteration against RELION's answer.

mod runs;

use gerelion::expectation::cpu::CpuEngine;
use gerelion::formats::star::Document;
use gerelion::refinement::{resume::read_optimiser, run};
use runs::{Bounds, check, compare, fixture, golden, rerun};
use std::path::Path;

/// First iteration: cross-correlation, one pose a particle.
const FIRST: Bounds = Bounds {
    poses: 0.995,
    sigma2: 0.003,
    tau2: 0.03,
    pmax: 0.002,
    fsc: 0.999,
};

/// Later iterations. Poses drift apart from the first particle that differs: the reference program lets two pixels of
/// a slice keep values of the orientation before (spec 01 §1.5), which decides near-ties (particle 117 here) otherwise.
const LATER: Bounds = Bounds {
    poses: 0.98,
    ..FIRST
};

#[test]
fn the_fixture_is_classified_as_by_the_reference_program() {
    let data = fixture();
    let reference = data.join("class3d_c4");
    let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| data.join(f));
    let (_folder, ours) = rerun(&reference, &inputs);
    check_initial_noise(&reference, &ours);
    for iteration in 1..=3 {
        let bounds = if iteration == 1 { &FIRST } else { &LATER };
        let found = compare(&reference, &ours, iteration, "C4");
        println!("iteration {iteration}\n{found}");
        check(&found, bounds, iteration);
    }
}

/// The noise spectrum before the first iteration, to the digits printed.
fn check_initial_noise(reference: &Path, ours: &str) {
    let spectrum = |file: String| {
        let document = Document::read(Path::new(&file)).unwrap();
        let table = document.require("model_optics_group_1").unwrap();
        table.real_column("rlnSigma2Noise").unwrap()
    };
    let expected = spectrum(format!("{}/run_it000_model.star", reference.display()));
    let found = spectrum(format!("{ours}_it000_model.star"));
    assert_eq!(found.len(), expected.len());
    for (shell, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = (found / expected - 1.0).abs();
        assert!(
            difference <= 1e-6,
            "shell {shell}: {found}, reference {expected}"
        );
    }
}

/// From RELION's own files of iteration 1 nothing but the iteration itself can differ.
#[test]
fn one_iteration_from_reference_files_gives_the_reference_poses() {
    let data = fixture();
    let reference = data.join("class3d_c4");
    let folder = tempfile::tempdir().unwrap();
    let mut resumed = read_optimiser(&reference.join("run_it001_optimiser.star")).unwrap();
    resumed.particles.stacks = vec![data.join("bundle.mrcs").to_string_lossy().into_owned()];
    resumed.settings.output_root = folder.path().join("run").to_string_lossy().into_owned();
    resumed.settings.iterations = Some(2);
    resumed.settings.verbosity = 0;
    resumed.settings.perturbation = 0.0;
    resumed.sampling.perturbation_factor = 0.0;
    resumed.sampling.perturbation = 0.0;
    // Go on without RELION's second look at the resolution, as the reference run did.
    resumed.exact = true;
    run::resume(resumed, &mut CpuEngine::new()).unwrap();
    let ours = folder.path().join("run").to_string_lossy().into_owned();
    let found = compare(&reference, &ours, 2, "C4");
    println!("{found}");
    let bounds = Bounds {
        poses: 0.985,
        sigma2: 1e-4,
        tau2: 1e-3,
        pmax: 0.001,
        fsc: 0.9999,
    };
    check(&found, &bounds, 2);
}

#[test]
fn a_run_without_symmetry_is_classified_as_by_the_reference_program() {
    let Some(reference) = golden("class3d_k1_noperturb") else {
        return;
    };
    let input = reference.join("../input");
    let files = [
        "trpv1_mini.star",
        "trpv1_mini.mrcs",
        "trpv1_mini_truth1.mrc",
    ];
    let (_folder, ours) = rerun(&reference, &files.map(|f| input.join(f)));
    for iteration in 1..=4 {
        let mut bounds = if iteration == 1 { FIRST } else { LATER };
        // The map has a symmetry that is not searched with: mates are nearly tied and part first.
        if iteration > 1 {
            bounds.poses = 0.985;
        }
        let found = compare(&reference, &ours, iteration, "C1");
        println!("iteration {iteration}\n{found}");
        check(&found, &bounds, iteration);
    }
}

#[test]
fn two_conformations_are_told_apart() {
    let Some(reference) = golden("class3d_k2_c4") else {
        return;
    };
    let input = reference.join("../input");
    let files = ["mix_mini.star", "mix_mini.mrcs", "mix_mini_truth1.mrc"];
    let (_folder, ours) = rerun(&reference, &files.map(|f| input.join(f)));
    let classes = |path: &Path| -> Vec<f64> {
        let table = Document::read(path).unwrap();
        let table = table.require("particles").unwrap();
        table.real_column("rlnClassNumber").unwrap()
    };
    let found = classes(Path::new(&format!("{ours}_it010_data.star")));
    let truth = classes(&input.join("mix_mini_truth.star"));
    let same = found.iter().zip(&truth).filter(|(a, b)| a == b).count() as f64;
    let share = same / found.len() as f64;
    let share = share.max(1.0 - share);
    assert!(share >= 0.88, "{share} of the particles in the right class");
}
