//! getDiff, first pass of local searches (spec 01 §5): projects and compares in one go.
//!
//! A block has one image and up to 256 of its orientations, a thread each. Of 64 pixels at a time the image, weighted and at
//! all shifts, lies in shared memory, where all threads read the same pixel at the same time. A thread interpolates its
//! slice at that pixel and keeps the sums of its orientation with all shifts in registers: nothing of a slice goes through
//! memory, and no sums are put together. Orientations of a local search are neighbours, so their pixels lie side by side in the
//! reference; `walk` takes neighbouring pixels after each other, so that the next ones lie there too.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::fine::difference;
use super::groups::{Compared, Phases, References};
use super::image_share::ctf_or_one;
use crate::samples::{OwnOrientation, product};
#[cfg(target_arch = "nvptx64")]
use crate::shapes::local_registers;
#[cfg(not(target_arch = "nvptx64"))]
use crate::shapes::{LOCAL_BLOCK, local_threads};
use crate::shapes::{LOCAL_HEAD, LOCAL_PIXELS, LOCAL_SUM, local_row};
use crate::slice::{SliceAxes, VolumeShape, slice_value_from};

/// Entry points that differ in the number of shifts of a thread only.
macro_rules! local_differences {
    ($($(#[$doc:meta])* $name:ident = $shifts:literal;)*) => {$(
        $(#[$doc])*
        #[kernel(
            block = LOCAL_BLOCK,
            threads = local_threads(most),
            grid = [compared.count, most.div_ceil(BLOCK), shifts.div_ceil($shifts)],
            shared = LOCAL_PIXELS * local_row($shifts),
            registers = local_registers($shifts)
        )]
        pub unsafe fn $name(
            #[launch] most: u32,
            #[len(compared.count + 1)] first: *const u32,
            #[unchecked] own: *const OwnOrientation,
            #[group] references: References,
            #[len(compared.pixels)] walk: *const u32,
            #[unchecked] pixels: *const [i16; 2],
            #[group] compared: Compared,
            #[group] phases: Phases,
            shifts: u32,
            #[unchecked] values: *mut f32,
        ) {
            // SAFETY: passed on.
            unsafe {
                let image = thread::block_idx_x() as usize;
                let at = image * compared.stride as usize;
                Neighbourhood {
                    orientations: Range::of_block(*first.add(image), *first.add(image + 1)),
                    own,
                    references,
                    shape: *references.shape,
                    pixels: Pixels {
                        walk,
                        pixels,
                        compared: Compared {
                            images: compared.images.add(at),
                            ctf: match compared.ctf.is_null() {
                                true => compared.ctf,
                                false => compared.ctf.add(at),
                            },
                            ..compared
                        },
                        scale: *compared.scales.add(image),
                        phases,
                        shifts,
                        first_shift: thread::block_idx_z() * $shifts,
                    },
                    values,
                }
                .compare::<$shifts>(image)
            }
        }
    )*};
}

local_differences! {
    /// Up to ten shifts at once.
    ///
    /// Grid: x = images, y = tiles of orientations, of which an image has `most` at most, z = tiles of shifts. The orientations of
    /// image i are `own[first[i]…first[i+1]]`, their rows those of `references`. `walk` has the compared pixels in the order in
    /// which they are gone through.
    /// `values[orientation · shifts + t]`, the orientation counted over all images, receives the difference without the
    /// constants of the image, or minus the correlation.
    local_differences_10 = 10;
    /// Up to 22 shifts at once; arguments as [`local_differences_10`].
    local_differences_22 = 22;
    /// Up to 32 shifts at once; arguments as [`local_differences_10`].
    local_differences_32 = 32;
    /// Up to 40 shifts at once; arguments as [`local_differences_10`].
    local_differences_40 = 40;
}

/// Both take the same arguments.
#[cfg(not(target_arch = "nvptx64"))]
macro_rules! from_ten_shifts {
    ($($kernel:ident)*) => {$(
        impl From<LocalDifferences10> for $kernel {
            fn from(a: LocalDifferences10) -> Self {
                Self {
                    most: a.most,
                    first: a.first,
                    own: a.own,
                    references: a.references,
                    walk: a.walk,
                    pixels: a.pixels,
                    compared: a.compared,
                    phases: a.phases,
                    shifts: a.shifts,
                    values: a.values,
                }
            }
        }
    )*};
}

#[cfg(not(target_arch = "nvptx64"))]
from_ten_shifts! { LocalDifferences22 LocalDifferences32 LocalDifferences40 }

/// Orientations of a block.
struct Range {
    begin: u32,
    end: u32,
}

impl Range {
    /// The share of this block in `begin`…`end`: as many as the other blocks have, in whole warps.
    #[inline(always)]
    fn of_block(begin: u32, end: u32) -> Self {
        let count = end - begin;
        let tiles = count.div_ceil(thread::block_dim_x()).max(1);
        let share = count.div_ceil(tiles).next_multiple_of(warp::WARP_SIZE);
        let begin = (begin + thread::block_idx_y() * share).min(end);
        Self {
            begin,
            end: (begin + share).min(end),
        }
    }
}

/// The image of a block.
struct Pixels {
    walk: *const u32,
    pixels: *const [i16; 2],
    /// The images from this one on.
    compared: Compared,
    scale: f32,
    phases: Phases,
    shifts: u32,
    first_shift: u32,
}

impl Pixels {
    /// Brings `count` pixels of the walk from `begin` on into shared memory: x, y, ½·(sC)²·V, and the weighted image at `T` shifts
    /// from the block's first on; zeros beyond the last shift.
    #[inline(always)]
    unsafe fn bring<const T: usize>(&self, begin: u32, count: u32, tile: Shared) {
        let mut i = thread::thread_idx_x();
        while i < count * T as u32 {
            let (q, t) = (i / T as u32, i % T as u32);
            // SAFETY: pixel and shift are checked.
            unsafe {
                let p = *self.walk.add((begin + q) as usize) as usize;
                let m = self.scale * ctf_or_one(self.compared.ctf, p);
                let v = memory::load(self.compared.weight, p);
                let row = q * local_row(T as u32);
                let shift = self.first_shift + t;
                let mut shifted = [0.0, 0.0];
                if shift < self.shifts {
                    let f = memory::load2(self.compared.images, p).map(|f| f * m * v);
                    let at = shift as usize * self.phases.stride as usize + p;
                    shifted = product(f, memory::load2(self.phases.rows, at));
                }
                tile.store2(row + LOCAL_HEAD + 2 * t, shifted);
                if t == 0 {
                    let [x, y] = *self.pixels.add(p);
                    let power = 0.5 * m * m * v;
                    tile.store4(row, [f32::from(x), f32::from(y), power, 0.0]);
                }
            }
            i += thread::block_dim_x();
        }
    }
}

/// An image and the orientations that a block compares with it.
struct Neighbourhood {
    orientations: Range,
    own: *const OwnOrientation,
    references: References,
    shape: VolumeShape,
    pixels: Pixels,
    values: *mut f32,
}

impl Neighbourhood {
    /// Compares each orientation with `T` shifts of the image, a thread an orientation.
    #[inline(always)]
    unsafe fn compare<const T: usize>(&self, image: usize) {
        let Range { begin, end } = self.orientations;
        if begin >= end {
            return;
        }
        let rank = thread::thread_idx_x();
        // Warps beyond the last orientation only help to bring pixels; threads beyond it repeat it, and do not write.
        let is_busy = begin + rank / warp::WARP_SIZE * warp::WARP_SIZE < end;
        let o = begin + rank;
        // SAFETY: the orientation is checked, and its row exists; all threads come to the barriers.
        unsafe {
            let row = (*self.own.add(o.min(end - 1) as usize)).row as usize;
            let axes = *self.references.axes.add(row);
            let class = *self.references.class_of.add(row) as usize;
            let volume = self.references.volumes.add(class * self.shape.len());
            let tile = Shared::dynamic(0);
            let (mut cross, mut norm) = ([0.0f32; T], 0.0f32);
            let mut norm_before = 0.0;
            let mut p = 0;
            while p < self.pixels.compared.pixels {
                if p > 0 && p.is_multiple_of(LOCAL_SUM) {
                    self.put_down(o, p > LOCAL_SUM, &mut cross);
                    norm_before += norm;
                    norm = 0.0;
                }
                let count = LOCAL_PIXELS.min(self.pixels.compared.pixels - p);
                // Nobody reads the last pixels any more.
                thread::sync_threads();
                self.pixels.bring::<T>(p, count, tile);
                thread::sync_threads();
                if is_busy {
                    self.add(volume, &axes, tile, count, &mut cross, &mut norm);
                }
                p += LOCAL_PIXELS;
            }
            self.put_down(o, p > LOCAL_SUM, &mut cross);
            if o < end {
                for t in 0..T {
                    if let Some(at) = self.value_at(o, t) {
                        let value = self.values.add(at);
                        *value = difference(
                            self.pixels.compared.powers,
                            image,
                            norm_before + norm,
                            *value,
                        );
                    }
                }
            }
        }
    }

    /// Index of the value of orientation `o` and shift `t` of the block, `None` beyond the last shift.
    #[inline(always)]
    fn value_at(&self, o: u32, t: usize) -> Option<usize> {
        let (t, shifts) = (
            self.pixels.first_shift as usize + t,
            self.pixels.shifts as usize,
        );
        (t < shifts).then(|| o as usize * shifts + t)
    }

    /// Adds `cross` to the values of orientation `o`, or writes it there where `has_some` is false, and sets it to zero.
    ///
    /// One sum in single precision over all pixels would lose too many digits (`docs/numerics.md`).
    #[inline(always)]
    unsafe fn put_down<const T: usize>(&self, o: u32, has_some: bool, cross: &mut [f32; T]) {
        for (t, cross) in cross.iter_mut().enumerate() {
            if o < self.orientations.end
                && let Some(at) = self.value_at(o, t)
            {
                // SAFETY: there is a value per orientation and shift, and only this thread has those of the orientation.
                unsafe {
                    let value = self.values.add(at);
                    *value = if has_some { *value + *cross } else { *cross };
                }
            }
            *cross = 0.0;
        }
    }

    /// Adds the `count` pixels that are in shared memory.
    #[inline(always)]
    unsafe fn add<const T: usize>(
        &self,
        volume: *const [f32; 2],
        axes: &SliceAxes,
        tile: Shared,
        count: u32,
        cross: &mut [f32; T],
        norm: &mut f32,
    ) {
        let mut q = 0;
        while q < count {
            let row = q * local_row(T as u32);
            // SAFETY: a row a pixel; voxels are those of the shape.
            unsafe {
                let [x, y, power, _] = tile.load4(row);
                let at = axes.position(x, y);
                let a = slice_value_from(|i| memory::load2(volume, i), &self.shape, at);
                *norm = power.mul_add(a[0] * a[0] + a[1] * a[1], *norm);
                for t in 0..T / 2 {
                    let e = tile.load4(row + LOCAL_HEAD + 4 * t as u32);
                    for k in 0..2 {
                        let sum = &mut cross[2 * t + k];
                        *sum = a[0].mul_add(e[2 * k], *sum);
                        *sum = a[1].mul_add(e[2 * k + 1], *sum);
                    }
                }
            }
            q += 1;
        }
    }
}
