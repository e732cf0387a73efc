//! Images whose power is out of proportion: one hot pixel, or another scale than that of all others, spoils the noise
//! spectrum and with it the weights of all particles.

/// Factor between the power of an image and the median of its optics group, up or down, that is out of proportion.
const FACTOR: f64 = 10.0;
/// Robust standard deviations of ln(power) that it must differ by as well: sets whose grey scale varies widely as a whole
/// have no outliers.
const DEVIATIONS: f64 = 8.0;
/// Standard deviations per median absolute deviation, for a normal distribution.
const PER_MAD: f64 = 1.4826;
/// With fewer images the median is not one of an ordinary image.
const FEWEST: usize = 3;
/// Share of the images that can be out of proportion; where it is more (though one may always be), the set is made of images of
/// several scales.
const MOST: f64 = 0.1;

/// Mean square of the pixels.
pub fn of_image(pixels: &[f32]) -> f64 {
    let squares = pixels.iter().map(|&v| f64::from(v) * f64::from(v));
    squares.sum::<f64>() / pixels.len().max(1) as f64
}

/// An image whose power is out of proportion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Index in the list of powers.
    pub index: usize,
    /// Its power divided by the median.
    pub ratio: f64,
}

impl Outlier {
    /// Describes in words why the image is unusual.
    pub fn reason(&self) -> String {
        let (more, ratio) = match self.ratio > 1.0 {
            true => ("more", self.ratio),
            false => ("less", 1.0 / self.ratio),
        };
        let ratio = match ratio < 1e5 {
            true => format!("{ratio:.0}"),
            false => format!("{ratio:.1e}"),
        };
        format!(
            "the image has {ratio} times {more} power (mean square of the pixels) than is usual in its optics group"
        )
    }
}

/// Finds the powers (of images of one optics group) that are out of proportion: different from the median by more than a
/// factor of 10 and by more than 8 robust standard deviations of ln(power). More than a tenth of all are not outliers.
pub fn outliers(powers: &[f64]) -> Vec<Outlier> {
    if powers.len() < FEWEST {
        return Vec::new();
    }
    let logs: Vec<f64> = powers
        .iter()
        .map(|p| p.max(f64::MIN_POSITIVE).ln())
        .collect();
    let middle = median(&logs);
    let deviations: Vec<f64> = logs.iter().map(|l| (l - middle).abs()).collect();
    let limit = (DEVIATIONS * PER_MAD * median(&deviations)).max(FACTOR.ln());
    let found: Vec<Outlier> = (0..powers.len())
        .filter(|&index| deviations[index] > limit)
        .map(|index| Outlier {
            index,
            ratio: (logs[index] - middle).exp(),
        })
        .collect();
    match found.len() as f64 <= (MOST * powers.len() as f64).max(1.0) {
        true => found,
        false => Vec::new(),
    }
}

/// Usual powers of images that single precision can hold the squares and sums of.
const POSSIBLE: std::ops::RangeInclusive<f64> = 1e-24..=1e24;

/// Returns, in words, why images of these powers cannot be computed with in single precision.
pub fn impossible_scale(powers: &[f64]) -> Option<String> {
    if powers.is_empty() {
        return None;
    }
    let usual = median(powers);
    (!POSSIBLE.contains(&usual)).then(|| {
        format!(
            "the usual power of the images (mean square of the pixels) is {usual:.1e}, which cannot be computed with in single \
             precision. Normalise the images (extract them again, or relion_preprocess --norm), so that it is about 1."
        )
    })
}

/// The middle value; the lower of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    let middle = (sorted.len() - 1) / 2;
    *sorted.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Powers between 0.8 and 1.2.
    fn usual(n: usize) -> Vec<f64> {
        (0..n)
            .map(|i| 0.8 + 0.4 * (i * 7 % n) as f64 / n as f64)
            .collect()
    }

    fn indices(powers: &[f64]) -> Vec<usize> {
        outliers(powers).iter().map(|o| o.index).collect()
    }

    #[test]
    fn usual_images_are_in_proportion() {
        assert!(outliers(&usual(100)).is_empty());
        let mut strong = usual(100);
        strong[3] *= 5.0;
        assert!(outliers(&strong).is_empty());
    }

    #[test]
    fn hot_pixels_and_other_scales_are_out_of_proportion() {
        let mut powers = usual(100);
        // A pixel of 500 in an image of 48² pixels of variance 1; images times 1000, 1e10 and 0.01.
        powers[7] += 500.0 * 500.0 / 2304.0;
        powers[20] *= 1e6;
        powers[50] *= 1e20;
        powers[51] *= 1e-4;
        assert_eq!(indices(&powers), [7, 20, 50, 51]);
        let reason = outliers(&powers)[2].reason();
        assert!(reason.contains("e20 times more power"), "{reason}");
    }

    #[test]
    fn sets_of_various_scales_have_no_outliers() {
        // Some of the micrographs have ten times the standard deviation of the others.
        for every in [2, 3, 5] {
            let scale = |i: usize| if i.is_multiple_of(every) { 1.0 } else { 100.0 };
            let powers: Vec<f64> = (0..100).map(scale).collect();
            assert!(outliers(&powers).is_empty(), "{every}");
        }
    }

    #[test]
    fn scales_beyond_single_precision_are_told() {
        assert_eq!(impossible_scale(&[1.0, 2e8, 1e-8]), None);
        assert_eq!(impossible_scale(&[]), None);
        for scale in [1e-60, 1e60] {
            let told = impossible_scale(&[scale; 3]).unwrap();
            assert!(told.contains(&format!("{scale:.1e}")), "{told}");
        }
    }

    #[test]
    fn few_images_are_not_judged() {
        assert!(outliers(&[1.0, 1e10]).is_empty());
        assert_eq!(indices(&[1.0, 1.1, 1e10]), [2]);
    }

    #[test]
    fn power_is_the_mean_square() {
        assert_eq!(of_image(&[3.0, -1.0]), 5.0);
    }
}
