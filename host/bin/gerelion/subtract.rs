//! `gerelion subtract` and `relion_particle_subtract`.

use super::relion_tool::Common;
use clap::Args;
use gerelion::errors::{Code, Failure, tell};
use gerelion::options::{Range, refuse};
use gerelion::tools::progress::Progress;
use gerelion::tools::subtract::{self, Centre, SubtractSettings};
use std::path::{Path, PathBuf};

/// RELION's value of a coordinate that was not given.
const NOT_GIVEN: f64 = 9999.0;

/// Purpose of the command, for its help.
pub const ABOUT: &str = "Subtract the signal of a part of the structure from particles, as relion_particle_subtract does";

/// Options, named as in `relion_particle_subtract`.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
pub struct Arguments {
    /// Optimiser file of the refinement or classification
    #[arg(
        long = "i",
        value_name = "STAR",
        required_unless_present = "revert",
        conflicts_with = "revert"
    )]
    input: Option<PathBuf>,
    /// Folder for the new particles
    #[arg(long = "o", default_value = "Subtract/", value_name = "FOLDER")]
    output: PathBuf,
    /// Mask of the density to keep, values from 0 to 1; without it all is subtracted
    #[arg(long, value_name = "MAP")]
    mask: Option<PathBuf>,
    /// Particles to take instead of those of the run
    #[arg(long, value_name = "STAR")]
    data: Option<PathBuf>,
    /// Subtract the first class from all particles
    #[arg(long)]
    ignore_class: bool,
    /// Put back the names of the images that particles were subtracted from
    #[arg(long, value_name = "STAR")]
    revert: Option<PathBuf>,
    /// Centre the images on the centre of mass of the mask
    #[arg(long)]
    recenter_on_mask: bool,
    /// New centre along x, voxels from the centre of the map
    #[arg(long, default_value_t = NOT_GIVEN, value_parser = Range::between(-10_000.0, 10_000.0).real("voxels"))]
    center_x: f64,
    /// New centre along y
    #[arg(long, default_value_t = NOT_GIVEN, value_parser = Range::between(-10_000.0, 10_000.0).real("voxels"))]
    center_y: f64,
    /// New centre along z
    #[arg(long, default_value_t = NOT_GIVEN, value_parser = Range::between(-10_000.0, 10_000.0).real("voxels"))]
    center_z: f64,
    /// Box of the new images, pixels (-1: as it is)
    #[arg(long, default_value_t = -1, value_parser = Range::between(2.0, 10_000.0).or(&[-1.0], "as it is").whole::<i64>("pixels"))]
    new_box: i64,
    /// Write 16-bit floats
    #[arg(long)]
    float16: bool,
    /// Estimate spectral signal-to-noise ratios
    #[arg(long, hide = true)]
    ssnr: bool,
    /// Refused
    #[arg(long, hide = true, num_args = 0..=1)]
    gpu: Option<Option<String>>,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    fn centre(&self) -> Result<Centre, Failure> {
        let given = [self.center_x, self.center_y, self.center_z];
        let count = given.iter().filter(|c| **c != NOT_GIVEN).count();
        match (self.recenter_on_mask, count) {
            (true, 0) => Ok(Centre::Mask),
            (false, 0) => Ok(Centre::Kept),
            (false, 3) => Ok(Centre::At(given.map(f64::round))),
            (true, _) => Err(Code::CONFLICTING_OPTIONS
                .says(
                    "--recenter_on_mask and --center_x, --center_y, --center_z both say where the new centre is; leave one out",
                )
                .into()),
            (false, _) => Err(Code::MISSING_OPTION
                .says("a new centre needs all three of --center_x, --center_y and --center_z")
                .into()),
        }
    }

    fn settings(&self, optimiser: &Path) -> Result<SubtractSettings, Failure> {
        Ok(SubtractSettings {
            optimiser: optimiser.to_owned(),
            folder: self.output.clone(),
            mask: self.mask.clone(),
            data: self.data.clone(),
            ignore_class: self.ignore_class,
            centre: self.centre()?,
            new_box: usize::try_from(self.new_box).ok(),
            half_precision: self.float16,
        })
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.common.run(|| {
        refuse(&[
            (
                "--ssnr",
                arguments.ssnr,
                "spectral signal-to-noise ratios are not estimated; use RELION",
            ),
            (
                "--gpu",
                arguments.gpu.is_some(),
                "signal is subtracted on the processor, on all cores, as fast as images can be read and written; leave it out",
            ),
        ])?;
        if let Some(input) = &arguments.revert {
            let written = subtract::revert(input, &arguments.output)?;
            println!(" Written: {}", written.display());
            return Ok(());
        }
        // The parser has seen to it that one of the two is there.
        let Some(optimiser) = &arguments.input else {
            return Ok(());
        };
        subtracted(&arguments.settings(optimiser)?)
    })
}

fn subtracted(settings: &SubtractSettings) -> Result<(), Failure> {
    let made = {
        let subtracting = Progress::Output.phase("Subtracting from images", 0);
        subtract::run(settings, |done, all| subtracting.reach(done, all))?
    };
    for warning in &made.warnings {
        tell(&format!("WARNING: {warning}"));
    }
    if let Some([x, y, z]) = made.centre {
        println!(" New centre: ({x:.2}, {y:.2}, {z:.2}) voxels from the centre of the map");
    }
    println!(
        " Written: {} ({} particles)",
        made.star.display(),
        made.particles
    );
    Ok(())
}
