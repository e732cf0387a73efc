//! Masks of the solvent, made to fit the references (spec 01 §2.10, spec 02 §6.1–6.2).

use super::error::RunError;
use super::references::{resample, window};
use super::settings::Settings;
use crate::errors::Code;
use crate::formats::{mrc, volume};
use crate::fourier::shells::round;
use crate::maximization::{Flattening, LowPass};
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// Pixel sizes that differ by less are the same (Å).
const SAME_PIXEL: f64 = 0.001;

/// Masks of a run, at the box and pixel size of the references.
pub struct Solvent {
    enabled: bool,
    flattening: Flattening,
}

impl Solvent {
    /// Read the masks of `settings`, make them fit the references (box, Å per pixel) and their values lie in [0, 1].
    /// Masks that had to be changed are written beside the output, and `settings` name these files from then on.
    /// Returns warnings for the user.
    pub fn read(
        settings: &mut Settings,
        box_size: usize,
        pixel_size: f64,
        diameter: f64,
    ) -> Result<(Self, Vec<String>), RunError> {
        let mut warnings = Vec::new();
        let root = settings.output_root.clone();
        let mut load = |path: &mut Option<PathBuf>, saved: &str| {
            path.as_mut()
                .map(|path| {
                    let saved = PathBuf::from(format!("{root}_{saved}.mrc"));
                    read_mask(path, &saved, box_size, pixel_size, &mut warnings)
                })
                .transpose()
        };
        let mask = load(&mut settings.solvent_mask, "solvent_mask")?;
        let second = load(&mut settings.solvent_mask2, "solvent2")?;
        let mut low_pass = None;
        if let Some((path, resolution)) = &settings.lowpass_mask {
            let mut path = Some(path.clone());
            let filter = LowPass {
                resolution: *resolution,
                pixel_size,
            };
            low_pass = load(&mut path, "lowpass_mask")?.map(|mask| (mask, filter));
        }
        let solvent = Self {
            enabled: settings.flatten_solvent,
            flattening: Flattening {
                radius: diameter / (2.0 * pixel_size),
                edge: settings.mask_edge,
                mask,
                second,
                low_pass,
            },
        };
        Ok((solvent, warnings))
    }

    /// The first mask, for solvent-corrected FSC.
    pub fn mask(&self) -> Option<&Array3<f64>> {
        self.flattening.mask.as_ref()
    }

    /// How the solvent of new maps is flattened; None without `--flatten_solvent`.
    pub fn flattening(&self) -> Option<&Flattening> {
        self.enabled.then_some(&self.flattening)
    }
}

fn read_mask(
    path: &mut PathBuf,
    saved: &Path,
    box_size: usize,
    pixel_size: f64,
    warnings: &mut Vec<String>,
) -> Result<Array3<f64>, RunError> {
    let file = volume::read_map(path)?;
    let (z, y, x) = file.data.dim();
    if z != y || y != x || x % 2 != 0 {
        return Err(Code::MAP_SHAPE.says(format!(
            "{}: the mask has {x} × {y} × {z} voxels (x × y × z) but must be a cube with an even side. Crop or pad it.",
            path.display()
        )).into());
    }
    let mut mask = file.data.mapv(f64::from);
    let own = file.pixel_size.filter(|&a| a > 0.0).unwrap_or(pixel_size);
    let mut changed = false;
    if (own - pixel_size).abs() > SAME_PIXEL {
        let side = round(x as f64 * own / pixel_size) as usize;
        mask = resample(&mask, side + side % 2);
        changed = true;
        warnings.push(format!(
            "{}: the mask has pixels of {own} Å, the references {pixel_size} Å: it was rescaled.",
            path.display()
        ));
    }
    if mask.dim().0 != box_size {
        mask = window(&mask, box_size);
        changed = true;
        warnings.push(format!(
            "{}: the mask has another box than the references ({box_size} pixels): it was cropped or padded.",
            path.display()
        ));
    }
    if mask.iter().any(|v| !(0.0..=1.0).contains(v)) {
        mask.mapv_inplace(|v| if v > 0.0 { v.min(1.0) } else { 0.0 });
        changed = true;
        warnings.push(format!(
            "{}: the mask has values outside [0, 1]: they were clipped.",
            path.display()
        ));
    }
    if changed {
        mrc::write_map(saved, mask.mapv(|v| v as f32).view(), pixel_size)?;
        *path = saved.to_path_buf();
    }
    Ok(mask)
}
