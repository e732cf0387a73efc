//! From the residual sums of both pseudo-halves to new moments and the direction of the step (spec 05 §6.1).

use super::super::radial::{Radial, added_in_order};
use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape::VolumeShape;
use crate::model::Moments;
use num_complex::Complex64;
use rayon::prelude::*;

/// λ₁: share of the old first moment.
const FIRST: f64 = 0.9;
/// λ₂: share of the old second moment.
const SECOND: f64 = 0.999;
/// Keeps quotients finite.
const SMALL: f64 = 1e-12;

/// Where the gradients of a class point.
#[derive(Debug, Clone)]
pub struct Direction {
    /// U, on the grid of the sums; elements with |v|² ≥ Rp² hold the raw sums of pseudo-half 1, which no step uses.
    pub data: Vec<Complex64>,
    /// Grid of U.
    pub shape: VolumeShape,
    /// ν: mean |M₁ − M₂| per shell.
    pub disagreement: Vec<f64>,
    /// Mean |U|² over all elements, those with the raw sums included; times π_k it is the error of the class.
    pub power: f64,
}

impl Direction {
    /// e_k of a class that held this fraction of the particles before the iteration.
    pub fn error(&self, fraction: f64) -> f32 {
        (fraction * self.power) as f32
    }
}

/// Takes the symmetrised sums of pseudo-halves 1 and 2 of one shape into the moments of their class.
pub fn advance(moments: &mut Moments, halves: [BackProjection; 2]) -> Direction {
    let shape = halves[0].shape;
    moments.grow(&shape);
    let large = moments.shape;
    let radial = Radial::of(&shape);
    let [first, second] = halves;
    let mut data = first.data;
    let keeps = moments.first.each_ref().map(|moment| {
        let is_new = moment.iter().all(|v| *v == Complex64::default());
        if is_new { 0.0 } else { FIRST }
    });
    // Planes of the moments that the sums have.
    let planes = |moment: usize| moment * large.side * (large.half() + 1);
    let begin = planes(large.half_depth() - shape.half_depth());
    let end = begin + planes(shape.depth());
    let plane = planes(1);
    let [m1, m2] = moments.first.each_mut().map(|m| &mut m[begin..end]);
    let measured: Vec<(Vec<[f64; 2]>, f64)> = data
        .par_chunks_mut(radial.plane())
        .zip(second.data.par_chunks(radial.plane()))
        .zip(first.weight.par_chunks(radial.plane()))
        .zip(second.weight.par_chunks(radial.plane()))
        .zip(m1.par_chunks_mut(plane).zip(m2.par_chunks_mut(plane)))
        .zip(moments.second[begin..end].par_chunks_mut(plane))
        .enumerate()
        .map(|(z, (((((a1, a2), w1), w2), (m1, m2)), v))| {
            let mut plane = Plane {
                radial: &radial,
                shape: &shape,
                large: &large,
                keeps,
                sums: [a1, m1, m2],
                second: v,
            };
            plane.advance(z, a2, [w1, w2])
        })
        .collect();
    let elements = shape.voxels() as f64;
    let power = measured.iter().map(|(_, power)| power).sum::<f64>() / elements;
    let shells = added_in_order(measured.into_iter().map(|(shells, _)| shells).collect());
    Direction {
        data,
        shape,
        disagreement: shells.into_iter().map(mean).collect(),
        power,
    }
}

/// |value|, for values whose squares are numbers: several times as fast as `norm`, which no square overflows.
pub(super) fn amplitude(value: Complex64) -> f64 {
    value.norm_sqr().sqrt()
}

/// Mean from a sum and a number; 0 of nothing.
pub(super) fn mean([sum, count]: [f64; 2]) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}

/// A plane of constant z of the arrays that change.
struct Plane<'a> {
    radial: &'a Radial,
    shape: &'a VolumeShape,
    large: &'a VolumeShape,
    /// Shares of the old first moments.
    keeps: [f64; 2],
    /// A₁, which becomes U; M₁; M₂.
    sums: [&'a mut [Complex64]; 3],
    /// V.
    second: &'a mut [f64],
}

impl Plane<'_> {
    /// Returns Σ|M₁ − M₂| and numbers of elements per shell, and Σ|U|² over all elements.
    fn advance(
        &mut self,
        z: usize,
        second: &[Complex64],
        weights: [&[f64]; 2],
    ) -> (Vec<[f64; 2]>, f64) {
        let mut shells = vec![[0.0; 2]; self.radial.shells()];
        let mut power = 0.0;
        let row = self.shape.half() + 1;
        let shift = self.large.half() - self.shape.half();
        let [direction, m1, m2] = &mut self.sums;
        self.radial.voxels(z).for_each(|(r2, i)| {
            if r2 < self.radial.radius2 {
                let j = (i / row + shift) * (self.large.half() + 1) + i % row;
                let gradients = [
                    direction[i] / weights[0][i].max(1.0),
                    second[i] / weights[1][i].max(1.0),
                ];
                for ((m, g), keep) in [&mut m1[j], &mut m2[j]]
                    .into_iter()
                    .zip(gradients)
                    .zip(self.keeps)
                {
                    *m = *m * keep + g * (1.0 - keep);
                }
                let difference = (gradients[1] - gradients[0]).norm_sqr();
                let mean = ((gradients[0] + gradients[1]) / 2.0).norm_sqr();
                let v = &mut self.second[j];
                *v = SECOND * *v + (1.0 - SECOND) * difference / (mean + SMALL);
                direction[i] = (m1[j] + m2[j]) / 2.0 / (v.sqrt() + SMALL);
                let shell = &mut shells[self.radial.shell(r2)];
                shell[0] += amplitude(m1[j] - m2[j]);
                shell[1] += 1.0;
            }
            power += direction[i].norm_sqr();
        });
        (shells, power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::shape::Dimensions;

    fn shape(dimensions: Dimensions, size: usize) -> VolumeShape {
        VolumeShape::new(dimensions, 16, 2.0, size)
    }

    /// Sums of weight `weight` whose gradients are `gradient` everywhere.
    fn sums(shape: VolumeShape, gradient: Complex64, weight: f64) -> BackProjection {
        let mut sums = BackProjection::zeros(shape);
        sums.data.fill(gradient * weight.max(1.0));
        sums.weight.fill(weight);
        sums
    }

    /// The first gradient is the first moment; later ones are mixed in. Weights below 1 do not divide.
    #[test]
    fn first_moments_are_running_means() {
        for dimensions in [Dimensions::Two, Dimensions::Three] {
            let shape = shape(dimensions, 8);
            let middle = shape.voxels() / 2 - shape.half() / 2;
            let mut moments = Moments::new(shape);
            let (one, i) = (Complex64::new(1.0, 0.0), Complex64::new(0.0, 1.0));
            let found = advance(&mut moments, [sums(shape, one, 4.0), sums(shape, one, 0.5)]);
            assert_eq!(moments.first[0][middle], one);
            assert!((moments.second[middle] - 0.999).abs() < 1e-15);
            assert!((found.data[middle].re - 1.0 / 0.999f64.sqrt()).abs() < 1e-9);
            assert!(found.disagreement.iter().all(|v| *v == 0.0));
            // The margin holds the raw sums of half 1.
            assert_eq!(found.data[0], Complex64::new(4.0, 0.0));

            let found = advance(&mut moments, [sums(shape, i, 4.0), sums(shape, one, 4.0)]);
            assert!((moments.first[0][middle] - Complex64::new(0.9, 0.1)).norm() < 1e-15);
            assert!((moments.first[1][middle] - one).norm() < 1e-15);
            // |i − 1|² = 2, |(1 + i)/2|² = ½: their quotient is 4.
            let expected = 0.999 * 0.999 + 0.001 * 4.0;
            assert!((moments.second[middle] - expected).abs() < 1e-12);
            // 0.1·|1 − i| in every shell.
            assert_eq!(found.disagreement.len(), 5);
            assert!(
                found
                    .disagreement
                    .iter()
                    .all(|v| (v - 0.1 * 2f64.sqrt()).abs() < 1e-12)
            );
            assert!(found.power > 1.0 && found.error(0.5) > 0.5);
        }
    }

    /// Shells beyond the present ones keep what they had, new ones begin at 0.1 G.
    #[test]
    fn the_grid_grows_and_never_shrinks() {
        let (small, large) = (shape(Dimensions::Two, 6), shape(Dimensions::Two, 10));
        let one = Complex64::new(1.0, 0.0);
        let mut moments = Moments::new(small);
        advance(&mut moments, [sums(small, one, 2.0), sums(small, one, 2.0)]);
        advance(&mut moments, [sums(large, one, 2.0), sums(large, one, 2.0)]);
        let at = |y: usize, x: usize| (large.half() + y) * (large.half() + 1) + x;
        assert!((moments.first[0][at(2, 1)] - one).norm() < 1e-15);
        assert!((moments.first[0][at(8, 1)] - one * 0.1).norm() < 1e-15);
        let outer = moments.first[1][at(8, 1)];
        advance(&mut moments, [sums(small, one, 2.0), sums(small, one, 2.0)]);
        assert_eq!(moments.first[1][at(8, 1)], outer);
        assert_eq!(moments.shape, large);
    }
}
