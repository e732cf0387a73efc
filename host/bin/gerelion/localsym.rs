//! `gerelion localsym` and `relion_localsym`.

use super::relion_tool::{Common, refuse};
use clap::{ArgGroup, Args};
use gerelion::errors::Failure;
use gerelion::options::Range;
use gerelion::tools::local_symmetry::{self, Action, LocalSymmetrySettings, MotionSettings};
use std::path::PathBuf;

/// Purpose of the command, for its help.
pub const ABOUT: &str =
    "Average a map over its local symmetry, or copy its regions, as relion_localsym does";

/// Options, named as in `relion_localsym`.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
#[command(group(ArgGroup::new("action").required(true).args(["apply", "duplicate", "search", "transform", "txt2rln", "debug"])))]
pub struct Arguments {
    /// Replace regions and their copies by their mean
    #[arg(long)]
    apply: bool,
    /// Copy what lies under the masks, or the masks alone where no map is given
    #[arg(long)]
    duplicate: bool,
    #[arg(long, hide = true)]
    search: bool,
    /// Move a whole map by --rot, --tilt, --psi and then --xoff, --yoff, --zoff
    #[arg(long)]
    transform: bool,
    #[arg(long, hide = true)]
    txt2rln: bool,
    #[arg(long, hide = true)]
    debug: bool,
    /// Pixel size, Å (-1: from the header of the map, or of the first mask)
    #[arg(long, default_value_t = -1.0, value_parser = Range::PIXEL_SIZE.or(&[-1.0], "from the header").real("Å"))]
    angpix: f64,
    /// Map
    #[arg(long, value_name = "MAP", required_if_eq_any([("apply", "true"), ("transform", "true")]))]
    i_map: Option<PathBuf>,
    /// Masks and operators
    #[arg(long, value_name = "STAR", required_if_eq_any([("apply", "true"), ("duplicate", "true")]))]
    i_mask_info: Option<PathBuf>,
    /// Map to write
    #[arg(long, value_name = "MAP")]
    o_map: PathBuf,
    /// Diameter of a soft sphere around what is kept of an averaged map, as a share of the box (-1: no sphere)
    #[arg(long, default_value_t = -1.0, value_parser = Range::between(0.001, 1.0).or(&[-1.0], "no sphere").real(""))]
    sphere_percentage: f64,
    /// Width of its soft edge, voxels
    #[arg(long, default_value_t = 5.0, value_parser = Range::between(0.0, 10_000.0).real("voxels"))]
    width: f64,
    #[command(flatten)]
    motion: Motion,
    #[command(flatten)]
    common: Common,
}

/// Motion of a map.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
struct Motion {
    /// First Euler angle of --transform, degrees
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-3600.0, 3600.0).real("degrees"))]
    rot: f64,
    /// Second Euler angle
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-3600.0, 3600.0).real("degrees"))]
    tilt: f64,
    /// Third Euler angle
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-3600.0, 3600.0).real("degrees"))]
    psi: f64,
    /// Shift along x after the rotation, Å
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-1e5, 1e5).real("Å"))]
    xoff: f64,
    /// Shift along y
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-1e5, 1e5).real("Å"))]
    yoff: f64,
    /// Shift along z
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(-1e5, 1e5).real("Å"))]
    zoff: f64,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.common.run(|| {
        refuse(&[
            (
                "--search",
                arguments.search,
                "operators are not searched for: find them with relion_localsym of RELION, whose file this program reads, and give it with --i_mask_info",
            ),
            (
                "--txt2rln",
                arguments.txt2rln,
                "operators of DM are not converted; use relion_localsym of RELION",
            ),
            ("--debug", arguments.debug, "there is nothing to debug here"),
        ])?;
        let pixel_size = Some(arguments.angpix).filter(|a| *a > 0.0);
        if let (true, Some(map)) = (arguments.transform, &arguments.i_map) {
            let motion = &arguments.motion;
            local_symmetry::transform(&MotionSettings {
                map: map.clone(),
                output: arguments.o_map.clone(),
                pixel_size,
                angles: [motion.rot, motion.tilt, motion.psi],
                shift: [motion.xoff, motion.yoff, motion.zoff],
            })?;
            println!(" Written: {}", arguments.o_map.display());
            return Ok(());
        }
        let settings = LocalSymmetrySettings {
            action: match arguments.apply {
                true => Action::Average,
                false => Action::Copy,
            },
            map: arguments.i_map.clone(),
            description: arguments.i_mask_info.clone().unwrap_or_default(),
            output: arguments.o_map.clone(),
            pixel_size,
            sphere: Some(arguments.sphere_percentage)
                .filter(|p| *p > 0.0 && *p < 0.99)
                .map(|share| (share, arguments.width)),
        };
        let done = local_symmetry::run(&settings)?;
        for region in &done.regions {
            println!(
                " {}: original and {} copies",
                region.mask.display(),
                region.copies
            );
        }
        println!(" Written: {}", settings.output.display());
        Ok(())
    })
}
