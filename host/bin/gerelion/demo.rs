//! `gerelion demo`: the way from particles to a map, on a small simulated set: 2D classes, an initial model from nothing, its
//! symmetry, auto-refinement, a page about each run, and what the result is worth.

use crate::job;
use clap::Args;
use gerelion::errors::{Code, Failure, OnFailure};
use gerelion::expectation::cpu::CpuEngine;
use gerelion::options::CommandLine;
use gerelion::options::Range;
use gerelion::refinement::parallel::workers::Workers;
use gerelion::refinement::run;
use gerelion::refinement::settings::Settings;
use gerelion::tools::align_symmetry::{self, AlignSettings, Choice};
use gerelion::tools::compare::aligned;
use gerelion::tools::progress::Progress;
use gerelion::tools::report;
use gerelion::tools::rotation::search::Search;
use gerelion::tools::simulate::{Preset, SimulationSettings};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Iterations of the initial model. Its search stays at the first sampling: finer ones take most of the time and are the
/// refinement's work.
const INITIAL_ITERATIONS: usize = 40;

/// Options of `gerelion demo`.
#[derive(Args)]
pub struct Arguments {
    /// Folder for everything the demo makes
    #[arg(long = "o", default_value = "demo", value_name = "FOLDER")]
    output: PathBuf,
    /// Number of images
    #[arg(long, default_value_t = 800, value_parser = Range::between(20.0, 1e6).whole::<usize>("images"))]
    n: usize,
    /// Threads; 0 = all cores
    #[arg(long, default_value_t = 0)]
    j: usize,
}

/// The jobs of the demo: where they write, and what they share.
struct Project<'a> {
    folder: &'a Path,
    threads: usize,
    /// `--i`.
    particles: PathBuf,
    /// `--particle_diameter`, Å.
    diameter: f64,
    /// `--sym` of the refinement.
    symmetry: String,
    started: Instant,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = simulation(arguments.n);
    std::fs::create_dir_all(&arguments.output)
        .or_says(Code::CANNOT_WRITE, arguments.output.display())?;
    println!(
        "1. Simulating {} images of a {} helix bundle: {n} × {n} px of {} Å, signal-to-noise ratio {}",
        settings.particles,
        settings.symmetry,
        settings.pixel_size,
        settings.snr,
        n = settings.box_size
    );
    let started = Instant::now();
    let set = job::small_set(&settings, &arguments.output)?;
    let project = Project {
        folder: &arguments.output,
        threads: arguments.j,
        particles: set.particles,
        diameter: set.diameter,
        symmetry: set.symmetry,
        started,
    };
    let classes = project.classify()?;
    let initial = project.initial_model()?;
    let model = project.symmetrise(&initial)?;
    let refined = project.refine(&model)?;
    project.judge(
        &refined,
        &set.reference,
        &[classes, initial, refined.clone()],
    )
}

/// Returns the settings of the simulated set: more signal than usual in real data, so that a small set is enough.
fn simulation(particles: usize) -> SimulationSettings {
    SimulationSettings {
        particles,
        snr: 0.2,
        ..Preset::Mini.settings()
    }
}

impl Project<'_> {
    fn classify(&self) -> Result<PathBuf, Failure> {
        let options = "--K 8 --iter 10 --tau2_fudge 2 --center_classes --psi_step 12 --offset_range 5 --offset_step 2 --norm --scale";
        self.run_job(
            "2. 2D class averages from nothing",
            "Class2D",
            None,
            options,
        )
    }

    fn initial_model(&self) -> Result<PathBuf, Failure> {
        let options = format!(
            "--grad --denovo_3dref --K 1 --iter {INITIAL_ITERATIONS} --tau2_fudge 4 --sym C1 --pad 1 --healpix_order 1 --offset_range 6 \
             --offset_step 2"
        );
        self.run_job(
            "3. A first map from nothing, without symmetry",
            "InitialModel",
            None,
            &options,
        )
    }

    /// Turns the initial model to the axes of its point group, and averages over the group.
    fn symmetrise(&self, run: &Path) -> Result<PathBuf, Failure> {
        let output = self.folder.join("InitialModel/initial_model.mrc");
        let settings = AlignSettings {
            input: job::of_iteration(run, INITIAL_ITERATIONS, "_model.star"),
            output: output.clone(),
            symmetry: self.symmetry.clone(),
            choice: Choice::LargestClass,
            box_size: 64,
            keep_centre: false,
            pixel_size: None,
            resolution: None,
            search: Search {
                uniform: 400,
                axis_only: false,
                range: 2,
                step: 2.0,
            },
            padding: 2.0,
            apply_symmetry: true,
            nearest_from: None,
        };
        self.announce(&format!(
            "4. Its symmetry axes are laid where {} has them",
            self.symmetry
        ));
        let found = align_symmetry::run(&settings, Progress::Output)?;
        if let Some(turn) = found.turn {
            println!(
                "   {:.0} % of its power was not symmetric",
                100.0 * turn.broken
            );
        }
        Ok(output)
    }

    fn refine(&self, model: &Path) -> Result<PathBuf, Failure> {
        let options = format!(
            "--auto_refine --split_random_halves --firstiter_cc --ini_high 30 --healpix_order 1 --auto_local_healpix_order 4 --offset_range 5 \
             --offset_step 2 --sym {} --low_resol_join_halves 40 --norm --scale",
            self.symmetry
        );
        self.run_job(
            "5. Auto-refinement of two half-sets",
            "Refine3D",
            Some(model),
            &options,
        )
    }

    /// Prints what the refinement reached, and where everything is.
    fn judge(&self, run: &Path, truth: &Path, runs: &[PathBuf]) -> Result<(), Failure> {
        let (resolution, map) = job::final_result(run)?;
        // Made from nothing, the map lies anyhow about its axis, and in either hand.
        let judged = aligned(truth, &map, Progress::Output)?.fsc;
        self.announce("6. Result");
        println!("   resolution by the gold standard  {resolution:.2} Å");
        println!(
            "   against the truth                {:.2} Å at FSC 0.5, {:.2} Å at FSC 0.143, mean FSC {:.3}",
            judged.at_half, judged.at_0143, judged.mean
        );
        println!("   map                              {}", map.display());
        println!("   truth                            {}", truth.display());
        for run in runs {
            let written = report::write(
                report::Wanted {
                    prefix: &run.to_string_lossy(),
                    ..report::Wanted::default()
                },
                None,
            )?;
            println!(
                "   page                             {}",
                written.page.display()
            );
        }
        Ok(())
    }

    /// Runs one job of `relion_refine` in a folder of its own; returns its output root.
    fn run_job(
        &self,
        title: &str,
        name: &str,
        reference: Option<&Path>,
        options: &str,
    ) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).or_says(Code::CANNOT_WRITE, folder.display())?;
        let (root, log) = (folder.join("run"), folder.join("log.jsonl"));
        let mut words = Vec::new();
        let files = [
            ("--i", Some(&*self.particles)),
            ("--o", Some(&*root)),
            ("--ref", reference),
            ("--json_log", Some(&*log)),
        ];
        for (option, path) in files {
            if let Some(path) = path {
                words.extend([option.to_owned(), path.display().to_string()]);
            }
        }
        let common = format!(
            "--ctf --particle_diameter {} --flatten_solvent --zero_mask --oversampling 1 --random_seed 2",
            self.diameter
        );
        words.extend(common.split_whitespace().map(String::from));
        words.extend(options.split_whitespace().map(String::from));
        if self.threads > 0 {
            words.extend(["--j".to_owned(), self.threads.to_string()]);
        }
        self.announce(title);
        println!("   relion_refine {}", words.join(" "));
        let settings = Settings::from_command_line(&CommandLine::parse(words)?)?;
        run::run(settings, &mut Workers::of_one(CpuEngine::new()))?;
        Ok(root)
    }

    fn announce(&self, title: &str) {
        println!(
            "{title} (after {:.0} s)",
            self.started.elapsed().as_secs_f64()
        );
    }
}
