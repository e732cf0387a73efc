//! The pixels of a cropped image transform that take part in comparisons, as one packed list.
//!
//! Every sum over pixels in the expectation step runs over this list: interleaved (re, im) vectors of its length
//! are the columns and rows of the matrix products. Sorted by radius, every smaller box is a prefix and every
//! shell a contiguous range.

use crate::fourier::shells;
use std::ops::Range;

/// Participating pixels of a half-complex box (spec 01 §1.6): ROUND(r) ≤ n/2, without the redundant half of x = 0.
#[derive(Debug, Clone)]
pub struct PixelList {
    size: usize,
    /// Column, 0…n/2.
    pub x: Vec<i32>,
    /// Row, −n/2+1…n/2.
    pub y: Vec<i32>,
    /// ROUND(√(x²+y²)).
    pub shell: Vec<usize>,
}

impl PixelList {
    /// List for a box of `size` pixels (even).
    pub fn new(size: usize) -> Self {
        let half = (size / 2) as i32;
        let mut pixels = Vec::new();
        for y in -half + 1..=half {
            for x in 0..=half {
                let radius2 = x * x + y * y;
                let shell = shells::round(f64::from(radius2).sqrt()) as usize;
                if shell <= size / 2 && (x > 0 || y >= 0) {
                    pixels.push((radius2, y, x, shell));
                }
            }
        }
        pixels.sort_unstable();
        Self {
            size,
            x: pixels.iter().map(|p| p.2).collect(),
            y: pixels.iter().map(|p| p.1).collect(),
            shell: pixels.iter().map(|p| p.3).collect(),
        }
    }

    /// Box the list was made for, pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// A list always holds the origin.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// Indices of the pixels that likelihoods compare in a smaller box of `size` pixels: all of its list but the origin. Its
    /// Nyquist row is y = +size/2, so the few pixels of y = −size/2 are not among them.
    pub fn compared(&self, size: usize) -> impl Iterator<Item = usize> + '_ {
        let half = (size / 2) as i32;
        let end = self.shell.partition_point(|&s| s <= size / 2);
        (1..end).filter(move |&i| self.y[i] > -half)
    }

    /// Length of the prefix onto which references are projected in a box of `size`: r ≤ size/2 (spec 01 §1.5).
    pub fn projected(&self, size: usize) -> usize {
        let limit = (size / 2 * (size / 2)) as i32;
        let mut n = self.shell.partition_point(|&s| s <= size / 2);
        while n > 0 && self.x[n - 1] * self.x[n - 1] + self.y[n - 1] * self.y[n - 1] > limit {
            n -= 1;
        }
        n
    }

    /// Contiguous range of every shell 0…n/2 within the first `length` pixels.
    pub fn shell_ranges(&self, length: usize) -> Vec<Range<usize>> {
        (0..=self.size / 2)
            .map(|s| {
                let begin = self.shell.partition_point(|&v| v < s).min(length);
                begin..self.shell.partition_point(|&v| v <= s).min(length)
            })
            .collect()
    }

    /// The first `length` pixels in the order of squares of 2 × 2 pixels in squares of 4 × 4 and so on, so that those that follow
    /// each other are neighbours.
    pub fn in_squares(&self, length: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..length as u32).collect();
        order.sort_by_cached_key(|&i| {
            let (x, y) = (self.x[i as usize], self.y[i as usize]);
            // Rows are counted from the lowest.
            let [x, y] = [x, y + (self.size / 2) as i32].map(|v| v as u64);
            (0..16).fold(0u64, |key, bit| {
                let square = (y >> bit & 1) << 1 | (x >> bit & 1);
                key | square << (2 * bit)
            })
        });
        order
    }

    /// Value of every listed pixel in a half-complex transform of an n×n image (n ≥ size).
    pub fn gather<T: Copy>(&self, transform: &[T], n: usize) -> Vec<T> {
        let width = n / 2 + 1;
        self.x
            .iter()
            .zip(&self.y)
            .map(|(&x, &y)| {
                let row = if y >= 0 {
                    y as usize
                } else {
                    (y + n as i32) as usize
                };
                transform[row * width + x as usize]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of the reference run: 426 compared pixels at size 32, 329 at 28 (shells above 0).
    #[test]
    fn pixel_counts_of_the_reference_run() {
        let list = PixelList::new(32);
        assert_eq!(list.len() - 1, 426);
        assert_eq!(list.compared(28).count(), 329);
    }

    #[test]
    fn prefixes_and_ranges_agree() {
        let list = PixelList::new(20);
        let ranges = list.shell_ranges(list.len());
        assert_eq!(ranges[0], 0..1);
        for (s, range) in ranges.iter().enumerate() {
            assert!(range.clone().all(|i| list.shell[i] == s));
        }
        assert_eq!(ranges.last().unwrap().end, list.len());
        let n = list.projected(20);
        assert!((0..list.len()).all(|i| (list.x[i].pow(2) + list.y[i].pow(2) <= 100) == (i < n)));
    }

    #[test]
    fn squares_keep_neighbours_together() {
        let list = PixelList::new(40);
        let length = list.projected(30);
        let order = list.in_squares(length);
        let mut seen = order.clone();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..length as u32));
        // A square comes once: it is left for good when the next begins.
        for side in [2, 4, 8] {
            let square = |&i: &u32| {
                let (x, y) = (list.x[i as usize], list.y[i as usize] + 20);
                (x / side, y / side)
            };
            let mut squares: Vec<_> = order.iter().map(square).collect();
            squares.dedup();
            let number = squares.len();
            squares.sort_unstable();
            squares.dedup();
            assert_eq!(squares.len(), number);
        }
    }
}
