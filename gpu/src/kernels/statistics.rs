//! Sums over the weights of the second pass that need no pixels: directions and offsets (spec 01 §7.5).

use crate::shapes::ONE_VALUE_WORDS;
use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use crate::samples::{Alignment, Sample};

/// Adds Σw of every sample to the direction of its orientation, and writes Σ w |r + t − µ|² of each image.
///
/// Grid: x = images; shared memory: 33 words. `slot_of` maps an orientation to its place in `direction_weight`;
/// `shifts` are the fine shifts in pixels, `centre` is r − µ of each image in pixels.
#[kernel(block = 128, grid = [images, 1, 1], shared = ONE_VALUE_WORDS, emulate = OneWarp)]
pub unsafe fn fine_statistics(
    #[launch] images: u32,
    #[unchecked] samples: *const Sample,
    #[len(images + 1)] first: *const u32,
    #[unchecked] values: *const f32,
    orientation_children: u32,
    shift_children: u32,
    #[unchecked] slot_of: *const u32,
    #[unchecked] direction_weight: *mut f64,
    #[unchecked] shifts: *const [f32; 2],
    #[len(images)] centre: *const [f32; 2],
    #[len(images)] out: *mut Alignment,
) {
    // SAFETY: samples of the image are a contiguous range; tables as said above.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let per_sample = (orientation_children * shift_children) as usize;
        let centre = *centre.add(image);
        let mut offset2 = 0.0;
        let mut s = *first.add(image) + thread::thread_idx_x();
        while s < *first.add(image + 1) {
            let sample = *samples.add(s as usize);
            let mut weight = 0.0;
            for t in 0..shift_children {
                let mut of_shift = 0.0;
                for o in 0..orientation_children {
                    let j = s as usize * per_sample + (o * shift_children + t) as usize;
                    of_shift += *values.add(j);
                }
                let shift = *shifts.add((sample.shift * shift_children + t) as usize);
                let (dx, dy) = (centre[0] + shift[0], centre[1] + shift[1]);
                offset2 += of_shift * (dx * dx + dy * dy);
                weight += of_shift;
            }
            if weight > 0.0 {
                let slot = *slot_of.add(sample.orientation as usize) as usize;
                atomic::add_f64(direction_weight.add(slot), f64::from(weight));
            }
            s += thread::block_dim_x();
        }
        let offset2 = block::sum(offset2, Shared::dynamic(0));
        if thread::thread_idx_x() == 0 {
            (*out.add(image)).offset2 = offset2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::launch::{View, emulate_as};

    #[test]
    fn weights_reach_their_directions_and_offsets_are_measured_from_the_prior() {
        let mut samples: Vec<Sample> = (0..10)
            .map(|i| Sample {
                image: i / 5,
                orientation: i % 5,
                shift: i % 3,
                log_prior: 0.0,
            })
            .collect();
        let mut first = vec![0u32, 5, 10];
        let mut values: Vec<f32> = test_data::values(10 * 4, 3)
            .iter()
            .map(|v| v.abs())
            .collect();
        let mut slot_of = vec![7u32, 7, 2, 3, 3];
        let mut directions = vec![0.0f64; 8];
        let mut shifts = test_data::complex(3 * 2, 4);
        let mut centre = vec![[1.0f32, -2.0], [0.5, 0.0]];
        let mut out = vec![Alignment::default(); 2];
        let (s, f, v) = (
            View::of(&mut samples),
            View::of(&mut first),
            View::of(&mut values),
        );
        let (l, d, h) = (
            View::of(&mut slot_of),
            View::of(&mut directions),
            View::of(&mut shifts),
        );
        let (c, o) = (View::of(&mut centre), View::of(&mut out));
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &FineStatistics {
                    images: 2,
                    samples: s,
                    first: f,
                    values: v,
                    orientation_children: 2,
                    shift_children: 2,
                    slot_of: l,
                    direction_weight: d,
                    shifts: h,
                    centre: c,
                    out: o,
                },
                [2, 1, 1],
                [32, 1, 1],
            )
        };
        let mut expected = vec![0.0f64; 8];
        let mut offsets = [0.0f64; 2];
        for (i, sample) in samples.iter().enumerate() {
            for j in 0..4 {
                let w = f64::from(values[4 * i + j]);
                expected[slot_of[sample.orientation as usize] as usize] += w;
                let shift = shifts[sample.shift as usize * 2 + j % 2];
                let image = sample.image as usize;
                offsets[image] += w
                    * (0..2)
                        .map(|k| f64::from(centre[image][k] + shift[k]).powi(2))
                        .sum::<f64>();
            }
        }
        for (a, b) in directions.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6);
        }
        for (a, b) in out.iter().zip(&offsets) {
            assert!((f64::from(a.offset2) / b - 1.0).abs() < 1e-6);
        }
    }
}
