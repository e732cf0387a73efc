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
    /// Returns those of a block of values (two passes over it).
    pub(crate) fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let mut block = Self::default();
        let mut sum = 0.0;
        for value in values.clone().map(f64::from) {
            block.count += 1;
            sum += value;
            block.minimum = block.minimum.min(value);
            block.maximum = block.maximum.max(value);
        }
        if block.count > 0 {
            block.mean = sum / block.count as f64;
            block.squares = values.map(|v| (f64::from(v) - block.mean).powi(2)).sum();
        }
        block
    }

    /// Takes in a block of values.
    pub(crate) fn add(&mut self, values: impl Iterator<Item = f32> + Clone) {
        self.merge(&Self::of(values));
    }

    /// Takes in the values that another was made from.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let total = (self.count + other.count) as f64;
        let step = other.mean - self.mean;
        self.squares +=
            other.squares + step * step * self.count as f64 * other.count as f64 / total;
        self.mean += step * other.count as f64 / total;
        self.count += other.count;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
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
