//! Gaussian blobs at random places, which take the place of averages of unaligned images: these are alike in all classes,
//! blobs are not (spec 04 §2.4, spec 05 §13).

use crate::geometry::random::{CRandom, RAND_MAX};
use ndarray::Array3;

/// Blobs of each sign.
const COUNT: usize = 40;
/// π of the reference program, in its Gaussian.
#[expect(
    clippy::approx_constant,
    reason = "the random numbers of the reference program depend on it"
)]
const SHORT_PI: f64 = 3.14;

/// A blob: index coordinates (z, y, x) of its centre and its height.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Blob {
    at: [f64; 3],
    height: f64,
}

/// The blobs of a class.
#[derive(Debug, Clone)]
pub(super) struct Blobs {
    positive: Vec<Blob>,
    negative: Vec<Blob>,
}

impl Blobs {
    /// Draws the places of the blobs of a class average or map, for particles of `diameter` pixels; their heights are those of
    /// the average there.
    pub(super) fn draw(average: &Array3<f64>, diameter: f64, random: &mut CRandom) -> Self {
        let mut draw = || -> Vec<Blob> {
            (0..COUNT)
                .map(|_| {
                    let at = place(average.dim(), diameter, random);
                    Blob {
                        at,
                        height: height(average, at),
                    }
                })
                .collect()
        };
        Self {
            positive: draw(),
            negative: draw(),
        }
    }

    /// Replaces the average by its blobs, with the same standard deviation. An average without contrast stays as it is.
    pub(super) fn replace(&self, average: &mut Array3<f64>, diameter: f64) {
        let mut field = Array3::zeros(average.dim());
        add(&mut field, &self.positive, 1.0, diameter);
        add(&mut field, &self.negative, -0.5, diameter);
        let (wanted, found) = (average.std(0.0), field.std(0.0));
        if wanted > 0.0 && found > 0.0 {
            *average = field * (wanted / found);
        }
    }
}

/// Index coordinates (z, y, x) around the box centre; z is 0 for class averages.
fn place((sections, n, _): (usize, usize, usize), diameter: f64, random: &mut CRandom) -> [f64; 3] {
    let flat = sections == 1;
    let deviation = diameter / if flat { 7.0 } else { 6.0 };
    let mut draw = || (n / 2) as f64 + deviation * gaussian(random);
    let (x, y) = (draw(), draw());
    [if flat { 0.0 } else { draw() }, y, x]
}

/// A Gaussian of two draws.
fn gaussian(random: &mut CRandom) -> f64 {
    let mut unit = || (f64::from(random.next_int()) + 1.0) / (f64::from(RAND_MAX) + 1.0);
    let (radius, angle) = (unit(), unit());
    (2.0 * SHORT_PI * angle).cos() * (-2.0 * radius.ln()).sqrt()
}

/// |average| at a place; 0 outside the box.
fn height(average: &Array3<f64>, at: [f64; 3]) -> f64 {
    let (sections, n, _) = average.dim();
    let inside = at
        .iter()
        .zip([sections, n, n])
        .all(|(&c, size)| c > -1.0 && c < size as f64);
    match inside {
        // Truncation towards zero: what lies in (−1, 0) counts as 0.
        true => average[at.map(|c| c as usize)].abs(),
        false => 0.0,
    }
}

/// Adds `sign`·Σ A·exp(−(10/d)²·|r − r_blob|²): over the whole box of an average, within d/3 along each axis in a map.
fn add(field: &mut Array3<f64>, blobs: &[Blob], sign: f64, diameter: f64) {
    let (sections, n, _) = field.dim();
    let falloff = (10.0 / diameter).powi(2);
    let range = |c: f64, size: usize| match sections {
        1 => 0..size,
        _ => {
            let end = (size as f64).min(c + diameter / 3.0).ceil().max(0.0);
            (c - diameter / 3.0).max(0.0) as usize..end as usize
        }
    };
    for blob in blobs.iter().filter(|blob| blob.height > 0.0) {
        let [z, y, x] = blob.at;
        let along = |c: f64, size: usize| -> Vec<(usize, f64)> {
            range(c, size)
                .map(|i| (i, (-falloff * (i as f64 - c).powi(2)).exp()))
                .collect()
        };
        let (in_y, in_x) = (along(y, n), along(x, n));
        for (i, fz) in along(z, sections) {
            for &(j, fy) in &in_y {
                for &(k, fx) in &in_x {
                    field[[i, j, k]] += sign * blob.height * fz * fy * fx;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn average(sections: usize) -> Array3<f64> {
        Array3::from_shape_fn((sections, 32, 32), |(z, y, x)| {
            ((z + 3 * y + 7 * x) % 11) as f64 - 5.0
        })
    }

    /// 4 draws per blob of an average and 6 of a map, 80 blobs per class.
    #[test]
    fn a_class_takes_a_fixed_number_of_draws() {
        for (sections, draws) in [(1, 320), (32, 480)] {
            let (mut random, mut counted) = (CRandom::new(5), CRandom::new(5));
            Blobs::draw(&average(sections), 20.0, &mut random);
            (0..draws).for_each(|_| {
                counted.next_int();
            });
            assert_eq!(random.next_int(), counted.next_int());
        }
    }

    #[test]
    fn blobs_have_the_deviation_of_the_average() {
        for sections in [1, 32] {
            let mut map = average(sections);
            let wanted = map.std(0.0);
            let blobs = Blobs::draw(&map, 20.0, &mut CRandom::new(1));
            blobs.replace(&mut map, 20.0);
            assert!((map.std(0.0) / wanted - 1.0).abs() < 1e-12);
            assert!(map.iter().any(|&v| v > 0.0));
        }
    }

    #[test]
    fn averages_without_contrast_stay() {
        let mut map = Array3::zeros((1, 32, 32));
        let blobs = Blobs::draw(&map, 20.0, &mut CRandom::new(1));
        blobs.replace(&mut map, 20.0);
        assert!(map.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn heights_are_those_of_the_average_and_0_outside() {
        let map = average(1);
        assert_eq!(height(&map, [0.0, 3.9, 4.2]), map[[0, 3, 4]].abs());
        assert_eq!(height(&map, [0.0, -0.5, 4.2]), map[[0, 0, 4]].abs());
        assert_eq!(height(&map, [0.0, -1.5, 4.2]), 0.0);
        assert_eq!(height(&map, [0.0, 3.0, 32.0]), 0.0);
    }
}
