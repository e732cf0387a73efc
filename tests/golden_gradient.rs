//! Rules of gradient refinement against reference runs: schedules of every iteration.
//!
//! The runs live outside the repository; without them these tests are skipped (`tests/material`).

use gerelion::formats::star::{Document, Table};
use gerelion::fourier::shape::Dimensions;
use gerelion::maximization::gradient::schedule::{JobKind, Schedule, ScheduleOptions};
use material::golden;
use std::path::Path;

fn optimiser(run: &Path, iteration: usize) -> Option<Table> {
    let path = run.join(format!("run_it{iteration:03}_optimiser.star"));
    let document = Document::read(&path).ok()?;
    Some(document.require("optimiser_general").unwrap().clone())
}

/// The schedule of a run whose files those are.
fn schedule(table: &Table, kind: JobKind) -> Schedule {
    let real = |label: &str| table.real(0, label).unwrap();
    let count = |label: &str| table.integer(0, label).unwrap() as usize;
    Schedule::new(
        ScheduleOptions {
            iterations: count("rlnNumberOfIterations"),
            em_iterations: count("rlnGradEmIters"),
            fractions: [
                real("rlnSgdInitialIterationsFraction"),
                real("rlnSgdFinalIterationsFraction"),
            ],
            subsets: [
                Some(count("rlnSgdInitialSubsetSize")),
                Some(count("rlnSgdFinalSubsetSize")),
            ],
            step_size: None,
            step_scheme: None,
            tau2_fudge: Some(real("rlnTau2FudgeArg")),
            tau2_scheme: None,
            momentum: real("rlnSgdMuFactor"),
            write_every: count("rlnSgdWriteEverySubset"),
            inactivity: real("rlnSgdClassInactivityThreshold"),
            first_iteration_cc: false,
        },
        kind,
    )
}

/// Step size, T, subset size and kind of iteration are those of the files, to the digits printed.
#[test]
fn schedules_of_reference_runs() {
    let runs = [
        ("class2d_vdam", Dimensions::Two, 500, 8, 7),
        ("class2d_vdam/replace", Dimensions::Two, 500, 8, 2),
        ("inimodel_vdam", Dimensions::Three, 600, 1, 7),
    ];
    for (name, dimensions, particles, classes, expected) in runs {
        let Some(run) = golden(name) else {
            return;
        };
        let kind = JobKind {
            dimensions,
            from_nothing: dimensions == Dimensions::Three,
            particles,
            classes,
        };
        let mut files = 0;
        for iteration in 0..=20 {
            let Some(table) = optimiser(&run, iteration) else {
                continue;
            };
            files += 1;
            let schedule = schedule(&table, kind);
            let at = format!("{name}, iteration {iteration}");
            let same = |label: &str, ours: f64, table: &Table| {
                let printed = table.real(0, label).unwrap();
                assert!((ours - printed).abs() < 6e-7, "{label}, {at}: {ours}");
            };
            same(
                "rlnGradCurrentStepsize",
                schedule.step_size(iteration),
                &table,
            );
            let model = Document::read(&run.join(format!("run_it{iteration:03}_model.star")));
            let model = model.unwrap().require("model_general").unwrap().clone();
            same("rlnTau2FudgeFactor", schedule.tau2_fudge(iteration), &model);
            if iteration > 0 {
                let subset = schedule.subset(iteration).map_or(-1, |size| size as i64);
                assert_eq!(
                    subset,
                    table.integer(0, "rlnSgdSubsetSize").unwrap(),
                    "{at}"
                );
                assert_eq!(
                    schedule.is_gradient(iteration),
                    table.boolean(0, "rlnDoStochasticGradientDescent").unwrap(),
                    "{at}"
                );
            }
        }
        assert_eq!(files, expected, "{name}");
    }
}
