//! How many threads a rank takes, and how many cores the launcher lets it use.

use crate::comm::{Ranks, cores};
use crate::errors::Code;
use crate::refinement::error::RunError;
use crate::refinement::settings::Settings;

/// Cores that this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    /// Number it may run on at a time.
    pub usable: usize,
    /// The launcher has bound it to some of the machine's cores, for itself alone.
    pub bound: bool,
}

impl Cores {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        let allowed = cores::allowed();
        let online = cores::online();
        Self {
            usable: cores::usable(),
            bound: allowed.zip(online).is_some_and(|(a, o)| a < o),
        }
    }

    /// Threads of a rank that shares its machine with `ranks` in all: as asked for, within reason, else its part of the cores.
    fn threads(self, asked: usize, ranks: usize) -> usize {
        match (asked, self.bound) {
            (0, true) => self.usable,
            (0, false) => (self.usable / ranks.max(1)).max(1),
            (asked, _) => cores::reasonable_threads(asked, self.usable),
        }
    }
}

/// Threads of this rank: `--j`, or its part of the cores of the machine.
pub(crate) fn of_rank(settings: &Settings, ranks: &Ranks) -> usize {
    Cores::of_this_process().threads(settings.threads, ranks.place_on_host().1)
}

/// A pool of `threads` threads.
pub(crate) fn pool(threads: usize) -> Result<rayon::ThreadPool, RunError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| {
            Code::SYSTEM_LIMIT
                .says(format!(
                    "{threads} threads cannot be started: {error}. Give a smaller number with --j."
                ))
                .into()
        })
}

/// Threads that stay from iteration to iteration: to begin them takes as long as a small subset of particles.
#[derive(Default)]
pub struct Pools {
    /// One for each of several engines.
    engines: Vec<rayon::ThreadPool>,
    /// One for each engine's reader.
    readers: Vec<rayon::ThreadPool>,
    /// Of half-sets that are aligned at the same time.
    parts: Vec<Part>,
}

/// A part of the threads of a run, and of its engines' pools.
pub(crate) struct Part {
    /// Threads that take the place of those of the run.
    pub threads: rayon::ThreadPool,
    /// Pools of the engines of this part.
    pub pools: Pools,
}

impl Pools {
    /// Makes the pools of `count` engines that share `threads` threads, unless they are there; at most `reading` threads read for an
    /// engine.
    ///
    /// # Errors
    /// Threads cannot be started.
    pub(crate) fn make(
        &mut self,
        count: usize,
        threads: usize,
        reading: usize,
    ) -> Result<(), RunError> {
        let each = threads.div_ceil(count.max(1));
        while self.readers.len() < count {
            self.readers.push(pool(each.min(reading))?);
        }
        // A single engine takes the threads of the run.
        while count > 1 && self.engines.len() < count {
            self.engines.push(pool(each)?);
        }
        Ok(())
    }

    /// Returns `count` parts of `threads` threads each, made unless they are there.
    ///
    /// # Errors
    /// Threads cannot be started.
    pub(crate) fn parts(&mut self, count: usize, threads: usize) -> Result<&mut [Part], RunError> {
        while self.parts.len() < count {
            self.parts.push(Part {
                threads: pool(threads)?,
                pools: Self::default(),
            });
        }
        Ok(&mut self.parts[..count])
    }

    /// Threads of engine `number`; None where it takes those of the run.
    pub(crate) fn of_engine(&self, number: usize) -> Option<&rayon::ThreadPool> {
        self.engines.get(number)
    }

    /// Threads that read for engine `number`.
    ///
    /// # Panics
    /// Unless they were made.
    pub(crate) fn of_reader(&self, number: usize) -> &rayon::ThreadPool {
        &self.readers[number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_use_a_core() {
        assert!(Cores::of_this_process().usable > 0);
    }

    #[test]
    fn ranks_share_a_machine_unless_each_is_bound_to_its_cores() {
        let (usable, free) = (
            16,
            Cores {
                usable: 16,
                bound: false,
            },
        );
        let bound = Cores {
            usable: 4,
            bound: true,
        };
        assert_eq!(free.threads(0, 1), usable);
        assert_eq!(free.threads(0, 4), 4);
        assert_eq!(free.threads(0, 99), 1);
        assert_eq!(bound.threads(0, 4), 4);
        assert_eq!(bound.threads(6, 4), 6, "--j is the user's word");
        assert_eq!(bound.threads(1000, 1), 16, "within reason");
    }
    #[test]
    fn pools_are_made_once() {
        let mut pools = Pools::default();
        pools.make(1, 6, 4).unwrap();
        assert!(pools.of_engine(0).is_none());
        assert_eq!(pools.of_reader(0).current_num_threads(), 4);
        pools.make(2, 6, 4).unwrap();
        // The first reader stays as it is.
        let readers = [0, 1].map(|number| pools.of_reader(number).current_num_threads());
        assert_eq!(readers, [4, 3]);
        assert_eq!(
            pools.of_engine(1).map(|pool| pool.current_num_threads()),
            Some(3)
        );
    }
}
