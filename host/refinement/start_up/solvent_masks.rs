//! Masks of the solvent, made to fit the references (spec 01 §2.10, spec 02 §6.1–6.2).

use crate::errors::Code;
use crate::formats::angstrom::Angstrom;
use crate::formats::{mrc, volume};
use crate::fourier::resample::resample;
use crate::fourier::{shape::Dimensions, shells::round, window::window_map};
use crate::maximization::{Flattening, LowPass};
use crate::model::{map_checks, mask_checks};
use crate::refinement::error::RunError;
use crate::refinement::settings::Settings;
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// A mask without a voxel above this lets nothing through, whatever its scale.
const LEAST_INSIDE: f64 = 1e-6;

/// Pixel sizes that differ by less are the same (Å).
pub(crate) const SAME_PIXEL: f64 = 0.001;

/// Masks of a run, at the box and pixel size of the references.
pub struct Solvent {
    enabled: bool,
    flattening: Flattening,
}

impl Solvent {
    /// Read the masks of `settings`, make them fit the references (box, Å per pixel) and their values lie in [0, 1].
    /// Masks that had to be changed are written beside the output, and `settings` name these files from then on.
    /// `reference` is the first of the references. Returns warnings for the user.
    ///
    /// # Errors
    /// Files that cannot be read, and masks that cannot be right ([`mask_checks::mask`]).
    pub fn read(
        settings: &mut Settings,
        reference: &Array3<f64>,
        pixel_size: f64,
        diameter: f64,
    ) -> Result<(Self, Vec<String>), RunError> {
        let shape = reference.dim();
        let mut warnings = unused(settings);
        let root = settings.output_root.clone();
        let mut load = |path: &mut Option<PathBuf>, saved: &str| {
            path.as_mut()
                .map(|path| {
                    let saved = PathBuf::from(format!("{root}_{saved}.mrc"));
                    read_mask(path, &saved, shape, pixel_size, &mut warnings)
                })
                .transpose()
        };
        let mask_name = settings.solvent_mask.clone();
        let mask = load(&mut settings.solvent_mask, "solvent_mask")?;
        let second_name = settings.solvent_mask2.clone();
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
        if let (Some(path), Some(mask)) = (&mask_name, &mask) {
            warnings.extend(mask_checks::region(path, mask, reference, "reference"));
        }
        // The others may cover little of the particle: the hollow of a virus, a micelle.
        let low_pass_name = settings.lowpass_mask.as_ref().map(|(path, _)| path);
        let others = [
            second_name.as_ref().zip(second.as_ref()),
            low_pass_name.zip(low_pass.as_ref().map(|(mask, _)| mask)),
        ];
        for (path, mask) in others.into_iter().flatten() {
            warnings.extend(mask_checks::inside(path, mask));
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

/// Warnings about masks that nothing uses.
fn unused(settings: &Settings) -> Vec<String> {
    if settings.flatten_solvent {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let mut warn = |option: &str, path: &Path| {
        warnings.push(format!(
            "{option} {} has no effect without --flatten_solvent: maps stay unmasked.",
            path.display()
        ));
    };
    if let Some(mask) = settings
        .solvent_mask
        .as_ref()
        .filter(|_| !settings.solvent_correct_fsc)
    {
        warn("--solvent_mask", mask);
    }
    if let Some(mask) = &settings.solvent_mask2 {
        warn("--solvent_mask2", mask);
    }
    if let Some((mask, _)) = &settings.lowpass_mask {
        warn("--lowpass_mask", mask);
    }
    warnings
}

/// Reads a mask and makes it fit references of this shape and of voxels of `pixel_size` Å. One that had to be changed is written to
/// `saved`, and `path` names that file from then on.
pub(crate) fn read_mask(
    path: &mut PathBuf,
    saved: &Path,
    (sections, box_size, _): (usize, usize, usize),
    pixel_size: f64,
    warnings: &mut Vec<String>,
) -> Result<Array3<f64>, RunError> {
    let file = volume::read_reference_if(path, &|size| map_checks::size(size, box_size))?;
    let (z, y, x) = file.data.dim();
    let dimensions = Dimensions::of_sections(sections);
    if z != dimensions.sections(x) || y != x || x % 2 != 0 {
        let needed = match dimensions {
            Dimensions::Two => "one square image, as the class averages are,",
            Dimensions::Three => "a cube",
        };
        return Err(Code::MAP_SHAPE.says(format!(
            "{}: the mask has {x} × {y} × {z} voxels (x × y × z) but must be {needed} with an even side. Crop or pad it.",
            path.display()
        )).into());
    }
    let (mut mask, mut changed, found) = mask_checks::mask(path, file.data.mapv(f64::from))?;
    warnings.extend(found);
    warnings.extend(file.warnings);
    let own = file.pixel_size.filter(|&a| a > 0.0).unwrap_or_else(|| {
        warnings.push(format!(
            "{}: the header of the mask gives no pixel size, so that of the references, {} Å, is taken.",
            path.display(),
            Angstrom(pixel_size)
        ));
        pixel_size
    });
    if (own - pixel_size).abs() > SAME_PIXEL {
        let side = round(x as f64 * own / pixel_size) as usize;
        mask = resample(&mask, side + side % 2);
        changed = true;
        warnings.push(format!(
            "{}: the mask has pixels of {} Å, the references {} Å: it was rescaled.",
            path.display(),
            Angstrom(own),
            Angstrom(pixel_size)
        ));
    }
    if mask.dim().1 != box_size {
        mask = window_map(&mask, box_size);
        changed = true;
        warnings.push(format!(
            "{}: the mask has another box than the references ({box_size} pixels): it was cropped or padded.",
            path.display()
        ));
    }
    if changed && !mask.iter().any(|&v| v > LEAST_INSIDE) {
        return Err(Code::EMPTY_MASK
            .says(format!(
                "{}: nothing of the mask is left when its pixels of {} Å are brought to the {} Å and the box of the references. Is the \
                 pixel size in its header right?",
                path.display(),
                Angstrom(own),
                Angstrom(pixel_size)
            ))
            .into());
    }
    if changed {
        // Rescaling rings a little beyond both ends.
        mask.mapv_inplace(|v| v.clamp(0.0, 1.0));
        mrc::write_map(saved, mask.mapv(|v| v as f32).view(), pixel_size)?;
        *path = saved.to_path_buf();
    }
    Ok(mask)
}
