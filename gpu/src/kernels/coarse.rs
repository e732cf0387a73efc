//! convert, first pass: products → ln W of every coarse sample, significance, the list of significant samples
//! (spec 01 §6).
//!
//! `cross[o · images · shifts + i · shifts + t]` and `norm[o · images + i]` are the two matrix products; ln W is formed
//! from them whenever it is needed, so that no third array of that size exists.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::{block, significance};
use crate::samples::{Sample, Selection};
use crate::shapes::{ALL_CLASSES, SELECT_WORDS};

struct Logs {
    cross: *const f32,
    norm: *const f32,
    log_prior: *const f32,
    class_of: *const u32,
    offset_log_prior: *const f32,
    offset_lists: u32,
    own_class: u32,
    power: f32,
    images: u32,
    shifts: u32,
    image: u32,
}

impl Logs {
    /// Orientation and shift of sample `s`.
    #[inline(always)]
    fn split(&self, s: u32) -> (u32, u32) {
        (s / self.shifts, s % self.shifts)
    }

    /// ln of the prior of a sample; −∞ in a class that the image does not visit.
    ///
    /// # Safety
    /// The sample exists.
    #[inline(always)]
    unsafe fn prior(&self, o: u32, t: u32) -> f32 {
        // SAFETY: o and t are rows of the tables.
        unsafe {
            if self.own_class != ALL_CLASSES && *self.class_of.add(o as usize) != self.own_class {
                return f32::NEG_INFINITY;
            }
            if self.power > 0.0 {
                return 0.0;
            }
            let list = match self.offset_lists {
                1 => 0,
                _ => *self.class_of.add(o as usize),
            };
            let row = self.image as usize * self.offset_lists as usize + list as usize;
            let offset = *self
                .offset_log_prior
                .add(row * self.shifts as usize + t as usize);
            *self.log_prior.add(o as usize) + offset
        }
    }

    /// # Safety
    /// The sample exists.
    #[inline(always)]
    unsafe fn log(&self, s: u32) -> f32 {
        let (o, t) = self.split(s);
        // SAFETY: o and t are rows of the tables.
        unsafe {
            let row = o as usize * self.images as usize + self.image as usize;
            let cross = *self.cross.add(row * self.shifts as usize + t as usize);
            let norm = *self.norm.add(row);
            if self.power > 0.0 {
                // Cross-correlation: the best is the largest.
                cross / ((2.0 * norm).sqrt() * self.power) + self.prior(o, t)
            } else {
                self.prior(o, t) - (norm - cross)
            }
        }
    }
}

/// Kernels over the coarse samples of one image a block: the shared arguments, then those of each; `logs` gives ln W.
macro_rules! over_coarse_samples {
    ($($(#[$doc:meta])* $name:ident($logs:ident, $image:ident, $samples:ident; $($(#[$length:meta])? $argument:ident: $type:ty),*) $body:block)*) => {$(
        $(#[$doc])*
        #[kernel(block = 512, grid = [images, 1, 1], shared = SELECT_WORDS, emulate = OneWarp)]
        pub unsafe fn $name(
            #[len(orientations * images * shifts)] cross: *const f32,
            #[len(orientations * images)] norm: *const f32,
            #[len(orientations)] log_prior: *const f32,
            #[len(orientations)] class_of: *const u32,
            #[len(images * offset_lists * shifts)] offset_log_prior: *const f32,
            offset_lists: u32,
            #[len(images)] visited: *const u32,
            #[optional(images)] powers: *const f32,
            orientations: u32,
            images: u32,
            shifts: u32,
            $($(#[$length])? $argument: $type,)*
        ) {
            // SAFETY: the host passes tables of the sizes that the documentation asks for; samples are counted below
            // orientations · shifts.
            unsafe {
                let $image = thread::block_idx_x();
                let $logs = Logs {
                    cross,
                    norm,
                    log_prior,
                    class_of,
                    offset_log_prior,
                    offset_lists,
                    own_class: *visited.add($image as usize),
                    power: if powers.is_null() {
                        0.0
                    } else {
                        *powers.add($image as usize)
                    },
                    images,
                    shifts,
                    image: $image,
                };
                let $samples = orientations * shifts;
                $body
            }
        }
    )*};
}

over_coarse_samples! {
    /// Selects the significant coarse samples of each image.
    ///
    /// Grid: x = images; shared memory: `SELECT_WORDS` words. `log_prior` and `class_of` are per orientation,
    /// `offset_log_prior` per image, class and shift (one list for all classes where `offset_lists` is 1), `visited` (a class or [`ALL_CLASSES`]) per image. `powers` is null, or for
    /// cross-correlation √Σ|F|² of each image; then no priors count, and samples within the share `fraction` of the best
    /// one are kept.
    coarse_select(logs, image, samples; fraction: f32, limit: u32, #[len(images)] out: *mut Selection, #[len(images)] kept: *mut u32) {
        let log = |s| logs.log(s);
        let found = if logs.power > 0.0 {
            significance::near_best(samples, log, fraction, Shared::dynamic(0))
        } else {
            significance::select(samples, log, fraction, limit, Shared::dynamic(0))
        };
        if thread::thread_idx_x() == 0 {
            *out.add(image as usize) = found;
            *kept.add(image as usize) = found.kept;
        }
    }

    /// Writes the significant samples of each image, in order of orientation and shift, from `first[image]` on; those that
    /// would be beyond `capacity` elements are left out.
    ///
    /// Arguments, grid and shared memory as [`coarse_select`], whose `out` is `selections`.
    coarse_list(logs, image, samples; #[len(images)] selections: *const Selection, #[len(images)] first: *const u32, capacity: u32, #[len(capacity)] out: *mut Sample) {
        let selection = *selections.add(image as usize);
        let samples = if selection.kept > 0 { samples } else { 0 };
        let mut next = *first.add(image as usize);
        let mut start = 0;
        while start < samples {
            let s = start + thread::thread_idx_x();
            let keep = s < samples && selection.keeps(logs.log(s));
            let (rank, all) = block::rank_among(keep, Shared::dynamic(0));
            if keep && next + rank < capacity {
                let (orientation, shift) = logs.split(s);
                *out.add((next + rank) as usize) = Sample {
                    image,
                    orientation,
                    shift,
                    log_prior: logs.prior(orientation, shift),
                };
            }
            next += all;
            start += thread::block_dim_x();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::launch::{View, emulate};

    #[test]
    fn significant_samples_are_listed_in_order() {
        let (orientations, images, shifts) = (40usize, 3usize, 5usize);
        let mut cross = test_data::values(orientations * images * shifts, 1);
        cross.iter_mut().for_each(|v| *v *= 8.0);
        let mut norm = test_data::values(orientations * images, 2);
        let mut log_prior = test_data::values(orientations, 3);
        let mut class_of: Vec<u32> = (0..orientations as u32).map(|o| o / 20).collect();
        // Class averages have offset priors of their own.
        let mut offset_prior = test_data::values(images * 2 * shifts, 4);
        // The second image visits class 1 only.
        let mut visited = vec![ALL_CLASSES, 1, ALL_CLASSES];
        let mut selections = vec![Selection::default(); images];
        let mut kept = vec![0u32; images];
        let (c, n, l) = (
            View::of(&mut cross),
            View::of(&mut norm),
            View::of(&mut log_prior),
        );
        let (k, f, v) = (
            View::of(&mut class_of),
            View::of(&mut offset_prior),
            View::of(&mut visited),
        );
        let (s, m) = (View::of(&mut selections), View::of(&mut kept));
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate(&CoarseSelect {
                cross: c,
                norm: n,
                log_prior: l,
                class_of: k,
                offset_log_prior: f,
                offset_lists: 2,
                visited: v,
                powers: View::null(),
                orientations: orientations as u32,
                images: images as u32,
                shifts: shifts as u32,
                fraction: 0.9,
                limit: u32::MAX,
                out: s,
                kept: m,
            })
        };
        let mut first: Vec<u32> = (0..images).map(|i| kept[..i].iter().sum()).collect();
        let mut out = vec![Sample::default(); kept.iter().sum::<u32>() as usize];
        let p = View::of(&mut first);
        let list = |out: &mut [Sample]| {
            let (capacity, o) = (out.len() as u32, View::of(out));
            // SAFETY: array sizes as the kernel demands.
            unsafe {
                emulate(&CoarseList {
                    cross: c,
                    norm: n,
                    log_prior: l,
                    class_of: k,
                    offset_log_prior: f,
                    offset_lists: 2,
                    visited: v,
                    powers: View::null(),
                    orientations: orientations as u32,
                    images: images as u32,
                    shifts: shifts as u32,
                    selections: s,
                    first: p,
                    capacity,
                    out: o,
                })
            };
        };
        list(&mut out);
        // Samples beyond the end of a list too short are left out.
        let mut short = vec![Sample::default(); out.len() / 2];
        list(&mut short);
        assert_eq!(short, out[..out.len() / 2]);
        let mut expected = Vec::new();
        for i in 0..images {
            let mut all = Vec::new();
            for o in 0..orientations {
                for t in 0..shifts {
                    if visited[i] == ALL_CLASSES || visited[i] == class_of[o] {
                        let d = norm[o * images + i] - cross[(o * images + i) * shifts + t];
                        let list = 2 * i + class_of[o] as usize;
                        let prior = log_prior[o] + offset_prior[list * shifts + t];
                        all.push((prior - d, prior, o as u32, t as u32));
                    }
                }
            }
            let mut sorted: Vec<f32> = all.iter().map(|a| a.0).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let sum: f64 = sorted.iter().map(|l| f64::from(l - sorted[0]).exp()).sum();
            let mut at = 0.0;
            let last = sorted
                .iter()
                .position(|l| {
                    at += f64::from(l - sorted[0]).exp();
                    at > 0.9f32 as f64 * sum
                })
                .unwrap();
            expected.extend(all.iter().filter(|a| a.0 >= sorted[last]).map(
                |&(_, log_prior, orientation, shift)| Sample {
                    image: i as u32,
                    orientation,
                    shift,
                    log_prior,
                },
            ));
        }
        assert_eq!(out, expected);
    }
}
