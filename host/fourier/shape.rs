//! The grid that Fourier references and back-projection sums are stored on (spec 01 §1.5, spec 02 §1.1, spec 04 §5).

use super::shells::round;
use std::sync::{Arc, Mutex, PoisonError};

/// Dimensionality of the references (`rlnReferenceDimensionality`): class averages or maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimensions {
    /// Class averages, N×N pixels; kept as maps of one section.
    Two,
    /// Maps, N×N×N voxels.
    Three,
}

impl Dimensions {
    /// Returns the dimensionality of a map with this many sections along z.
    pub fn of_sections(sections: usize) -> Self {
        match sections {
            1 => Self::Two,
            _ => Self::Three,
        }
    }

    /// 2 or 3.
    pub fn count(self) -> i32 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    /// Returns the sections along z of a map in a box of `box_size` pixels.
    pub fn sections(self, box_size: usize) -> usize {
        match self {
            Self::Two => 1,
            Self::Three => box_size,
        }
    }
}

/// Grid of a Fourier reference or of back-projection sums: logical y in −h…h, x in 0…h with h = (side−1)/2, z in −h…h
/// (z = 0 alone in 2D), x fastest: index = ((z+hz)·side + (y+h))·(h+1) + x with hz = [`VolumeShape::half_depth`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VolumeShape {
    /// Dimensionality of the reference.
    pub dimensions: Dimensions,
    /// Box N of the reference, pixels.
    pub box_size: usize,
    /// Side 2(ROUND(P·r_max)+1)+1 of the full cube or square.
    pub side: usize,
    /// r_max = min(S/2, N/2) in unpadded shells; S = 0 means N.
    pub r_max: usize,
    /// Effective padding factor P = N_P/N.
    pub padding: f64,
    /// Side N_P of the padded real-space box (even).
    pub padded_box: usize,
}

impl VolumeShape {
    /// Returns the shape for box N, `--pad` and current size S (0: N).
    pub fn new(dimensions: Dimensions, box_size: usize, padding: f64, current_size: usize) -> Self {
        let mut padded_box = round(padding * box_size as f64) as usize;
        padded_box += padded_box % 2;
        // The effective factor is a single-precision number in the reference program.
        let padding = f64::from(padded_box as f32 / box_size as f32);
        let r_max = if current_size == 0 {
            box_size / 2
        } else {
            (current_size / 2).min(box_size / 2)
        };
        Self {
            dimensions,
            box_size,
            side: 2 * (round(padding * r_max as f64) as usize + 1) + 1,
            r_max,
            padding,
            padded_box,
        }
    }

    /// Returns the shape of the same radius with another `--pad`.
    pub fn with_padding(&self, padding: f64) -> Self {
        Self::new(self.dimensions, self.box_size, padding, 2 * self.r_max)
    }

    /// Largest logical index h along x and y.
    pub fn half(&self) -> usize {
        self.side / 2
    }

    /// Planes along z: `side`, or 1 in 2D.
    pub fn depth(&self) -> usize {
        self.dimensions.sections(self.side)
    }

    /// Largest logical index along z: h, or 0 in 2D.
    pub fn half_depth(&self) -> usize {
        self.depth() / 2
    }

    /// Stored voxels of a plane of constant z.
    pub fn plane(&self) -> usize {
        self.side * (self.half() + 1)
    }

    /// Stored voxels.
    pub fn voxels(&self) -> usize {
        self.depth() * self.plane()
    }

    /// Index here of the first element (x = 0) of the stored row (z, y) of a grid that is no larger.
    pub fn row_of(&self, smaller: &VolumeShape, z: usize, y: usize) -> usize {
        let z = z + self.half_depth() - smaller.half_depth();
        let y = y + self.half() - smaller.half();
        (z * self.side + y) * (self.half() + 1)
    }

    /// Rp² with Rp = ROUND(r_max·P): voxels and samples beyond it are not used.
    pub fn radius2(&self) -> i64 {
        round(self.r_max as f64 * self.padding).pow(2)
    }

    /// Largest |p|² that is inserted in back-projection: ROUND(r_max·P)² in 3D, trunc(r_max·P)² in 2D, with a tolerance
    /// that keeps pixels exactly on the limit (spec 02 §1.3, spec 04 §7).
    pub fn insertion_limit2(&self) -> f32 {
        let exact = self.r_max as f64 * self.padding;
        let radius = match self.dimensions {
            Dimensions::Two => exact.trunc(),
            Dimensions::Three => round(exact) as f64,
        };
        gpu::slice::reach2(radius as f32)
    }

    /// c_P = P^d: samples of the padded transform per sample of the unpadded one (spec 02 §2.1, spec 04 §8).
    pub fn oversampling(&self) -> f64 {
        self.padding.powi(self.dimensions.count())
    }

    /// Factor between the unscaled transform of the padded map and amplitudes of an image transform divided by N²:
    /// P³·N in 3D, P² in 2D (spec 04 §8).
    pub fn amplitude_scale(&self) -> f64 {
        match self.dimensions {
            Dimensions::Two => self.oversampling(),
            Dimensions::Three => self.oversampling() * self.box_size as f64,
        }
    }

    /// Number of values of the padded real-space box.
    pub fn padded_values(&self) -> f64 {
        (self.padded_box as f64).powi(self.dimensions.count())
    }

    /// Returns the geometry as the shared arithmetic and the kernels take it.
    pub fn for_kernels(&self) -> gpu::slice::VolumeShape {
        let (side, r_max) = (self.side as u32, self.r_max as u32);
        match self.dimensions {
            Dimensions::Two => gpu::slice::VolumeShape::flat(side, r_max, self.padding as f32),
            Dimensions::Three => gpu::slice::VolumeShape::new(side, r_max, self.padding as f32),
        }
    }
}

/// Returns the gridding correction of linear interpolation at `radius` pixels from the box centre (spec 01 §1.5 step 1,
/// spec 02 §2.4 step 6). Maps are divided by it.
pub fn gridding_factor(radius: f64, box_size: usize, padding: f64) -> f64 {
    gpu::gridding::gridding_factor(radius, box_size as f64 * padding)
}

/// Returns the values of [`gridding_factor`] for the voxels of a box, by squared distance from its centre. Those of the last box are kept,
/// so that all classes share them.
pub(super) fn gridding_factors(shape: &VolumeShape) -> Arc<Vec<f64>> {
    type Last = ((Dimensions, usize, f64), Arc<Vec<f64>>);
    static LAST: Mutex<Option<Last>> = Mutex::new(None);
    let of = (shape.dimensions, shape.box_size, shape.padding);
    let (dimensions, n, padding) = of;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((kept, factors)) if *kept == of => factors.clone(),
        _ => {
            let axes = match dimensions {
                Dimensions::Two => 2,
                Dimensions::Three => 3,
            };
            let factor = |r2: usize| gridding_factor((r2 as f64).sqrt(), n, padding);
            let factors: Arc<Vec<f64>> =
                Arc::new((0..=axes * (n / 2).pow(2)).map(factor).collect());
            *last = Some((of, factors.clone()));
            factors
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_of_a_box_are_kept_until_another_is_asked_for() {
        for (dimensions, n, padding) in [
            (Dimensions::Three, 16, 2.0),
            (Dimensions::Two, 16, 2.0),
            (Dimensions::Two, 16, 1.0),
            (Dimensions::Two, 24, 1.0),
        ] {
            let shape = VolumeShape::new(dimensions, n, padding, 8);
            let factors = gridding_factors(&shape);
            let axes = if dimensions == Dimensions::Two { 2 } else { 3 };
            assert_eq!(factors.len(), axes * (n / 2).pow(2) + 1);
            for r2 in [0, 1, 50, factors.len() - 1] {
                assert_eq!(factors[r2], gridding_factor((r2 as f64).sqrt(), n, padding));
            }
        }
    }

    #[test]
    fn shapes_of_the_table() {
        // Spec 02 §8: (N, p) → side at S = N.
        for (n, p, side) in [
            (64, 1.0, 67),
            (64, 2.0, 131),
            (256, 2.0, 515),
            (512, 1.0, 515),
        ] {
            let shape = VolumeShape::new(Dimensions::Three, n, p, n);
            assert_eq!(shape.side, side, "N {n}, p {p}");
            assert_eq!(shape.voxels(), side * side * (side / 2 + 1));
        }
        let small = VolumeShape::new(Dimensions::Three, 64, 2.0, 28);
        assert_eq!((small.side, small.r_max, small.padded_box), (59, 14, 128));
        assert_eq!(
            VolumeShape::new(Dimensions::Three, 10, 1.25, 0).padded_box,
            14
        );
    }

    /// A 2D reference is one plane; its factors lose one power of P and the N of a central slice (spec 04 §8).
    #[test]
    fn a_2d_reference_is_one_plane() {
        let flat = VolumeShape::new(Dimensions::Two, 64, 2.0, 28);
        assert_eq!((flat.side, flat.depth(), flat.half_depth()), (59, 1, 0));
        assert_eq!(flat.voxels(), 59 * 30);
        assert_eq!((flat.oversampling(), flat.amplitude_scale()), (4.0, 4.0));
        let solid = VolumeShape::new(Dimensions::Three, 64, 2.0, 28);
        assert_eq!(
            (solid.oversampling(), solid.amplitude_scale()),
            (8.0, 512.0)
        );
        let kernel = flat.for_kernels();
        assert_eq!((kernel.len(), kernel.half_depth()), (flat.voxels(), 0));
        // Pixels on the circle of radius 28 pass, those of squared length 785 do not.
        assert!(kernel.max_radius2 > 784.9 && kernel.max_radius2 < 785.0);
    }
}
