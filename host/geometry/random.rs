//! Random numbers as the C library and libstdc++ give them (spec 01 Appendix A).
//!
//! Only these streams make a run comparable with the reference program draw by draw: the perturbation of the
//! sampling, half-sets, random classes and the order of the particles.

/// glibc `rand()`: additive feedback generator of degree 31.
#[derive(Debug, Clone)]
pub struct CRandom {
    /// Ring of the last 31 state words.
    state: [u32; DEGREE],
    /// Position of the oldest word.
    oldest: usize,
    /// Second value of the last pair of Gaussian draws.
    spare: Option<f32>,
}

/// Words of generator state.
const DEGREE: usize = 31;
/// Distance of the nearer tap.
const TAP: usize = 3;
/// Values thrown away after seeding.
const DISCARDED: usize = 310;
/// Largest value of `rand()`.
pub const RAND_MAX: u32 = 2_147_483_647;

impl CRandom {
    /// Like `srand(seed)`; seed 0 means 1. A program that never seeds has `new(1)`.
    pub fn new(seed: u32) -> Self {
        let mut random = CRandom {
            state: [0; DEGREE],
            oldest: 0,
            spare: None,
        };
        random.reseed(seed);
        random
    }

    /// Like `srand(seed)` on a running generator; the spare Gaussian value survives, as in the reference.
    pub fn reseed(&mut self, seed: u32) {
        let modulus = i64::from(RAND_MAX);
        // The seed is a signed 32-bit number in the recurrence.
        let mut word = i64::from((if seed == 0 { 1 } else { seed }) as i32);
        self.state[0] = word as u32;
        for slot in &mut self.state[1..] {
            word = (16_807 * word) % modulus;
            if word < 0 {
                word += modulus;
            }
            *slot = word as u32;
        }
        // Words 31…33 repeat words 0…2: the ring is simply read three places further on.
        self.oldest = TAP;
        for _ in 0..DISCARDED {
            self.next_int();
        }
    }

    /// Like `rand()`: 0…[`RAND_MAX`].
    pub fn next_int(&mut self) -> u32 {
        let near = (self.oldest + DEGREE - TAP) % DEGREE;
        let word = self.state[near].wrapping_add(self.state[self.oldest]);
        self.state[self.oldest] = word;
        self.oldest = (self.oldest + 1) % DEGREE;
        word >> 1
    }

    /// Single-precision uniform draw in [a, b]: a + float(rand) / float(float(RAND_MAX)/(b−a)).
    pub fn uniform(&mut self, a: f32, b: f32) -> f32 {
        let divisor = RAND_MAX as f32 / (b - a);
        a + self.next_int() as f32 / divisor
    }

    /// Single-precision Gaussian, polar method with the spare value kept.
    pub fn gaussian(&mut self, mean: f32, sigma: f32) -> f32 {
        if let Some(spare) = self.spare.take() {
            return mean + sigma * spare;
        }
        loop {
            let first = 2.0 * self.uniform(0.0, 1.0) - 1.0;
            let second = 2.0 * self.uniform(0.0, 1.0) - 1.0;
            let radius = first * first + second * second;
            if radius > 0.0 && radius < 1.0 {
                let factor = (-2.0 * radius.ln() / radius).sqrt();
                self.spare = Some(second * factor);
                return mean + sigma * (first * factor);
            }
        }
    }
}

/// Half-sets (1 or 2) of `n` particles in table order: rand() mod 2 + 1 (spec 01 §4.9).
pub fn half_sets(n: usize, seed: u32) -> Vec<u8> {
    let mut random = CRandom::new(seed);
    (0..n).map(|_| (random.next_int() % 2) as u8 + 1).collect()
}

/// Random class (0-based, of `classes`) of the particle at `position` of the processing order, as drawn when K
/// classes start from one map (spec 01 §2.5).
pub fn random_class(seed: u32, position: usize, classes: usize) -> usize {
    let mut random = CRandom::new(seed.wrapping_add(position as u32));
    random.next_int() as usize % classes.max(1)
}

/// libstdc++'s `std::shuffle` with an MT19937 seeded with `seed`, used for several lists in turn (half-sets): each list is a
/// shuffle of 0…length−1.
pub fn shuffled_lists(lengths: &[usize], seed: u32) -> Vec<Vec<usize>> {
    let mut random = MersenneTwister::new(seed);
    lengths.iter().map(|&n| shuffle(n, &mut random)).collect()
}

/// Exchanges elements of a list as the 5.0.1 release does, with the C library's generator (spec 04 §20).
pub fn shuffle_in_place<T>(list: &mut [T], seed: u32) {
    let mut random = CRandom::new(seed);
    for last in 1..list.len() {
        let other = random.next_int() as usize % (last + 1);
        list.swap(last, other);
    }
}

/// Forward Fisher–Yates; two positions per draw while n² fits 32 bits.
fn shuffle(n: usize, random: &mut MersenneTwister) -> Vec<usize> {
    let mut list: Vec<usize> = (0..n).collect();
    if n < 2 {
        return list;
    }
    if u32::MAX as usize / n < n {
        for i in 1..n {
            list.swap(i, random.below(i as u32 + 1) as usize);
        }
        return list;
    }
    let mut i = 1;
    if n.is_multiple_of(2) {
        list.swap(1, random.below(2) as usize);
        i = 2;
    }
    while i < n {
        let range = i as u32 + 2;
        let draw = random.below((i as u32 + 1) * range);
        list.swap(i, (draw / range) as usize);
        list.swap(i + 1, (draw % range) as usize);
        i += 2;
    }
    list
}

/// MT19937 (Matsumoto & Nishimura 1998).
struct MersenneTwister {
    state: [u32; 624],
    used: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for i in 1..624 {
            let previous = state[i - 1];
            state[i] = (previous ^ (previous >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(i as u32);
        }
        MersenneTwister { state, used: 624 }
    }

    fn next(&mut self) -> u32 {
        if self.used == 624 {
            for i in 0..624 {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % 624] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ (y >> 1) ^ odd;
            }
            self.used = 0;
        }
        let mut y = self.state[self.used];
        self.used += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Uniform integer in [0, n) by multiplication with rejection (GCC ≥ 11).
    fn below(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.next()) * u64::from(n);
        if (product as u32) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u32) < threshold {
                product = u64::from(self.next()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_outputs_of_glibc() {
        let cases = [
            (1, [1804289383, 846930886, 1681692777, 1714636915]),
            (2, [1505335290, 1738766719, 190686788, 260874575]),
            (1399, [760253032, 1872283330, 1895903624, 662396638]),
        ];
        for (seed, expected) in cases {
            let mut random = CRandom::new(seed);
            assert_eq!([(); 4].map(|()| random.next_int()), expected, "seed {seed}");
        }
        assert_eq!(CRandom::new(0).next_int(), CRandom::new(1).next_int());
    }

    #[test]
    fn uniform_is_single_precision() {
        // The draw of the initial perturbation, from the generator as the C library starts it.
        let draw = CRandom::new(1).uniform(0.25, 0.5);
        assert_eq!(format!("{draw:.9}"), "0.460046947");
    }

    #[test]
    fn gaussian_has_the_asked_moments_and_keeps_the_spare() {
        let mut random = CRandom::new(5);
        let n = 20_000;
        let draws: Vec<f64> = (0..n).map(|_| random.gaussian(3.0, 2.0).into()).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 3.0).abs() < 0.05, "{mean}");
        assert!((variance - 4.0).abs() < 0.15, "{variance}");

        let mut twice = CRandom::new(9);
        twice.gaussian(0.0, 1.0);
        let mut reseeded = twice.clone();
        reseeded.reseed(1234);
        assert_eq!(twice.gaussian(0.0, 1.0), reseeded.gaussian(0.0, 1.0));
    }

    #[test]
    fn half_sets_of_the_specification() {
        assert_eq!(
            half_sets(20, 1399),
            [1, 1, 1, 1, 2, 1, 1, 1, 2, 1, 2, 1, 2, 2, 2, 2, 2, 2, 1, 2]
        );
    }

    #[test]
    fn random_classes_of_the_specification() {
        let classes = |k| -> Vec<usize> { (0..12).map(|i| random_class(1399, i, k)).collect() };
        assert_eq!(classes(3), [1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 2, 0]);
        assert_eq!(classes(4), [0, 2, 2, 3, 1, 2, 3, 0, 3, 2, 1, 0]);
        assert_eq!(classes(6), [4, 0, 0, 3, 3, 4, 1, 0, 3, 0, 5, 0]);
    }

    #[test]
    fn mersenne_twister_reaches_its_published_ten_thousandth_value() {
        // ISO C++ [rand.predef]: the 10000th invocation of a default-seeded mt19937.
        let mut random = MersenneTwister::new(5489);
        let value = (0..10_000).map(|_| random.next()).last();
        assert_eq!(value, Some(4_123_659_995));
    }

    #[test]
    fn shuffles_of_the_specification() {
        let shuffled = |n, seed| shuffled_lists(&[n], seed).remove(0);
        assert_eq!(shuffled(10, 1400), [4, 0, 9, 7, 2, 3, 1, 5, 6, 8]);
        assert_eq!(shuffled(9999, 7)[..6], [8647, 4352, 3808, 6146, 4489, 3221]);
        // Too long for two positions per draw.
        assert_eq!(
            shuffled(100_001, 1400)[..6],
            [44678, 51492, 74691, 269, 76002, 92089]
        );
    }

    #[test]
    fn lists_share_one_generator() {
        let lists = shuffled_lists(&[10, 7], 1400);
        assert_eq!(lists[0], shuffled_lists(&[10], 1400)[0]);
        assert_ne!(lists[1], shuffled_lists(&[7], 1400)[0]);
        let mut sorted = lists[1].clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..7).collect::<Vec<_>>());
        assert_eq!(shuffled_lists(&[0, 1], 3), [vec![], vec![0]]);
    }
}
