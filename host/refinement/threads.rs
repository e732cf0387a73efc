//! How many threads a rank takes, and how many cores the launcher lets it use.

use super::error::RunError;
use super::settings::Settings;
use crate::comm::Ranks;
use std::fs;
use std::path::Path;

/// Cores that this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// Number it may run on at a time.
    pub usable: usize,
    /// The launcher has bound it to some of the machine's cores, for itself alone.
    pub bound: bool,
}

impl Cores {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let usable = std::thread::available_parallelism().map_or(1, usize::from);
        let allowed = listed("/proc/self/status", "Cpus_allowed_list:");
        let online = online_cores();
        Self {
            usable,
            bound: allowed.zip(online).is_some_and(|(a, o)| a < o),
        }
    }

    /// Threads of a rank that shares its machine with `ranks` in all: as asked for, else its part of the cores.
    fn threads(self, asked: usize, ranks: usize) -> usize {
        match (asked, self.bound) {
            (0, true) => self.usable,
            (0, false) => (self.usable / ranks.max(1)).max(1),
            (asked, _) => asked,
        }
    }
}

/// Cores of the machine that are switched on; None where the system does not tell.
pub fn online_cores() -> Option<usize> {
    listed("/sys/devices/system/cpu/online", "")
}

/// Number of cores in the list behind `key` in a file.
fn listed(path: &str, key: &str) -> Option<usize> {
    let text = fs::read_to_string(Path::new(path)).ok()?;
    count(text.lines().find_map(|line| line.strip_prefix(key))?)
}

/// Number of cores in a list such as `0-3,8`.
fn count(list: &str) -> Option<usize> {
    list.trim()
        .split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            (last + 1).checked_sub(first)
        })
        .sum()
}

/// Threads of this rank: `--j`, or its part of the cores of the machine.
pub fn of_rank(settings: &Settings, ranks: &Ranks) -> usize {
    Cores::of_this_process().threads(settings.threads, ranks.place_on_host().1)
}

/// A pool of `threads` threads.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool, RunError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| {
            RunError::Invalid(format!(
                "{threads} threads cannot be started: {error}. Give a smaller number with --j."
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_counted() {
        assert_eq!(count("\t0-3,8\n"), Some(5));
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count("7"), Some(1));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("3-1"), None);
        assert_eq!(count("x"), None);
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
    }
}
