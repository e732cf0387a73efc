//! M-step of class averages: all of them in each launch, a block per average (spec 04 §8, §11). The steps are those that maps
//! take one after the other (`volume`, `halves`, `map`, `solvent`).

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block::{self, clear_words, flush_words};
use super::halves::count_weight;
use super::map::finished;
use super::solvent::shifted;
use super::volume::{bin_of, complete_pair, divided, prior_of, shell_of, transform_value};
use crate::mask::background_share;
use crate::shapes::{MOMENT_WORDS, PREPARE_WORDS};
use crate::slice::VolumeShape;
use crate::volume::{centring_mass, centring_shift, position, regularised, weight_floor};

/// Turns sums of class averages into the centred half-complex transforms of boxes of `padded_box`² pixels: mates on the line
/// x = 0 are summed, shells from `first_shell` on get the inverse prior variance, data are divided by weights no lower than a
/// thousandth of the mean of their bin trunc(|v|/P).
///
/// Average i is of class `class_of[i]` of the `held` classes that follow each other in `sums`, `voxels` each, with
/// `prior_shells` values of `inverse` (as in `volume::regularise`). `statistics[4·(i·shells + shell) + …]`, zeroed by the host,
/// is what `halves::weight_statistics` says before the prior is added. Leaves sums that cannot be used again. Shared memory:
/// 4 · `shells` + 2 · `bins` words.
#[kernel(block = 256, grid = [averages, 1, 1], shared = 4 * shells + 2 * bins)]
pub unsafe fn divide_averages(
    #[launch] averages: u32,
    #[launch] held: u32,
    #[launch] voxels: u32,
    #[len(averages)] class_of: *const u32,
    #[len(held * voxels)] sums: *mut [f32; 4],
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    padding: f32,
    #[len(averages * prior_shells)] inverse: *const f32,
    prior_shells: u32,
    first_shell: u32,
    shells: u32,
    bins: u32,
    padded_box: u32,
    #[len(averages * padded_box * (padded_box / 2 + 1))] out: *mut [f32; 2],
    #[len(averages * 4 * shells)] statistics: *mut f64,
) {
    // SAFETY: indices are checked against the arrays of one average; barriers separate the steps.
    unsafe {
        let average = thread::block_idx_x() as usize;
        let (first, step) = (
            thread::thread_idx_x() as usize,
            thread::block_dim_x() as usize,
        );
        let shape = &*shape;
        let sums = sums.add(*class_of.add(average) as usize * shape.len());
        let inverse = inverse.add(average * prior_shells as usize);
        let of_block = Shared::dynamic(0);
        let of_bins = Shared::dynamic(4 * shells);
        clear_words(of_block, 4 * shells + 2 * bins);

        let last = shape.side as usize - 1;
        let mut row = first;
        while row < last / 2 {
            complete_pair(sums, row, last, shape.row());
            row += step;
        }
        thread::sync_threads();

        let mut i = first;
        while let Some([x, y, _]) = position(i, shape) {
            let r2 = (x * x + y * y) as u32;
            if r2 < radius2 {
                let shell = shell_of(r2, padding, shells);
                let prior = prior_of(inverse, prior_shells, shell);
                let mut weight = (*sums.add(i))[2];
                count_weight(of_block, shell, weight, prior);
                if shell >= first_shell {
                    weight = regularised(weight, prior);
                    (*sums.add(i))[2] = weight;
                }
                let bin = bin_of(r2, padding, bins);
                of_bins.add(2 * bin, weight);
                of_bins.add(2 * bin + 1, 1.0);
            }
            i += step;
        }
        thread::sync_threads();

        let values = padded_box as usize * (padded_box as usize / 2 + 1);
        let out = out.add(average * values);
        i = first;
        while i < values {
            let value = transform_value(i, padded_box, shape, radius2 + 1, |voxel, r2, sign| {
                let bin = bin_of(r2, padding, bins);
                let of_bin = [of_bins.load(2 * bin), of_bins.load(2 * bin + 1)];
                divided(memory::load4(sums, voxel), weight_floor(of_bin), sign)
            });
            memory::store2(out, i, value.unwrap_or_default());
            i += step;
        }
        flush_words(
            of_block,
            4 * shells,
            statistics.add(average * 4 * shells as usize),
        );
    }
}

/// Distance of pixel `i` from the centre of an average of side `n`.
#[inline(always)]
fn radius(i: usize, n: u32) -> f32 {
    let [x, y] = [i % n as usize, i / n as usize].map(|c| c as i32 - (n / 2) as i32);
    ((x * x + y * y) as f32).sqrt()
}

/// Takes the middle `n`² pixels of padded averages of `padded_box`² times `scale`, replaces what lies beyond the circle of
/// radius `circle` and its `edge` by the mean there, and divides by the gridding factor of `sinc_box` unless that is 0. Shared memory: 66 words.
#[kernel(block = 256, grid = [averages, 1, 1], shared = PREPARE_WORDS)]
pub unsafe fn finish_averages(
    #[launch] averages: u32,
    #[len(averages * padded_box * padded_box)] padded: *const f32,
    padded_box: u32,
    n: u32,
    scale: f32,
    circle: f32,
    edge: f32,
    sinc_box: f32,
    #[len(averages * n * n)] out: *mut f32,
) {
    // SAFETY: indices are checked against the arrays of one average; all threads reach the reduction.
    unsafe {
        let average = thread::block_idx_x() as usize;
        let (q, side) = (padded_box as usize, n as usize);
        let padded = padded.add(average * q * q);
        let out = out.add(average * side * side);
        let margin = q / 2 - side / 2;
        let pixel = |i: usize| {
            let at = (i / side + margin) * q + i % side + margin;
            memory::load(padded, at) * scale
        };
        let pixels = side * side;
        let (first, step) = (
            thread::thread_idx_x() as usize,
            thread::block_dim_x() as usize,
        );
        let (mut sum, mut weight) = (0.0, 0.0);
        let mut i = first;
        while i < pixels {
            let share = background_share(radius(i, n), circle, edge);
            sum += share * pixel(i);
            weight += share;
            i += step;
        }
        let [sum, weight] = block::sums([sum, weight], Shared::dynamic(0));
        let mean = if weight > 0.0 { sum / weight } else { 0.0 };
        i = first;
        while i < pixels {
            *out.add(i) = finished(pixel(i), radius(i, n), [circle, edge], mean, sinc_box);
            i += step;
        }
    }
}

/// Moves the centre of mass of each average to the centre, at most `limit` pixels and not where it would be less than
/// `least`; between pixels by bilinear interpolation, 0 outside. Shared memory: 99 words.
#[kernel(block = 256, grid = [averages, 1, 1], shared = MOMENT_WORDS)]
pub unsafe fn centre_averages(
    #[launch] averages: u32,
    #[len(averages * n * n)] maps: *const f32,
    n: u32,
    limit: f32,
    least: f32,
    #[len(averages * n * n)] out: *mut f32,
) {
    // SAFETY: indices are checked against the arrays of one average, and so is every neighbour; all threads reach the
    // reduction.
    unsafe {
        let side = n as usize;
        let pixels = side * side;
        let average = thread::block_idx_x() as usize;
        let map = maps.add(average * pixels);
        let out = out.add(average * pixels);
        let (first, step) = (
            thread::thread_idx_x() as usize,
            thread::block_dim_x() as usize,
        );
        let centre = f64::from(n / 2);
        let mut moments = [0.0f64; 3];
        let mut i = first;
        while i < pixels {
            let mass = centring_mass(f64::from(memory::load(map, i)));
            moments[0] += mass;
            moments[1] += mass * ((i % side) as f64 - centre);
            moments[2] += mass * ((i / side) as f64 - centre);
            i += step;
        }
        let [mass, x, y] = block::sums(moments.map(|v| v as f32), Shared::dynamic(0));
        let [x, y, _] = centring_shift([mass, x, y, 0.0], limit, least).unwrap_or_default();
        i = first;
        while i < pixels {
            *out.add(i) = shifted(map, n, [i % side, i / side], [x, y]);
            i += step;
        }
    }
}

#[cfg(test)]
mod tests;
