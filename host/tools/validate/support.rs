//! The region that the structure takes up: a given mask, or one made from the map.

use super::ValidateError;
use crate::errors::Code;
use crate::fourier::masks::low_pass;
use crate::tools::density;
use crate::tools::mask_create::{extend, soften};
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// Resolution (Å) that the map is filtered to before it is made a mask of.
const LOW_PASS: f64 = 15.0;

/// Standard deviations of the solvent above its mean from which a voxel belongs to the structure.
const ABOVE_SOLVENT: f64 = 4.0;

/// Share of the highest densities that a voxel of the structure must reach: the ringing of a map without noise does not.
const OF_HIGHEST: f64 = 0.1;

/// Å that the region grows by, and the width of its soft edge.
const GROWN_BY: f64 = 6.0;
const EDGE: f64 = 15.0;

/// A soft mask.
pub(super) struct Support {
    /// Values from 0 to 1.
    pub mask: Array3<f64>,
    /// The file it came from; None for a mask made here.
    pub file: Option<PathBuf>,
}

impl Support {
    /// Reads a mask of the box of the half maps, which have pixels of `pixel_size` Å.
    pub(super) fn read(
        path: &Path,
        halves: &[Array3<f64>; 2],
        pixel_size: f64,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ValidateError> {
        let mut mask = density::read_mask(path).map_err(|e| ValidateError::of(&e))?;
        if mask.map.data.dim() != halves[0].dim() {
            return Err(Code::MAPS_DIFFER
                .says(format!(
                    "{}: the mask has another box than the half maps ({} voxels a side); make one of the same size",
                    path.display(),
                    halves[0].dim().0
                ))
                .into());
        }
        mask.compare_with(path, &halves[0], Some(pixel_size));
        warnings.append(&mut mask.warnings);
        Ok(Self {
            mask: mask.map.data.mapv(f64::from),
            file: Some(path.to_owned()),
        })
    }

    /// Makes a mask: the mean of the half maps, filtered, where it is above the solvent. Solvent is what lies outside the
    /// particle's sphere (outside 0.7 of the box's, where the diameter is not known).
    pub(super) fn from_map(
        halves: &[Array3<f64>; 2],
        pixel_size: f64,
        diameter: Option<f64>,
    ) -> Result<Self, ValidateError> {
        let n = halves[0].dim().0;
        let average = (&halves[0] + &halves[1]) * 0.5;
        let map = low_pass(&average, pixel_size, LOW_PASS.max(3.0 * pixel_size));
        let half = n as f64 / 2.0;
        let particle = diameter.map_or(0.7 * half, |d| (0.5 * d / pixel_size).min(0.9 * half));
        let radius = |(z, y, x): (usize, usize, usize)| {
            let square = |i: usize| (i as f64 - half).powi(2);
            (square(z) + square(y) + square(x)).sqrt()
        };
        let outside = |at| (particle..half).contains(&radius(at));
        let solvent: Vec<f64> = map
            .indexed_iter()
            .filter(|(at, _)| outside(*at))
            .map(|(_, v)| *v)
            .collect();
        let mean = solvent.iter().sum::<f64>() / solvent.len().max(1) as f64;
        let square = solvent.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let sigma = (square / solvent.len().max(1) as f64).sqrt();
        let mut inside: Vec<f64> = map
            .indexed_iter()
            .filter(|(at, _)| radius(*at) < particle)
            .map(|(_, v)| *v)
            .collect();
        inside.sort_by(f64::total_cmp);
        let highest = inside.get(inside.len() * 999 / 1000).copied();
        let threshold = (mean + ABOVE_SOLVENT * sigma).max(OF_HIGHEST * highest.unwrap_or(0.0));
        let mut structure = Array3::from_elem(map.dim(), false);
        for (at, set) in structure.indexed_iter_mut() {
            *set = map[at] > threshold && radius(at) < particle;
        }
        if !structure.iter().any(|v| *v) {
            return Err(Code::MAP_VALUES
                .says(
                    "no voxel of the half maps stands out of the solvent, so no mask can be made of them; give one with --mask",
                )
                .into());
        }
        let grown = extend(&structure, (GROWN_BY / pixel_size).max(1.0));
        Ok(Self {
            mask: soften(&grown, (EDGE / pixel_size).max(3.0)),
            file: None,
        })
    }

    /// Returns the share of the box that the mask leaves, by its squares: the share of independent Fourier components.
    pub(super) fn fraction(&self) -> f64 {
        self.mask.iter().map(|v| v * v).sum::<f64>() / self.mask.len() as f64
    }
}
