//! `gerelion mask` and `relion_mask_create`.

use crate::relion_tool::Common;
use clap::Args;
use gerelion::errors::{Code, Failure, tell};
use gerelion::options::{Range, refuse};
use gerelion::tools::mask_create::{self, Logic, MaskSettings, Origin};
use gerelion::tools::progress::Progress;
use std::path::PathBuf;

/// Purpose of the command, for its help.
pub const ABOUT: &str =
    "Make a soft mask from a map, or a spherical shell, as relion_mask_create does";

/// Options, named as in `relion_mask_create`.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
pub struct Arguments {
    /// Map to make the mask from
    #[arg(long = "i", value_name = "MAP", conflicts_with = "denovo")]
    input: Option<PathBuf>,
    /// Mask to write
    #[arg(long = "o", default_value = "mask.mrc", value_name = "MAP")]
    output: PathBuf,
    /// Keep what is above the threshold in this map as well
    #[arg(long, value_name = "MAP")]
    and: Option<PathBuf>,
    /// Add what is above the threshold in this map
    #[arg(long, value_name = "MAP")]
    or: Option<PathBuf>,
    /// Keep what is below the threshold in this map
    #[arg(long, value_name = "MAP")]
    and_not: Option<PathBuf>,
    /// Add what is below the threshold in this map
    #[arg(long, value_name = "MAP")]
    or_not: Option<PathBuf>,
    /// Threshold of the map
    #[arg(long, default_value_t = 0.01, value_parser = Range::ANY.real(""))]
    ini_threshold: f64,
    /// Grow the mask by so many voxels (negative: shrink)
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-10_000.0, 10_000.0).real("voxels"))]
    extend_inimask: f64,
    /// Width of the raised-cosine edge, voxels
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 10_000.0).real("voxels"))]
    width_soft_edge: f64,
    /// Mask the inside instead
    #[arg(long)]
    invert: bool,
    /// Cut the mask of a helix to the centre of the box
    #[arg(long)]
    helix: bool,
    /// Central share of the box along z for --helix
    #[arg(long, default_value_t = 0.3, value_parser = Range::between(0.1, 0.9).real(""))]
    z_percentage: f64,
    /// Low-pass filter the map first, Å
    #[arg(long, default_value_t = -1.0, value_parser = Range::RESOLUTION_OR_OFF.real("Å"))]
    lowpass: f64,
    /// Pixel size, Å (-1: from the header)
    #[arg(long, default_value_t = -1.0, value_parser = Range::PIXEL_SIZE.or(&[-1.0], "from the header").real("Å"))]
    angpix: f64,
    /// Make a spherical shell from nothing
    #[arg(long)]
    denovo: bool,
    /// Side of the box for --denovo, voxels
    #[arg(long, requires = "denovo", value_parser = Range::between(2.0, 10_000.0).whole::<usize>("voxels"))]
    box_size: Option<usize>,
    /// Inner radius for --denovo, voxels
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 100_000.0).real("voxels"))]
    inner_radius: f64,
    /// Outer radius for --denovo, voxels
    #[arg(long, default_value_t = 99999.0, value_parser = Range::between(0.0, 100_000.0).real("voxels"))]
    outer_radius: f64,
    /// Centre for --denovo, voxels from the box centre
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-10_000.0, 10_000.0).real("voxels"))]
    center_x: f64,
    /// Centre for --denovo, voxels from the box centre
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-10_000.0, 10_000.0).real("voxels"))]
    center_y: f64,
    /// Centre for --denovo, voxels from the box centre
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-10_000.0, 10_000.0).real("voxels"))]
    center_z: f64,
    /// Refused
    #[arg(long, hide = true, num_args = 0..=1)]
    gpu: Option<Option<String>>,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    /// Returns the second map: the first given of and, or, and_not, or_not counts.
    fn second(&self) -> Option<(Logic, PathBuf)> {
        let given = [
            (Logic::And, &self.and),
            (Logic::Or, &self.or),
            (Logic::AndNot, &self.and_not),
            (Logic::OrNot, &self.or_not),
        ];
        given
            .into_iter()
            .find_map(|(logic, path)| Some((logic, path.clone()?)))
    }

    fn settings(&self) -> Result<MaskSettings, Failure> {
        let origin = match (&self.input, self.denovo) {
            (_, true) => Origin::Shell {
                box_size: self.box_size.ok_or_else(|| {
                    Failure(Code::MISSING_OPTION.says("--denovo needs --box_size"))
                })?,
                radii: [self.inner_radius, self.outer_radius],
                centre: [self.center_x, self.center_y, self.center_z],
            },
            (Some(map), false) => Origin::Map {
                map: map.clone(),
                second: self.second(),
                threshold: self.ini_threshold,
                low_pass: Some(self.lowpass).filter(|d| *d > 0.0),
            },
            (None, false) => {
                return Err(Failure(
                    Code::MISSING_OPTION.says("give a map (--i), or --denovo with --box_size"),
                ));
            }
        };
        Ok(MaskSettings {
            origin,
            output: self.output.clone(),
            pixel_size: Some(self.angpix).filter(|a| *a > 0.0),
            extend: self.extend_inimask,
            soft_edge: self.width_soft_edge,
            helix: self.helix.then_some(self.z_percentage),
            invert: self.invert,
        })
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.common.run(|| {
        refuse(&[(
            "--gpu",
            arguments.gpu.is_some(),
            "masks are made on the processor, on all cores; leave it out",
        )])?;
        let settings = arguments.settings()?;
        let made = {
            let _making = Progress::Output.phase("Making the mask", 0);
            mask_create::run(&settings)?
        };
        for warning in &made.warnings {
            tell(&format!("WARNING: {warning}"));
        }
        println!(
            " Done! Written out mask: {} ({:.2} % of the voxels above 0.5)",
            settings.output.display(),
            100.0 * made.covered()
        );
        Ok(())
    })
}
