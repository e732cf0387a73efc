//! `gerelion simulate`.

use clap::{Args, ValueEnum};
use gerelion::comm::cores;
use gerelion::errors::{Failure, tell};
use gerelion::formats::atoms::{self, Atom};
use gerelion::geometry::symmetry::PointGroup;
use gerelion::options::{Range, output_root};
use gerelion::tools::progress::Progress;
use gerelion::tools::simulate::{
    self, Preset, SimulationSettings,
    micrograph::DefocusSource,
    phantom::{HelixBundle, helix_bundle},
};
use std::path::PathBuf;

/// Options of `gerelion simulate`; what is not given comes from the preset.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
pub struct Arguments {
    /// Prefix of the output: PREFIX.mrcs, PREFIX.star, PREFIX_truth.star, PREFIX_truthN.mrc
    #[arg(long = "o", visible_alias = "out", value_name = "PREFIX")]
    output: PathBuf,
    /// Atomic models (.pdb, .cif, .mmcif, also .gz), one per class
    #[arg(long, num_args = 1.., value_name = "FILE", conflicts_with_all = ["phantom", "K"])]
    model: Vec<PathBuf>,
    /// Built-in model that needs no file (used when no --model is given)
    #[arg(long, default_value = "helix-bundle")]
    phantom: Phantom,
    /// Conformations of the phantom, one per class
    #[arg(long = "K", default_value_t = 1, value_name = "N", value_parser = Range::between(1.0, 1000.0).whole::<usize>("classes"))]
    #[arg(id = "K")]
    classes: usize,
    /// Twin of a published data set; other options change single values of it
    #[arg(long, default_value = "mini")]
    preset: PresetName,
    /// Point group of the phantom
    #[arg(long)]
    sym: Option<String>,
    /// Number of images
    #[arg(long, value_parser = Range::between(1.0, 1e7).whole::<usize>("images"))]
    n: Option<usize>,
    /// Box, pixels
    #[arg(long = "box", value_name = "PIXELS", value_parser = Range::between(4.0, 4096.0).whole::<usize>("pixels"))]
    box_size: Option<usize>,
    /// Pixel size, Å
    #[arg(long, value_parser = Range::PIXEL_SIZE.real("Å"))]
    angpix: Option<f64>,
    /// Signal-to-noise ratio (of variances) inside the particle; 0 is noise alone, inf no noise
    #[arg(long)]
    snr: Option<f64>,
    /// B-factor of the signal, Å²
    #[arg(long, value_parser = Range::between(0.0, 10_000.0).real("Å²"))]
    bfactor: Option<f64>,
    /// Standard deviation of in-plane shifts, pixels
    #[arg(long, value_parser = Range::between(0.0, 10_000.0).real("pixels"))]
    shift: Option<f64>,
    /// Range of the defocus, Å
    #[arg(long, num_args = 2, value_names = ["MIN", "MAX"], conflicts_with = "ctf_table", value_parser = Range::between(-1e6, 1e6).real("Å"))]
    defocus: Option<Vec<f64>>,
    /// CSV file with a header line and defocus_u,defocus_v,angle[,…] per micrograph (Å, Å, degrees)
    #[arg(long, value_name = "CSV")]
    ctf_table: Option<PathBuf>,
    /// Acceleration voltage, kV
    #[arg(long, value_parser = Range::between(1.0, 10_000.0).real("kV"))]
    kv: Option<f64>,
    /// Spherical aberration, mm
    #[arg(long, value_parser = Range::between(0.0, 100.0).real("mm"))]
    cs: Option<f64>,
    /// Amplitude contrast, 0…1
    #[arg(long, value_parser = Range::between(0.0, 1.0).real(""))]
    q0: Option<f64>,
    /// Diameter of the particle's circle, Å
    #[arg(long, value_parser = Range::between(1.0, 100_000.0).real("Å"))]
    diameter: Option<f64>,
    /// Number of preferred viewing directions, as far apart as may be (0: seen from everywhere)
    #[arg(long, value_name = "N")]
    views: Option<usize>,
    /// Standard deviation of viewing directions around the preferred ones, degrees
    #[arg(long, value_name = "DEGREES", value_parser = Range::between(0.0, 180.0).real("degrees"))]
    view_spread: Option<f64>,
    /// Share of images (0…1) that show a contaminant: class K+1 of the truth
    #[arg(long, value_name = "SHARE", value_parser = Range::between(0.0, 1.0).real(""))]
    contaminants: Option<f64>,
    /// Share of images (0…1) with noise only: class K+2 of the truth
    #[arg(long, value_name = "SHARE", value_parser = Range::between(0.0, 1.0).real(""))]
    empty: Option<f64>,
    /// Images per micrograph
    #[arg(long, value_parser = Range::between(1.0, 1e7).whole::<usize>("images"))]
    per_mic: Option<usize>,
    /// Seed of everything random
    #[arg(long, value_parser = Range::between(0.0, 9e15).whole::<u64>(""))]
    seed: Option<u64>,
    /// Replace a set that is there
    #[arg(long)]
    overwrite: bool,
    /// Write the stack as float16 (MRC mode 12)
    #[arg(long)]
    f16: bool,
    /// Threads; 0 = all cores (the result does not depend on it)
    #[arg(long, default_value_t = 0)]
    j: usize,
}

/// Built-in models.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Phantom {
    /// α-helices with the point group of the preset
    HelixBundle,
}

/// Names of presets on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    /// 256 px, 1.2156 Å, C4
    Trpv1,
    /// 192 px, 1.23 Å, D2
    Rag,
    /// 64 px, 4 Å, C4
    Mini,
}

impl From<PresetName> for Preset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Trpv1 => Self::Trpv1,
            PresetName::Rag => Self::Rag,
            PresetName::Mini => Self::Mini,
        }
    }
}

impl Arguments {
    fn settings(&self) -> Result<SimulationSettings, Failure> {
        let mut s = Preset::from(self.preset).settings();
        fn set<T: Clone>(target: &mut T, given: &Option<T>) {
            if let Some(value) = given {
                *target = value.clone();
            }
        }
        set(&mut s.particles, &self.n);
        set(&mut s.box_size, &self.box_size);
        set(&mut s.pixel_size, &self.angpix);
        set(&mut s.snr, &self.snr);
        set(&mut s.b_factor, &self.bfactor);
        set(&mut s.shift, &self.shift);
        set(&mut s.voltage, &self.kv);
        set(&mut s.spherical_aberration, &self.cs);
        set(&mut s.amplitude_contrast, &self.q0);
        set(&mut s.diameter, &self.diameter);
        set(&mut s.particles_per_micrograph, &self.per_mic);
        set(&mut s.seed, &self.seed);
        set(&mut s.views, &self.views);
        set(&mut s.view_spread, &self.view_spread);
        set(&mut s.contaminants, &self.contaminants);
        set(&mut s.empty, &self.empty);
        set(&mut s.symmetry, &self.sym);
        s.half_precision = self.f16;
        if let Some(&[low, high]) = self.defocus.as_deref() {
            s.defocus = DefocusSource::Range(low, high);
        }
        if let Some(path) = &self.ctf_table {
            s.defocus = DefocusSource::read_table(path)?;
        }
        Ok(s)
    }

    fn models(&self, settings: &SimulationSettings) -> Result<Vec<Vec<Atom>>, Failure> {
        if self.model.is_empty() {
            return phantoms(settings, self.classes);
        }
        let mut models: Vec<Vec<Atom>> = self
            .model
            .iter()
            .map(|path| atoms::read_atoms(path))
            .collect::<Result<_, _>>()?;
        models.iter_mut().for_each(|m| atoms::centre(m));
        Ok(models)
    }
}

/// Conformations 0…`classes`−1 of the phantom of the settings, each centred.
pub fn phantoms(settings: &SimulationSettings, classes: usize) -> Result<Vec<Vec<Atom>>, Failure> {
    let group = PointGroup::parse(&settings.symmetry)?;
    Ok((0..classes)
        .map(|conformation| {
            let shape = HelixBundle {
                conformation,
                ..settings.phantom.clone()
            };
            let mut bundle = helix_bundle(&shape, &group);
            atoms::centre(&mut bundle);
            bundle
        })
        .collect())
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    cores::start_threads(arguments.j)?;
    let settings = arguments.settings()?;
    if let Some(hint) = output_root::hint(&arguments.output.to_string_lossy(), "_truth.star") {
        tell(&format!("WARNING: {hint}"));
    }
    let models = arguments.models(&settings)?;
    if !arguments.overwrite {
        simulate::check_free(&arguments.output)?;
    }
    let started = std::time::Instant::now();
    let written = {
        let simulating = Progress::Output.phase("Simulating images", settings.particles);
        simulate::run(&settings, &models, &arguments.output, |done| {
            simulating.reach(done, settings.particles);
        })?
    };
    println!(
        "{} images of {n}×{n} px at {} Å, {} class(es), noise sigma {:.3}, {:.1} s",
        settings.particles,
        settings.pixel_size,
        models.len(),
        written.noise_sigma,
        started.elapsed().as_secs_f64(),
        n = settings.box_size,
    );
    println!(
        "written: {}, {}, {} and {} map(s)",
        written.stack.display(),
        written.particles.display(),
        written.truth.display(),
        written.maps.len()
    );
    Ok(())
}
