//! Description of local symmetry: masked regions of a map and the operators that carry each of them onto its copies
//! (spec 06 §2.1).

mod areas;

pub use areas::{Area, centre_of_mask, read_areas};

use super::{map_checks, mask_checks};
use crate::errors::listed::listed;
use crate::errors::{Code, Message};
use crate::formats::star::{Document, PLACEHOLDER, Table};
use crate::formats::volume::read_map_if;
use crate::geometry::{Matrix3, euler};
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// Numbers of operators that differ by no more than this are the same, and values of masks may leave [0, 1] by as much.
const TOLERANCE: f64 = 1e-6;
/// Smallest pixel size of a map, Å.
const SMALLEST_PIXEL: f64 = 0.001;
/// Degrees: ten turns.
const LARGEST_ANGLE: f64 = 3600.0;

/// Columns of the angles and of the shifts (Å).
pub(crate) const ANGLES: [&str; 3] = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"];
pub(crate) const SHIFTS: [&str; 3] = ["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"];
/// The columns of the shifts before RELION 3.1, which held Å as well.
const OLD_SHIFTS: [&str; 3] = ["rlnOriginX", "rlnOriginY", "rlnOriginZ"];

/// Carries a masked region onto a copy: r → A·r + t, r from the centre voxel N/2, in the order (x, y, z).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operator {
    /// A.
    pub rotation: Matrix3,
    /// t in voxels.
    pub shift: [f64; 3],
}

/// A region and its copies.
#[derive(Debug, Clone)]
pub struct Region {
    /// The file of the mask.
    pub mask_file: PathBuf,
    /// The mask of the original, values from 0 to 1, indices (z, y, x), in the box of the map.
    pub mask: Array3<f32>,
    /// One operator per copy; the original has none.
    pub operators: Vec<Operator>,
}

/// All regions of a description file.
#[derive(Debug, Clone)]
pub struct LocalSymmetry {
    /// In the order in which their masks first appear; there is at least one.
    pub regions: Vec<Region>,
}

/// Operators of one mask as the file has them.
struct Rows {
    mask: String,
    /// rot, tilt, psi in degrees and the shift in voxels.
    operators: Vec<[f64; 6]>,
}

impl LocalSymmetry {
    /// Reads a description file and its masks, for maps of `box_size` voxels of `pixel_size` Å.
    ///
    /// Names of masks are relative to the current folder; a mask that is not there is looked for beside the description file.
    ///
    /// # Errors
    /// The file or a mask cannot be read; a column is missing; a mask has no operator beside the identity, or one of them
    /// twice; two masks in different folders have one name; a mask has another box, or values outside [0, 1].
    pub fn read(path: &Path, box_size: usize, pixel_size: f64) -> Result<Self, Message> {
        let mut regions = Vec::new();
        for rows in read_rows(path, pixel_size)? {
            let mask_file = located(&rows.mask, path);
            let mask = read_mask(&mask_file, box_size).map_err(|e| e.about(path.display()))?;
            check_shifts(&rows, box_size, pixel_size).map_err(|e| e.about(path.display()))?;
            let operators = rows.operators.iter().map(|row| Operator {
                rotation: euler::matrix(row[0], row[1], row[2]),
                shift: [row[3], row[4], row[5]],
            });
            regions.push(Region {
                mask_file,
                mask,
                operators: operators.collect(),
            });
        }
        Ok(Self { regions })
    }
}

/// Returns where the masks are that a description file names, in the order of first appearance.
///
/// # Errors
/// As [`LocalSymmetry::read`], but for the masks themselves.
pub fn mask_files(path: &Path) -> Result<Vec<PathBuf>, Message> {
    let sets = read_rows(path, 1.0)?;
    Ok(sets.iter().map(|set| located(&set.mask, path)).collect())
}

/// Reads the operators of every mask, without the identity.
fn read_rows(path: &Path, pixel_size: f64) -> Result<Vec<Rows>, Message> {
    let at = path.display();
    if pixel_size.is_nan() || pixel_size < SMALLEST_PIXEL {
        return Err(Code::MAP_PIXEL_SIZE.says(format!(
            "{at}: shifts of local symmetry are in Å, and a pixel size of {pixel_size} Å cannot be right; give that of the map"
        )));
    }
    if path.extension().is_none_or(|extension| extension != "star") {
        return Err(Code::STAR_CONTENT.says(format!(
            "{at}: a description of local symmetry is a STAR file whose name ends with .star; convert the file to one"
        )));
    }
    let document = Document::read(path).map_err(|e| Message::of(&e))?;
    let table = document.require("").map_err(|e| Message::of(&e))?;
    check_columns(table, path)?;
    let mut sets: Vec<Rows> = Vec::new();
    for row in 0..table.len() {
        let place = || format!("{at}, {}", table.place(row, "rlnMaskName"));
        let mask = table.text(row, "rlnMaskName");
        let mask = mask.map_err(|e| Message::of(&e))?;
        if mask.is_empty() || mask == "None" {
            return Err(
                Code::STAR_VALUE.says(format!("{}: the mask has no name (rlnMaskName)", place()))
            );
        }
        let operator = read_operator(table, row, pixel_size, path)?;
        let known = sets.iter().position(|set| set.mask == mask);
        let set = known.unwrap_or_else(|| {
            sets.push(Rows {
                mask: mask.to_owned(),
                operators: Vec::new(),
            });
            sets.len() - 1
        });
        let operators = &mut sets[set].operators;
        let same = |other: &[f64; 6]| (0..6).all(|i| (operator[i] - other[i]).abs() <= TOLERANCE);
        if same(&[0.0; 6]) {
            continue;
        }
        if operators.iter().any(same) {
            return Err(Code::STAR_VALUE.says(format!(
                "{}: the mask {mask} has this operator twice; remove one of the rows",
                place()
            )));
        }
        operators.push(operator);
    }
    check_sets(&sets, path)?;
    Ok(sets)
}

/// Checks that all seven columns are there, and rows.
fn check_columns(table: &Table, path: &Path) -> Result<(), Message> {
    let at = path.display();
    let needed = ["rlnMaskName"].iter().chain(&ANGLES).chain(&SHIFTS);
    let missing: Vec<&str> = needed.copied().filter(|label| !table.has(label)).collect();
    if missing.is_empty() {
        return match table.is_empty() {
            false => Ok(()),
            true => Err(Code::STAR_CONTENT.says(format!(
                "{at}: the table data_{} has no rows, so there is no local symmetry; add one row per copy",
                table.name()
            ))),
        };
    }
    let old = match OLD_SHIFTS.iter().all(|label| table.has(label)) {
        true => {
            ". It looks like a file of before RELION 3.1: rename rlnOriginX, rlnOriginY and rlnOriginZ to rlnOriginXAngst, \
             rlnOriginYAngst and rlnOriginZAngst, and leave the values as they are: they are in Å already"
        }
        false => "; a description of local symmetry needs all seven columns",
    };
    Err(Code::STAR_CONTENT.says(format!(
        "{at}: table data_{} lacks {}{old}",
        table.name(),
        listed(missing.into_iter(), ", ")
    )))
}

/// Reads one row: angles in RELION's normal form, shift in voxels.
fn read_operator(
    table: &Table,
    row: usize,
    pixel_size: f64,
    path: &Path,
) -> Result<[f64; 6], Message> {
    let real = |label: &str| {
        let value = table.real(row, label).map_err(|e| Message::of(&e))?;
        let what = match value {
            PLACEHOLDER => "which stands for none",
            _ if !value.is_finite() => "which is no finite number",
            _ if value.abs() > LARGEST_ANGLE && ANGLES.contains(&label) => {
                "but angles are in degrees"
            }
            _ => return Ok(value),
        };
        Err(Code::STAR_VALUE.says(format!(
            "{}, {}: {label} is {value}, {what}",
            path.display(),
            table.place(row, label)
        )))
    };
    let mut operator = [0.0; 6];
    for (i, label) in ANGLES.iter().enumerate() {
        operator[i] = real(label)?;
    }
    for (i, label) in SHIFTS.iter().enumerate() {
        operator[3 + i] = real(label)? / pixel_size;
    }
    let [rot, tilt, psi, ..] = operator;
    if rot.abs() > 179.0 || !(1.0..=179.0).contains(&tilt) || psi.abs() > 179.0 {
        operator[..3].copy_from_slice(&euler::angles(&euler::matrix(rot, tilt, psi)));
    }
    Ok(operator)
}

/// Checks that no copy lies outside the box (voxels, of Å).
fn check_shifts(rows: &Rows, box_size: usize, pixel_size: f64) -> Result<(), Message> {
    let outside = |shift: &&[f64; 6]| shift[3..].iter().any(|t| t.abs() >= box_size as f64);
    let Some(operator) = rows.operators.iter().find(outside) else {
        return Ok(());
    };
    let [x, y, z] = [3, 4, 5].map(|i| operator[i] * pixel_size);
    Err(Code::STAR_VALUE.says(format!(
        "a shift ({x:.1}, {y:.1}, {z:.1}) Å of the mask {} moves its copy out of the box of {:.1} Å; shifts are in Å: correct \
         rlnOriginXAngst, rlnOriginYAngst and rlnOriginZAngst",
        rows.mask,
        box_size as f64 * pixel_size
    )))
}

/// Checks that every mask has a copy, and that no two masks could be mistaken for one another.
fn check_sets(sets: &[Rows], path: &Path) -> Result<(), Message> {
    let at = path.display();
    let name = |set: &Rows| set.mask.rsplit('/').next().map(str::to_owned);
    for (i, set) in sets.iter().enumerate() {
        if set.operators.is_empty() {
            return Err(Code::STAR_CONTENT.says(format!(
                "{at}: the mask {} has no operator but the identity, so it has no copies; add a row for each of them, or \
                 remove the mask",
                set.mask
            )));
        }
        if let Some(other) = sets[..i].iter().find(|other| name(other) == name(set)) {
            return Err(Code::STAR_VALUE.says(format!(
                "{at}: the masks {} and {} have the same file name; is one of the folders wrong? Give different masks different \
                 names",
                other.mask, set.mask
            )));
        }
    }
    Ok(())
}

/// Returns where a mask is: as named, or beside the description file.
fn located(mask: &str, description: &Path) -> PathBuf {
    let path = PathBuf::from(mask);
    let beside = description.parent().unwrap_or(Path::new("")).join(mask);
    match !path.exists() && path.is_relative() && beside.exists() {
        true => beside,
        false => path,
    }
}

/// Reads the mask of a region.
fn read_mask(path: &Path, box_size: usize) -> Result<Array3<f32>, Message> {
    let n = box_size;
    let read = read_map_if(path, &|[x, y, z]| {
        if [x, y, z] == [n; 3] {
            return map_checks::fits([x, y, z]);
        }
        Err(Code::MAP_SHAPE.says(format!(
            "the mask has {x} × {y} × {z} voxels (x × y × z), but masks of local symmetry must have the box of the map, \
             {n} × {n} × {n}; make the mask again from this map"
        )))
    });
    let mask = read.map_err(|e| Message::of(&e))?.data;
    let (judged, clipped, _) = mask_checks::mask(path, mask.mapv(f64::from))?;
    if clipped {
        return Err(Code::MAP_VALUES.says(format!(
            "{}: values of a mask must lie between 0 and 1; make it again, for example with relion_mask_create",
            path.display()
        )));
    }
    if judged.iter().all(|v| *v <= TOLERANCE) {
        return Err(Code::EMPTY_MASK.says(format!(
            "{}: no voxel of the mask is above 0, so the region is empty; make it again with a lower threshold",
            path.display()
        )));
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::mrc::write_map;

    const HEAD: &str = "data_\n\nloop_\n_rlnMaskName\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n\
                        _rlnOriginYAngst\n_rlnOriginZAngst\n";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.mrc", "b.mrc"] {
            let mask = Array3::from_elem((8, 8, 8), 0.5f32);
            write_map(&folder.path().join(name), mask.view(), 2.0).unwrap();
        }
        folder
    }

    fn read(folder: &Path, text: &str) -> Result<LocalSymmetry, Message> {
        let path = folder.join("local.star");
        std::fs::write(&path, text).unwrap();
        LocalSymmetry::read(&path, 8, 2.0)
    }

    #[test]
    fn rows_of_a_mask_form_a_region_and_the_identity_is_left_out() {
        let folder = folder();
        let rows =
            "b.mrc 0 0 0 0 0 0\na.mrc 90 0 0 0 0 12\nb.mrc 10 20 30 4 0 0\nb.mrc 10 20 30 0 4 0\n";
        let symmetry = read(folder.path(), &format!("{HEAD}{rows}")).unwrap();
        let [b, a] = &symmetry.regions[..] else {
            panic!("two regions")
        };
        assert!(b.mask_file.ends_with("b.mrc") && a.mask_file.ends_with("a.mrc"));
        assert_eq!(b.operators.len(), 2);
        assert_eq!(b.operators[0].rotation, euler::matrix(10.0, 20.0, 30.0));
        assert_eq!(b.operators[1].shift, [0.0, 2.0, 0.0]);
        assert_eq!(a.operators[0].shift, [0.0, 0.0, 6.0]);
        // 90° about z.
        let turned = euler::apply(&a.operators[0].rotation, [1.0, 0.0, 0.0]);
        assert!((turned[1] + 1.0).abs() < 1e-12, "{turned:?}");
    }

    #[test]
    fn descriptions_that_cannot_be_meant_are_refused() {
        let folder = folder();
        let refused = |rows: &str| read(folder.path(), &format!("{HEAD}{rows}")).unwrap_err();
        let identity = refused("a.mrc 0 0 0 0 0 0\n");
        assert!(identity.text.contains("no copies"), "{identity}");
        // 370° about z are 10°.
        let twice = refused("a.mrc 10 0 0 0 0 0\na.mrc 0 0 370 0 0 0\n");
        assert!(twice.text.contains("twice"), "{twice}");
        let named = refused("a.mrc 10 0 0 0 0 0\nx/a.mrc 10 0 0 0 0 0\n");
        assert!(named.text.contains("same file name"), "{named}");
        for (row, words) in [
            ("a.mrc 10 0 0 100 0 0\n", "out of the box of 16.0 Å"),
            ("a.mrc 10 0 0 -999 0 0\n", "local.star, line"),
            ("a.mrc nan 0 0 0 0 0\n", "no finite number"),
            ("a.mrc 1e30 0 0 0 0 0\n", "angles are in degrees"),
        ] {
            let error = refused(row);
            assert_eq!(error.code, Code::STAR_VALUE);
            assert!(error.text.contains(words), "{error}");
        }
        assert_eq!(refused("c.mrc 10 0 0 0 0 0\n").code, Code::FILE_MISSING);
        assert_eq!(refused("a.mrc ten 0 0 0 0 0\n").code, Code::STAR_VALUE);
        assert_eq!(refused("").code, Code::STAR_CONTENT);
        let old = HEAD.replace("Angst", "");
        let old = read(folder.path(), &format!("{old}a.mrc 10 0 0 0 0 0\n")).unwrap_err();
        assert!(old.text.contains("rename rlnOriginX"), "{old}");
        let path = folder.path().join("local.star");
        std::fs::write(&path, format!("{HEAD}a.mrc 10 0 0 0 0 0\n")).unwrap();
        let other_box = LocalSymmetry::read(&path, 16, 2.0).unwrap_err();
        assert_eq!(other_box.code, Code::MAP_SHAPE);
        let bad = Array3::from_elem((8, 8, 8), 1.5f32);
        write_map(&folder.path().join("a.mrc"), bad.view(), 2.0).unwrap();
        assert_eq!(refused("a.mrc 10 0 0 0 0 0\n").code, Code::MAP_VALUES);
    }
}
