//! Insertion of weighted slices into back-projection volumes (spec 02 §1.3).
//!
//! Work is divided by planes of the volume, not by slices: every voxel receives its contributions in slice order
//! whatever the number of threads, so sums are reproducible to the last bit.

use crate::fourier::backprojection::BackProjection;
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

    /// Largest distance from the plane along z within columns 0…`width` and rows up to ±`rows`, padded voxels.
    fn reach(&self, width: f32, rows: f32) -> f32 {
        let [xx, xy, yy] = self.form.map(f32::abs);
        let off = width * (xx * width + xy * rows) + yy * rows * rows;
        self.axis[2].abs() * off
    }
}

/// Add all slices of back-projection `number` (boxes of `size` pixels) to it.
pub fn insert_slices(volume: &mut BackProjection, number: usize, size: usize, slices: &[SumSlice]) {
    if !slices.iter().any(|s| s.volume == number) {
        return;
    }
    let shape = volume.shape.for_kernels();
    let max_radius2 = volume.shape.insertion_limit2();
    let plane = volume.shape.plane();
    let thickness = volume
        .shape
        .depth()
        .div_ceil(8 * rayon::current_num_threads())
        .max(2);
    volume
        .data
        .par_chunks_mut(thickness * plane)
        .zip(volume.weight.par_chunks_mut(thickness * plane))
        .enumerate()
        .for_each(|(slab, (data, weight))| {
            let first = slab * thickness;
            let mut slab = Slab {
                first,
                planes: data.len() / plane,
                plane,
                data,
                weight,
            };
            for slice in slices.iter().filter(|s| s.volume == number) {
                pulp::Arch::new().dispatch(InsertSlice {
                    slab: &mut slab,
                    slice,
                    size,
                    shape,
                    max_radius2,
                });
            }
        });
}

/// One slice into one slab, a struct so that it is compiled for the widest vectors of the machine.
struct InsertSlice<'a, 'b> {
    slab: &'a mut Slab<'b>,
    slice: &'a SumSlice,
    size: usize,
    shape: VolumeShape,
    max_radius2: f32,
}

impl pulp::NullaryFnOnce for InsertSlice<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.slab
            .insert(self.slice, self.size, &self.shape, self.max_radius2);
    }
}

struct Slab<'a> {
    first: usize,
    planes: usize,
    plane: usize,
    data: &'a mut [Complex64],
    weight: &'a mut [f64],
}

impl Slab<'_> {
    #[inline(always)]
    fn insert(&mut self, slice: &SumSlice, size: usize, shape: &VolumeShape, max_radius2: f32) {
        let width = size / 2 + 1;
        if let Some(bend) = &slice.bend {
            return self.insert_bent(slice, bend, size, shape, max_radius2);
        }
        for (row, values) in slice.values.chunks_exact(width).enumerate() {
            let y = row as f32 - (size / 2) as f32 + 1.0;
            for (begin, end) in self.columns(&slice.axes, y, width, shape.half_depth() as f32) {
                for (x, &[re, im, w]) in values[..end].iter().enumerate().skip(begin) {
                    if w > 0.0 {
                        self.add(
                            slice.axes.position(x as f32, y),
                            re,
                            im,
                            w,
                            shape,
                            max_radius2,
                        );
                    }
                }
            }
        }
    }

    /// Inserts a slice that is not flat.
    #[inline(always)]
    fn insert_bent(
        &mut self,
        slice: &SumSlice,
        bend: &Bend,
        size: usize,
        shape: &VolumeShape,
        max_radius2: f32,
    ) {
        let width = size / 2 + 1;
        let reach = bend.reach(width as f32, width as f32);
        let half_depth = shape.half_depth() as f32;
        for (row, values) in slice.values.chunks_exact(width).enumerate() {
            let y = row as f32 - (size / 2) as f32 + 1.0;
            let (begin, end) = self.bent_columns(&slice.axes, y, width, half_depth, reach);
            for (x, &[re, im, w]) in values[..end].iter().enumerate().skip(begin) {
                if w > 0.0 {
                    let x = x as f32;
                    let p = bend.bent(slice.axes.position(x, y), x, y);
                    self.add(p, re, im, w, shape, max_radius2);
                }
            }
        }
    }

    /// Column range of row `y` that can touch this slab, either as it is or mirrored, where pixels lie up to `reach` voxels
    /// off the plane along z; `add` decides exactly.
    #[inline(always)]
    fn bent_columns(
        &self,
        axes: &SliceAxes,
        y: f32,
        width: usize,
        half_depth: f32,
        reach: f32,
    ) -> (usize, usize) {
        let [_, _, z0] = axes.position(0.0, y);
        let dz = axes.x_axis[2];
        let low = self.first as f32 - 1.0 - half_depth - reach;
        let high = (self.first + self.planes) as f32 - half_depth + reach;
        let (mut first, mut last) = (width, 0);
        for sign in [-1.0, 1.0] {
            let (base, step) = (sign * z0, sign * dz);
            let (mut begin, mut end) = (0.0, width as f32);
            if step.abs() > 1e-6 {
                let (p, q) = ((low - base) / step, (high - base) / step);
                begin = p.min(q).max(begin);
                end = p.max(q).min(end);
            } else if base < low - 1e-2 || base > high + 1e-2 {
                continue;
            }
            if begin <= end {
                first = first.min((begin - 1.0).max(0.0) as usize);
                last = last.max(((end + 2.0) as usize).min(width));
            }
        }
        (first.min(last), last)
    }

    /// Column ranges of row `y` that can touch this slab: one for the part with p_x < 0 (mirrored to −p) and one for
    /// the rest, both generous by a pixel; `add` decides exactly.
    #[inline(always)]
    fn columns(
        &self,
        axes: &SliceAxes,
        y: f32,
        width: usize,
        half_depth: f32,
    ) -> [(usize, usize); 2] {
        let (low, high) = (self.first as f32 - 1.0, (self.first + self.planes) as f32);
        let [x0, _, z0] = axes.position(0.0, y);
        let (dx, dz) = (axes.x_axis[0], axes.x_axis[2]);
        let last = width as f32;
        // Where p_x changes sign along the row.
        let turn = if dx == 0.0 {
            0.0
        } else {
            (-x0 / dx).clamp(0.0, last)
        };
        let clip = |from: f32, to: f32| -> (usize, usize) {
            if from >= to {
                return (0, 0);
            }
            let sign = if x0 + dx * 0.5 * (from + to) < 0.0 {
                -1.0
            } else {
                1.0
            };
            let (base, step) = (sign * z0 + half_depth, sign * dz);
            let (mut begin, mut end) = (from, to);
            if step.abs() > 1e-6 {
                let (p, q) = ((low - base) / step, (high - base) / step);
                begin = begin.max(p.min(q));
                end = end.min(p.max(q));
            } else if base < low - 1e-2 || base > high + 1e-2 {
                return (0, 0);
            }
            if begin > end {
                return (0, 0);
            }
            (
                (begin - 1.0).max(0.0) as usize,
                ((end + 2.0) as usize).min(width),
            )
        };
        let (before, after) = (clip(0.0, turn), clip(turn, last));
        // The ranges must not overlap, or a pixel would be added twice.
        let begin = after.0.max(before.1);
        [before, (begin.min(after.1), after.1)]
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
        let row = shape.half as usize + 1;
        let [fx, fy, fz] = at.fraction;
        let im = if at.conjugate { -im } else { im };
        let in_plane = at.base - z0 * self.plane;
        let value = [re, im, w].map(f64::from);
        for (z, wz) in [(z0, 1.0 - fz), (z0 + 1, fz)] {
            if z < self.first || z >= self.first + self.planes {
                continue;
            }
            let base = (z - self.first) * self.plane + in_plane;
            self.add_pair(base, wz * (1.0 - fy), fx, value);
            self.add_pair(base + row, wz * fy, fx, value);
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
        (0..12)
            .map(|i| {
                let a = euler::matrix(37.0 * i as f64, 23.0 * i as f64, 11.0 * i as f64);
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

    /// The division by planes adds every pixel exactly once: the same sums as a plain loop over slices, flat or bent.
    #[test]
    fn planes_receive_every_pixel_once() {
        for bent in [false, true] {
            let size = 24;
            let mut volume = BackProjection::new(24, 2.0, size);
            let slices = slices(size, bent);
            insert_slices(&mut volume, 0, size, &slices);
            let mut plain = BackProjection::new(24, 2.0, size);
            let shape = plain.shape.for_kernels();
            let (planes, plane) = (plain.shape.depth(), plain.shape.plane());
            let mut whole = Slab {
                first: 0,
                planes,
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
            assert_eq!(volume.weight, plain.weight);
            assert_eq!(volume.data, plain.data);
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
