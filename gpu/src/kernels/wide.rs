//! getDiff, second pass, where many samples share an orientation (wide posteriors): a thread a sample.
//!
//! A block has the slices of one coarse orientation's children and takes up to 128 images that count there, 128 of their
//! samples at a time. Slices, images and phases of a few pixels lie in shared memory; a thread runs over all pixels with the
//! differences of its sample, eight orientations × four shifts, in registers. No difference is put together from several
//! threads, and a slice is read once for 128 samples. `fine.rs` has the kernels for few samples an orientation.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::fine::difference;
use super::groups::{Compared, Phases, Samples, Slices};
use crate::samples::{Pair, Parent, product};
use crate::shapes::{
    WIDE_IMAGE_ROW, WIDE_IMAGES, WIDE_PIXELS, WIDE_POWER_ROW, WIDE_SLICE_ROW, wide_words,
};

const O: usize = 8;
const T: usize = 4;

/// Differences of the samples of each parent: what [`fine_differences_8x4`](super::fine::fine_differences_8x4) computes.
///
/// Grid: x = parents × `parts`, y = tiles of orientation children, z = tiles of shift children; the blocks of a parent share
/// its images, 128 at a time. `slices` begin with those of the first of `parents`; `shifts` are the coarse ones. Other
/// arguments as there.
#[kernel(
    block = 128,
    grid = [parent_count * parts, samples.orientation_children / 8, samples.shift_children / 4],
    shared = wide_words(shifts)
)]
pub unsafe fn fine_differences_wide(
    #[len(parent_count)] parents: *const Parent,
    #[launch] parent_count: u32,
    parts: u32,
    #[unchecked] pairs: *const Pair,
    #[group] samples: Samples,
    #[group] slices: Slices,
    #[group] compared: Compared,
    #[group] phases: Phases,
    shifts: u32,
    #[unchecked] values: *mut f32,
) {
    // SAFETY: pairs and samples are those of the parent; the host's tiles cover the children exactly.
    unsafe {
        let (row, part) = (thread::block_idx_x() / parts, thread::block_idx_x() % parts);
        let parent = *parents.add(row as usize);
        let first_o = thread::block_idx_y() * O as u32;
        let first_t = thread::block_idx_z() * T as u32;
        let slice = (row * samples.orientation_children + first_o) as usize;
        let pixels = Pixels {
            shared: Layout::new(shifts),
            pairs,
            slices: Slices {
                rows: slices.rows.add(slice * slices.stride as usize),
                ..slices
            },
            compared,
            phases: Phases {
                rows: phases.rows.add(first_t as usize * phases.stride as usize),
                ..phases
            },
            shift_step: samples.shift_children,
            shifts,
        };
        let mut begin = parent.begin + part * WIDE_IMAGES;
        while begin < parent.end {
            let end = (begin + WIDE_IMAGES).min(parent.end);
            let list = SampleList::new(pairs, begin..end, pixels.shared.begins);
            let mut round = 0;
            while round < list.count {
                // Threads beyond the last sample repeat it, and do not write.
                let i = round + thread::thread_idx_x();
                let of_pair = list.pair_of(i.min(list.count - 1));
                let first = list.pair_of(round);
                let last = list.pair_of((round + thread::block_dim_x()).min(list.count) - 1);
                let pair = *pairs.add((begin + of_pair) as usize);
                let s = pair.begin + i.min(list.count - 1) - list.begin_of(of_pair);
                let shift = (*samples.list.add(s as usize)).shift;
                let (cross, norm) =
                    pixels.products([begin + first, begin + last], of_pair - first, shift);
                if i < list.count {
                    for o in 0..O {
                        let row = s as usize * samples.orientation_children as usize
                            + first_o as usize
                            + o;
                        let out =
                            values.add(row * samples.shift_children as usize + first_t as usize);
                        for (t, &cross) in cross[o].iter().enumerate() {
                            *out.add(t) =
                                difference(compared.powers, pair.image as usize, norm[o], cross);
                        }
                    }
                }
                round += thread::block_dim_x();
            }
            begin += parts * WIDE_IMAGES;
        }
    }
}

/// Where things lie in shared memory.
#[derive(Clone, Copy)]
struct Layout {
    /// (re, im) of the children's slices: a row a pixel.
    slices: Shared,
    /// |A|² of the same.
    powers: Shared,
    /// Weighted images: a row a pixel, (re, im) of each image.
    images: Shared,
    /// ½·(sC)²·V, likewise.
    weights: Shared,
    /// e^{iφ} of the shifts' children: four a shift, a row of all shifts a pixel.
    phases: Shared,
    /// Samples before each pair.
    begins: Shared,
}

impl Layout {
    #[inline(always)]
    fn new(shifts: u32) -> Self {
        let slices = Shared::dynamic(0);
        let powers = slices.offset(WIDE_PIXELS * 2 * WIDE_SLICE_ROW);
        let phases = powers.offset(WIDE_PIXELS * WIDE_SLICE_ROW);
        let images = phases.offset(WIDE_PIXELS * shifts * 2 * T as u32);
        let weights = images.offset(WIDE_PIXELS * WIDE_IMAGE_ROW);
        let begins = weights.offset(WIDE_PIXELS * WIDE_POWER_ROW);
        Self {
            slices,
            powers,
            images,
            weights,
            phases,
            begins,
        }
    }
}

/// The samples of up to 128 pairs, one after the other.
struct SampleList {
    begins: Shared,
    pairs: u32,
    count: u32,
}

impl SampleList {
    /// Sums up the numbers of samples. All threads of the block come here.
    #[inline(always)]
    unsafe fn new(pairs: *const Pair, range: core::ops::Range<u32>, begins: Shared) -> Self {
        let rank = thread::thread_idx_x();
        // SAFETY: a place a thread, and one more.
        unsafe {
            let mut own = 0;
            if range.start + rank < range.end {
                let pair = *pairs.add((range.start + rank) as usize);
                own = pair.end - pair.begin;
            }
            // Nobody reads the last list any more.
            thread::sync_threads();
            begins.store_u32(rank + 1, own);
            if rank == 0 {
                begins.store_u32(0, 0);
            }
            thread::sync_threads();
            let mut step = 1;
            while step < thread::block_dim_x() {
                let below = if rank >= step {
                    begins.load_u32(rank + 1 - step)
                } else {
                    0
                };
                thread::sync_threads();
                own += below;
                begins.store_u32(rank + 1, own);
                thread::sync_threads();
                step *= 2;
            }
            let pairs = range.end - range.start;
            Self {
                begins,
                pairs,
                count: begins.load_u32(pairs),
            }
        }
    }

    /// Samples before pair `k`.
    #[inline(always)]
    unsafe fn begin_of(&self, k: u32) -> u32 {
        // SAFETY: the caller's pair exists.
        unsafe { self.begins.load_u32(k) }
    }

    /// The pair of sample `i`, which exists.
    #[inline(always)]
    unsafe fn pair_of(&self, i: u32) -> u32 {
        let (mut low, mut high) = (0, self.pairs);
        while high - low > 1 {
            let middle = (low + high) / 2;
            // SAFETY: below the number of pairs.
            if unsafe { self.begin_of(middle) } <= i {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Slices, images and phases in global memory, and where they go in shared memory.
struct Pixels {
    shared: Layout,
    pairs: *const Pair,
    slices: Slices,
    compared: Compared,
    phases: Phases,
    /// Rows of phases from one coarse shift to the next.
    shift_step: u32,
    shifts: u32,
}

impl Pixels {
    /// Cross terms and powers of the slices with the image in place `place` at the children of `shift`, over all pixels.
    /// Images are those of pairs `first`…`last`. All threads of the block come here.
    #[inline(always)]
    unsafe fn products(
        &self,
        [first, last]: [u32; 2],
        place: u32,
        shift: u32,
    ) -> ([[f32; T]; O], [f32; O]) {
        let mut cross = [[0.0f32; T]; O];
        let mut norm = [0.0f32; O];
        let mut begin = 0;
        while begin < self.compared.pixels {
            // SAFETY: what is stored and loaded lies in the layout; barriers separate the two.
            unsafe {
                thread::sync_threads();
                self.bring_slices(begin);
                self.bring_phases(begin);
                self.bring_images(begin, first, last);
                thread::sync_threads();
                for q in 0..WIDE_PIXELS {
                    self.add(q, place, shift, &mut cross, &mut norm);
                }
            }
            begin += WIDE_PIXELS;
        }
        (cross, norm)
    }

    /// Adds pixel `q` of those in shared memory.
    #[inline(always)]
    unsafe fn add(
        &self,
        q: u32,
        place: u32,
        shift: u32,
        cross: &mut [[f32; T]; O],
        norm: &mut [f32; O],
    ) {
        let Layout {
            slices,
            powers,
            images,
            weights,
            phases,
            ..
        } = self.shared;
        // SAFETY: inside the layout.
        unsafe {
            let f = images.load2(q * WIDE_IMAGE_ROW + 2 * place);
            let weight = weights.load(q * WIDE_POWER_ROW + place);
            let row = (q * self.shifts + shift) * 2 * T as u32;
            let (e, e_) = (phases.load4(row), phases.load4(row + 4));
            let shifted = [
                product(f, [e[0], e[1]]),
                product(f, [e[2], e[3]]),
                product(f, [e_[0], e_[1]]),
                product(f, [e_[2], e_[3]]),
            ];
            for half in 0..2 {
                let power = powers.load4(q * WIDE_SLICE_ROW + 4 * half);
                for k in 0..2 {
                    let two = slices.load4(q * 2 * WIDE_SLICE_ROW + 8 * half + 4 * k);
                    for j in 0..2 {
                        let o = (4 * half + 2 * k) as usize + j;
                        let a = [two[2 * j], two[2 * j + 1]];
                        norm[o] = weight.mul_add(power[2 * k as usize + j], norm[o]);
                        for t in 0..T {
                            cross[o][t] = a[0].mul_add(shifted[t][0], cross[o][t]);
                            cross[o][t] = a[1].mul_add(shifted[t][1], cross[o][t]);
                        }
                    }
                }
            }
        }
    }

    /// Brings the children's slices from pixel `begin` on; zeros beyond the last pixel.
    #[inline(always)]
    unsafe fn bring_slices(&self, begin: u32) {
        let Layout { slices, powers, .. } = self.shared;
        let mut i = thread::thread_idx_x();
        while i < O as u32 * WIDE_PIXELS {
            let (o, q) = (i / WIDE_PIXELS, i % WIDE_PIXELS);
            // SAFETY: the row exists, and the pixel is checked.
            unsafe {
                let mut a = [0.0, 0.0];
                if begin + q < self.compared.pixels {
                    let row = o as usize * self.slices.stride as usize;
                    a = memory::load2(self.slices.rows, row + (begin + q) as usize);
                }
                slices.store2(q * 2 * WIDE_SLICE_ROW + 2 * o, a);
                powers.store(q * WIDE_SLICE_ROW + o, a[0] * a[0] + a[1] * a[1]);
            }
            i += thread::block_dim_x();
        }
    }

    /// Brings the phases of the children of all shifts, likewise.
    #[inline(always)]
    unsafe fn bring_phases(&self, begin: u32) {
        let rows = self.shifts * T as u32;
        let mut i = thread::thread_idx_x();
        while i < rows * WIDE_PIXELS {
            let (row, q) = (i / WIDE_PIXELS, i % WIDE_PIXELS);
            // SAFETY: the row exists, and the pixel is checked.
            unsafe {
                let mut e = [0.0, 0.0];
                if begin + q < self.compared.pixels {
                    let (shift, t) = (row / T as u32, row % T as u32);
                    let row = (shift * self.shift_step + t) as usize * self.phases.stride as usize;
                    e = memory::load2(self.phases.rows, row + (begin + q) as usize);
                }
                self.shared.phases.store2((q * rows + row) * 2, e);
            }
            i += thread::block_dim_x();
        }
    }

    /// Brings the images of pairs `first`…`last`, weighted as the comparison wants them, likewise.
    #[inline(always)]
    unsafe fn bring_images(&self, begin: u32, first: u32, last: u32) {
        let Layout {
            images, weights, ..
        } = self.shared;
        let mut i = thread::thread_idx_x();
        while i < (last + 1 - first) * WIDE_PIXELS {
            let (place, q) = (i / WIDE_PIXELS, i % WIDE_PIXELS);
            let (mut f, mut power) = ([0.0, 0.0], 0.0);
            // SAFETY: the pair exists, and the pixel is checked.
            unsafe {
                if begin + q < self.compared.pixels {
                    let p = (begin + q) as usize;
                    let image = (*self.pairs.add((first + place) as usize)).image as usize;
                    let scale = *self.compared.scales.add(image);
                    let (m, v, unweighted) = self.compared.load(image, scale, p);
                    f = unweighted.map(|f| f * m * v);
                    power = 0.5 * m * m * v;
                }
                images.store2(q * WIDE_IMAGE_ROW + 2 * place, f);
                weights.store(q * WIDE_POWER_ROW + place, power);
            }
            i += thread::block_dim_x();
        }
    }
}
