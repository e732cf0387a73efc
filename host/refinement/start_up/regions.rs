//! The masks and the map of dynamic signal subtraction, and the mask of the FSC, made to fit the references (spec 06 §9.2).

use crate::dataset::ParticleSet;
use crate::errors::Code;
use crate::formats::angstrom::Angstrom;
use crate::formats::volume;
use crate::model::regions::{Regions, Unwanted};
use crate::model::{map_checks, mask_checks};
use crate::refinement::error::RunError;
use crate::refinement::settings::Settings;
use crate::refinement::start_up::solvent_masks::{SAME_PIXEL, read_mask};
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// Columns of the orientations that an unwanted signal is projected with.
const ANGLES: [&str; 3] = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"];

/// Contents of the files of the options.
pub(crate) struct RegionFiles {
    /// Of `--red_mask` and its counterpart.
    pub regions: Option<Regions>,
    /// Of `--fsc_mask`.
    pub fsc_mask: Option<Array3<f64>>,
    /// For the user.
    pub warnings: Vec<String>,
}

impl RegionFiles {
    /// Reads the files of `settings`. Masks are made to fit the references, written beside the output where they had to be changed,
    /// and `settings` name these files from then on. `reference` is the first of the references, with voxels of `pixel_size` Å.
    ///
    /// # Errors
    /// Files that cannot be read, masks that cannot be right, and a map of another box or pixel size.
    pub(crate) fn read(
        settings: &mut Settings,
        particles: &ParticleSet,
        reference: &Array3<f64>,
        pixel_size: f64,
    ) -> Result<Self, RunError> {
        let mut warnings = Vec::new();
        let root = settings.output_root.clone();
        let mut mask = |path: &mut Option<PathBuf>, saved: &str| {
            let Some(path) = path else { return Ok(None) };
            let saved = PathBuf::from(format!("{root}_{saved}.mrc"));
            let name = path.clone();
            let mask = read_mask(path, &saved, reference.dim(), pixel_size, &mut warnings)?;
            // Any part of the particle may be meant, but not nothing.
            warnings.extend(mask_checks::region(&name, &mask, reference, "reference"));
            Ok::<_, RunError>(Some(mask))
        };
        let options = &mut settings.regions;
        let wanted = mask(&mut options.wanted_mask, "red_mask")?;
        let unwanted = mask(&mut options.unwanted_mask, "yellow_mask")?;
        let fsc_mask = mask(&mut options.fsc_mask, "fsc_mask")?;
        let unwanted = match (unwanted, &options.unwanted_map) {
            (Some(mask), _) => Some(Unwanted::Mask(mask)),
            (None, Some(path)) => Some(Unwanted::Map(unwanted_map(path, reference, pixel_size)?)),
            (None, None) => None,
        };
        let aligned = ANGLES.iter().all(|label| particles.has_column(label));
        Ok(Self {
            regions: wanted.zip(unwanted).map(|(wanted, unwanted)| Regions {
                wanted,
                unwanted,
                from_iteration: if aligned { 1 } else { 2 },
            }),
            fsc_mask,
            warnings,
        })
    }
}

/// Reads the map of `--yellow_map`, which stays as it is: another box or pixel size would change its grey values.
fn unwanted_map(
    path: &Path,
    reference: &Array3<f64>,
    pixel_size: f64,
) -> Result<Array3<f64>, RunError> {
    let box_size = reference.dim().1;
    let file = volume::read_reference_if(path, &|size| map_checks::size(size, box_size))?;
    let (z, y, x) = file.data.dim();
    if file.data.dim() != reference.dim() {
        return Err(Code::MAP_SHAPE
            .says(format!(
                "{}: the map of --yellow_map has {x} × {y} × {z} voxels (x × y × z), but the references have \
                 {box_size} × {box_size} × {box_size}. Crop or pad it to their box.",
                path.display()
            ))
            .into());
    }
    if let Some(own) = file.pixel_size.filter(|&own| own > 0.0)
        && (own - pixel_size).abs() > SAME_PIXEL
    {
        return Err(Code::MAP_SHAPE
            .says(format!(
                "{}: the map of --yellow_map has voxels of {} Å, but the references have voxels of {} Å. Rescale it, with its grey \
                 values on the scale of the images.",
                path.display(),
                Angstrom(own),
                Angstrom(pixel_size)
            ))
            .into());
    }
    map_checks::finite(
        path,
        &file.data,
        "map",
        "Give a map whose values are all numbers",
    )?;
    let map = file.data.mapv(f64::from);
    map_checks::grey_scale(path, &map, "map", map_checks::GREYS)?;
    match map_checks::contrast(path, &map, map_checks::OTHER_REFERENCE) {
        Ok(()) => Ok(map),
        Err(_) => Err(Code::MAP_VALUES
            .says(format!(
                "{}: all voxels of the map of --yellow_map are {}, so that it holds no signal to subtract. Give a map with density.",
                path.display(),
                map[[0, 0, 0]]
            ))
            .into()),
    }
}
