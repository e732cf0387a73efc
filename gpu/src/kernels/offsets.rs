//! convert, first pass: priors of the coarse shifts, relative to their mean (spec 01 §4.5, §6.1, spec 04 §4).

use crate::offset;
use crate::shapes::{ALL_CLASSES, ONE_VALUE_WORDS};
use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;

/// `out[(image · lists + list) · shifts + t]` = E(t) − ln⟨e^E⟩, E as in [`offset::log_prior`] with r from `starts`, t from
/// `translations` and µ from the `centres` of the list. The mean is over the lists that the image visits: its own one where
/// `visited` says a class, else those for which `used` is not 0.
///
/// Grid: x = images; shared memory: 33 words.
#[kernel(block = 128, grid = [images, 1, 1], shared = ONE_VALUE_WORDS, emulate = OneWarp)]
pub unsafe fn offset_log_priors(
    #[launch] images: u32,
    #[len(images)] starts: *const [f64; 2],
    #[len(images)] visited: *const u32,
    #[len(lists)] centres: *const [f64; 2],
    #[len(lists)] used: *const u32,
    lists: u32,
    #[len(shifts)] translations: *const [f64; 2],
    shifts: u32,
    factor: f64,
    #[len(images * lists * shifts)] out: *mut f32,
) {
    // SAFETY: indices are below the counts; all threads reach the reductions.
    unsafe {
        let image = thread::block_idx_x() as usize;
        let (start, own) = (*starts.add(image), *visited.add(image));
        let count = lists * shifts;
        let prior = |i: u32| {
            let shift = *translations.add((i % shifts) as usize);
            offset::log_prior(start, shift, *centres.add((i / shifts) as usize), factor)
        };
        let visits = |i: u32| {
            let list = i / shifts;
            if own == ALL_CLASSES || lists == 1 {
                *used.add(list as usize) != 0
            } else {
                list == own
            }
        };
        let (first, threads) = (thread::thread_idx_x(), thread::block_dim_x());
        let mut largest = f32::NEG_INFINITY;
        let mut i = first;
        while i < count {
            if visits(i) {
                largest = largest.max(prior(i) as f32);
            }
            i += threads;
        }
        // Exponentials are taken relative to the largest: all of them may be far outside the prior.
        let largest = f64::from(block::max(largest, Shared::dynamic(0)));
        let (mut sum, mut number) = (0.0f32, 0.0f32);
        let mut i = first;
        while i < count {
            if visits(i) {
                sum += GpuFloat::exp((prior(i) - largest) as f32);
                number += 1.0;
            }
            i += threads;
        }
        let sum = block::sum(sum, Shared::dynamic(0));
        let number = block::sum(number, Shared::dynamic(0));
        let mean = largest + f64::from(GpuFloat::ln(sum / number));
        let out = out.add(image * count as usize);
        let mut i = first;
        while i < count {
            *out.add(i as usize) = (prior(i) - mean) as f32;
            i += threads;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuda_std::launch::{View, emulate};

    /// Against the mean of exponentials in double precision: classes that nobody visits, a class that an image visits alone,
    /// and an image far outside the prior.
    #[test]
    fn priors_are_relative_to_the_mean_of_what_is_visited() {
        let mut starts = vec![[1.0, -2.0], [0.0, 3.0], [4000.0, 0.0]];
        let mut visited = vec![ALL_CLASSES, 1, ALL_CLASSES];
        let mut centres = vec![[0.5, 0.0], [-1.0, 0.25], [100.0, 100.0]];
        let mut used = vec![1u32, 1, 0];
        let mut translations: Vec<[f64; 2]> = (0..45)
            .map(|i| [f64::from(i % 9) - 4.0, f64::from(i / 9) * 0.75])
            .collect();
        let factor = 0.05;
        let mut out = vec![f32::NAN; 3 * 3 * 45];
        let kernel = OffsetLogPriors {
            images: 3,
            starts: View::of(&mut starts),
            visited: View::of(&mut visited),
            centres: View::of(&mut centres),
            used: View::of(&mut used),
            lists: 3,
            translations: View::of(&mut translations),
            shifts: 45,
            factor,
            out: View::of(&mut out),
        };
        // SAFETY: array sizes as the kernel demands.
        unsafe { emulate(&kernel) };
        let classes = [&[0usize, 1][..], &[1], &[0, 1]];
        for (image, classes) in classes.into_iter().enumerate() {
            let prior = |k: usize, t: usize| {
                let [dx, dy] =
                    [0, 1].map(|i| starts[image][i] + translations[t][i] - centres[k][i]);
                -factor * (dx * dx + dy * dy)
            };
            let all: Vec<f64> = classes
                .iter()
                .flat_map(|&k| (0..45).map(move |t| (k, t)))
                .map(|(k, t)| prior(k, t))
                .collect();
            let largest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = all.iter().map(|e| (e - largest).exp()).sum();
            let mean = largest + (sum / all.len() as f64).ln();
            for k in 0..3 {
                for t in 0..45 {
                    let found = f64::from(out[(image * 3 + k) * 45 + t]);
                    let expected = prior(k, t) - mean;
                    let rounding = 2e-7 * expected.abs().max(10.0);
                    assert!((found - expected).abs() < rounding, "{found}, {expected}");
                }
            }
        }
    }
}
