//! Several ranks compute the same as one.

use crate::job::Job;
use crate::runs::{Bounds, check, compare, fixture, number};
use gerelion::formats::mrc::write_map;
use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use gerelion::tools::compare::{CompareOptions, Comparison, compare_runs};

/// As for a single process (tests/class3d.rs).
pub const FIRST: Bounds = Bounds {
    poses: 0.995,
    sigma2: 0.003,
    tau2: 0.03,
    pmax: 0.002,
    fsc: 0.999,
};
/// From iteration 2 on.
pub const LATER: Bounds = Bounds {
    poses: 0.98,
    ..FIRST
};
/// From several ranks, a map may differ by no more than rounding after one iteration.
const SAME_MAP: f64 = 0.9999;
/// Two jobs compared after an iteration.
fn compared(first: &Job, other: &Job, iteration: usize, half: Option<u8>) -> Comparison {
    let options = CompareOptions {
        symmetry: "C4".into(),
        step: 7.5,
        half,
        ..CompareOptions::default()
    };
    let prefix = |job: &Job| format!("{}_it{iteration:03}", job.root);
    compare_runs(&prefix(first), &prefix(other), &options).unwrap()
}

/// Smallest FSC of the maps of two jobs up to the resolution of the first.
fn smallest_fsc(found: &Comparison) -> f64 {
    let maps = found.maps.iter().flatten();
    maps.map(|map| map.smallest_to_resolution)
        .fold(1.0, f64::min)
}

#[test]
fn any_number_of_ranks_classifies_as_the_reference_program() {
    let reference = fixture().join("class3d_c4");
    let mut first: Option<Job> = None;
    for ranks in [1, 2, 3, 5] {
        let job = Job::of("class3d_c4", "");
        let Some(output) = job.run(ranks) else { return };
        for iteration in 1..=3 {
            let bounds = if iteration == 1 { &FIRST } else { &LATER };
            let found = compare(&reference, &job.root, iteration, "C4");
            check(&found, bounds, iteration);
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains(&format!("Number of processes: {ranks}\n")),
            "{text}"
        );
        assert_eq!(
            text.matches("Expectation iteration").count(),
            3,
            "one rank prints: {text}"
        );
        if let Some(first) = &first {
            let fsc = smallest_fsc(&compared(first, &job, 1, None));
            println!("{ranks} ranks and one: smallest FSC of iteration 1 {fsc}");
            assert!(fsc >= SAME_MAP, "{ranks} ranks: FSC {fsc}");
        } else {
            first = Some(job);
        }
    }
}

/// Images without an unwanted signal, and half-sets compared under a mask: the same particles go the same way on any rank.
#[test]
fn any_number_of_ranks_subtracts_the_same_signal() {
    let options =
        "--auto_iter_max 2 --red_mask red.mrc --yellow_mask yellow.mrc --fsc_mask red.mrc";
    let mut first: Option<Job> = None;
    for ranks in [1, 3] {
        let job = Job::of("refine3d_c4", options);
        let map = read_map(&fixture().join("bundle_truth1.mrc")).unwrap();
        let middle = map.data.dim().0 / 2;
        for (name, upper) in [("red.mrc", true), ("yellow.mrc", false)] {
            let mut mask = map.data.clone();
            for ((z, _, _), value) in mask.indexed_iter_mut() {
                *value = f32::from(u8::from((z >= middle) == upper));
            }
            let path = job.folder.path().join(name);
            write_map(&path, mask.view(), map.pixel_size.unwrap()).unwrap();
        }
        let Some(output) = job.run(ranks) else { return };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.matches("the unwanted region").count(), 1, "{text}");
        let Some(first) = &first else {
            first = Some(job);
            continue;
        };
        for iteration in 1..=2 {
            let found = compared(first, &job, iteration, Some(1));
            println!("iteration {iteration}\n{found}");
            assert!(found.poses.identical >= LATER.poses, "{found}");
            assert!(smallest_fsc(&found) >= FIRST.fsc, "{found}");
        }
    }
}

/// RELION refuses a gradient run under MPI; here the moments of a class are with one of the ranks.
#[test]
fn any_number_of_ranks_steps_along_the_same_gradient() {
    let options = "--grad --K 2 --iter 8 --grad_write_iter 1 --grad_ini_subset 80 --grad_fin_subset 150 \
                   --class_inactivity_threshold 0.9 --center_classes";
    let mut first: Option<Job> = None;
    for ranks in [1, 2, 3] {
        let job = Job::of("class3d_c4", options);
        let Some(output) = job.run(ranks) else { return };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            text.matches("Gradient optimisation iteration").count(),
            7,
            "one rank prints: {text}"
        );
        let Some(first) = &first else {
            first = Some(job);
            continue;
        };
        for iteration in [2, 3] {
            let fsc = smallest_fsc(&compared(first, &job, iteration, None));
            println!("{ranks} ranks and one: smallest FSC of iteration {iteration} {fsc}");
            assert!(fsc >= SAME_MAP, "{ranks} ranks: FSC {fsc}");
        }
        for iteration in 1..=8 {
            let of = |job: &Job, label: &str| {
                let file = format!("{}_it{iteration:03}_optimiser.star", job.root);
                number(&file, "optimiser_general", label)
            };
            for label in ["rlnGradCurrentStepsize", "rlnSgdSubsetSize"] {
                assert_eq!(of(first, label), of(&job, label), "{label}");
            }
        }
        for file in ["_it003_1moment004.mrc", "_it003_2moment002.mrc"] {
            let [a, b] = [first, &job].map(|job| {
                let path = format!("{}{file}", job.root);
                let map = gerelion::formats::volume::read_map(std::path::Path::new(&path));
                map.unwrap().data
            });
            let norm = |m: &ndarray::Array3<f32>| m.iter().map(|v| f64::from(v * v)).sum::<f64>();
            let difference = (norm(&(&a - &b)) / norm(&a)).sqrt();
            println!("{ranks} ranks and one: {file} differs by {difference:.1e}");
            assert!(difference < 1e-3, "{file}: {difference}");
        }
    }
}

#[test]
fn any_number_of_ranks_refines_both_halves_alike() {
    let schedule = |job: &Job| -> Vec<(f64, f64, f64)> {
        (1..)
            .map(|i| format!("_it{i:03}_"))
            .take_while(|name| job.path(&format!("{name}optimiser.star")).exists())
            .map(|name| {
                let model = format!("{}{name}half1_model.star", job.root);
                let sampling = format!("{}{name}sampling.star", job.root);
                (
                    number(&model, "model_general", "rlnCurrentResolution"),
                    number(&model, "model_general", "rlnCurrentImageSize"),
                    number(&sampling, "sampling_general", "rlnHealpixOrder"),
                )
            })
            .collect()
    };
    // Three iterations: a single particle that finds another pose by rounding can change the schedule of later ones.
    let jobs: Vec<Job> = [1, 2, 3, 5]
        .into_iter()
        .map_while(|ranks| {
            let job = Job::of("refine3d_c4", "--auto_iter_max 3");
            job.run(ranks)?;
            Some(job)
        })
        .collect();
    let Some((first, others)) = jobs.split_first() else {
        return;
    };
    for job in others {
        assert_eq!(schedule(job), schedule(first));
        for half in [1, 2] {
            let fsc = smallest_fsc(&compared(first, job, 1, Some(half)));
            assert!(fsc >= SAME_MAP, "half {half}: FSC {fsc}");
        }
    }
}

/// A half-set does not depend on the other: with the images of half 2 in another order, half 1 gives the
/// same map, on any number of ranks.
#[test]
fn no_particle_of_one_half_reaches_the_sums_of_the_other() {
    // Without the prior, which follows from the FSC of the halves.
    let options = "--auto_iter_max 1 --low_resol_join_halves -1 --no_map";
    for ranks in [1, 3] {
        let job = Job::of("refine3d_c4", options);
        if job.run(ranks).is_none() {
            return;
        }
        let table = Document::read(&job.path("_it001_data.star")).unwrap();
        let table = table.require("particles").unwrap();
        let names: Vec<&str> = (0..table.len())
            .filter(|&row| table.integer(row, "rlnRandomSubset").unwrap() == 2)
            .map(|row| table.text(row, "rlnImageName").unwrap())
            .collect();
        assert!(names.len() > 50);
        let turned = |name: &str| {
            let at = names.iter().position(|n| *n == name);
            at.map_or(name, |at| names[(at + 1) % names.len()])
                .to_owned()
        };
        let other = Job::of("refine3d_c4", options);
        let path = other.folder.path().join("bundle.star");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split(' ').map(turned).collect::<Vec<_>>().join(" "))
            .collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        other.run(ranks).unwrap();
        let difference = |half| {
            let found = compared(&job, &other, 1, Some(half));
            found.maps[0].as_ref().unwrap().relative_l2
        };
        let (first, second) = (difference(1), difference(2));
        println!("{ranks} ranks: half 1 differs by {first:e}, half 2 by {second:e}");
        assert!(first < 1e-5 && second > 1e-2, "{first:e}, {second:e}");
    }
}

/// With `--deterministic` a job of several ranks gives the same files to the last bit, although one of its runs is disturbed
/// by work on the same cores.
#[test]
fn a_deterministic_job_gives_the_same_bits() {
    let files = |busy: bool| {
        let job = Job::of("class3d_c4", "--deterministic");
        let stop = std::sync::atomic::AtomicBool::new(false);
        let done = std::thread::scope(|scope| {
            if busy {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let done = job.run(3).is_some();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            done
        });
        done.then(|| {
            [
                "_it003_class001.mrc",
                "_it003_data.star",
                "_it003_model.star",
            ]
            .map(|name| std::fs::read(job.path(name)).unwrap())
        })
    };
    let (Some(calm), Some(disturbed)) = (files(false), files(true)) else {
        return;
    };
    // The header of a map holds the time.
    assert!(calm[0][1024..] == disturbed[0][1024..], "maps differ");
    assert!(calm[1] == disturbed[1], "particle tables differ");
    let names_of_files = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    assert_eq!(names_of_files(&calm[2]), names_of_files(&disturbed[2]));
}
