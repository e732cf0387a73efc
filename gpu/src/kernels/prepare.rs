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
mod tests;
