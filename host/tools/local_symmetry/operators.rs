//! Operators of local symmetry that are known roughly, or of which only the masks of the copies are known, are searched for in a map, and
//! written (`relion_localsym --search`).

use super::search::{Binned, Found, Ranges, Rotations, most_poses, search};
use super::{LocalSymmetryError, known};
use crate::errors::{Code, Message};
use crate::formats::replace::check_output;
use crate::formats::star::{Document, StarError, Table};
use crate::geometry::euler;
use crate::model::local_symmetry::{
    ANGLES, LocalSymmetry, Operator, Region, SHIFTS, centre_of_mask, mask_files, read_areas,
};
use crate::tools::density::read_density;
use std::path::{Path, PathBuf};

/// Poses of a search, above which it would take days.
const MOST_POSES: f64 = 2e7;

/// Poses that are improved where nothing is known of a rotation: the best of a coarse grid need not be next to the true one.
const IMPROVED: usize = 12;
/// Smallest side of a binned map, voxels.
const SMALLEST_BINNED: usize = 8;

/// Knowledge before a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// A description file: masks, and operators that are known roughly.
    Operators(PathBuf),
    /// A list of the masks of regions and of their copies.
    Masks(PathBuf),
}

impl Known {
    fn file(&self) -> &Path {
        match self {
            Self::Operators(file) | Self::Masks(file) => file,
        }
    }

    /// Files of the masks.
    fn masks(&self) -> Result<Vec<PathBuf>, Message> {
        match self {
            Self::Operators(file) => mask_files(file),
            Self::Masks(file) => {
                let areas = read_areas(file)?.into_iter();
                Ok(areas.flat_map(|area| area.masks).collect())
            }
        }
    }

    /// Regions with the operators that the search begins with. From masks alone: without a rotation, to the centre of mass of the copy.
    fn regions(&self, box_size: usize, pixel_size: f64) -> Result<Vec<Region>, Message> {
        let file = match self {
            Self::Operators(file) => {
                return Ok(LocalSymmetry::read(file, box_size, pixel_size)?.regions);
            }
            Self::Masks(file) => file,
        };
        let mut regions = Vec::new();
        for area in read_areas(file)? {
            let mut masks = area.read(box_size)?;
            let centres: Vec<[f64; 3]> = masks.iter().map(centre_of_mask).collect();
            let to = |centre: &[f64; 3]| Operator {
                rotation: euler::matrix(0.0, 0.0, 0.0),
                shift: std::array::from_fn(|i| centre[i] - centres[0][i]),
            };
            regions.push(Region {
                mask_file: area.masks[0].clone(),
                operators: centres[1..].iter().map(to).collect(),
                mask: masks.swap_remove(0),
            });
        }
        Ok(regions)
    }
}

/// Options of a search.
#[derive(Debug, Clone)]
pub struct SearchSettings {
    /// The map.
    pub map: PathBuf,
    /// Knowledge before the search.
    pub known: Known,
    /// Description file to write.
    pub output: PathBuf,
    /// Å per voxel; None: from the header.
    pub pixel_size: Option<f64>,
    /// The grid is searched on a map that is this many times coarser, if the number is above 1.
    pub binning: f64,
    /// Rotations.
    pub rotations: Rotations,
    /// Step of the angles, degrees.
    pub angle_step: f64,
    /// Largest moves of the centre of mass of a copy along x, y and z, Å.
    pub offsets: [f64; 3],
    /// Step of the moves, Å.
    pub offset_step: f64,
}

/// An operator that was searched for.
#[derive(Debug, Clone, PartialEq)]
pub struct Refined {
    /// The mask of its region.
    pub mask: PathBuf,
    /// Rot, tilt and psi, degrees.
    pub angles: [f64; 3],
    /// Shift (x, y, z), Å.
    pub shift: [f64; 3],
    /// Correlation of the region with its copy, before the search and after.
    pub correlation: [f64; 2],
}

/// Searches for every operator of a description file near where the file has it; `each` is told of every one that was found.
/// Writes the description with the operators that were found.
///
/// # Errors
/// Files cannot be read or written, or do not fit together; nothing tells the pixel size; nothing is to be searched, or too much.
pub fn refine(
    settings: &SearchSettings,
    mut each: impl FnMut(&Refined),
) -> Result<Vec<Refined>, LocalSymmetryError> {
    let masks = settings.known.masks()?;
    let mut inputs: Vec<&Path> = masks.iter().map(PathBuf::as_path).collect();
    inputs.extend([settings.known.file(), &settings.map]);
    check_output(&inputs, &settings.output)?;
    if settings.output.extension().is_none_or(|e| e != "star") {
        return Err(Code::BAD_VALUE
            .says(format!(
                "--o_mask_info {}: a description of local symmetry is a STAR file; give it a name that ends with .star",
                settings.output.display()
            ))
            .into());
    }
    let read = read_density(&settings.map)?;
    let pixel_size = known(settings.pixel_size.or(read.pixel_size), &settings.map)?;
    let box_size = read.data.dim().0;
    let ranges = settings.ranges(pixel_size, box_size)?;
    let binned_side = settings.binned_side(box_size)?;
    let regions = settings.known.regions(box_size, pixel_size)?;
    let map = read.data.mapv(f64::from);
    let mut all = Vec::new();
    for region in &regions {
        let binned = binned_side.map(|side| Binned::new(&map, &region.mask, side));
        for operator in &region.operators {
            let Found {
                operator: Operator { rotation, shift },
                correlation,
            } = search(&map, region, operator, &ranges, binned.as_ref());
            let refined = Refined {
                mask: region.mask_file.clone(),
                angles: euler::angles(&rotation),
                shift: shift.map(|t| t * pixel_size),
                correlation,
            };
            each(&refined);
            all.push(refined);
        }
    }
    write(&all, &settings.output).map_err(|e| Message::of(&e))?;
    Ok(all)
}

impl SearchSettings {
    /// Ranges in voxels, for a box of `box_size` voxels.
    fn ranges(&self, pixel_size: f64, box_size: usize) -> Result<Ranges, Message> {
        let from_masks = matches!(self.known, Known::Masks(_));
        let unrestricted = match self.rotations {
            Rotations::Within(range) => range <= 0.0,
            Rotations::Euler(ranges) => ranges.iter().all(|range| *range <= 0.0),
        };
        let rotations = match from_masks && unrestricted {
            true => Rotations::Within(180.0),
            false => self.rotations,
        };
        let ranges = Ranges {
            rotations,
            improved: if from_masks { IMPROVED } else { 1 },
            angle_step: self.angle_step,
            offsets: self.offsets.map(|range| range / pixel_size),
            offset_step: self.offset_step / pixel_size,
        };
        let angles = match rotations {
            Rotations::Within(range) => [range; 3],
            Rotations::Euler(ranges) => ranges,
        };
        if angles
            .iter()
            .chain(&self.offsets)
            .all(|&range| range <= 0.0)
        {
            return Err(Code::MISSING_OPTION.says(
                "--search looks around the operators of the file, and no range is given: give --ang_range (degrees), --offset_range (Å), \
                 or both",
            ));
        }
        let half = box_size as f64 / 2.0;
        if let Some(range) = ranges.offsets.iter().find(|range| **range > half) {
            return Err(Code::BAD_VALUE.says(format!(
                "a range of offsets of ±{:.1} Å is larger than half of the box, {:.1} Å; it is in Å: give a smaller one",
                range * pixel_size,
                half * pixel_size
            )));
        }
        let poses = most_poses(&ranges);
        if poses > MOST_POSES {
            return Err(Code::BAD_VALUE.says(format!(
                "the search would compare {:.0} million poses for every operator, which takes very long: give smaller ranges or larger \
                 steps; the best pose is improved beyond the steps anyway",
                poses / 1e6
            )));
        }
        Ok(ranges)
    }

    /// Side of the binned map, an even number; None where the map is not binned.
    fn binned_side(&self, box_size: usize) -> Result<Option<usize>, Message> {
        let side = 2 * (box_size as f64 / self.binning.max(1.0) / 2.0).round() as usize;
        if self.binning <= 1.0 || side >= box_size {
            return Ok(None);
        }
        match side >= SMALLEST_BINNED {
            true => Ok(Some(side)),
            false => Err(Code::BAD_VALUE.says(format!(
                "--bin {} leaves {side} of {box_size} voxels along a side, too few to tell rotations apart: give a smaller number",
                self.binning
            ))),
        }
    }
}

/// Writes operators as a description file.
fn write(operators: &[Refined], path: &Path) -> Result<(), StarError> {
    let labels: Vec<&str> = ["rlnMaskName"]
        .into_iter()
        .chain(ANGLES)
        .chain(SHIFTS)
        .collect();
    let mut table = Table::new_loop("", &labels);
    for operator in operators {
        let numbers = operator.angles.into_iter().chain(operator.shift);
        let mut row = vec![operator.mask.display().to_string().into()];
        row.extend(numbers.map(Into::into));
        table.push_row(row);
    }
    let document = Document {
        tables: vec![table],
        ..Document::default()
    };
    document.write(path)
}
