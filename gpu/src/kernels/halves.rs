//! M-step over half-sets and shells: joining, averages of halves and their FSC, statistics of weights (spec 02 §3.1–3.5,
//! §5.6). Volumes as in `volume`.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use crate::slice::VolumeShape;
use crate::volume::{evidence_ratio, position, round};

use super::block::{clear_words, flush_words};
use super::volume::{prior_of, shell_of};

/// Replaces the voxels with |v|² ≤ `limit2` of both halves by their means. A thread a voxel.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn join_halves(
    #[launch] voxels: u32,
    #[len(voxels)] first: *mut [f32; 4],
    #[len(voxels)] second: *mut [f32; 4],
    #[len(1)] shape: *const VolumeShape,
    limit2: u32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let i = thread::index_1d();
        let Some([x, y, z]) = position(i, &*shape) else {
            return;
        };
        if (x * x + y * y + z * z) as u32 <= limit2 {
            let (a, b) = (*first.add(i), *second.add(i));
            let mean = [
                0.5 * (a[0] + b[0]),
                0.5 * (a[1] + b[1]),
                0.5 * (a[2] + b[2]),
                0.0,
            ];
            *first.add(i) = mean;
            *second.add(i) = mean;
        }
    }
}

/// Σ A / Σ W over the padded voxels that round to one unpadded voxel: logical z, y in −`reach`…`reach`, x in
/// 0…`reach`, x fastest. A thread an unpadded voxel.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn average_half(
    #[launch] voxels: u32,
    #[unchecked] sums: *const [f32; 4],
    #[len(1)] shape: *const VolumeShape,
    padding: f32,
    reach: u32,
    #[len(voxels)] out: *mut [f32; 2],
) {
    // SAFETY: the index is checked, padded coordinates are limited to the volume.
    unsafe {
        let i = thread::index_1d();
        let own = VolumeShape {
            side: 2 * reach + 1,
            half: reach,
            depth: 2 * reach + 1,
            max_radius2: 0.0,
        };
        let Some([x, y, z]) = position(i, &own) else {
            return;
        };
        let shape = &*shape;
        let half = shape.half as i32;
        // Candidates; those that round to another voxel are passed over.
        let low = |k: i32| (((k as f32 - 0.5) * padding) as i32 - 1).max(-half);
        let high = |k: i32| (((k as f32 + 0.5) * padding) as i32 + 1).min(half);
        let falls = |p: i32, k: i32| round(p as f32 / padding) == k;
        let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
        let mut pz = low(z);
        while pz <= high(z) {
            let mut py = if falls(pz, z) { low(y) } else { high(y) + 1 };
            while py <= high(y) {
                let row = (pz + half) as usize * shape.side as usize + (py + half) as usize;
                let mut px = if falls(py, y) {
                    low(x).max(0)
                } else {
                    high(x) + 1
                };
                while px <= high(x) {
                    if falls(px, x) {
                        let v = memory::load4(sums, row * shape.row() + px as usize);
                        re += v[0];
                        im += v[1];
                        weight += v[2];
                    }
                    px += 1;
                }
                py += 1;
            }
            pz += 1;
        }
        let value = if weight > 0.0 {
            [re / weight, im / weight]
        } else {
            [0.0, 0.0]
        };
        memory::store2(out, i, value);
    }
}

/// Σ Re(a·b*), Σ|a|², Σ|b|² per shell of two averages: `out[3·shell + …]`, zeroed by the host; shells up to `reach` − 1.
/// Shared memory: 3 · `reach` words.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK * 16), 1, 1], shared = 3 * reach)]
pub unsafe fn correlate_halves(
    #[launch] voxels: u32,
    #[len(voxels)] first: *const [f32; 2],
    #[len(voxels)] second: *const [f32; 2],
    reach: u32,
    #[len(3 * reach)] out: *mut f64,
) {
    // SAFETY: the index is checked; shells within r_max are below `reach`.
    unsafe {
        let of_block = Shared::dynamic(0);
        clear_words(of_block, 3 * reach);
        let shape = VolumeShape {
            side: 2 * reach + 1,
            half: reach,
            depth: 2 * reach + 1,
            max_radius2: 0.0,
        };
        let limit = reach as i32 - 1;
        let mut i = thread::index_1d();
        while let Some([x, y, z]) = position(i, &shape) {
            let r2 = x * x + y * y + z * z;
            if r2 <= limit * limit {
                let shell = round((r2 as f32).sqrt()) as u32;
                let (a, b) = (memory::load2(first, i), memory::load2(second, i));
                of_block.add(3 * shell, a[0] * b[0] + a[1] * b[1]);
                of_block.add(3 * shell + 1, a[0] * a[0] + a[1] * a[1]);
                of_block.add(3 * shell + 2, b[0] * b[0] + b[1] * b[1]);
            }
            i += thread::grid_size_1d();
        }
        flush_words(of_block, 3 * reach, out);
    }
}

/// Adds a voxel of weight W to the four words of its shell: W, 1, W/I, and 1 where W/I ≥ 1, I being `prior`.
///
/// # Safety
/// The block has those words.
#[inline(always)]
pub(super) unsafe fn count_weight(of_block: Shared, shell: u32, weight: f32, prior: f32) {
    let ratio = evidence_ratio(weight, prior);
    // SAFETY: promised by the caller.
    unsafe {
        of_block.add(4 * shell, weight);
        of_block.add(4 * shell + 1, 1.0);
        of_block.add(4 * shell + 2, ratio);
        if ratio >= 1.0 {
            of_block.add(4 * shell + 3, 1.0);
        }
    }
}

/// Per shell ROUND(|v|/P), over voxels with |v|² < Rp²: Σ W, number of voxels, Σ W/I, number with W/I ≥ 1, I being the
/// inverse prior variance (spec 02 §2.1; `inverse` as in `regularise`): `out[4·shell + …]`, zeroed by the host. Shared
/// memory: 4 · `shells` words.
#[kernel(block = 256, grid = [voxels.div_ceil(BLOCK * 16), 1, 1], shared = 4 * shells)]
pub unsafe fn weight_statistics(
    #[launch] voxels: u32,
    #[len(voxels)] sums: *const [f32; 4],
    #[len(1)] shape: *const VolumeShape,
    radius2: u32,
    padding: f32,
    #[len(prior_shells)] inverse: *const f32,
    prior_shells: u32,
    shells: u32,
    #[len(4 * shells)] out: *mut f64,
) {
    // SAFETY: the index is checked, the shell limited.
    unsafe {
        let of_block = Shared::dynamic(0);
        clear_words(of_block, 4 * shells);
        let mut i = thread::index_1d();
        while let Some([x, y, z]) = position(i, &*shape) {
            let r2 = (x * x + y * y + z * z) as u32;
            if r2 < radius2 {
                let shell = shell_of(r2, padding, shells);
                let prior = prior_of(inverse, prior_shells, shell);
                count_weight(of_block, shell, (*sums.add(i))[2], prior);
            }
            i += thread::grid_size_1d();
        }
        flush_words(of_block, 4 * shells, out);
    }
}
