//! Which engine of a rank gets which particles: a span each, the same in every iteration, so that images which an engine
//! holds are those it gets again; what is left when one is done is shared. Cards of one kind take a half-set each instead.

use crate::refinement::parallel::load_balance::Dealt;
use crate::refinement::parallel::workers::Engine;

/// Batches that are left for each of several engines towards the end are made smaller, but not below this part of a
/// full one.
const SMALLEST_PART: usize = 8;

/// True where the engines of a rank align two half-sets at the same time, an equal number of them each: an even number of
/// cards of one kind. What a half-set takes whatever its size (references, its last batches) is then done for both at
/// once, and sums of two cards need not be added.
pub(crate) fn align_halves_at_once(engines: &[Engine]) -> bool {
    let name = |engine: &Engine| engine.device().map(|device| device.name().to_owned());
    let first = engines.first().and_then(name);
    first.is_some() && engines.len().is_multiple_of(2) && engines.iter().all(|e| name(e) == first)
}

/// The particles that nobody has begun to read, a span for each engine.
pub(crate) struct Spans<'a> {
    rest: Vec<&'a [Dealt]>,
    batch_size: usize,
}

impl<'a> Spans<'a> {
    /// Equal spans of `share` for `engines` (at least one), to be given out in batches of at most `batch_size`.
    pub(crate) fn new(share: &'a [Dealt], engines: usize, batch_size: usize) -> Self {
        let begin = |engine: usize| share.len() * engine / engines;
        Self {
            rest: (0..engines)
                .map(|engine| &share[begin(engine)..begin(engine + 1)])
                .collect(),
            batch_size: batch_size.max(1),
        }
    }

    /// The next batch for `engine`: from the front of its own span, else from the back of the longest. A single engine
    /// gets full ones; of several each leaves ever smaller ones, so that they end together.
    pub(crate) fn next(&mut self, engine: usize) -> Option<&'a [Dealt]> {
        if !self.rest[engine].is_empty() {
            let (next, rest) = self.rest[engine].split_at(self.size(self.rest[engine].len()));
            self.rest[engine] = rest;
            return Some(next);
        }
        let longest = (0..self.rest.len()).max_by_key(|&e| self.rest[e].len())?;
        let span = self.rest[longest];
        if span.is_empty() {
            return None;
        }
        let (rest, next) = span.split_at(span.len() - self.size(span.len()));
        self.rest[longest] = rest;
        Some(next)
    }

    /// Particles of a batch from a span of `length`.
    fn size(&self, length: usize) -> usize {
        let part = match self.rest.len() {
            1 => length,
            _ => length
                .div_ceil(2)
                .max(self.batch_size / SMALLEST_PART)
                .max(1),
        };
        part.min(self.batch_size).min(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(count: usize) -> Vec<Dealt> {
        (0..count)
            .map(|index| Dealt {
                index,
                position: index,
            })
            .collect()
    }

    fn indices(batch: &[Dealt]) -> Vec<usize> {
        batch.iter().map(|dealt| dealt.index).collect()
    }

    #[test]
    fn an_engine_of_the_host_aligns_one_half_after_the_other() {
        let host = || Box::new(crate::expectation::cpu::CpuEngine::new()) as Engine;
        assert!(!align_halves_at_once(&[]));
        assert!(!align_halves_at_once(&[host(), host()]));
    }

    #[test]
    fn a_single_engine_gets_full_batches_in_order() {
        let share = dealt(25);
        let mut spans = Spans::new(&share, 1, 10);
        let batches: Vec<_> = std::iter::from_fn(|| spans.next(0)).collect();
        assert_eq!(batches.concat(), share);
        assert_eq!(batches.iter().map(|b| b.len()).max(), Some(10));
        assert_eq!(batches.len(), 3);
    }

    #[test]
    fn engines_begin_with_their_own_span_and_share_what_is_left() {
        let share = dealt(100);
        let mut spans = Spans::new(&share, 2, 16);
        assert_eq!(
            indices(spans.next(1).unwrap()),
            (50..66).collect::<Vec<_>>()
        );
        // The first engine goes on alone: through its own span, then through the end of the other's.
        let mut batches: Vec<_> = std::iter::from_fn(|| spans.next(0)).collect();
        assert!(batches.iter().all(|b| b.len() <= 16));
        assert!(batches.iter().rev().take(2).all(|b| b.len() <= 2));
        assert_eq!(batches[0][0].index, 0);
        let own: usize = batches
            .iter()
            .take_while(|b| b[0].index < 50)
            .map(|b| b.len())
            .sum();
        assert_eq!(own, 50);
        let mut all: Vec<usize> = batches.drain(..).flat_map(indices).collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).chain(66..100).collect::<Vec<_>>());
        assert!(spans.next(1).is_none());
    }

    #[test]
    fn more_engines_than_particles_leave_some_idle() {
        let share = dealt(2);
        let mut spans = Spans::new(&share, 4, 8);
        let found: Vec<usize> = (0..4)
            .flat_map(|e| spans.next(e))
            .flat_map(indices)
            .collect();
        assert_eq!(found.len(), 2);
        assert!((0..4).all(|e| spans.next(e).is_none()));
    }
}
