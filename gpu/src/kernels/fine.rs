//! getDiff, second pass: differences of the children of significant samples (spec 01 §5, §6.3).
//!
//! A block does one pair (image, coarse orientation): for each of its shifts all children of the orientation against all
//! children of the shift, as a small product in registers. Orientations of class averages have few children, so there a
//! warp does one sample. Slices come from `project_slices`, once a batch. Where many samples share an orientation,
//! `wide.rs` takes the place of the tiles.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use super::groups::{Compared, Phases, Samples, Slices};
use crate::samples::{Pair, product};
use crate::shapes::FINE_WORDS;

/// Entry points that differ in their tile only: the method, and orientations and shifts of a block.
macro_rules! fine_differences {
    ($($(#[$doc:meta])* $name:ident = $method:ident, $orientations:literal x $shifts:literal;)*) => {$(
        $(#[$doc])*
        #[kernel(
            block = 128,
            grid = [pair_count, samples.orientation_children / $orientations, samples.shift_children / $shifts],
            shared = FINE_WORDS,
            emulate = OneWarp
        )]
        pub unsafe fn $name(
            #[launch] pair_count: u32,
            #[len(pair_count)] pairs: *const Pair,
            #[group] samples: Samples,
            first_parent: u32,
            #[group] slices: Slices,
            #[group] compared: Compared,
            #[group] phases: Phases,
            #[unchecked] values: *mut f32,
        ) {
            // SAFETY: passed on.
            unsafe {
                Tile {
                    samples,
                    first_parent,
                    slices,
                    compared,
                    phases,
                    values,
                }
                .$method(*pairs.add(thread::block_idx_x() as usize))
            }
        }
    )*};
}

fine_differences! {
    /// Eight orientations by four shifts a sample (`--oversampling 1`, and tiles of higher orders).
    ///
    /// Grid: x = pairs, y = tiles of orientation children, z = tiles of shift children; shared memory: `FINE_WORDS` words.
    /// Slices of parent u, child c: row (u − `first_parent`) · `orientation_children` + c of `slices`. `phases` has a row for
    /// each child of each shift.
    /// `values[(sample · orientation_children + o) · shift_children + t]` receives the difference without the constants of
    /// the image; for cross-correlation (`powers` not null) minus the correlation.
    fine_differences_8x4 = tiles, 8 x 4;
    /// One orientation and one shift a sample (`--oversampling 0`, fixed orientations, first passes of local searches);
    /// grid: y = orientation children, z = shift children; arguments as
    /// [`fine_differences_8x4`].
    fine_differences_1x1 = singles, 1 x 1;
}

/// Two orientations by four shifts a sample: class averages, whose psi alone has children (`--oversampling 1`, and tiles of
/// higher orders; spec 04 §3). A warp a sample.
///
/// Grid: x = samples, y = tiles of orientation children, z = tiles of shift children. `rank` is the number of parents before
/// each coarse orientation; samples of parents other than the `parent_count` from `first_parent` on are left out. Other
/// arguments as [`fine_differences_8x4`].
#[kernel(
    block = 128,
    grid = [sample_count.div_ceil(BLOCK / 32), samples.orientation_children / 2, samples.shift_children / 4],
    emulate = OneWarp
)]
pub unsafe fn fine_differences_2x4(
    #[group] samples: Samples,
    sample_count: u32,
    #[unchecked] rank: *const u32,
    first_parent: u32,
    parent_count: u32,
    #[group] slices: Slices,
    #[group] compared: Compared,
    #[group] phases: Phases,
    #[unchecked] values: *mut f32,
) {
    const O: usize = 2;
    const T: usize = 4;
    // SAFETY: samples are counted below sample_count, and their parents are checked; the host's tiles cover the children
    // exactly; pixels are counted below pixel_count.
    unsafe {
        let tile = Tile {
            samples,
            first_parent,
            slices,
            compared,
            phases,
            values,
        };
        let first_o = thread::block_idx_y() * O as u32;
        let first_t = thread::block_idx_z() * T as u32;
        let (warps, lane) = (thread::block_dim_x() / warp::WARP_SIZE, warp::lane_id());
        let mut s = thread::block_idx_x() * warps + thread::thread_idx_x() / warp::WARP_SIZE;
        while s < sample_count {
            let sample = *samples.list.add(s as usize);
            let parent = (*rank.add(sample.orientation as usize)).wrapping_sub(first_parent);
            if parent < parent_count {
                let row = parent * samples.orientation_children + first_o;
                let phase_row = sample.shift * samples.shift_children + first_t;
                let (cross, norm) =
                    tile.products::<O, T>(sample.image, row, phase_row, lane, warp::WARP_SIZE);
                let norm = norm.map(warp::sum);
                for o in 0..O {
                    let cross = cross[o].map(warp::sum);
                    if lane == 0 {
                        tile.put(
                            s,
                            sample.image,
                            [first_o + o as u32, first_t],
                            cross,
                            norm[o],
                        );
                    }
                }
            }
            s += thread::grid_dim_x() * warps;
        }
    }
}

struct Tile {
    samples: Samples,
    first_parent: u32,
    slices: Slices,
    compared: Compared,
    phases: Phases,
    values: *mut f32,
}

impl Tile {
    /// Eight orientations by four shifts, one sample of the pair after the other.
    #[inline(always)]
    unsafe fn tiles(&self, pair: Pair) {
        // SAFETY: the host's tiles cover the children exactly; pixels are counted below pixel_count.
        unsafe {
            let first_o = thread::block_idx_y() * 8;
            let first_t = thread::block_idx_z() * 4;
            let row =
                (pair.parent - self.first_parent) * self.samples.orientation_children + first_o;
            let mut scratch = [Shared::dynamic(0), Shared::dynamic(FINE_WORDS / 2)];
            for s in pair.begin..pair.end {
                let shift = (*self.samples.list.add(s as usize)).shift;
                let phase_row = shift * self.samples.shift_children + first_t;
                let (first, step) = (thread::thread_idx_x(), thread::block_dim_x());
                let (cross, norm) = self.products::<8, 4>(pair.image, row, phase_row, first, step);
                self.write(s, pair.image, [first_o, first_t], (cross, norm), scratch[0]);
                // Words that are being read are not written before all have passed the next barrier.
                scratch.swap(0, 1);
            }
        }
    }

    /// Cross terms and powers of `O` slices from row `row` on with the image at `T` shifts, over every `step`-th pixel from
    /// `first` on.
    #[inline(always)]
    unsafe fn products<const O: usize, const T: usize>(
        &self,
        image: u32,
        row: u32,
        phase_row: u32,
        first: u32,
        step: u32,
    ) -> ([[f32; T]; O], [f32; O]) {
        // SAFETY: the caller's rows exist; pixels are counted below pixel_count.
        unsafe {
            let image = image as usize;
            let slices = self
                .slices
                .rows
                .add(row as usize * self.slices.stride as usize);
            let phases = self
                .phases
                .rows
                .add(phase_row as usize * self.phases.stride as usize);
            let scale = *self.compared.scales.add(image);
            let mut cross = [[0.0f32; T]; O];
            let mut norm = [0.0f32; O];
            let mut p = first;
            while p < self.compared.pixels {
                let p_ = p as usize;
                let (m, v, f) = self.compared.load(image, scale, p_);
                let power = 0.5 * m * m * v;
                let f = f.map(|f| f * m * v);
                let mut shifted = [[0.0f32; 2]; T];
                for (t, shifted) in shifted.iter_mut().enumerate() {
                    let phase = memory::load2(phases, t * self.phases.stride as usize + p_);
                    *shifted = product(f, phase);
                }
                for o in 0..O {
                    let a = memory::load2(slices, o * self.slices.stride as usize + p_);
                    norm[o] = power.mul_add(a[0] * a[0] + a[1] * a[1], norm[o]);
                    for t in 0..T {
                        cross[o][t] = a[0].mul_add(shifted[t][0], cross[o][t]);
                        cross[o][t] = a[1].mul_add(shifted[t][1], cross[o][t]);
                    }
                }
                p += step;
            }
            (cross, norm)
        }
    }

    /// One orientation and one shift a sample, eight samples of the pair at a time, which share slice and image.
    #[inline(always)]
    unsafe fn singles(&self, pair: Pair) {
        const N: usize = 8;
        // SAFETY: as `tiles`; samples beyond the last of the pair are taken for it and not written.
        unsafe {
            let (o, t) = (thread::block_idx_y(), thread::block_idx_z());
            let image = pair.image as usize;
            let row = (pair.parent - self.first_parent) * self.samples.orientation_children + o;
            let slice = self
                .slices
                .rows
                .add(row as usize * self.slices.stride as usize);
            let scale = *self.compared.scales.add(image);
            let mut s = pair.begin;
            while s < pair.end {
                let mut phase_rows = [0usize; N];
                for (k, row) in phase_rows.iter_mut().enumerate() {
                    let sample = (s + k as u32).min(pair.end - 1);
                    let shift = (*self.samples.list.add(sample as usize)).shift;
                    *row = (shift * self.samples.shift_children + t) as usize
                        * self.phases.stride as usize;
                }
                let mut cross = [0.0f32; N];
                let mut norm = 0.0f32;
                let mut p = thread::thread_idx_x();
                while p < self.compared.pixels {
                    let p_ = p as usize;
                    let (m, v, f) = self.compared.load(image, scale, p_);
                    let f = f.map(|f| f * m * v);
                    let a = memory::load2(slice, p_);
                    norm = (0.5 * m * m * v).mul_add(a[0] * a[0] + a[1] * a[1], norm);
                    // Re(conj(A)·F·e^{iφ}) from conj(A)·F, which all shifts share.
                    let g = product([a[0], -a[1]], f);
                    for k in 0..N {
                        let e = memory::load2(self.phases.rows, phase_rows[k] + p_);
                        cross[k] = g[0].mul_add(e[0], cross[k]);
                        cross[k] = (-g[1]).mul_add(e[1], cross[k]);
                    }
                    p += thread::block_dim_x();
                }
                let scratch = Shared::dynamic(0);
                let norm = block::sum(norm, scratch);
                let cross = block::sums(cross, scratch);
                if thread::thread_idx_x() == 0 {
                    for (k, &cross) in cross.iter().enumerate() {
                        let sample = s + k as u32;
                        if sample < pair.end {
                            let row = sample * self.samples.orientation_children + o;
                            let at =
                                row as usize * self.samples.shift_children as usize + t as usize;
                            *self.values.add(at) =
                                difference(self.compared.powers, image, norm, cross);
                        }
                    }
                }
                s += N as u32;
            }
        }
    }

    /// Puts the sums of the threads together and writes the differences of a sample: a lane each.
    #[inline(always)]
    unsafe fn write(
        &self,
        s: u32,
        image: u32,
        [first_o, first_t]: [u32; 2],
        (cross, norm): ([[f32; 4]; 8], [f32; 8]),
        scratch: Shared,
    ) {
        // SAFETY: all threads come here; sample and children exist, and so do 40 words for each of four warps.
        unsafe {
            let mut flat = [0.0f32; 32];
            for o in 0..8 {
                for t in 0..4 {
                    flat[4 * o + t] = cross[o][t];
                }
            }
            let (cross, norm) = (block::sums_by_lane(flat), block::sums_by_lane(norm));
            let (rank, lane) = (thread::thread_idx_x(), warp::lane_id());
            let row = rank / warp::WARP_SIZE * 40;
            scratch.store(row + lane, cross);
            if lane < 8 {
                scratch.store(row + 32 + lane, norm);
            }
            thread::sync_threads();
            if rank < warp::WARP_SIZE {
                let (o, t) = (lane / 4, lane % 4);
                let (mut cross, mut norm) = (0.0, 0.0);
                for w in 0..thread::block_dim_x() / warp::WARP_SIZE {
                    cross += scratch.load(w * 40 + lane);
                    norm += scratch.load(w * 40 + 32 + o);
                }
                let row = s as usize * self.samples.orientation_children as usize
                    + (first_o + o) as usize;
                let at = row * self.samples.shift_children as usize + (first_t + t) as usize;
                *self.values.add(at) =
                    difference(self.compared.powers, image as usize, norm, cross);
            }
        }
    }

    /// Writes the differences of a sample at orientation child `o` with shift children from `t` on.
    #[inline(always)]
    unsafe fn put<const T: usize>(
        &self,
        s: u32,
        image: u32,
        [o, t]: [u32; 2],
        cross: [f32; T],
        norm: f32,
    ) {
        // SAFETY: sample and children exist.
        unsafe {
            let row = s as usize * self.samples.orientation_children as usize + o as usize;
            let out = self
                .values
                .add(row * self.samples.shift_children as usize + t as usize);
            for (t, &cross) in cross.iter().enumerate() {
                *out.add(t) = difference(self.compared.powers, image as usize, norm, cross);
            }
        }
    }
}

/// The difference, or minus the correlation where `powers`, √Σ|F|² an image, is not null.
///
/// # Safety
/// `powers` is null, or has the image.
#[inline(always)]
pub(super) unsafe fn difference(powers: *const f32, image: usize, norm: f32, cross: f32) -> f32 {
    if powers.is_null() {
        return norm - cross;
    }
    // SAFETY: the caller's.
    unsafe { -cross / ((2.0 * norm).sqrt() * *powers.add(image)) }
}
