//! Random numbers as the C library and libstdc++ give them (spec 01 Appendix A).

/// glibc `rand()`.
#[derive(Debug, Clone)]
pub struct CRandom {}

impl CRandom {
    /// Like `srand(seed)`.
    pub fn new(_seed: u32) -> Self {
        todo!()
    }
    /// Like `rand()`.
    pub fn next_int(&mut self) -> u32 {
        todo!()
    }
    /// Single-precision uniform draw in (a, b).
    pub fn uniform(&mut self, _a: f32, _b: f32) -> f32 {
        todo!()
    }
    /// Single-precision Gaussian, polar method with the spare value kept.
    pub fn gaussian(&mut self, _mean: f32, _sigma: f32) -> f32 {
        todo!()
    }
}

/// libstdc++'s `std::shuffle` with an MT19937 seeded with `seed`, on 0…n−1.
pub fn shuffled(_n: usize, _seed: u32) -> Vec<usize> {
    todo!()
}

/// The same generator used for several lists in turn (half-sets).
pub fn shuffled_lists(_lengths: &[usize], _seed: u32) -> Vec<Vec<usize>> {
    todo!()
}
