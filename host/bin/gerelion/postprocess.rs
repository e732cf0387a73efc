//! `gerelion postprocess` and `relion_postprocess`.

use crate::relion_tool::Common;
use clap::Args;
use gerelion::errors::{Failure, tell};
use gerelion::options::{Range, output_root, refuse};
use gerelion::tools::local_resolution::{self, LocalSettings};
use gerelion::tools::postprocess::{
    self, PostprocessSettings, Postprocessed, Sharpening, interpolated_resolution, mass_inside,
};
use gerelion::tools::progress::Progress;
use std::path::PathBuf;

/// Returns the purpose of the command, for its help; `local` is `localres`.
pub fn about(local: bool) -> &'static str {
    match local {
        false => {
            "Make a sharpened map and a corrected FSC from two unfiltered half maps, as relion_postprocess does"
        }
        true => {
            "Find the resolution around every point of a map, and filter the map to it, as relion_postprocess --locres does"
        }
    }
}

/// Options, named as in `relion_postprocess`.
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
    #[arg(long, value_parser = Range::PIXEL_SIZE.or(&[-1.0], "from the header").real("Å"))]
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
    #[arg(long, value_parser = Range::PIXEL_SIZE.or(&[-1.0], "that of the map").real("Å"))]
    mtf_angpix: Option<f64>,
    /// Fit the B-factor to the Guinier plot
    #[arg(long, conflicts_with = "adhoc_bfac")]
    auto_bfac: bool,
    /// Lowest resolution of the fit, Å
    #[arg(long, default_value_t = 10.0, value_parser = Range::RESOLUTION.real("Å"))]
    autob_lowres: f64,
    /// Highest resolution of the fit, Å (0: as far as there is signal)
    #[arg(long, default_value_t = 0.0, value_parser = Range::RESOLUTION.or(&[0.0], "as far as there is signal").real("Å"))]
    autob_highres: f64,
    /// B-factor to apply, Å² (negative sharpens)
    #[arg(long, value_parser = Range::between(-10_000.0, 10_000.0).real("Å²"))]
    adhoc_bfac: Option<f64>,
    /// Do not weigh shells by their FSC
    #[arg(long)]
    skip_fsc_weighting: bool,
    /// Low-pass filter, Å (0: none, negative: at the resolution found)
    #[arg(long, default_value_t = 0.0, value_parser = Range::RESOLUTION.or(&[0.0, -1.0], "none, or at the resolution found").real("Å"))]
    low_pass: f64,
    /// Width of the low-pass edge, shells
    #[arg(long, default_value_t = 2, value_parser = Range::between(0.0, 1000.0).whole::<usize>("shells"))]
    filter_edge_width: usize,
    /// Randomise phases from where the FSC falls below this
    #[arg(long = "randomize_at_fsc", default_value_t = 0.8, value_parser = Range::between(0.0, 1.0).real(""))]
    randomise_at_fsc: f64,
    /// Randomise phases from this resolution on, Å
    #[arg(long = "randomize_at_A", value_parser = Range::RESOLUTION.or(&[-1.0], "where the FSC falls").real("Å"))]
    randomise_at: Option<f64>,
    /// Seed of the random phases, those of RELION (negative: as if no seed were given)
    #[arg(long, default_value_t = 0)]
    random_seed: i64,
    /// Ordered mass, kDa, for another estimate of the FSC
    #[arg(long, default_value_t = -1.0, value_parser = Range::between(0.1, 1e6).or(&[-1.0], "not known").real("kDa"))]
    molweight: f64,
    /// Also print the resolution interpolated between shells
    #[arg(long)]
    interpolate: bool,
    /// Print nothing but warnings (0)
    #[arg(long, default_value_t = 1)]
    verb: u8,
    /// Of a mask that RELION no longer makes here: accepted, without effect
    #[arg(long, hide = true)]
    inimask_threshold: Option<f64>,
    /// As above
    #[arg(long, hide = true)]
    extend_inimask: Option<f64>,
    /// As above
    #[arg(long, hide = true)]
    width_mask_edge: Option<f64>,
    /// Measure the local resolution instead, and filter the map to it
    #[arg(long)]
    locres: bool,
    /// Step of the points where it is measured, Å
    #[arg(long, default_value_t = 25.0, value_parser = Range::between(0.5, 10_000.0).real("Å"))]
    locres_sampling: f64,
    /// Radius of the soft sphere around a point, Å (-1: half of the sampling)
    #[arg(long, default_value_t = -1.0, value_parser = Range::between(0.5, 10_000.0).or(&[-1.0], "half of the sampling").real("Å"))]
    locres_maskrad: f64,
    /// Width of its edge, Å (-1: the sampling)
    #[arg(long, default_value_t = -1.0, value_parser = Range::between(0.0, 10_000.0).or(&[-1.0], "the sampling").real("Å"))]
    locres_edgwidth: f64,
    /// Randomise phases from this resolution on, Å
    #[arg(long, default_value_t = 25.0, value_parser = Range::RESOLUTION.real("Å"))]
    locres_randomize_at: f64,
    /// No local resolution is said to be lower, Å
    #[arg(long, default_value_t = 50.0, value_parser = Range::RESOLUTION.real("Å"))]
    locres_minres: f64,
    /// Refused
    #[arg(long, hide = true)]
    auto_mask: bool,
    /// Refused
    #[arg(long, hide = true)]
    ampl_corr: bool,
    /// Refused
    #[arg(long, hide = true, value_name = "STAR")]
    ios: Option<PathBuf>,
    /// Measure the local resolution on GPUs: all of them, or those of this list (as relion_refine --gpu)
    #[arg(long, num_args = 0..=1, value_name = "LIST")]
    gpu: Option<Option<String>>,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    fn refuse(&self, local: bool) -> Result<(), Failure> {
        refuse(&[
            (
                "--auto_mask",
                self.auto_mask,
                "make a mask with relion_mask_create and give it with --mask",
            ),
            (
                "--ampl_corr",
                self.ampl_corr,
                "leave it out; the FSC is computed without it",
            ),
            (
                "--ios",
                self.ios.is_some(),
                "tomography is no part of this program; give the half maps with --i and --i2",
            ),
            (
                "--gpu",
                self.gpu.is_some() && !local,
                "post-processing runs on the processor, on all cores; only local resolution (--locres) runs on cards; leave it out",
            ),
        ])
    }

    fn settings(&self) -> PostprocessSettings {
        PostprocessSettings {
            half2: self.i2.clone(),
            pixel_size: self.angpix.filter(|a| *a > 0.0),
            mask: self.mask.clone(),
            force_mask: self.force_mask,
            mtf: self.mtf.clone(),
            mtf_pixel_size: self.mtf_angpix.filter(|a| *a > 0.0),
            sharpening: match (self.auto_bfac, self.adhoc_bfac) {
                (true, _) => Sharpening::Fitted {
                    low: self.autob_lowres,
                    high: self.autob_highres,
                },
                (false, Some(b)) if b != 0.0 => Sharpening::Fixed(b),
                _ => Sharpening::None,
            },
            skip_weighting: self.skip_fsc_weighting,
            low_pass: self.low_pass,
            filter_edge: self.filter_edge_width,
            randomise_below: self.randomise_at_fsc,
            randomise_at: self.randomise_at.filter(|d| *d > 0.0),
            half_maps: self.half_maps,
            // Without a seed the C library's generator starts as with 1, which is what 0 means to it.
            seed: u32::try_from(self.random_seed).unwrap_or(0),
            molecular_weight: Some(self.molweight).filter(|m| *m > 0.0),
            command_line: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            ..PostprocessSettings::new(self.i.clone(), self.output.clone())
        }
    }
}

/// Runs the command. `only_local`: measure the local resolution, whether `--locres` is given or not.
pub fn run(arguments: &Arguments, only_local: bool) -> Result<(), Failure> {
    arguments.common.run(|| {
        let measures_locally = only_local || arguments.locres;
        arguments.refuse(measures_locally)?;
        if measures_locally {
            return local(arguments);
        }
        let settings = arguments.settings();
        hint(&settings, ".mrc");
        let found = {
            let _processing = progress(arguments).phase("Post-processing", 0);
            postprocess::run(&settings)?
        };
        for warning in &found.warnings {
            tell(&format!("WARNING: {warning}"));
        }
        if arguments.verb > 0 {
            report(arguments, &settings, &found);
        }
        Ok(())
    })
}

fn progress(arguments: &Arguments) -> Progress {
    match arguments.verb > 0 {
        true => Progress::Output,
        false => Progress::Silent,
    }
}

/// Tells of an output root that looks like a folder or a file. `ending` is that of one of the files.
fn hint(settings: &PostprocessSettings, ending: &str) {
    if let Some(text) = output_root::hint(&settings.output.to_string_lossy(), ending) {
        tell(&format!("WARNING: {text}"));
    }
}

fn local(arguments: &Arguments) -> Result<(), Failure> {
    refuse(&[(
        "--auto_bfac with --locres",
        arguments.auto_bfac,
        "give the B-factor that post-processing found with --adhoc_bfac",
    )])?;
    let settings = arguments.settings();
    hint(&settings, "_locres.mrc");
    let positive = |value: f64| Some(value).filter(|v| *v > 0.0);
    let given = LocalSettings {
        sampling: arguments.locres_sampling,
        mask_radius: positive(arguments.locres_maskrad),
        edge_width: Some(arguments.locres_edgwidth).filter(|w| *w >= 0.0),
        randomise_at: arguments.locres_randomize_at,
        lowest: arguments.locres_minres,
        gpu: arguments.gpu.clone().map(Option::unwrap_or_default),
    };
    let found = {
        let measuring = progress(arguments).phase("Measuring points", 0);
        local_resolution::run(&settings, &given, |done, all| measuring.reach(done, all))?
    };
    for warning in &found.warnings {
        tell(&format!("WARNING: {warning}"));
    }
    if arguments.verb == 0 {
        return Ok(());
    }
    if !found.cards.is_empty() {
        line("cards", found.cards.join(", "));
    }
    line("points measured", found.points.len());
    let mut values: Vec<f64> = found.points.iter().map(|p| p.resolution).collect();
    let of = match &found.inside {
        Some(inside) => {
            values.clone_from(inside);
            "voxels inside the mask"
        }
        None => "all points",
    };
    values.sort_by(f64::total_cmp);
    if let (Some(best), Some(worst)) = (values.first(), values.last()) {
        let median = values[values.len() / 2];
        let text = format!("{best:.2}, {median:.2}, {worst:.2} Angstroms");
        line("best, median, worst", format!("{text} ({of})"));
    }
    let file = |suffix: &str| format!("{}{suffix}", settings.output.display());
    line("Local resolution map", file("_locres.mrc"));
    line("Filtered map", file("_locres_filtered.mrc"));
    line("Metadata output file", file("_locres_fscs.star"));
    Ok(())
}

/// Prints a line of the report, its key in RELION's 35 columns.
fn line(key: &str, value: impl std::fmt::Display) {
    println!("{:<35}{value}", format!("  + {key}:"));
}

fn report(arguments: &Arguments, settings: &PostprocessSettings, found: &Postprocessed) {
    println!("== Reading input half-reconstructions: ");
    line("half1-map", settings.half1.display());
    line("half2-map", found.half2.display());
    if let (Some(mask), Some(fraction)) = (&settings.mask, found.mask_fraction) {
        println!("== Using a user-provided mask ... ");
        line("input mask", mask.display());
        line("share of the box in the mask", format!("{fraction:.5}"));
        let mass = mass_inside(fraction, found.extent);
        line(
            "molecular weight inside protein mask",
            format!(" {mass:.0}"),
        );
    }
    if let Some(from) = found.curves.randomised_from {
        let beyond = found.extent / from.max(1) as f64;
        line("randomize phases beyond", format!("{beyond:.4} Angstroms"));
    }
    if let Some(fit) = found.fit {
        println!("== Fitting straight line through Guinier plot to find B-factor ...");
        line("fit from resolution", arguments.autob_lowres);
        line("fit until resolution", arguments.autob_highres);
        line("slope of fit", format!("{:.4}", fit.slope));
        line("intercept of fit", format!("{:.4}", fit.intercept));
        line("correlation of fit", format!("{:.6}", fit.correlation));
    }
    line("apply b-factor of", format!("{:.3}", found.b_factor));
    println!("== Writing output files ...");
    let file = |suffix: &str| format!("{}{suffix}", settings.output.display());
    line("Processed map", file(".mrc"));
    if settings.mask.is_some() {
        line("Processed masked map", file("_masked.mrc"));
    }
    line("Metadata file", file(".star"));
    line("FINAL RESOLUTION", format!("{:.4}", found.resolution));
    if arguments.interpolate {
        match interpolated_resolution(&found.curves.corrected, found.extent) {
            Some(resolution) => line("INTERPOLATED RESOLUTION", format!("{resolution:.4}")),
            None => line("INTERPOLATED RESOLUTION", "none: no crossing of 0.143"),
        }
    }
}
