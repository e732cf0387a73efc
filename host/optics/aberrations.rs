//! Aberrations of an optics group as functions of the pixel of a transform (spec 01 §3.7).

use super::wavelength;
use super::zernike::Polynomial;
use crate::dataset::OpticsGroup;
use std::f64::consts::PI;

/// From Fourier pixels to spatial frequency (1/Å), with the group's anisotropic magnification.
#[derive(Debug, Clone, Copy)]
pub(super) struct PixelToFrequency {
    pub(super) matrix: [[f64; 2]; 2],
    pub(super) nyquist: i32,
}

impl PixelToFrequency {
    pub(super) fn new(group: &OpticsGroup) -> Self {
        let pixel = 1.0 / (group.box_size as f64 * group.pixel_size);
        PixelToFrequency {
            matrix: group.magnification.map(|row| row.map(|m| m * pixel)),
            nyquist: (group.box_size / 2) as i32,
        }
    }

    /// Returns the aberration at a pixel. In these phases, unlike elsewhere, the Nyquist row counts as y = −N/2.
    pub(super) fn evaluate(&self, sum: &Polynomial, x: i32, y: i32) -> f64 {
        let y = f64::from(if y == self.nyquist { -y } else { y });
        let x = f64::from(x);
        let [[xx, xy], [yx, yy]] = self.matrix;
        sum.value(xx * x + xy * y, yx * x + yy * y)
    }
}

/// Returns the phase Φ(x, y) (radians) of the anti-symmetric aberrations of a group (beam tilt, odd Zernike); the image is
/// multiplied by exp(−iΦ). None when the group has none.
///
/// The Nyquist row of the group's box counts as y = −N/2; of a cropped image pass the row as −n/2. A beam tilt without
/// voltage or spherical aberration in the optics table has no effect.
pub fn antisymmetric_phase(
    group: &OpticsGroup,
) -> Option<Box<dyn Fn(i32, i32) -> f64 + Send + Sync>> {
    let mut coefficients = group.odd_zernike.clone();
    let [tilt_x, tilt_y] = group.beam_tilt;
    if let (true, Some(voltage), Some(spherical_aberration)) = (
        tilt_x != 0.0 || tilt_y != 0.0,
        group.voltage,
        group.spherical_aberration,
    ) {
        let strength = 20_000.0 * spherical_aberration * wavelength(voltage).powi(2) * PI;
        let (x, y) = (-strength * tilt_x / 3.0, -strength * tilt_y / 3.0);
        coefficients.resize(coefficients.len().max(5), 0.0);
        for (index, term) in [(0, 2.0 * y), (1, 2.0 * x), (3, y), (4, x)] {
            coefficients[index] += term;
        }
    }
    let sum = Polynomial::odd(&coefficients)?;
    let frequency = PixelToFrequency::new(group);
    Some(Box::new(move |x, y| frequency.evaluate(&sum, x, y)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optics::ctf::tests::group;

    #[test]
    fn beam_tilt_is_coma() {
        assert!(antisymmetric_phase(&group()).is_none());
        let mut tilted = group();
        tilted.beam_tilt = [1.0, 0.0];
        let phase = antisymmetric_phase(&tilted).unwrap();
        // −20000π·Cs·λ²·t·u²·x: the linear terms cancel.
        let pixel = 1.0 / (128.0 * 1.3);
        let strength = 20_000.0 * PI * 2.7 * wavelength(300.0).powi(2);
        for (x, y) in [(1, 0), (20, -7), (33, 40)] {
            let (fx, fy) = (f64::from(x) * pixel, f64::from(y) * pixel);
            let expected = -strength * (fx * fx + fy * fy) * fx;
            assert!((phase(x, y) - expected).abs() < 1e-12 * strength);
            assert!((phase(x, y) + phase(-x, -y)).abs() < 1e-12);
        }
        // The Nyquist row counts as negative: with a tilt along y the phase there is the opposite.
        tilted.beam_tilt = [0.0, 1.0];
        let phase = antisymmetric_phase(&tilted).unwrap();
        assert_eq!(phase(3, 64), phase(3, -64));
        assert!(phase(3, 64) * phase(3, 63) < 0.0);
    }

    #[test]
    fn odd_zernike_terms_add_to_the_tilt() {
        let mut odd = group();
        odd.odd_zernike = vec![0.0, 2.0];
        let phase = antisymmetric_phase(&odd).unwrap();
        let pixel = 1.0 / (128.0 * 1.3);
        assert!((phase(10, 4) - 2.0 * 10.0 * pixel).abs() < 1e-14);
    }
}
