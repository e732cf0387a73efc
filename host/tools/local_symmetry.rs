//! Averaging of finished maps over their local symmetry, copies of their regions, and a search of its operators, as
//! `relion_localsym` makes them (spec 06 §2.4).

mod operators;
mod search;
mod voxels;

pub use operators::{Known, Refined, SearchSettings, refine};
pub use search::Rotations;

use super::density::read_density;
use crate::errors::{Code, Message, wrapping_error};
use crate::formats::mrc::{MrcError, write_map};
use crate::formats::replace::check_map_output;
use crate::formats::volume::read_map;
use crate::fourier::masks::soft_sphere;
use crate::geometry::euler;
use crate::maximization::local_averaging::{average, duplicate, moved};
use crate::model::local_symmetry::{LocalSymmetry, Operator, mask_files};
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

/// Options of a motion of a whole map (`--transform`).
#[derive(Debug, Clone)]
pub struct MotionSettings {
    /// The map.
    pub map: PathBuf,
    /// Map to write.
    pub output: PathBuf,
    /// Å per voxel; None: from the header.
    pub pixel_size: Option<f64>,
    /// Rot, tilt and psi, degrees.
    pub angles: [f64; 3],
    /// Shift after the rotation (x, y, z), Å.
    pub shift: [f64; 3],
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
    check_map_output(&inputs, &settings.output)?;
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
    let about = settings.map.as_ref().unwrap_or(&settings.description);
    let pixel_size = known(settings.pixel_size.or(like.1), about)?;
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

/// Returns the pixel size, or says that there is none.
fn known(pixel_size: Option<f64>, about: &Path) -> Result<f64, Message> {
    pixel_size.ok_or_else(|| {
        let text = "the header gives no pixel size, and shifts of local symmetry are in Å; give it with --angpix";
        Code::MAP_PIXEL_SIZE.says(text).about(about.display())
    })
}

/// Moves a map as an operator of local symmetry moves a region, and writes it.
///
/// # Errors
/// Files cannot be read or written; nothing tells the pixel size; the map would leave its box.
pub fn transform(settings: &MotionSettings) -> Result<(), LocalSymmetryError> {
    check_map_output(&[&settings.map], &settings.output)?;
    let read = read_density(&settings.map)?;
    let pixel_size = known(settings.pixel_size.or(read.pixel_size), &settings.map)?;
    let side = read.data.dim().0 as f64 * pixel_size;
    if !settings.shift.iter().all(|offset| offset.abs() < side) {
        let [x, y, z] = settings.shift;
        return Err(Code::BAD_VALUE
            .says(format!(
                "the shift ({x}, {y}, {z}) Å of --xoff, --yoff and --zoff moves the map out of its box of {side:.1} Å, so that nothing \
                 would be left: give smaller numbers"
            ))
            .into());
    }
    let [rot, tilt, psi] = settings.angles;
    let operator = Operator {
        rotation: euler::matrix(rot, tilt, psi),
        shift: settings.shift.map(|t| t / pixel_size),
    };
    let made = moved(&read.data.mapv(f64::from), &operator);
    write_map(&settings.output, made.mapv(|v| v as f32).view(), pixel_size)?;
    Ok(())
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

    /// Operators that `--search` found, near a known one and from masks alone, are written, read again, and put the copy where it is.
    #[test]
    fn operators_are_searched_for_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let n = 32;
        let blobs = |centres: &[[f64; 3]]| {
            ndarray::Array3::from_shape_fn((n, n, n), |(z, y, x)| {
                let at = [x, y, z].map(|i| i as f64 - (n / 2) as f64);
                let of_blob = |c: &[f64; 3]| {
                    let d2: f64 = (0..3).map(|i| (at[i] - c[i]).powi(2)).sum();
                    (-d2 / 4.5).exp()
                };
                centres.iter().map(of_blob).sum::<f64>() as f32
            })
        };
        let lump = [[-8.0, 1.0, 0.0], [-5.0, -3.0, 2.0], [-6.0, 3.0, -4.0]];
        let truth = Operator {
            rotation: euler::matrix(20.0, 60.0, 110.0),
            shift: [2.5, -1.0, 1.5],
        };
        let copy = lump.map(|blob| {
            let turned = euler::apply(&truth.rotation, blob);
            std::array::from_fn(|i| turned[i] + truth.shift[i])
        });
        let map = blobs(&[lump, copy].concat());
        write_map(&path("map.mrc"), map.view(), 2.0).unwrap();
        for (name, centres) in [("mask.mrc", &lump), ("mask_of_copy.mrc", &copy)] {
            let mask = blobs(centres).mapv(|v| if v > 0.05 { 1.0 } else { 0.0 });
            write_map(&path(name), mask.view(), 2.0).unwrap();
        }
        let head = "data_\n\nloop_\n_rlnMaskName\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n_rlnOriginYAngst\n\
                    _rlnOriginZAngst\n";
        let rough = format!("{head}mask.mrc 23 57 112 4 -3 4\n");
        std::fs::write(path("rough.star"), rough).unwrap();
        let near = SearchSettings {
            map: path("map.mrc"),
            known: Known::Operators(path("rough.star")),
            output: path("found.star"),
            pixel_size: None,
            binning: 1.0,
            rotations: Rotations::Within(6.0),
            angle_step: 2.0,
            offsets: [4.0; 3],
            offset_step: 2.0,
        };
        let masks = "data_\n\nloop_\n_rlnMaskName\n_rlnAreaId\nmask.mrc 1\nmask_of_copy.mrc 1\n";
        std::fs::write(path("masks.star"), masks).unwrap();
        let from_masks = SearchSettings {
            known: Known::Masks(path("masks.star")),
            binning: 1.6,
            rotations: Rotations::Within(0.0),
            angle_step: 15.0,
            offsets: [0.0; 3],
            offset_step: 1.0,
            ..near.clone()
        };
        for settings in [near, from_masks] {
            let found = refine(&settings, |_| {}).unwrap();
            assert!(found[0].correlation[1] > 0.98, "{found:?}");
            let read = LocalSymmetry::read(&path("found.star"), n, 2.0).unwrap();
            let operator = read.regions[0].operators[0];
            for (blob, copy) in lump.iter().zip(copy) {
                let turned = euler::apply(&operator.rotation, *blob);
                for i in 0..3 {
                    let error = (turned[i] + operator.shift[i] - copy[i]).abs();
                    assert!(error < 0.15, "{error} voxels, {found:?}");
                }
            }
        }
    }

    /// Voxels (z, y, x) of the map that `relion_localsym --transform` of RELION 3.1.3 writes.
    #[test]
    fn a_map_is_moved_as_by_the_reference_program() {
        let Some(golden) = material::golden("more") else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let settings = MotionSettings {
            map: golden.join("input/ref32_c1.mrc"),
            output: folder.path().join("moved.mrc"),
            pixel_size: Some(8.0),
            angles: [30.0, 50.0, -70.0],
            shift: [12.0, -8.0, 5.0],
        };
        transform(&settings).unwrap();
        let ours = read_map(&settings.output).unwrap().data;
        for (at, theirs) in [
            ([16, 16, 16], 0.073_433_19),
            ([13, 20, 17], 0.060_205_9),
            ([20, 14, 12], 0.119_443_394),
            ([10, 17, 22], 0.057_654_69),
            ([18, 9, 16], 0.000_467_631_35),
            ([22, 22, 20], -0.004_071_932),
            ([0, 0, 0], 0.0),
        ] {
            let error = (ours[at] - theirs).abs();
            assert!(error < 1e-6, "{at:?}: {} for {theirs}", ours[at]);
        }
    }
}
