//! `gerelion bench`: run a job as a user would, as a process of its own, and print where its time went.

mod kernels;
pub mod machine;
mod row;

use crate::job::{self, JobKind};
use crate::simulate::PresetName;
use clap::Args;
use gerelion::device::ceilings::Ceilings;
use gerelion::errors::{Code, Failure, OnFailure};
use gerelion::formats::star::Document;
use gerelion::options::Range;
use gerelion::tools::{compare::aligned, fsc::compare_files, moment, progress::Progress, simulate};
use row::Row;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Options of `gerelion bench`.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
pub struct Arguments {
    /// Data set to simulate; its point group and mask diameter are used for the job
    #[arg(long, default_value = "trpv1", conflicts_with = "i")]
    preset: PresetName,
    /// Number of images to simulate
    #[arg(long, default_value_t = 5000, value_parser = Range::between(1.0, 1e7).whole::<usize>("images"))]
    n: usize,
    /// Simulate as if binned to this box (pixels): same extent, noise averaged
    #[arg(long = "box", value_name = "PIXELS", value_parser = Range::between(8.0, 4096.0).whole::<usize>("pixels"))]
    box_size: Option<usize>,
    /// Signal-to-noise ratio (of variances) of the images in that box (default: that of the preset, binned)
    #[arg(long, conflicts_with = "i", value_parser = Range::between(0.0, 1e6).real(""))]
    snr: Option<f64>,
    /// A particle file in place of a simulated set
    #[arg(long, value_name = "STAR", requires = "particle_diameter")]
    i: Option<PathBuf>,
    /// Start map that goes with --i
    #[arg(long, value_name = "MAP")]
    r#ref: Option<PathBuf>,
    /// Mask diameter, Å
    #[arg(long, value_parser = Range::between(1.0, 100_000.0).real("Å"))]
    particle_diameter: Option<f64>,
    /// Point group
    #[arg(long)]
    sym: Option<String>,
    /// Kind of job to run
    #[arg(long, value_enum, default_value = "auto-refine")]
    job: JobKind,
    /// Threads
    #[arg(long, default_value_t = 0)]
    j: usize,
    /// Run on GPUs: all of them, or those of this list (as relion_refine --gpu)
    #[arg(long, value_name = "LIST", num_args = 0..=1, default_missing_value = "")]
    gpu: Option<String>,
    /// Seed of the simulation and of the run
    #[arg(long, default_value_t = 1, value_parser = Range::between(0.0, 2_147_483_647.0).whole::<u32>(""))]
    seed: u32,
    /// Folder for the simulated set and the output of the run
    #[arg(long = "o", default_value = "bench-run", value_name = "FOLDER")]
    output: PathBuf,
    /// Folder that keeps the rows: by default benches/runs where that is a folder, else that of --o
    #[arg(long, value_name = "FOLDER")]
    runs: Option<PathBuf>,
    /// Program to time: the relion_refine beside this one, unless another is named
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
    /// Further options of relion_refine, after --
    #[arg(last = true)]
    further: Vec<String>,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let program = job::refinement_program(arguments.program.as_deref())?;
    check(arguments, &program)?;
    std::fs::create_dir_all(&arguments.output)
        .or_says(Code::CANNOT_WRITE, arguments.output.display())?;
    let (set, truth) = match &arguments.i {
        Some(particles) => (given_set(arguments, particles)?, None),
        None => simulated_set(arguments)?,
    };
    let root = arguments.output.join(match arguments.job {
        JobKind::AutoRefine => "refine",
        JobKind::Class3d => "class",
        JobKind::Class2d => "class2d",
        JobKind::Class2dGradient => "class2d-gradient",
        JobKind::InitialModel => "initial",
    });
    let mut words = job::words(arguments.job, &set, &root, arguments.j, arguments.seed);
    if let Some(list) = &arguments.gpu {
        words.extend(["--gpu".to_string(), list.clone()]);
    }
    words.extend(arguments.further.iter().cloned());
    let command = format!("{} {}", program.display(), words.join(" "));
    println!("{command}");
    let (measured, printed) = job::run(&program, &words, &arguments.output.join("run.out"))?;
    let cards = kernels::cards(&printed);
    let mut row = Row::new(&name(arguments), &measured, &printed);
    row.ceilings = match cards.first() {
        Some((number, _)) => Ceilings::of(*number)?,
        None => None,
    };
    if arguments.job == JobKind::AutoRefine {
        let (resolution, map) = job::final_result(&root)?;
        row.resolution = Some(resolution);
        if let Some(truth) = &truth {
            row.truth_fsc = Some(compare_files(&map, truth, None)?.mean);
        }
    }
    if arguments.job == JobKind::InitialModel {
        let last = job::last_iteration(&words)?;
        row.resolution = Some(job::resolution(&job::of_iteration(
            &root,
            last,
            "_model.star",
        ))?);
        if let Some(truth) = &truth {
            let map = job::of_iteration(&root, last, "_class001.mrc");
            row.truth_fsc = Some(aligned(truth, &map, Progress::Output)?.fsc.mean);
        }
    }
    print!("{}", row.table());
    let date = moment::date(SystemTime::now());
    let folder = rows(arguments).join(format!("{date}-{}", machine::name(&cards)));
    let file = row.append_csv(&folder, &date, &command).or_says(
        Code::CANNOT_WRITE,
        format!("the row cannot be kept in {}", folder.display()),
    )?;
    println!("row appended to {}", file.display());
    Ok(())
}

/// Refuses what cannot be run before any folder is made.
fn check(arguments: &Arguments, program: &Path) -> Result<(), Failure> {
    // The system looks for a bare name along PATH.
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = match program.components().count() {
        1 => std::env::split_paths(&search).any(|folder| folder.join(program).is_file()),
        _ => program.is_file(),
    };
    if !found {
        return Err(Code::REFINEMENT_FAILED
            .says(format!(
                "{} is not a program that can be run; name another with --program",
                program.display()
            ))
            .into());
    }
    for path in [&arguments.i, &arguments.r#ref].into_iter().flatten() {
        std::fs::metadata(path).or_says(Code::FILE_MISSING, path.display())?;
    }
    Ok(())
}

/// Returns the folder that keeps the rows. Outside a checkout of the program none is made beside the user's files.
fn rows(arguments: &Arguments) -> PathBuf {
    let checkout = Path::new("benches/runs");
    match &arguments.runs {
        Some(folder) => folder.clone(),
        None if checkout.is_dir() => checkout.to_path_buf(),
        None => arguments.output.clone(),
    }
}

fn name(arguments: &Arguments) -> String {
    let set = match &arguments.i {
        Some(path) => path.display().to_string().replace(',', "_"),
        None => format!("{:?}", arguments.preset).to_lowercase(),
    };
    format!("{set} {}", arguments.job.name())
}

fn given_set(arguments: &Arguments, particles: &Path) -> Result<job::Set, Failure> {
    let is_complete = arguments.r#ref.is_some() && arguments.sym.is_some();
    let Some(diameter) = arguments
        .particle_diameter
        .filter(|_| is_complete || !arguments.job.needs_reference())
    else {
        let text = "--i needs --particle_diameter, and for jobs that start from a map --ref and --sym as well: they say how to refine \
                    the particles";
        return Err(Code::MISSING_OPTION.says(text).into());
    };
    Ok(job::Set {
        particles: particles.to_path_buf(),
        reference: arguments.r#ref.clone().unwrap_or_default(),
        diameter,
        symmetry: arguments.sym.clone().unwrap_or_default(),
        initial_low_pass: 60.0,
        healpix_order: 2,
        local_order: 4,
    })
}

/// Simulate the set, unless the same one lies in the output folder already; also gives the truth map.
fn simulated_set(arguments: &Arguments) -> Result<(job::Set, Option<PathBuf>), Failure> {
    let mut settings = simulate::Preset::from(arguments.preset).settings();
    settings.particles = arguments.n;
    settings.seed = u64::from(arguments.seed);
    if let Some(box_size) = arguments.box_size {
        let binning = settings.box_size as f64 / box_size as f64;
        settings.pixel_size *= binning;
        // binned images keep their signal and average their noise
        settings.snr *= binning * binning;
        settings.box_size = box_size;
    }
    if let Some(snr) = arguments.snr {
        settings.snr = snr;
    }
    // stacks are named in STAR files relative to the folder that programs run in
    let prefix = arguments.output.join(format!(
        "{:?}-{}-{}-{}-{}",
        arguments.preset, settings.box_size, settings.particles, settings.snr, settings.seed
    ));
    let path = |suffix: &str| PathBuf::from(format!("{}{suffix}", prefix.display()));
    let particles = path(".star");
    let complete = Document::read(&particles).is_ok() && path("_truth1.mrc").exists();
    if !complete {
        let models = crate::simulate::phantoms(&settings, 1)?;
        let simulating = Progress::Output.phase("Simulating images", settings.particles);
        simulate::run(&settings, &models, &prefix, |done| {
            simulating.reach(done, settings.particles);
        })?;
    }
    let set = job::Set {
        particles,
        reference: path("_truth1.mrc"),
        diameter: arguments.particle_diameter.unwrap_or(settings.diameter),
        symmetry: arguments.sym.clone().unwrap_or(settings.symmetry),
        initial_low_pass: 60.0,
        healpix_order: 2,
        local_order: 4,
    };
    Ok((set, Some(path("_truth1.mrc"))))
}
