//! getImg: raw particle images → masked and unmasked transforms on the packed pixel list, CTF, powers (spec 01 §3).

use crate::shapes::ONE_VALUE_WORDS;
use crate::shapes::PREPARE_WORDS;
use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use crate::ctf::{self, CtfCoefficients};
use crate::image::{ImageTask, centre_sign, half_to_single, shell, shift_phase};
use crate::mask::background_share;
use crate::samples::product;
use crate::volume::frequency;

/// Norm correction, integer shift and soft mask: raw → `unmasked` and `masked`, ready for the transform. `raw` has the
/// address of each image, whose pixels are as its task says.
///
/// Grid: x = images; a block an image. Shared memory: 66 words. `noise` holds a background image each, or is null for
/// the mean of the background. `unwanted`, where not null, holds an image each that is subtracted after the norm correction and before
/// the shift. The mask has `radius` and `edge` in pixels.
#[kernel(block = 512, grid = [images, 1, 1], shared = PREPARE_WORDS, emulate = OneWarp)]
pub unsafe fn prepare_images(
    #[launch] images: u32,
    #[len(images)] raw: *const u64,
    #[len(images)] tasks: *const ImageTask,
    box_size: u32,
    radius: f32,
    edge: f32,
    #[optional(images * box_size * box_size)] noise: *const f32,
    #[optional(images * box_size * box_size)] unwanted: *const f32,
    #[len(images * box_size * box_size)] unmasked: *mut f32,
    #[len(images * box_size * box_size)] masked: *mut f32,
) {
    // SAFETY: the host passes box_size² values an image; every index below stays inside an image.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let pixels = box_size * box_size;
        let offset = image * pixels as usize;
        let task = *tasks.add(image);
        let raw = *raw.add(image) as usize;
        let pixel = |at: u32| match task.half {
            0 => *core::ptr::with_exposed_provenance::<f32>(raw).add(at as usize),
            _ => half_to_single(*core::ptr::with_exposed_provenance::<u16>(raw).add(at as usize)),
        };
        let centre = (box_size / 2) as i32;
        let distance = |i: u32| {
            let x = (i % box_size) as i32 - centre;
            let y = (i / box_size) as i32 - centre;
            ((x * x + y * y) as f32).sqrt()
        };
        let (mut sum, mut weight) = (0.0, 0.0);
        let mut i = thread::thread_idx_x();
        while i < pixels {
            let value = match task.source(i, box_size) {
                Some(from) if unwanted.is_null() => pixel(from) * task.factor,
                Some(from) => pixel(from) * task.factor - *unwanted.add(offset + from as usize),
                None => 0.0,
            };
            *unmasked.add(offset + i as usize) = value;
            let share = background_share(distance(i), radius, edge);
            sum += share * value;
            weight += share;
            i += thread::block_dim_x();
        }
        let [sum, weight] = block::sums([sum, weight], Shared::dynamic(0));
        let mean = if weight > 0.0 { sum / weight } else { 0.0 };
        let mut i = thread::thread_idx_x();
        while i < pixels {
            let at = offset + i as usize;
            let background = if noise.is_null() {
                mean
            } else {
                *noise.add(at)
            };
            let share = background_share(distance(i), radius, edge);
            // Each thread reads back what it wrote itself above.
            *masked.add(at) = (1.0 - share) * *unmasked.add(at) + share * background;
            i += thread::block_dim_x();
        }
    }
}

/// Picks the listed pixels from unscaled transforms of `box_size`² images and centres them:
/// `out[image · stride + p]`, 0 from `pixel_count` to `stride`.
///
/// Grid: x = images, y = blocks of pixels. `factors` multiplies each pixel (aberrations) or is null; `remainders` is a
/// further shift of each image in pixels or null.
#[kernel(block = 128, grid = [images, stride.div_ceil(BLOCK), 1], emulate = Apart)]
pub unsafe fn gather_transforms(
    #[launch] images: u32,
    #[len(images * box_size * (box_size / 2 + 1))] transforms: *const [f32; 2],
    box_size: u32,
    #[len(pixel_count)] pixels: *const [i16; 2],
    pixel_count: u32,
    #[optional(pixel_count)] factors: *const [f32; 2],
    #[optional(images)] remainders: *const [f32; 2],
    #[len(images * stride)] out: *mut [f32; 2],
    stride: u32,
) {
    // SAFETY: listed pixels lie inside the transform; indices are checked against the stride.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let pixel = thread::block_idx_y() * thread::block_dim_x() + thread::thread_idx_x();
        if pixel >= stride {
            return;
        }
        let mut value = [0.0, 0.0];
        if pixel < pixel_count {
            let [x, y] = (*pixels.add(pixel as usize)).map(i32::from);
            let row = if y >= 0 { y } else { y + box_size as i32 } as usize;
            let width = (box_size / 2 + 1) as usize;
            let at = (image * box_size as usize + row) * width + x as usize;
            let scale = centre_sign(x, y) / (box_size * box_size) as f32;
            value = memory::load2(transforms, at).map(|v| v * scale);
            if !factors.is_null() {
                value = product(value, memory::load2(factors, pixel as usize));
            }
            if !remainders.is_null() {
                let shift = memory::load2(remainders, image);
                value = product(value, shift_phase(x, y, shift, box_size));
            }
        }
        memory::store2(out, image * stride as usize + pixel as usize, value);
    }
}

/// Σ|F|² per shell 0 … box/2 of unscaled transforms, without the redundant half of x = 0 (spec 01 §3.6):
/// `out[image · (box/2+1) + shell]`.
///
/// Grid: x = images; a block an image. Shared memory: box/2+1 words.
#[kernel(block = 256, grid = [images, 1, 1], shared = box_size / 2 + 1, emulate = OneWarp)]
pub unsafe fn shell_powers(
    #[launch] images: u32,
    #[len(images * box_size * (box_size / 2 + 1))] transforms: *const [f32; 2],
    box_size: u32,
    #[len(images * (box_size / 2 + 1))] out: *mut f32,
) {
    // SAFETY: indices stay inside one transform; shells above box/2 are skipped.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let width = box_size / 2 + 1;
        let sums = Shared::dynamic(0);
        let mut i = thread::thread_idx_x();
        while i < width {
            sums.store(i, 0.0);
            i += thread::block_dim_x();
        }
        thread::sync_threads();
        let mut i = thread::thread_idx_x();
        while i < width * box_size {
            let (x, y) = ((i % width) as i32, frequency(i / width, box_size));
            let s = shell(x, y);
            if s < width && (x > 0 || y >= 0) {
                let at = image * (width * box_size) as usize + i as usize;
                let [re, im] = memory::load2(transforms, at);
                sums.add(s, re * re + im * im);
            }
            i += thread::block_dim_x();
        }
        thread::sync_threads();
        // The transform is unscaled: 1/N² each for F and its conjugate.
        let scale = 1.0 / (box_size * box_size) as f32;
        let mut i = thread::thread_idx_x();
        while i < width {
            *out.add(image * width as usize + i as usize) = sums.load(i) * scale * scale;
            i += thread::block_dim_x();
        }
    }
}

/// √Σ|F|² over every stored coefficient of the box of `size` in unscaled transforms, corners and the redundant half of
/// x = 0 included (spec 01 §5.3): `out[image]`.
///
/// Grid: x = images; a block an image. Shared memory: 33 words.
#[kernel(block = 256, grid = [images, 1, 1], shared = ONE_VALUE_WORDS, emulate = OneWarp)]
pub unsafe fn box_powers(
    #[launch] images: u32,
    #[len(images * box_size * (box_size / 2 + 1))] transforms: *const [f32; 2],
    box_size: u32,
    size: u32,
    #[len(images)] out: *mut f32,
) {
    // SAFETY: indices stay inside one transform; all threads reach the reduction.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let (width, half) = (box_size / 2 + 1, (size / 2) as i32);
        let mut sum = 0.0;
        let mut i = thread::thread_idx_x();
        while i < width * box_size {
            let (x, y) = ((i % width) as i32, frequency(i / width, box_size));
            if x <= half && y > -half && y <= half {
                let at = image * (width * box_size) as usize + i as usize;
                let [re, im] = memory::load2(transforms, at);
                sum += re * re + im * im;
            }
            i += thread::block_dim_x();
        }
        let sum = block::sum(sum, Shared::dynamic(0));
        if thread::thread_idx_x() == 0 {
            let scale = 1.0 / (box_size * box_size) as f32;
            *out.add(image) = (sum * scale * scale).sqrt();
        }
    }
}

/// CTF of each image at the listed pixels: `out[image · stride + p]`, 0 from `pixel_count` to `stride`.
///
/// Grid: x = images, y = blocks of pixels. `aberration` is the phase of symmetric aberrations per pixel, or null.
/// Double precision: the phase runs to hundreds of turns.
#[kernel(block = 128, grid = [images, stride.div_ceil(BLOCK), 1], emulate = Apart)]
pub unsafe fn ctf_values(
    #[launch] images: u32,
    #[len(images)] coefficients: *const CtfCoefficients<f64>,
    #[len(pixel_count)] pixels: *const [i16; 2],
    pixel_count: u32,
    #[optional(pixel_count)] aberration: *const f64,
    #[len(images * stride)] out: *mut f32,
    stride: u32,
) {
    // SAFETY: indices are checked against the stride.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let pixel = thread::block_idx_y() * thread::block_dim_x() + thread::thread_idx_x();
        if pixel >= stride {
            return;
        }
        let mut value = 0.0;
        if pixel < pixel_count {
            let [x, y] = (*pixels.add(pixel as usize)).map(f64::from);
            let phase = if aberration.is_null() {
                0.0
            } else {
                *aberration.add(pixel as usize)
            };
            value = ctf::value(&*coefficients.add(image), x, y, phase) as f32;
        }
        *out.add(image * stride as usize + pixel as usize) = value;
    }
}

#[cfg(test)]
mod tests {
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
}
