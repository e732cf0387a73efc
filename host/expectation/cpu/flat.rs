//! Insertion of weighted slices into the sums of a class average (spec 04 §7). A plane fits the cache of a core, so that slices are
//! added one after the other, without tiles: the same sums as [`super::insert::Inserter`] makes, to the last bit.

use super::insert::SumSlice;
use crate::fourier::backprojection::BackProjection;
use gpu::slice::{VolumeShape, insertion_or_origin};
use num_complex::Complex64;

/// Adds flat slices (of boxes of `size` pixels) to a plane of sums, in their order.
pub(super) fn insert(plane: &mut BackProjection, size: usize, slices: &[&SumSlice]) {
    let (shape, limit2) = (plane.shape.for_kernels(), plane.shape.insertion_limit2());
    pulp::Arch::new().dispatch(Insert {
        data: &mut plane.data,
        weight: &mut plane.weight,
        shape,
        limit2,
        slices,
        size,
    });
}

/// Pixels whose places are worked out together.
const LANES: usize = 16;

/// All pixels of some slices, a struct so that it is compiled for the widest vectors of the machine.
struct Insert<'a> {
    data: &'a mut [Complex64],
    weight: &'a mut [f64],
    shape: VolumeShape,
    /// Largest |p|² that is inserted.
    limit2: f32,
    slices: &'a [&'a SumSlice],
    size: usize,
}

impl pulp::NullaryFnOnce for Insert<'_> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let (first, width) = (1.0 - (self.size / 2) as f32, self.size / 2 + 1);
        for slice in self.slices {
            for (row, values) in slice.values.chunks_exact(width).enumerate() {
                self.add_row(slice, first + row as f32, values);
            }
        }
    }
}

impl Insert<'_> {
    /// Adds a row of pixels.
    #[inline(always)]
    fn add_row(&mut self, slice: &SumSlice, y: f32, values: &[[f32; 3]]) {
        for (number, values) in values.chunks(LANES).enumerate() {
            if values.iter().all(|[.., w]| *w <= 0.0) {
                continue;
            }
            let mut inside = [false; LANES];
            let mut base = [0; LANES];
            let mut fraction = [[0.0; LANES]; 2];
            let mut sign = [0.0; LANES];
            for lane in 0..LANES {
                let x = (number * LANES + lane) as f32;
                let p = slice.axes.position(x, y);
                let (is_inside, corner) = insertion_or_origin(&self.shape, self.limit2, p);
                inside[lane] = is_inside;
                base[lane] = corner.place[1] * self.shape.row() as u32 + corner.place[0];
                fraction[0][lane] = corner.fraction[0];
                fraction[1][lane] = corner.fraction[1];
                sign[lane] = if corner.conjugate { -1.0 } else { 1.0 };
            }
            for (lane, &[re, im, w]) in values.iter().enumerate() {
                if w > 0.0 && inside[lane] {
                    let value = [re, sign[lane] * im, w].map(f64::from);
                    self.share(
                        base[lane] as usize,
                        [fraction[0][lane], fraction[1][lane]],
                        value,
                    );
                }
            }
        }
    }

    /// Shares a value between the four voxels around a pixel, of which `base` is the first.
    #[inline(always)]
    fn share(&mut self, base: usize, [fx, fy]: [f32; 2], [re, im, w]: [f64; 3]) {
        for (at, share) in [(base, 1.0 - fy), (base + self.shape.row(), fy)] {
            let shares = [f64::from(share * (1.0 - fx)), f64::from(share * fx)];
            let (data, weight) = (
                self.data.get_mut(at..at + 2),
                self.weight.get_mut(at..at + 2),
            );
            if let (Some([left, right]), Some([left_weight, right_weight])) = (data, weight) {
                left.re += shares[0] * re;
                left.im += shares[0] * im;
                right.re += shares[1] * re;
                right.im += shares[1] * im;
                *left_weight += shares[0] * w;
                *right_weight += shares[1] * w;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::insert::Inserter;
    use super::*;
    use crate::fourier::shape::{Dimensions, VolumeShape};
    use crate::geometry::euler;
    use gpu::slice::SliceAxes;
    use std::convert::Infallible;

    /// Slices in the plane, two of them along its axes, with pixels without weight and pixels beyond the circle.
    fn slices(size: usize, padding: f32) -> Vec<SumSlice> {
        let slice = |psi: f64| {
            let a = euler::matrix(0.0, 0.0, psi);
            let step = |r: [f64; 3]| r.map(|v| padding * v as f32);
            let value = |i: usize| match i % 5 {
                0 => [0.0; 3],
                _ => [(i % 13) as f32 - 6.0, (i % 7) as f32, 1.0 + (i % 3) as f32],
            };
            SumSlice {
                volume: 0,
                axes: SliceAxes {
                    x_axis: step(a[0]),
                    y_axis: step(a[1]),
                },
                bend: None,
                values: (0..size * (size / 2 + 1)).map(value).collect(),
            }
        };
        [0.0, 90.0, 17.0, 133.0, 200.5, 301.0].map(slice).into()
    }

    /// A plane gets what tiles get, also on top of what is there.
    #[test]
    fn planes_get_the_sums_of_tiles() {
        for (size, padding) in [(24, 2.0), (20, 1.0), (34, 1.5)] {
            let shape = VolumeShape::new(Dimensions::Two, 36, padding, size);
            let all = slices(size, padding as f32);
            let mut plane = BackProjection::zeros(shape);
            let mut tiled = plane.clone();
            let mut inserter = Inserter::new(&shape, size);
            for part in [&all[..2], &all[2..]] {
                insert(&mut plane, size, &part.iter().collect::<Vec<_>>());
                let sorted = inserter.insert(&mut tiled, part.len(), |range, mut sorter| {
                    part[range]
                        .iter()
                        .for_each(|slice| sorter.add(std::slice::from_ref(slice)));
                    Ok::<(), Infallible>(())
                });
                sorted.unwrap();
            }
            assert!(plane.weight.iter().sum::<f64>() > 1000.0);
            assert_eq!(plane.weight, tiled.weight);
            assert_eq!(plane.data, tiled.data);
        }
    }
}
