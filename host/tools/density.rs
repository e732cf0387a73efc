//! Reading maps that tools compare: what cannot be compared is refused by name, before figures are made of it.

use crate::errors::Code;
use crate::formats::angstrom::Angstrom;
use crate::formats::mrc::{Map, MrcError};
use crate::formats::volume::read_map_if;
use crate::model::{map_checks, mask_checks};
use ndarray::Array3;
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

/// Factor between the pixel sizes of a header and of `--angpix` beyond which one of them will be wrong.
const SAME_PIXELS: f64 = 2.0;

/// Returns a warning about a pixel size (Å) that was given for a map whose header has quite another one. Headers of 1 Å are those of
/// programs that do not know it.
pub(super) fn other_pixel_size(path: &Path, map: &Map, given: f64) -> Option<String> {
    let header = map.pixel_size.filter(|size| *size != 1.0)?;
    let factor = (header / given).max(given / header);
    (factor > SAME_PIXELS).then(|| {
        format!(
            "{}: the pixel size in the header is {} Å, and --angpix {given} Å is taken in its place",
            path.display(),
            Angstrom(header)
        )
    })
}

/// A mask to multiply maps by.
pub(super) struct Mask {
    /// The file, its values between 0 and 1.
    pub map: Map,
    /// Warning about it, for the user.
    pub warnings: Vec<String>,
}

/// Reads a mask: an even cube of finite values, some above 0.
pub(super) fn read_mask(path: &Path) -> Result<Mask, MrcError> {
    let mut map = read_cube(path, "mask")?;
    let checked = mask_checks::mask(path, map.data.mapv(f64::from));
    let (values, _, warnings) = checked.map_err(|why| {
        let begin = format!("{}: ", path.display());
        let message = why.text.strip_prefix(&begin).unwrap_or(&why.text);
        refused(why.code, path, message.to_owned())
    })?;
    map.data = values.mapv(|v| v as f32);
    Ok(Mask { map, warnings })
}

impl Mask {
    /// Adds warnings about a mask of `map` that leaves next to nothing of it, has no inside, or lies beside it, and about one whose
    /// pixel size is not that of the map's header (Å).
    pub(super) fn compare_with(&mut self, path: &Path, map: &Array3<f64>, pixel_size: Option<f64>) {
        let mask = self.map.data.mapv(f64::from);
        if mask.dim() == map.dim() {
            let region = mask_checks::region(path, &mask, map, "map");
            self.warnings.extend(region);
        }
        self.check_pixels(path, pixel_size);
    }

    /// Adds warnings about a mask of any part of a map: one without an inside, or at the corners of its box.
    pub(super) fn check_inside(&mut self, path: &Path, pixel_size: f64) {
        let mask = self.map.data.mapv(f64::from);
        self.warnings.extend(mask_checks::inside(path, &mask));
        self.check_pixels(path, Some(pixel_size));
    }

    fn check_pixels(&mut self, path: &Path, pixel_size: Option<f64>) {
        let other = mask_checks::other_pixels(path, self.map.pixel_size, pixel_size);
        self.warnings.extend(other);
    }
}

/// Reads a map of finite values in an even cube; the header of another is judged before it is read whole.
pub(super) fn read_cube(path: &Path, what: &str) -> Result<Map, MrcError> {
    let map = read_map_if(path, &|[x, y, z]| {
        if z == y && y == x && x % 2 == 0 {
            return map_checks::fits([x, y, z]);
        }
        let stack = match x == y && x != z {
            true => ": it may be a stack of images",
            false => "",
        };
        Err(Code::MAP_SHAPE.says(format!(
            "the file has {x} × {y} × {z} voxels (x × y × z){stack}, but the {what} must be a cube with an even side; give a \
             3D map, or crop or pad this one"
        )))
    })?;
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
