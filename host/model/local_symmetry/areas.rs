//! Masks of a region and of all its copies, whose operators are not known (spec 06 §2.4).

use super::{TOLERANCE, located, read_mask};
use crate::errors::{Code, Message};
use crate::formats::star::Document;
use ndarray::Array3;
use std::path::{Path, PathBuf};

const MASK: &str = "rlnMaskName";
const AREA: &str = "rlnAreaId";
/// Masks that a file may list.
const MOST_MASKS: usize = 999;

/// The files of the masks of a region and of its copies, the region first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// There are at least two.
    pub masks: Vec<PathBuf>,
}

impl Area {
    /// Reads the masks, for maps of `box_size` voxels.
    ///
    /// # Errors
    /// A mask cannot be read, has another box, or values outside [0, 1].
    pub fn read(&self, box_size: usize) -> Result<Vec<Array3<f32>>, Message> {
        let masks = self.masks.iter();
        masks.map(|file| read_mask(file, box_size)).collect()
    }
}

/// Reads which masks belong together: those with one number (`rlnAreaId`), in the order of the file.
///
/// Names of masks are relative to the current folder; a mask that is not there is looked for beside the file.
///
/// # Errors
/// The file cannot be read; a column is missing; there are more than 999 masks; a region has no copy, or a mask is named twice.
pub fn read_areas(path: &Path) -> Result<Vec<Area>, Message> {
    let at = path.display();
    let document = Document::read(path).map_err(|e| Message::of(&e))?;
    let table = document.require("").map_err(|e| Message::of(&e))?;
    if let Some(missing) = [MASK, AREA].into_iter().find(|label| !table.has(label)) {
        return Err(Code::STAR_CONTENT.says(format!(
            "{at}: table data_{} lacks {missing}; a search from masks alone needs the masks of a region and of all its copies (rlnMaskName), \
             with one number (rlnAreaId) for those that belong together",
            table.name()
        )));
    }
    if table.len() > MOST_MASKS {
        return Err(Code::STAR_CONTENT.says(format!(
            "{at}: {} masks are listed, and no more than {MOST_MASKS} can be; split the file",
            table.len()
        )));
    }
    let mut areas: Vec<(i64, Area)> = Vec::new();
    for row in 0..table.len() {
        let name = table.text(row, MASK).map_err(|e| Message::of(&e))?;
        let number = table.integer(row, AREA).map_err(|e| Message::of(&e))?;
        let mask = located(name, path);
        if areas.iter().any(|(_, area)| area.masks.contains(&mask)) {
            return Err(Code::STAR_VALUE.says(format!(
                "{at}, {}: the mask {name} is listed twice; remove one of the rows",
                table.place(row, MASK)
            )));
        }
        match areas.iter_mut().find(|(known, _)| *known == number) {
            Some((_, area)) => area.masks.push(mask),
            None => areas.push((number, Area { masks: vec![mask] })),
        }
    }
    if let Some((number, area)) = areas.iter().find(|(_, area)| area.masks.len() < 2) {
        return Err(Code::STAR_CONTENT.says(format!(
            "{at}: {} is the only mask with rlnAreaId {number}; give those of its copies the same number, or remove it",
            area.masks[0].display()
        )));
    }
    match areas.is_empty() {
        false => Ok(areas.into_iter().map(|(_, area)| area).collect()),
        true => Err(Code::STAR_CONTENT.says(format!("{at}: no mask is listed"))),
    }
}

/// Returns the centre of mass (x, y, z) of a mask, in voxels from the centre voxel of its box.
pub fn centre_of_mask(mask: &Array3<f32>) -> [f64; 3] {
    let middle = (mask.dim().0 / 2) as f64;
    let mut sums = [0.0; 4];
    for ((z, y, x), &m) in mask.indexed_iter() {
        let m = f64::from(m);
        if m > TOLERANCE {
            for (sum, at) in sums.iter_mut().zip([x, y, z]) {
                *sum += m * (at as f64 - middle);
            }
            sums[3] += m;
        }
    }
    [0, 1, 2].map(|i| sums[i] / sums[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &str) -> Result<Vec<Area>, Message> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("masks.star");
        let head = "data_\n\nloop_\n_rlnMaskName\n_rlnAreaId\n";
        std::fs::write(&path, format!("{head}{rows}")).unwrap();
        read_areas(&path)
    }

    #[test]
    fn masks_with_one_number_belong_together() {
        let areas = read("a.mrc 1\nc.mrc 2\nb.mrc 1\nd.mrc 2\ne.mrc 1\n").unwrap();
        let names = |area: &Area| area.masks.iter().map(|m| m.display().to_string()).collect();
        let names: Vec<Vec<String>> = areas.iter().map(names).collect();
        assert_eq!(
            names,
            [vec!["a.mrc", "b.mrc", "e.mrc"], vec!["c.mrc", "d.mrc"]]
        );
    }

    #[test]
    fn lists_that_cannot_be_meant_are_refused() {
        for (rows, says) in [
            ("a.mrc 1\nb.mrc 2\nc.mrc 1\n", "only mask with rlnAreaId 2"),
            ("a.mrc 1\na.mrc 1\n", "listed twice"),
            ("a.mrc one\nb.mrc 1\n", "rlnAreaId"),
        ] {
            let error = read(rows).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn masks_have_a_centre_of_mass() {
        let mut mask = Array3::zeros((10, 10, 10));
        mask[[5, 6, 7]] = 1.0;
        mask[[5, 6, 3]] = 0.5;
        let [x, y, z] = centre_of_mask(&mask);
        assert!((x - 2.0 / 3.0).abs() < 1e-12 && (y - 1.0).abs() < 1e-12 && z.abs() < 1e-12);
    }
}
