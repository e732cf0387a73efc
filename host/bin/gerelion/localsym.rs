//! `gerelion localsym` and `relion_localsym`.

use super::relion_tool::{Common, refuse};
use clap::{ArgGroup, Args};
use gerelion::errors::Failure;
use gerelion::tools::local_symmetry::{self, Action, LocalSymmetrySettings};
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
    #[arg(long, hide = true)]
    transform: bool,
    #[arg(long, hide = true)]
    txt2rln: bool,
    #[arg(long, hide = true)]
    debug: bool,
    /// Pixel size, Å (-1: from the header of the map, or of the first mask)
    #[arg(long, default_value_t = -1.0)]
    angpix: f64,
    /// Map
    #[arg(long, value_name = "MAP", required_if_eq("apply", "true"))]
    i_map: Option<PathBuf>,
    /// Masks and operators
    #[arg(long, value_name = "STAR")]
    i_mask_info: PathBuf,
    /// Map to write
    #[arg(long, value_name = "MAP")]
    o_map: PathBuf,
    /// Diameter of a soft sphere around what is kept of an averaged map, as a share of the box (-1: no sphere)
    #[arg(long, default_value_t = -1.0)]
    sphere_percentage: f64,
    /// Width of its soft edge, voxels
    #[arg(long, default_value_t = 5.0)]
    width: f64,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.common.run(|| {
        refuse(&[
            (
                "--search",
                arguments.search,
                "operators are not searched for; give them in the file of --i_mask_info, or use RELION",
            ),
            (
                "--transform",
                arguments.transform,
                "maps are not moved by an operator; use relion_localsym of RELION, or relion_image_handler",
            ),
            (
                "--txt2rln",
                arguments.txt2rln,
                "operators of DM are not converted; use relion_localsym of RELION",
            ),
            ("--debug", arguments.debug, "there is nothing to debug here"),
        ])?;
        let settings = LocalSymmetrySettings {
            action: match arguments.apply {
                true => Action::Average,
                false => Action::Copy,
            },
            map: arguments.i_map.clone(),
            description: arguments.i_mask_info.clone(),
            output: arguments.o_map.clone(),
            pixel_size: Some(arguments.angpix).filter(|a| *a > 0.0),
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
