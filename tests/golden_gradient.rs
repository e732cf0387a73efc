//! Gradient refinement against reference runs: schedules of every iteration, single iterations from the files of the one
//! before, and the first iterations from the command.
//!
//! The runs live outside the repository; without them these tests are skipped (`tests/material`).

mod runs;

use flate2::read::GzDecoder;
use gerelion::expectation::cpu::CpuEngine;
use gerelion::formats::star::{Document, Table};
use gerelion::formats::volume::read_map;
use gerelion::fourier::shape::Dimensions;
use gerelion::maximization::gradient::schedule::{JobKind, Schedule, ScheduleOptions};
use gerelion::refinement::checkpoint::resume::{Resumed, read_optimiser};
use gerelion::refinement::parallel::workers::Workers;
use gerelion::refinement::run;
use gerelion::refinement::state::Subset;
use material::golden;
use ndarray::Array3;
use std::io::Read;
use std::path::{Path, PathBuf};

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

/// The files of a reference run, unpacked; the folder has its name.
fn unpacked(name: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let run = golden(name)?;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(run.file_name().unwrap());
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&run).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some(plain) = name.strip_suffix(".gz") {
            let mut bytes = Vec::new();
            let packed = std::fs::File::open(&path).unwrap();
            GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
            std::fs::write(copy.join(plain), bytes).unwrap();
        } else if path.is_file() {
            std::fs::copy(&path, copy.join(&name)).unwrap();
        }
    }
    Some((folder, copy))
}

/// A reference run as it stood after an iteration, the order of its particles included, which RELION forgets.
fn stood_after(run: &Path, iteration: usize) -> Resumed {
    let path = run.join(format!("run_it{iteration:03}_optimiser.star"));
    let mut resumed = read_optimiser(&path).unwrap();
    let stack = golden("input").unwrap().join("mix_mini.mrcs");
    resumed.particles.stacks = vec![stack.to_string_lossy().into_owned()];
    let table = optimiser(run, iteration).unwrap();
    let dimensions = resumed.models[0].dimensions();
    let schedule = schedule(
        &table,
        JobKind {
            dimensions,
            from_nothing: dimensions == Dimensions::Three,
            particles: resumed.particles.particles.len(),
            classes: resumed.models[0].classes.len(),
        },
    );
    resumed.state.subsets = (1..=iteration)
        .map(|iteration| Subset {
            iteration,
            size: schedule.subset(iteration),
        })
        .collect();
    let sampling = Document::read(&run.join(format!("run_it{iteration:03}_sampling.star")));
    let sampling = sampling.unwrap();
    let general = sampling.require("sampling_general").unwrap();
    resumed.sampling.perturbation = general.real(0, "rlnSamplingPerturbInstance").unwrap();
    if dimensions == Dimensions::Two {
        for class in &mut resumed.models[0].classes {
            class.direction_prior = vec![class.fraction];
        }
    }
    // Go on without RELION's second look at the resolution, as the reference run did.
    resumed.exact = true;
    resumed.settings.verbosity = 0;
    resumed
}

/// Differences of the model and data files of one iteration, ours against the reference's.
struct Difference {
    /// Share of particles with the same angles and offsets.
    poses: f64,
    /// Share of particles with the same number of significant samples.
    samples: f64,
    /// Largest difference of Pmax among particles with the same pose.
    pmax: f64,
    /// Largest relative difference of the noise spectrum.
    noise: f64,
    /// Largest relative difference of σ², τ² and data-versus-prior, the outermost shells aside: which pixels on the circle count
    /// is decided by rounding, and interpolation spreads them over two shells.
    spectra: f64,
    /// Largest difference of the fractions of classes.
    fractions: f64,
    /// Relative differences of the width of offsets.
    offsets: f64,
    /// Largest relative L2 difference of a reference.
    maps: f64,
}

fn column(file: &str, table: &str, label: &str) -> Vec<f64> {
    let document = Document::read(Path::new(file)).unwrap();
    document.require(table).unwrap().real_column(label).unwrap()
}

fn largest(a: &[f64], b: &[f64], difference: impl Fn(f64, f64) -> f64) -> f64 {
    assert_eq!(a.len(), b.len());
    let each = a.iter().zip(b).map(|(a, b)| difference(*a, *b));
    each.fold(0.0, f64::max)
}

fn relative(a: f64, b: f64) -> f64 {
    match a == b {
        true => 0.0,
        false => (a - b).abs() / b.abs().max(1e-12),
    }
}

fn relative_l2(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    let norm = |m: &Array3<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
    norm(&(a - b)) / norm(b)
}

/// References of an iteration: one array a class.
fn references(stem: &str, classes: usize) -> Vec<Array3<f64>> {
    let stack = format!("{stem}_classes.mrcs");
    if Path::new(&stack).exists() {
        let all = read_map(Path::new(&stack)).unwrap().data.mapv(f64::from);
        let one = |k| all.slice(ndarray::s![k..=k, .., ..]).to_owned();
        return (0..classes).map(one).collect();
    }
    (1..=classes)
        .map(|k| {
            let path = format!("{stem}_class{k:03}.mrc");
            read_map(Path::new(&path)).unwrap().data.mapv(f64::from)
        })
        .collect()
}

fn compare(reference: &Path, ours: &str, iteration: usize) -> Difference {
    let theirs = reference.join(format!("run_it{iteration:03}"));
    let theirs = theirs.to_string_lossy().into_owned();
    let ours = format!("{ours}_it{iteration:03}");
    let both = |file: &str, table: &str, label: &str| {
        [&ours, &theirs].map(|stem| column(&format!("{stem}_{file}.star"), table, label))
    };
    let of_particles = |label: &str| both("data", "particles", label);
    let poses = [
        "rlnAnglePsi",
        "rlnAngleTilt",
        "rlnOriginXAngst",
        "rlnOriginYAngst",
        "rlnClassNumber",
    ]
    .map(of_particles);
    let n = poses[0][0].len();
    let same: Vec<bool> = (0..n)
        .map(|i| poses.iter().all(|[a, b]| (a[i] - b[i]).abs() < 1e-3))
        .collect();
    let [pa, pb] = of_particles("rlnMaxValueProbDistribution");
    let [na, nb] = of_particles("rlnNrOfSignificantSamples");
    let [fa, fb] = both("model", "model_classes", "rlnClassDistribution");
    let classes = fa.len();
    let [size, _] = both("model", "model_general", "rlnCurrentImageSize");
    let shells = size[0] as usize / 2 - 1;
    let spectrum = |label: &str| {
        (1..=classes)
            .map(|k| {
                let [a, b] = both("model", &format!("model_class_{k}"), label);
                largest(&a[..shells], &b[..shells], relative)
            })
            .fold(0.0, f64::max)
    };
    let [a, b] = both("model", "model_optics_group_1", "rlnSigma2Noise");
    let [oa, ob] = both("model", "model_general", "rlnSigmaOffsetsAngst");
    let maps = references(&ours, classes)
        .iter()
        .zip(&references(&theirs, classes))
        .map(|(a, b)| relative_l2(a, b))
        .fold(0.0, f64::max);
    let found = Difference {
        poses: same.iter().filter(|s| **s).count() as f64 / n as f64,
        samples: na.iter().zip(&nb).filter(|(a, b)| a == b).count() as f64 / n as f64,
        pmax: (0..n)
            .filter(|i| same[*i])
            .map(|i| (pa[i] - pb[i]).abs())
            .fold(0.0, f64::max),
        noise: largest(&a, &b, relative),
        spectra: ["rlnReferenceSigma2", "rlnReferenceTau2", "rlnSsnrMap"]
            .map(spectrum)
            .into_iter()
            .fold(0.0, f64::max),
        fractions: largest(&fa, &fb, |a, b| (a - b).abs()),
        offsets: largest(&oa, &ob, relative),
        maps,
    };
    println!(
        "iteration {iteration}: poses {:.4}, samples {:.4}, Pmax {:.1e}, noise {:.1e}, spectra {:.1e}, fractions {:.1e}, offsets {:.1e}, maps {:.1e}",
        found.poses,
        found.samples,
        found.pmax,
        found.noise,
        found.spectra,
        found.fractions,
        found.offsets,
        found.maps
    );
    for label in ["rlnCurrentResolution", "rlnCurrentImageSize"] {
        let [a, b] = both("model", "model_general", label);
        assert_eq!(a, b, "{label}, iteration {iteration}");
    }
    found
}

/// One iteration from the files of the reference run of the one before. Returns the root of what was written.
fn one_iteration(run: &Path, from: usize) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run").to_string_lossy().into_owned();
    let mut resumed = stood_after(run, from);
    resumed.settings.output_root = root.clone();
    let mut workers = Workers::of_one(CpuEngine::new());
    run::resume(resumed, &mut workers).unwrap();
    (folder, root)
}

/// Poses and significant samples are the reference's, to a share; everything else to the digits that single precision leaves.
fn check(found: &Difference, poses: f64, maps: f64) {
    assert!(found.poses >= poses && found.samples >= poses);
    assert!(found.pmax < 1e-3 && found.noise < 2e-6 && found.offsets < 2e-6);
    assert!(found.fractions < 3e-6 && found.spectra < 1e-4);
    assert!(found.maps < maps);
}

#[test]
fn single_iteration_of_an_initial_model() {
    let Some((_folder, run)) = unpacked("inimodel_vdam") else {
        return;
    };
    let (_out, ours) = one_iteration(&run, 1);
    check(&compare(&run, &ours, 2), 1.0, 3e-4);
}

/// The last one, over all particles, starts from moments that are not kept; the others agree.
#[test]
fn single_iterations_of_class_averages() {
    let Some((_folder, run)) = unpacked("class2d_vdam") else {
        return;
    };
    for from in [1, 15] {
        let (_out, ours) = one_iteration(&run, from);
        check(&compare(&run, &ours, from + 1), 1.0, 3e-4);
    }
}

/// In iteration 4 class 4 becomes a copy of class 7 and takes no step.
#[test]
fn an_inactive_class_is_replaced_as_by_the_reference_program() {
    let Some((_folder, run)) = unpacked("class2d_vdam/replace") else {
        return;
    };
    let (_out, ours) = one_iteration(&run, 3);
    check(&compare(&run, &ours, 4), 1.0, 3e-4);
}

/// From the command: first references, order, subsets, cap on samples, first moments. Paths drift apart slowly
/// (`README-2d-vdam.md` of the reference runs).
#[test]
fn class_averages_from_the_command() {
    let Some(reference) = golden("class2d_vdam") else {
        return;
    };
    let inputs = [
        reference.join("../class2d_em/mix500.star"),
        reference.join("../input/mix_mini.mrcs"),
    ];
    let (_folder, ours) = runs::rerun(&reference, &inputs);
    for (iteration, poses, maps) in [(1, 0.995, 5e-4), (2, 0.99, 1e-3)] {
        let found = compare(&reference, &ours, iteration);
        assert!(found.poses >= poses && found.maps < maps);
    }
}

#[test]
fn an_initial_model_from_the_command() {
    let Some((_unpacked, reference)) = unpacked("inimodel_vdam") else {
        return;
    };
    let inputs = [
        reference.join("mix600.star"),
        golden("input").unwrap().join("mix_mini.mrcs"),
    ];
    let (_folder, ours) = runs::rerun(&reference, &inputs);
    for (iteration, poses, maps) in [(1, 0.995, 1e-3), (2, 0.99, 1e-3), (12, 0.9, 0.02)] {
        let found = compare(&reference, &ours, iteration);
        assert!(found.poses >= poses && found.maps < maps);
    }
}
