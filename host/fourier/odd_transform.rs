//! Discrete Fourier transforms of odd length, of several lines side by side: a line per lane of a vector.
//!
//! The sums of a volume have the odd side 2(ROUND(P·r_max)+1)+1, which often is a prime (131) or holds a large one (259 = 7·37). The ways of
//! large primes (Rader, Bluestein) take several transforms of other lengths. Here a prime p takes (p−1)² real multiplications and additions, from the
//! sums and differences of values r and p − r; lines side by side keep the vector units busy with them. From some length of the prime on that is more
//! work than those ways, which then are taken.

use super::fft::complex_plan;
use num_complex::Complex64;
use pulp::{Arch, Simd, WithSimd};
use rustfft::Fft;
use std::f64::consts::TAU;
use std::mem::swap;
use std::sync::Arc;

/// Lines that are transformed together.
pub(crate) const LANES: usize = 8;

/// Most coefficients k of a prime that are worked out together, with their mates p − k: their sums fit the registers of AVX-512.
const MOST_TOGETHER: usize = 6;

/// Largest prime that is transformed by its definition. Measured with AVX-512, µs per line, the definition and rustfft: 131: 0.6 and 1.6; 515 = 5·103:
/// 2.7 and 11.5; 771 = 3·257: 15 and 6; 643: 28 and 16.
const LARGEST: usize = 200;

/// Complex values of [`LANES`] lines: real parts, imaginary parts.
pub(crate) type Block = [[f64; LANES]; 2];

/// [`LANES`] lines of complex values: value i of every line in element i.
pub(crate) struct Lines {
    /// Real parts.
    pub(crate) re: Vec<[f64; LANES]>,
    /// Imaginary parts.
    pub(crate) im: Vec<[f64; LANES]>,
    /// Values after a step.
    next: [Vec<[f64; LANES]>; 2],
}

impl Lines {
    /// Returns lines of `n` values, all 0.
    pub(crate) fn new(n: usize) -> Self {
        let zeros = || vec![[0.0; LANES]; n];
        Self {
            re: zeros(),
            im: zeros(),
            next: [zeros(), zeros()],
        }
    }

    /// Sets values `k`…−`k` to 0: of a spectrum, the frequencies from `k` on.
    #[inline(always)]
    pub(crate) fn clear_from(&mut self, k: usize) {
        for i in k..=self.re.len() - k {
            self.set_value(i, [[0.0; LANES]; 2]);
        }
    }

    /// Multiplies value `i` of every line with a factor of its own.
    #[inline(always)]
    pub(crate) fn multiply(&mut self, i: usize, factors: &[f64; LANES]) {
        for (l, factor) in factors.iter().enumerate() {
            self.re[i][l] *= factor;
            self.im[i][l] *= factor;
        }
    }

    /// Returns value `i` of every line.
    #[inline(always)]
    pub(crate) fn value(&self, i: usize) -> Block {
        [self.re[i], self.im[i]]
    }

    /// Sets value `i` of every line.
    #[inline(always)]
    pub(crate) fn set_value(&mut self, i: usize, [re, im]: Block) {
        self.re[i] = re;
        self.im[i] = im;
    }

    /// Sets values `k` and −`k` to those of a + i·b, for transforms a and b of real lines, of which these are values `k`.
    #[inline(always)]
    pub(crate) fn set_pair(&mut self, k: usize, [a_re, a_im]: &Block, [b_re, b_im]: &Block) {
        if k == 0 {
            // Values that are their own mates are real.
            self.set_value(0, [*a_re, *b_re]);
            return;
        }
        // Whole before they are stored: nothing else then can be stored between, and all lanes are worked out at once.
        let (mut value, mut mate) = ([[0.0; LANES]; 2], [[0.0; LANES]; 2]);
        for l in 0..LANES {
            value[0][l] = a_re[l] - b_im[l];
            value[1][l] = a_im[l] + b_re[l];
            mate[0][l] = a_re[l] + b_im[l];
            mate[1][l] = b_re[l] - a_im[l];
        }
        self.set_value(k, value);
        self.set_value(self.re.len() - k, mate);
    }

    /// Returns values `k` of the transforms a and b of real lines, where these lines hold the transform of a + i·b.
    #[inline(always)]
    pub(crate) fn pair(&self, k: usize) -> [Block; 2] {
        let mate = (self.re.len() - k) % self.re.len();
        let (mut a, mut b) = ([[0.0; LANES]; 2], [[0.0; LANES]; 2]);
        for l in 0..LANES {
            a[0][l] = 0.5 * (self.re[k][l] + self.re[mate][l]);
            a[1][l] = 0.5 * (self.im[k][l] - self.im[mate][l]);
            b[0][l] = 0.5 * (self.im[k][l] + self.im[mate][l]);
            b[1][l] = 0.5 * (self.re[mate][l] - self.re[k][l]);
        }
        [a, b]
    }
}

/// Transforms of one odd length.
pub(crate) struct OddTransform {
    length: usize,
    way: Way,
}

/// How lines are transformed.
enum Way {
    /// In steps, side by side.
    Steps(Vec<Step>),
    /// Each line by itself.
    Apart(Arc<dyn Fft<f64>>),
}

/// A step of the transform: those of length p, a prime factor.
struct Step {
    prime: usize,
    /// Coefficients that are worked out together.
    together: usize,
    /// Cosine and sine of 2πrk/p: for each so many values of k, r in 1…(p−1)/2 and for each r these k side by side.
    waves: Vec<[f64; 2]>,
    /// e^{−2πijk/n}, n the length that is left before the step: p of them per j.
    turns: Vec<[f64; 2]>,
}

impl OddTransform {
    /// Plans transforms of `length` values.
    ///
    /// # Panics
    /// If the length is even.
    pub(crate) fn new(length: usize) -> Self {
        Self::with_primes_to(LARGEST, length)
    }

    /// As [`Self::new`], with primes up to `largest` by their definition.
    fn with_primes_to(largest: usize, length: usize) -> Self {
        assert!(length % 2 == 1, "transforms of odd lengths");
        let (mut left, mut prime) = (length, 3);
        let mut steps = Vec::new();
        while left > 1 {
            if prime * prime > left {
                prime = left;
            }
            if prime > largest {
                let way = Way::Apart(complex_plan(length, false));
                return Self { length, way };
            }
            if left.is_multiple_of(prime) {
                steps.push(Step::new(prime, left));
                left /= prime;
            } else {
                prime += 2;
            }
        }
        let way = Way::Steps(steps);
        Self { length, way }
    }

    /// Puts Σ v(j)·e^{−2πijk/n} in the place of every v(k). Unscaled.
    pub(crate) fn forward(&self, lines: &mut Lines) {
        assert_eq!(lines.re.len(), self.length, "lines have the planned length");
        match &self.way {
            Way::Steps(steps) => Arch::new().dispatch(Transform {
                steps,
                length: self.length,
                lines,
            }),
            Way::Apart(plan) => transform_apart(plan.as_ref(), lines),
        }
    }

    /// Puts Σ v(j)·e^{2πijk/n} in the place of every v(k). Unscaled.
    pub(crate) fn inverse(&self, lines: &mut Lines) {
        swap(&mut lines.re, &mut lines.im);
        self.forward(lines);
        swap(&mut lines.re, &mut lines.im);
    }
}

/// Transforms line after line.
fn transform_apart(plan: &dyn Fft<f64>, lines: &mut Lines) {
    let mut line = vec![Complex64::default(); lines.re.len()];
    let mut scratch = vec![Complex64::default(); plan.get_inplace_scratch_len()];
    for l in 0..LANES {
        for (i, value) in line.iter_mut().enumerate() {
            *value = Complex64::new(lines.re[i][l], lines.im[i][l]);
        }
        plan.process_with_scratch(&mut line, &mut scratch);
        for (i, value) in line.iter().enumerate() {
            lines.re[i][l] = value.re;
            lines.im[i][l] = value.im;
        }
    }
}

impl Step {
    fn new(prime: usize, length: usize) -> Self {
        let wave = |turns: usize, of: usize| {
            let (sin, cos) = (TAU * (turns % of) as f64 / of as f64).sin_cos();
            [cos, sin]
        };
        let half = prime / 2;
        // Four sums per coefficient stay in registers, beside four values and two factors. Per r, a group of k coefficients takes 4k
        // products and the loading of four values.
        let most = ((Arch::new().dispatch(Registers) - 6) / 4).clamp(1, MOST_TOGETHER);
        let cost = |k: &usize| half.div_ceil(*k) * (2 * k + 3);
        let together = (1..=most).min_by_key(cost).unwrap_or(1);
        let mut waves = Vec::new();
        for first in (1..=half).step_by(together) {
            for r in 1..=half {
                waves.extend((first..first + together).map(|k| wave(r * k, prime)));
            }
        }
        let turns = (0..length / prime)
            .flat_map(|j| (0..prime).map(move |k| (j, k)))
            .map(|(j, k)| {
                let [cos, sin] = wave(j * k, length);
                [cos, -sin]
            })
            .collect();
        Self {
            prime,
            together,
            waves,
            turns,
        }
    }

    /// [`Step::run_by`] with its number of coefficients together.
    #[inline(always)]
    fn run<S: Simd>(
        &self,
        simd: S,
        sizes: [usize; 2],
        from: [&[S::f64s]; 2],
        to: [&mut [S::f64s]; 2],
        pairs: &mut [[S::f64s; 4]],
    ) {
        match self.together {
            1 => self.run_by::<S, 1>(simd, sizes, from, to, pairs),
            2 => self.run_by::<S, 2>(simd, sizes, from, to, pairs),
            3 => self.run_by::<S, 3>(simd, sizes, from, to, pairs),
            4 => self.run_by::<S, 4>(simd, sizes, from, to, pairs),
            5 => self.run_by::<S, 5>(simd, sizes, from, to, pairs),
            _ => self.run_by::<S, MOST_TOGETHER>(simd, sizes, from, to, pairs),
        }
    }

    /// Transforms of length p of values `stride`·`groups` apart, each turned by what the next steps need. `groups` · p is the length that
    /// was left before. Works out K coefficients together.
    #[inline(always)]
    fn run_by<S: Simd, const K: usize>(
        &self,
        simd: S,
        [groups, stride]: [usize; 2],
        [from_re, from_im]: [&[S::f64s]; 2],
        [to_re, to_im]: [&mut [S::f64s]; 2],
        pairs: &mut [[S::f64s; 4]],
    ) {
        let (p, half) = (self.prime, self.prime / 2);
        let pairs = &mut pairs[..half];
        // Plain loops: closures within are not always compiled for the vectors of this processor.
        for j in 0..groups {
            let turns = &self.turns[j * p..(j + 1) * p];
            for q in 0..stride {
                let (from, apart) = (j * stride + q, groups * stride);
                let (to, next) = (p * j * stride + q, stride);
                let first = [from_re[from], from_im[from]];
                let mut sum = first;
                for r in 1..=half {
                    let (a, b) = (from + r * apart, from + (p - r) * apart);
                    let pair = [
                        simd.add_f64s(from_re[a], from_re[b]),
                        simd.add_f64s(from_im[a], from_im[b]),
                        simd.sub_f64s(from_re[a], from_re[b]),
                        simd.sub_f64s(from_im[a], from_im[b]),
                    ];
                    sum[0] = simd.add_f64s(sum[0], pair[0]);
                    sum[1] = simd.add_f64s(sum[1], pair[1]);
                    pairs[r - 1] = pair;
                }
                to_re[to] = sum[0];
                to_im[to] = sum[1];
                let mut k = 1;
                let waves = self.waves.as_chunks::<K>().0;
                for waves in waves.chunks_exact(half) {
                    let sums = even_and_odd(simd, first, pairs, waves);
                    for [c_re, c_im, s_re, s_im] in sums {
                        if k <= half {
                            let value = [simd.add_f64s(c_re, s_im), simd.sub_f64s(c_im, s_re)];
                            let mate = [simd.sub_f64s(c_re, s_im), simd.add_f64s(c_im, s_re)];
                            let value = turned(simd, value, turns[k]);
                            let mate = turned(simd, mate, turns[p - k]);
                            to_re[to + k * next] = value[0];
                            to_im[to + k * next] = value[1];
                            to_re[to + (p - k) * next] = mate[0];
                            to_im[to + (p - k) * next] = mate[1];
                        }
                        k += 1;
                    }
                }
            }
        }
    }
}

/// (re + i·im)(cos + i·sin).
#[inline(always)]
fn turned<S: Simd>(simd: S, [re, im]: [S::f64s; 2], [cos, sin]: [f64; 2]) -> [S::f64s; 2] {
    let (cos, sin) = (simd.splat_f64s(cos), simd.splat_f64s(sin));
    [
        simd.sub_f64s(simd.mul_f64s(re, cos), simd.mul_f64s(im, sin)),
        simd.mul_add_f64s(im, cos, simd.mul_f64s(re, sin)),
    ]
}

/// Real and imaginary parts of v(0) + Σ (v(r) + v(p−r))·cos(2πrk/p) and of Σ (v(r) − v(p−r))·sin(2πrk/p).
#[inline(always)]
fn even_and_odd<S: Simd, const K: usize>(
    simd: S,
    first: [S::f64s; 2],
    pairs: &[[S::f64s; 4]],
    waves: &[[[f64; 2]; K]],
) -> [[S::f64s; 4]; K] {
    let zero = simd.splat_f64s(0.0);
    let mut sums = [[first[0], first[1], zero, zero]; K];
    for (pair, waves) in pairs.iter().zip(waves) {
        for k in 0..K {
            let (cos, sin) = (simd.splat_f64s(waves[k][0]), simd.splat_f64s(waves[k][1]));
            sums[k][0] = simd.mul_add_f64s(pair[0], cos, sums[k][0]);
            sums[k][1] = simd.mul_add_f64s(pair[1], cos, sums[k][1]);
            sums[k][2] = simd.mul_add_f64s(pair[2], sin, sums[k][2]);
            sums[k][3] = simd.mul_add_f64s(pair[3], sin, sums[k][3]);
        }
    }
    sums
}

/// The number of vector registers.
struct Registers;

impl WithSimd for Registers {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::REGISTER_COUNT
    }
}

struct Transform<'a> {
    steps: &'a [Step],
    length: usize,
    lines: &'a mut Lines,
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Lines { re, im, next } = self.lines;
        let largest = self.steps.iter().map(|step| step.prime).max();
        let mut pairs = vec![[simd.splat_f64s(0.0); 4]; largest.unwrap_or(1) / 2];
        let (mut groups, mut stride) = (self.length, LANES / S::F64_LANES);
        for step in self.steps {
            groups /= step.prime;
            let [next_re, next_im] = &mut *next;
            let from = [
                S::as_simd_f64s(re.as_flattened()).0,
                S::as_simd_f64s(im.as_flattened()).0,
            ];
            let to = [
                S::as_mut_simd_f64s(next_re.as_flattened_mut()).0,
                S::as_mut_simd_f64s(next_im.as_flattened_mut()).0,
            ];
            step.run(simd, [groups, stride], from, to, &mut pairs);
            swap(re, next_re);
            swap(im, next_im);
            stride *= step.prime;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpu::random::uniform;

    fn noise(n: usize) -> Lines {
        let mut lines = Lines::new(n);
        for i in 0..n {
            for l in 0..LANES {
                lines.re[i][l] = uniform(1, (i * LANES + l) as u64) - 0.5;
                lines.im[i][l] = uniform(2, (i * LANES + l) as u64) - 0.5;
            }
        }
        lines
    }

    fn largest_difference(a: &Lines, b: &Lines) -> f64 {
        let parts = |lines: &Lines| [lines.re.clone(), lines.im.clone()].concat();
        let both = parts(a).into_iter().zip(parts(b));
        both.flat_map(|(a, b)| std::array::from_fn::<f64, LANES, _>(|l| (a[l] - b[l]).abs()))
            .fold(0.0, f64::max)
    }

    /// Sides of sums of boxes of 12, 32, 64, 128, 180 and 192 pixels, among them primes, powers of primes and products, and the smallest.
    #[test]
    fn transforms_are_those_of_single_lines() {
        for n in [1, 3, 27, 67, 131, 259, 363, 387] {
            let (mut found, mut expected) = (noise(n), noise(n));
            OddTransform::with_primes_to(LARGEST, n).forward(&mut found);
            OddTransform::with_primes_to(1, n).forward(&mut expected);
            let difference = largest_difference(&found, &expected);
            assert!(difference < 1e-13 * n as f64, "{n}: {difference}");
        }
    }

    #[test]
    fn forward_and_inverse_are_a_pair() {
        for (n, largest) in [(35, LARGEST), (35, 1)] {
            let transform = OddTransform::with_primes_to(largest, n);
            let mut lines = noise(n);
            transform.forward(&mut lines);
            transform.inverse(&mut lines);
            for value in lines.re.iter_mut().chain(&mut lines.im) {
                *value = value.map(|v| v / n as f64);
            }
            let difference = largest_difference(&lines, &noise(n));
            assert!(difference < 1e-14, "{n}, {largest}: {difference}");
        }
    }

    /// Two real lines as one complex line: taken apart and put together again.
    #[test]
    fn pairs_of_real_lines_are_one_complex_line() {
        let n = 21;
        let transform = OddTransform::new(n);
        let mut both = noise(n);
        let mut single = noise(n);
        single.im.fill([0.0; LANES]);
        transform.forward(&mut both);
        transform.forward(&mut single);
        let mut again = Lines::new(n);
        for k in 0..=n / 2 {
            let [a, b] = both.pair(k);
            for (found, expected) in a.iter().zip(single.value(k)) {
                for l in 0..LANES {
                    assert!((found[l] - expected[l]).abs() < 1e-13);
                }
            }
            again.set_pair(k, &a, &b);
        }
        assert!(largest_difference(&again, &both) < 1e-13);
    }
}
