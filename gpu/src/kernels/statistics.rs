//! Sums over the weights of the second pass that need no pixels: directions and offsets (spec 01 §7.5).

use crate::shapes::ONE_VALUE_WORDS;
use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use crate::samples::{Alignment, Sample};

/// Adds Σw of every sample to the direction of its orientation, and writes Σ w |r + t − µ|² of each image.
///
/// Grid: x = images; shared memory: 33 words. `slot_of` maps an orientation to its place in `direction_weight`; `shifts` are
/// the fine shifts in pixels, `start` is r of each image. Maps have their µ in it, r − µ; then `centres` is null. For class
/// averages `centres` has the µ of each class (`class_of` an orientation), and `class_offset` receives Σ w·a·(r + t), a the
/// `pixel_size` (spec 04 §7).
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
    #[len(images)] start: *const [f32; 2],
    #[unchecked] class_of: *const u32,
    #[unchecked] centres: *const [f32; 2],
    #[unchecked] class_offset: *mut [f64; 2],
    pixel_size: f32,
    #[len(images)] out: *mut Alignment,
) {
    // SAFETY: samples of the image are a contiguous range; tables as said above. All threads go through the loop equally
    // often; threads beyond the last sample add nothing.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let per_sample = (orientation_children * shift_children) as usize;
        let start = *start.add(image);
        let (mut s, end) = (*first.add(image), *first.add(image + 1));
        let mut offset2 = 0.0;
        while s < end {
            let own = s + thread::thread_idx_x();
            let at = own.min(end - 1) as usize;
            let sample = *samples.add(at);
            let orientation = sample.orientation as usize;
            let class = if centres.is_null() {
                0
            } else {
                *class_of.add(orientation) as usize
            };
            let centre = if centres.is_null() {
                [0.0; 2]
            } else {
                *centres.add(class)
            };
            // Σw and Σ w·(r + t).
            let (mut weight, mut moved) = (0.0, [0.0f32; 2]);
            let children = if own < end { shift_children } else { 0 };
            for t in 0..children {
                let mut of_shift = 0.0;
                for o in 0..orientation_children {
                    let j = at * per_sample + (o * shift_children + t) as usize;
                    of_shift += *values.add(j);
                }
                let shift = *shifts.add((sample.shift * shift_children + t) as usize);
                let (x, y) = (start[0] + shift[0], start[1] + shift[1]);
                let (dx, dy) = (x - centre[0], y - centre[1]);
                offset2 += of_shift * (dx * dx + dy * dy);
                weight += of_shift;
                moved[0] += of_shift * x;
                moved[1] += of_shift * y;
            }
            let slot = *slot_of.add(orientation) as usize;
            add_together(weight, slot, direction_weight);
            if !centres.is_null() {
                let sums = class_offset.cast::<f64>();
                add_together(pixel_size * moved[0], 2 * class, sums);
                add_together(pixel_size * moved[1], 2 * class + 1, sums);
            }
            s += thread::block_dim_x();
        }
        let offset2 = block::sum(offset2, Shared::dynamic(0));
        if thread::thread_idx_x() == 0 {
            (*out.add(image)).offset2 = offset2;
        }
    }
}

/// Adds `value` to place `at` of `sums`: once for the warp where all its threads mean one place, as neighbours in the order of
/// samples mostly do.
///
/// # Safety
/// All threads of the warp take part; the place exists.
#[inline(always)]
unsafe fn add_together(value: f32, at: usize, sums: *mut f64) {
    let first = warp::broadcast_u32(at as u32, 0) as usize;
    // SAFETY: the caller's place.
    unsafe {
        if warp::ballot(at != first) == 0 {
            let sum = warp::sum(value);
            if warp::lane_id() == 0 && sum != 0.0 {
                atomic::add_f64(sums.add(at), f64::from(sum));
            }
        } else if value != 0.0 {
            atomic::add_f64(sums.add(at), f64::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::launch::{View, emulate_as};

    /// Orientations of a map, or of class averages with priors of their own; more samples than a warp has threads, of one
    /// orientation and of several in turn.
    fn check(flat: bool) {
        let count = 2 * 70;
        let mut samples: Vec<Sample> = (0..count)
            .map(|i| Sample {
                image: i / 70,
                orientation: if i % 70 < 40 { 1 } else { i % 5 },
                shift: i % 3,
                log_prior: 0.0,
            })
            .collect();
        let mut first = vec![0u32, 70, 140];
        let mut values: Vec<f32> = test_data::values(140 * 4, 3)
            .iter()
            .map(|v| v.abs())
            .collect();
        let mut slot_of = vec![7u32, 7, 2, 3, 3];
        let mut class_of = vec![1u32, 1, 0, 0, 1];
        let mut centres = vec![[0.25f32, -1.5], [3.0, 0.5]];
        let mut directions = vec![0.0f64; 8];
        let mut class_offset = vec![[0.0f64; 2]; 2];
        let mut shifts = test_data::complex(3 * 2, 4);
        let mut start = vec![[1.0f32, -2.0], [0.5, 0.0]];
        let mut out = vec![Alignment::default(); 2];
        let kernel = FineStatistics {
            images: 2,
            samples: View::of(&mut samples),
            first: View::of(&mut first),
            values: View::of(&mut values),
            orientation_children: 2,
            shift_children: 2,
            slot_of: View::of(&mut slot_of),
            direction_weight: View::of(&mut directions),
            shifts: View::of(&mut shifts),
            start: View::of(&mut start),
            class_of: View::of(&mut class_of),
            centres: match flat {
                true => View::of(&mut centres),
                false => View::null(),
            },
            class_offset: View::of(&mut class_offset),
            pixel_size: 2.5,
            out: View::of(&mut out),
        };
        // SAFETY: array sizes as the kernel demands.
        unsafe { emulate_as(&kernel, [2, 1, 1], [32, 1, 1]) };
        let mut expected = vec![0.0f64; 8];
        let (mut squares, mut offsets) = ([0.0f64; 2], [[0.0f64; 2]; 2]);
        for (i, sample) in samples.iter().enumerate() {
            let class = class_of[sample.orientation as usize] as usize;
            let image = sample.image as usize;
            for j in 0..4 {
                let w = f64::from(values[4 * i + j]);
                expected[slot_of[sample.orientation as usize] as usize] += w;
                let shift = shifts[sample.shift as usize * 2 + j % 2];
                for k in 0..2 {
                    let moved = f64::from(start[image][k] + shift[k]);
                    let centre = if flat {
                        f64::from(centres[class][k])
                    } else {
                        0.0
                    };
                    squares[image] += w * (moved - centre).powi(2);
                    offsets[class][k] += w * 2.5 * moved;
                }
            }
        }
        for (a, b) in directions.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6 * b.max(1.0), "{a}, {b}");
        }
        for (a, b) in out.iter().zip(&squares) {
            assert!((f64::from(a.offset2) / b - 1.0).abs() < 1e-6);
        }
        for (a, b) in class_offset.iter().flatten().zip(offsets.iter().flatten()) {
            let b = if flat { *b } else { 0.0 };
            assert!((a - b).abs() < 1e-6 * b.abs().max(50.0), "{a}, {b}");
        }
    }

    #[test]
    fn weights_reach_their_directions_and_offsets_are_measured_from_the_prior() {
        check(false);
    }

    #[test]
    fn class_averages_have_mean_offsets_of_their_own() {
        check(true);
    }
}
