//! Random numbers that depend on their place only, not on the order of drawing.

/// Uniform number in [0, 1) of place `at` in the sequence of `seed` (splitmix64).
#[inline(always)]
pub fn uniform(seed: u64, at: u64) -> f64 {
    (mix(mix(seed) ^ at) >> 11) as f64 / (1u64 << 53) as f64
}

#[inline(always)]
fn mix(value: u64) -> u64 {
    let mut v = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    v = (v ^ (v >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    v = (v ^ (v >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    v ^ (v >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_uniform_and_belong_to_their_place() {
        let count = 10_000;
        let all: Vec<f64> = (0..count).map(|at| uniform(7, at)).collect();
        assert!(all.iter().all(|v| (0.0..1.0).contains(v)));
        let mean = all.iter().sum::<f64>() / count as f64;
        // Standard deviation of the mean: 0.0029.
        assert!((mean - 0.5).abs() < 0.012, "{mean}");
        assert_eq!(uniform(7, 3), all[3]);
        assert_ne!(uniform(8, 3), all[3]);
    }
}
