//! `gerelion selfcheck`: does this machine compute what it should? The same iterations on one thread, on all threads and on
//! GPUs must give the same poses and maps.

use crate::bench::machine;
use crate::job::{self, JobKind};
use clap::Args;
use gerelion::errors::{Code, Failure, OnFailure};
use gerelion::options::Range;
use gerelion::tools::compare::{CompareOptions, Comparison, compare_runs};
use gerelion::tools::simulate::Preset;
use gerelion::tools::{doctor, moment, watch::cards};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
    #[arg(long, default_value_t = 200, value_parser = Range::between(20.0, 1e6).whole::<usize>("images"))]
    n: usize,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    fs::create_dir_all(&arguments.output)
        .or_says(Code::CANNOT_WRITE, arguments.output.display())?;
    let mut settings = Preset::Mini.settings();
    settings.particles = arguments.n;
    let set = job::small_set(&settings, &arguments.output)?;
    let one = refine(&set, &arguments.output.join("one-thread"), &["--j", "1"])?;
    let mut rows = Vec::new();
    let mut check = |name: &str, options: &[&str]| -> Result<(), Failure> {
        let other = refine(&set, &arguments.output.join(name), options)?;
        let found = compare_runs(&one, &other, &options_of(&set))?;
        let row = Row::of(name, &found)?;
        println!("{row}");
        rows.push(row);
        Ok(())
    };
    check("all-threads", &[])?;
    match &arguments.gpu {
        Some(list) => check("gpu", &["--gpu", list])?,
        None => println!("gpu: left out (--gpu checks all cards, --gpu 0:1 these)"),
    }
    let text = table(arguments, &rows);
    let path = arguments.output.join("selfcheck.txt");
    fs::write(&path, &text).or_says(Code::CANNOT_WRITE, path.display())?;
    println!("\n{text}\nThis table is in {}", path.display());
    let broken: Vec<&str> = rows
        .iter()
        .filter(|row| !row.within)
        .map(|row| row.name.as_str())
        .collect();
    if !broken.is_empty() {
        let text = format!(
            "results differ from those of one thread: {}. Files and logs are in {}; `gerelion doctor` says what the machine offers",
            broken.join(", "),
            arguments.output.display()
        );
        return Err(Code::SELFCHECK.says(text).into());
    }
    Ok(())
}

/// The table for whoever looks after the machine: what was checked, where, by which bounds, with what result.
fn table(arguments: &Arguments, rows: &[Row]) -> String {
    let mut lines = vec![
        ("program", format!("GeRelion {}", env!("CARGO_PKG_VERSION"))),
        ("checked", moment::minute(SystemTime::now())),
        ("processor", machine::processor_name()),
    ];
    let of_machine = doctor::examine();
    // What the engines depend on.
    let told = ["instruction sets", "cores", "memory", "NVIDIA driver"];
    let found = of_machine
        .iter()
        .filter(|f| told.contains(&f.name.as_str()));
    lines.extend(found.map(|finding| (finding.name.as_str(), finding.text.clone())));
    let cards = cards::read().unwrap_or_default();
    lines.push((
        "cards",
        match (cards.as_slice(), &arguments.gpu) {
            ([], _) => "none".to_owned(),
            (cards, checked) => {
                let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
                let which = match checked.as_deref() {
                    None => "not checked".to_owned(),
                    Some("") => "all checked".to_owned(),
                    Some(list) => format!("checked: --gpu {list}"),
                };
                format!("{} ({which})", names.join(", "))
            }
        },
    ));
    lines.extend([
        (
            "data",
            format!(
                "{} simulated images, {ITERATIONS} iterations of a 3D classification, by one thread",
                arguments.n
            ),
        ),
        (
            "tolerances",
            format!("poses identical ≥ {SAME_POSES}; FSC ≥ {LOWEST_FSC} in every shell up to the resolution"),
        ),
    ]);
    let verdict = match rows.iter().all(|row| row.within) {
        true => "all results agree (exit status 0)",
        false => "RESULTS DIFFER (exit status 1)",
    };
    let mut text = String::new();
    for (name, value) in lines {
        text.push_str(&format!("{name:<18}{value}\n"));
    }
    text.push_str(&format!(
        "{:<18}{:>9} {:>10} {:>12}  verdict\n",
        "compared", "poses", "FSC", "relative L2"
    ));
    for row in rows {
        let verdict = if row.within { "agrees" } else { "DIFFERS" };
        text.push_str(&format!(
            "{:<18}{:>9.4} {:>10.6} {:>12.1e}  {verdict}\n",
            row.name, row.poses, row.fsc, row.relative_l2
        ));
    }
    text + &format!("{:<18}{verdict}\n", "verdict")
}

/// One comparison with the run on one thread.
struct Row {
    name: String,
    /// Share of the particles with the same pose.
    poses: f64,
    /// Lowest FSC of a shell up to the resolution.
    fsc: f64,
    /// Difference of the maps.
    relative_l2: f64,
    /// Within the bounds.
    within: bool,
}

fn options_of(set: &job::Set) -> CompareOptions {
    CompareOptions {
        symmetry: set.symmetry.clone(),
        step: 15.0,
        ..CompareOptions::default()
    }
}

impl Row {
    /// Judges a comparison.
    fn of(name: &str, found: &Comparison) -> Result<Self, Failure> {
        let Some(map) = found.maps.first().and_then(Option::as_ref) else {
            let text = format!("{name}: the run has left no map to compare");
            return Err(Code::RUNS_DIFFER.says(text).into());
        };
        let (poses, fsc) = (found.poses.identical, map.smallest_to_resolution);
        Ok(Self {
            name: name.to_owned(),
            poses,
            fsc,
            relative_l2: map.relative_l2,
            within: poses >= SAME_POSES && fsc >= LOWEST_FSC,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{}: poses identical {:.4}, lowest FSC {:.6}, relative L2 of the maps {:.1e}: {}",
            self.name,
            self.poses,
            self.fsc,
            self.relative_l2,
            if self.within { "agrees" } else { "DIFFERS" }
        )
    }
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
        let within = |identical, fsc| Row::of("a", &found(identical, fsc)).unwrap().within;
        assert!(within(0.996, 0.99991));
        assert!(!within(0.994, 1.0));
        assert!(!within(1.0, 0.9998));
        assert!(!within(1.0, f64::NAN));
        let none = Comparison {
            maps: vec![None],
            ..found(1.0, 1.0)
        };
        assert!(Row::of("none", &none).is_err());
    }

    #[test]
    fn the_table_says_what_was_checked_and_how_it_ended() {
        let arguments = Arguments {
            gpu: None,
            output: PathBuf::new(),
            n: 40,
        };
        let good = Row::of("all-threads", &found(1.0, 1.0)).unwrap();
        let text = table(&arguments, &[good]);
        for part in [
            "program",
            "tolerances",
            "40 simulated images",
            "≥ 0.995",
            "exit status 0",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let bad = Row::of("gpu", &found(0.5, 1.0)).unwrap();
        let text = table(&arguments, &[bad]);
        assert!(
            text.contains("DIFFERS") && text.contains("exit status 1"),
            "{text}"
        );
    }
}
