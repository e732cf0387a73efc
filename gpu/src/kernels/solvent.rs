//! Maps after their reconstruction: low-pass, centring, masks (spec 02 §6.1, §6.3), and the FSC of two maps (§6.5).
//!
//! Maps are `n`³ with even n, x fastest, centre at n/2 on each axis. Transforms are half-complex, origin in the corner.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block::{clear_words, flush_words};
use crate::mask::low_pass_factor;
use crate::random::uniform;
use crate::volume::{centring_mass, transform_position};

/// `map` times `factor`, voxel by voxel; `out` may be `map`. A thread a voxel.
#[kernel(block = 256, grid = [count.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn multiply_maps(
    count: u32,
    #[len(count)] map: *const f32,
    #[len(count)] factor: *const f32,
    #[len(count)] out: *mut f32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if i < count as usize {
            *out.add(i) = *map.add(i) * memory::load(factor, i);
        }
    }
}

/// Adds `other` to `map`. A thread a voxel.
#[kernel(block = 256, grid = [count.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn add_map(count: u32, #[len(count)] other: *const f32, #[len(count)] map: *mut f32) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if i < count as usize {
            *map.add(i) += memory::load(other, i);
        }
    }
}

/// Σ m·v and Σ m: `out[0]`, `out[1]`, zeroed by the host.
#[kernel(block = 256, grid = [count.div_ceil(BLOCK * 64), 1, 1], emulate = OneWarp)]
pub unsafe fn masked_sums(
    count: u32,
    #[len(count)] map: *const f32,
    #[len(count)] mask: *const f32,
    #[len(2)] out: *mut f64,
) {
    // SAFETY: the index is checked.
    unsafe {
        let mut sums = [0.0f64; 2];
        let mut i = thread::index_1d();
        while i < count as usize {
            let m = f64::from(memory::load(mask, i));
            sums[0] += m * f64::from(memory::load(map, i));
            sums[1] += m;
            i += thread::grid_size_1d();
        }
        for (k, &sum) in sums.iter().enumerate() {
            add_of_warp(sum, out.add(k));
        }
    }
}

/// Adds the sum over a warp to `out`.
#[inline(always)]
unsafe fn add_of_warp(value: f64, out: *mut f64) {
    let sum = warp::sum_f64(value);
    if warp::lane_id() == 0 {
        // SAFETY: the caller's number.
        unsafe { atomic::add_f64(out, sum) };
    }
}

/// Brings the voxels inside a mask to the mean from [`masked_sums`], by as much as they are inside; nothing where the mask
/// is empty. A thread a voxel.
#[kernel(block = 256, grid = [count.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn blend_map(
    count: u32,
    #[len(count)] mask: *const f32,
    #[len(2)] sums: *const f64,
    #[len(count)] map: *mut f32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if i < count as usize && *sums.add(1) > 0.0 {
            let m = memory::load(mask, i);
            let mean = (*sums / *sums.add(1)) as f32;
            *map.add(i) = (1.0 - m) * *map.add(i) + m * mean;
        }
    }
}

/// Σ m, Σ m·x, Σ m·y, Σ m·z about the centre, m the mass of a voxel: `out[0…3]`, zeroed by the host.
#[kernel(block = 256, grid = [n.pow(3).div_ceil(BLOCK * 64), 1, 1], emulate = OneWarp)]
pub unsafe fn map_moments(#[len(n * n * n)] map: *const f32, n: u32, #[len(4)] out: *mut f64) {
    // SAFETY: the index is checked.
    unsafe {
        let side = n as usize;
        let centre = f64::from(n / 2);
        let mut sums = [0.0f64; 4];
        let mut i = thread::index_1d();
        while i < side * side * side {
            let v = centring_mass(f64::from(memory::load(map, i)));
            sums[0] += v;
            sums[1] += v * ((i % side) as f64 - centre);
            sums[2] += v * ((i / side % side) as f64 - centre);
            sums[3] += v * ((i / (side * side)) as f64 - centre);
            i += thread::grid_size_1d();
        }
        for (k, &sum) in sums.iter().enumerate() {
            add_of_warp(sum, out.add(k));
        }
    }
}

/// The map at (x, y, z) + shift, interpolated between eight voxels, 0 outside. A thread a voxel.
#[kernel(block = 256, grid = [n.pow(3).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn shift_map(
    #[len(n * n * n)] map: *const f32,
    n: u32,
    shift_x: f32,
    shift_y: f32,
    shift_z: f32,
    #[len(n * n * n)] out: *mut f32,
) {
    // SAFETY: the index is checked, and so is every corner.
    unsafe {
        let (i, side) = (thread::index_1d(), n as usize);
        if i >= side * side * side {
            return;
        }
        let at = [i % side, i / side % side, i / (side * side)];
        *out.add(i) = shifted(map, n, at, [shift_x, shift_y, shift_z]);
    }
}

/// Returns the value of a map of `D` axes of `n` voxels each, x first, at the voxel `at` + `shift`, interpolated between 2^D voxels,
/// 0 outside.
///
/// # Safety
/// `map` has n^D values.
#[inline(always)]
pub(super) unsafe fn shifted<const D: usize>(
    map: *const f32,
    n: u32,
    at: [usize; D],
    shift: [f32; D],
) -> f32 {
    let mut lower = [(0.0, 0); D];
    for axis in 0..D {
        lower[axis] = split(at[axis], shift[axis]);
    }
    let mut value = 0.0;
    for corner in 0..1i32 << D {
        let (mut share, mut within) = (1.0, true);
        let (mut from, mut stride) = (0, 1);
        for (axis, &(fraction, base)) in lower.iter().enumerate() {
            let upper = corner >> axis & 1;
            let c = base + upper;
            within &= c >= 0 && c < n as i32;
            share *= part(fraction, upper);
            from += c.max(0) as usize * stride;
            stride *= n as usize;
        }
        if within {
            // SAFETY: every coordinate lies within the map.
            value += share * unsafe { memory::load(map, from) };
        }
    }
    value
}

/// Fraction and lower neighbour of a shifted coordinate.
#[inline(always)]
fn split(i: usize, shift: f32) -> (f32, i32) {
    // The shift alone is split, so that the fraction does not lose digits to the coordinate.
    let mut whole = shift as i32;
    if (whole as f32) > shift {
        whole -= 1;
    }
    (shift - whole as f32, i as i32 + whole)
}

/// Share of the upper (1) or lower (0) neighbour.
#[inline(always)]
fn part(fraction: f32, upper: i32) -> f32 {
    if upper == 1 { fraction } else { 1.0 - fraction }
}

/// Multiplies a transform by `scale` and by a low-pass: 1 up to `limit` − 1 shells, 0 from `limit` + 1 on, a cosine
/// between. A thread a value.
#[kernel(block = 256, grid = [(n * n * (n / 2 + 1)).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn low_pass_transform(
    #[len(n * n * (n / 2 + 1))] transform: *mut [f32; 2],
    n: u32,
    limit: f32,
    scale: f32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if let Some([x, y, z]) = transform_position(i, n) {
            let r = ((x * x + y * y + z * z) as f32).sqrt();
            let factor = scale * low_pass_factor(r, limit);
            let value = *transform.add(i);
            *transform.add(i) = [value[0] * factor, value[1] * factor];
        }
    }
}

/// Replaces the phases of a transform at radii from √`limit2` on by random ones of `seed`, and multiplies all of it by
/// `scale`. In the planes x = 0 and x = n/2 mates are averaged, as an inverse transform to real numbers does. A thread a
/// value.
#[kernel(block = 256, grid = [(n * n * (n / 2 + 1)).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn randomise_phases(
    #[len(n * n * (n / 2 + 1))] transform: *mut [f32; 2],
    n: u32,
    limit2: u32,
    seed: u64,
    scale: f32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        let Some([x, y, z]) = transform_position(i, n) else {
            return;
        };
        let value = (*transform.add(i)).map(|v| v * scale);
        if ((x * x + y * y + z * z) as u32) < limit2 {
            *transform.add(i) = value;
            return;
        }
        let amplitude = (value[0] * value[0] + value[1] * value[1]).sqrt();
        let row = i / (n as usize / 2 + 1);
        let (y, z) = (row as u32 % n, row as u32 / n);
        let mut direction = phase(seed, x as u32, y, z, n);
        if x == 0 || x as u32 == n / 2 {
            let mate = phase(seed, x as u32, (n - y) % n, (n - z) % n, n);
            direction = [
                0.5 * (direction[0] + mate[0]),
                0.5 * (direction[1] - mate[1]),
            ];
        }
        *transform.add(i) = direction.map(|v| v * amplitude);
    }
}

/// e^{iφ} of a stored place of a transform.
#[inline(always)]
fn phase(seed: u64, x: u32, y: u32, z: u32, n: u32) -> [f32; 2] {
    let at = (u64::from(z) * u64::from(n) + u64::from(y)) * u64::from(n) + u64::from(x);
    let angle = 2.0 * core::f32::consts::PI * uniform(seed, at) as f32;
    let (sin, cos) = crate::math::Real::sin_cos(angle);
    [cos, sin]
}

/// Σ Re(a·b*), Σ|a|², Σ|b|² per shell 0…n/2 of two transforms: `out[3·shell + …]`, zeroed by the host. Shared memory:
/// 3 · (n/2 + 1) words.
#[kernel(block = 256, grid = [(n * n * (n / 2 + 1)).div_ceil(BLOCK * 16), 1, 1], shared = 3 * (n / 2 + 1))]
pub unsafe fn correlate_transforms(
    #[len(n * n * (n / 2 + 1))] first: *const [f32; 2],
    #[len(n * n * (n / 2 + 1))] second: *const [f32; 2],
    n: u32,
    #[len(3 * (n / 2 + 1))] out: *mut f64,
) {
    // SAFETY: the index is checked, the shell limited.
    unsafe {
        let shells = n / 2 + 1;
        let of_block = Shared::dynamic(0);
        clear_words(of_block, 3 * shells);
        let mut i = thread::index_1d();
        while let Some([x, y, z]) = transform_position(i, n) {
            let shell = (((x * x + y * y + z * z) as f32).sqrt() + 0.5) as u32;
            if shell < shells {
                let (a, b) = (memory::load2(first, i), memory::load2(second, i));
                of_block.add(3 * shell, a[0] * b[0] + a[1] * b[1]);
                of_block.add(3 * shell + 1, a[0] * a[0] + a[1] * a[1]);
                of_block.add(3 * shell + 2, b[0] * b[0] + b[1] * b[1]);
            }
            i += thread::grid_size_1d();
        }
        flush_words(of_block, 3 * shells, out);
    }
}

#[cfg(test)]
mod tests;
