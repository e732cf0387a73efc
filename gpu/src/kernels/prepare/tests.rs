//! The preparation of images against its definition, in the emulator.

use super::*;
use crate::kernels::test_data::{self, assert_close};
use cuda_std::launch::{View, emulate_as};

#[test]
fn images_are_scaled_shifted_and_masked() {
    let (n, images) = (24usize, 3);
    let mut raw = test_data::values(images * n * n, 3);
    // The last image comes in half precision.
    let halves: Vec<u16> = (0..(n * n) as u16)
        .map(|i| (i % 2) << 15 | (0x3000 + i * 11 % 0x1000))
        .collect();
    for (value, &bits) in raw[2 * n * n..].iter_mut().zip(&halves) {
        *value = half_to_single(bits);
    }
    let mut tasks = vec![
        ImageTask {
            factor: 1.5,
            shift: [2, -3],
            half: 0,
        },
        ImageTask {
            factor: 0.5,
            shift: [0, 30],
            half: 0,
        },
        ImageTask {
            factor: 0.7,
            shift: [-1, 4],
            half: 1,
        },
    ];
    let (mut unmasked, mut masked) = (vec![f32::NAN; raw.len()], vec![f32::NAN; raw.len()]);
    let mut addresses: Vec<u64> = raw
        .chunks(n * n)
        .map(|image| image.as_ptr().expose_provenance() as u64)
        .collect();
    addresses[2] = halves.as_ptr().expose_provenance() as u64;
    let (a, t) = (View::of(&mut addresses), View::of(&mut tasks));
    let (u, m) = (View::of(&mut unmasked), View::of(&mut masked));
    let mut unwanted = test_data::values(images * n * n, 5);
    let x = View::of(&mut unwanted);
    let (radius, edge) = (6.0f32, 3.0f32);
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate_as(
            &PrepareImages {
                images: images as u32,
                raw: a,
                tasks: t,
                box_size: n as u32,
                radius,
                edge,
                noise: View::null(),
                unwanted: x,
                unmasked: u,
                masked: m,
            },
            [images as u32, 1, 1],
            [64, 1, 1],
        )
    };
    for (image, task) in tasks.iter().enumerate() {
        let at = |x: i32, y: i32| -> f64 {
            let inside = |v: i32| (0..n as i32).contains(&v);
            let [sx, sy] = task.shift;
            if inside(x - sx) && inside(y - sy) {
                let from = image * n * n + (y - sy) as usize * n + (x - sx) as usize;
                f64::from(raw[from]) * f64::from(task.factor) - f64::from(unwanted[from])
            } else {
                0.0
            }
        };
        let grid: Vec<(i32, i32)> = (0..n as i32)
            .flat_map(|y| (0..n as i32).map(move |x| (x, y)))
            .collect();
        let share = |x: i32, y: i32| {
            let (dx, dy) = (f64::from(x - 12), f64::from(y - 12));
            f64::from(background_share(dx.hypot(dy) as f32, radius, edge))
        };
        let weight: f64 = grid.iter().map(|&(x, y)| share(x, y)).sum();
        let mean: f64 = grid
            .iter()
            .map(|&(x, y)| share(x, y) * at(x, y))
            .sum::<f64>()
            / weight;
        let expected: Vec<f64> = grid.iter().map(|&(x, y)| at(x, y)).collect();
        let range = image * n * n..(image + 1) * n * n;
        assert_close(&unmasked[range.clone()], &expected, 1e-7);
        let expected: Vec<f64> = grid
            .iter()
            .map(|&(x, y)| (1.0 - share(x, y)) * at(x, y) + share(x, y) * mean)
            .collect();
        assert_close(&masked[range], &expected, 1e-6);
    }
}

/// Plain transform of a real image, unscaled, half-complex.
fn transform(image: &[f32], n: usize) -> Vec<[f64; 2]> {
    let mut out = Vec::new();
    for row in 0..n {
        for x in 0..=n / 2 {
            let mut sum = [0.0f64; 2];
            for (i, v) in image.iter().enumerate() {
                let turns = ((i % n * x) as f64 + (i / n * row) as f64) / n as f64;
                let (s, c) = (-std::f64::consts::TAU * turns).sin_cos();
                sum[0] += f64::from(*v) * c;
                sum[1] += f64::from(*v) * s;
            }
            out.push(sum);
        }
    }
    out
}

/// A point at the box centre plus the shift back has the transform 1/N² everywhere: sign, crop and phase agree.
#[test]
fn gathered_pixels_are_centred_and_shifted() {
    let n = 12usize;
    let mut image = vec![0.0f32; n * n];
    image[(n / 2 - 1) * n + n / 2 + 2] = 1.0;
    let mut full: Vec<[f32; 2]> = transform(&image, n)
        .iter()
        .map(|v| v.map(|c| c as f32))
        .collect();
    let mut pixels = test_data::pixels(5);
    // The point sits at (+2, −1) from the centre: shifting by (−2, +1) centres it.
    let mut remainder = vec![[-2.0f32, 1.0]];
    let stride = pixels.len() + 3;
    let mut out = vec![[f32::NAN; 2]; stride];
    let (f, p) = (View::of(&mut full), View::of(&mut pixels));
    let (r, o) = (View::of(&mut remainder), View::of(&mut out));
    let count = pixels.len() as u32;
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate_as(
            &GatherTransforms {
                images: 1,
                transforms: f,
                box_size: n as u32,
                pixels: p,
                pixel_count: count,
                factors: View::null(),
                remainders: r,
                out: o,
                stride: stride as u32,
            },
            [1, 2, 1],
            [64, 1, 1],
        )
    };
    for (p, value) in out.iter().enumerate() {
        let expected = if p < pixels.len() {
            1.0 / (n * n) as f32
        } else {
            0.0
        };
        assert!(
            (value[0] - expected).abs() < 1e-8 && value[1].abs() < 1e-8,
            "{p} {value:?}"
        );
    }
}

#[test]
fn shell_powers_count_each_stored_pixel_once() {
    let n = 16usize;
    let image = test_data::values(n * n, 9);
    let full = transform(&image, n);
    let mut single: Vec<[f32; 2]> = full.iter().map(|v| v.map(|c| c as f32)).collect();
    let mut out = vec![f32::NAN; n / 2 + 1];
    let (t, o) = (View::of(&mut single), View::of(&mut out));
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate_as(
            &ShellPowers {
                images: 1,
                transforms: t,
                box_size: n as u32,
                out: o,
            },
            [1, 1, 1],
            [32, 1, 1],
        )
    };
    let mut boxed = vec![f32::NAN];
    let b = View::of(&mut boxed);
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate_as(
            &BoxPowers {
                images: 1,
                transforms: t,
                box_size: n as u32,
                size: 8,
                out: b,
            },
            [1, 1, 1],
            [32, 1, 1],
        )
    };
    // Rows y = −3 … 4 and columns x = 0 … 4 of the box of 8.
    let in_box = |i: usize| {
        let (x, row) = (i % (n / 2 + 1), i / (n / 2 + 1));
        x <= 4 && (row <= 4 || row >= n - 3)
    };
    let norm = |v: &[f64; 2]| (v[0] * v[0] + v[1] * v[1]) / (n as f64).powi(4);
    let exact: f64 = full
        .iter()
        .enumerate()
        .filter(|(i, _)| in_box(*i))
        .map(|(_, v)| norm(v))
        .sum();
    assert_close(&boxed, &[exact.sqrt()], 1e-6);
    let mut expected = vec![0.0f64; n / 2 + 1];
    for (i, v) in full.iter().enumerate() {
        let (x, row) = ((i % (n / 2 + 1)) as i32, (i / (n / 2 + 1)) as i32);
        let y = if row <= n as i32 / 2 {
            row
        } else {
            row - n as i32
        };
        let s = f64::from(x * x + y * y).sqrt().round() as usize;
        if s <= n / 2 && (x > 0 || y >= 0) {
            expected[s] += (v[0] * v[0] + v[1] * v[1]) / (n as f64).powi(4);
        }
    }
    assert_close(&out, &expected, 1e-6);
}

#[test]
fn ctf_values_follow_the_shared_arithmetic() {
    let mut coefficients = vec![CtfCoefficients {
        phase_xx: -0.031,
        phase_xy: 0.002,
        phase_yy: -0.029,
        phase_u4: 4000.0,
        phase_constant: -0.1,
        u_xx: 1.5e-5,
        u_xy: 0.0,
        u_yy: 1.5e-5,
        damping: -20.0,
        scale: 0.9,
        flags: 0,
    }];
    let mut pixels = test_data::pixels(9);
    let mut out = vec![f32::NAN; pixels.len()];
    let (c, p) = (View::of(&mut coefficients), View::of(&mut pixels));
    let (o, count) = (View::of(&mut out), pixels.len() as u32);
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate_as(
            &CtfValues {
                images: 1,
                coefficients: c,
                pixels: p,
                pixel_count: count,
                aberration: View::null(),
                out: o,
                stride: count,
            },
            [1, 3, 1],
            [64, 1, 1],
        )
    };
    for (value, [x, y]) in out.iter().zip(&pixels) {
        let exact = ctf::value(&coefficients[0], f64::from(*x), f64::from(*y), 0.0);
        assert_eq!(*value, exact as f32);
    }
}
