//! Cutting central slices from a reference for a pixel list (spec 01 §1.5, §3.8).

use super::pixels::PixelList;
use crate::dataset::OpticsGroup;
use crate::fourier::reference::ReferenceVolume;
use crate::geometry::Matrix3;
use gpu::slice::{SliceAxes, VolumeShape, insertion_or_origin};

/// Returns ρ_g = N a/(N_g a_g): how many shells of a map of `box_size` pixels of `pixel_size` Å a shell of the group's images
/// is wide. Equal boxes give exactly 1, not 1 ± rounding.
pub fn shell_ratio(group: &OpticsGroup, box_size: usize, pixel_size: f64) -> f64 {
    let ratio = (box_size as f64 * pixel_size) / (group.box_size as f64 * group.pixel_size);
    if (ratio - 1.0).abs() < 1e-9 {
        1.0
    } else {
        ratio
    }
}

/// How image pixels of an optics group map onto the reference's Fourier grid: p = P·A⁻¹·diag(M, 1)(x, y, 0)ᵀ/s
/// with s = N_g a_g/(N a) (spec 01 §3.8).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImagePlane {
    /// Columns of P·diag(M, 1)/s restricted to the image plane.
    matrix: [[f64; 2]; 2],
}

impl ImagePlane {
    /// Plane of an optics group against references of `box_size` pixels of `pixel_size` Å, padding P.
    pub fn new(group: &OpticsGroup, box_size: usize, pixel_size: f64, padding: f64) -> Self {
        let factor = padding * shell_ratio(group, box_size, pixel_size);
        Self {
            matrix: group.magnification.map(|row| row.map(|m| m * factor)),
        }
    }

    /// Steps in the reference for an orientation with matrix A (A⁻¹ = Aᵀ).
    pub fn axes(&self, a: &Matrix3) -> SliceAxes {
        let [x_axis, y_axis] = self.axes_f64(a).map(|axis| axis.map(|v| v as f32));
        SliceAxes { x_axis, y_axis }
    }

    /// The same in double precision: steps along image x and y.
    pub fn axes_f64(&self, a: &Matrix3) -> [[f64; 3]; 2] {
        let m = &self.matrix;
        let step = |mx: f64, my: f64| std::array::from_fn(|i| a[0][i] * mx + a[1][i] * my);
        [step(m[0][0], m[1][0]), step(m[0][1], m[1][1])]
    }
}

/// Projects `reference` onto the first `count` pixels of the list: real parts, then imaginary parts, in list order;
/// neither CTF nor scale applied.
pub fn project(
    reference: &ReferenceVolume,
    axes: &SliceAxes,
    pixels: &PixelList,
    count: usize,
    out: &mut [f32],
) {
    project_all(
        reference,
        std::slice::from_ref(axes),
        pixels,
        count,
        &mut out[..2 * count],
    );
}

/// Does what [`project`] does for several orientations; `out` has a row of equal length for each, which begins with its
/// slice. Fastest for orientations that are close to each other, or share a viewing direction: they meet the same voxels in
/// the cache.
pub fn project_all(
    reference: &ReferenceVolume,
    axes: &[SliceAxes],
    pixels: &PixelList,
    count: usize,
    out: &mut [f32],
) {
    if axes.is_empty() {
        return;
    }
    assert_eq!(out.len() % axes.len(), 0, "rows of equal length");
    pulp::Arch::new().dispatch(Projection {
        volume: bytemuck::cast_slice(&reference.data),
        shape: reference.shape.for_kernels(),
        axes,
        x: &pixels.x[..count],
        y: &pixels.y[..count],
        row: out.len() / axes.len(),
        out,
    });
}

/// Pixels that are interpolated together.
const LANES: usize = 16;

/// The loops of [`project_all`], a struct so that they are compiled for the widest vectors of the machine.
struct Projection<'a> {
    /// (re, im) of the voxels, one after the other.
    volume: &'a [f32],
    shape: VolumeShape,
    axes: &'a [SliceAxes],
    x: &'a [i32],
    y: &'a [i32],
    row: usize,
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Projection<'_> {
    type Output = ();

    /// Some pixels of all orientations, then the next ones.
    #[inline(always)]
    fn call(self) {
        let count = self.x.len();
        for (number, (x, y)) in self.x.chunks(LANES).zip(self.y.chunks(LANES)).enumerate() {
            let (mut places, length) = ([[0.0; LANES]; 2], x.len());
            for (to, from) in places.iter_mut().zip([x, y]) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = *from as f32;
                }
            }
            let begin = number * LANES;
            for (axes, row) in self.axes.iter().zip(self.out.chunks_exact_mut(self.row)) {
                let [re, im] = values(self.volume, &self.shape, axes, &places);
                let (re_row, im_row) = row.split_at_mut(count);
                re_row[begin..begin + length].copy_from_slice(&re[..length]);
                im_row[begin..begin + length].copy_from_slice(&im[..length]);
            }
        }
    }
}

/// Real and imaginary parts of the slice at some pixels: the values of [`gpu::slice::slice_value`], in steps that the compiler
/// makes vector instructions of.
#[inline(always)]
fn values(
    volume: &[f32],
    shape: &VolumeShape,
    axes: &SliceAxes,
    [x, y]: &[[f32; LANES]; 2],
) -> [[f32; LANES]; 2] {
    let mut place = [[0; LANES]; 3];
    let mut fraction = [[0.0; LANES]; 3];
    // 0 outside the sphere of the reference; minus for the imaginary parts of mates.
    let mut signs = [[0.0; LANES]; 2];
    for lane in 0..LANES {
        let p = axes.position(x[lane], y[lane]);
        let (inside, corner) = insertion_or_origin(shape, shape.max_radius2, p);
        for axis in 0..3 {
            place[axis][lane] = corner.place[axis];
            fraction[axis][lane] = corner.fraction[axis];
        }
        signs[0][lane] = if inside { 1.0 } else { 0.0 };
        signs[1][lane] = match corner.conjugate {
            true => -signs[0][lane],
            false => signs[0][lane],
        };
    }
    let mut pairs = [[0.0; 4]; LANES];
    for lane in 0..LANES {
        let first = shape.index([place[0][lane], place[1][lane], place[2][lane]]);
        // One bounds check for all corners.
        if let Some(voxels) = volume.get(2 * first..2 * (first + shape.reach() + 1)) {
            let fraction = [fraction[0][lane], fraction[1][lane], fraction[2][lane]];
            pairs[lane] = shape.blend_pairs(fraction, |offset| -> [f32; 4] {
                let pair = &voxels[2 * offset..2 * offset + 4];
                pair.try_into().expect("four values")
            });
        }
    }
    let mut out = [[0.0; LANES]; 2];
    for lane in 0..LANES {
        let ([left_re, left_im, right_re, right_im], fx) = (pairs[lane], fraction[0][lane]);
        out[0][lane] = signs[0][lane] * (left_re + fx * (right_re - left_re));
        out[1][lane] = signs[1][lane] * (left_im + fx * (right_im - left_im));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::shape::{Dimensions, VolumeShape};
    use crate::geometry::euler;
    use gpu::slice::slice_value;
    use num_complex::Complex32;

    /// Slices of a cube and of a class average hold the value that a single pixel has: for a number of pixels that fills no vector,
    /// rows that are longer than slices, pixels outside the sphere, and mates.
    #[test]
    fn slices_hold_the_values_of_single_pixels() {
        for dimensions in [Dimensions::Three, Dimensions::Two] {
            let shape = VolumeShape::new(dimensions, 24, 2.0, 16);
            let data = (0..shape.voxels())
                .map(|i| Complex32::new((i * 37 % 101) as f32 - 50.0, (i * 53 % 97) as f32))
                .collect();
            let reference = ReferenceVolume { data, shape };
            let pixels = PixelList::new(20);
            let count = pixels.projected(20);
            assert_ne!(count % LANES, 0);
            let axes: Vec<SliceAxes> = (0..5)
                .map(|i| {
                    let turn = 67.0 * f64::from(i);
                    let a = match dimensions {
                        Dimensions::Two => euler::matrix(0.0, 0.0, turn),
                        Dimensions::Three => euler::matrix(turn, 40.0 + turn, 3.0 * turn),
                    };
                    let step = |row: [f64; 3]| row.map(|v| 2.0 * v as f32);
                    SliceAxes {
                        x_axis: step(a[0]),
                        y_axis: step(a[1]),
                    }
                })
                .collect();
            let row = 2 * count + 3;
            let mut out = vec![7.0; axes.len() * row];
            project_all(&reference, &axes, &pixels, count, &mut out);
            let volume = bytemuck::cast_slice(&reference.data);
            let shape = reference.shape.for_kernels();
            let mut outside = 0;
            for (axes, slice) in axes.iter().zip(out.chunks_exact(row)) {
                for i in 0..count {
                    let p = axes.position(pixels.x[i] as f32, pixels.y[i] as f32);
                    let expected = slice_value(volume, &shape, p);
                    outside += usize::from(expected == [0.0; 2]);
                    for (found, expected) in [slice[i], slice[count + i]].iter().zip(expected) {
                        assert!((found - expected).abs() < 1e-3, "{i}: {found} {expected}");
                    }
                }
                assert_eq!(slice[2 * count..], [7.0; 3]);
            }
            assert!(outside > 0);
        }
    }
}
