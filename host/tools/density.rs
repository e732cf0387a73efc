//! Reading maps that tools compare: what cannot be compared is refused by name, before figures are made of it.

use crate::errors::Code;
use crate::formats::mrc::{Map, MrcError};
use crate::formats::volume::read_map;
use std::path::Path;

/// FSC in every shell from which two maps are called the same; those of two half-sets differ by noise.
const SAME: f64 = 1.0 - 1e-6;

/// Reads a map to be compared: an even cube of finite values that are not all the same.
pub(super) fn read_density(path: &Path) -> Result<Map, MrcError> {
    let map = read_cube(path, "map")?;
    let first = map.data.first().copied().unwrap_or(0.0);
    if map.data.iter().all(|v| *v == first) {
        return Err(refused(
            Code::MAP_VALUES,
            path,
            format!(
                "every voxel of the map is {first}, so there is nothing to compare; look at the run that wrote it, and \
                 give another map"
            ),
        ));
    }
    Ok(map)
}

/// Reads a mask to multiply maps by: an even cube of finite values, some above 0.
pub(super) fn read_mask(path: &Path) -> Result<Map, MrcError> {
    let mask = read_cube(path, "mask")?;
    if mask.data.iter().all(|v| *v <= 0.0) {
        return Err(refused(
            Code::EMPTY_MASK,
            path,
            "no voxel of the mask is above 0, so nothing would be left of the maps; make it again, for example with \
             relion_mask_create"
                .into(),
        ));
    }
    Ok(mask)
}

fn read_cube(path: &Path, what: &str) -> Result<Map, MrcError> {
    let map = read_map(path)?;
    let (z, y, x) = map.data.dim();
    if z != y || y != x || x % 2 != 0 {
        let stack = match x == y && x != z {
            true => ": it may be a stack of images",
            false => "",
        };
        return Err(refused(
            Code::MAP_SHAPE,
            path,
            format!(
                "the file has {x} × {y} × {z} voxels (x × y × z){stack}, but the {what} must be a cube with an even side; \
                 give a 3D map, or crop or pad this one"
            ),
        ));
    }
    let mut voxels = map.data.indexed_iter();
    if let Some(((z, y, x), value)) = voxels.find(|(_, v)| !v.is_finite()) {
        return Err(refused(
            Code::MAP_VALUES,
            path,
            format!(
                "voxel ({x}, {y}, {z}) of the {what} is {value}, which is not a number that can be compared; look at the \
                 {what}, and make it again"
            ),
        ));
    }
    Ok(map)
}

fn refused(code: Code, path: &Path, message: String) -> MrcError {
    MrcError {
        code,
        path: path.display().to_string(),
        message,
    }
}

/// Returns whether an FSC curve (shells 0…N/2) is that of a map with itself, or with a multiple of itself.
pub fn is_of_one_map(curve: &[f64]) -> bool {
    curve.len() > 1 && curve[1..].iter().all(|fsc| *fsc > SAME)
}
