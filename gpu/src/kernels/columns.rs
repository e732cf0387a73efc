//! Shifted, weighted images: the right-hand sides of the first pass's matrix products (spec 01 §5.2).

use cuda_std::prelude::*;

use crate::samples::product;

/// Real and imaginary parts of m·V·F·e^{iφ_t} in `real[(image · shifts + t) · column_stride + p]` and `imaginary[…]`, and
/// `powers[image · power_stride + p]` = m²·V, all 0 beyond `pixel_count`, with m = scale · CTF.
///
/// Grid: x = images, y = blocks of pixels (up to `column_stride`). `ctf` is null where references are not corrected;
/// `weight` is V per pixel (0 where a pixel is not compared); `phases` has rows of `phase_stride`.
#[kernel(block = 128, grid = [image_count, column_stride.div_ceil(BLOCK), 1], emulate = Apart)]
pub unsafe fn weighted_columns(
    #[launch] image_count: u32,
    #[len(image_count * image_stride)] images: *const [f32; 2],
    image_stride: u32,
    #[optional(image_count * image_stride)] ctf: *const f32,
    #[len(image_count)] scales: *const f32,
    #[len(pixel_count)] weight: *const f32,
    #[len(shifts * phase_stride)] phases: *const [f32; 2],
    phase_stride: u32,
    pixel_count: u32,
    shifts: u32,
    #[len(image_count * shifts * column_stride)] real: *mut f32,
    #[len(image_count * shifts * column_stride)] imaginary: *mut f32,
    column_stride: u32,
    #[len(image_count * power_stride)] powers: *mut f32,
    power_stride: u32,
) {
    // SAFETY: indices are checked against the strides; the host passes rows of these lengths.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let pixel = thread::block_idx_y() * thread::block_dim_x() + thread::thread_idx_x();
        if pixel >= column_stride {
            return;
        }
        let p = pixel as usize;
        let (mut value, mut power) = ([0.0, 0.0], 0.0);
        if pixel < pixel_count {
            let at = image * image_stride as usize + p;
            let c = if ctf.is_null() { 1.0 } else { *ctf.add(at) };
            let m = *scales.add(image) * c;
            let v = *weight.add(p);
            value = memory::load2(images, at).map(|f| f * m * v);
            power = m * m * v;
        }
        if pixel < power_stride {
            *powers.add(image * power_stride as usize + p) = power;
        }
        for t in 0..shifts as usize {
            let shifted = if pixel < pixel_count {
                product(value, memory::load2(phases, t * phase_stride as usize + p))
            } else {
                [0.0, 0.0]
            };
            let row = image * shifts as usize + t;
            *real.add(row * column_stride as usize + p) = shifted[0];
            *imaginary.add(row * column_stride as usize + p) = shifted[1];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::launch::{View, emulate_as};

    #[test]
    fn columns_are_weighted_shifted_and_padded() {
        let (images, shifts, count, stride) = (2usize, 3usize, 50usize, 64usize);
        let mut f = test_data::complex(images * count, 1);
        let mut ctf = test_data::values(images * count, 2);
        let mut scales = vec![1.5f32, 0.5];
        let mut weight = test_data::values(count, 3);
        let mut phases = test_data::complex(shifts * count, 4);
        let mut real = vec![f32::NAN; images * shifts * stride];
        let mut imaginary = real.clone();
        let mut powers = vec![f32::NAN; images * (count + 2)];
        let (pf, pc, ps, pw) = (
            View::of(&mut f),
            View::of(&mut ctf),
            View::of(&mut scales),
            View::of(&mut weight),
        );
        let (pp, power) = (View::of(&mut phases), View::of(&mut powers));
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &WeightedColumns {
                    image_count: 2,
                    images: pf,
                    image_stride: count as u32,
                    ctf: pc,
                    scales: ps,
                    weight: pw,
                    phases: pp,
                    phase_stride: count as u32,
                    pixel_count: count as u32,
                    shifts: shifts as u32,
                    real: View::of(&mut real),
                    imaginary: View::of(&mut imaginary),
                    column_stride: stride as u32,
                    powers: power,
                    power_stride: count as u32 + 2,
                },
                [2, 2, 1],
                [32, 1, 1],
            )
        };
        for image in 0..images {
            for p in 0..count {
                let m = scales[image] * ctf[image * count + p];
                assert_eq!(powers[image * (count + 2) + p], m * m * weight[p]);
                for t in 0..shifts {
                    let value = f[image * count + p].map(|v| v * m * weight[p]);
                    let expected = product(value, phases[t * count + p]);
                    let at = (image * shifts + t) * stride + p;
                    assert_eq!([real[at], imaginary[at]], expected);
                }
            }
        }
        assert_eq!([real[stride - 1], imaginary[stride - 1]], [0.0; 2]);
        assert_eq!(powers[count], 0.0);
    }
}
