//! Insertion of weighted slices into back-projection volumes (spec 02 §1.3).
//!
//! Work is divided by planes of the volume, not by slices: every voxel receives its contributions in slice order
//! whatever the number of threads, so sums are reproducible to the last bit. Planes are filled a block of rows at a time, small
//! enough for the cache of a core, from the pixels of all slices that lie in it: the time of an insertion is otherwise that of
//! bringing voxels from memory.

use super::touching::{bent_columns, columns, rows_that_touch};
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape as fourier;
use gpu::slice::{SliceAxes, VolumeShape, insertion};
use num_complex::Complex64;
use rayon::prelude::*;

/// A slice of sums in rows y = −n/2+1…n/2 of n/2+1 pixels.
#[derive(Debug, Clone)]
pub struct SumSlice {
    /// Back-projection it belongs to.
    pub volume: usize,
    /// Where its pixels lie.
    pub axes: SliceAxes,
    /// How far they lie off the plane; None for a flat slice.
    pub bend: Option<Bend>,
    /// [re, im, weight] per pixel; weight 0 = nothing to insert.
    pub values: Vec<[f32; 3]>,
}

/// Curvature of a slice that follows the Ewald sphere: pixel (x, y) lies off the plane by
/// `axis`·(xx·x² + xy·x·y + yy·y²) (spec 02 §1.3 step 2, spec 06 §8.3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bend {
    /// Padded voxels (x, y, z).
    pub axis: [f32; 3],
    /// xx, xy, yy.
    pub form: [f32; 3],
}

impl Bend {
    /// Moves a position on the plane to where pixel (x, y) lies.
    #[inline(always)]
    fn bent(&self, p: [f32; 3], x: f32, y: f32) -> [f32; 3] {
        let [xx, xy, yy] = self.form;
        let off = x * (xx * x + xy * y) + yy * y * y;
        [
            p[0] + self.axis[0] * off,
            p[1] + self.axis[1] * off,
            p[2] + self.axis[2] * off,
        ]
    }

    /// Largest distance from the plane along `axis` (0…2) within columns 0…`width` and rows up to ±`rows`, padded voxels.
    fn reach(&self, axis: usize, width: f32, rows: f32) -> f32 {
        let [xx, xy, yy] = self.form.map(f32::abs);
        let off = width * (xx * width + xy * rows) + yy * rows * rows;
        self.axis[axis].abs() * off
    }
}

/// Add all slices of back-projection `number` (boxes of `size` pixels) to it.
pub fn insert_slices(volume: &mut BackProjection, number: usize, size: usize, slices: &[SumSlice]) {
    let slices: Vec<&SumSlice> = slices.iter().filter(|s| s.volume == number).collect();
    if !slices.is_empty() {
        let planes = planes_of_block(&volume.shape);
        let rows = rows_of_block(&volume.shape, planes);
        insert_in_blocks(volume, size, &slices, [planes, rows]);
    }
}

/// Adds slices to blocks of some planes and rows, one after another.
fn insert_in_blocks(
    volume: &mut BackProjection,
    size: usize,
    slices: &[&SumSlice],
    [planes, rows]: [usize; 2],
) {
    let shape = volume.shape.for_kernels();
    let max_radius2 = volume.shape.insertion_limit2();
    let (plane, side) = (volume.shape.plane(), volume.shape.side);
    volume
        .data
        .par_chunks_mut(planes * plane)
        .zip(volume.weight.par_chunks_mut(planes * plane))
        .enumerate()
        .for_each(|(number, (data, weight))| {
            let first = number * planes;
            let mut block = Block {
                planes: [first, first + data.len() / plane],
                rows: [0, 0],
                plane,
                data,
                weight,
            };
            for first in (0..side).step_by(rows) {
                block.rows = [first, (first + rows).min(side)];
                pulp::Arch::new().dispatch(InsertSlices {
                    block: &mut block,
                    slices,
                    size,
                    shape,
                    max_radius2,
                });
            }
        });
}

/// Planes that one thread fills at a time: thin enough for all threads to have some, and thick enough for few pixels to lie
/// between two of them.
fn planes_of_block(shape: &fourier::VolumeShape) -> usize {
    let fair = shape.depth().div_ceil(4 * rayon::current_num_threads());
    fair.clamp(2, 16)
}

/// Rows of a block of `planes` planes that the cache of a core holds.
fn rows_of_block(shape: &fourier::VolumeShape, planes: usize) -> usize {
    /// Part of the second-level cache of a core, bytes.
    const CACHE: usize = 768 << 10;
    let row = (shape.half() + 1) * (size_of::<Complex64>() + size_of::<f64>());
    (CACHE / (planes * row)).max(4)
}

/// All slices into one block, a struct so that it is compiled for the widest vectors of the machine.
struct InsertSlices<'a, 'b> {
    block: &'a mut Block<'b>,
    slices: &'a [&'a SumSlice],
    size: usize,
    shape: VolumeShape,
    max_radius2: f32,
}

impl pulp::NullaryFnOnce for InsertSlices<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for slice in self.slices {
            self.block
                .insert(slice, self.size, &self.shape, self.max_radius2);
        }
    }
}

/// Some rows of some planes.
struct Block<'a> {
    /// First plane and that after the last.
    planes: [usize; 2],
    /// First row and that after the last.
    rows: [usize; 2],
    /// Voxels of a plane.
    plane: usize,
    /// All rows of the planes.
    data: &'a mut [Complex64],
    weight: &'a mut [f64],
}

impl Block<'_> {
    #[inline(always)]
    fn insert(&mut self, slice: &SumSlice, size: usize, shape: &VolumeShape, max_radius2: f32) {
        let width = size / 2 + 1;
        let reach = slice.bend.map_or([0.0; 2], |bend| {
            [1, 2].map(|axis| bend.reach(axis, width as f32, width as f32))
        });
        let limits = self.limits(shape, reach);
        let Some([first, last]) = rows_that_touch(&slice.axes, &limits, size) else {
            return;
        };
        for row in first..=last {
            let y = row as f32 - (size / 2) as f32 + 1.0;
            let values = &slice.values[row * width..][..width];
            match &slice.bend {
                None => {
                    for (begin, end) in columns(&slice.axes, &limits, y, width) {
                        for (x, &[re, im, w]) in values[..end].iter().enumerate().skip(begin) {
                            if w > 0.0 {
                                let p = slice.axes.position(x as f32, y);
                                self.add(p, re, im, w, shape, max_radius2);
                            }
                        }
                    }
                }
                Some(bend) => {
                    let (begin, end) = bent_columns(&slice.axes, &limits, y, width);
                    for (x, &[re, im, w]) in values[..end].iter().enumerate().skip(begin) {
                        if w > 0.0 {
                            let x = x as f32;
                            let p = bend.bent(slice.axes.position(x, y), x, y);
                            self.add(p, re, im, w, shape, max_radius2);
                        }
                    }
                }
            }
        }
    }

    /// Lowest and highest position along y and z of pixels that can touch the block, if they lie up to `reach` off the plane of
    /// their slice.
    #[inline(always)]
    fn limits(&self, shape: &VolumeShape, reach: [f32; 2]) -> [[f32; 2]; 2] {
        let [half, half_depth] = [shape.half, shape.half_depth()].map(|h| h as f32);
        let limits = |[first, end]: [usize; 2], half: f32, reach: f32| {
            [first as f32 - 1.0 - half - reach, end as f32 - half + reach]
        };
        [
            limits(self.rows, half, reach[0]),
            limits(self.planes, half_depth, reach[1]),
        ]
    }

    #[inline(always)]
    fn add(
        &mut self,
        p: [f32; 3],
        re: f32,
        im: f32,
        w: f32,
        shape: &VolumeShape,
        max_radius2: f32,
    ) {
        let Some(at) = insertion(shape, max_radius2, p) else {
            return;
        };
        let z0 = at.z0 as usize;
        let width = shape.half as usize + 1;
        let [fx, fy, fz] = at.fraction;
        let (y, im) = if at.conjugate {
            (-p[1], -im)
        } else {
            (p[1], im)
        };
        // As `insertion` has it.
        let y0 = (y + shape.half as f32) as usize;
        let in_plane = at.base - z0 * self.plane;
        let value = [re, im, w].map(f64::from);
        let [first_plane, end_plane] = self.planes;
        let [first_row, end_row] = self.rows;
        for (z, wz) in [(z0, 1.0 - fz), (z0 + 1, fz)] {
            if z < first_plane || z >= end_plane {
                continue;
            }
            let base = (z - first_plane) * self.plane + in_plane;
            if y0 >= first_row && y0 < end_row {
                self.add_pair(base, wz * (1.0 - fy), fx, value);
            }
            if y0 + 1 >= first_row && y0 + 1 < end_row {
                self.add_pair(base + width, wz * fy, fx, value);
            }
        }
    }

    /// Share `share` of [re, im, weight] between the voxels `at` and its neighbour in x. Written out, since it is most
    /// of the time of an insertion.
    #[inline(always)]
    fn add_pair(&mut self, at: usize, share: f32, fx: f32, [re, im, w]: [f64; 3]) {
        let (Some([a, b]), Some([weight_a, weight_b])) = (
            self.data.get_mut(at..at + 2),
            self.weight.get_mut(at..at + 2),
        ) else {
            return;
        };
        let (left, right) = (f64::from(share * (1.0 - fx)), f64::from(share * fx));
        a.re += left * re;
        a.im += left * im;
        b.re += right * re;
        b.im += right * im;
        *weight_a += left * w;
        *weight_b += right * w;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::euler;

    /// Every second slice is bent where `bent`.
    fn slices(size: usize, bent: bool) -> Vec<SumSlice> {
        (0..16)
            .map(|i| {
                // The last ones hold an axis of the volume each, where rows or columns have one position along y or z.
                let a = match i {
                    12 => euler::matrix(0.0, 90.0, 0.0),
                    13 => euler::matrix(90.0, 90.0, 0.0),
                    14 => euler::matrix(90.0, 90.0, 90.0),
                    15 => euler::matrix(180.0, 0.0, 90.0),
                    _ => euler::matrix(37.0 * i as f64, 23.0 * i as f64, 11.0 * i as f64),
                };
                let step = |r: [f64; 3]| r.map(|v| 2.0 * v as f32);
                let values = (0..size * (size / 2 + 1))
                    .map(|j| {
                        [
                            (j % 13) as f32 - 6.0,
                            (j % 7) as f32,
                            if j % 5 == 0 {
                                0.0
                            } else {
                                1.0 + (j % 3) as f32
                            },
                        ]
                    })
                    .collect();
                SumSlice {
                    volume: 0,
                    axes: SliceAxes {
                        x_axis: step(a[0]),
                        y_axis: step(a[1]),
                    },
                    bend: (bent && i % 2 == 1).then_some(Bend {
                        axis: step(a[2]),
                        form: [0.02, 0.003, 0.015],
                    }),
                    values,
                }
            })
            .collect()
    }

    /// The division by planes and rows adds every pixel exactly once: the same sums as a plain loop over slices, flat or bent,
    /// whatever the blocks.
    #[test]
    fn blocks_receive_every_pixel_once() {
        for bent in [false, true] {
            let size = 24;
            let mut plain = BackProjection::new(24, 2.0, size);
            let slices = slices(size, bent);
            let shape = plain.shape.for_kernels();
            let (planes, plane) = (plain.shape.depth(), plain.shape.plane());
            let mut whole = Block {
                planes: [0, planes],
                rows: [0, plain.shape.side],
                plane,
                data: &mut plain.data,
                weight: &mut plain.weight,
            };
            for slice in &slices {
                for (i, &[re, im, w]) in slice.values.iter().enumerate() {
                    let (x, y) = ((i % 13) as f32, (i as i32 / 13 - 11) as f32);
                    let mut p = slice.axes.position(x, y);
                    if let Some(bend) = &slice.bend {
                        p = bend.bent(p, x, y);
                    }
                    if w > 0.0 {
                        whole.add(p, re, im, w, &shape, shape.max_radius2);
                    }
                }
            }
            assert!(plain.weight.iter().sum::<f64>() > 1000.0);
            let all: Vec<&SumSlice> = slices.iter().collect();
            for block in [[51, 51], [16, 7], [3, 5], [1, 1]] {
                let mut volume = BackProjection::new(24, 2.0, size);
                insert_in_blocks(&mut volume, size, &all, block);
                assert_eq!(volume.weight, plain.weight, "{block:?}");
                assert_eq!(volume.data, plain.data, "{block:?}");
            }
        }
    }

    #[test]
    fn sums_do_not_depend_on_the_number_of_threads() {
        let size = 24;
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let mut volume = BackProjection::new(24, 2.0, size);
            pool.install(|| insert_slices(&mut volume, 0, size, &slices(size, true)));
            volume
        };
        let (one, three) = (run(1), run(3));
        assert_eq!(one.weight, three.weight);
        assert_eq!(one.data, three.data);
    }
}
