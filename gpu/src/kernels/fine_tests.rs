//! Differences of the second pass against their definition, in the emulator.

use super::fine::*;
use super::groups::{ComparedViews, PhasesViews, SamplesViews, SlicesViews};
use crate::kernels::grouping;
use crate::kernels::test_data::{self, assert_close};
use crate::samples::{Parent, Sample};
use cuda_std::launch::{Launch, View, emulate};

/// How samples are grouped.
#[derive(Clone, Copy)]
struct Grouped {
    parents: View<Parent>,
    /// Parents before each orientation.
    rank: View<u32>,
    /// Coarse shifts.
    shifts: u32,
}

/// The arguments of kernels over pairs.
fn pairs<L: Launch>(
    kernel: impl Fn(FineDifferences8x4) -> L,
) -> impl Fn(FineDifferences8x4, Grouped) {
    // SAFETY: array sizes as the kernel demands.
    move |arguments, _| unsafe { emulate(&kernel(arguments)) }
}

/// A warp a sample; parents go through in two parts.
fn samples(a: FineDifferences8x4, grouped: Grouped) {
    for (first_parent, parent_count) in [(0, 2), (2, 10)] {
        let stride = a.slices.stride as usize * a.samples.orientation_children as usize;
        let part = FineDifferences8x4 {
            slices: SlicesViews {
                rows: a.slices.rows.offset(first_parent as usize * stride),
                ..a.slices
            },
            ..a
        };
        let parents = first_parent..first_parent + parent_count;
        let kernel = part.of_samples(grouped.rank, parents);
        // SAFETY: array sizes as the kernel demands.
        unsafe { emulate(&kernel) };
    }
}

/// A thread a sample; the images of a parent go through in `parts`.
fn wide(parts: u32) -> impl Fn(FineDifferences8x4, Grouped) {
    move |a, grouped| {
        let sizes = [grouped.parents.len() as u32, parts, grouped.shifts];
        let pairs = a.pairs;
        let kernel = a.wide(pairs, grouped.parents, sizes);
        // SAFETY: array sizes as the kernel demands.
        unsafe { emulate(&kernel) };
    }
}

/// `run` launches a kernel with these arguments, of so many images.
fn check(
    run: impl Fn(FineDifferences8x4, Grouped),
    images: usize,
    children: [usize; 2],
    shifts: usize,
) {
    let [orientation_children, shift_children] = children;
    let count = 75usize;
    let mut samples = Vec::new();
    for image in 0..images as u32 {
        for orientation in [1u32, 3, 4] {
            for shift in 0..(image + orientation) * 3 % shifts as u32 {
                samples.push(Sample {
                    image,
                    orientation,
                    shift,
                    log_prior: 0.0,
                });
            }
        }
    }
    let (mut parents, mut pairs) = grouping::tests::group(&mut samples, 6);
    let mut slices = test_data::complex(parents.len() * orientation_children * count, 1);
    let mut f = test_data::complex(images * count, 2);
    let mut ctf = test_data::values(images * count, 3);
    let mut scales: Vec<f32> = [1.2, 0.7, 1.0].into_iter().cycle().take(images).collect();
    let mut weight: Vec<f32> = test_data::values(count, 4)
        .iter()
        .map(|v| v.abs())
        .collect();
    let mut phases = test_data::complex(shifts * shift_children * count, 5);
    let per_sample = orientation_children * shift_children;
    let mut values = vec![f32::NAN; samples.len() * per_sample];
    let before = |o: u32| parents.iter().filter(|p| p.orientation < o).count() as u32;
    let mut rank: Vec<u32> = (0..=6).map(before).collect();
    let arguments = FineDifferences8x4 {
        pair_count: pairs.len() as u32,
        pairs: View::of(&mut pairs),
        samples: SamplesViews {
            count: samples.len() as u32,
            list: View::of(&mut samples),
            orientation_children: orientation_children as u32,
            shift_children: shift_children as u32,
        },
        first_parent: 0,
        slices: SlicesViews {
            rows: View::of(&mut slices),
            stride: count as u32,
        },
        compared: ComparedViews {
            count: images as u32,
            images: View::of(&mut f),
            ctf: View::of(&mut ctf),
            stride: count as u32,
            scales: View::of(&mut scales),
            powers: View::null(),
            weight: View::of(&mut weight),
            pixels: count as u32,
        },
        phases: PhasesViews {
            shifts: (shifts * shift_children) as u32,
            rows: View::of(&mut phases),
            stride: count as u32,
        },
        values: View::of(&mut values),
    };
    let grouped = Grouped {
        parents: View::of(&mut parents),
        rank: View::of(&mut rank),
        shifts: shifts as u32,
    };
    run(arguments, grouped);
    let mut expected = Vec::new();
    for sample in &samples {
        let i = sample.image as usize;
        let rank = parents
            .iter()
            .position(|p| p.orientation == sample.orientation)
            .unwrap();
        for o in 0..orientation_children {
            for t in 0..shift_children {
                // ½ΣV|mA − Fe^{iφ}|² without ½ΣV|F|²: the definition, in double precision.
                let mut sum = 0.0f64;
                for p in 0..count {
                    let wide = |v: [f32; 2]| v.map(f64::from);
                    let a = wide(slices[(rank * orientation_children + o) * count + p]);
                    let row = sample.shift as usize * shift_children + t;
                    let (x, e) = (wide(f[i * count + p]), wide(phases[row * count + p]));
                    let m = f64::from(scales[i]) * f64::from(ctf[i * count + p]);
                    let shifted = [x[0] * e[0] - x[1] * e[1], x[0] * e[1] + x[1] * e[0]];
                    let (re, im) = (m * a[0] - shifted[0], m * a[1] - shifted[1]);
                    let constant = shifted[0].powi(2) + shifted[1].powi(2);
                    sum += 0.5 * f64::from(weight[p]) * (re * re + im * im - constant);
                }
                expected.push(sum);
            }
        }
    }
    assert_close(&values, &expected, 2e-6);
}

#[test]
fn differences_follow_the_definition() {
    check(pairs(|a| a), 3, [8, 4], 4);
    check(pairs(FineDifferences8x4::single), 3, [1, 1], 4);
}

/// Eight samples of a pair go through at a time, with children of a shift or without.
#[test]
fn samples_without_tiles_go_through_in_eights() {
    check(pairs(FineDifferences8x4::single), 3, [1, 1], 20);
    check(pairs(FineDifferences8x4::single), 3, [1, 4], 11);
}

#[test]
fn children_of_class_averages_follow_the_definition() {
    check(samples, 3, [2, 4], 7);
}

/// Second-order oversampling is done in tiles.
#[test]
fn higher_oversampling_is_tiled() {
    check(pairs(|a| a), 3, [16, 8], 4);
    check(samples, 3, [4, 16], 4);
}

/// Blocks of 128 images, of which the last is not full; rounds of 128 samples that begin and end within a pair.
#[test]
fn many_samples_an_orientation_follow_the_definition() {
    check(wide(1), 3, [8, 4], 4);
    check(wide(1), 140, [8, 4], 9);
    check(wide(2), 140, [16, 8], 3);
}
