//! Numbers for the tests of kernels: spread over ±1, the same in every run.

/// `count` values that depend on `seed`.
pub fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// `count` complex values.
pub fn complex(count: usize, seed: u64) -> Vec<[f32; 2]> {
    values(2 * count, seed)
        .chunks_exact(2)
        .map(|c| [c[0], c[1]])
        .collect()
}

/// Pixels of a half-complex box with r ≤ `half`, origin first, sorted by radius, without the redundant half of x = 0.
pub fn pixels(half: i16) -> Vec<[i16; 2]> {
    let mut all: Vec<[i16; 2]> = (-half + 1..=half)
        .flat_map(|y| (0..=half).map(move |x| [x, y]))
        .filter(|[x, y]| x * x + y * y <= half * half && (*x > 0 || *y >= 0))
        .collect();
    all.sort_by_key(|[x, y]| (x * x + y * y, *y, *x));
    all
}

/// Asserts |a − b| ≤ `bound` · the largest |b|.
pub fn assert_close(a: &[f32], b: &[f64], bound: f64) {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!(
            (f64::from(*x) - y).abs() <= bound * scale,
            "element {i}: {x} instead of {y} (largest {scale})"
        );
    }
}
