//! Start-up references and spectra, τ² of references and of FSC curves, and completeness against reference runs.
//!
//! The runs live outside the repository; without them these tests are skipped (`tests/material`).

use gerelion::formats::{star::Document, volume::read_map};
use gerelion::fourier::{masks::low_pass, reference::prepare};
use gerelion::maximization::{
    completeness,
    initial::{MapPowers, initialize_spectra},
    tau2,
};
use gerelion::model::{ClassModel, Model};
use gpu::mask::low_pass_factor;
use material::shared;
use ndarray::Array3;
use std::path::Path;

fn map(path: &Path) -> Array3<f64> {
    read_map(path).unwrap().data.mapv(f64::from)
}

fn column(document: &Document, table: &str, label: &str) -> Vec<f64> {
    let table = document.require(table).unwrap();
    table.real_column(label).unwrap()
}

fn relative_l2(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    let norm = |m: &Array3<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
    norm(&(a - b)) / norm(b)
}

/// Equal to the digits printed: 7 significant ones, 6 decimals.
fn as_printed(ours: f64, printed: f64) -> bool {
    (ours - printed).abs() <= 1e-6 + 1e-6 * printed.abs()
}

#[test]
fn start_up_reference_and_spectra() {
    let Some(golden) = shared("golden") else {
        return;
    };
    let run = golden.join("class3d_k1_noperturb");
    let input = map(&golden.join("input/trpv1_mini_truth1.mrc"));
    let filtered = low_pass(&input, 4.0, 40.0);
    let error = relative_l2(&filtered, &map(&run.join("run_it000_class001.mrc")));
    assert!(error < 1e-7, "low-passed reference: {error}");

    let model = Document::read(&run.join("run_it000_model.star")).unwrap();
    let mut ours = Model {
        box_size: 64,
        pixel_size: 4.0,
        padding: 2.0,
        tau2_fudge: 4.0,
        classes: vec![ClassModel {
            map: filtered.into(),
            fraction: 1.0,
            tau2: vec![],
            sigma2: vec![0.0; 33],
            ssnr: vec![],
            coverage: vec![0.0; 33],
            fsc: vec![0.0; 33],
            orientability: None,
            direction_prior: vec![],
            offset_prior: [0.0; 2],
            accuracy_rotations: 0.0,
            accuracy_translations: 0.0,
            moments: None,
        }],
        noise: vec![column(&model, "model_optics_group_1", "rlnSigma2Noise")],
        scales: vec![],
        group_particles: vec![],
        average_norm: 1.0,
        sigma2_offset: 100.0,
        average_pmax: 0.0,
        log_likelihood: 0.0,
        current_resolution: 0.0,
        current_size: 64,
        local_search: None,
    };
    initialize_spectra(&mut ours, 2000, false, &mut MapPowers::default());
    let class = &ours.classes[0];
    for (label, ours) in [
        ("rlnReferenceTau2", &class.tau2),
        ("rlnSsnrMap", &class.ssnr),
    ] {
        let printed = column(&model, "model_class_1", label);
        assert_eq!(ours.len(), printed.len());
        for (shell, (a, b)) in ours.iter().zip(&printed).enumerate() {
            assert!(as_printed(*a, *b), "{label}, shell {shell}: {a} {b}");
        }
    }
}

/// τ² of an iteration is half the mean power of the padded reference that entered it.
#[test]
fn power_of_prepared_references() {
    let Some(golden) = shared("golden") else {
        return;
    };
    let run = golden.join("class3d_k1_noperturb");
    let stages: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("stages_it002.json")).unwrap()).unwrap();
    let prepared = prepare(&map(&run.join("run_it001_class001.mrc")), 2.0, 32, None);
    let known = stages["reference_power_tau2_first_shells"]
        .as_array()
        .unwrap();
    for (shell, value) in known.iter().enumerate() {
        let value = value.as_f64().unwrap();
        let ours = prepared.power[shell];
        assert!(
            (ours / value - 1.0).abs() < 1e-9,
            "shell {shell}: {ours} {value}"
        );
    }
    let model = Document::read(&run.join("run_it002_model.star")).unwrap();
    let printed = column(&model, "model_class_1", "rlnReferenceTau2");
    for (shell, (a, b)) in prepared.power.iter().zip(&printed).enumerate() {
        assert!(as_printed(*a, *b), "shell {shell}: {a} {b}");
    }
}

/// In half-set runs τ² and ssnr follow from the FSC and σ² of the same file.
#[test]
fn spectra_follow_from_the_fsc() {
    let Some(golden) = shared("golden") else {
        return;
    };
    let mut files = 0;
    for iteration in 1..=14 {
        for half in [1, 2] {
            let name = format!("refine3d_c4/run_it{iteration:03}_half{half}_model.star");
            let Ok(model) = Document::read(&golden.join(&name)) else {
                continue;
            };
            files += 1;
            let read = |label| column(&model, "model_class_1", label);
            let (fsc, sigma2) = (read("rlnGoldStandardFsc"), read("rlnReferenceSigma2"));
            let (mut tau2, mut ssnr) = tau2::tau2_from_fsc(&fsc, &sigma2, 1.0, false);
            if iteration == 1 {
                // The cross-correlation iteration ends with another low-pass at 40 Å.
                for shell in 0..fsc.len() {
                    let factor = low_pass_factor(shell as f64, 64.0 * 4.0 / 40.0).powi(2);
                    tau2[shell] *= factor;
                    ssnr[shell] *= factor;
                }
            }
            // The file's FSC has 6 decimals, and 1/(1−f) magnifies their rounding.
            for shell in 1..fsc.len() {
                let slack = 1e-6 / (1.0 - fsc[shell].clamp(0.001, 0.999));
                let near = |a: f64, b: f64| {
                    (a - b).abs()
                        <= 2e-6 + b.abs() * (1e-6 + slack * (1.0 + 1.0 / fsc[shell].max(0.001)))
                };
                let printed = (read("rlnReferenceTau2")[shell], read("rlnSsnrMap")[shell]);
                if half == 1 || shell > 0 {
                    assert!(
                        near(ssnr[shell], printed.1),
                        "{name} {shell}: {} {printed:?}",
                        ssnr[shell]
                    );
                    assert!(
                        near(tau2[shell], printed.0),
                        "{name} {shell}: {} {printed:?}",
                        tau2[shell]
                    );
                }
            }
        }
    }
    assert!(files > 10, "{files} model files found");
}

#[test]
fn completeness_and_estimated_resolution() {
    let Some(golden) = shared("golden") else {
        return;
    };
    let mut classes = 0;
    for (name, count) in [
        ("class3d_k1_noperturb/run_it002_model.star", 1),
        ("class3d_k1_noperturb/run_it004_model.star", 1),
        ("class3d_k2_c4/run_it002_model.star", 2),
        ("class3d_k2_c4/run_it010_model.star", 2),
        ("refine3d_c4/run_it005_half1_model.star", 1),
        ("refine3d_c4/run_it012_half1_model.star", 1),
    ] {
        let Ok(model) = Document::read(&golden.join(name)) else {
            continue;
        };
        for k in 1..=count {
            let read = |label| column(&model, &format!("model_class_{k}"), label);
            let (ssnr, coverage) = (read("rlnSsnrMap"), read("rlnFourierCompleteness"));
            let printed = |label| column(&model, "model_classes", label)[k - 1];
            let overall = completeness::overall_completeness(&ssnr, &coverage);
            assert!(
                as_printed(overall, printed("rlnOverallFourierCompleteness")),
                "{name}"
            );
            let resolution = completeness::estimated_resolution(&ssnr, 64, 4.0);
            assert!(
                as_printed(resolution, printed("rlnEstimatedResolution")),
                "{name}"
            );
            classes += 1;
        }
    }
    assert!(classes > 4, "{classes} classes found");
}
