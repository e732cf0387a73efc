//! Command lines of `relion_refine` that the tools run, and what such runs leave.

use crate::simulate::phantoms;
use clap::ValueEnum;
use gerelion::errors::{Code, Failure, OnFailure};
use gerelion::formats::star::Document;
use gerelion::tools::measure::{Measured, measure};
use gerelion::tools::progress::Progress;
use gerelion::tools::simulate::{self, SimulationSettings};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A particle set and how to refine it.
pub struct Set {
    /// `--i`.
    pub particles: PathBuf,
    /// `--ref`.
    pub reference: PathBuf,
    /// `--particle_diameter`, Å.
    pub diameter: f64,
    /// `--sym`.
    pub symmetry: String,
    /// `--ini_high`, Å.
    pub initial_low_pass: f64,
    /// `--healpix_order`.
    pub healpix_order: u32,
    /// `--auto_local_healpix_order`.
    pub local_order: u32,
}

/// Simulates the small set of [`Preset::Mini`](gerelion::tools::simulate::Preset::Mini) in `folder`; its reference is the truth.
pub fn small_set(settings: &SimulationSettings, folder: &Path) -> Result<Set, Failure> {
    let models = phantoms(settings, 1)?;
    let mut simulated = simulate::run(settings, &models, &folder.join("bundle"), |_| {})?;
    Ok(Set {
        particles: simulated.particles,
        reference: simulated.maps.swap_remove(0),
        diameter: settings.diameter,
        symmetry: settings.symmetry.clone(),
        initial_low_pass: 40.0,
        // Strong signal allows a coarser start than usual, which saves minutes.
        healpix_order: 1,
        local_order: 4,
    })
}

/// Kinds of jobs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JobKind {
    /// Gold-standard auto-refinement
    AutoRefine,
    /// 3D classification, one class, 5 iterations
    Class3d,
    /// 2D classification by expectation-maximisation from nothing, 50 classes, one iteration
    Class2d,
    /// 2D classification by gradient refinement from nothing, 50 classes, 200 iterations
    Class2dGradient,
    /// Initial model by gradient refinement from nothing, one class without symmetry, 200 iterations
    InitialModel,
}

impl JobKind {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::AutoRefine => "auto-refine",
            Self::Class3d => "class3d",
            Self::Class2d => "class2d",
            Self::Class2dGradient => "class2d-gradient",
            Self::InitialModel => "initial-model",
        }
    }

    /// The job starts from a map, with a point group.
    pub fn needs_reference(self) -> bool {
        matches!(self, Self::AutoRefine | Self::Class3d)
    }
}

/// Words after the program's name. Jobs with a reference have the options of the method's paper, those without the ones of RELION's
/// interface (spec 04 §16, 05 §17). Further options may follow: the last of repeated ones wins.
pub fn words(kind: JobKind, set: &Set, root: &Path, threads: usize, seed: u32) -> Vec<String> {
    let diameter = set.diameter;
    let own = match kind {
        JobKind::AutoRefine => format!(
            "{} --auto_refine --split_random_halves --auto_local_healpix_order {} --low_resol_join_halves 40",
            of_reference(set),
            set.local_order
        ),
        JobKind::Class3d => format!("{} --K 1 --iter 5 --tau2_fudge 4", of_reference(set)),
        JobKind::Class2d => format!("{} --iter 1", of_averages(diameter)),
        JobKind::Class2dGradient => format!(
            "{} --grad --class_inactivity_threshold 0.1 --grad_write_iter 10 --iter 200",
            of_averages(diameter)
        ),
        JobKind::InitialModel => format!(
            "--iter 200 --grad --denovo_3dref --ctf --K 1 --sym C1 --flatten_solvent --zero_mask --dont_combine_weights_via_disc --pool 3 \
             --pad 1 --particle_diameter {diameter} --oversampling 1 --healpix_order 1 --offset_range 6 --offset_step 2 --auto_sampling \
             --tau2_fudge 4"
        ),
    };
    let mut files = vec![("--i", &*set.particles), ("--o", root)];
    if kind.needs_reference() {
        files.push(("--ref", &*set.reference));
    }
    let mut words = Vec::new();
    for (option, path) in files {
        words.extend([option.to_string(), path.display().to_string()]);
    }
    words.extend(own.split_whitespace().map(String::from));
    words.extend(["--random_seed".to_string(), seed.to_string()]);
    if threads > 0 {
        words.extend(["--j".to_string(), threads.to_string()]);
    }
    words
}

/// Options of jobs that start from a map.
fn of_reference(set: &Set) -> String {
    format!(
        "--particle_diameter {} --ini_high {} --ctf --flatten_solvent --zero_mask --oversampling 1 --healpix_order {} \
         --offset_range 5 --offset_step 2 --norm --scale --dont_combine_weights_via_disc --firstiter_cc --sym {}",
        set.diameter, set.initial_low_pass, set.healpix_order, set.symmetry
    )
}

/// Options of 2D classifications.
fn of_averages(diameter: f64) -> String {
    format!(
        "--dont_combine_weights_via_disc --pool 3 --pad 2 --ctf --tau2_fudge 2 --particle_diameter {diameter} --K 50 --flatten_solvent \
         --zero_mask --center_classes --oversampling 1 --psi_step 12 --offset_range 5 --offset_step 2 --norm --scale"
    )
}

/// The program that refines: `given`, or the `relion_refine` beside this one.
pub fn refinement_program(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(program) => Ok(program.to_owned()),
        None => Ok(std::env::current_exe()
            .or_says(
                Code::REFINEMENT_FAILED,
                "the folder of this program is not known; give --program",
            )?
            .with_file_name("relion_refine")),
    }
}

/// Runs a program to its end: what it took, and what it printed, which stays in the file `log`.
///
/// # Errors
/// It cannot be run, or fails; the error has the end of what it printed.
pub fn run(program: &Path, words: &[String], log: &Path) -> Result<(Measured, String), Failure> {
    let file = File::create(log).or_says(Code::CANNOT_WRITE, log.display())?;
    let errors = file
        .try_clone()
        .or_says(Code::CANNOT_WRITE, log.display())?;
    let running =
        Progress::Output.phase(format!("Refining, with the output in {}", log.display()), 0);
    let measured = measure(
        Command::new(program)
            .args(words)
            .stderr(errors)
            .stdout(file),
    )
    .or_says(
        Code::REFINEMENT_FAILED,
        format!(
            "{} cannot be run (--program names another)",
            program.display()
        ),
    )?;
    drop(running);
    let printed = fs::read(log).or_says(Code::FILE_UNREADABLE, log.display())?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    if !measured.status.success() {
        let text = format!(
            "the run failed ({}); its output is in {}:\n{}",
            measured.status,
            log.display(),
            last_lines(&printed)
        );
        return Err(Code::REFINEMENT_FAILED.says(text).into());
    }
    Ok((measured, printed))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Resolution (Å) that a finished auto-refinement states, and its map.
pub fn final_result(root: &Path) -> Result<(f64, PathBuf), Failure> {
    let file = |suffix: &str| PathBuf::from(format!("{}{suffix}", root.display()));
    Ok((resolution(&file("_model.star"))?, file("_class001.mrc")))
}

/// Resolution (Å) that a model file states.
pub fn resolution(model: &Path) -> Result<f64, Failure> {
    let model = Document::read(model)?;
    let general = model.require("model_general")?;
    Ok(general.real(0, "rlnCurrentResolution")?)
}

/// Name of a file of an iteration.
pub fn of_iteration(root: &Path, iteration: usize, tail: &str) -> PathBuf {
    PathBuf::from(format!("{}_it{iteration:03}{tail}", root.display()))
}

/// Last iteration of a command line: the last `--iter` counts.
pub fn last_iteration(words: &[String]) -> Result<usize, Failure> {
    let at = words.iter().rposition(|word| word == "--iter");
    let value = at.and_then(|at| words.get(at + 1)?.parse().ok());
    let text =
        "the command line has no number after --iter, so the last iteration is not known; give one";
    Ok(value.ok_or_else(|| Code::MISSING_VALUE.says(text))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gerelion::options::CommandLine;

    /// The words are a command line that the program accepts, with what was asked for.
    #[test]
    fn command_lines_are_accepted() {
        let set = Set {
            particles: "a b.star".into(),
            reference: "r.mrc".into(),
            diameter: 160.0,
            symmetry: "C4".into(),
            initial_low_pass: 60.0,
            healpix_order: 2,
            local_order: 4,
        };
        for kind in JobKind::value_variants().iter().copied() {
            let line = CommandLine::parse(words(kind, &set, Path::new("out/run"), 2, 7)).unwrap();
            assert_eq!(line.text("--i"), "a b.star");
            assert_eq!(line.text("--sym") == "C4", kind.needs_reference());
            assert_eq!(line.name_given("--ref").is_some(), kind.needs_reference());
            assert_eq!(line.integer("--random_seed"), 7);
            assert_eq!(line.integer("--j"), 2);
            assert_eq!(line.flag("--auto_refine"), kind == JobKind::AutoRefine);
        }
    }
}
