//! `gerelion localsym` and `relion_localsym`.

use super::relion_tool::Common;
use clap::{ArgGroup, Args};
use gerelion::errors::{Code, Failure};
use gerelion::options::{Range, refuse};
use gerelion::tools::local_symmetry::{
    self, Action, Known, LocalSymmetrySettings, MotionSettings, Rotations, SearchSettings,
};
use gerelion::tools::progress::Progress;
use std::path::PathBuf;

/// Purpose of the command, for its help.
pub const ABOUT: &str = "Average a map over its local symmetry, copy its regions, or search for its operators, as relion_localsym does";

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
    /// Search for the operators near those of --i_mask_info, or for those between the masks of --i_op_mask_info, by the correlation of
    /// regions and copies, and write them
    #[arg(long)]
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
    #[arg(long, value_name = "MAP", required_if_eq_any([("apply", "true"), ("search", "true"), ("transform", "true")]))]
    i_map: Option<PathBuf>,
    /// Masks and operators
    #[arg(long, value_name = "STAR", required_if_eq_any([("apply", "true"), ("duplicate", "true")]))]
    i_mask_info: Option<PathBuf>,
    /// Map to write
    #[arg(long, value_name = "MAP", required_if_eq_any([("apply", "true"), ("duplicate", "true"), ("transform", "true")]))]
    o_map: Option<PathBuf>,
    /// Diameter of a soft sphere around what is kept of an averaged map, as a share of the box (-1: no sphere)
    #[arg(long, default_value_t = -1.0, value_parser = Range::between(0.001, 1.0).or(&[-1.0], "no sphere").real(""))]
    sphere_percentage: f64,
    /// Width of its soft edge, voxels
    #[arg(long, default_value_t = 5.0, value_parser = Range::between(0.0, 10_000.0).real("voxels"))]
    width: f64,
    #[command(flatten)]
    motion: Motion,
    #[command(flatten)]
    extent: Extent,
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

/// Extent of a search.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
struct Extent {
    /// Description file that --search writes
    #[arg(long, value_name = "STAR", required_if_eq("search", "true"))]
    o_mask_info: Option<PathBuf>,
    /// Largest rotation of a copy about any axis, degrees (0: by the three options below)
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 180.0).real("degrees"))]
    ang_range: f64,
    /// Largest change of rot
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 180.0).real("degrees"))]
    ang_rot_range: f64,
    /// Largest change of tilt
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 180.0).real("degrees"))]
    ang_tilt_range: f64,
    /// Largest change of psi
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 180.0).real("degrees"))]
    ang_psi_range: f64,
    /// Step of the rotations, degrees; the best one is improved beyond it [default: 1, or 10 with --i_op_mask_info]
    #[arg(long, value_parser = Range::between(0.01, 180.0).real("degrees"))]
    ang_step: Option<f64>,
    /// Largest move of the centre of mass of a copy along each axis, Å (0: by the three options below)
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 1e5).real("Å"))]
    offset_range: f64,
    /// Largest move along x
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 1e5).real("Å"))]
    offset_x_range: f64,
    /// Largest move along y
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 1e5).real("Å"))]
    offset_y_range: f64,
    /// Largest move along z
    #[arg(long, default_value_t = 0.0, value_parser = Range::between(0.0, 1e5).real("Å"))]
    offset_z_range: f64,
    /// Step of the moves, Å; the best one is improved beyond it
    #[arg(long, default_value_t = 1.0, value_parser = Range::between(0.01, 1e5).real("Å"))]
    offset_step: f64,
    /// Search the grid on a map that is coarser by this factor; the best pose is improved on the map as it is (1 or less: not coarser)
    #[arg(long, default_value_t = -1.0, value_parser = Range::between(1.0, 1000.0).or(&[-1.0], "not coarser").real(""))]
    bin: f64,
    /// In place of --i_mask_info: masks of the regions and of their copies (rlnMaskName), with one number (rlnAreaId) for those that belong
    /// together; all rotations are tried unless a range is given
    #[arg(long, value_name = "STAR")]
    i_op_mask_info: Option<PathBuf>,
}

impl Extent {
    fn rotations(&self) -> Rotations {
        match self.ang_range > 0.0 {
            true => Rotations::Within(self.ang_range),
            false => {
                Rotations::Euler([self.ang_rot_range, self.ang_tilt_range, self.ang_psi_range])
            }
        }
    }

    fn offsets(&self) -> [f64; 3] {
        match self.offset_range > 0.0 {
            true => [self.offset_range; 3],
            false => [
                self.offset_x_range,
                self.offset_y_range,
                self.offset_z_range,
            ],
        }
    }
}

/// Searches for the operators of a description file.
fn search(arguments: &Arguments, pixel_size: Option<f64>) -> Result<(), Failure> {
    let extent = &arguments.extent;
    // The interface of the program of this name gives "None" for a list that is not there.
    let masks = extent.i_op_mask_info.clone();
    let masks = masks.filter(|file| file.as_os_str() != "None");
    let (known, angle_step) = match (masks, &arguments.i_mask_info) {
        (Some(masks), None) => (Known::Masks(masks), 10.0),
        (None, Some(description)) => (Known::Operators(description.clone()), 1.0),
        (Some(_), Some(_)) => {
            return Err(Code::BAD_VALUE
                .says(
                    "--i_mask_info gives operators to search near, --i_op_mask_info masks to search from without operators: give one of them",
                )
                .into());
        }
        (None, None) => {
            return Err(Code::MISSING_OPTION
                .says(
                    "--search needs the operators to search near (--i_mask_info), or the masks of regions and copies (--i_op_mask_info)",
                )
                .into());
        }
    };
    let settings = SearchSettings {
        map: arguments.i_map.clone().unwrap_or_default(),
        known,
        binning: extent.bin,
        output: extent.o_mask_info.clone().unwrap_or_default(),
        pixel_size,
        rotations: extent.rotations(),
        angle_step: extent.ang_step.unwrap_or(angle_step),
        offsets: extent.offsets(),
        offset_step: extent.offset_step,
    };
    let _searching = Progress::Output.phase("Searching operators", 0);
    local_symmetry::refine(&settings, |found| {
        let [rot, tilt, psi] = found.angles;
        let [x, y, z] = found.shift;
        let [before, after] = found.correlation;
        println!(
            " {}: rot {rot:.2}, tilt {tilt:.2}, psi {psi:.2} degrees, shift ({x:.2}, {y:.2}, {z:.2}) Å; correlation {before:.4}, now {after:.4}",
            found.mask.display()
        );
    })?;
    println!(" Written: {}", settings.output.display());
    Ok(())
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.common.run(|| {
        refuse(&[
            (
                "--txt2rln",
                arguments.txt2rln,
                "operators of DM are not converted; use relion_localsym of RELION",
            ),
            ("--debug", arguments.debug, "there is nothing to debug here"),
        ])?;
        let pixel_size = Some(arguments.angpix).filter(|a| *a > 0.0);
        if arguments.search {
            return search(arguments, pixel_size);
        }
        let output = arguments.o_map.clone().unwrap_or_default();
        if let (true, Some(map)) = (arguments.transform, &arguments.i_map) {
            let motion = &arguments.motion;
            let moving = Progress::Output.phase("Moving the map", 0);
            local_symmetry::transform(&MotionSettings {
                map: map.clone(),
                output: output.clone(),
                pixel_size,
                angles: [motion.rot, motion.tilt, motion.psi],
                shift: [motion.xoff, motion.yoff, motion.zoff],
            })?;
            drop(moving);
            println!(" Written: {}", output.display());
            return Ok(());
        }
        let settings = LocalSymmetrySettings {
            action: match arguments.apply {
                true => Action::Average,
                false => Action::Copy,
            },
            map: arguments.i_map.clone(),
            description: arguments.i_mask_info.clone().unwrap_or_default(),
            output,
            pixel_size,
            sphere: Some(arguments.sphere_percentage)
                .filter(|p| *p > 0.0 && *p < 0.99)
                .map(|share| (share, arguments.width)),
        };
        let done = {
            let _averaging = Progress::Output.phase("Treating the map", 0);
            local_symmetry::run(&settings)?
        };
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
