//! Cutting central slices from a reference for a pixel list (spec 01 §1.5, §3.8).

use super::pixels::{PixelList, RowPixel};
use crate::dataset::OpticsGroup;
use crate::fourier::reference::ReferenceVolume;
use crate::geometry::Matrix3;
use gpu::slice::{SliceAxes, VolumeShape, slice_value};

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

/// Project `reference` onto the first `count` pixels of the list: real parts, then imaginary parts, in list order;
/// neither CTF nor scale applied.
pub fn project(
    reference: &ReferenceVolume,
    axes: &SliceAxes,
    pixels: &PixelList,
    count: usize,
    out: &mut [f32],
) {
    pulp::Arch::new().dispatch(Projection {
        volume: bytemuck::cast_slice(&reference.data),
        shape: reference.shape.for_kernels(),
        axes: *axes,
        rows: pixels.rows(),
        out: out[..2 * count].split_at_mut(count),
    });
}

/// The loop of [`project`], a struct so that it is compiled for the widest vectors of the machine.
struct Projection<'a> {
    volume: &'a [[f32; 2]],
    shape: VolumeShape,
    axes: SliceAxes,
    rows: &'a [RowPixel],
    out: (&'a mut [f32], &'a mut [f32]),
}

impl pulp::NullaryFnOnce for Projection<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (re, im) = self.out;
        for pixel in self.rows {
            let i = pixel.index as usize;
            if let (Some(re), Some(im)) = (re.get_mut(i), im.get_mut(i)) {
                let value = slice_value(
                    self.volume,
                    &self.shape,
                    self.axes.position(pixel.x, pixel.y),
                );
                *re = value[0];
                *im = value[1];
            }
        }
    }
}
