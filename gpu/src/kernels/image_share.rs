//! What one image gives to one pixel of an orientation, for the weighted sums.

use cuda_std::prelude::*;

use crate::samples::{Pair, Sample};

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

/// Adds (Re(conj(sCA)·F), w |sCA|²) of a pixel to the sums of its image, and to those of the scale.
///
/// # Safety
/// Both places are in the array of sums.
#[inline(always)]
pub(super) unsafe fn add_share(
    model: [f32; 2],
    f: [f32; 2],
    weight: f32,
    share: *mut [f32; 2],
    in_scale: Option<*mut [f32; 2]>,
) {
    let xa = model[0] * f[0] + model[1] * f[1];
    let aa = weight * (model[0] * model[0] + model[1] * model[1]);
    // SAFETY: the caller's.
    unsafe {
        atomic::add_f32x2(share.cast(), [xa, aa]);
        if let Some(share) = in_scale {
            atomic::add_f32x2(share.cast(), [xa, aa]);
        }
    }
}

/// Φ = Σ w e^{iφ} of a pixel over the samples of a pair, and Σ w, at orientation child `child` of `children` (of an orientation
/// and of a shift). `phases` is at the pixel, in rows of `stride`.
///
/// # Safety
/// Samples of the pair have values, and their shifts phases.
#[inline(always)]
pub(super) unsafe fn weighted_phase(
    pair: Pair,
    samples: *const Sample,
    values: *const f32,
    child: u32,
    [orientation_children, shift_children]: [u32; 2],
    phases: *const [f32; 2],
    stride: u32,
) -> ([f32; 2], f32) {
    let (mut phase, mut weight) = ([0.0f32; 2], 0.0f32);
    for s in pair.begin..pair.end {
        // SAFETY: the caller's arrays.
        unsafe {
            let row = s as usize * orientation_children as usize + child as usize;
            let shift = (*samples.add(s as usize)).shift * shift_children;
            for t in 0..shift_children {
                // The same for all threads of the block: no divergence.
                let w = *values.add(row * shift_children as usize + t as usize);
                if w > 0.0 {
                    let e = memory::load2(phases, (shift + t) as usize * stride as usize);
                    phase[0] = w.mul_add(e[0], phase[0]);
                    phase[1] = w.mul_add(e[1], phase[1]);
                    weight += w;
                }
            }
        }
    }
    (phase, weight)
}
