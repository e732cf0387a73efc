//! Orientation grids and random perturbations against the `_sampling.star` files of reference runs.
//!
//! The runs live outside the repository; without them these tests are skipped (`tests/material`).

use gerelion::geometry::random::CRandom;
use gerelion::geometry::sampling::Sampling;
use gerelion::geometry::symmetry::PointGroup;
use material::shared;
use std::path::Path;

/// Contents of a sampling file.
struct SamplingFile {
    text: String,
}

impl SamplingFile {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        SamplingFile { text }
    }

    fn word(&self, label: &str) -> &str {
        let mut words = self.text.split_whitespace();
        words.find(|word| *word == label).expect(label);
        words.next().unwrap()
    }

    fn number(&self, label: &str) -> f64 {
        self.word(label).parse().unwrap()
    }

    /// (rot, tilt) of the table of directions.
    fn directions(&self) -> Vec<(f64, f64)> {
        let table = self.text.split("_rlnAngleTilt #2").nth(1).unwrap();
        let numbers: Vec<f64> = table
            .split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect();
        numbers
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect()
    }

    fn sampling(&self) -> Sampling {
        Sampling::new(
            self.number("_rlnHealpixOrder") as u32,
            self.number("_rlnPsiStep"),
            PointGroup::parse(self.word("_rlnSymmetryGroup")).unwrap(),
            self.number("_rlnTiltAngleLimit"),
            self.number("_rlnOffsetRange"),
            self.number("_rlnOffsetStep"),
            self.number("_rlnSamplingPerturbFactor"),
        )
    }
}

#[test]
fn directions_are_those_of_the_reference_in_its_order() {
    let Some(golden) = shared("golden") else {
        return;
    };
    let mut compared = 0;
    for run in [
        "class3d_k1_noperturb",
        "class3d_k2_c4",
        "refine3d_c4",
        "refine3d_bgal_real",
    ] {
        for entry in std::fs::read_dir(golden.join(run)).unwrap() {
            let path = entry.unwrap().path();
            if !path.to_string_lossy().ends_with("_sampling.star") {
                continue;
            }
            let file = SamplingFile::read(&path);
            let theirs = file.directions();
            let ours = file.sampling();
            assert_eq!(ours.directions.len(), theirs.len(), "{}", path.display());
            for (index, (direction, (rot, tilt))) in ours.directions.iter().zip(theirs).enumerate()
            {
                // Six decimals are written, five for negative numbers of three digits.
                assert!(
                    (direction.rot - rot).abs() < 1e-5 && (direction.tilt - tilt).abs() < 1e-5,
                    "{} direction {index}: {direction:?} is not ({rot}, {tilt})",
                    path.display()
                );
            }
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} sampling files found");
}

#[test]
fn perturbations_are_those_of_the_reference() {
    let Some(golden) = shared("golden") else {
        return;
    };
    // (run, its --random_seed, last numbered iteration)
    for (run, seed, last) in [
        ("refine3d_c4", 7, 14),
        ("class3d_k2_c4", 42, 10),
        ("refine3d_bgal_real", 7, 18),
    ] {
        let mut sampling = Sampling::new(0, -1.0, PointGroup::c1(), -91.0, 1.0, 1.0, 0.5);
        // Drawn at start-up, before the program seeds its generator.
        sampling.perturb(&mut CRandom::new(1));
        let mut compared = 0;
        for iteration in 0..=last {
            if iteration > 0 {
                sampling.perturb(&mut CRandom::new(seed + iteration));
            }
            let path = golden.join(format!("{run}/run_it{iteration:03}_sampling.star"));
            if path.exists() {
                let theirs = SamplingFile::read(&path).number("_rlnSamplingPerturbInstance");
                assert!(
                    (sampling.perturbation - theirs).abs() < 1e-5,
                    "{}: {} is not {theirs}",
                    path.display(),
                    sampling.perturbation
                );
                compared += 1;
            }
        }
        assert!(compared >= 5, "{run}: only {compared} sampling files found");
    }
}
