//! `gerelion demo`: simulate a small C4 set, refine it, judge the result.

use crate::job::{self, JobKind};
use clap::Args;
use gerelion::errors::{Code, Failure, OnFailure};
use gerelion::expectation::cpu::CpuEngine;
use gerelion::options::CommandLine;
use gerelion::refinement::parallel::workers::Workers;
use gerelion::refinement::run;
use gerelion::refinement::settings::Settings;
use gerelion::tools::{fsc::compare_files, simulate::Preset};
use std::path::PathBuf;
use std::time::Instant;

/// Options of `gerelion demo`.
#[derive(Args)]
pub struct Arguments {
    /// Folder for everything the demo makes
    #[arg(long = "o", default_value = "demo", value_name = "FOLDER")]
    output: PathBuf,
    /// Number of images
    #[arg(long, default_value_t = 800)]
    n: usize,
    /// Threads; 0 = all cores
    #[arg(long, default_value_t = 0)]
    j: usize,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    std::fs::create_dir_all(&arguments.output)
        .or_says(Code::CANNOT_WRITE, arguments.output.display())?;
    let mut settings = Preset::Mini.settings();
    settings.particles = arguments.n;
    // more signal than usual in real data, so that a small set is enough
    settings.snr = 0.2;
    println!(
        "1. Simulating {} images of a {} helix bundle: {n} × {n} px of {} Å, signal-to-noise ratio {}",
        settings.particles,
        settings.symmetry,
        settings.pixel_size,
        settings.snr,
        n = settings.box_size
    );
    let set = job::small_set(&settings, &arguments.output)?;
    let root = arguments.output.join("run");
    let words = job::words(JobKind::AutoRefine, &set, &root, arguments.j, 1);
    println!(
        "2. Refining from the truth filtered to {} Å:\n   relion_refine {}",
        set.initial_low_pass,
        words.join(" ")
    );
    let settings = Settings::from_command_line(&CommandLine::parse(words)?)?;
    run::run(settings, &mut Workers::of_one(CpuEngine::new()))?;
    let (resolution, map) = job::final_result(&root)?;
    let truth = &set.reference;
    let judged = compare_files(&map, truth, None)?;
    println!("3. Result after {:.0} s", started.elapsed().as_secs_f64());
    println!("   resolution by the gold standard  {resolution:.2} Å");
    println!(
        "   against the truth                {:.2} Å at FSC 0.5, {:.2} Å at FSC 0.143, mean FSC {:.3}",
        judged.at_half, judged.at_0143, judged.mean
    );
    println!("   map                              {}", map.display());
    println!("   truth                            {}", truth.display());
    Ok(())
}
