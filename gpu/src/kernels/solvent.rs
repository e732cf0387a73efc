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
        let (x, base_x) = split(i % side, shift_x);
        let (y, base_y) = split(i / side % side, shift_y);
        let (z, base_z) = split(i / (side * side), shift_z);
        let mut value = 0.0;
        for corner in 0..8i32 {
            let [ux, uy, uz] = [corner & 1, corner >> 1 & 1, corner >> 2];
            let [cx, cy, cz] = [base_x + ux, base_y + uy, base_z + uz];
            let within = |c: i32| c >= 0 && c < n as i32;
            if within(cx) && within(cy) && within(cz) {
                let share = part(x, ux) * part(y, uy) * part(z, uz);
                let at = (cz as usize * side + cy as usize) * side + cx as usize;
                value += share * memory::load(map, at);
            }
        }
        *out.add(i) = value;
    }
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
mod tests {
    use super::*;
    use crate::kernels::test_data::{self, assert_close};
    use cuda_std::launch::{View, emulate_as};

    const N: usize = 10;

    fn blocks(count: usize) -> [u32; 3] {
        [count.div_ceil(64) as u32, 1, 1]
    }

    #[test]
    fn masks_multiply_and_blend() {
        let count = N * N * N;
        let before = test_data::values(count, 1);
        let (mut map, mut mask) = (before.clone(), test_data::values(count, 2));
        mask.iter_mut().for_each(|m| *m = m.abs());
        let mut sums = vec![0.0f64; 2];
        let (v, m) = (View::of(&mut map), View::of(&mut mask));
        let s = View::of(&mut sums);
        // SAFETY: array sizes as the kernels demand. Few blocks, so that threads take several voxels.
        unsafe {
            emulate_as(
                &MultiplyMaps {
                    count: count as u32,
                    map: v,
                    factor: m,
                    out: v,
                },
                blocks(count),
                [64, 1, 1],
            );
            emulate_as(
                &AddMap {
                    count: count as u32,
                    other: m,
                    map: v,
                },
                blocks(count),
                [64, 1, 1],
            );
            emulate_as(
                &MaskedSums {
                    count: count as u32,
                    map: v,
                    mask: m,
                    out: s,
                },
                [3, 1, 1],
                [64, 1, 1],
            );
            emulate_as(
                &BlendMap {
                    count: count as u32,
                    mask: m,
                    sums: s,
                    map: v,
                },
                blocks(count),
                [64, 1, 1],
            );
        }
        let masked: Vec<f64> = before
            .iter()
            .zip(&mask)
            .map(|(v, m)| f64::from(v * m) + f64::from(*m))
            .collect();
        let weight: f64 = mask.iter().map(|m| f64::from(*m)).sum();
        let sum: f64 = masked
            .iter()
            .zip(&mask)
            .map(|(v, m)| v * f64::from(*m))
            .sum();
        assert!((sums[0] / sum - 1.0).abs() < 1e-6 && (sums[1] / weight - 1.0).abs() < 1e-12);
        let expected: Vec<f64> = masked
            .iter()
            .zip(&mask)
            .map(|(v, m)| (1.0 - f64::from(*m)) * v + f64::from(*m) * sum / weight)
            .collect();
        assert_close(&map, &expected, 1e-6);
    }

    #[test]
    fn moments_and_shifts_follow_their_definition() {
        let mut map = test_data::values(N * N * N, 3);
        let mut moments = vec![0.0f64; 4];
        let mut out = vec![f32::NAN; N * N * N];
        let (v, s) = (View::of(&mut map), View::of(&mut moments));
        let o = View::of(&mut out);
        let shift = [1.25f32, -0.5, -2.0];
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            emulate_as(
                &MapMoments {
                    map: v,
                    n: N as u32,
                    out: s,
                },
                [3, 1, 1],
                [64, 1, 1],
            );
            emulate_as(
                &ShiftMap {
                    map: v,
                    n: N as u32,
                    shift_x: shift[0],
                    shift_y: shift[1],
                    shift_z: shift[2],
                    out: o,
                },
                blocks(N * N * N),
                [64, 1, 1],
            );
        }
        let at = |x: i64, y: i64, z: i64| match [x, y, z].iter().all(|c| (0..N as i64).contains(c))
        {
            true => f64::from(map[((z * N as i64 + y) * N as i64 + x) as usize]),
            false => 0.0,
        };
        let (mut exact, mut shifted) = ([0.0f64; 4], Vec::new());
        for i in 0..(N * N * N) as i64 {
            let n = N as i64;
            let [x, y, z] = [i % n, i / n % n, i / (n * n)];
            for (sum, c) in exact.iter_mut().zip([1, x - 5, y - 5, z - 5]) {
                *sum += centring_mass(at(x, y, z)) * c as f64;
            }
            // y lies half-way between y − 1 and y.
            let row = |x| 0.5 * (at(x, y - 1, z - 2) + at(x, y, z - 2));
            shifted.push(0.75 * row(x + 1) + 0.25 * row(x + 2));
        }
        for (a, b) in moments.iter().zip(exact) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        assert_close(&out, &shifted, 1e-6);
    }

    #[test]
    fn transforms_are_filtered_randomised_and_correlated() {
        let values = N * N * (N / 2 + 1);
        let before = test_data::complex(values, 4);
        let (mut low, mut random) = (before.clone(), before.clone());
        let shells = N / 2 + 1;
        let mut sums = vec![0.0f64; 3 * shells];
        let (l, r) = (View::of(&mut low), View::of(&mut random));
        let s = View::of(&mut sums);
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            emulate_as(
                &LowPassTransform {
                    transform: l,
                    n: N as u32,
                    limit: 3.0,
                    scale: 2.0,
                },
                blocks(values),
                [64, 1, 1],
            );
            emulate_as(
                &RandomisePhases {
                    transform: r,
                    n: N as u32,
                    limit2: 9,
                    seed: 77,
                    scale: 2.0,
                },
                blocks(values),
                [64, 1, 1],
            );
            emulate_as(
                &CorrelateTransforms {
                    first: l,
                    second: r,
                    n: N as u32,
                    out: s,
                },
                [3, 1, 1],
                [64, 1, 1],
            );
        }
        let mut exact = vec![0.0f64; 3 * shells];
        for i in 0..values {
            let [x, y, z] = transform_position(i, N as u32).unwrap();
            let r2 = x * x + y * y + z * z;
            let radius = f64::from(r2).sqrt();
            let factor = match radius {
                r if r <= 2.0 => 2.0,
                r if r >= 4.0 => 0.0,
                r => 1.0 + (std::f64::consts::PI * (r - 2.0) / 2.0).cos(),
            };
            let norm = |v: [f32; 2]| f64::from(v[0]).hypot(f64::from(v[1]));
            assert!((norm(low[i]) - factor * norm(before[i])).abs() < 1e-5);
            if r2 < 9 {
                assert_eq!(random[i], before[i].map(|v| 2.0 * v));
            } else if x > 0 && x < 5 {
                assert!((norm(random[i]) - 2.0 * norm(before[i])).abs() < 1e-5);
                let turned = random[i][0] * before[i][1] - random[i][1] * before[i][0];
                assert!(turned.abs() > 1e-7, "value {i} kept its phase");
            }
            let shell = radius.round() as usize;
            if shell < shells {
                let [a, b] = [low[i], random[i]].map(|v| v.map(f64::from));
                exact[3 * shell] += a[0] * b[0] + a[1] * b[1];
                exact[3 * shell + 1] += a[0] * a[0] + a[1] * a[1];
                exact[3 * shell + 2] += b[0] * b[0] + b[1] * b[1];
            }
        }
        for (a, b) in sums.iter().zip(&exact) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} {b}");
        }
    }

    /// Mates in the plane x = 0 stay mates, so that the transform is that of real numbers.
    #[test]
    fn random_phases_belong_to_a_real_map() {
        let values = N * N * (N / 2 + 1);
        let mut transform = vec![[1.0f32, 0.0]; values];
        let t = View::of(&mut transform);
        // SAFETY: array size as the kernel demands.
        unsafe {
            emulate_as(
                &RandomisePhases {
                    transform: t,
                    n: N as u32,
                    limit2: 1,
                    seed: 5,
                    scale: 1.0,
                },
                blocks(values),
                [64, 1, 1],
            )
        };
        let at = |x: usize, y: usize, z: usize| transform[(z % N * N + y % N) * (N / 2 + 1) + x];
        for x in [0, 5] {
            for (y, z) in [(1, 0), (3, 4), (5, 2), (5, 5)] {
                let (a, b) = (at(x, y, z), at(x, N - y, N - z));
                assert!((a[0] - b[0]).abs() < 1e-6 && (a[1] + b[1]).abs() < 1e-6);
            }
        }
    }
}
