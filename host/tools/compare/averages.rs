//! Class averages of two 2D runs, matched by what they show.

use super::CompareError;
use crate::errors::Code;
use crate::formats::mrc::StackReader;
use crate::fourier::image::ImageTransform;
use crate::tools::rotation::in_plane::{COARSE_STEP, InPlane, correlation, overlay};
use ndarray::Array2;
use num_complex::Complex32;
use rayon::prelude::*;
use std::path::Path;

/// Side of the images that all pairs are compared with, pixels.
const COARSE_SIDE: usize = 32;

/// A class of the reference run and the class of the other run that shows the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Class of the reference run, from 0.
    pub reference: usize,
    /// Class of the other run, from 0.
    pub ours: usize,
    /// Correlation of the averages, laid onto each other.
    pub correlation: f64,
    /// Rotation that lays the other run's onto the reference's, degrees.
    pub angle: f64,
}

/// Reads the averages of a run; None for classes without contrast, as empty ones are.
pub(super) fn read(path: &Path) -> Result<Vec<Option<InPlane>>, CompareError> {
    let stack = StackReader::open(path)?;
    let (width, height) = stack.shape();
    if width != height || !width.is_multiple_of(2) || width < 8 {
        let text = format!(
            "class averages of {width} × {height} pixels cannot be compared; they must be square with an even side of 8 or more"
        );
        return Err(Code::MAP_SHAPE.says(text).about(path.display()).into());
    }
    let mut found = Vec::with_capacity(stack.len());
    for k in 0..stack.len() {
        let mut image = Array2::<f32>::zeros((height, width));
        stack.read_into(k, image.as_slice_mut().expect("a new array is contiguous"))?;
        let first = image[[0, 0]];
        let has_contrast = image.iter().any(|v| *v != first);
        if image.iter().any(|v| !v.is_finite()) {
            let text = format!(
                "the average of class {} has pixels that are no numbers",
                k + 1
            );
            return Err(Code::MAP_VALUES.says(text).about(path.display()).into());
        }
        found.push(has_contrast.then(|| InPlane::new(&image)));
    }
    Ok(found)
}

/// Matches classes one to one, the best correlated pair first, over all in-plane rotations and shifts. Sorted by the class of the
/// reference run.
pub(super) fn matched(
    reference: &[Option<InPlane>],
    ours: &[Option<InPlane>],
) -> Result<Vec<Match>, CompareError> {
    let mut sides = reference.iter().chain(ours).flatten().map(InPlane::side);
    let Some(full) = sides.next() else {
        return Ok(Vec::new());
    };
    if sides.any(|side| side != full) {
        let text = "the class averages of the two runs have different boxes; compare runs of the same images";
        return Err(Code::RUNS_DIFFER.says(text).into());
    }
    let side = full.min(COARSE_SIDE);
    let angles: Vec<f64> = (0..(360.0 / COARSE_STEP) as usize)
        .map(|i| i as f64 * COARSE_STEP)
        .collect();
    let fft = ImageTransform::new(side);
    let fixed: Vec<Option<Vec<Complex32>>> = reference
        .iter()
        .map(|image| Some(image.as_ref()?.rotated(0.0, side)))
        .collect();
    let mut pairs: Vec<Match> = ours
        .par_iter()
        .enumerate()
        .filter_map(|(j, image)| Some((j, image.as_ref()?)))
        .flat_map_iter(|(j, image)| {
            let mut best = vec![(f64::NEG_INFINITY, 0.0); fixed.len()];
            for angle in &angles {
                let rotated = image.rotated(*angle, side);
                for (best, fixed) in best.iter_mut().zip(&fixed) {
                    let Some(fixed) = fixed else { continue };
                    let found = correlation(&fft, &rotated, fixed);
                    if found > best.0 {
                        *best = (found, *angle);
                    }
                }
            }
            let pair = move |(i, (correlation, angle)): (usize, (f64, f64))| Match {
                reference: i,
                ours: j,
                correlation,
                angle,
            };
            best.into_iter()
                .enumerate()
                .filter(|(_, (correlation, _))| correlation.is_finite())
                .map(pair)
                .collect::<Vec<_>>()
        })
        .collect();
    pairs.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
    let mut taken = (vec![false; reference.len()], vec![false; ours.len()]);
    pairs.retain(|pair| {
        let free = !taken.0[pair.reference] && !taken.1[pair.ours];
        if free {
            taken.0[pair.reference] = true;
            taken.1[pair.ours] = true;
        }
        free
    });
    let refine = |pair: &mut Match| {
        let (Some(a), Some(b)) = (&reference[pair.reference], &ours[pair.ours]) else {
            return;
        };
        let found = overlay(a, b, pair.angle);
        (pair.correlation, pair.angle) = (found.correlation, found.angle);
    };
    pairs.par_iter_mut().for_each(refine);
    pairs.sort_by_key(|pair| pair.reference);
    Ok(pairs)
}
