//! Masks, filters and moments of maps against their definition, in the emulator.

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
    let at = |x: i64, y: i64, z: i64| match [x, y, z].iter().all(|c| (0..N as i64).contains(c)) {
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
