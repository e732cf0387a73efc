//! Coarse samples as the kernels of the first pass go through them: ln W from the two matrix products.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use super::significance::Samples;
use crate::shapes::ALL_CLASSES;

/// The parts of ln W of the coarse samples of all images.
#[group]
pub struct Logs {
    /// Re Σ conj(A)·X of each orientation, image and shift: `cross[(o · images + i) · shifts + t]`.
    #[len(orientations * images * shifts)]
    pub cross: *const f32,
    /// ½Σ|A|² of each orientation and image: `norm[o · images + i]`.
    #[len(orientations * images)]
    pub norm: *const f32,
    /// ln of the prior of each orientation.
    #[len(orientations)]
    pub log_prior: *const f32,
    /// Class of each orientation.
    #[len(orientations)]
    pub class_of: *const u32,
    /// ln of the prior of each shift, a list per image and class, or per image.
    #[len(images * offset_lists * shifts)]
    pub offset_log_prior: *const f32,
    /// Lists per image: 1 for all classes, or one per class.
    pub offset_lists: u32,
    /// The class that each image visits, or [`ALL_CLASSES`].
    #[len(images)]
    pub visited: *const u32,
    /// Null, or for cross-correlation √Σ|F|² of each image; then no priors count.
    #[optional(images)]
    pub powers: *const f32,
    /// Orientations of all classes.
    pub orientations: u32,
    /// Images.
    pub images: u32,
    /// Shifts.
    pub shifts: u32,
}

impl Logs {
    /// Those of one image.
    ///
    /// # Safety
    /// The image exists.
    #[inline(always)]
    pub unsafe fn of_image(self, image: u32) -> ImageLogs {
        // SAFETY: the caller's image.
        unsafe {
            ImageLogs {
                own_class: *self.visited.add(image as usize),
                power: if self.powers.is_null() {
                    0.0
                } else {
                    *self.powers.add(image as usize)
                },
                image,
                all: self,
            }
        }
    }
}

/// ln W of the samples of one image.
#[derive(Clone, Copy)]
pub struct ImageLogs {
    pub all: Logs,
    pub image: u32,
    /// The class it visits, or [`ALL_CLASSES`].
    pub own_class: u32,
    /// √Σ|F|² in cross-correlations, else 0.
    pub power: f32,
}

impl ImageLogs {
    /// ln of the prior of a sample; −∞ in a class that the image does not visit.
    ///
    /// # Safety
    /// The sample exists.
    #[inline(always)]
    pub unsafe fn prior(&self, o: u32, t: u32) -> f32 {
        let all = &self.all;
        // SAFETY: o and t are rows of the tables.
        unsafe {
            if self.own_class != ALL_CLASSES && *all.class_of.add(o as usize) != self.own_class {
                return f32::NEG_INFINITY;
            }
            if self.power > 0.0 {
                return 0.0;
            }
            let list = match all.offset_lists {
                1 => 0,
                _ => *all.class_of.add(o as usize),
            };
            let row = self.image as usize * all.offset_lists as usize + list as usize;
            let offset = *all
                .offset_log_prior
                .add(row * all.shifts as usize + t as usize);
            *all.log_prior.add(o as usize) + offset
        }
    }

    /// ln W of the sample; in cross-correlations the correlation.
    ///
    /// # Safety
    /// The sample exists.
    #[inline(always)]
    pub unsafe fn log(&self, o: u32, t: u32) -> f32 {
        let all = &self.all;
        // SAFETY: o and t are rows of the tables.
        unsafe {
            let row = o as usize * all.images as usize + self.image as usize;
            let cross = *all.cross.add(row * all.shifts as usize + t as usize);
            let norm = *all.norm.add(row);
            if self.power > 0.0 {
                // Cross-correlation: the best is the largest.
                cross / ((2.0 * norm).sqrt() * self.power) + self.prior(o, t)
            } else {
                self.prior(o, t) - (norm - cross)
            }
        }
    }
}

/// The samples of one image, as a block goes through them.
pub struct CoarseSamples {
    pub logs: ImageLogs,
    pub orientations: u32,
    /// Largest ln W of each orientation.
    pub bounds: *const f32,
    /// Words of a reduction.
    pub scratch: Shared,
    /// A word a thread.
    pub near: Shared,
}

impl CoarseSamples {
    /// Largest ln W of the image; all threads get the answer.
    ///
    /// # Safety
    /// All threads of the block take part.
    #[inline(always)]
    pub unsafe fn largest(&self) -> f32 {
        let mut largest = f32::NEG_INFINITY;
        let mut o = thread::thread_idx_x();
        // SAFETY: below the number of orientations; all threads reach the reduction.
        unsafe {
            while o < self.orientations {
                largest = largest.max(*self.bounds.add(o as usize));
                o += thread::block_dim_x();
            }
            block::max(largest, self.scratch)
        }
    }
}

impl Samples for CoarseSamples {
    /// Orientation and shift.
    type At = (u32, u32);

    #[inline(always)]
    unsafe fn visit(
        &self,
        max_log: f32,
        cutoff: f32,
        mut visit: impl FnMut(bool, (u32, u32), f32),
    ) {
        let (threads, rank) = (thread::block_dim_x(), thread::thread_idx_x());
        let shifts = self.logs.all.shifts;
        let mut begin = 0;
        while begin < self.orientations {
            // SAFETY: orientations are checked; their list has a word a thread. It is written after the first barrier of the
            // ranking, which all threads reach when they have read what was in it.
            unsafe {
                let o = begin + rank;
                let is_near =
                    o < self.orientations && max_log - *self.bounds.add(o as usize) <= cutoff;
                let (place, number) = block::rank_among(is_near, self.scratch);
                if is_near {
                    self.near.store_u32(place, o);
                }
                thread::sync_threads();
                let samples = number * shifts;
                let mut start = 0;
                while start < samples {
                    let s = start + rank;
                    let there = s < samples;
                    let (mut o, mut t, mut log) = (0, 0, 0.0);
                    if there {
                        (o, t) = (self.near.load_u32(s / shifts), s % shifts);
                        log = self.logs.log(o, t);
                    }
                    // All threads go the same way: what is called has barriers.
                    visit(there, (o, t), log);
                    start += threads;
                }
            }
            begin += threads;
        }
    }
}
