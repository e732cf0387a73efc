//! From two unfiltered half maps to a sharpened map with its resolution: masked FSC corrected by phase randomisation,
//! detector MTF, FSC weighting, B-factor (spec 02 §7.1).

mod curves;
mod filter;
mod output;

pub use curves::{Curves, resolution_shell};
pub use filter::GuinierFit;

use super::density;
use crate::errors::{Code, Coded, Message};
use crate::formats::angstrom::Angstrom;
use crate::formats::mrc::{Map, MrcError};
use crate::formats::star::StarError;
use crate::fourier::fft::{forward3, inverse3};
use crate::maximization::MaximizationError;
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// What went wrong in post-processing: on which file, why, what to try.
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
    /// `--random_seed`.
    pub seed: u64,
}

/// What post-processing found.
#[derive(Debug, Clone, PartialEq)]
pub struct Postprocessed {
    /// Final resolution, Å.
    pub resolution: f64,
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

/// Read the maps, post-process them and write `<o>.mrc`, `<o>_masked.mrc`, `<o>.star`, `<o>_fsc.xml` and `<o>_fsc.dat`.
pub fn run(settings: &PostprocessSettings) -> Result<Postprocessed, PostprocessError> {
    let second = match &settings.half2 {
        Some(path) => path.clone(),
        None => other_half(&settings.half1)?,
    };
    let mut warnings = Vec::new();
    let (map1, map2) = (
        density::read_density(&settings.half1)?,
        density::read_density(&second)?,
    );
    let pixel_size = pixel_size(settings, &map1, &mut warnings)?;
    let halves = [map1.data.mapv(f64::from), map2.data.mapv(f64::from)];
    let n = halves[0].dim().0;
    let mut read = |path: &PathBuf| read_mask(path, &halves[0], &mut warnings);
    let mask = settings.mask.as_ref().map(&mut read).transpose()?;
    if mask.as_ref().is_some_and(|m| m.dim() != halves[0].dim()) {
        return Err(Code::MAPS_DIFFER.says(format!(
            "the mask has another box than the half maps ({n} voxels a side); make one of the same size"
        )).into());
    }
    let curves = Curves::new(&halves, mask.as_ref(), settings, pixel_size, &mut warnings)?;
    let shell = resolution_shell(&curves.corrected);
    if shell == 0 {
        warnings.push(
            "the FSC is below 0.143 from the first shell on: the half maps have nothing in common, and the resolution of \
             999 A stands for none"
                .into(),
        );
    }
    let resolution = match shell {
        0 => 999.0,
        s => n as f64 * pixel_size / s as f64,
    };
    let average = (&halves[0] + &halves[1]) * 0.5;
    let mut treatment =
        filter::Treatment::new(settings, &curves.corrected, n, pixel_size, resolution)?;
    let mut transform = forward3(&average);
    let guinier = treatment.apply(&mut transform, &mut warnings)?;
    let sharpened = inverse3(transform, n);
    let found = Postprocessed {
        resolution,
        b_factor: treatment.b_factor(),
        fit: treatment.fit(),
        mask_fraction: mask.as_ref().map(fraction),
        curves,
        guinier,
        warnings,
    };
    output::write_map_pair(&settings.output, "", &sharpened, mask.as_ref(), pixel_size)?;
    if settings.half_maps {
        for (name, half) in ["_half1", "_half2"].into_iter().zip(&halves) {
            let mut transform = forward3(half);
            treatment.repeat(&mut transform);
            let map = inverse3(transform, n);
            output::write_map_pair(&settings.output, name, &map, mask.as_ref(), pixel_size)?;
        }
    }
    output::write_tables(settings, &second, &found, n, pixel_size)?;
    Ok(found)
}

/// `half1` and `half2` swapped in the file name.
fn other_half(path: &Path) -> Result<PathBuf, PostprocessError> {
    let text = path.display().to_string();
    for (this, other) in [("half1", "half2"), ("half2", "half1")] {
        if let Some(at) = text.rfind(this) {
            let mut name = text.clone();
            name.replace_range(at..at + this.len(), other);
            return Ok(name.into());
        }
    }
    Err(Code::MAPS_DIFFER.says(format!(
        "{text}: the name holds neither half1 nor half2, so the other half map is not known; give it with --i2"
    )).into())
}

fn pixel_size(
    settings: &PostprocessSettings,
    map: &Map,
    warnings: &mut Vec<String>,
) -> Result<f64, PostprocessError> {
    match settings.pixel_size {
        Some(given) => Ok(given),
        None => {
            let found = map.pixel_size.ok_or_else(|| {
                Code::MAP_PIXEL_SIZE.says(format!(
                    "{}: the header names no pixel size; give --angpix",
                    settings.half1.display()
                ))
            })?;
            warnings.push(format!(
                "pixel size {} Å taken from the header of {}",
                Angstrom(found),
                settings.half1.display()
            ));
            Ok(found)
        }
    }
}

/// Reads a mask, which is compared with a half map.
fn read_mask(
    path: &Path,
    half: &Array3<f64>,
    warnings: &mut Vec<String>,
) -> Result<Array3<f64>, PostprocessError> {
    let mut mask = density::read_mask(path)?;
    if mask.clipped {
        return Err(Code::MAP_VALUES
            .says(format!(
                "{}: the mask has values below 0 or above 1, but masks go from 0 to 1; make it again, for example with \
                 relion_mask_create",
                path.display()
            ))
            .into());
    }
    mask.compare_with(path, half);
    warnings.append(&mut mask.warnings);
    Ok(mask.map.data.mapv(f64::from))
}

fn fraction(mask: &Array3<f64>) -> f64 {
    mask.iter().filter(|v| **v > 0.5).count() as f64 / mask.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_half_is_found_by_name() {
        let name = |text: &str| other_half(Path::new(text)).map(|p| p.display().to_string());
        assert_eq!(
            name("a_half1/run_half1_class001_unfil.mrc").unwrap(),
            "a_half1/run_half2_class001_unfil.mrc"
        );
        assert_eq!(name("x_half2.mrc").unwrap(), "x_half1.mrc");
        assert!(name("map.mrc").unwrap_err().to_string().contains("--i2"));
    }

    /// The final half maps of the reference run on real images: its resolution without a mask, and all files.
    #[test]
    fn reference_half_maps_give_the_files_and_a_plausible_resolution() {
        let Some(reference) = material::golden("refine3d_bgal_real") else {
            return;
        };
        let half1 = reference.join("run_half1_class001_unfil.mrc");
        let folder = tempfile::tempdir().unwrap();
        let settings = PostprocessSettings {
            half1,
            half2: None,
            output: folder.path().join("postprocess"),
            pixel_size: None,
            mask: None,
            force_mask: false,
            mtf: None,
            mtf_pixel_size: None,
            sharpening: Sharpening::Fitted {
                low: 15.0,
                high: 0.0,
            },
            skip_weighting: false,
            low_pass: -1.0,
            filter_edge: 2,
            randomise_below: 0.8,
            randomise_at: None,
            half_maps: true,
            seed: 0,
        };
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
}
