//! Averaging of finished maps over their local symmetry, and copies of their regions, as `relion_localsym` makes them
//! (spec 06 §2.4).

use super::density::read_density;
use crate::errors::{Code, wrapping_error};
use crate::formats::mrc::{MrcError, write_map};
use crate::formats::replace::check_output;
use crate::formats::volume::read_map;
use crate::fourier::masks::soft_sphere;
use crate::maximization::local_averaging::{average, duplicate};
use crate::model::local_symmetry::{LocalSymmetry, mask_files};
use std::path::{Path, PathBuf};

wrapping_error! {
    /// Error of local symmetry: on which file, why, what to try.
    pub enum LocalSymmetryError {
        /// A map.
        Map(MrcError),
    }
}

/// Operation on a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Regions and their copies become their mean (`--apply`).
    Average,
    /// The density under the masks, and copies of it (`--duplicate`).
    Copy,
}

/// Options of a run.
#[derive(Debug, Clone)]
pub struct LocalSymmetrySettings {
    /// Operation to do.
    pub action: Action,
    /// The map; None for copies of the masks alone.
    pub map: Option<PathBuf>,
    /// Masks and operators.
    pub description: PathBuf,
    /// Map to write.
    pub output: PathBuf,
    /// Å per voxel; None: from the header.
    pub pixel_size: Option<f64>,
    /// Diameter of a soft sphere as a share of the box, and the width of its edge in voxels: what lies outside of it in an
    /// averaged map becomes 0.
    pub sphere: Option<(f64, f64)>,
}

/// A region that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionDone {
    /// Its mask.
    pub mask: PathBuf,
    /// Copies beside the original.
    pub copies: usize,
}

/// Results of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSymmetryDone {
    /// In the order of the description file.
    pub regions: Vec<RegionDone>,
}

/// Averages a map, or copies its regions, and writes the result.
///
/// # Errors
/// Files cannot be read or written, or do not fit together; nothing tells the pixel size.
pub fn run(settings: &LocalSymmetrySettings) -> Result<LocalSymmetryDone, LocalSymmetryError> {
    let masks = mask_files(&settings.description)?;
    let mut inputs: Vec<&Path> = masks.iter().map(PathBuf::as_path).collect();
    inputs.push(&settings.description);
    inputs.extend(settings.map.as_deref());
    check_output(&inputs, &settings.output)?;
    let read = match &settings.map {
        Some(path) => Some(read_density(path)?),
        None => None,
    };
    let like = match &read {
        Some(map) => (map.data.dim().0, map.pixel_size),
        None => {
            let first = read_map(&masks.first().cloned().unwrap_or_default())?;
            (first.data.dim().0, first.pixel_size)
        }
    };
    let Some(pixel_size) = settings.pixel_size.or(like.1) else {
        let text = "the header gives no pixel size, and shifts of local symmetry are in Å; give it with --angpix";
        let about = settings.map.as_ref().unwrap_or(&settings.description);
        return Err(Code::MAP_PIXEL_SIZE
            .says(text)
            .about(about.display())
            .into());
    };
    let symmetry = LocalSymmetry::read(&settings.description, like.0, pixel_size)?;
    let map = read.map(|map| map.data.mapv(f64::from));
    let made = match (settings.action, &map) {
        (Action::Average, Some(map)) => {
            let mut averaged = average(map, &symmetry);
            if let Some((share, width)) = settings.sphere {
                soft_sphere(&mut averaged, share * like.0 as f64 / 2.0, width);
            }
            averaged
        }
        (Action::Average, None) => {
            let text = "--apply averages a map, and none is given; give it with --i_map";
            return Err(Code::MISSING_OPTION.says(text).into());
        }
        (Action::Copy, map) => duplicate(map.as_ref(), &symmetry),
    };
    write_map(&settings.output, made.mapv(|v| v as f32).view(), pixel_size)?;
    let done = symmetry.regions.into_iter().map(|region| RegionDone {
        mask: region.mask_file,
        copies: region.operators.len(),
    });
    Ok(LocalSymmetryDone {
        regions: done.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command applied to the map of the reference run without local symmetry gives that of the run with it.
    #[test]
    fn a_map_is_averaged_as_in_the_reference_run() {
        let Some(golden) = material::golden("more") else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut settings = LocalSymmetrySettings {
            action: Action::Average,
            map: Some(golden.join("localsym_off/run_it001_class001.mrc")),
            description: golden.join("input/localsym.star"),
            output: folder.path().join("averaged.mrc"),
            pixel_size: None,
            sphere: None,
        };
        let done = run(&settings).unwrap();
        let copies: Vec<usize> = done.regions.iter().map(|region| region.copies).collect();
        assert_eq!(copies, [2, 1]);
        let ours = read_map(&settings.output).unwrap().data.mapv(f64::from);
        let theirs = read_map(&golden.join("localsym_on/run_it001_class001.mrc")).unwrap();
        let theirs = theirs.data.mapv(f64::from);
        let square = |a: &ndarray::Array3<f64>| a.iter().map(|v| v * v).sum::<f64>();
        let error = (square(&(&ours - &theirs)) / square(&theirs)).sqrt();
        assert!(error < 1e-7, "relative L2 {error:e}");
        settings.sphere = Some((0.5, 3.0));
        run(&settings).unwrap();
        let inside = read_map(&settings.output).unwrap().data;
        assert_eq!(inside[[16, 16, 28]], 0.0);
        assert!((f64::from(inside[[16, 16, 20]]) - ours[[16, 16, 20]]).abs() < 1e-6);
        settings.action = Action::Copy;
        settings.map = None;
        run(&settings).unwrap();
        let masks = read_map(&settings.output).unwrap().data;
        let one = read_map(&golden.join("input/mask_su.mrc")).unwrap().data;
        assert!(masks.sum() > 2.5 * one.sum());
    }
}
