//! The share of one image in one pixel of a few orientations, for the weighted sums.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::groups::{Phases, Samples};
use crate::samples::{Pair, product};
use crate::shapes::STORE_SAMPLES;

/// Reads C of a pixel; 1 without a CTF.
///
/// # Safety
/// `ctf` is null, or has the pixel.
#[inline(always)]
pub(super) unsafe fn ctf_or_one(ctf: *const f32, at: usize) -> f32 {
    match ctf.is_null() {
        true => 1.0,
        // SAFETY: the caller's.
        false => unsafe { memory::load(ctf, at) },
    }
}

/// Sums over the samples of a pair, for `O` children of its orientation.
pub(super) struct Weighted<const O: usize> {
    /// Φ = Σ w e^{iφ} of a pixel.
    pub phase: [[f32; 2]; O],
    /// Σ w.
    pub weight: [f32; O],
}

impl<const O: usize> Weighted<O> {
    /// Whether no child has a weight: the same for all threads of a block.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.weight.iter().sum::<f32>() <= 0.0
    }

    /// Adds (Re(conj(sCA)·F), w |sCA|²) of a pixel, summed over the children, to the sums of its image, and to those of the
    /// scale. `reference` has A of each child, `factor` is sC.
    ///
    /// # Safety
    /// Both places are in the array of sums.
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "iterators over children put what is summed into local memory"
    )]
    pub unsafe fn add_share(
        &self,
        reference: &[[f32; 2]; O],
        factor: f32,
        image: [f32; 2],
        share: *mut [f32; 2],
        in_scale: Option<*mut [f32; 2]>,
    ) {
        let (mut xa, mut aa) = (0.0f32, 0.0f32);
        for o in 0..O {
            let model = reference[o].map(|a| a * factor);
            let f = product(image, self.phase[o]);
            xa += model[0] * f[0] + model[1] * f[1];
            aa += self.weight[o] * (model[0] * model[0] + model[1] * model[1]);
        }
        // SAFETY: the caller's.
        unsafe {
            atomic::add_f32x2(share.cast(), [xa, aa]);
            if let Some(share) = in_scale {
                atomic::add_f32x2(share.cast(), [xa, aa]);
            }
        }
    }
}

/// The weights of the samples' children, and the phases of one pixel.
#[derive(Clone, Copy)]
pub(super) struct Children {
    pub samples: Samples,
    /// The weight of orientation child o and shift child t of a sample, 0 where it is not kept, is
    /// `values[(sample · orientation children + o) · shift children + t]`.
    pub values: *const f32,
    /// e^{iφ} of the pixel: a row for each child of each shift.
    pub phases: Phases,
}

impl Children {
    /// Sums over the samples of a pair, at orientation child `child`.
    ///
    /// # Safety
    /// Samples of the pair have values, and their shifts phases.
    #[inline(always)]
    pub unsafe fn weighted(&self, pair: Pair, child: u32) -> Weighted<1> {
        let (mut phase, mut weight) = ([0.0f32; 2], 0.0f32);
        for s in pair.begin..pair.end {
            // SAFETY: the caller's arrays.
            unsafe {
                let row = s as usize * self.samples.orientation_children as usize + child as usize;
                let shift =
                    (*self.samples.list.add(s as usize)).shift * self.samples.shift_children;
                for t in 0..self.samples.shift_children {
                    // The same for all threads of the block: no divergence.
                    let w = *self
                        .values
                        .add(row * self.samples.shift_children as usize + t as usize);
                    if w > 0.0 {
                        let row = (shift + t) as usize * self.phases.stride as usize;
                        let e = memory::load2(self.phases.rows, row);
                        phase[0] = w.mul_add(e[0], phase[0]);
                        phase[1] = w.mul_add(e[1], phase[1]);
                        weight += w;
                    }
                }
            }
        }
        Weighted {
            phase: [phase],
            weight: [weight],
        }
    }

    /// The same for eight orientation children and shift children in fours, by all threads of the block: each warp brings the
    /// weights of eight samples at once, a child a lane, and passes them on through its part of `scratch`
    /// ([`STORE_WORDS`](crate::shapes::STORE_WORDS)), so that it waits for memory once a pair and not once a sample.
    ///
    /// # Safety
    /// As [`Children::weighted`]; all threads of the block come here with the same pair.
    #[inline(always)]
    pub unsafe fn weighted_by_warp(&self, pair: Pair, first: u32, scratch: Shared) -> Weighted<8> {
        let mut sums = Weighted {
            phase: [[0.0; 2]; 8],
            weight: [0.0; 8],
        };
        let lane = warp::lane_id();
        let mut of_lane = 0.0f32;
        let mut t = 0;
        while t < self.samples.shift_children {
            let mut begin = pair.begin;
            while begin < pair.end {
                // SAFETY: the caller's arrays; 32 words a sample.
                unsafe {
                    let mut weights = [0.0f32; STORE_SAMPLES as usize];
                    for (k, weight) in weights.iter_mut().enumerate() {
                        let s = begin + k as u32;
                        if s < pair.end {
                            let row = s as usize * self.samples.orientation_children as usize;
                            let at = (row + (first + lane / 4) as usize)
                                * self.samples.shift_children as usize;
                            *weight = memory::load(self.values, at + (t + lane % 4) as usize);
                        }
                    }
                    let own = (begin + lane).min(pair.end - 1);
                    let shift = (*self.samples.list.add(own as usize)).shift
                        * self.samples.shift_children
                        + t;
                    let mut kept = 0u32;
                    for (k, &weight) in weights.iter().enumerate() {
                        kept |= u32::from(warp::ballot(weight > 0.0) != 0) << k;
                        of_lane += weight;
                    }
                    // Most samples have no kept child when poses are well known. The same for all threads of the block.
                    if kept != 0 {
                        // Nobody reads the last weights any more.
                        warp::sync_warp();
                        for (k, &weight) in weights.iter().enumerate() {
                            scratch.store(32 * k as u32 + lane, weight);
                        }
                        warp::sync_warp();
                    }
                    while kept != 0 {
                        let k = kept.trailing_zeros();
                        kept &= kept - 1;
                        let row =
                            warp::broadcast_u32(shift, k) as usize * self.phases.stride as usize;
                        self.add_four(&mut sums.phase, row, scratch.offset(32 * k));
                    }
                }
                begin += STORE_SAMPLES;
            }
            t += 4;
        }
        if warp::ballot(of_lane > 0.0) == 0 {
            return sums;
        }
        of_lane += warp::shuffle_xor(of_lane, 1);
        of_lane += warp::shuffle_xor(of_lane, 2);
        // SAFETY: as above; barriers separate readers and writers.
        unsafe {
            warp::sync_warp();
            scratch.store(lane, of_lane);
            warp::sync_warp();
            for (o, weight) in sums.weight.iter_mut().enumerate() {
                *weight = scratch.load(4 * o as u32);
            }
        }
        sums
    }

    /// Adds four shift children, whose phases begin with row `row`, with the weights of eight orientations.
    #[inline(always)]
    unsafe fn add_four(&self, sums: &mut [[f32; 2]; 8], row: usize, weights: Shared) {
        // SAFETY: the caller's rows and weights.
        unsafe {
            let mut phases = [[0.0f32; 2]; 4];
            for (t, phase) in phases.iter_mut().enumerate() {
                *phase = memory::load2(self.phases.rows, row + t * self.phases.stride as usize);
            }
            for (o, sum) in sums.iter_mut().enumerate() {
                let weights = weights.load4(4 * o as u32);
                for t in 0..4 {
                    sum[0] = weights[t].mul_add(phases[t][0], sum[0]);
                    sum[1] = weights[t].mul_add(phases[t][1], sum[1]);
                }
            }
        }
    }
}
