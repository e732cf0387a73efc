//! Operators of local symmetry that are known roughly are searched for again in a map, and written (`relion_localsym --search`).

use super::search::{Found, Ranges, Rotations, most_poses, search};
use super::{LocalSymmetryError, known};
use crate::errors::{Code, Message};
use crate::formats::replace::check_output;
use crate::formats::star::{Document, StarError, Table};
use crate::geometry::euler;
use crate::model::local_symmetry::{ANGLES, LocalSymmetry, Operator, SHIFTS, mask_files};
use crate::tools::density::read_density;
use std::path::{Path, PathBuf};

/// Poses of a search, above which it would take days.
const MOST_POSES: f64 = 2e7;

/// Options of a search.
#[derive(Debug, Clone)]
pub struct SearchSettings {
    /// The map.
    pub map: PathBuf,
    /// Masks and the operators that are known roughly.
    pub description: PathBuf,
    /// Description file to write.
    pub output: PathBuf,
    /// Å per voxel; None: from the header.
    pub pixel_size: Option<f64>,
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
    let masks = mask_files(&settings.description)?;
    let mut inputs: Vec<&Path> = masks.iter().map(PathBuf::as_path).collect();
    inputs.extend([settings.description.as_path(), &settings.map]);
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
    let ranges = settings.ranges(pixel_size, read.data.dim().0)?;
    let symmetry = LocalSymmetry::read(&settings.description, read.data.dim().0, pixel_size)?;
    let map = read.data.mapv(f64::from);
    let mut all = Vec::new();
    for region in &symmetry.regions {
        for operator in &region.operators {
            let Found {
                operator: Operator { rotation, shift },
                correlation,
            } = search(&map, region, operator, &ranges);
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
        let ranges = Ranges {
            rotations: self.rotations,
            angle_step: self.angle_step,
            offsets: self.offsets.map(|range| range / pixel_size),
            offset_step: self.offset_step / pixel_size,
        };
        let angles = match self.rotations {
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
