//! From two unfiltered half maps to a sharpened map with its resolution: masked FSC corrected by phase randomisation,
//! detector MTF, FSC weighting, B-factor (spec 02 §7.1).

mod curves;
mod drawing;
mod figures;
mod filter;
mod inputs;
mod output;
mod phases;

pub(super) use curves::correct;
pub use curves::{Curves, interpolated_resolution, resolution_of_shell, resolution_shell};
pub(super) use drawing::{Curve, Drawing, eps, pdf};
pub(super) use figures::write_file;
pub use filter::GuinierFit;
pub(super) use filter::{Treatment, edge, fsc_weights};
pub(super) use inputs::Inputs;
pub use output::mass_inside;
pub(super) use output::{fraction, with, write_map_pair};
pub(super) use phases::randomise_phases_of_both;

use crate::errors::{Code, Coded, Message};
use crate::formats::mrc::MrcError;
use crate::formats::star::StarError;
use crate::fourier::fft::{forward3, inverse3};
use crate::maximization::MaximizationError;
use std::path::PathBuf;

/// Error of post-processing: on which file, why, what to try.
#[derive(Debug, thiserror::Error)]
pub enum PostprocessError {
    /// A map.
    #[error(transparent)]
    Map(#[from] MrcError),
    /// A STAR file.
    #[error(transparent)]
    Star(#[from] StarError),
    /// Maps that cannot be compared.
    #[error(transparent)]
    Shapes(#[from] MaximizationError),
    /// Another file.
    #[error("{path}: cannot be written: {source}")]
    Write {
        /// File concerned.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else, in words for the user.
    #[error(transparent)]
    Invalid(#[from] Message),
}

impl Coded for PostprocessError {
    fn code(&self) -> Code {
        match self {
            Self::Map(error) => error.code(),
            Self::Star(error) => error.code(),
            Self::Shapes(error) => error.code(),
            Self::Write { .. } => Code::CANNOT_WRITE,
            Self::Invalid(message) => message.code,
        }
    }
}

/// How the map is sharpened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sharpening {
    /// Not at all.
    None,
    /// By a given B-factor, Å² (negative sharpens).
    Fixed(f64),
    /// By the slope of the Guinier plot between two resolutions, Å.
    Fitted {
        /// Lowest resolution of the fit.
        low: f64,
        /// Highest resolution of the fit; 0 = as far as there is signal.
        high: f64,
    },
}

/// Options, named after those of `relion_postprocess`.
#[derive(Debug, Clone, PartialEq)]
pub struct PostprocessSettings {
    /// `--i`: unfiltered half 1.
    pub half1: PathBuf,
    /// `--i2`; by default the name of half 1 with `half1` and `half2` swapped.
    pub half2: Option<PathBuf>,
    /// `--o`: output root.
    pub output: PathBuf,
    /// `--angpix`, Å; by default that of the header.
    pub pixel_size: Option<f64>,
    /// `--mask`.
    pub mask: Option<PathBuf>,
    /// `--force_mask`: believe the mask even where it lowers the resolution.
    pub force_mask: bool,
    /// `--mtf`.
    pub mtf: Option<PathBuf>,
    /// `--mtf_angpix`, Å; by default the pixel size of the map.
    pub mtf_pixel_size: Option<f64>,
    /// `--auto_bfac` or `--adhoc_bfac`.
    pub sharpening: Sharpening,
    /// `--skip_fsc_weighting`.
    pub skip_weighting: bool,
    /// `--low_pass`, Å: 0 none, below 0 at the resolution found.
    pub low_pass: f64,
    /// `--filter_edge_width`, shells.
    pub filter_edge: usize,
    /// `--randomize_at_fsc`.
    pub randomise_below: f64,
    /// `--randomize_at_A`, Å.
    pub randomise_at: Option<f64>,
    /// `--half_maps`: also write the half maps, treated alike.
    pub half_maps: bool,
    /// `--random_seed`: seed of the C library's generator, which gives RELION's phases.
    pub seed: u32,
    /// `--molweight`: ordered mass, kDa.
    pub molecular_weight: Option<f64>,
    /// Words of the command, for the header of the STAR file.
    pub command_line: String,
}

impl PostprocessSettings {
    /// RELION's defaults for a half map and an output root.
    pub fn new(half1: PathBuf, output: PathBuf) -> Self {
        Self {
            half1,
            half2: None,
            output,
            pixel_size: None,
            mask: None,
            force_mask: false,
            mtf: None,
            mtf_pixel_size: None,
            sharpening: Sharpening::None,
            skip_weighting: false,
            low_pass: 0.0,
            filter_edge: 2,
            randomise_below: 0.8,
            randomise_at: None,
            half_maps: false,
            seed: 0,
            molecular_weight: None,
            command_line: String::new(),
        }
    }
}

/// Results of post-processing.
#[derive(Debug, Clone, PartialEq)]
pub struct Postprocessed {
    /// Final resolution, Å.
    pub resolution: f64,
    /// Side of the box, Å.
    pub extent: f64,
    /// The second half map.
    pub half2: PathBuf,
    /// FSC curves.
    pub curves: Curves,
    /// B-factor applied, Å².
    pub b_factor: f64,
    /// The fit behind it.
    pub fit: Option<GuinierFit>,
    /// Fraction of voxels with mask above 0.5.
    pub mask_fraction: Option<f64>,
    /// Log amplitudes per shell after each step.
    pub guinier: Vec<(&'static str, Vec<f64>)>,
    /// For the user.
    pub warnings: Vec<String>,
}

/// Reads the maps, post-processes them and writes the files of spec 02 §7.1: `<o>.mrc`, `<o>_masked.mrc`, `<o>.star`,
/// `<o>_fsc.xml`, `<o>_fsc.dat`, plots, and `logfile.pdf` beside them.
///
/// # Errors
/// A file cannot be read or written, maps do not fit each other, or the sharpening cannot be estimated.
pub fn run(settings: &PostprocessSettings) -> Result<Postprocessed, PostprocessError> {
    let inputs = Inputs::read(settings)?;
    inputs.check_outputs(settings, &[".mrc", "_masked.mrc", ".star"])?;
    let (n, pixel_size) = (inputs.n(), inputs.pixel_size);
    let mask = inputs.mask.as_ref();
    let mut warnings = inputs.warnings.clone();
    let curves = Curves::new(&inputs.halves, mask, settings, pixel_size, &mut warnings)?;
    let shell = resolution_shell(&curves.corrected);
    if shell == 0 {
        warnings.push(
            "the FSC is below 0.143 from the first shell on: the half maps have nothing in common, and the resolution of \
             999 A stands for none"
                .into(),
        );
    }
    let resolution = resolution_of_shell(shell, n as f64 * pixel_size);
    let mut treatment = Treatment::new(settings, &curves.corrected, n, pixel_size, resolution)?;
    let mut transform = forward3(&inputs.average());
    let guinier = treatment.apply(&mut transform, &mut warnings)?;
    let sharpened = inverse3(transform, n);
    let found = Postprocessed {
        resolution,
        extent: n as f64 * pixel_size,
        half2: inputs.half2.clone(),
        b_factor: treatment.b_factor(),
        fit: treatment.fit(),
        mask_fraction: mask.map(fraction),
        curves,
        guinier,
        warnings,
    };
    write_map_pair(&settings.output, "", &sharpened, mask, pixel_size)?;
    if settings.half_maps {
        for (name, half) in ["_half1", "_half2"].into_iter().zip(&inputs.halves) {
            let mut transform = forward3(half);
            treatment.repeat(&mut transform);
            let map = inverse3(transform, n);
            write_map_pair(&settings.output, name, &map, mask, pixel_size)?;
        }
    }
    output::write_tables(settings, &found)?;
    figures::write(settings, &found)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::star::Document;
    use std::io::Read;

    /// The final half maps of the reference run on real images: its resolution without a mask, and all files.
    #[test]
    fn reference_half_maps_give_the_files_and_a_plausible_resolution() {
        let Some(reference) = material::golden("refine3d_bgal_real") else {
            return;
        };
        let half1 = reference.join("run_half1_class001_unfil.mrc");
        let folder = tempfile::tempdir().unwrap();
        let mut settings = PostprocessSettings::new(half1, folder.path().join("postprocess"));
        settings.sharpening = Sharpening::Fitted {
            low: 15.0,
            high: 0.0,
        };
        settings.low_pass = -1.0;
        settings.half_maps = true;
        let found = run(&settings).unwrap();
        assert!(
            (7.0..12.0).contains(&found.resolution),
            "{}",
            found.resolution
        );
        assert!(found.b_factor < 0.0, "{}", found.b_factor);
        for name in [
            ".mrc",
            ".star",
            "_fsc.xml",
            "_fsc.dat",
            "_half1.mrc",
            "_half2.mrc",
            "_fsc.eps",
            "_guinier.eps",
        ] {
            let file = folder.path().join(format!("postprocess{name}"));
            assert!(file.exists(), "{name}");
        }
        let star =
            crate::formats::star::Document::read(&folder.path().join("postprocess.star")).unwrap();
        let general = star.require("general").unwrap();
        let stated = general.real(0, "rlnFinalResolution").unwrap();
        assert!((stated - found.resolution).abs() < 1e-5);
        assert_eq!(star.require("fsc").unwrap().len(), 33);
        assert!(
            star.require("guinier")
                .unwrap()
                .has("rlnLogAmplitudesSharpened")
        );
    }

    /// Every column, and every figure of the general table, of RELION 5.0.1 on the same half maps with a mask (golden
    /// run `more/post`): FSC within 1e-3, log amplitudes within 0.01, B-factor within 1 %.
    #[test]
    fn agrees_with_the_reference_run_column_by_column() {
        let (Some(run4), Some(post)) = (
            material::golden("refine3d_c4"),
            material::golden("more/post"),
        ) else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let packed = std::fs::File::open(post.join("mask.mrc.gz")).unwrap();
        let mut mask = Vec::new();
        flate2::read::GzDecoder::new(packed)
            .read_to_end(&mut mask)
            .unwrap();
        let mask_file = folder.path().join("mask.mrc");
        std::fs::write(&mask_file, mask).unwrap();
        let half1 = run4.join("run_half1_class001_unfil.mrc");
        let mut settings = PostprocessSettings::new(half1, folder.path().join("post"));
        settings.mask = Some(mask_file);
        settings.pixel_size = Some(4.0);
        settings.sharpening = Sharpening::Fitted {
            low: 20.0,
            high: 0.0,
        };
        run(&settings).unwrap();
        let ours = Document::read(&folder.path().join("post.star")).unwrap();
        let theirs = Document::read(&post.join("post.star")).unwrap();
        for (table, bound) in [("fsc", 1e-3), ("guinier", 0.01)] {
            let (a, b) = (ours.require(table).unwrap(), theirs.require(table).unwrap());
            assert_eq!(a.labels(), b.labels());
            assert_eq!(a.len(), b.len());
            for label in b.labels() {
                let (a, b) = (a.real_column(label).unwrap(), b.real_column(label).unwrap());
                for (s, (a, b)) in a.iter().zip(&b).enumerate() {
                    assert!((a - b).abs() < bound, "{label} row {s}: {a} for {b}");
                }
            }
        }
        let (a, b) = (
            ours.require("general").unwrap(),
            theirs.require("general").unwrap(),
        );
        assert_eq!(a.labels(), b.labels());
        for label in b.labels() {
            let Ok(b) = b.real(0, label) else { continue };
            let a = a.real(0, label).unwrap();
            assert!((a / b - 1.0).abs() < 0.01, "{label}: {a} for {b}");
        }
    }
}
