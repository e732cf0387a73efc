//! 2D classification from files to files, against RELION's answer.

mod runs;

use gerelion::expectation::cpu::CpuEngine;
use gerelion::formats::mrc::{StackMode, StackWriter};
use gerelion::formats::star::{Document, Table};
use gerelion::formats::volume::{read_map, read_reference_if};
use gerelion::refinement::checkpoint::resume::read_optimiser;
use gerelion::refinement::parallel::workers::Workers;
use gerelion::refinement::run;
use runs::{golden, rerun, run_words};
use std::path::{Path, PathBuf};

/// Files of one iteration of a run.
struct Iteration {
    general: Table,
    classes: Table,
    particles: Table,
    model: Document,
    averages: Vec<f32>,
    box_size: usize,
}

impl Iteration {
    fn read(root: &str, iteration: usize) -> Self {
        let stem = format!("{root}_it{iteration:03}");
        let document = |name: &str| Document::read(Path::new(&format!("{stem}_{name}"))).unwrap();
        let (model, data) = (document("model.star"), document("data.star"));
        let averages = read_map(Path::new(&format!("{stem}_classes.mrcs"))).unwrap();
        Self {
            general: model.require("model_general").unwrap().clone(),
            classes: model.require("model_classes").unwrap().clone(),
            particles: data.require("particles").unwrap().clone(),
            model,
            box_size: averages.data.dim().1,
            averages: averages.data.into_raw_vec_and_offset().0,
        }
    }

    fn column(&self, label: &str) -> Vec<f64> {
        self.particles.real_column(label).unwrap()
    }

    fn spectrum(&self, class: usize, label: &str) -> Vec<f64> {
        let table = self.model.require(&format!("model_class_{}", class + 1));
        table.unwrap().real_column(label).unwrap()
    }

    fn average(&self, class: usize) -> &[f32] {
        let pixels = self.box_size * self.box_size;
        &self.averages[class * pixels..][..pixels]
    }
}

/// Bounds of one iteration.
struct Bounds {
    /// Share of particles in the same class.
    classes: f64,
    /// Share of particles with the same class, psi and offset.
    poses: f64,
    /// Relative difference of σ² and τ² up to the current resolution, of classes that hold at least five particles.
    spectra: f64,
    /// Least correlation of the averages of these classes.
    correlation: f64,
}

fn share(found: impl Iterator<Item = bool>) -> f64 {
    let (mut yes, mut all) = (0.0, 0.0);
    found.for_each(|one| {
        yes += f64::from(u8::from(one));
        all += 1.0;
    });
    yes / all
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let mut sums = [0.0; 3];
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - ma, f64::from(b) - mb);
        sums[0] += a * b;
        sums[1] += a * a;
        sums[2] += b * b;
    }
    sums[0] / (sums[1] * sums[2]).sqrt()
}

/// Compares an iteration with that of the reference run and prints the figures.
fn check(theirs: &Iteration, ours: &Iteration, bounds: &Bounds, what: &str) {
    for label in ["rlnCurrentImageSize", "rlnCurrentResolution"] {
        let [a, b] = [theirs, ours].map(|i| i.general.real(0, label).unwrap());
        assert!(
            (a - b).abs() < 1e-5 || a == b,
            "{what}: {label} {b}, reference {a}"
        );
    }
    let both = |label: &str| -> Vec<(f64, f64)> {
        theirs
            .column(label)
            .into_iter()
            .zip(ours.column(label))
            .collect()
    };
    let same_class: Vec<bool> = both("rlnClassNumber").iter().map(|(a, b)| a == b).collect();
    let classes = share(same_class.iter().copied());
    let mut same = same_class;
    for label in ["rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"] {
        for (same, (a, b)) in same.iter_mut().zip(both(label)) {
            *same &= (a - b).abs() < 1e-3;
        }
    }
    let poses = share(same.into_iter());
    let shells = (theirs.general.real(0, "rlnPixelSize").unwrap() * theirs.box_size as f64
        / theirs.general.real(0, "rlnCurrentResolution").unwrap())
    .round() as usize;
    let (mut worst, mut least) = (0.0f64, 1.0f64);
    let members = theirs.column("rlnClassNumber");
    for class in 0..theirs.classes.len() {
        let number = (class + 1) as f64;
        if members.iter().filter(|&&c| c == number).count() < 5 {
            continue;
        }
        for label in ["rlnReferenceSigma2", "rlnReferenceTau2"] {
            let (a, b) = (theirs.spectrum(class, label), ours.spectrum(class, label));
            let differences = a.iter().zip(&b).take(shells + 1).filter(|(a, _)| **a > 0.0);
            worst = differences.fold(worst, |w, (a, b)| w.max((b / a - 1.0).abs()));
        }
        least = least.min(correlation(theirs.average(class), ours.average(class)));
    }
    println!(
        "{what}: classes {classes:.4}, poses {poses:.4}, spectra {worst:.2e}, averages {least:.6}"
    );
    assert!(classes >= bounds.classes, "{what}: classes {classes}");
    assert!(poses >= bounds.poses, "{what}: poses {poses}");
    assert!(
        worst <= bounds.spectra,
        "{what}: σ² or τ² differs by {worst}"
    );
    assert!(least >= bounds.correlation, "{what}: correlation {least}");
}

fn inputs(reference: &Path) -> [PathBuf; 2] {
    let subset = match reference.join("mix500.star") {
        own if own.is_file() => own,
        _ => reference.join("../mix500.star"),
    };
    [
        subset,
        material::golden("input").unwrap().join("mix_mini.mrcs"),
    ]
}

/// References, noise and the first iterations follow from the particles alone.
#[test]
fn averages_from_nothing_are_those_of_the_reference_run() {
    for name in ["class2d_em", "class2d_em/noctf"] {
        let Some(reference) = golden(name) else {
            return;
        };
        let (_folder, ours) = rerun(&reference, &inputs(&reference));
        let theirs = reference.join("run").to_string_lossy().into_owned();
        let (a, b) = (Iteration::read(&theirs, 0), Iteration::read(&ours, 0));
        for class in 0..a.classes.len() {
            let found = correlation(a.average(class), b.average(class));
            assert!(found > 1.0 - 1e-9, "{name}: first average {class}: {found}");
        }
        // Nearly tied poses of iteration 2 follow the last digits of single-precision differences.
        for (iteration, poses) in [(1, 0.998), (2, 0.97)] {
            let bounds = Bounds {
                classes: 0.99,
                poses,
                spectra: 0.01,
                correlation: 0.9999,
            };
            let (a, b) = (
                Iteration::read(&theirs, iteration),
                Iteration::read(&ours, iteration),
            );
            check(&a, &b, &bounds, &format!("{name}, iteration {iteration}"));
        }
    }
}

/// Continue the reference run after `iteration` as if it had not been interrupted: with the perturbation and the class priors
/// that it had, which its files hold under other names or rounded.
fn go_on(reference: &Path, iteration: usize, centre: bool) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let stem = reference.join(format!("run_it{iteration:03}"));
    let file = |name: &str| PathBuf::from(format!("{}_{name}", stem.display()));
    let mut resumed = read_optimiser(&file("optimiser.star")).unwrap();
    let stack = &inputs(reference)[1];
    resumed.particles.stacks = vec![stack.to_string_lossy().into_owned()];
    let root = folder.path().join("run").to_string_lossy().into_owned();
    resumed.settings.output_root = root.clone();
    resumed.settings.iterations = Some(iteration + 1);
    resumed.settings.verbosity = 0;
    resumed.settings.center_classes = centre;
    let sampling = Document::read(&file("sampling.star")).unwrap();
    let general = sampling.require("sampling_general").unwrap();
    resumed.sampling.perturbation = general.real(0, "rlnSamplingPerturbInstance").unwrap();
    for class in &mut resumed.models[0].classes {
        class.direction_prior = vec![class.fraction];
    }
    resumed.exact = true;
    run::resume(resumed, &mut Workers::of_one(CpuEngine::new())).unwrap();
    (folder, root)
}

/// From the reference run's own files nothing but the iteration itself can differ. Its last two iterations were not centred
/// (spec 04 §11).
#[test]
fn from_reference_files_the_next_iteration_gives_the_reference_classes() {
    for (name, from) in [
        ("class2d_em/noctf", &[1, 2][..]),
        ("class2d_em", &[1, 6, 7]),
    ] {
        let Some(reference) = golden(name) else {
            return;
        };
        let theirs = reference.join("run").to_string_lossy().into_owned();
        for &iteration in from {
            let centred = name == "class2d_em" && iteration < 6;
            let (_folder, ours) = go_on(&reference, iteration, centred);
            let next = iteration + 1;
            let (a, b) = (Iteration::read(&theirs, next), Iteration::read(&ours, next));
            let bounds = Bounds {
                classes: 0.99,
                poses: 0.985,
                spectra: 0.01,
                correlation: 0.999,
            };
            check(&a, &b, &bounds, &format!("{name}, iteration {next}"));
        }
    }
}

/// A small run on the data of this repository: what a user sees of it.
fn small_run(extra: &[&str]) -> (tempfile::TempDir, String) {
    let data = runs::fixture();
    let words = "--i bundle.star --o out/run --K 4 --iter 3 --ctf --tau2_fudge 2 --particle_diameter 150 --flatten_solvent \
                 --zero_mask --center_classes --psi_step 12 --offset_range 4 --offset_step 2 --norm --scale --pad 2 \
                 --random_seed 3 --verb 0";
    let words: Vec<String> = words
        .split_whitespace()
        .chain(extra.iter().copied())
        .map(str::to_owned)
        .collect();
    run_words(
        &words,
        &["bundle.star", "bundle.mrcs"].map(|f| data.join(f)),
    )
}

#[test]
fn a_2d_run_writes_stacks_of_averages() {
    let (folder, root) = small_run(&[]);
    let names: Vec<String> = std::fs::read_dir(folder.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        names.iter().all(|name| !name.contains("class001")),
        "{names:?}"
    );
    assert!(names.contains(&"run_unmasked_classes.mrcs".to_string()));
    let last = Iteration::read(&root, 3);
    assert_eq!(
        last.general
            .integer(0, "rlnReferenceDimensionality")
            .unwrap(),
        2
    );
    assert_eq!(last.classes.len(), 4);
    let name = last.classes.text(1, "rlnReferenceImage").unwrap();
    assert_eq!(name, "00000002@out/run_it003_classes.mrcs");
    assert!(last.model.table("model_pdf_orient_class_1").is_none());
    assert_eq!(last.averages.len(), 4 * last.box_size * last.box_size);
    // A corner is solvent in one stack and density in the other.
    let unmasked = read_map(&folder.path().join("out/run_unmasked_classes.mrcs")).unwrap();
    assert!(last.average(0)[0] == 0.0 && unmasked.data[[0, 0, 0]] != 0.0);
    let sampling = Document::read(Path::new(&format!("{root}_it003_sampling.star"))).unwrap();
    let sampling = sampling.require("sampling_general").unwrap();
    assert!(!sampling.boolean(0, "rlnIs3DSampling").unwrap());
    assert!(!sampling.has("rlnHealpixOrder"));
}

/// Interrupted and continued, a run ends as it would have ended: class priors and all digits of the state are in our files.
#[test]
fn a_continued_run_ends_like_one_that_was_not_interrupted() {
    let (folder, root) = small_run(&[]);
    let program = env!("CARGO_BIN_EXE_relion_refine");
    let words =
        "--continue out/run_it001_optimiser.star --o out/more --iter 3 --center_classes --verb 0";
    let output = std::process::Command::new(program)
        .args(words.split_whitespace())
        .current_dir(folder.path())
        .output()
        .unwrap();
    runs::succeeded(&output);
    let more = folder
        .path()
        .join("out/more")
        .to_string_lossy()
        .into_owned();
    let bounds = Bounds {
        classes: 0.995,
        poses: 0.995,
        spectra: 1e-3,
        correlation: 0.99999,
    };
    let (a, b) = (Iteration::read(&root, 3), Iteration::read(&more, 3));
    check(&a, &b, &bounds, "continued");
}

/// The averages of one run are the references of another: a stack, a list of its images, or one image for all classes.
#[test]
fn averages_of_a_run_start_another() {
    let (folder, _root) = small_run(&[]);
    let stack = folder.path().join("out/run_it003_classes.mrcs");
    let list = folder.path().join("list.star");
    let rows: String = (1..=4)
        .map(|k| format!("{k}@{}\n", stack.display()))
        .collect();
    std::fs::write(&list, format!("data_\nloop_\n_rlnReferenceImage\n{rows}")).unwrap();
    let first = |reference: &str| {
        let (_folder, root) = small_run(&["--ref", reference, "--iter", "1"]);
        Iteration::read(&root, 0)
    };
    let of_stack = first(&stack.to_string_lossy());
    assert_eq!(of_stack.averages, first(&list.to_string_lossy()).averages);
    let third = format!("3@{}", stack.display());
    let of_one = first(&third);
    let image = read_reference_if(Path::new(&third), &|_| Ok(())).unwrap();
    for class in 0..4 {
        assert_eq!(of_one.average(class), image.data.as_slice().unwrap());
    }
}

/// Black averages of white particles.
#[test]
fn averages_of_the_other_contrast_are_noticed() {
    let (folder, root) = small_run(&[]);
    let last = Iteration::read(&root, 3);
    let side = last.box_size;
    let path = folder.path().join("black.mrcs");
    let mut stack = StackWriter::create(&path, side, 4, 4.5, StackMode::Float32).unwrap();
    for class in 0..4 {
        let black: Vec<f32> = last.average(class).iter().map(|v| -v).collect();
        stack.push(&black).unwrap();
    }
    stack.finish().unwrap();
    for (reference, inverted) in [("black.mrcs", true), ("out/run_it003_classes.mrcs", false)] {
        let words = format!(
            "--i bundle.star --o out/next --ref {reference} --K 4 --iter 1 --ctf --particle_diameter 150 --zero_mask \
             --firstiter_cc --psi_step 12 --offset_range 4 --offset_step 2 --random_seed 3"
        );
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(words.split_whitespace())
            .current_dir(folder.path())
            .output()
            .unwrap();
        runs::succeeded(&output);
        let errors = String::from_utf8(output.stderr).unwrap();
        let told = errors.contains("the contrast seems to be inverted: of 128 images");
        assert_eq!(told, inverted, "{reference}: {errors}");
    }
}
