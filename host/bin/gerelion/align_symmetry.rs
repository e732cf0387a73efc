//! `gerelion align-symmetry` and `relion_align_symmetry`.

use super::relion_tool::Common;
use clap::Args;
use gerelion::errors::{Failure, tell};
use gerelion::geometry::euler;
use gerelion::options::Range;
use gerelion::tools::align_symmetry::{self, AlignSettings, Aligned, Choice};
use gerelion::tools::progress::Progress;
use gerelion::tools::rotation::search::Search;
use std::path::PathBuf;

/// Purpose of the command, for its help.
pub const ABOUT: &str = "Turn a map so that its symmetry axes lie where the point group has them, as relion_align_symmetry does";

/// Options, named as in `relion_align_symmetry`.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
pub struct Arguments {
    /// Map, or the _model.star file of a run
    #[arg(long = "i", value_name = "MAP|STAR")]
    input: PathBuf,
    /// Map to write
    #[arg(long = "o", default_value = "aligned.mrc", value_name = "MAP")]
    output: PathBuf,
    /// Point group
    #[arg(long, default_value = "C1")]
    sym: String,
    /// Of the classes of a model file take the one with most particles
    #[arg(long, conflicts_with = "select_highest_resol")]
    select_largest_class: bool,
    /// Of the classes of a model file take the one of the highest resolution
    #[arg(long)]
    select_highest_resol: bool,
    /// Box that orientations are searched in, pixels (even)
    #[arg(long, default_value_t = 64)]
    box_size: usize,
    /// Do not move the centre of mass to the centre of the box
    #[arg(long)]
    keep_centre: bool,
    /// Pixel size, Å (-1: from the header)
    #[arg(long, default_value_t = -1.0, value_parser = Range::PIXEL_SIZE.or(&[-1.0], "from the header").real("Å"))]
    angpix: f64,
    /// Turn about z only
    #[arg(long)]
    only_rot: bool,
    /// Orientations that are tried first, spread evenly over all
    #[arg(long, default_value_t = 400, value_parser = Range::between(1.0, 100_000.0).whole::<usize>("orientations"))]
    nr_uniform: usize,
    /// Highest resolution of the search, Å (-1: that of the box)
    #[arg(long, default_value_t = -1.0, value_parser = Range::RESOLUTION.or(&[-1.0], "that of the box").real("Å"))]
    maxres: f64,
    /// Steps of the local search to each side
    #[arg(long, default_value_t = 2, value_parser = Range::between(0.0, 20.0).whole::<usize>("steps"))]
    local_search_range: usize,
    /// Step of the local search, degrees; smaller ones follow
    #[arg(long, default_value_t = 2.0, value_parser = Range::between(0.001, 180.0).real("degrees"))]
    local_search_step: f64,
    /// Padding factor
    #[arg(long, default_value_t = 2.0, value_parser = Range::between(1.0, 8.0).real(""))]
    pad: f64,
    /// Replace the map by its mean over the point group
    #[arg(long)]
    apply_sym: bool,
    /// Take the nearest voxel of the transform instead of interpolating
    #[arg(long = "NN")]
    nearest: bool,
    /// First shell for --NN
    #[arg(long, default_value_t = 10.0, hide = true)]
    r_min_nn: f64,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    fn settings(&self) -> AlignSettings {
        let positive = |value: f64| Some(value).filter(|v| *v > 0.0);
        AlignSettings {
            input: self.input.clone(),
            output: self.output.clone(),
            symmetry: self.sym.clone(),
            choice: match (self.select_largest_class, self.select_highest_resol) {
                (true, _) => Choice::LargestClass,
                (false, true) => Choice::HighestResolution,
                (false, false) => Choice::BestSymmetry,
            },
            box_size: self.box_size,
            keep_centre: self.keep_centre,
            pixel_size: positive(self.angpix),
            resolution: positive(self.maxres),
            search: Search {
                uniform: self.nr_uniform,
                axis_only: self.only_rot,
                range: self.local_search_range,
                step: self.local_search_step,
            },
            padding: self.pad,
            apply_symmetry: self.apply_sym,
            nearest_from: self.nearest.then_some(self.r_min_nn),
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.common.run(|| {
        let settings = arguments.settings();
        report(
            &settings,
            &align_symmetry::run(&settings, Progress::Output)?,
        );
        Ok(())
    })
}

fn report(settings: &AlignSettings, aligned: &Aligned) {
    let class = match aligned.class {
        Some((k, of)) => format!(" (class {k} of {of})"),
        None => String::new(),
    };
    println!(" Map: {}{class}", aligned.map.display());
    let Some(turn) = &aligned.turn else {
        println!(" Without symmetry (C1) the map is copied as it is.");
        println!(" Written: {}", settings.output.display());
        return;
    };
    if let Some([x, y, z]) = turn.shift {
        println!(" Centre of mass: ({x:.2}, {y:.2}, {z:.2}) Å from the box centre, moved there");
    }
    let [rot, tilt, psi] = euler::angles(&turn.rotation);
    println!(" Turned by rot {rot:.2}°, tilt {tilt:.2}°, psi {psi:.2}°");
    println!(
        " Power of the map that does not have the symmetry {}: {:.1} %",
        settings.symmetry,
        100.0 * turn.broken
    );
    for warning in &aligned.warnings {
        tell(&format!("WARNING: {warning}"));
    }
    println!(" Written: {}", settings.output.display());
}
