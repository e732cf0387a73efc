//! Files of the moments of a gradient run (spec 05 §16): the padded half-complex grid as images, or one volume each, with real
//! and imaginary parts side by side along x.

use crate::errors::{Code, Coded};
use crate::formats::mrc::{MrcError, write_map_labelled, write_stack};
use crate::formats::volume::read_reference_if;
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::fourier::shells::round;
use crate::model::{Model, Moments};
use crate::refinement::checkpoint::moment_checks;
use crate::refinement::checkpoint::resume::ResumeError;
use crate::refinement::checkpoint::set_mark::SetMark;
use ndarray::{Array3, ArrayView3, Axis, concatenate};
use num_complex::Complex64;
use std::path::Path;

/// Names of one class's moments as a model file gives them: `rlnGradMoment1` and `rlnGradMoment2`, `class` counted from 1.
pub fn names(model_stem: &str, class: usize, dimensions: Dimensions) -> [String; 2] {
    [1, 2].map(|order| match dimensions {
        Dimensions::Two => format!("{class:08}@{}", file(model_stem, order, class, dimensions)),
        Dimensions::Three => file(model_stem, order, class, dimensions),
    })
}

/// Name of the file of the first or second moment number `number` (in 2D one file holds all of them).
fn file(model_stem: &str, order: usize, number: usize, dimensions: Dimensions) -> String {
    match dimensions {
        Dimensions::Two => format!("{model_stem}_{order}moment.mrcs"),
        Dimensions::Three => format!("{model_stem}_{order}moment{number:03}.mrc"),
    }
}

/// Writes the moments of all classes, with the mark of the set of files: those of pseudo-half 1 before those of pseudo-half 2.
pub fn write(model_stem: &str, model: &Model, mark: &SetMark) -> Result<(), MrcError> {
    let dimensions = model.dimensions();
    let none = Moments::new(smallest(model));
    let moments = || {
        let classes = model.classes.iter();
        classes.map(|class| class.moments.as_ref().unwrap_or(&none))
    };
    let first = [0, 1].map(|half| moments().map(move |m| first_moment(m, half)));
    let second = moments().map(second_moment);
    match dimensions {
        Dimensions::Two => {
            write_images(model_stem, 1, first.into_iter().flatten().collect(), mark)?;
            write_images(model_stem, 2, second.collect(), mark)
        }
        Dimensions::Three => {
            let write = |order: usize, number: usize, volume: Array3<f32>| {
                let name = file(model_stem, order, number + 1, dimensions);
                let label = mark.line(name.as_ref());
                write_map_labelled(name.as_ref(), volume.view(), 0.0, &label)
            };
            let mut all = first.into_iter().flatten().enumerate();
            all.try_for_each(|(number, volume)| write(1, number, volume))?;
            second
                .enumerate()
                .try_for_each(|(number, volume)| write(2, number, volume))
        }
    }
}

fn write_images(
    model_stem: &str,
    order: usize,
    images: Vec<Array3<f32>>,
    mark: &SetMark,
) -> Result<(), MrcError> {
    let views: Vec<ArrayView3<f32>> = images.iter().map(|image| image.view()).collect();
    let stack = concatenate(Axis(0), &views).expect("images of one size");
    let name = file(model_stem, order, 0, Dimensions::Two);
    write_stack(name.as_ref(), stack.view(), 0.0, &mark.line(name.as_ref()))
}

/// The grid of moments that nothing has entered yet.
pub fn smallest(model: &Model) -> VolumeShape {
    VolumeShape::new(model.dimensions(), model.box_size, model.padding, 2)
}

/// M of a pseudo-half (0 or 1) as in its file.
pub fn first_moment(moments: &Moments, half: usize) -> Array3<f32> {
    as_file(moments, [0.0, 0.0], |i| {
        let value = moments.first[half][i];
        [value.re, value.im]
    })
}

/// V as in its file: the imaginary parts are 1 until an element is visited.
pub fn second_moment(moments: &Moments) -> Array3<f32> {
    as_file(moments, [1.0, 1.0], |i| [moments.second[i], 0.0])
}

/// Sections, rows and columns of a file.
fn file_size(shape: &VolumeShape) -> (usize, usize, usize) {
    let side = shape.padded_box;
    (shape.dimensions.sections(side), side, 2 * (side / 2 + 1))
}

/// Squared length of an element of a file, and its place among the moments if they have it.
pub(super) fn place(shape: &VolumeShape, z: usize, y: usize, x: usize) -> (i64, Option<usize>) {
    let (sections, side, _) = file_size(shape);
    let (z, y) = (
        z as i64 - (sections / 2) as i64,
        y as i64 - (side / 2) as i64,
    );
    let r2 = z * z + y * y + (x * x) as i64;
    let inside = (r2 < shape.radius2()).then(|| {
        let row = (z + shape.half_depth() as i64) as usize * shape.side
            + (y + shape.half() as i64) as usize;
        row * (shape.half() + 1) + x
    });
    (r2, inside)
}

fn as_file(
    moments: &Moments,
    unvisited: [f64; 2],
    value: impl Fn(usize) -> [f64; 2],
) -> Array3<f32> {
    let shape = &moments.shape;
    Array3::from_shape_fn(file_size(shape), |(z, y, column)| {
        let (_, inside) = place(shape, z, y, column / 2);
        inside.map_or(unvisited, &value)[column % 2] as f32
    })
}

/// Reads the moments of class `k` (from 0) of a model with `classes` classes, given the names of M₁ and V in the model file;
/// `locate` finds files.
///
/// # Errors
/// A file is missing, damaged, of another box or padding, or holds what moments cannot be.
pub fn read(
    recorded: [&str; 2],
    classes: usize,
    shape: VolumeShape,
    mut locate: impl FnMut(&str) -> Result<std::path::PathBuf, ResumeError>,
) -> Result<Moments, ResumeError> {
    let [first, second] = recorded;
    let other = other_half(first, classes).ok_or_else(|| {
        Code::RUN_FILES_DIFFER.says(format!(
            "the name of a first moment, {first}, has no number. Restore the model file, or continue from an earlier iteration"
        ))
    })?;
    let (mut files, mut paths) = (Vec::new(), Vec::new());
    for name in [first, &other, second] {
        let path = locate(name)?;
        files.push(read_file(&path, &shape)?);
        paths.push(path);
    }
    let visited = moment_checks::second(&paths[2], &files[2], &shape)?;
    for (path, file) in paths[..2].iter().zip(&files) {
        moment_checks::first(path, file, (&paths[2], visited), &shape)?;
    }
    Ok(from_files([&files[0], &files[1], &files[2]], shape))
}

/// Name of the first moment of pseudo-half 2: K is added to the number of that of pseudo-half 1.
fn other_half(name: &str, classes: usize) -> Option<String> {
    if let Some((number, stack)) = name.split_once('@') {
        let number: usize = number.parse().ok()?;
        return Some(format!("{:08}@{stack}", number + classes));
    }
    let stem = name.strip_suffix(".mrc")?;
    let digits = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: usize = stem[digits.len()..].parse().ok()?;
    Some(format!("{digits}{:03}.mrc", number + classes))
}

fn read_file(path: &Path, shape: &VolumeShape) -> Result<Array3<f32>, ResumeError> {
    let data = match read_reference_if(path, &|_| Ok(())) {
        Ok(map) => map.data,
        Err(error) if error.code() == Code::NO_SUCH_IMAGE => {
            return Err(moment_checks::too_few(path).into());
        }
        Err(error) => return Err(error.into()),
    };
    if data.dim() == file_size(shape) {
        return Ok(data);
    }
    let (z, y, x) = file_size(shape);
    Err(Code::RUN_FILES_DIFFER
        .says(format!(
            "{}: these moments have {:?} values (z, y, x); a box of {} pixels with padding {} has ({z}, {y}, {x}). Continue \
             with the --pad of the run, or from an earlier iteration",
            path.display(),
            data.dim(),
            shape.box_size,
            shape.padding
        ))
        .into())
}

/// Moments from the values of their files, M₁, M₂ and V; `shape`: any of their box and padding.
pub fn from_files([m1, m2, v]: [&Array3<f32>; 3], shape: VolumeShape) -> Moments {
    // What was visited is a sphere; the grid is made as small as it may be.
    let visited = moment_checks::visited(v, &shape);
    let holds = |r_max: &usize| round(*r_max as f64 * shape.padding).pow(2) > visited;
    let r_max = (1..shape.box_size / 2).find(holds);
    let shape = VolumeShape::new(
        shape.dimensions,
        shape.box_size,
        shape.padding,
        2 * r_max.unwrap_or(shape.box_size / 2),
    );
    let mut moments = Moments::new(shape);
    let (sections, side, width) = file_size(&shape);
    for z in 0..sections {
        for y in 0..side {
            for x in 0..width / 2 {
                let (_, Some(i)) = place(&shape, z, y, x) else {
                    continue;
                };
                let part = |file: &Array3<f32>, part: usize| f64::from(file[[z, y, 2 * x + part]]);
                moments.first[0][i] = Complex64::new(part(m1, 0), part(m1, 1));
                moments.first[1][i] = Complex64::new(part(m2, 0), part(m2, 1));
                moments.second[i] = part(v, 0);
            }
        }
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_relion() {
        let names2 = names("run_it016", 3, Dimensions::Two);
        assert_eq!(
            names2,
            [
                "00000003@run_it016_1moment.mrcs",
                "00000003@run_it016_2moment.mrcs"
            ]
        );
        assert_eq!(
            other_half(&names2[0], 8).unwrap(),
            "00000011@run_it016_1moment.mrcs"
        );
        let names3 = names("run_it001", 1, Dimensions::Three);
        assert_eq!(
            names3,
            ["run_it001_1moment001.mrc", "run_it001_2moment001.mrc"]
        );
        assert_eq!(
            other_half(&names3[0], 2).unwrap(),
            "run_it001_1moment003.mrc"
        );
        assert_eq!(other_half("None", 2), None);
    }

    /// Moments come back from their files, on the grid of what was visited.
    #[test]
    fn files_hold_the_moments() {
        for (dimensions, padding) in [(Dimensions::Two, 2.0), (Dimensions::Three, 1.0)] {
            let shape = VolumeShape::new(dimensions, 16, padding, 10);
            let mut moments = Moments::new(shape);
            let full = VolumeShape::new(dimensions, 16, padding, 0);
            let number = |i: usize| ((i * 7919 + 13) % 101) as f64;
            for (z, y, x) in ndarray::indices(file_size(&full)) {
                if let (_, Some(i)) = place(&shape, z, y, x / 2) {
                    moments.first[0][i] = Complex64::new(number(i), -number(i + 1));
                    moments.first[1][i] = Complex64::new(0.5 * number(i), 0.0);
                    moments.second[i] = number(i) + 1.0;
                }
            }
            let files = [
                first_moment(&moments, 0),
                first_moment(&moments, 1),
                second_moment(&moments),
            ];
            let unvisited = files[2].iter().filter(|v| **v == 1.0).count();
            assert!(unvisited > files[2].len() / 4);
            let back = from_files([&files[0], &files[1], &files[2]], full);
            assert_eq!(back, moments);
            // Nothing visited: the smallest grid.
            let empty = Moments::new(shape);
            let none = Array3::from_elem(files[2].dim(), 1.0f32);
            let zeros = first_moment(&empty, 0);
            let back = from_files([&zeros, &zeros, &none], full);
            assert_eq!(back.shape.r_max, 1);
        }
    }
}
