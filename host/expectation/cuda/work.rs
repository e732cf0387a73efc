//! How much the metered kernels have to do, from the sizes of the problem (`benches/BENCHMARKING.md`, *Ceilings*). Bytes are
//! what has to pass between memory and processors at the least: every array once a launch.

use super::differences::Tiles;
use crate::device::Device;
use crate::device::meter::Part;
use gpu::samples::Parent;

/// A product of rows × length with length × columns.
pub(super) fn count_product(device: &Device, (rows, columns, length): (usize, usize, usize)) {
    let [rows, columns, length] = [rows, columns, length].map(|n| n as f64);
    device.count_work(
        Part::CoarseProducts,
        2.0 * rows * columns * length,
        4.0 * (rows * length + columns * length + rows * columns),
    );
}

/// `values` differences over `pixels` pixels; the pairs of `parents`, each of which has `children` of its orientation and of
/// each shift.
///
/// A pixel of a difference: two fused multiply-adds of the cross term. What a tile of o × t differences shares: the power
/// of the model 5·o, shifted images 6·t, weights 8 (`gpu/src/kernels/fine.rs`).
pub(super) fn count_differences(
    (device, part): (&Device, Part),
    parents: &[Parent],
    children: [usize; 2],
    pixels: usize,
    values: usize,
) {
    let (tile, shared) = match Tiles::of(children) {
        Tiles::EightByFour => (32.0, 5.0 * 8.0 + 6.0 * 4.0 + 8.0),
        Tiles::TwoByFour => (8.0, 5.0 * 2.0 + 6.0 * 4.0 + 8.0),
        // Single differences go through in eights, which share what does not depend on the shift.
        Tiles::Single => (8.0, 5.0 + 6.0 + 8.0),
    };
    let (values, pixels) = (values as f64, pixels as f64);
    let pairs: f64 = parents.iter().map(|p| f64::from(p.end - p.begin)).sum();
    let slices = (parents.len() * children[0]) as f64;
    device.count_work(
        part,
        values * pixels * (4.0 + shared / tile),
        // Slices once; image and CTF once a pair; the differences.
        8.0 * slices * pixels + 12.0 * pairs * pixels + 4.0 * values,
    );
}

/// Differences of `orientations` orientations of `images` images with `shifts` shifts each over `pixels` pixels, projected where
/// they are compared.
///
/// A pixel of an orientation: interpolation 66, power of the model 5, two fused multiply-adds a shift. Bytes: eight voxels of
/// the reference; image and CTF once; the differences.
pub(super) fn count_local(
    device: &Device,
    (images, orientations): (usize, usize),
    shifts: usize,
    pixels: usize,
) {
    let [images, orientations, shifts, pixels] =
        [images, orientations, shifts, pixels].map(|n| n as f64);
    device.count_work(
        Part::LocalDifferences,
        orientations * pixels * (71.0 + 4.0 * shifts),
        64.0 * orientations * pixels + 12.0 * images * pixels + 4.0 * orientations * shifts,
    );
}

/// `slices` slices of `pixels` pixels: interpolation 66 a pixel; eight voxels of the reference are read, a value written.
pub(super) fn count_slices(device: &Device, slices: usize, pixels: usize) {
    let values = slices as f64 * pixels as f64;
    device.count_work(Part::Slices, 66.0 * values, 72.0 * values);
}

/// Sums of the `children` of `parents` over `pixels` pixels, with `weights` weights of each child; at most, since
/// samples and orientations of which nothing is kept add nothing.
///
/// A pixel of an orientation: interpolation 8 × 4, weights of corners 24 and position 10 for reading; insertion 8 × 6. A
/// pixel of a weight: two fused multiply-adds of Φ. A pixel of an image at an orientation: 18 for its sum and its shares.
/// Bytes: eight voxels of the reference read, eight of the sums read and written; image, masked and unmasked, and CTF once
/// a pair.
///
/// Class averages have four corners instead of eight: half of the interpolation and insertion, and of the voxels.
pub(super) fn count_store(
    device: &Device,
    parents: &[Parent],
    [children, weights]: [usize; 2],
    pixels: usize,
    corners: u32,
) {
    let pairs: f64 = parents.iter().map(|p| f64::from(p.end - p.begin)).sum();
    let orientations = (parents.len() * children) as f64;
    let (pixels, corners) = (pixels as f64, f64::from(corners));
    let of_images = children as f64 * (4.0 * weights as f64 + 18.0 * pairs);
    device.count_work(
        Part::Store,
        orientations * pixels * ((4.0 + 3.0 + 6.0) * corners + 10.0) + of_images * pixels,
        orientations * pixels * corners * (8.0 + 2.0 * 16.0) + 20.0 * pairs * pixels,
    );
}
