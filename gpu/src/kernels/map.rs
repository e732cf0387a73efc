//! M-step in real space: padding and cropping of maps, masks, gridding correction (spec 01 §1.5, spec 02 §2.4).
//!
//! Maps are `n`³, x fastest, centre at n/2 on each axis.

use crate::shapes::PREPARE_WORDS;
use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use crate::gridding::gridding_factor;
use crate::mask::background_share;
use crate::volume::real_row;

/// Distance of voxel `i` from the centre.
#[inline(always)]
fn radius(i: usize, n: u32) -> f32 {
    let centre = (n / 2) as i32;
    let x = (i % n as usize) as i32 - centre;
    let y = (i / n as usize % n as usize) as i32 - centre;
    let z = (i / (n as usize * n as usize)) as i32 - centre;
    ((x * x + y * y + z * z) as f32).sqrt()
}

/// Divides a map by the gridding factor of `sinc_box` (n·P), unless that is 0, and puts it into the middle of a box of
/// `padded_box`³, 0 around it. A thread a voxel of the large box, whose rows are [`real_row`] numbers apart.
#[kernel(block = 256, grid = [padded_box.pow(3).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn pad_map(
    #[len(n * n * n)] map: *const f32,
    n: u32,
    padded_box: u32,
    sinc_box: f32,
    #[len(padded_box * padded_box * 2 * (padded_box / 2 + 1))] out: *mut f32,
) {
    // SAFETY: the index is checked against the large box, coordinates against the small one.
    unsafe {
        let i = thread::index_1d();
        let (q, side) = (padded_box as usize, n as usize);
        if i >= q * q * q {
            return;
        }
        let first = q / 2 - side / 2;
        let [x, y, z] = [i % q, i / q % q, i / (q * q)].map(|c| c.wrapping_sub(first));
        let mut value = 0.0;
        if x < side && y < side && z < side {
            let from = (z * side + y) * side + x;
            value = *map.add(from);
            if sinc_box > 0.0 {
                value /= gridding_factor(radius(from, n), sinc_box);
            }
        }
        *out.add(i / q * real_row(padded_box) + i % q) = value;
    }
}

/// Takes the middle `n`³ of a box of `padded_box`³, laid out as by [`pad_map`], and multiplies it by `scale`. A thread a
/// voxel of the small box.
#[kernel(block = 256, grid = [n.pow(3).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn crop_map(
    #[len(padded_box * padded_box * 2 * (padded_box / 2 + 1))] padded: *const f32,
    padded_box: u32,
    n: u32,
    scale: f32,
    #[len(n * n * n)] out: *mut f32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        let (q, side) = (padded_box as usize, n as usize);
        if i >= side * side * side {
            return;
        }
        let first = q / 2 - side / 2;
        let [x, y, z] = [i % side, i / side % side, i / (side * side)].map(|c| c + first);
        *out.add(i) = *padded.add((z * q + y) * real_row(padded_box) + x) * scale;
    }
}

/// Σ c·v and Σ c over a map, with c the share of the background beyond `sphere` and its `edge`: `out[0]`, `out[1]`,
/// zeroed by the host. Shared memory: 66 words.
#[kernel(block = 256, grid = [n.pow(3).div_ceil(BLOCK * 16), 1, 1], shared = PREPARE_WORDS)]
pub unsafe fn background_sums(
    #[len(n * n * n)] map: *const f32,
    n: u32,
    sphere: f32,
    edge: f32,
    #[len(2)] out: *mut f64,
) {
    // SAFETY: the index is checked; all threads reach the reduction.
    unsafe {
        let voxels = n as usize * n as usize * n as usize;
        let (mut sum, mut weight) = (0.0, 0.0);
        let mut i = thread::index_1d();
        while i < voxels {
            let share = background_share(radius(i, n), sphere, edge);
            sum += share * *map.add(i);
            weight += share;
            i += thread::grid_size_1d();
        }
        let [sum, weight] = block::sums([sum, weight], Shared::dynamic(0));
        if thread::thread_idx_x() == 0 {
            atomic::add_f64(out, f64::from(sum));
            atomic::add_f64(out.add(1), f64::from(weight));
        }
    }
}

/// Returns a voxel of a finished map, or a pixel of a finished average, at a distance of `r` from the centre: brought to `mean` by as
/// much as it lies beyond the radius `circle` and its `edge`, and divided by the gridding factor of `sinc_box` unless that is 0.
#[inline(always)]
pub(super) fn finished(
    value: f32,
    r: f32,
    [circle, edge]: [f32; 2],
    mean: f32,
    sinc_box: f32,
) -> f32 {
    let share = background_share(r, circle, edge);
    let value = (1.0 - share) * value + share * mean;
    match sinc_box > 0.0 {
        true => value / gridding_factor(r, sinc_box),
        false => value,
    }
}

/// Replaces what lies beyond `sphere` and its `edge` by the mean from [`background_sums`], or by 0 where `background` is
/// null, then divides by the gridding factor of `sinc_box` unless that is 0. A thread a voxel.
#[kernel(block = 256, grid = [n.pow(3).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn finish_map(
    #[len(n * n * n)] map: *mut f32,
    n: u32,
    sphere: f32,
    edge: f32,
    #[optional(2)] background: *const f64,
    sinc_box: f32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if i >= n as usize * n as usize * n as usize {
            return;
        }
        let mut mean = 0.0;
        if !background.is_null() && *background.add(1) > 0.0 {
            mean = (*background / *background.add(1)) as f32;
        }
        let voxel = map.add(i);
        *voxel = finished(*voxel, radius(i, n), [sphere, edge], mean, sinc_box);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data::{self, assert_close};
    use cuda_std::launch::{View, emulate_as};

    fn exact_radius(i: usize, n: usize) -> f64 {
        let c = |v: usize| (v as f64 - (n / 2) as f64).powi(2);
        (c(i % n) + c(i / n % n) + c(i / (n * n))).sqrt()
    }

    fn sinc2(r: f64, box_: f64) -> f64 {
        let u = std::f64::consts::PI * r / box_;
        if r == 0.0 { 1.0 } else { (u.sin() / u).powi(2) }
    }

    #[test]
    fn padding_corrects_and_cropping_takes_it_back() {
        let (n, q) = (10usize, 20usize);
        let mut map = test_data::values(n * n * n, 1);
        let mut padded = vec![0.0; q * q * real_row(q as u32)];
        let mut back = vec![f32::NAN; n * n * n];
        let (m, p) = (View::of(&mut map), View::of(&mut padded));
        let b = View::of(&mut back);
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            emulate_as(
                &PadMap {
                    map: m,
                    n: n as u32,
                    padded_box: q as u32,
                    sinc_box: q as f32,
                    out: p,
                },
                [125, 1, 1],
                [64, 1, 1],
            );
            emulate_as(
                &CropMap {
                    padded: p,
                    padded_box: q as u32,
                    n: n as u32,
                    scale: 2.0,
                    out: b,
                },
                [16, 1, 1],
                [64, 1, 1],
            );
        }
        let expected: Vec<f64> = map
            .iter()
            .enumerate()
            .map(|(i, v)| 2.0 * f64::from(*v) / sinc2(exact_radius(i, n), q as f64))
            .collect();
        assert_close(&back, &expected, 1e-6);
        let inside: f64 = back.iter().map(|v| f64::from(*v)).sum::<f64>() / 2.0;
        assert!((padded.iter().map(|v| f64::from(*v)).sum::<f64>() - inside).abs() < 1e-3);
    }

    #[test]
    fn corners_get_the_mean_of_the_background() {
        let n = 12usize;
        let mut map = test_data::values(n * n * n, 2);
        let before = map.clone();
        let mut sums = vec![0.0f64; 2];
        let (m, s) = (View::of(&mut map), View::of(&mut sums));
        let (sphere, edge) = (4.0f32, 2.0f32);
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            emulate_as(
                &BackgroundSums {
                    map: m,
                    n: n as u32,
                    sphere,
                    edge,
                    out: s,
                },
                [3, 1, 1],
                [64, 1, 1],
            );
            emulate_as(
                &FinishMap {
                    map: m,
                    n: n as u32,
                    sphere,
                    edge,
                    background: s,
                    sinc_box: 24.0,
                },
                [27, 1, 1],
                [64, 1, 1],
            );
        }
        let share = |i: usize| f64::from(background_share(exact_radius(i, n) as f32, sphere, edge));
        let weight: f64 = (0..before.len()).map(share).sum();
        let mean: f64 = before
            .iter()
            .enumerate()
            .map(|(i, v)| share(i) * f64::from(*v))
            .sum::<f64>()
            / weight;
        let expected: Vec<f64> = before
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let value = (1.0 - share(i)) * f64::from(*v) + share(i) * mean;
                value / sinc2(exact_radius(i, n), 24.0)
            })
            .collect();
        assert_close(&map, &expected, 2e-6);
    }
}
