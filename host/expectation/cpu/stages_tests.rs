//! Every stage against intermediate values of a reference run (`golden/class3d_k1_noperturb/stages_it00N.json`, written
//! by an independent double-precision implementation of the same rules). Skipped when `../shared` is not there.

use super::super::layout::GroupLayout;
use super::super::*;
use super::prepare::prepare;
use super::*;
use crate::dataset::ImageStore;
use crate::fourier::reference;
use crate::refinement::checkpoint::resume::{Resumed, read_optimiser};
use serde_json::Value;

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

fn close(name: &str, ours: f64, reference: f64, tolerance: f64) {
    assert!(
        (ours - reference).abs() <= tolerance,
        "{name}: {ours} instead of {reference} (± {tolerance:e})"
    );
}

/// Start from the files of iteration `from`, compare the expectation step of the next one.
fn compare_stages(from: usize) {
    let Some(folder) = material::shared("golden") else {
        return;
    };
    let run = folder.join("class3d_k1_noperturb");
    let stages: Value = serde_json::from_str(
        &std::fs::read_to_string(run.join(format!("stages_it{:03}.json", from + 1))).unwrap(),
    )
    .unwrap();
    let Resumed {
        particles: mut set,
        models,
        mut sampling,
        ..
    } = read_optimiser(&run.join(format!("run_it{from:03}_optimiser.star"))).unwrap();
    sampling.perturbation = 0.0;
    for stack in &mut set.stacks {
        *stack = folder
            .join("input")
            .join(&*stack)
            .to_string_lossy()
            .into_owned();
    }
    let model = &models[0];
    let size = |name: &str| stages[name].as_u64().unwrap() as usize;
    let prepared = reference::prepare(&model.classes[0].map, 2.0, size("current_size"), None);
    for (shell, &power) in numbers(&stages["reference_power_tau2_first_shells"])
        .iter()
        .enumerate()
    {
        close(
            &format!("reference power of shell {shell}"),
            prepared.power[shell],
            power,
            1e-6 * power,
        );
    }
    let references = [reference::Reference::Host(prepared.volume)];
    let (options, fine) = (ExpectationOptions::new(170.0), size("image_size_fine"));
    let sizes = [ImageSizes {
        full: fine,
        fine,
        coarse: size("image_size_coarse"),
    }];
    let input = IterationInput {
        options: &options,
        model,
        references: &references,
        optics: &set.optics,
        sizes: &sizes,
        sampling: &sampling,
        criterion: Criterion::Likelihood,
        classes: ClassSelection::All,
        references_ctf_corrected: true,
        priors_from_current: false,
        gradient: false,
        subtraction: None,
    };
    let layout = GroupLayout::new(&input, 0).unwrap().with_phases();
    compare_layout(&layout, &stages);
    let (store, mut items) = (ImageStore::open(&set, false).unwrap(), Vec::new());
    let expected = stages["particles"].as_array().unwrap();
    for particle in expected {
        let row = particle["row_in_data_file_1based"].as_u64().unwrap() as usize - 1;
        items.push(BatchItem {
            particle: &set.particles[row],
            position: row,
            image: store.image(&set, row).unwrap(),
            name: set.image_name(row),
        });
    }
    compare_images(&input, &layout, &items, &stages);
    let mut engine = CpuEngine::new();
    engine.begin_iteration(&input).unwrap();
    let outcomes = engine.process_batch(&input, &items).unwrap();
    compare_outcomes(&outcomes, expected);
}

fn compare_layout(layout: &GroupLayout, stages: &Value) {
    for (shell, &v) in numbers(&stages["inverse_variance_first_shells"])
        .iter()
        .enumerate()
    {
        let i = layout
            .pixels
            .shell
            .iter()
            .position(|&s| s == shell)
            .unwrap();
        close(
            "inverse variance",
            f64::from(layout.inverse_variance[i]),
            v,
            1e-6 * v,
        );
    }
    close(
        "Σ ln 2πσ²",
        layout.log_norm,
        stages["lognorm_sum_ln_2pi_sigma2"].as_f64().unwrap(),
        1e-5,
    );
}

fn compare_images(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[BatchItem],
    stages: &Value,
) {
    let probes: Vec<usize> = stages["probe_pixels_xy"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            let p = numbers(p);
            (0..layout.pixels.len()).find(|&i| {
                f64::from(layout.pixels.x[i]) == p[0] && f64::from(layout.pixels.y[i]) == p[1]
            })
        })
        .map(|i| i.unwrap_or(usize::MAX))
        .collect();
    let expected = stages["particles"].as_array().unwrap();
    for (item, particle) in items.iter().zip(expected) {
        let image = prepare(input, layout, item).unwrap();
        let pre = &particle["preprocess"];
        assert_eq!(
            image.start.old_offset.to_vec(),
            numbers(&pre["integer_shift_px"])
        );
        let high = pre["power_beyond_current_size"].as_f64().unwrap();
        close("X_high", image.high_power_sum, high, 1e-5 * high);
        for (name, values) in [("F_masked", &image.masked), ("F_unmasked", &image.unmasked)] {
            for (&i, value) in probes.iter().zip(pre[name].as_array().unwrap()) {
                if i != usize::MAX {
                    let value = numbers(value);
                    close(name, f64::from(values[i].re), value[0], 1e-6);
                    close(name, f64::from(values[i].im), value[1], 1e-6);
                }
            }
        }
        for (&i, value) in probes.iter().zip(numbers(&pre["ctf"])) {
            if i != usize::MAX {
                close("CTF", f64::from(image.ctf[i]), value, 2e-6);
            }
        }
    }
}

fn compare_outcomes(outcomes: &[ParticleOutcome], expected: &[Value]) {
    for (outcome, particle) in outcomes.iter().zip(expected) {
        let best = &particle["fine"]["best"][0];
        let angles = numbers(&best["angles"]);
        for (ours, reference) in [outcome.rot, outcome.tilt, outcome.psi].iter().zip(&angles) {
            close(
                "angle",
                (ours - reference + 540.0).rem_euclid(360.0) - 180.0,
                0.0,
                1e-3,
            );
        }
        let shift = numbers(&best["shift_px_total"]);
        close("origin x", outcome.origin[0], shift[0] * 4.0, 1e-9);
        close("origin y", outcome.origin[1], shift[1] * 4.0, 1e-9);
        assert_eq!(
            outcome.significant_samples as u64,
            particle["coarse"]["n_significant"].as_u64().unwrap()
        );
        close(
            "Pmax",
            outcome.max_probability,
            particle["fine"]["Pmax"].as_f64().unwrap(),
            3e-4,
        );
        let norm = particle["norm"]["new_norm"].as_f64().unwrap();
        close("norm", outcome.norm, norm, 2e-5 * norm);
        let total = particle["loglikelihood"]["total"].as_f64().unwrap();
        close("log-likelihood", outcome.log_likelihood, total, 2e-3);
    }
}

#[test]
fn iteration_2_reproduces_the_reference_stages() {
    compare_stages(1);
}

#[test]
fn iteration_3_reproduces_the_reference_stages() {
    compare_stages(2);
}
