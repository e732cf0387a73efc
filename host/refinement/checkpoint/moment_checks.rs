//! Moments of a gradient run that cannot be right: told by their file before they spoil the maps (spec 05 §6, §16).
//!
//! An element of V is 1 + 1i until it is visited; then its imaginary part is 0 and its real part stays above 0. First moments
//! are 0 until they are visited. What is visited is a sphere.

use crate::errors::{Code, Message};
use crate::fourier::shape::VolumeShape;
use crate::model::map_checks;
use crate::refinement::checkpoint::moment_files::place;
use crate::refinement::checkpoint::resume::ResumeError;
use ndarray::Array3;
use std::path::Path;

const ADVICE: &str = "Restore the file, or continue from an earlier iteration";

/// Returns the largest squared length of a visited element of V; −1 where none is.
pub(super) fn visited(v: &Array3<f32>, shape: &VolumeShape) -> i64 {
    let mut visited = -1;
    for ((z, y, column), value) in v.indexed_iter() {
        if column % 2 == 1 && *value == 0.0 {
            visited = visited.max(place(shape, z, y, column / 2).0);
        }
    }
    visited
}

/// Checks the second moments of a class, and returns the largest squared length of a visited element ([`visited`]).
///
/// # Errors
/// Values that are not finite or not above 0, imaginary parts that second moments do not have.
pub(super) fn second(
    path: &Path,
    v: &Array3<f32>,
    shape: &VolumeShape,
) -> Result<i64, ResumeError> {
    map_checks::finite(path, v, "second moments", ADVICE)?;
    let visited = visited(v, shape);
    let imaginary = |column: usize| column % 2 == 1;
    let is_foreign = |((z, y, column), value): ((usize, usize, usize), &f32)| {
        let inside = place(shape, z, y, column / 2).0 <= visited;
        imaginary(column) && *value != f32::from(u8::from(!inside))
    };
    if v.indexed_iter().any(is_foreign) {
        return Err(other_file(path, "second").into());
    }
    for ((z, y, column), value) in v.indexed_iter() {
        if !imaginary(column) && *value <= 0.0 {
            let text = format!(
                "{}: value ({column}, {y}, {z}) of the second moments is {value}; they are means of squares, above 0. {ADVICE}.",
                path.display()
            );
            return Err(Code::MAP_VALUES.says(text).into());
        }
    }
    Ok(visited)
}

/// Checks first moments of a class against its second ones, those of the file `v_path`, which [`second`] has found `visited`.
///
/// # Errors
/// Values that are not finite, or where the second moments have not been visited.
pub(super) fn first(
    path: &Path,
    m: &Array3<f32>,
    (v_path, visited): (&Path, i64),
    shape: &VolumeShape,
) -> Result<(), ResumeError> {
    map_checks::finite(path, m, "first moments", ADVICE)?;
    let (mut outside, mut zeros) = (0, 0);
    for ((z, y, column), value) in m.indexed_iter() {
        outside += usize::from(*value != 0.0 && place(shape, z, y, column / 2).0 > visited);
        zeros += usize::from(*value == 0.0 && column % 2 == 0);
    }
    // The real parts of second moments are nowhere 0.
    if outside > 0 && zeros == 0 {
        return Err(other_file(path, "first").into());
    }
    if outside > 0 {
        let text = format!(
            "{}: {outside} values of these first moments lie at frequencies that the second moments, {}, have not seen yet: \
             they are of different iterations. {ADVICE}.",
            path.display(),
            v_path.display()
        );
        return Err(Code::RUN_FILES_DIFFER.says(text).into());
    }
    Ok(())
}

/// Says that a stack holds fewer images than there are moments.
pub(super) fn too_few(path: &Path) -> Message {
    Code::RUN_FILES_DIFFER.says(format!(
        "{}: this image is not in the file, which has fewer than the moments of all classes take: was another file of the run copied \
         over it? {ADVICE}.",
        path.display()
    ))
}

fn other_file(path: &Path, order: &str) -> Message {
    Code::RUN_FILES_DIFFER.says(format!(
        "{}: the values of this file are not those of {order} moments: was another file of the run copied over it? {ADVICE}.",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Coded;
    use crate::fourier::shape::Dimensions;
    use crate::model::Moments;
    use crate::refinement::checkpoint::moment_files::{first_moment, second_moment};
    use num_complex::Complex64;

    /// M₁ and V of a class, as in their files, after an iteration of this image size.
    fn files(size: usize) -> (VolumeShape, [Array3<f32>; 2]) {
        let shape = VolumeShape::new(Dimensions::Two, 16, 2.0, size);
        let mut moments = Moments::new(shape);
        for (i, m) in moments.first[0].iter_mut().enumerate() {
            *m = Complex64::new(1.0 + i as f64, -2.0);
        }
        moments.second.fill(0.5);
        let files = [first_moment(&moments, 0), second_moment(&moments)];
        (VolumeShape::new(Dimensions::Two, 16, 2.0, 0), files)
    }

    fn judge([m, v]: &[Array3<f32>; 2], shape: &VolumeShape) -> Result<(), (Code, String)> {
        let (m_path, v_path) = (Path::new("1moment.mrcs"), Path::new("2moment.mrcs"));
        second(v_path, v, shape)
            .and_then(|visited| first(m_path, m, (v_path, visited), shape))
            .map_err(|error| (error.code(), error.to_string()))
    }

    #[test]
    fn moments_of_a_run_pass() {
        for size in [2, 10, 16] {
            let (shape, files) = files(size);
            judge(&files, &shape).unwrap();
        }
        // A class that nothing has entered.
        let (shape, [mut m, mut v]) = files(2);
        m.fill(0.0);
        v.fill(1.0);
        judge(&[m, v], &shape).unwrap();
    }

    #[test]
    fn files_in_place_of_others_are_told() {
        let (shape, [m, v]) = files(10);
        for (swapped, name) in [
            ([m.clone(), m.clone()], "2moment.mrcs"),
            ([v.clone(), v.clone()], "1moment.mrcs"),
            ([v.clone(), m.clone()], "2moment.mrcs"),
            ([m.clone(), m.mapv(|_| 0.0)], "2moment.mrcs"),
            // Of an iteration before, when less was visited.
            ([m.clone(), files(6).1[1].clone()], "1moment.mrcs"),
        ] {
            let (_, text) = judge(&swapped, &shape).unwrap_err();
            assert!(text.starts_with(name), "{text}");
        }
    }

    #[test]
    fn values_that_moments_cannot_have_are_told() {
        let middle = [0, 16, 2];
        for (file, value) in [(0, f32::NAN), (1, f32::INFINITY), (1, -0.5), (1, 0.0)] {
            let (shape, mut files) = files(10);
            files[file][middle] = value;
            let (code, text) = judge(&files, &shape).unwrap_err();
            assert_eq!(code, Code::MAP_VALUES, "{text}");
            assert!(text.contains("(2, 16, 0)"), "{text}");
        }
    }
}
