//! M-step in Fourier space: Friedel mates, point group, prior, division (spec 02 §1.5, §2.1–2.3).
//!
//! A voxel of the sums is (re, im, weight, unused); layout as `VolumeShape` says. `radius2` is Rp², up to which voxels
//! count; shells are ROUND(|v|/P), bins of the division trunc(|v|/P).

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block::{clear_words, flush_words};
use crate::slice::{VolumeShape, insertion};
use crate::volume::{centre_sign, place, position, regularised, round, transform_position};

/// Adds `other` to `sums`, both of `count` voxels. A thread a voxel.
#[kernel(block = 256, grid = [count.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn add_sums(
    count: u32,
    #[len(count)] other: *const [f32; 4],
    #[len(count)] sums: *mut [f32; 4],
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        if i < count as usize {
            let (a, b) = (*sums.add(i), memory::load4(other, i));
            *sums.add(i) = [a[0] + b[0], a[1] + b[1], a[2] + b[2], 0.0];
        }
    }
}

/// Mates (0, y, z) and (0, −y, −z) both get their sum; the origin stays. A thread a pair of rows.
#[kernel(block = 128, grid = [(side * side / 2).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn complete_zero_plane(
    #[len(side * side * (side / 2 + 1))] sums: *mut [f32; 4],
    side: u32,
) {
    // SAFETY: rows below the middle one, and their mates above it.
    unsafe {
        let row = thread::index_1d();
        let last = side as usize * side as usize - 1;
        if row < last / 2 {
            complete_pair(sums, row, last, side as usize / 2 + 1);
        }
    }
}

/// Gives the first voxels of row `row` and of its mate, row `last` − `row`, their sum. Rows are `width` voxels apart.
///
/// # Safety
/// Both rows exist, and no other thread touches them.
#[inline(always)]
pub(super) unsafe fn complete_pair(sums: *mut [f32; 4], row: usize, last: usize, width: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        let (here, mate) = (sums.add(row * width), sums.add((last - row) * width));
        let (a, b) = (*here, *mate);
        let sum = [a[0] + b[0], a[1] - b[1], a[2] + b[2]];
        *here = [sum[0], sum[1], sum[2], 0.0];
        *mate = [sum[0], -sum[1], sum[2], 0.0];
    }
}

/// Inverse prior variance of a shell: those from `shells` on have no prior power.
///
/// # Safety
/// `inverse` has `shells` elements.
#[inline(always)]
pub(super) unsafe fn prior_of<R: crate::math::Real>(
    inverse: *const R,
    shells: u32,
    shell: u32,
) -> R {
    if shell < shells {
        // SAFETY: within the array.
        unsafe { *inverse.add(shell as usize) }
    } else {
        R::of(-1.0)
    }
}

/// Shell of the prior at radius √`r2`: ROUND(|v|/P).
#[inline(always)]
pub(super) fn prior_shell(r2: u32, padding: f32) -> u32 {
    ((r2 as f32).sqrt() / padding + 0.5) as u32
}

/// Shell of the statistics at radius √`r2`: ROUND(|v|/P), the last shell taking the rest.
#[inline(always)]
pub(super) fn shell_of(r2: u32, padding: f32, shells: u32) -> u32 {
    (round((r2 as f32).sqrt() / padding) as u32).min(shells - 1)
}

/// Bin of the division at radius √`r2`: trunc(|v|/P), the last bin taking the rest.
#[inline(always)]
pub(super) fn bin_of(r2: u32, padding: f32, bins: u32) -> u32 {
    (((r2 as f32).sqrt() / padding) as u32).min(bins - 1)
}

/// Value of a centred transform at a voxel of the sums: data divided by the weight, which is no less than `floor`.
#[inline(always)]
pub(super) fn divided(voxel: [f32; 4], floor: f32, sign: f32) -> [f32; 2] {
    let weight = voxel[2].max(floor);
    let factor = if weight > 0.0 { sign / weight } else { sign };
    [voxel[0] * factor, voxel[1] * factor]
}

/// Adds `old`, turned by each of `count` operators (3 × 3, row after row), to `sums`. A thread a voxel.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn add_rotated(
    #[launch] voxels: u32,
    #[len(voxels)] old: *const [f32; 4],
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    #[len(9 * count)] operators: *const f32,
    count: u32,
    #[len(voxels)] sums: *mut [f32; 4],
) {
    // SAFETY: the index is checked; a turned position lies within Rp, hence inside the volume with its neighbours.
    unsafe {
        let i = thread::index_1d();
        let shape = &*shape;
        let Some([x, y, z]) = position(i, shape) else {
            return;
        };
        if (x * x + y * y + z * z) as u32 > radius2 {
            return;
        }
        let at = [x, y, z].map(|c| c as f32);
        let mut sum = *sums.add(i);
        for operator in 0..count as usize {
            let row = |k: usize| {
                let r = operators.add(9 * operator + 3 * k);
                *r * at[0] + *r.add(1) * at[1] + *r.add(2) * at[2]
            };
            let turned = [row(0), row(1), row(2)];
            let Some(place) = insertion(shape, f32::INFINITY, turned) else {
                continue;
            };
            let sign = if place.conjugate { -1.0 } else { 1.0 };
            for corner in 0..shape.corners() {
                let (offset, share) = place.corner(shape, corner);
                // Rounding may put a position on the sphere one voxel beyond the volume, with share 0.
                if share > 0.0 {
                    let v = memory::load4(old, place.base + offset);
                    sum[0] += share * v[0];
                    sum[1] += sign * share * v[1];
                    sum[2] += share * v[2];
                }
            }
        }
        *sums.add(i) = sum;
    }
}

/// Adds the inverse prior variance to the weights. `inverse` per shell, see [`regularised`]; shells below `first_shell`
/// are left alone, shells from `shells` on have no prior power. A thread a voxel.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn regularise(
    #[launch] voxels: u32,
    #[len(voxels)] sums: *mut [f32; 4],
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    padding: f32,
    #[len(shells)] inverse: *const f32,
    shells: u32,
    first_shell: u32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        let Some([x, y, z]) = position(i, &*shape) else {
            return;
        };
        let r2 = (x * x + y * y + z * z) as u32;
        if r2 >= radius2 {
            return;
        }
        let shell = prior_shell(r2, padding);
        if shell >= first_shell {
            let weight = (*sums.add(i))[2];
            (*sums.add(i))[2] = regularised(weight, prior_of(inverse, shells, shell));
        }
    }
}

/// Σ weight and number of voxels of each bin trunc(|v|/P), the last bin taking the rest: `out[2·bin]`, `out[2·bin + 1]`,
/// zeroed by the host. Voxels with |v|² < Rp². Shared memory: 2 · `bins` words.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK * 16), 1, 1], shared = 2 * bins)]
pub unsafe fn weight_by_bin(
    #[launch] voxels: u32,
    #[len(voxels)] sums: *const [f32; 4],
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    padding: f32,
    bins: u32,
    #[len(2 * bins)] out: *mut f64,
) {
    // SAFETY: the index is checked, the bin limited.
    unsafe {
        let of_block = Shared::dynamic(0);
        clear_words(of_block, 2 * bins);
        let mut i = thread::index_1d();
        while let Some([x, y, z]) = position(i, &*shape) {
            let r2 = (x * x + y * y + z * z) as u32;
            if r2 < radius2 {
                let bin = bin_of(r2, padding, bins);
                of_block.add(2 * bin, (*sums.add(i))[2]);
                of_block.add(2 * bin + 1, 1.0);
            }
            i += thread::grid_size_1d();
        }
        flush_words(of_block, 2 * bins, out);
    }
}

/// Returns value `i` of the centred half-complex transform of a box, or an image, of side `padded_box`: what `of` makes of the voxel
/// at its frequency v (the place in the volume, |v|², the sign that centres the transform), 0 from |v|² = `end2` on. None beyond
/// the last value.
#[inline(always)]
pub(super) fn transform_value(
    i: usize,
    padded_box: u32,
    shape: &VolumeShape,
    end2: u32,
    of: impl FnOnce(usize, u32, f32) -> [f32; 2],
) -> Option<[f32; 2]> {
    let at = transform_position(i, padded_box)?;
    let [x, y, z] = at;
    let r2 = (x * x + y * y + z * z) as u32;
    Some(match r2 < end2 {
        true => of(place(at, shape), r2, centre_sign(x, y, z)),
        false => [0.0, 0.0],
    })
}

/// Divides data by weights not below `floor` of their bin and writes the centred half-complex transform of a box of
/// `padded_box`³, 0 where there is nothing. A thread a value of the transform.
#[kernel(block = 256, grid = [(padded_box * padded_box).saturating_mul(padded_box / 2 + 1).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn divide_into_transform(
    #[unchecked] sums: *const [f32; 4],
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    padding: f32,
    #[len(bins)] floor: *const f32,
    bins: u32,
    padded_box: u32,
    #[len(padded_box * padded_box * (padded_box / 2 + 1))] out: *mut [f32; 2],
) {
    // SAFETY: the index is checked; frequencies are looked up only inside the volume.
    unsafe {
        let i = thread::index_1d();
        let value = transform_value(i, padded_box, &*shape, radius2 + 1, |voxel, r2, sign| {
            let floor = *floor.add(bin_of(r2, padding, bins) as usize);
            divided(memory::load4(sums, voxel), floor, sign)
        });
        if let Some(value) = value {
            memory::store2(out, i, value);
        }
    }
}

/// Cuts the reference volume out of the transform of a padded map, and measures Σ|F|² and the number of known voxels per
/// shell: `power[2·shell]`, `power[2·shell + 1]`, zeroed by the host. Voxels up to `silent2` are measured but written as 0
/// (−1: none). Shared memory: 2 · `shells` words.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK * 16), 1, 1], shared = 2 * shells)]
pub unsafe fn crop_reference(
    #[launch] voxels: u32,
    #[len(padded_box * padded_box * (padded_box / 2 + 1))] transform: *const [f32; 2],
    padded_box: u32,
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    silent2: i32,
    scale: f32,
    padding: f32,
    shells: u32,
    #[len(voxels)] out: *mut [f32; 2],
    #[len(2 * shells)] power: *mut f64,
) {
    // SAFETY: the index is checked; frequencies are looked up only inside the transform.
    unsafe {
        let of_block = Shared::dynamic(0);
        clear_words(of_block, 2 * shells);
        let limit = (padded_box / 2) as i32;
        let mut i = thread::index_1d();
        while let Some([x, y, z]) = position(i, &*shape) {
            let r2 = (x * x + y * y + z * z) as u32;
            let mut value = [0.0, 0.0];
            // The transform knows frequencies from −Q/2 + 1 to Q/2.
            let known = x <= limit && y <= limit && z <= limit && y > -limit && z > -limit;
            if r2 <= radius2 && known {
                let (row, plane) = (
                    crate::volume::stored(y, padded_box),
                    crate::volume::stored(z, padded_box),
                );
                let at = (plane as usize * padded_box as usize + row as usize)
                    * (limit as usize + 1)
                    + x as usize;
                let factor = scale * centre_sign(x, y, z);
                value = memory::load2(transform, at).map(|v| v * factor);
                let shell = ((r2 as f32).sqrt() / padding + 0.5) as u32;
                if shell < shells {
                    of_block.add(2 * shell, value[0] * value[0] + value[1] * value[1]);
                    of_block.add(2 * shell + 1, 1.0);
                }
                if r2 as i32 <= silent2 {
                    value = [0.0, 0.0];
                }
            }
            memory::store2(out, i, value);
            i += thread::grid_size_1d();
        }
        flush_words(of_block, 2 * shells, power);
    }
}

#[cfg(test)]
mod tests;
