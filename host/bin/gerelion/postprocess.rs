//! `gerelion postprocess`.

use clap::Args;
use gerelion::errors::Failure;
use gerelion::tools::postprocess::{self, PostprocessSettings, Sharpening};
use std::path::PathBuf;

/// Options of `gerelion postprocess`, named as in `relion_postprocess`.
#[derive(Args)]
#[command(rename_all = "snake_case", allow_negative_numbers = true)]
pub struct Arguments {
    /// Unfiltered map of half 1
    #[arg(long, value_name = "MAP")]
    i: PathBuf,
    /// Unfiltered map of half 2; by default the name of half 1 with half1 and half2 swapped
    #[arg(long, value_name = "MAP")]
    i2: Option<PathBuf>,
    /// Output root
    #[arg(long = "o", default_value = "postprocess", value_name = "ROOT")]
    output: PathBuf,
    /// Pixel size, Å (default: from the header)
    #[arg(long)]
    angpix: Option<f64>,
    /// Also write the half maps, treated alike
    #[arg(long)]
    half_maps: bool,
    /// Mask with values from 0 to 1
    #[arg(long, value_name = "MAP")]
    mask: Option<PathBuf>,
    /// Keep the mask even where it lowers the resolution
    #[arg(long)]
    force_mask: bool,
    /// STAR file with the MTF of the detector
    #[arg(long, value_name = "STAR")]
    mtf: Option<PathBuf>,
    /// Pixel size that the MTF refers to, Å (default: that of the map)
    #[arg(long)]
    mtf_angpix: Option<f64>,
    /// Fit the B-factor to the Guinier plot
    #[arg(long, conflicts_with = "adhoc_bfac")]
    auto_bfac: bool,
    /// Lowest resolution of the fit, Å
    #[arg(long, default_value_t = 10.0)]
    autob_lowres: f64,
    /// Highest resolution of the fit, Å (0: as far as there is signal)
    #[arg(long, default_value_t = 0.0)]
    autob_highres: f64,
    /// B-factor to apply, Å² (negative sharpens)
    #[arg(long)]
    adhoc_bfac: Option<f64>,
    /// Do not weigh shells by their FSC
    #[arg(long)]
    skip_fsc_weighting: bool,
    /// Low-pass filter, Å (0: none, negative: at the resolution found)
    #[arg(long, default_value_t = 0.0)]
    low_pass: f64,
    /// Width of the low-pass edge, shells
    #[arg(long, default_value_t = 2)]
    filter_edge_width: usize,
    /// Randomise phases from where the FSC falls below this
    #[arg(long = "randomize_at_fsc", default_value_t = 0.8)]
    randomise_at_fsc: f64,
    /// Randomise phases from this resolution on, Å
    #[arg(long = "randomize_at_A")]
    randomise_at: Option<f64>,
    /// Seed of the random phases
    #[arg(long, default_value_t = 0)]
    random_seed: u64,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = PostprocessSettings {
        half1: arguments.i.clone(),
        half2: arguments.i2.clone(),
        output: arguments.output.clone(),
        pixel_size: arguments.angpix.filter(|a| *a > 0.0),
        mask: arguments.mask.clone(),
        force_mask: arguments.force_mask,
        mtf: arguments.mtf.clone(),
        mtf_pixel_size: arguments.mtf_angpix.filter(|a| *a > 0.0),
        sharpening: match (arguments.auto_bfac, arguments.adhoc_bfac) {
            (true, _) => Sharpening::Fitted {
                low: arguments.autob_lowres,
                high: arguments.autob_highres,
            },
            (false, Some(b)) if b != 0.0 => Sharpening::Fixed(b),
            _ => Sharpening::None,
        },
        skip_weighting: arguments.skip_fsc_weighting,
        low_pass: arguments.low_pass,
        filter_edge: arguments.filter_edge_width,
        randomise_below: arguments.randomise_at_fsc,
        randomise_at: arguments.randomise_at.filter(|d| *d > 0.0),
        half_maps: arguments.half_maps,
        seed: arguments.random_seed,
    };
    let found = postprocess::run(&settings)?;
    for warning in &found.warnings {
        gerelion::errors::tell(&format!("WARNING: {warning}"));
    }
    println!("  + {:33}{:.2} A^2", "B-factor:", found.b_factor);
    if let Some(fraction) = found.mask_fraction {
        println!("  + {:33}{fraction:.4}", "fraction of the box in the mask:");
    }
    println!("  + {:33}{:.2} A", "FINAL RESOLUTION:", found.resolution);
    Ok(())
}
