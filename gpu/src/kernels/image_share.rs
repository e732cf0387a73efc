//! What one image gives to one pixel of a few orientations, for the weighted sums.

use cuda_std::prelude::*;

use crate::samples::{Pair, Sample, add_conjugate_product};

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
    pub unsafe fn add_share(
        &self,
        reference: &[[f32; 2]; O],
        factor: f32,
        image: [f32; 2],
        share: *mut [f32; 2],
        in_scale: Option<*mut [f32; 2]>,
    ) {
        // F is the same for all children: Σ Re(conj(A)·F·Φ) = Re(F · Σ conj(A)·Φ).
        let (mut phase, mut power) = ([0.0f32; 2], 0.0f32);
        for o in 0..O {
            let a = reference[o];
            phase = add_conjugate_product(phase, a, self.phase[o]);
            power = self.weight[o].mul_add(a[0] * a[0] + a[1] * a[1], power);
        }
        let xa = factor * (image[0] * phase[0] - image[1] * phase[1]);
        let aa = factor * factor * power;
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
    pub samples: *const Sample,
    /// The weight of orientation child o and shift child t of a sample, 0 where it is not kept, is
    /// `values[(sample · orientations + o) · shifts + t]`.
    pub values: *const f32,
    /// Children of an orientation.
    pub orientations: u32,
    /// Children of a shift.
    pub shifts: u32,
    /// e^{iφ} of the pixel: a row of `stride` for each child of each shift.
    pub phases: *const [f32; 2],
    pub stride: u32,
}

impl Children {
    /// Sums over the samples of a pair, at `O` orientation children from `first` on.
    ///
    /// # Safety
    /// Samples of the pair have values, and their shifts phases; the orientation has the children.
    #[inline(always)]
    pub unsafe fn weighted<const O: usize>(&self, pair: Pair, first: u32) -> Weighted<O> {
        let mut sums = Weighted {
            phase: [[0.0; 2]; O],
            weight: [0.0; O],
        };
        for s in pair.begin..pair.end {
            // SAFETY: the caller's arrays.
            unsafe {
                let row = s as usize * self.orientations as usize + first as usize;
                let shift = (*self.samples.add(s as usize)).shift * self.shifts;
                let mut t = 0;
                if self.shifts.is_multiple_of(4) {
                    while t < self.shifts {
                        self.add_shifts::<O, 4>(&mut sums, row, shift, t);
                        t += 4;
                    }
                } else {
                    while t < self.shifts {
                        self.add_shifts::<O, 1>(&mut sums, row, shift, t);
                        t += 1;
                    }
                }
            }
        }
        sums
    }

    /// Adds `T` shift children from `t` on: a product of `O` × `T` weights with `T` phases, each of which is read once.
    #[inline(always)]
    unsafe fn add_shifts<const O: usize, const T: usize>(
        &self,
        sums: &mut Weighted<O>,
        row: usize,
        shift: u32,
        t: u32,
    ) {
        // SAFETY: the caller's arrays.
        unsafe {
            let mut weights = [[0.0f32; T]; O];
            let mut of_child = [0.0f32; O];
            for o in 0..O {
                let at = (row + o) * self.shifts as usize + t as usize;
                weights[o] = self.weights::<T>(at);
                of_child[o] = weights[o].iter().sum();
            }
            // Most samples have no kept child when poses are well known. The same for all threads of the block: no divergence.
            if of_child.iter().sum::<f32>() <= 0.0 {
                return;
            }
            let mut phases = [[0.0f32; 2]; T];
            for (k, phase) in phases.iter_mut().enumerate() {
                let row = (shift + t) as usize + k;
                *phase = memory::load2(self.phases, row * self.stride as usize);
            }
            for o in 0..O {
                sums.weight[o] += of_child[o];
                for k in 0..T {
                    let w = weights[o][k];
                    sums.phase[o][0] = w.mul_add(phases[k][0], sums.phase[o][0]);
                    sums.phase[o][1] = w.mul_add(phases[k][1], sums.phase[o][1]);
                }
            }
        }
    }

    /// `T` weights from `at` on; four at once where they are aligned for it.
    #[inline(always)]
    unsafe fn weights<const T: usize>(&self, at: usize) -> [f32; T] {
        let mut weights = [0.0f32; T];
        // SAFETY: the caller's array; rows of four children begin at multiples of 16 bytes.
        unsafe {
            if T == 4 {
                let four = memory::load4(self.values.add(at).cast(), 0);
                for (k, weight) in weights.iter_mut().enumerate() {
                    *weight = four[k];
                }
            } else {
                for (k, weight) in weights.iter_mut().enumerate() {
                    *weight = memory::load(self.values, at + k);
                }
            }
        }
        weights
    }
}
