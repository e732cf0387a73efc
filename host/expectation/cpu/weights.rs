//! convert: squared differences → posterior weights, significance, best sample (spec 01 §6).

/// Weights below e^−CUTOFF of the largest cannot change a sum in double precision and are dropped.
const CUTOFF: f64 = 45.0;

/// A sample with its weight W (spec 01 §6.1); `at` is the caller's identification of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted<T> {
    /// W, relative to the smallest difference.
    pub weight: f64,
    /// Which sample.
    pub at: T,
}

/// All samples of one pass that have a weight.
#[derive(Debug, Clone)]
pub struct Weights<T> {
    /// Samples in evaluation order.
    pub samples: Vec<Weighted<T>>,
    /// Σ W over the pass.
    pub sum: f64,
    /// Smallest difference of the pass (image constants not included).
    pub min_difference: f64,
}

/// Samples of one pass, visited in evaluation order.
pub trait Samples {
    /// Identification of a sample.
    type At: Copy;
    /// Call `f(difference, ln prior, identification)` for every sample.
    fn visit(&self, f: impl FnMut(f32, f64, Self::At));
}

/// Weights W = prior·exp(−(d − d_min)) of all samples.
///
/// None when no difference is finite.
pub fn weigh<S: Samples>(source: &S) -> Option<Weights<S::At>> {
    let (mut min_difference, mut max_log) = (f64::INFINITY, f64::NEG_INFINITY);
    source.visit(|d, log_prior, _| {
        let d = f64::from(d);
        if d < min_difference {
            min_difference = d;
        }
        let log = log_prior - d;
        if log > max_log {
            max_log = log;
        }
    });
    if !min_difference.is_finite() || !max_log.is_finite() {
        return None;
    }
    let mut samples = Vec::new();
    let mut sum = 0.0;
    source.visit(|d, log_prior, at| {
        let log = log_prior - f64::from(d);
        if log > max_log - CUTOFF {
            let weight = (log + min_difference).exp();
            sum += weight;
            samples.push(Weighted { weight, at });
        }
    });
    (sum > 0.0 && sum.is_finite()).then_some(Weights {
        samples,
        sum,
        min_difference,
    })
}

/// Keep the largest weights that together exceed `fraction` of the sum (at most `limit` are counted; ties of the
/// last one stay too); returns how many were counted (spec 01 §6.3).
pub fn keep_significant<T: Copy>(
    weights: &mut Weights<T>,
    fraction: f64,
    limit: Option<usize>,
) -> usize {
    let mut sorted: Vec<f64> = weights.samples.iter().map(|s| s.weight).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut accumulated, mut count, mut threshold) = (0.0, 0, 0.0);
    for weight in sorted {
        accumulated += weight;
        count += 1;
        threshold = weight;
        if accumulated > fraction * weights.sum || limit.is_some_and(|l| count >= l) {
            break;
        }
    }
    weights.samples.retain(|s| s.weight >= threshold);
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Flat<'a>(&'a [f32]);

    impl Samples for Flat<'_> {
        type At = usize;
        fn visit(&self, mut f: impl FnMut(f32, f64, usize)) {
            self.0.iter().enumerate().for_each(|(i, &d)| f(d, 0.0, i));
        }
    }

    fn weights(d: &[f32]) -> Weights<usize> {
        weigh(&Flat(d)).unwrap()
    }

    #[test]
    fn weights_are_relative_to_the_smallest_difference() {
        let w = weights(&[1003.0, 1000.0, 1001.0]);
        assert_eq!(w.min_difference, 1000.0);
        assert!((w.samples[1].weight - 1.0).abs() < 1e-9);
        assert!((w.samples[2].weight - (-1.0f64).exp()).abs() < 1e-9);
        assert!((w.sum - w.samples.iter().map(|s| s.weight).sum::<f64>()).abs() < 1e-12);
    }

    /// 0.6 + 0.3 exceed 0.85: two are counted; a tie with the last one is kept as well.
    #[test]
    fn significance_stops_when_the_fraction_is_exceeded() {
        let logs = [0.6f64, 0.3, 0.1].map(|w| -w.ln() as f32);
        let mut w = weights(&logs);
        assert_eq!(keep_significant(&mut w, 0.85, None), 2);
        assert_eq!(w.samples.iter().map(|s| s.at).collect::<Vec<_>>(), [0, 1]);
        let mut w = weights(&[0.0, 1.0, 1.0, 30.0]);
        assert_eq!(keep_significant(&mut w, 0.7, None), 2);
        assert_eq!(w.samples.len(), 3);
        let mut w = weights(&[0.0, 1.0, 2.0]);
        assert_eq!(keep_significant(&mut w, 0.999, Some(1)), 1);
    }

    #[test]
    fn nothing_finite_gives_nothing() {
        assert!(weigh(&Flat(&[f32::NAN])).is_none());
        assert!(weigh(&Flat(&[f32::INFINITY])).is_none());
        assert!(weigh(&Flat(&[])).is_none());
    }
}
