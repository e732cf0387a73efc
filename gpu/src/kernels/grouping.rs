//! Grouping significant samples by coarse orientation, so that each orientation's children are projected once a batch.
//!
//! Samples come sorted by image, orientation, shift. Those of one image and orientation are a pair; the pairs of one
//! orientation belong to a parent. Counting sort: count the pairs of each orientation, running sums, place.

use cuda_std::prelude::*;

use crate::samples::{Pair, Parent, Sample};

/// Whether sample `s` is the first of its image and orientation.
#[inline(always)]
unsafe fn begins_pair(samples: *const Sample, s: usize) -> bool {
    // SAFETY: the caller's index.
    unsafe {
        let this = *samples.add(s);
        s == 0 || {
            let previous = *samples.add(s - 1);
            previous.image != this.image || previous.orientation != this.orientation
        }
    }
}

/// Samples to be grouped: `count`, or as many as stand at `number` where that is not null; none when those are more than
/// `count`, for then the list is not complete.
#[inline(always)]
unsafe fn listed(count: u32, number: *const u32) -> usize {
    if number.is_null() {
        return count as usize;
    }
    // SAFETY: the caller's number.
    let number = unsafe { *number };
    if number > count { 0 } else { number as usize }
}

/// `counts[o]` += pairs of orientation `o`; zeroed by the host. A thread a sample of `count`. `number`, where not null, is
/// how many samples there are; when they are more than `count` nothing is counted.
#[kernel(block = 256, grid = [count.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn count_pairs(
    #[len(count)] samples: *const Sample,
    count: u32,
    #[optional(1)] number: *const u32,
    #[unchecked] counts: *mut u32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let s = thread::index_1d();
        if s < listed(count, number) && begins_pair(samples, s) {
            atomic::fetch_add_u32(counts.add((*samples.add(s)).orientation as usize), 1);
        }
    }
}

/// Puts the pairs of orientation `o` at `first[o]` …; `rank[o]` is the position of `o` among orientations that have pairs.
/// `cursor` has one zero an orientation; `count` and `number` as in [`count_pairs`]. A thread a sample. The order within an
/// orientation may differ between runs.
#[kernel(block = 256, grid = [count.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn place_pairs(
    #[len(count)] samples: *const Sample,
    count: u32,
    #[optional(1)] number: *const u32,
    #[unchecked] first: *const u32,
    #[unchecked] rank: *const u32,
    #[unchecked] cursor: *mut u32,
    #[unchecked] pairs: *mut Pair,
) {
    // SAFETY: the index is checked; `first` reserves one place a pair.
    unsafe {
        let s = thread::index_1d();
        let count = listed(count, number);
        if s >= count || !begins_pair(samples, s) {
            return;
        }
        let sample = *samples.add(s);
        let o = sample.orientation as usize;
        let mut end = s + 1;
        while end < count && !begins_pair(samples, end) {
            end += 1;
        }
        let place = *first.add(o) + atomic::fetch_add_u32(cursor.add(o), 1);
        *pairs.add(place as usize) = Pair {
            image: sample.image,
            parent: *rank.add(o),
            begin: s as u32,
            end: end as u32,
        };
    }
}

/// Lists the orientations that have pairs, and their numbers alone in `chosen`. `first` and `rank` have
/// `orientations` + 1 elements. A thread an orientation.
#[kernel(block = 256, grid = [orientations.div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn list_parents(
    #[len(orientations + 1)] first: *const u32,
    #[len(orientations + 1)] rank: *const u32,
    orientations: u32,
    #[unchecked] parents: *mut Parent,
    #[unchecked] chosen: *mut u32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let o = thread::index_1d();
        if o >= orientations as usize {
            return;
        }
        let (begin, end) = (*first.add(o), *first.add(o + 1));
        if end > begin {
            let at = *rank.add(o) as usize;
            *parents.add(at) = Parent {
                orientation: o as u32,
                begin,
                end,
            };
            *chosen.add(at) = o as u32;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernels::scan::ExclusiveScan;
    use cuda_std::launch::{View, emulate, emulate_as};

    /// Parents and pairs of `samples`, made by the kernels.
    pub fn group(samples: &mut [Sample], orientations: usize) -> (Vec<Parent>, Vec<Pair>) {
        group_listed(samples, samples.len() as u32, None, orientations)
    }

    /// The same of the first `number` of them, read by the kernels, in a list with room for `count`.
    fn group_listed(
        samples: &mut [Sample],
        count: u32,
        number: Option<&mut [u32]>,
        orientations: usize,
    ) -> (Vec<Parent>, Vec<Pair>) {
        let number = number.map_or(View::null(), View::of);
        let blocks = [count.div_ceil(32), 1, 1];
        let mut counts = vec![0u32; orientations];
        let mut first = vec![0u32; orientations + 1];
        let mut rank = vec![0u32; orientations + 1];
        let (s, c) = (View::of(samples), View::of(&mut counts));
        let (f, r) = (View::of(&mut first), View::of(&mut rank));
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            emulate_as(
                &CountPairs {
                    samples: s,
                    count,
                    number,
                    counts: c,
                },
                blocks,
                [32, 1, 1],
            );
            for (flags, out) in [(0, f), (1, r)] {
                emulate(&ExclusiveScan {
                    values: c,
                    count: orientations as u32,
                    flags,
                    out,
                });
            }
        }
        let mut pairs = vec![Pair::default(); first[orientations] as usize];
        let mut parents = vec![Parent::default(); rank[orientations] as usize];
        let mut chosen = vec![0u32; parents.len()];
        let mut cursor = vec![0u32; orientations];
        let (u, p) = (View::of(&mut cursor), View::of(&mut pairs));
        let (q, h) = (View::of(&mut parents), View::of(&mut chosen));
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            emulate_as(
                &PlacePairs {
                    samples: s,
                    count,
                    number,
                    first: f,
                    rank: r,
                    cursor: u,
                    pairs: p,
                },
                blocks,
                [32, 1, 1],
            );
            let blocks = [(orientations as u32).div_ceil(32), 1, 1];
            emulate_as(
                &ListParents {
                    first: f,
                    rank: r,
                    orientations: orientations as u32,
                    parents: q,
                    chosen: h,
                },
                blocks,
                [32, 1, 1],
            );
        }
        assert!(
            parents
                .iter()
                .zip(&chosen)
                .all(|(p, c)| p.orientation == *c)
        );
        (parents, pairs)
    }

    fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for image in 0..5u32 {
            for orientation in 0..30u32 {
                for shift in 0..(image + 3 * orientation) % 4 {
                    samples.push(Sample {
                        image,
                        orientation,
                        shift,
                        log_prior: 0.0,
                    });
                }
            }
        }
        samples
    }

    /// The number of samples is known to the device alone; what lies behind them in the list is not looked at.
    #[test]
    fn the_number_of_samples_is_read_on_the_device() {
        let mut all = samples();
        let number = all.len() - 50;
        let expected = group(&mut all.clone()[..number], 30);
        let count = all.len() as u32;
        let found = group_listed(&mut all, count, Some(&mut [number as u32]), 30);
        assert_eq!(found.0, expected.0);
        assert_eq!(found.1.len(), expected.1.len());
        // A list that did not take all samples is not grouped.
        let found = group_listed(&mut all, count, Some(&mut [count + 1]), 30);
        assert!(found.0.is_empty() && found.1.is_empty());
    }

    #[test]
    fn every_sample_is_in_the_pair_of_its_image_and_orientation() {
        let mut samples = samples();
        let (parents, pairs) = group(&mut samples, 30);
        let mut seen = vec![false; samples.len()];
        for (rank, parent) in parents.iter().enumerate() {
            assert!(parent.begin < parent.end);
            for pair in &pairs[parent.begin as usize..parent.end as usize] {
                assert_eq!(pair.parent as usize, rank);
                for s in pair.begin..pair.end {
                    let sample = samples[s as usize];
                    assert_eq!(
                        (sample.image, sample.orientation),
                        (pair.image, parent.orientation)
                    );
                    assert!(!std::mem::replace(&mut seen[s as usize], true));
                }
            }
        }
        assert!(seen.iter().all(|s| *s));
        assert!(
            parents
                .windows(2)
                .all(|w| w[0].orientation < w[1].orientation)
        );
    }
}
