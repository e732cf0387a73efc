//! The schedule replayed along reference runs: from the FSC curves, Pmax, accuracies and changes in the files of each
//! iteration follow sizes, resolution, counters and sampling of the next.

use crate::formats::star::{Document, Table};
use crate::fourier::shells::round;
use crate::refinement::schedule::changes::{self, Changes, ReferenceSteps};
use crate::refinement::schedule::image_size::{self, SizeRule};
use crate::refinement::schedule::{self, SamplingSteps, ScheduleRule};
use crate::refinement::state::RunState;
pub(crate) use material::golden;
use std::path::Path;

fn real(table: &Table, label: &str) -> f64 {
    table.real(0, label).unwrap()
}

fn close(ours: f64, theirs: f64, what: &str, iteration: usize) {
    assert!(
        (ours - theirs).abs() <= 2e-6 * theirs.abs().max(1.0),
        "iteration {iteration}: {what} {ours}, in the file {theirs}"
    );
}

/// The rule of the schedule of a run.
fn rule_of(start: &Table) -> ScheduleRule {
    ScheduleRule {
        oversampling: real(start, "rlnAdaptiveOversampleOrder") as u32,
        local_order: real(start, "rlnAutoLocalSearchesHealpixOrder") as u32,
        particle_diameter: real(start, "rlnParticleDiameter"),
        ignore_angles: false,
        resolution_angles: false,
        minimum_step: 0.0,
        maximum_step: 0.0,
        ignore_changes: false,
        stays_global: false,
    }
}

/// Replay all iterations; returns how many there were before convergence.
fn replay(folder: &Path, initial_low_pass: f64) -> usize {
    let read = |name: String| Document::read(&folder.join(name)).unwrap();
    let general = |document: &Document, name: &str| document.require(name).unwrap().clone();
    let start = general(
        &read("run_it000_optimiser.star".into()),
        "optimiser_general",
    );
    let model0 = read("run_it000_half1_model.star".into());
    let model0 = general(&model0, "model_general");
    let box_size = real(&model0, "rlnOriginalImageSize") as usize;
    let pixel_size = real(&model0, "rlnPixelSize");
    let width = box_size as f64 * pixel_size;
    let sampling = general(&read("run_it000_sampling.star".into()), "sampling_general");
    let mut steps = SamplingSteps {
        healpix_order: real(&sampling, "rlnHealpixOrder") as u32,
        offset_range: real(&sampling, "rlnOffsetRange"),
        offset_step: real(&sampling, "rlnOffsetStep"),
    };
    let rule = rule_of(&start);
    let reference_steps = ReferenceSteps {
        angular: schedule::angular_step(steps.healpix_order + rule.oversampling),
        offset: steps.offset_step / f64::from(1u32 << rule.oversampling),
    };
    let mut state = RunState::new(7);
    state.update_resolution(round(width / initial_low_pass) as f64 / width);
    let mut pmax = 0.0;
    for iteration in 1.. {
        if schedule::has_converged(&state, &rule) {
            return iteration - 1;
        }
        let optimiser = read(format!("run_it{iteration:03}_optimiser.star"));
        let optimiser = general(&optimiser, "optimiser_general");
        let document = read(format!("run_it{iteration:03}_half1_model.star"));
        let model = general(&document, "model_general");
        let class = document.require("model_class_1").unwrap();
        let size = image_size::current_size(&SizeRule {
            box_size,
            pixel_size,
            resolution: state.current_resolution,
            average_pmax: pmax,
            high_fsc_at_limit: state.high_fsc_at_limit,
            increment: state.increment_size,
            use_all_data: false,
        });
        assert_eq!(
            size as f64,
            real(&model, "rlnCurrentImageSize"),
            "iteration {iteration}: image size"
        );
        state.accuracy_rotations = real(&optimiser, "rlnOverallAccuracyRotations");
        state.accuracy_translations = real(&optimiser, "rlnOverallAccuracyTranslationsAngst");
        if iteration > 1
            && let Some(finer) = schedule::refine_sampling(&mut state, steps, &rule)
        {
            steps = finer;
        }
        let sampling = read(format!("run_it{iteration:03}_sampling.star"));
        let sampling = general(&sampling, "sampling_general");
        compare_sampling(steps, &sampling, iteration);
        let width_of_priors = if state.local_searches {
            schedule::local_search_width(steps.healpix_order, rule.oversampling)
        } else {
            0.0
        };
        close(
            width_of_priors,
            real(&model, "rlnSigmaPriorRotAngle"),
            "σ of local searches",
            iteration,
        );

        let fsc = class.real_column("rlnGoldStandardFsc").unwrap();
        let reach =
            image_size::fsc_reach(&fsc, size, state.increment_size, state.high_fsc_at_limit);
        state.increment_size = reach.increment;
        state.high_fsc_at_limit = reach.high_at_limit;
        let ssnr = class.real_column("rlnSsnrMap").unwrap();
        let shell = if iteration == 1 {
            round(width / initial_low_pass) as usize
        } else {
            image_size::resolution_shell(&[&ssnr], true, 5).shell
        };
        state.update_resolution(shell as f64 / width);
        pmax = real(&model, "rlnAveragePmax");
        let found = Changes {
            orientations: real(&optimiser, "rlnChangesOptimalOrientations"),
            offsets: real(&optimiser, "rlnChangesOptimalOffsets"),
            classes: real(&optimiser, "rlnChangesOptimalClasses"),
        };
        changes::count(&mut state, found, reference_steps);

        compare_state(&state, &optimiser, &model, iteration);
    }
    unreachable!("the run converges")
}

fn compare_sampling(steps: SamplingSteps, sampling: &Table, iteration: usize) {
    assert_eq!(
        f64::from(steps.healpix_order),
        real(sampling, "rlnHealpixOrder"),
        "iteration {iteration}: order"
    );
    let offsets = [
        (steps.offset_range, "rlnOffsetRange"),
        (steps.offset_step, "rlnOffsetStep"),
    ];
    for (ours, label) in offsets {
        close(ours, real(sampling, label), label, iteration);
    }
}

/// Compares counters and resolution with those that the reference run wrote after an iteration.
fn compare_state(state: &RunState, optimiser: &Table, model: &Table, iteration: usize) {
    for (ours, label) in [
        (state.increment_size as f64, "rlnIncrementImageSize"),
        (
            f64::from(u8::from(state.high_fsc_at_limit)),
            "rlnHasHighFscAtResolLimit",
        ),
        (
            state.iterations_without_gain as f64,
            "rlnNumberOfIterWithoutResolutionGain",
        ),
        (
            state.iterations_without_changes as f64,
            "rlnNumberOfIterWithoutChangingAssignments",
        ),
        (state.best_resolution, "rlnBestResolutionThusFar"),
        (state.smallest_classes as f64, "rlnSmallestChangesClasses"),
        (
            state.smallest_orientations,
            "rlnSmallestChangesOrientations",
        ),
        (state.smallest_offsets, "rlnSmallestChangesOffsets"),
    ] {
        close(ours, real(optimiser, label), label, iteration);
    }
    close(
        1.0 / state.current_resolution,
        real(model, "rlnCurrentResolution"),
        "rlnCurrentResolution",
        iteration,
    );
}

#[test]
fn the_simulated_refinement_is_scheduled_like_its_reference_run() {
    if let Some(folder) = golden("refine3d_c4") {
        assert_eq!(replay(&folder, 40.0), 14);
    }
}

#[test]
fn the_refinement_of_real_images_is_scheduled_like_its_reference_run() {
    if let Some(folder) = golden("refine3d_bgal_real") {
        assert_eq!(replay(&folder, 50.0), 18);
    }
}
