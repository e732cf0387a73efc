//! Expected accuracies: how far slices of a reference can be turned or shifted before they differ (spec 01 §4.11).

use crate::shapes::ONE_VALUE_WORDS;
use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block::{self, clear_words, flush_words};
use crate::math::Real;
use crate::slice::{SliceAxes, VolumeShape, slice_value_from};

/// w·|s_a − s_b·e^{−iφ}|² of pixel `p`; `shift` in turns a pixel.
///
/// # Safety
/// The pixel exists; the volume has the shape.
#[inline(always)]
unsafe fn difference(
    volume: *const [f32; 2],
    shape: &VolumeShape,
    weight: f32,
    axes: [SliceAxes; 2],
    shift: [f32; 2],
    [x, y]: [f32; 2],
) -> f32 {
    // SAFETY: interpolation reads within the volume.
    let cut = |axes: &SliceAxes| unsafe {
        slice_value_from(|i| memory::load2(volume, i), shape, axes.position(x, y))
    };
    let (a, b) = (cut(&axes[0]), cut(&axes[1]));
    let phase = -2.0 * core::f32::consts::PI * (x * shift[0] + y * shift[1]);
    let (sin, cos) = Real::sin_cos(phase);
    let re = a[0] - (b[0] * cos - b[1] * sin);
    let im = a[1] - (b[0] * sin + b[1] * cos);
    weight * (re * re + im * im)
}

/// Σ w|s − s'|² over the pixels for each trial (block y) and each of its `candidates` (block x): slices cut with `axes` of
/// the trial and with `moved` of the candidate, the latter shifted by `shifts` of the candidate (turns a pixel).
/// `weights` has `pixel_count` values a trial. Shared memory: 33 words.
#[kernel(block = 256, grid = [candidates, trials, 1], shared = ONE_VALUE_WORDS, emulate = OneWarp)]
pub unsafe fn trial_differences(
    #[launch] trials: u32,
    #[unchecked] volume: *const [f32; 2],
    #[len(1)] shape: *const VolumeShape,
    #[len(pixel_count)] pixels: *const [i16; 2],
    pixel_count: u32,
    #[len(trials * pixel_count)] weights: *const f32,
    #[len(trials)] axes: *const SliceAxes,
    #[len(trials * candidates)] moved: *const SliceAxes,
    #[len(trials * candidates)] shifts: *const [f32; 2],
    candidates: u32,
    #[len(trials * candidates)] out: *mut f32,
) {
    // SAFETY: indices are below the counts; all threads reach the reduction.
    unsafe {
        let trial = thread::block_idx_y() as usize;
        let at = trial * candidates as usize + thread::block_idx_x() as usize;
        let axes = [*axes.add(trial), *moved.add(at)];
        let shift = *shifts.add(at);
        let weights = weights.add(trial * pixel_count as usize);
        let mut sum = 0.0;
        let mut p = thread::thread_idx_x();
        while p < pixel_count {
            let pixel = (*pixels.add(p as usize)).map(f32::from);
            let weight = *weights.add(p as usize);
            sum += difference(volume, &*shape, weight, axes, shift, pixel);
            p += thread::block_dim_x();
        }
        let sum = block::sum(sum, Shared::dynamic(0));
        if thread::thread_idx_x() == 0 {
            *out.add(at) = sum;
        }
    }
}

/// The same per shell for one turned slice a trial, added up over the trials: `out` of `shells`, zeroed by the host;
/// `shell_of` a pixel. Shared memory: `shells` words.
#[kernel(block = 256, grid = [pixel_count.div_ceil(BLOCK), trials, 1], shared = shells)]
pub unsafe fn trial_spectrum(
    #[launch] trials: u32,
    #[unchecked] volume: *const [f32; 2],
    #[len(1)] shape: *const VolumeShape,
    #[len(pixel_count)] pixels: *const [i16; 2],
    #[len(pixel_count)] shell_of: *const u32,
    pixel_count: u32,
    #[len(trials * pixel_count)] weights: *const f32,
    #[len(trials)] axes: *const SliceAxes,
    #[len(trials)] moved: *const SliceAxes,
    shells: u32,
    #[len(shells)] out: *mut f64,
) {
    // SAFETY: indices are below the counts; all threads reach the barriers.
    unsafe {
        let of_block = Shared::dynamic(0);
        clear_words(of_block, shells);
        let trial = thread::block_idx_y() as usize;
        let axes = [*axes.add(trial), *moved.add(trial)];
        let p = thread::index_1d() as u32;
        if p < pixel_count {
            let pixel = (*pixels.add(p as usize)).map(f32::from);
            let weight = *weights.add(trial * pixel_count as usize + p as usize);
            let value = difference(volume, &*shape, weight, axes, [0.0; 2], pixel);
            of_block.add(*shell_of.add(p as usize), value);
        }
        flush_words(of_block, shells, out);
    }
}
