//! convert: squared differences → posterior weights, significance, best sample (spec 01 §6).

use gpu::samples::CUTOFF;

/// A sample with its weight W (spec 01 §6.1); `at` is the caller's identification of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighted<T> {
    /// W, relative to the smallest difference.
    pub weight: f64,
    /// Which sample.
    pub at: T,
}

/// All samples of one pass that have a weight.
#[derive(Debug, Clone)]
pub(super) struct Weights<T> {
    /// Samples in evaluation order.
    pub samples: Vec<Weighted<T>>,
    /// Σ W over the pass.
    pub sum: f64,
    /// Smallest difference of the pass (image constants not included).
    pub min_difference: f64,
}

/// Samples of one pass in rows that share a prior, visited in evaluation order.
pub(super) trait Samples {
    /// Identification of a sample.
    type At: Copy;
    /// Number of rows.
    fn rows(&self) -> usize;
    /// Row `r`: differences, ln prior of the row, ln prior of each column (empty: 0 for all).
    fn row(&self, r: usize) -> (&[f32], f64, &[f64]);
    /// Identification of column `c` of row `r`.
    fn at(&self, r: usize, c: usize) -> Self::At;
}

/// Smallest difference and largest ln prior − d of a row. The latter only decides which samples are worth a closer
/// look, so single precision is enough.
fn row_bounds(values: &[f32], log_prior: f64, columns: &[f64]) -> (f32, f32) {
    let mut smallest = f32::INFINITY;
    let mut largest = f32::NEG_INFINITY;
    if columns.is_empty() {
        for &d in values {
            smallest = if d < smallest { d } else { smallest };
        }
        largest = -smallest;
    } else {
        for (&d, &c) in values.iter().zip(columns) {
            smallest = if d < smallest { d } else { smallest };
            let log = c as f32 - d;
            largest = if log > largest { log } else { largest };
        }
    }
    (smallest, largest + log_prior as f32)
}

/// Weights W = prior·exp(−(d − d_min)) of all samples.
///
/// None when no difference is finite.
pub(super) fn weigh<S: Samples>(source: &S) -> Option<Weights<S::At>> {
    let bounds: Vec<(f32, f32)> = pulp::Arch::new().dispatch(|| {
        (0..source.rows())
            .map(|r| {
                let (values, log_prior, columns) = source.row(r);
                row_bounds(values, log_prior, columns)
            })
            .collect()
    });
    let smallest = bounds.iter().fold(f32::INFINITY, |m, b| m.min(b.0));
    let largest = bounds.iter().fold(f32::NEG_INFINITY, |m, b| m.max(b.1));
    if !smallest.is_finite() || !largest.is_finite() {
        return None;
    }
    let min_difference = f64::from(smallest);
    let limit = f64::from(largest) - f64::from(CUTOFF);
    let mut found = above(source, min_difference, limit, |r| {
        f64::from(bounds[r].1) > limit
    });
    if found.samples.is_empty() {
        // Differences beyond 10⁹, as of a reference that is far too strong, are rounded by more than the cut-off above.
        let limit = largest_logarithm(source) - f64::from(CUTOFF);
        found = above(source, min_difference, limit, |_| true);
    }
    (found.sum > 0.0 && found.sum.is_finite()).then_some(found)
}

/// Weights of the samples whose ln prior − d is above `limit`, in the rows where one may be.
fn above<S: Samples>(
    source: &S,
    min_difference: f64,
    limit: f64,
    may_hold: impl Fn(usize) -> bool,
) -> Weights<S::At> {
    let mut samples = Vec::new();
    let mut sum = 0.0;
    for r in (0..source.rows()).filter(|r| may_hold(*r)) {
        let (values, log_prior, columns) = source.row(r);
        for (c, &d) in values.iter().enumerate() {
            let log = log_prior + columns.get(c).copied().unwrap_or(0.0) - f64::from(d);
            if log > limit {
                let weight = (log + min_difference).exp();
                sum += weight;
                samples.push(Weighted {
                    weight,
                    at: source.at(r, c),
                });
            }
        }
    }
    Weights {
        samples,
        sum,
        min_difference,
    }
}

/// Returns the largest ln prior − d of all samples, exactly.
fn largest_logarithm<S: Samples>(source: &S) -> f64 {
    let mut largest = f64::NEG_INFINITY;
    for r in 0..source.rows() {
        let (values, log_prior, columns) = source.row(r);
        for (c, &d) in values.iter().enumerate() {
            let log = log_prior + columns.get(c).copied().unwrap_or(0.0) - f64::from(d);
            largest = largest.max(log);
        }
    }
    largest
}

/// The sample with the smallest finite difference (the first of equals), priors aside.
pub(super) fn smallest<S: Samples>(source: &S) -> Option<(S::At, f32)> {
    let mut best: Option<(usize, usize, f32)> = None;
    for r in 0..source.rows() {
        for (c, &d) in source.row(r).0.iter().enumerate() {
            if d.is_finite() && best.is_none_or(|(_, _, b)| d < b) {
                best = Some((r, c, d));
            }
        }
    }
    best.map(|(r, c, d)| (source.at(r, c), d))
}

/// Keep the largest weights that together exceed `fraction` of the sum (at most `limit` are counted; ties of the
/// last one stay too); returns how many were counted (spec 01 §6.3).
pub(super) fn keep_significant<T: Copy>(
    weights: &mut Weights<T>,
    fraction: f64,
    limit: Option<usize>,
) -> usize {
    let mut values: Vec<f64> = weights.samples.iter().map(|s| s.weight).collect();
    let limit = limit.unwrap_or(usize::MAX);
    let (threshold, count) = significance(&mut values, fraction * weights.sum, limit);
    weights.samples.retain(|s| s.weight >= threshold);
    count
}

/// The weight at which the sum of the largest weights exceeds `target`, or their number reaches `limit`, and how many
/// were counted up to there. The larger half is looked at or skipped as a whole, again and again: no full sort.
fn significance(mut weights: &mut [f64], target: f64, limit: usize) -> (f64, usize) {
    const SHORT: usize = 32;
    let descending = |a: &f64, b: &f64| b.total_cmp(a);
    let (mut accumulated, mut count) = (0.0, 0);
    while weights.len() > SHORT {
        let half = weights.len() / 2;
        weights.select_nth_unstable_by(half, descending);
        let (larger, smaller) = weights.split_at_mut(half);
        let sum = accumulated + larger.iter().sum::<f64>();
        if sum > target || count + half >= limit {
            weights = larger;
        } else {
            accumulated = sum;
            count += half;
            weights = smaller;
        }
    }
    weights.sort_unstable_by(descending);
    let mut threshold = 0.0;
    for &mut weight in weights {
        accumulated += weight;
        count += 1;
        threshold = weight;
        if accumulated > target || count >= limit {
            break;
        }
    }
    (threshold, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Flat<'a>(&'a [f32]);

    impl Samples for Flat<'_> {
        type At = usize;
        fn rows(&self) -> usize {
            1
        }
        fn row(&self, _: usize) -> (&[f32], f64, &[f64]) {
            (self.0, 0.0, &[])
        }
        fn at(&self, _: usize, c: usize) -> usize {
            c
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

    /// Single precision has steps of 512 here, more than weights can differ by.
    #[test]
    fn enormous_differences_have_weights() {
        struct Priors([f32; 3]);
        impl Samples for Priors {
            type At = usize;
            fn rows(&self) -> usize {
                1
            }
            fn row(&self, _: usize) -> (&[f32], f64, &[f64]) {
                (&self.0, -150.0, &[-60.0, -55.0, -70.0])
            }
            fn at(&self, _: usize, c: usize) -> usize {
                c
            }
        }
        let w = weigh(&Priors([5e9, 5e9, 6e9])).unwrap();
        assert_eq!(w.samples.iter().map(|s| s.at).collect::<Vec<_>>(), [0, 1]);
        assert!((w.samples[0].weight / w.samples[1].weight - (-5.0f64).exp()).abs() < 1e-9);
        assert!(weigh(&Flat(&[f32::INFINITY, f32::NAN])).is_none());
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

    /// The halving finds what a full sort finds.
    #[test]
    fn the_threshold_is_that_of_sorted_weights() {
        let weights: Vec<f64> = (0..1000)
            .map(|i| ((i * 7919 % 1009) as f64).powi(3))
            .collect();
        let sum: f64 = weights.iter().sum();
        let mut sorted = weights.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        for (fraction, limit) in [
            (0.999, usize::MAX),
            (0.5, usize::MAX),
            (0.01, 1000),
            (0.9, 7),
            (1.0, 1000),
        ] {
            let mut accumulated = 0.0;
            let counted = sorted.iter().position(|w| {
                accumulated += w;
                accumulated > fraction * sum
            });
            let counted = counted.map_or(1000, |i| i + 1).min(limit);
            let found = significance(&mut weights.clone(), fraction * sum, limit);
            assert_eq!(found, (sorted[counted - 1], counted), "{fraction} {limit}");
        }
    }

    #[test]
    fn nothing_finite_gives_nothing() {
        assert!(weigh(&Flat(&[f32::NAN])).is_none());
        assert!(weigh(&Flat(&[f32::INFINITY])).is_none());
        assert!(weigh(&Flat(&[])).is_none());
    }
}
