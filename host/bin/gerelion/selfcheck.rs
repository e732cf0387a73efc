//! `gerelion selfcheck`: does this machine compute what it should? The same iterations on one thread, on all threads and on
//! GPUs must give the same poses and maps.

use crate::job::{self, JobKind};
use clap::Args;
use gerelion::errors::{Code, Failure, OnFailure};
use gerelion::tools::compare::{CompareOptions, Comparison, compare_runs};
use gerelion::tools::simulate::Preset;
use std::fs;
use std::path::{Path, PathBuf};

/// Iterations that are compared: a cross-correlation, and one of likelihoods that builds on it.
const ITERATIONS: usize = 2;
/// Share of the particles whose pose must be the same, and the lowest FSC of any shell up to the resolution: bounds that
/// engines keep from one start (`docs/numerics.md`).
const SAME_POSES: f64 = 0.995;
const LOWEST_FSC: f64 = 0.9999;

/// Options of `gerelion selfcheck`.
#[derive(Args)]
pub struct Arguments {
    /// Check GPUs as well: all of them, or those of this list (as relion_refine --gpu)
    #[arg(long, value_name = "LIST", num_args = 0..=1, default_missing_value = "")]
    gpu: Option<String>,
    /// Folder for everything the check makes
    #[arg(long = "o", default_value = "selfcheck", value_name = "FOLDER")]
    output: PathBuf,
    /// Number of images
    #[arg(long, default_value_t = 200)]
    n: usize,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    fs::create_dir_all(&arguments.output)
        .or_says(Code::CANNOT_WRITE, arguments.output.display())?;
    let mut settings = Preset::Mini.settings();
    settings.particles = arguments.n;
    let set = job::small_set(&settings, &arguments.output)?;
    println!(
        "{} images, {ITERATIONS} iterations; of the poses {SAME_POSES} must be the same, the FSC of maps {LOWEST_FSC} or more in every \
         shell up to the resolution",
        arguments.n
    );
    let one = refine(&set, &arguments.output.join("one-thread"), &["--j", "1"])?;
    let mut broken = Vec::new();
    let mut check = |name: &str, options: &[&str]| -> Result<(), Failure> {
        let other = refine(&set, &arguments.output.join(name), options)?;
        let found = compare_runs(&one, &other, &options_of(&set))?;
        if !judged(name, &found)? {
            broken.push(name.to_owned());
        }
        Ok(())
    };
    check("all-threads", &[])?;
    match &arguments.gpu {
        Some(list) => check("gpu", &["--gpu", list])?,
        None => println!("gpu: left out (--gpu checks all cards, --gpu 0:1 these)"),
    }
    if !broken.is_empty() {
        let text = format!(
            "results differ from those of one thread: {}. Files and logs are in {}; `gerelion doctor` says what the machine offers",
            broken.join(", "),
            arguments.output.display()
        );
        return Err(Code::SELFCHECK.says(text).into());
    }
    println!("all results agree");
    Ok(())
}

fn options_of(set: &job::Set) -> CompareOptions {
    CompareOptions {
        symmetry: set.symmetry.clone(),
        step: 15.0,
        ..CompareOptions::default()
    }
}

/// Prints what was found; true when it is within the bounds.
fn judged(name: &str, found: &Comparison) -> Result<bool, Failure> {
    let Some(map) = found.maps.first().and_then(Option::as_ref) else {
        let text = format!("{name}: the run has left no map to compare");
        return Err(Code::RUNS_DIFFER.says(text).into());
    };
    let poses = found.poses.identical;
    let within = poses >= SAME_POSES && map.smallest_to_resolution >= LOWEST_FSC;
    println!(
        "{name}: poses identical {poses:.4}, lowest FSC {:.6}, relative L2 of the maps {:.1e}: {}",
        map.smallest_to_resolution,
        map.relative_l2,
        if within { "agrees" } else { "DIFFERS" }
    );
    Ok(within)
}

/// Runs the program beside this one; the prefix of its last iteration's files.
fn refine(set: &job::Set, folder: &Path, options: &[&str]) -> Result<String, Failure> {
    fs::create_dir_all(folder).or_says(Code::CANNOT_WRITE, folder.display())?;
    let root = folder.join("run");
    let mut words = job::words(JobKind::Class3d, set, &root, 0, 1);
    words.extend(["--iter".to_string(), ITERATIONS.to_string()]);
    words.extend(options.iter().map(|word| word.to_string()));
    let program = job::refinement_program(None)?;
    job::run(&program, &words, &folder.join("run.out"))?;
    Ok(format!("{}_it{ITERATIONS:03}", root.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gerelion::tools::compare::{MapDifference, PoseComparison};

    fn found(identical: f64, fsc: f64) -> Comparison {
        Comparison {
            figures: vec![],
            spectra: vec![],
            poses: PoseComparison {
                common: 200,
                same_class: None,
                identical,
                within_step: 1.0,
                median_angle: 0.0,
                shifts_identical: 1.0,
                pmax_p95: 0.0,
            },
            divisions: None,
            averages: None,
            aligned: vec![],
            maps: vec![Some(MapDifference {
                name: "class001".into(),
                relative_l2: 0.0,
                fsc: vec![1.0; 3],
                smallest_to_resolution: fsc,
            })],
        }
    }

    #[test]
    fn poses_and_maps_beyond_the_bounds_are_seen() {
        assert!(judged("one", &found(0.996, 0.99991)).unwrap());
        assert!(!judged("poses", &found(0.994, 1.0)).unwrap());
        assert!(!judged("map", &found(1.0, 0.9998)).unwrap());
        assert!(!judged("nan", &found(1.0, f64::NAN)).unwrap());
        assert!(
            judged(
                "none",
                &Comparison {
                    maps: vec![None],
                    ..found(1.0, 1.0)
                }
            )
            .is_err()
        );
    }
}
