use super::*;
use crate::gridding::gridding_factor;
use crate::kernels::test_data::{self, assert_close};
use cuda_std::launch::{View, emulate};

const PADDING: f32 = 2.0;
const R_MAX: usize = 6;
const RADIUS2: usize = 4 * R_MAX * R_MAX;
const SHELLS: usize = R_MAX + 1;
const PADDED_BOX: usize = 32;

/// Sums and statistics of one average by the definition, in double precision: rows −h … h of x = 0 … h.
struct Average {
    half: i32,
    sums: Vec<[f64; 3]>,
}

impl Average {
    fn at(&self, x: i32, y: i32) -> usize {
        ((y + self.half) * (self.half + 1) + x) as usize
    }

    /// Friedel mates on the line x = 0 get their sum.
    fn complete(&mut self) {
        for y in 1..=self.half {
            let (up, down) = (self.at(0, y), self.at(0, -y));
            let (a, b) = (self.sums[up], self.sums[down]);
            let sum = [a[0] + b[0], a[1] - b[1], a[2] + b[2]];
            self.sums[up] = sum;
            self.sums[down] = [sum[0], -sum[1], sum[2]];
        }
    }

    /// Index, x, y and |v|² of the voxels with |v|² ≤ Rp².
    fn voxels(&self) -> Vec<(usize, i32, i32, usize)> {
        let half = self.half;
        let all = (-half..=half).flat_map(|y| (0..=half).map(move |x| (x, y)));
        all.map(|(x, y)| (self.at(x, y), x, y, (x * x + y * y) as usize))
            .filter(|(.., r2)| *r2 <= RADIUS2)
            .collect()
    }
}

fn shell(r2: usize) -> usize {
    ((r2 as f64).sqrt() / f64::from(PADDING)).round() as usize
}

fn bin(r2: usize) -> usize {
    (((r2 as f64).sqrt() / f64::from(PADDING)) as usize).min(R_MAX - 1)
}

/// Three classes of which the last and the first are made: their places in the output are in this order, and the sums of the
/// second stay as they are.
#[test]
fn transforms_and_statistics_follow_the_definition() {
    let shape = VolumeShape::flat(2 * (2 * R_MAX as u32 + 1) + 1, R_MAX as u32, PADDING);
    let (voxels, half) = (shape.len(), shape.half as i32);
    let numbers = test_data::values(3 * 3 * voxels, 7);
    let mut sums: Vec<[f32; 4]> = numbers
        .chunks_exact(3)
        // Some weights are below the floor of their bin, some data have none at all.
        .map(|v| [v[0], v[1], (v[2] + 0.5).max(0.0), 0.0])
        .collect();
    let before = sums.clone();
    let mut class_of = vec![2u32, 0];
    // Shell 4 has no prior power, shells 0 and 1 are not regularised.
    let mut inverse: Vec<f32> = (0..2 * SHELLS)
        .map(|i| {
            if i % SHELLS == 4 {
                -1.0
            } else {
                0.1 * i as f32
            }
        })
        .collect();
    let first_shell = 2;
    let width = PADDED_BOX / 2 + 1;
    let mut out = vec![[f32::NAN; 2]; 2 * PADDED_BOX * width];
    let mut statistics = vec![0.0f64; 2 * 4 * SHELLS];
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate(&DivideAverages {
            averages: 2,
            held: 3,
            voxels: voxels as u32,
            class_of: View::of(&mut class_of),
            sums: View::of(&mut sums),
            shape: View::of(&mut [shape]),
            radius2: RADIUS2 as u32,
            padding: PADDING,
            inverse: View::of(&mut inverse),
            prior_shells: SHELLS as u32,
            first_shell,
            shells: SHELLS as u32,
            bins: R_MAX as u32,
            padded_box: PADDED_BOX as u32,
            out: View::of(&mut out),
            statistics: View::of(&mut statistics),
        });
    }
    assert_eq!(sums[voxels..2 * voxels], before[voxels..2 * voxels]);
    for (place, class) in [(0, 2), (1, 0)] {
        let mut average = Average {
            half,
            sums: before[class * voxels..(class + 1) * voxels]
                .iter()
                .map(|v| [v[0], v[1], v[2]].map(f64::from))
                .collect(),
        };
        average.complete();
        let prior = |shell: usize| f64::from(inverse[place * SHELLS + shell]);
        let mut expected = vec![0.0f64; 4 * SHELLS];
        let mut bins = [[0.0f64; 2]; R_MAX];
        for (i, _, _, r2) in average.voxels() {
            if r2 >= RADIUS2 {
                continue;
            }
            let (shell, weight) = (shell(r2), average.sums[i][2]);
            let ratio = crate::volume::evidence_ratio(weight, prior(shell));
            for (k, v) in [weight, 1.0, ratio, f64::from(u8::from(ratio >= 1.0))]
                .into_iter()
                .enumerate()
            {
                expected[4 * shell + k] += v;
            }
            if shell >= first_shell as usize {
                average.sums[i][2] = regularised(weight, prior(shell));
            }
            bins[bin(r2)][0] += average.sums[i][2];
            bins[bin(r2)][1] += 1.0;
        }
        let of_class = &statistics[place * 4 * SHELLS..(place + 1) * 4 * SHELLS];
        let single: Vec<f32> = of_class.iter().map(|&v| v as f32).collect();
        assert_close(&single, &expected, 1e-6);

        let mut transform = vec![0.0f64; 2 * PADDED_BOX * width];
        for (i, x, y, r2) in average.voxels() {
            let row = y.rem_euclid(PADDED_BOX as i32) as usize;
            let [re, im, weight] = average.sums[i];
            let [sum, count] = bins[bin(r2)];
            let weight = weight.max(sum / count / 1000.0);
            let sign = if (x + y) % 2 == 0 { 1.0 } else { -1.0 };
            let at = 2 * (row * width + x as usize);
            transform[at] = sign * re / weight;
            transform[at + 1] = sign * im / weight;
        }
        let of_class = &out[place * PADDED_BOX * width..(place + 1) * PADDED_BOX * width];
        assert_close(of_class.as_flattened(), &transform, 1e-5);
    }
}

/// Distance of pixel `i` from the centre of `n`² pixels.
fn exact_radius(i: usize, n: usize) -> f64 {
    let c = |v: usize| (v as f64 - (n / 2) as f64).powi(2);
    (c(i % n) + c(i / n)).sqrt()
}

#[test]
fn averages_are_cut_out_masked_and_corrected_each_by_itself() {
    let (n, q) = (12usize, 20usize);
    let (circle, edge, scale) = (4.0f32, 2.0f32, 3.0f32);
    let mut padded = test_data::values(2 * q * q, 3);
    let mut out = vec![f32::NAN; 2 * n * n];
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate(&FinishAverages {
            averages: 2,
            padded: View::of(&mut padded),
            padded_box: q as u32,
            n: n as u32,
            scale,
            circle,
            edge,
            sinc_box: 24.0,
            out: View::of(&mut out),
        });
    }
    for (out, padded) in out.chunks_exact(n * n).zip(padded.chunks_exact(q * q)) {
        let pixel = |i: usize| f64::from(scale * padded[(i / n + 4) * q + i % n + 4]);
        let share =
            |i: usize| background_share(exact_radius(i, n), f64::from(circle), f64::from(edge));
        let weight: f64 = (0..n * n).map(share).sum();
        let mean = (0..n * n).map(|i| share(i) * pixel(i)).sum::<f64>() / weight;
        let expected: Vec<f64> = (0..n * n)
            .map(|i| {
                let value = (1.0 - share(i)) * pixel(i) + share(i) * mean;
                value / gridding_factor(exact_radius(i, n), 24.0)
            })
            .collect();
        assert_close(out, &expected, 2e-6);
    }
}

/// The first average has its mass (the negative pixel has none) at (2, −1) and is followed half of the way, the second is
/// centred but for less than the least.
#[test]
fn averages_are_centred_each_by_itself() {
    let n = 8usize;
    let mut maps = vec![0.0f32; 2 * n * n];
    maps[3 * n + 6] = 2.0;
    maps[0] = -1.0;
    maps[n * n + 4 * n + 4] = 3.0;
    maps[n * n + 4 * n + 5] = 1.0;
    let mut out = vec![f32::NAN; 2 * n * n];
    // SAFETY: array sizes as the kernel demands.
    unsafe {
        emulate(&CentreAverages {
            averages: 2,
            maps: View::of(&mut maps),
            n: n as u32,
            limit: 5f32.sqrt() / 2.0,
            least: 0.3,
            out: View::of(&mut out),
        });
    }
    let mut expected = vec![0.0f64; n * n];
    // A shift by (1, −0.5): the mass lies between rows 3 and 4 of column 5, what was negative outside the box.
    expected[3 * n + 5] = 1.0;
    expected[4 * n + 5] = 1.0;
    assert_close(&out[..n * n], &expected, 1e-6);
    assert_eq!(out[n * n..], maps[n * n..]);
}
