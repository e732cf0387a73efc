//! Insertion of weighted slices into back-projection volumes (spec 02 §1.3).
//!
//! Threads share the voxels, not the slices: the sums are cut into tiles of some planes and rows that fit the cache of a core. First the
//! pixels of slices are sorted by the tile that they touch, then tile after tile gets its own. So voxels are brought from memory
//! once for many slices, and pixels are read in the order in which they lie. Every voxel receives its contributions in slice order
//! whatever the number of threads: sums are reproducible to the last bit.

use super::bins::Bins;
use super::flat;
use super::tile::{Tile, Tiling, Workspace};
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape::{Dimensions, VolumeShape};
use gpu::slice::{Bend, SliceAxes};
use rayon::prelude::*;
use std::convert::Infallible;
use std::ops::Range;

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

/// Slices of which the pixels are sorted by one thread at a time.
const CHUNK: usize = 32;

/// Bytes of sorted pixels that wait to be added.
const WAITING: usize = 128 << 20;

/// Adds slices (of boxes of `size` pixels) to the back-projections that they belong to: class averages at the same time, volumes one
/// after the other, each by all threads. `inserter` keeps its memory for the next ones.
pub(super) fn insert_all(
    volumes: &mut [BackProjection],
    size: usize,
    slices: &[SumSlice],
    inserter: &mut Option<Inserter>,
) {
    let Some(shape) = volumes.first().map(|volume| volume.shape) else {
        return;
    };
    if shape.dimensions == Dimensions::Two {
        let volumes = volumes.par_iter_mut().enumerate();
        return volumes.for_each(|(number, volume)| insert_slices(volume, number, size, slices));
    }
    if inserter.as_ref().is_some_and(|i| i.size != size) {
        *inserter = None;
    }
    let inserter = inserter.get_or_insert_with(|| Inserter::new(&shape, size));
    for (number, volume) in volumes.iter_mut().enumerate() {
        inserter.insert_slices(volume, &of_volume(slices, number));
    }
}

fn of_volume(slices: &[SumSlice], number: usize) -> Vec<&SumSlice> {
    slices.iter().filter(|s| s.volume == number).collect()
}

/// Adds all slices of back-projection `number` (boxes of `size` pixels) to it.
pub fn insert_slices(volume: &mut BackProjection, number: usize, size: usize, slices: &[SumSlice]) {
    let slices = of_volume(slices, number);
    let is_flat = slices.iter().all(|slice| slice.bend.is_none());
    if volume.shape.dimensions == Dimensions::Two && is_flat {
        return flat::insert(volume, size, &slices);
    }
    Inserter::new(&volume.shape, size).insert_slices(volume, &slices);
}

/// Inserts slices as they are made; keeps its memory from one batch to the next.
pub struct Inserter {
    tiling: Tiling,
    /// Box of the slices, pixels.
    size: usize,
    /// Slices of an image.
    per_image: usize,
    chunks: Vec<Bins>,
}

/// Takes the slices that a thread has made.
pub struct Sorter<'a> {
    tiling: &'a Tiling,
    size: usize,
    bins: &'a mut Bins,
}

impl Sorter<'_> {
    /// Adds the slices of an image after those before it.
    pub fn add(&mut self, slices: &[SumSlice]) {
        self.bins.add(self.tiling, slices, self.size);
    }
}

impl Inserter {
    /// For sums of a shape, and slices of boxes of `size` pixels.
    pub fn new(shape: &VolumeShape, size: usize) -> Self {
        Self::with(Tiling::new(shape), size)
    }

    /// Pixels from a radius of so many padded voxels on go to the nearest voxel alone (`--NN`, spec 02 §1.3 step 6).
    pub fn with_nearest(mut self, radius: f64) -> Self {
        // Pixels exactly on the limit are among them, whatever the rounding.
        self.tiling.nearest2 = (radius * radius * (1.0 - 2e-6)) as f32;
        self
    }

    fn with(tiling: Tiling, size: usize) -> Self {
        Self {
            tiling,
            size,
            per_image: 1,
            chunks: Vec::new(),
        }
    }

    /// Every image has so many slices (1 where this is not called), so that memory is reserved for them.
    pub fn with_slices_per_image(self, per_image: usize) -> Self {
        Self { per_image, ..self }
    }

    /// Images whose slices are sorted by one thread at a time.
    fn chunk(&self) -> usize {
        (CHUNK / self.per_image).max(1)
    }

    /// Images that are best inserted together.
    pub fn batch(&self) -> usize {
        let chunks = WAITING / (CHUNK * Bins::bytes_of_slice(self.size)).max(1);
        self.chunk() * chunks.max(rayon::current_num_threads())
    }

    /// Adds `slices` to `volume`, which has the shape that the inserter was made for.
    fn insert_slices(&mut self, volume: &mut BackProjection, slices: &[&SumSlice]) {
        for slices in slices.chunks(self.batch()) {
            let sorted = self.insert(volume, slices.len(), |range, mut sorter| {
                for slice in &slices[range] {
                    sorter.add(std::slice::from_ref(*slice));
                }
                Ok::<(), Infallible>(())
            });
            match sorted {
                Ok(()) => {}
                Err(never) => match never {},
            }
        }
    }

    /// Adds the slices of `count` images to `volume`. `make` is called for ranges of them, in parallel, and hands the slices of its
    /// range to the sorter.
    ///
    /// # Errors
    /// The first error of `make`; nothing is added then.
    pub fn insert<E: Send>(
        &mut self,
        volume: &mut BackProjection,
        count: usize,
        make: impl Fn(Range<usize>, Sorter) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let (tiling, size, chunk) = (&self.tiling, self.size, self.chunk());
        let used = count.div_ceil(chunk);
        while self.chunks.len() < used {
            let pixels = self.per_image * chunk.min(count) * size * size / 2;
            self.chunks.push(Bins::new(tiling, pixels));
        }
        let chunks = &mut self.chunks[..used];
        let in_chunks = chunks.par_iter_mut().enumerate();
        in_chunks.try_for_each(|(number, bins)| {
            bins.clear();
            let first = number * chunk;
            let sorter = Sorter { tiling, size, bins };
            make(first..(first + chunk).min(count), sorter)
        })?;
        let chunks = &*chunks;
        let is_touched = |tile: usize| chunks.iter().any(|bins| !bins.is_empty(tile));
        Tile::all(volume, tiling)
            .into_par_iter()
            .enumerate()
            .filter(|(number, _)| is_touched(*number))
            .for_each_init(
                || Workspace::new(tiling),
                |workspace, (number, mut tile)| {
                    workspace.open(&tile);
                    for samples in chunks.iter().flat_map(|bins| bins.blocks(number)) {
                        workspace.add(samples);
                    }
                    workspace.close(&mut tile);
                },
            );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::euler;
    use gpu::slice::insertion;

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

    /// Adds slices pixel by pixel, as the formula says.
    fn insert_plainly(volume: &mut BackProjection, size: usize, slices: &[SumSlice]) {
        let shape = volume.shape.for_kernels();
        for slice in slices {
            for (i, &[re, im, w]) in slice.values.iter().enumerate() {
                let width = size / 2 + 1;
                let (x, y) = (
                    (i % width) as f32,
                    (i / width) as f32 - (size / 2) as f32 + 1.0,
                );
                let mut p = slice.axes.position(x, y);
                if let Some(bend) = &slice.bend {
                    p = bend.bent(p, x, y);
                }
                let Some(at) = insertion(&shape, shape.max_radius2, p).filter(|_| w > 0.0) else {
                    continue;
                };
                let im = if at.conjugate { -im } else { im };
                for corner in 0..shape.corners() {
                    let (offset, share) = at.corner(&shape, corner);
                    let share = f64::from(share);
                    volume.data[at.base + offset].re += share * f64::from(re);
                    volume.data[at.base + offset].im += share * f64::from(im);
                    volume.weight[at.base + offset] += share * f64::from(w);
                }
            }
        }
    }

    /// The division by planes and rows adds every pixel exactly once: the same sums as a plain loop over slices, flat or bent,
    /// whatever the tiles.
    #[test]
    fn tiles_receive_every_pixel_once() {
        for bent in [false, true] {
            let size = 24;
            let slices = slices(size, bent);
            let mut plain = BackProjection::new(24, 2.0, size);
            insert_plainly(&mut plain, size, &slices);
            assert!(plain.weight.iter().sum::<f64>() > 1000.0);
            for tile in [[51, 51], [16, 7], [3, 5], [1, 1]] {
                let mut volume = BackProjection::new(24, 2.0, size);
                let mut inserter = Inserter::with(Tiling::of(&volume.shape, tile), size);
                let make = |range: Range<usize>, mut sorter: Sorter| {
                    for slice in &slices[range] {
                        sorter.add(std::slice::from_ref(slice));
                    }
                    Ok::<(), ()>(())
                };
                inserter.insert(&mut volume, slices.len(), make).unwrap();
                assert_eq!(volume.weight, plain.weight, "{tile:?}");
                assert_eq!(volume.data, plain.data, "{tile:?}");
            }
        }
    }

    /// Beyond a radius pixels go to the nearest voxel, or the mate of one with x < 0.
    #[test]
    fn nearest_voxels_take_whole_pixels() {
        let size = 24;
        let axes = SliceAxes {
            x_axis: [-1.3, 1.6, 0.4],
            y_axis: [0.1, 0.3, 1.9],
        };
        let pixel = |x: usize, row: usize| {
            let mut values = vec![[0.0; 3]; size * (size / 2 + 1)];
            values[row * (size / 2 + 1) + x] = [2.0, 3.0, 5.0];
            let slice = SumSlice {
                volume: 0,
                axes,
                bend: None,
                values,
            };
            let mut volume = BackProjection::new(24, 2.0, size);
            let mut inserter = Inserter::new(&volume.shape, size).with_nearest(10.0);
            let make = |_: Range<usize>, mut sorter: Sorter| {
                sorter.add(std::slice::from_ref(&slice));
                Ok::<(), ()>(())
            };
            inserter.insert(&mut volume, 1, make).unwrap();
            volume
        };
        // Pixel (5, 3): p = (−6.2, 8.9, 7.7), |p| = 13.3; the mate of its nearest voxel is (6, −9, −8).
        let volume = pixel(5, 14);
        let (half, width, side) = (
            volume.shape.half(),
            volume.shape.half() + 1,
            volume.shape.side,
        );
        let at = ((half - 8) * side + half - 9) * width + 6;
        assert_eq!(volume.data[at], num_complex::Complex64::new(2.0, -3.0));
        assert_eq!(volume.weight[at], 5.0);
        assert_eq!(volume.weight.iter().filter(|w| **w > 0.0).count(), 1);
        // Pixel (1, 1) is closer to the origin: its value is shared.
        let near = pixel(1, 12);
        assert_eq!(near.weight.iter().filter(|w| **w > 0.0).count(), 8);
    }

    /// A second insertion adds to the first.
    #[test]
    fn sums_grow() {
        let size = 24;
        let slices = slices(size, true);
        let mut plain = BackProjection::new(24, 2.0, size);
        insert_plainly(&mut plain, size, &slices);
        let mut volume = BackProjection::new(24, 2.0, size);
        for part in [&slices[..5], &slices[5..]] {
            insert_slices(&mut volume, 0, size, part);
        }
        assert_eq!(volume.weight, plain.weight);
        assert_eq!(volume.data, plain.data);
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
