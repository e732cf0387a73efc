//! Runs of all kinds that are killed at moments spread over the time between their first written iteration and their end, and
//! continued: they must come to what the undisturbed run gives. One kill of each kind; `GERELION_KILLS=10` for more, with their figures (`--no-capture`).

mod runs;

use gerelion::formats::mrc::StackReader;
use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use gerelion::geometry::symmetry::PointGroup;
use gerelion::tools::compare::{Poses, compare_poses};
use runs::{fixture, succeeded};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Options of all kinds.
const COMMON: &str = "--i bundle.star --ctf --particle_diameter 160 --flatten_solvent --zero_mask --oversampling 1 --pad 2 \
                      --random_seed 1 --j 1";

/// A kind of job.
struct Kind {
    name: &'static str,
    options: &'static str,
    iterations: usize,
    /// Options that hold in a continued run only when they are given again (spec 03 §3.2).
    repeated: &'static str,
    /// Degrees within which poses are the same.
    step: f64,
}

const CLASS2D: Kind = Kind {
    name: "class2d",
    options: "--K 4 --iter 8 --psi_step 12 --offset_range 4 --offset_step 2 --norm --scale --center_classes",
    iterations: 8,
    repeated: "--center_classes",
    step: 6.0,
};

const VDAM: Kind = Kind {
    name: "vdam",
    options: "--K 4 --grad --iter 30 --grad_write_iter 4 --grad_ini_subset 100 --grad_fin_subset 200 \
              --class_inactivity_threshold 0.1 --psi_step 12 --offset_range 4 --offset_step 2 --norm --scale --center_classes",
    iterations: 30,
    repeated: "--center_classes",
    step: 6.0,
};

const INITIAL_MODEL: Kind = Kind {
    name: "initial_model",
    options: "--K 1 --grad --denovo_3dref --iter 12 --grad_write_iter 2 --sym C1 --healpix_order 1 --offset_range 4 --offset_step 2 \
              --auto_sampling",
    iterations: 12,
    repeated: "",
    step: 7.5,
};

const CLASS3D: Kind = Kind {
    name: "class3d",
    options: "--K 2 --ref bundle_truth1.mrc --firstiter_cc --ini_high 40 --iter 6 --healpix_order 1 --offset_range 4 --offset_step 2 \
              --tau2_fudge 4 --sym C4 --norm --scale",
    iterations: 6,
    repeated: "",
    step: 7.5,
};

/// A run in a folder of its own.
struct Job {
    folder: tempfile::TempDir,
    words: Vec<String>,
}

impl Job {
    fn new(kind: &Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"] {
            std::fs::copy(fixture().join(file), folder.path().join(file)).unwrap();
        }
        let words = format!("{COMMON} {} --o run", kind.options);
        Self {
            folder,
            words: words.split_whitespace().map(String::from).collect(),
        }
    }

    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_relion_refine"))
            .args(&self.words)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn finish(&self) {
        succeeded(&self.start().wait_with_output().unwrap());
    }

    /// Files of the run that end so.
    fn ending(&self, end: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths
            .filter(|path| path.to_string_lossy().ends_with(end))
            .collect()
    }

    /// Number of the newest iteration that the run can be continued from.
    fn newest(&self) -> Option<usize> {
        let optimisers = self.ending("_optimiser.star");
        let numbers = optimisers.iter().filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("run_it")?.get(..3)?.parse().ok()
        });
        numbers.filter(|number| *number > 0).max()
    }

    /// Goes on after a kill with nothing but what has to be repeated. Returns the iteration it went on from.
    fn go_on(&mut self, kind: &Kind) -> usize {
        let number = self.newest().expect("killed after its first iteration");
        let words = format!(
            "--continue run_it{number:03}_optimiser.star --j 1 {}",
            kind.repeated
        );
        self.words = words.split_whitespace().map(String::from).collect();
        self.finish();
        number
    }

    fn poses(&self, kind: &Kind) -> Poses {
        let [data] = &self.ending(&format!("it{:03}_data.star", kind.iterations))[..] else {
            panic!("one last particle file");
        };
        let document = Document::read(data).unwrap();
        Poses::from_table(document.require("particles").unwrap()).unwrap()
    }

    /// Maps, or class averages, of the last iteration.
    fn maps(&self, kind: &Kind) -> Vec<f32> {
        let last = format!("it{:03}", kind.iterations);
        let averages = self.ending(&format!("{last}_classes.mrcs"));
        if let [stack] = &averages[..] {
            return images(stack);
        }
        let mut maps: Vec<PathBuf> = (1..=9)
            .flat_map(|class| self.ending(&format!("{last}_class{class:03}.mrc")))
            .collect();
        maps.sort();
        assert!(!maps.is_empty());
        let read = maps.iter().map(|map| read_map(map).unwrap().data);
        read.flat_map(|map| map.into_iter().collect::<Vec<_>>())
            .collect()
    }
}

fn images(path: &Path) -> Vec<f32> {
    let stack = StackReader::open(path).unwrap();
    let side = 48;
    let mut all = Vec::new();
    for number in 0..stack.len() {
        let mut image = vec![0.0; side * side];
        stack.read_into(number, &mut image).unwrap();
        all.extend(image);
    }
    all
}

/// Root of the summed squared differences over that of the squares.
fn relative(reference: &[f32], other: &[f32]) -> f64 {
    assert_eq!(reference.len(), other.len());
    let square = |value: f32| f64::from(value).powi(2);
    let pairs = reference.iter().zip(other);
    let difference: f64 = pairs.map(|(a, b)| square(a - b)).sum();
    let all: f64 = reference.iter().map(|a| square(*a)).sum();
    (difference / all).sqrt()
}

/// Fractions of a run, spread without a pattern; other ones for each kind.
fn moments(kind: &Kind) -> impl Iterator<Item = f64> {
    let first = kind.name.bytes().map(u64::from).sum::<u64>();
    (first..).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64)
}

/// Waits until an iteration is there that the run can be continued from. None where the run ends before that.
fn first_written(job: &Job, running: &mut Child) -> Option<()> {
    while job.newest().is_none() {
        if running.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(())
}

/// Kills a run this long after it wrote its first iteration. None where it had ended before.
fn killed(job: &Job, moment: Duration) -> Option<()> {
    let mut running = job.start();
    let under_way = first_written(job, &mut running);
    std::thread::sleep(moment);
    let ended_before = running.try_wait().unwrap().is_some();
    running.kill().unwrap();
    let status = running.wait().unwrap();
    under_way.filter(|()| !ended_before && status.code().is_none())
}

fn goes_on(kind: &Kind) {
    let rounds = std::env::var("GERELION_KILLS").map_or(1, |n| n.parse().unwrap());
    let undisturbed = Job::new(kind);
    let mut running = undisturbed.start();
    first_written(&undisturbed, &mut running).expect("an iteration is written before the end");
    let begin = Instant::now();
    succeeded(&running.wait_with_output().unwrap());
    let rest = begin.elapsed();
    let (poses, maps) = (undisturbed.poses(kind), undisturbed.maps(kind));
    for mut fraction in moments(kind).take(rounds) {
        let (job, from) = loop {
            let mut job = Job::new(kind);
            match killed(&job, rest.mul_f64(fraction)) {
                Some(()) => {
                    let from = job.go_on(kind);
                    break (job, from);
                }
                // It came too late: the run was over.
                None => fraction *= 0.8,
            }
        };
        let same = PointGroup::c1();
        let found = compare_poses(&poses, &job.poses(kind), &same, kind.step).unwrap();
        let difference = relative(&maps, &job.maps(kind));
        println!(
            "{}: killed at {:.2} of {:.1} s after its first files, went on from {from}: {:.2} % of poses identical, maps differ by {difference:.1e}",
            kind.name,
            fraction,
            rest.as_secs_f64(),
            100.0 * found.identical,
        );
        assert_eq!(found.common, poses.names.len());
        assert!(found.identical >= 0.99, "{found:?}");
        assert!(
            found.same_class.is_none_or(|same| same >= 0.99),
            "{found:?}"
        );
        assert!(difference < 1e-2, "{difference}");
    }
}

#[test]
fn class_averages() {
    goes_on(&CLASS2D);
}

#[test]
fn class_averages_by_gradient() {
    goes_on(&VDAM);
}

#[test]
fn an_initial_model() {
    goes_on(&INITIAL_MODEL);
}

#[test]
fn classes_of_maps() {
    goes_on(&CLASS3D);
}
