//! Cross-correlation, first pass: samples that are tied with the best one, in double precision (spec 01 §5.3).

use cuda_std::prelude::*;

use crate::correlation::ExactSample;
use crate::slice::VolumeShape;

/// `out[s]` = Σ w Re(conj(mA)·F e^{iφ}) / √Σ w|mA|² of sample `s`.
///
/// Grid: x = samples; 32 threads. `references` holds one volume a class; `images` are masked transforms; m = scale · CTF,
/// `ctf` null where references are not corrected; `weight` is w per pixel.
#[kernel(block = 32, grid = [sample_count, 1, 1])]
pub unsafe fn tied_correlations(
    #[launch] sample_count: u32,
    #[len(sample_count)] samples: *const ExactSample,
    #[unchecked] references: *const [f32; 2],
    #[len(1)] shape: *const VolumeShape,
    #[len(pixel_count)] pixels: *const [i16; 2],
    pixel_count: u32,
    #[unchecked] images: *const [f32; 2],
    image_stride: u32,
    #[unchecked] ctf: *const f32,
    #[unchecked] scales: *const f32,
    #[len(pixel_count)] weight: *const f32,
    #[len(sample_count)] out: *mut f64,
) {
    // SAFETY: image and class of the sample exist; pixels are counted below pixel_count.
    unsafe {
        let sample = *samples.add(thread::block_idx_x() as usize);
        let shape = *shape;
        let reference = references.add(sample.class as usize * shape.len());
        let scale = *scales.add(sample.image as usize);
        let mut sums = [0.0f64; 2];
        let mut pixel = thread::thread_idx_x();
        while pixel < pixel_count {
            let p = pixel as usize;
            let at = sample.image as usize * image_stride as usize + p;
            let c = if ctf.is_null() {
                1.0
            } else {
                memory::load(ctf, at)
            };
            let [cross, power] = sample.pixel(
                *pixels.add(p),
                memory::load2(images, at),
                scale * c,
                memory::load(weight, p),
                |i| memory::load2(reference, i),
                &shape,
            );
            sums = [sums[0] + cross, sums[1] + power];
            pixel += thread::block_dim_x();
        }
        let (cross, power) = (warp::sum_f64(sums[0]), warp::sum_f64(sums[1]));
        if thread::thread_idx_x() == 0 {
            *out.add(thread::block_idx_x() as usize) = cross / GpuFloat::sqrt(power);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use crate::slice::{SliceAxes, slice_value};
    use cuda_std::launch::{View, emulate_as};

    #[test]
    fn correlations_follow_the_definition() {
        let mut shape = [VolumeShape::new(2 * (8 + 1) + 1, 4, 2.0)];
        let voxels = shape[0].len();
        let mut references = test_data::complex(2 * voxels, 1);
        let mut pixels = test_data::pixels(4);
        let count = pixels.len();
        let mut images = test_data::complex(2 * count, 2);
        let mut ctf = test_data::values(2 * count, 3);
        let mut scales = vec![0.8f32, 1.1];
        let mut weight: Vec<f32> = (0..count).map(|p| 1.0 + (p % 2) as f32).collect();
        let mut samples: Vec<ExactSample> = (0..4)
            .map(|i| ExactSample {
                x_axis: [1.2, 1.6 - 0.1 * f64::from(i), 0.3],
                y_axis: [-1.6, 1.2, 0.05 * f64::from(i)],
                turns: [0.01 * f64::from(i), -0.02],
                image: i % 2,
                class: i / 2,
            })
            .collect();
        let mut out = vec![f64::NAN; samples.len()];
        let (s, r, h) = (
            View::of(&mut samples),
            View::of(&mut references),
            View::of(&mut shape),
        );
        let (x, i, c) = (
            View::of(&mut pixels),
            View::of(&mut images),
            View::of(&mut ctf),
        );
        let (k, w, o) = (
            View::of(&mut scales),
            View::of(&mut weight),
            View::of(&mut out),
        );
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &TiedCorrelations {
                    sample_count: 4,
                    samples: s,
                    references: r,
                    shape: h,
                    pixels: x,
                    pixel_count: count as u32,
                    images: i,
                    image_stride: count as u32,
                    ctf: c,
                    scales: k,
                    weight: w,
                    out: o,
                },
                [4, 1, 1],
                [32, 1, 1],
            )
        };
        for (sample, found) in samples.iter().zip(&out) {
            let axes = SliceAxes {
                x_axis: sample.x_axis.map(|v| v as f32),
                y_axis: sample.y_axis.map(|v| v as f32),
            };
            let volume = &references[sample.class as usize * voxels..][..voxels];
            let (mut cross, mut power) = (0.0f64, 0.0f64);
            for p in 0..count {
                let [x, y] = pixels[p].map(f32::from);
                let m = f64::from(scales[sample.image as usize])
                    * f64::from(ctf[sample.image as usize * count + p]);
                let a =
                    slice_value(volume, &shape[0], axes.position(x, y)).map(|v| m * f64::from(v));
                let f = images[sample.image as usize * count + p].map(f64::from);
                let turns = f64::from(x) * sample.turns[0] + f64::from(y) * sample.turns[1];
                let (sin, cos) = (-std::f64::consts::TAU * turns).sin_cos();
                let shifted = [f[0] * cos - f[1] * sin, f[0] * sin + f[1] * cos];
                let w = f64::from(weight[p]);
                cross += w * (a[0] * shifted[0] + a[1] * shifted[1]);
                power += w * (a[0] * a[0] + a[1] * a[1]);
            }
            let expected = cross / power.sqrt();
            assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0));
        }
    }
}
