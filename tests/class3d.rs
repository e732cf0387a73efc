//! 3D classification from files to files, iteration by iteration against RELION's answer.

mod runs;

use gerelion::expectation::cpu::CpuEngine;
use gerelion::formats::star::Document;
use gerelion::refinement::checkpoint::resume::read_optimiser;
use gerelion::refinement::parallel::workers::Workers;
use gerelion::refinement::run;
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

/// Later iterations.
const LATER: Bounds = Bounds {
    poses: 0.985,
    ..FIRST
};

/// Later iterations of the fixture: 7 of 400 particles differ, all in the wake of the one of iteration 1 ([`check_near_tie`]).
/// The reference program does not repeat more of itself: between its two paths 98.25 % of the poses of iteration 3 agree,
/// and 98 % between a run and the same run continued (`docs/differences.md`). From its own files of iteration 1 no pose of
/// the next iterations differs.
const LATER_FROM_THE_START: Bounds = Bounds {
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
        let bounds = if iteration == 1 {
            &FIRST
        } else {
            &LATER_FROM_THE_START
        };
        let found = compare(&reference, &ours, iteration, "C4");
        println!("iteration {iteration}\n{found}");
        check(&found, bounds, iteration);
    }
    check_near_tie(&reference, &ours);
    check_vectorised(&data.join("class3d_c4_vectorised"), &ours);
}

/// The reference program's vectorised path computes every pixel of a slice, as we do: same pose of every particle, and the
/// same correlation to the last digit but one.
fn check_vectorised(reference: &Path, ours: &str) {
    let table = |path: &str| Document::read(Path::new(path)).unwrap();
    let theirs = table(&format!("{}/run_it001_data.star", reference.display()));
    let ours = table(&format!("{ours}_it001_data.star"));
    let largest_difference = |label: &str| {
        let [a, b] = [&theirs, &ours].map(|document| {
            let particles = document.require("particles").unwrap();
            particles.real_column(label).unwrap()
        });
        assert_eq!((a.len(), b.len()), (400, 400));
        let differences = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f64::max)
    };
    for label in [
        "rlnAngleRot",
        "rlnAngleTilt",
        "rlnAnglePsi",
        "rlnOriginXAngst",
        "rlnOriginYAngst",
    ] {
        assert!(largest_difference(label) < 1e-5, "{label}");
    }
    assert!(largest_difference("rlnLogLikeliContribution") < 1.5e-6);
}

/// The pose that differs in iteration 1. The reference run lets two pixels of a slice, (n/2, 0) and (0, n/2), keep values
/// of the orientation before (spec 01 §1.5), which moves correlations by up to 2e-4. Particle 117 has two poses that
/// are closer than that: with every pixel its own, 0.173012 (ours) and 0.173000. For the latter the reference prints
/// 0.173014, which is what comes out when both pixels are those of the orientation before.
fn check_near_tie(reference: &Path, ours: &str) {
    let column = |root: &str, label: &str| {
        let document = Document::read(Path::new(&format!("{root}_it001_data.star"))).unwrap();
        let table = document.require("particles").unwrap();
        table.real_column(label).unwrap()
    };
    let theirs = reference.join("run").to_string_lossy().into_owned();
    let both = |label| (column(&theirs, label), column(ours, label));
    let (psi, correlation) = (both("rlnAnglePsi"), both("rlnLogLikeliContribution"));
    let differ: Vec<usize> = (0..psi.0.len())
        .filter(|i| (psi.0[*i] - psi.1[*i]).abs() > 0.01)
        .collect();
    assert_eq!(differ, [116]);
    assert_eq!(correlation.0[116], 0.173014);
    assert_eq!(correlation.1[116], 0.173012);
    let moved = correlation
        .0
        .iter()
        .zip(&correlation.1)
        .map(|(a, b)| (a - b).abs());
    let moved: Vec<f64> = moved.filter(|d| *d > 1.5e-6).collect();
    println!(
        "{} correlations moved, by {:.1e} at most",
        moved.len(),
        moved.iter().copied().fold(0.0, f64::max)
    );
    assert!(moved.len() > 50 && moved.iter().all(|d| *d < 2e-4));
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

/// From RELION's own files of iteration 1 nothing but the iterations themselves can differ.
#[test]
fn from_reference_files_the_next_iterations_give_the_reference_poses() {
    let data = fixture();
    let reference = data.join("class3d_c4");
    let folder = tempfile::tempdir().unwrap();
    let mut resumed = read_optimiser(&reference.join("run_it001_optimiser.star")).unwrap();
    resumed.particles.stacks = vec![data.join("bundle.mrcs").to_string_lossy().into_owned()];
    resumed.settings.output_root = folder.path().join("run").to_string_lossy().into_owned();
    resumed.settings.iterations = Some(3);
    resumed.settings.verbosity = 0;
    resumed.settings.perturbation = 0.0;
    resumed.sampling.perturbation_factor = 0.0;
    resumed.sampling.perturbation = 0.0;
    // Go on without RELION's second look at the resolution, as the reference run did.
    resumed.exact = true;
    run::resume(resumed, &mut Workers::of_one(CpuEngine::new())).unwrap();
    let ours = folder.path().join("run").to_string_lossy().into_owned();
    for iteration in [2, 3] {
        let found = compare(&reference, &ours, iteration, "C4");
        println!("iteration {iteration}\n{found}");
        let bounds = Bounds {
            poses: 0.995,
            sigma2: 1e-4,
            tau2: 1e-3,
            pmax: 0.001,
            fsc: 0.9999,
        };
        check(&found, &bounds, iteration);
    }
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
        let bounds = if iteration == 1 { FIRST } else { LATER };
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
