//! Sets of numbers below a limit, in which a number finds its rank at once.

use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

const BITS: usize = u64::BITS as usize;

/// A set that several threads fill.
pub(super) struct Marks(Vec<AtomicU64>);

impl Marks {
    /// Returns the empty set of numbers below `limit`.
    pub(super) fn below(limit: usize) -> Self {
        let words = (0..limit.div_ceil(BITS)).into_par_iter();
        Self(words.map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds `number`, which must be below the limit.
    pub(super) fn add(&self, number: usize) {
        let (word, bit) = (&self.0[number / BITS], 1 << (number % BITS));
        // Most numbers are there already, and reading a word leaves it in the caches of other cores.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Returns the finished set.
    pub(super) fn ranked(self) -> RankedSet {
        let words: Vec<u64> = self.0.into_iter().map(AtomicU64::into_inner).collect();
        let mut before = Vec::with_capacity(words.len());
        let mut count = 0;
        for word in &words {
            before.push(count);
            count += word.count_ones();
        }
        RankedSet { words, before }
    }
}

/// A set whose numbers know how many are smaller.
pub(super) struct RankedSet {
    words: Vec<u64>,
    /// Numbers of the set in earlier words.
    before: Vec<u32>,
}

impl RankedSet {
    /// Returns how many numbers are in the set.
    pub(super) fn len(&self) -> usize {
        match (self.before.last(), self.words.last()) {
            (Some(&before), Some(word)) => (before + word.count_ones()) as usize,
            _ => 0,
        }
    }

    /// Returns how many numbers of the set are smaller than `number`, one of the set.
    pub(super) fn rank(&self, number: usize) -> u32 {
        let (word, bit) = (number / BITS, number % BITS);
        self.before[word] + (self.words[word] & ((1 << bit) - 1)).count_ones()
    }

    /// Returns `of` each number, in ascending order of the numbers.
    pub(super) fn map<T: Send>(&self, of: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
        let words = self.words.par_iter().enumerate();
        words
            .flat_map_iter(|(place, &word)| bits(word).map(move |bit| place * BITS + bit))
            .map(of)
            .collect()
    }
}

/// Returns the places of the ones of `word`, in ascending order.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_are_those_of_the_sorted_numbers(
            numbers in prop::collection::btree_set(0..400usize, 0..100), limit in 400..470usize,
        ) {
            let marks = Marks::below(limit);
            for _ in 0..2 {
                numbers.par_iter().for_each(|&n| marks.add(n));
            }
            let set = marks.ranked();
            prop_assert_eq!(set.len(), numbers.len());
            for (rank, &number) in numbers.iter().enumerate() {
                prop_assert_eq!(set.rank(number) as usize, rank);
            }
            prop_assert_eq!(set.map(|n| n), numbers.into_iter().collect::<Vec<_>>());
        }
    }
}
