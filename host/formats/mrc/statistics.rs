//! Minimum, maximum, mean and standard deviation of data as they are written.

/// Running statistics, accumulated in double precision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statistics {
    count: u64,
    minimum: f64,
    maximum: f64,
    mean: f64,
    squares: f64,
}

impl Default for Statistics {
    fn default() -> Self {
        Statistics {
            count: 0,
            minimum: f64::INFINITY,
            maximum: f64::NEG_INFINITY,
            mean: 0.0,
            squares: 0.0,
        }
    }
}

impl Statistics {
    /// Take in a block of values (two passes over the block, then merged).
    pub(crate) fn add(&mut self, values: impl Iterator<Item = f32> + Clone) {
        let (mut count, mut sum) = (0u64, 0.0);
        for value in values.clone().map(f64::from) {
            count += 1;
            sum += value;
            self.minimum = self.minimum.min(value);
            self.maximum = self.maximum.max(value);
        }
        if count == 0 {
            return;
        }
        let mean = sum / count as f64;
        let squares: f64 = values.map(|v| (f64::from(v) - mean).powi(2)).sum();
        let total = (self.count + count) as f64;
        let step = mean - self.mean;
        self.squares += squares + step * step * self.count as f64 * count as f64 / total;
        self.mean += step * count as f64 / total;
        self.count += count;
    }
    /// 0 for no data.
    pub(crate) fn minimum(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.minimum }
    }
    /// 0 for no data.
    pub(crate) fn maximum(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.maximum }
    }
    /// Mean value.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }
    /// Standard deviation (of the population).
    pub(crate) fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_add_up() {
        let values = [1.0f32, 2.0, 3.0, 4.0, 10.0];
        let mut all = Statistics::default();
        all.add(values.iter().copied());
        let mut parts = Statistics::default();
        parts.add(values[..2].iter().copied());
        parts.add(values[2..].iter().copied());
        for statistics in [all, parts] {
            assert_eq!((statistics.minimum(), statistics.maximum()), (1.0, 10.0));
            assert!((statistics.mean() - 4.0).abs() < 1e-12);
            assert!((statistics.deviation() - 10f64.sqrt()).abs() < 1e-12);
        }
    }
}
