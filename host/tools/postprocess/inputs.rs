//! Inputs of post-processing and local resolution: two half maps, their pixel size, a mask.

use super::{PostprocessError, PostprocessSettings, with};
use crate::errors::{Code, Message};
use crate::formats::angstrom::Angstrom;
use crate::formats::mrc::Map;
use crate::formats::replace::{Content, check_map_output, check_output, check_place};
use crate::tools::density;
use crate::tools::fsc::pixel_size_of_both;
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// Maps as read and checked.
pub(crate) struct Inputs {
    /// Half maps.
    pub halves: [Array3<f64>; 2],
    /// File of half 2.
    pub half2: PathBuf,
    /// Å per voxel.
    pub pixel_size: f64,
    /// Of the same box, values from 0 to 1.
    pub mask: Option<Array3<f64>>,
    /// For the user.
    pub warnings: Vec<String>,
}

impl Inputs {
    /// Reads the maps that the settings name.
    pub(crate) fn read(settings: &PostprocessSettings) -> Result<Self, PostprocessError> {
        let half2 = match &settings.half2 {
            Some(path) => path.clone(),
            None => other_half(&settings.half1)?,
        };
        let mut warnings = Vec::new();
        let map1 = density::read_density(&settings.half1)?;
        let map2 = density::read_density(&half2)?;
        if settings.pixel_size.is_none() && map1.pixel_size.is_some() {
            let halves = [(settings.half1.as_path(), &map1), (half2.as_path(), &map2)];
            pixel_size_of_both(halves[0], halves[1]).map_err(|error| Message::of(&error))?;
        }
        let pixel_size = pixel_size(settings, &map1, &mut warnings)?;
        let halves = [map1.data.mapv(f64::from), map2.data.mapv(f64::from)];
        let n = halves[0].dim().0;
        let mut read = |path: &PathBuf| read_mask(path, &halves[0], map1.pixel_size, &mut warnings);
        let mask = settings.mask.as_ref().map(&mut read).transpose()?;
        if mask.as_ref().is_some_and(|m| m.dim() != halves[0].dim()) {
            return Err(Code::MAPS_DIFFER.says(format!(
                "the mask has another box than the half maps ({n} voxels a side); make one of the same size"
            )).into());
        }
        Ok(Self {
            halves,
            half2,
            pixel_size,
            mask,
            warnings,
        })
    }

    /// Side of the box, voxels.
    pub(crate) fn n(&self) -> usize {
        self.halves[0].dim().0
    }

    /// Returns the mean of the half maps.
    pub(crate) fn average(&self) -> Array3<f64> {
        (&self.halves[0] + &self.halves[1]) * 0.5
    }

    /// Refuses outputs (the root with these endings) that are inputs.
    pub(crate) fn check_outputs(
        &self,
        settings: &PostprocessSettings,
        suffixes: &[&str],
    ) -> Result<(), PostprocessError> {
        let mut files = vec![settings.half1.as_path(), &self.half2];
        files.extend(settings.mask.as_deref());
        files.extend(settings.mtf.as_deref());
        for suffix in suffixes {
            let output = with(&settings.output, suffix);
            if suffix.ends_with(".mrc") {
                check_map_output(&files, &output)?;
            } else {
                check_output(&files, &output)?;
                check_place(&output, Content::Table)?;
            }
        }
        Ok(())
    }
}

/// Returns the file name with `half1` and `half2` swapped.
pub(super) fn other_half(path: &Path) -> Result<PathBuf, PostprocessError> {
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
    if let Some(given) = settings.pixel_size {
        warnings.extend(density::other_pixel_size(&settings.half1, map, given));
        return Ok(given);
    }
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

/// Reads a mask, which is compared with a half map, and with the pixel size of its header.
fn read_mask(
    path: &Path,
    half: &Array3<f64>,
    pixel_size: Option<f64>,
    warnings: &mut Vec<String>,
) -> Result<Array3<f64>, PostprocessError> {
    let mut mask = density::read_mask(path)?;
    mask.compare_with(path, half, pixel_size);
    warnings.append(&mut mask.warnings);
    Ok(mask.map.data.mapv(f64::from))
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
}
