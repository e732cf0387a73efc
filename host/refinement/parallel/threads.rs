//! How many threads a rank takes, and how many cores the launcher lets it use.

use crate::comm::{Ranks, cores};
use crate::errors::Code;
use crate::refinement::error::RunError;
use crate::refinement::settings::Settings;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// Runs all `tasks` at the same time, each in a thread of its own, and returns their results in order.
///
/// # Panics
/// When a task does.
pub(crate) fn side_by_side<T: Send>(
    tasks: impl Iterator<Item = impl FnOnce() -> T + Send>,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let running: Vec<_> = tasks.map(|task| scope.spawn(task)).collect();
        running
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// Pools of threads that stay from iteration to iteration: to begin them takes as long as a small subset of particles.
#[derive(Default)]
pub struct Pools(Mutex<Vec<rayon::ThreadPool>>);

/// A pool that nobody else has; it goes back when this is dropped.
pub(crate) struct Lent<'a> {
    pool: Option<rayon::ThreadPool>,
    of: &'a Pools,
}

impl Pools {
    /// Lends a pool of `threads` threads, which is made where none is free.
    ///
    /// # Errors
    /// Threads cannot be started.
    pub(crate) fn lend(&self, threads: usize) -> Result<Lent<'_>, RunError> {
        let mut free = self.free();
        let fits = |pool: &rayon::ThreadPool| pool.current_num_threads() == threads;
        let found = free.iter().position(fits);
        let found = found.map(|at| free.swap_remove(at));
        drop(free);
        Ok(Lent {
            pool: Some(found.map_or_else(|| pool(threads), Ok)?),
            of: self,
        })
    }

    /// A thread that panicked ends the run, whatever it held.
    fn free(&self) -> MutexGuard<'_, Vec<rayon::ThreadPool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Lent<'_> {
    type Target = rayon::ThreadPool;

    fn deref(&self) -> &rayon::ThreadPool {
        self.pool.as_ref().expect("it goes back at the end only")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.of.free().extend(self.pool.take());
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
    fn tasks_side_by_side_answer_in_order() {
        let wait = |number: u64| {
            move || {
                std::thread::sleep(std::time::Duration::from_millis(20 - 10 * number));
                number
            }
        };
        assert_eq!(side_by_side((0..3).map(wait)), [0, 1, 2]);
    }

    #[test]
    fn pools_are_used_again_by_one_at_a_time() {
        let pools = Pools::default();
        let id = |pool: &Lent| pool.install(|| std::thread::current().id());
        let one = pools.lend(1).unwrap();
        let other = pools.lend(1).unwrap();
        let ids = [id(&one), id(&other)];
        assert_ne!(ids[0], ids[1]);
        drop(one);
        assert_eq!(pools.lend(3).unwrap().current_num_threads(), 3);
        assert_eq!(id(&pools.lend(1).unwrap()), ids[0]);
    }
}
