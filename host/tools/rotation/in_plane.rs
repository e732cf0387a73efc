//! Laying one image onto another: in-plane rotation and shift of the largest correlation.

use crate::fourier::image::{ImageTransform, logical_row};
use crate::fourier::{masks, reference};
use gpu::slice::{VolumeShape, slice_value};
use ndarray::{Array2, Axis};
use num_complex::Complex32;

/// Padding of the transform that rotated images are interpolated in.
const PADDING: f64 = 2.0;

/// Width of the soft edge at the border of the image, pixels.
const EDGE: f64 = 3.0;

/// First step of the in-plane angle, degrees.
pub const COARSE_STEP: f64 = 5.0;

/// Last step of the in-plane angle, degrees.
const FINE_STEP: f64 = 0.3;

/// An image in a circle, from whose transform rotated copies are made.
pub struct InPlane {
    values: Vec<[f32; 2]>,
    shape: VolumeShape,
    padding: f64,
    side: usize,
}

/// How an image lies on another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlay {
    /// Correlation coefficient, −1 to 1.
    pub correlation: f64,
    /// Rotation of the image, degrees.
    pub angle: f64,
}

impl InPlane {
    /// Transforms a square image with an even side, without what lies outside its circle.
    pub fn new(image: &Array2<f32>) -> Self {
        let side = image.dim().0;
        let mut map = image.mapv(f64::from).insert_axis(Axis(0));
        let mean = map.mean().unwrap_or(0.0);
        map.mapv_inplace(|v| v - mean);
        masks::soft_sphere(&mut map, side as f64 / 2.0 - EDGE, EDGE);
        let volume = reference::prepare(&map, PADDING, 0, None).volume;
        Self {
            shape: volume.shape.for_kernels(),
            padding: volume.shape.padding,
            values: bytemuck::cast_vec(volume.data),
            side,
        }
    }

    /// Side of the image, pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Returns the centred half-complex transform of the image rotated by `angle` degrees, cropped to `side` pixels (even, at most
    /// its own), without its mean, and with a power of 1; zeros for an image without contrast.
    pub fn rotated(&self, angle: f64, side: usize) -> Vec<Complex32> {
        let (sine, cosine) = angle.to_radians().sin_cos();
        let [s, c] = [sine, cosine].map(|v| (v * self.padding) as f32);
        let width = side / 2 + 1;
        let limit = (side / 2 - 1).pow(2) as i32;
        let mut out = vec![Complex32::default(); side * width];
        let mut power = 0.0f64;
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            let y = logical_row(i, side);
            for (x, value) in row.iter_mut().enumerate() {
                let x = x as i32;
                let r2 = x * x + y * y;
                if r2 == 0 || r2 > limit {
                    continue;
                }
                let (fx, fy) = (x as f32, y as f32);
                let p = [c * fx + s * fy, c * fy - s * fx, 0.0];
                let [re, im] = slice_value(&self.values, &self.shape, p);
                *value = Complex32::new(re, im);
                let mates = if x == 0 { 1.0 } else { 2.0 };
                power += mates * f64::from(value.norm_sqr());
            }
        }
        if power > 0.0 {
            let scale = power.sqrt().recip() as f32;
            out.iter_mut().for_each(|v| *v *= scale);
        }
        out
    }
}

/// Returns the largest correlation of two transforms of [`InPlane::rotated`] over all shifts by whole pixels.
pub fn correlation(fft: &ImageTransform, a: &[Complex32], b: &[Complex32]) -> f64 {
    let product: Vec<Complex32> = a.iter().zip(b).map(|(a, b)| a * b.conj()).collect();
    let values = fft.inverse(&product);
    values.into_iter().fold(f32::NEG_INFINITY, f32::max).into()
}

/// Finds the finest overlay of `image` on `reference` (of the same side), from the angle `start` in degrees.
pub fn overlay(reference: &InPlane, image: &InPlane, start: f64) -> Overlay {
    let side = reference.side();
    let fft = ImageTransform::new(side);
    let fixed = reference.rotated(0.0, side);
    let at = |angle: f64| Overlay {
        correlation: correlation(&fft, &image.rotated(angle, side), &fixed),
        angle,
    };
    let mut best = at(start);
    let mut step = COARSE_STEP / 2.0;
    while step >= FINE_STEP {
        for angle in [best.angle - step, best.angle + step] {
            let next = at(angle);
            if next.correlation > best.correlation {
                best = next;
            }
        }
        step /= 2.0;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs at places (x, y) from the centre.
    fn image(places: &[[f64; 2]]) -> Array2<f32> {
        Array2::from_shape_fn((48, 48), |(y, x)| {
            let of = |p: &[f64; 2]| {
                let (dx, dy) = (x as f64 - 24.0 - p[0], y as f64 - 24.0 - p[1]);
                (-(dx * dx + dy * dy) / 12.5).exp() as f32
            };
            places.iter().map(of).sum()
        })
    }

    const PLACES: [[f64; 2]; 3] = [[7.0, 0.0], [0.0, 9.0], [-4.0, -3.0]];

    #[test]
    fn a_rotated_and_shifted_copy_lies_on_the_original() {
        let (s, c) = 30f64.to_radians().sin_cos();
        let turned = PLACES.map(|[x, y]| [c * x - s * y + 2.0, s * x + c * y - 1.0]);
        let (a, b) = (InPlane::new(&image(&PLACES)), InPlane::new(&image(&turned)));
        let fft = ImageTransform::new(24);
        let fixed = a.rotated(0.0, 24);
        let rough = (0..72)
            .map(|i| f64::from(i) * COARSE_STEP)
            .map(|angle| (correlation(&fft, &b.rotated(angle, 24), &fixed), angle))
            .fold(
                (0.0, 0.0),
                |best: (f64, f64), next| if next.0 > best.0 { next } else { best },
            );
        let found = overlay(&a, &b, rough.1);
        assert!(found.correlation > 0.99, "{found:?}");
        // The copy is rotated back.
        assert!((found.angle - 330.0).abs() < 1.0, "{found:?}");
        assert!(overlay(&a, &a, 0.0).correlation > 1.0 - 1e-5);
        let mirrored = InPlane::new(&image(&PLACES.map(|[x, y]| [-x, y])));
        assert!(overlay(&a, &mirrored, 0.0).correlation < 0.9);
    }

    #[test]
    fn an_image_without_contrast_correlates_with_nothing() {
        let (flat, other) = (image(&[]), image(&PLACES));
        let found = overlay(&InPlane::new(&other), &InPlane::new(&flat), 0.0);
        assert_eq!(found.correlation, 0.0);
    }
}
