//! A particle that is darker than its surroundings.

use super::{Finding, Kind};
use ndarray::Array3;

/// Skewness below which the map is dark on light. Densities of molecules are skewed to the other side, noise is not skewed.
const DARK: f64 = -0.5;

/// Third standardised moment of the voxels within `radius` voxels of the centre; None where all are the same.
pub fn skewness(map: &Array3<f64>, radius: f64) -> Option<f64> {
    let centre = map.dim().0 as f64 / 2.0;
    let is_inside = |(z, y, x): (usize, usize, usize)| {
        let square = |i: usize| (i as f64 - centre).powi(2);
        square(z) + square(y) + square(x) <= radius * radius
    };
    let inside = || {
        map.indexed_iter()
            .filter(|(at, _)| is_inside(*at))
            .map(|(_, v)| *v)
    };
    let count = inside().count() as f64;
    let mean = inside().sum::<f64>() / count;
    let [square, cube] = inside().fold([0.0; 2], |[square, cube], v| {
        let d = v - mean;
        [square + d * d, cube + d * d * d]
    });
    let deviation = (square / count).sqrt();
    (deviation > 0.0).then(|| cube / count / deviation.powi(3))
}

/// Judges the contrast of a map by its [`skewness`]; `whose` says which map, as in " of class 2".
pub fn inverted(skewness: f64, whose: &str) -> Option<Finding> {
    (skewness < DARK).then(|| {
        Finding::new(
            Kind::InvertedContrast,
            format!(
                "inverted contrast suspected: the voxels of the map{whose} are skewed towards dark values (skewness {skewness:.1}; \
                 molecules have a positive one). Particles must be bright on dark here: extract them with inverted contrast, or \
                 multiply images and reference by -1 (relion_image_handler --multiply_constant -1)."
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bright_ball_is_skewed_to_bright_values() {
        let ball = Array3::from_shape_fn((32, 32, 32), |(z, y, x)| {
            let square = |i: usize| (i as f64 - 16.0).powi(2);
            f64::from(square(z) + square(y) + square(x) < 36.0)
        });
        let bright = skewness(&ball, 14.0).unwrap();
        assert!(bright > 1.0, "{bright}");
        assert_eq!(inverted(bright, ""), None);
        let dark = skewness(&ball.mapv(|v| -v), 14.0).unwrap();
        assert!((dark + bright).abs() < 1e-9);
        assert!(
            inverted(dark, " of class 2")
                .unwrap()
                .text
                .contains("of class 2")
        );
        assert_eq!(skewness(&Array3::zeros((8, 8, 8)), 3.0), None);
    }
}
