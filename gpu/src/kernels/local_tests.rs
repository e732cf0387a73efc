//! Differences of local searches against their definition, in the emulator.

use super::groups::{ComparedViews, PhasesViews, ReferencesViews};
use super::local::*;
use super::project;
use crate::kernels::test_data::{self, assert_close};
use crate::samples::OwnOrientation;
use crate::slice::{SliceAxes, VolumeShape, slice_value};
use cuda_std::launch::{Launch, View, emulate};

/// A sum in double precision over pixels of `f`(pixel).
fn sum(count: usize, f: impl Fn(usize) -> f64) -> f64 {
    (0..count).map(f).sum()
}

/// Images with these numbers of orientations each are compared at `shifts` shifts by a kernel.
struct Case<'a> {
    /// Radius of the compared pixels.
    radius: i16,
    /// Whether all products are positive, so that sums grow.
    is_positive: bool,
    orientations: &'a [usize],
    shifts: usize,
    correlations: bool,
    shape: VolumeShape,
    axes: fn(usize, f32) -> Vec<SliceAxes>,
}

/// Orientations that images share.
const ROWS: usize = 11;

impl Case<'_> {
    /// Orientations of all images, and where those of each begin.
    fn own_orientations(&self) -> (Vec<u32>, Vec<OwnOrientation>) {
        let mut first = vec![0u32];
        let mut own = Vec::new();
        for (image, &number) in self.orientations.iter().enumerate() {
            for k in 0..number {
                own.push(OwnOrientation {
                    image: image as u32,
                    row: ((3 * k + image) % ROWS) as u32,
                    ..OwnOrientation::default()
                });
            }
            first.push(own.len() as u32);
        }
        (first, own)
    }

    fn check<L: Launch>(&self, kernel: impl Fn(LocalDifferences10) -> L) {
        const CLASSES: usize = 2;
        let mut shape = self.shape;
        let mut pixels = test_data::pixels(self.radius);
        let count = pixels.len();
        // Backwards: any order will do.
        let mut walk: Vec<u32> = (0..count as u32).rev().collect();
        let images = self.orientations.len();
        let (stride, phase_stride) = (count + 3, count + 1);
        let mut volume = test_data::complex(CLASSES * shape.len(), 1);
        let mut axes = (self.axes)(ROWS, 2.0);
        let mut class_of: Vec<u32> = (0..ROWS as u32).map(|row| row % 2).collect();
        let (mut first, mut own) = self.own_orientations();
        let mut f = test_data::complex(images * stride, 2);
        let mut ctf = test_data::values(images * stride, 3);
        let mut scales: Vec<f32> = (0..images).map(|i| 0.7 + 0.25 * i as f32).collect();
        let signed = test_data::values(count, 4);
        let mut weight: Vec<f32> = signed.iter().map(|v| v.abs()).collect();
        let mut phases = test_data::complex(self.shifts * phase_stride, 5);
        let mut powers: Vec<f32> = (0..images).map(|i| 2.0 + i as f32).collect();
        let mut values = vec![f32::NAN; own.len() * self.shifts];
        if self.is_positive {
            for x in [&mut volume, &mut f, &mut phases] {
                x.iter_mut().for_each(|x| *x = [1.0 + 0.5 * x[0], 0.0]);
            }
            ctf.iter_mut().for_each(|c| *c = 1.0 + 0.5 * *c);
        }
        let arguments = LocalDifferences10 {
            most: self.orientations.iter().copied().max().unwrap_or(0) as u32,
            first: View::of(&mut first),
            own: View::of(&mut own),
            references: ReferencesViews {
                volumes: View::of(&mut volume),
                shape: View::of(std::slice::from_mut(&mut shape)),
                axes: View::of(&mut axes),
                class_of: View::of(&mut class_of),
            },
            walk: View::of(&mut walk),
            pixels: View::of(&mut pixels),
            compared: ComparedViews {
                count: images as u32,
                images: View::of(&mut f),
                ctf: View::of(&mut ctf),
                stride: stride as u32,
                scales: View::of(&mut scales),
                powers: match self.correlations {
                    true => View::of(&mut powers),
                    false => View::null(),
                },
                weight: View::of(&mut weight),
                pixels: count as u32,
            },
            phases: PhasesViews {
                shifts: self.shifts as u32,
                rows: View::of(&mut phases),
                stride: phase_stride as u32,
            },
            shifts: self.shifts as u32,
            values: View::of(&mut values),
        };
        // SAFETY: array sizes as the kernel demands.
        unsafe { emulate(&kernel(arguments)) };

        let mut expected = Vec::new();
        for own in &own {
            let (i, row) = (own.image as usize, own.row as usize);
            let of_class = class_of[row] as usize * shape.len();
            let slice: Vec<[f64; 2]> = pixels
                .iter()
                .map(|&[x, y]| axes[row].position(f32::from(x), f32::from(y)))
                .map(|at| slice_value(&volume[of_class..of_class + shape.len()], &shape, at))
                .map(|a| a.map(f64::from))
                .collect();
            let m = |p: usize| f64::from(scales[i]) * f64::from(ctf[i * stride + p]);
            let norm = sum(count, |p| {
                let [re, im] = slice[p];
                0.5 * m(p) * m(p) * f64::from(weight[p]) * (re * re + im * im)
            });
            for t in 0..self.shifts {
                let cross = sum(count, |p| {
                    let [re, im] = f[i * stride + p].map(f64::from);
                    let [cos, sin] = phases[t * phase_stride + p].map(f64::from);
                    let shifted = [re * cos - im * sin, re * sin + im * cos];
                    let inner = slice[p][0] * shifted[0] + slice[p][1] * shifted[1];
                    m(p) * f64::from(weight[p]) * inner
                });
                expected.push(match self.correlations {
                    true => -cross / ((2.0 * norm).sqrt() * f64::from(powers[i])),
                    false => norm - cross,
                });
            }
        }
        assert_close(&values, &expected, 1e-6);
    }
}

/// Reference of a map, and of class averages.
fn map() -> VolumeShape {
    VolumeShape::new(2 * (10 + 1) + 1, 5, 2.0)
}

fn case(orientations: &[usize], shifts: usize) -> Case<'_> {
    Case {
        radius: 5,
        is_positive: false,
        orientations,
        shifts,
        correlations: false,
        shape: map(),
        axes: project::tests::rotations,
    }
}

/// One image without orientations, one whose orientations do not fill a warp, one of more than a block.
#[test]
fn differences_follow_the_definition() {
    case(&[5, 0, 300, 37], 9).check(|a| a);
}

#[test]
fn more_shifts_than_a_thread_takes_go_through_in_tiles() {
    case(&[3, 40], 13).check(|a| a);
    case(&[3, 40], 21).check(LocalDifferences22::from);
    case(&[3, 40], 37).check(LocalDifferences32::from);
    case(&[3, 40], 37).check(LocalDifferences40::from);
}

#[test]
fn correlations_follow_the_definition() {
    Case {
        correlations: true,
        ..case(&[3, 40], 9)
    }
    .check(|a| a);
}

#[test]
fn class_averages_are_compared_as_well() {
    Case {
        shape: VolumeShape::flat(2 * (10 + 1) + 1, 5, 2.0),
        axes: project::tests::turns,
        ..case(&[7, 8], 5)
    }
    .check(|a| a);
}

/// The terms of 10,000 pixels, summed one after the other in single precision, would be wrong in the fifth digit.
#[test]
fn sums_over_many_pixels_keep_their_digits() {
    Case {
        radius: 80,
        is_positive: true,
        shape: VolumeShape::flat(2 * (160 + 1) + 1, 160, 2.0),
        axes: project::tests::turns,
        ..case(&[3], 5)
    }
    .check(|a| a);
}
