//! `gerelion reconstruct` and `relion_reconstruct`.

use super::relion_tool::Common;
use clap::Args;
use gerelion::errors::{Code, Failure, tell};
use gerelion::optics::CtfFlags;
use gerelion::options::{Range, refuse};
use gerelion::tools::progress::Progress;
use gerelion::tools::reconstruct::{
    self, Correction, EwaldSettings, ReconstructSettings, Reconstructed,
};
use std::path::PathBuf;

/// Purpose of the command, for its help.
pub const ABOUT: &str =
    "Make a map from particles whose orientations are known, as relion_reconstruct does";

/// Options, named as in `relion_reconstruct`.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
pub struct Arguments {
    /// Particles, with their orientations and optics groups
    #[arg(long = "i", value_name = "STAR")]
    input: PathBuf,
    /// Map to write
    #[arg(long = "o", default_value = "relion.mrc", value_name = "MAP")]
    output: PathBuf,
    /// Point group
    #[arg(long, default_value = "c1")]
    sym: String,
    /// Pixel size of the map, Å (-1: that of the first optics group)
    #[arg(long, default_value_t = -1.0, value_parser = Range::PIXEL_SIZE.or(&[-1.0], "that of the first optics group").real("Å"))]
    angpix: f64,
    /// Highest resolution, Å (-1: up to Nyquist)
    #[arg(long, default_value_t = -1.0, value_parser = Range::RESOLUTION.or(&[-1.0], "up to Nyquist").real("Å"))]
    maxres: f64,
    /// Padding factor
    #[arg(long, default_value_t = 2.0, value_parser = Range::between(1.0, 8.0).real(""))]
    pad: f64,
    /// Particles of one half-set only, 1 or 2
    #[arg(long, default_value_t = -1)]
    subset: i64,
    /// Particles of one class only
    #[arg(long, default_value_t = -1, value_parser = Range::at_least(1.0).or(&[-1.0], "all").whole::<i64>(""))]
    class: i64,
    #[command(flatten)]
    ctf: CtfArguments,
    #[command(flatten)]
    ewald: EwaldArguments,
    /// STAR file with an FSC (rlnGoldStandardFsc) to weigh shells against noise
    #[arg(long, value_name = "STAR")]
    fsc: Option<PathBuf>,
    /// Multiply each particle's contribution by its figure of merit (rlnParticleFigureOfMerit)
    #[arg(long)]
    fom_weighting: bool,
    /// Compensate for uneven density of slices by iterations
    #[arg(long)]
    dont_skip_gridding: bool,
    /// Number of these iterations
    #[arg(long, default_value_t = 10, value_parser = Range::between(0.0, 1000.0).whole::<usize>(""))]
    iter: usize,
    /// Put pixels into the nearest voxel instead of interpolating, beyond --r_min_nn
    #[arg(long = "NN")]
    nearest: bool,
    /// Shells below which --NN interpolates linearly
    #[arg(long, default_value_t = 10, value_parser = Range::between(0.0, 10_000.0).whole::<usize>("shells"))]
    r_min_nn: usize,
    /// Add up slices and make the map on GPUs: all of them, or those of this list (as relion_refine --gpu)
    #[arg(long, num_args = 0..=1, value_name = "LIST")]
    gpu: Option<Option<String>>,
    /// Messages: 0 or 1
    #[arg(long, default_value_t = 1)]
    verb: i32,
    #[command(flatten)]
    unsupported: Unsupported,
    #[command(flatten)]
    common: Common,
}

/// Contrast transfer.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
struct CtfArguments {
    /// Correct for the CTF
    #[arg(long)]
    ctf: bool,
    /// Leave the CTF alone up to its first peak
    #[arg(long)]
    ctf_intact_first_peak: bool,
    /// The images have been phase flipped
    #[arg(long)]
    ctf_phase_flipped: bool,
    /// Correct for the sign of the CTF only
    #[arg(long)]
    only_flip_phases: bool,
}

/// Curvature of the Ewald sphere.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
struct EwaldArguments {
    /// Correct for the curvature of the Ewald sphere (and for the CTF)
    #[arg(long)]
    ewald: bool,
    /// Diameter of the particle, Å
    #[arg(long, default_value_t = -1.0, value_parser = Range::between(1.0, 100_000.0).or(&[-1.0], "none").real("Å"))]
    mask_diameter: f64,
    /// Width of the soft edge of its mask, pixels
    #[arg(long, default_value_t = 3.0, value_parser = Range::between(0.0, 10_000.0).real("pixels"))]
    width_mask_edge: f64,
    /// The curvature is the other way round
    #[arg(long)]
    reverse_curvature: bool,
    /// Box of the map, if it is to be smaller than the images, voxels
    #[arg(long, default_value_t = -1)]
    newbox: i64,
    /// Number of sectors
    #[arg(long, default_value_t = 2)]
    sectors: usize,
    /// Do not mask the two sides of the sphere
    #[arg(long)]
    skip_mask: bool,
    /// Do not weigh them by their overlap
    #[arg(long)]
    skip_weighting: bool,
}

/// Options of `relion_reconstruct` that are refused by name.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
struct Unsupported {
    /// Refused
    #[arg(long, hide = true)]
    img: Option<String>,
    #[arg(long, hide = true)]
    subtract: Option<String>,
    #[arg(long, hide = true, default_value_t = 1)]
    nr_helical_asu: i64,
    #[arg(long, hide = true, default_value_t = 0.0)]
    helical_rise: f64,
    #[arg(long, hide = true, default_value_t = 0.0)]
    helical_twist: f64,
    #[arg(long, hide = true)]
    normalised_subtomo: bool,
    #[arg(long, hide = true)]
    skip_subtomo_multi: bool,
    #[arg(long, hide = true)]
    ctf3d_not_squared: bool,
    #[arg(long, hide = true, default_value_t = 1.9)]
    blob_r: f64,
    #[arg(long, hide = true, default_value_t = 0)]
    blob_m: i64,
    #[arg(long, hide = true, default_value_t = 15.0)]
    blob_a: f64,
    #[arg(long, hide = true, default_value_t = 3)]
    refdim: i64,
    #[arg(long = "3d_rot", hide = true)]
    rotation_3d: bool,
    #[arg(long, hide = true, default_value_t = 0.0)]
    angular_error: f64,
    #[arg(long, hide = true, default_value_t = 0.0)]
    shift_error: f64,
    #[arg(long, hide = true, default_value_t = -1)]
    reconstruct_ctf: i64,
    #[arg(long, hide = true)]
    ctf2: bool,
    #[arg(long, hide = true)]
    reconstruct_noise: Option<String>,
    #[arg(long, hide = true)]
    read_weights: bool,
    #[arg(long, hide = true)]
    write_debug_output: bool,
    #[arg(long, hide = true)]
    external_reconstruct: bool,
}

impl Unsupported {
    fn refuse(&self) -> Result<(), Failure> {
        const SUBTOMOGRAMS: &str = "subtomograms are no images of single particles; use RELION";
        const BLOB: &str =
            "the blob of --dont_skip_gridding has RELION's default shape; leave the option out";
        let helix =
            self.nr_helical_asu != 1 || self.helical_rise != 0.0 || self.helical_twist != 0.0;
        refuse(&[
            (
                "--img",
                self.img.is_some(),
                "start the program in the project folder, to which image names are relative",
            ),
            (
                "--subtract",
                self.subtract.is_some(),
                "subtract with relion_particle_subtract, and reconstruct from its images",
            ),
            (
                "--nr_helical_asu (--helical_rise, --helical_twist)",
                helix,
                "helices are not done; use RELION",
            ),
            (
                "--normalised_subtomo",
                self.normalised_subtomo,
                SUBTOMOGRAMS,
            ),
            (
                "--skip_subtomo_multi",
                self.skip_subtomo_multi,
                SUBTOMOGRAMS,
            ),
            ("--ctf3d_not_squared", self.ctf3d_not_squared, SUBTOMOGRAMS),
            ("--3d_rot", self.rotation_3d, SUBTOMOGRAMS),
            ("--blob_r", self.blob_r != 1.9, BLOB),
            ("--blob_m", self.blob_m != 0, BLOB),
            ("--blob_a", self.blob_a != 15.0, BLOB),
            (
                "--refdim",
                self.refdim != 3,
                "only maps are reconstructed; class averages come from relion_refine",
            ),
            (
                "--angular_error",
                self.angular_error != 0.0,
                "no errors are simulated; gerelion simulate makes particle sets with them",
            ),
            (
                "--shift_error",
                self.shift_error != 0.0,
                "no errors are simulated; gerelion simulate makes particle sets with them",
            ),
            (
                "--reconstruct_ctf",
                self.reconstruct_ctf > 0 || self.ctf2,
                "3D CTF volumes are for subtomograms; use RELION",
            ),
            (
                "--reconstruct_noise",
                self.reconstruct_noise.is_some(),
                "noise is not reconstructed; use RELION",
            ),
            (
                "--read_weights",
                self.read_weights,
                "weights are not read from files; use RELION",
            ),
            (
                "--write_debug_output",
                self.write_debug_output,
                "the sums are not written; use RELION",
            ),
            (
                "--external_reconstruct",
                self.external_reconstruct,
                "RELION 5 calls the external program with wrong arguments here; use relion_refine --external_reconstruct",
            ),
        ])
    }
}

impl Arguments {
    fn settings(&self) -> Result<ReconstructSettings, Failure> {
        let positive = |value: f64| Some(value).filter(|v| *v > 0.0);
        let flags = CtfFlags {
            intact_first_peak: self.ctf.ctf_intact_first_peak,
            phase_flipped: self.ctf.ctf_phase_flipped,
            only_flip_phases: self.ctf.only_flip_phases,
        };
        let ewald = EwaldSettings {
            mask_diameter: positive(self.ewald.mask_diameter),
            mask_edge: self.ewald.width_mask_edge,
            reversed: self.ewald.reverse_curvature,
            sectors: self.ewald.sectors,
            masked: !self.ewald.skip_mask,
            weighted: !self.ewald.skip_weighting,
        };
        let half = match self.subset {
            1 => Some(1),
            2 => Some(2),
            -1 => None,
            other => {
                return Err(Code::BAD_VALUE
                    .says(format!(
                        "--subset is {other}, but half-sets are 1 and 2; -1 takes all particles"
                    ))
                    .into());
            }
        };
        Ok(ReconstructSettings {
            input: self.input.clone(),
            output: self.output.clone(),
            symmetry: self.sym.clone(),
            resolution: positive(self.maxres),
            padding: self.pad,
            half,
            class: usize::try_from(self.class).ok(),
            pixel_size: positive(self.angpix),
            box_size: usize::try_from(self.ewald.newbox).ok(),
            correction: match (self.ewald.ewald, self.ctf.ctf) {
                (true, _) => Correction::Ewald(flags, ewald),
                (false, true) => Correction::Ctf(flags),
                (false, false) => Correction::None,
            },
            fsc: self.fsc.clone(),
            figure_of_merit: self.fom_weighting,
            gridding_iterations: self.dont_skip_gridding.then_some(self.iter),
            nearest: self.nearest.then_some(self.r_min_nn as f64),
            gpu: self.gpu.clone().map(Option::unwrap_or_default),
        })
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.common.run(|| {
        arguments.unsupported.refuse()?;
        let settings = arguments.settings()?;
        let made = {
            let progress = match arguments.verb > 0 {
                true => Progress::Output,
                false => Progress::Silent,
            };
            let mut phase = progress.phase("Back-projecting particles", 0);
            reconstruct::run(&settings, |done, all| {
                phase.reach(done, all);
                if done == all {
                    phase = progress.phase("Making the map", 0);
                }
            })?
        };
        report(&settings, &made, arguments.verb);
        Ok(())
    })
}

fn report(settings: &ReconstructSettings, made: &Reconstructed, verb: i32) {
    for warning in &made.warnings {
        tell(&format!("WARNING: {warning}"));
    }
    if verb > 0 {
        if !made.cards.is_empty() {
            println!(" Back-projected on {}", made.cards.join(", "));
        }
        println!(
            " Written: {} ({} voxels of {} Å a side, {} particles, up to {:.2} Å)",
            settings.output.display(),
            made.box_size,
            made.pixel_size,
            made.particles,
            made.resolution
        );
    }
}
