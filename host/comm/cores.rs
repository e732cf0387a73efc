//! Processor cores as the system lists them.

use crate::errors::{Code, Message};
use std::fs;
use std::path::Path;
use std::thread;

/// Cores of the machine that are switched on; None where the system does not tell.
pub fn online() -> Option<usize> {
    listed("/sys/devices/system/cpu/online", "")
}

/// Cores that this process may run on; None where the system does not tell.
pub fn allowed() -> Option<usize> {
    listed("/proc/self/status", "Cpus_allowed_list:")
}

/// Threads per core beyond which they do little but wait for each other: a run with `--j 1000` on two cores took 30 times
/// as long as with `--j 2`.
const MOST_PER_CORE: usize = 4;

/// Cores that this process may run on at a time, as far as its limits tell.
pub fn usable() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the number of threads to start of those that were `asked` for on so many cores, within reason; 0 stays 0.
pub fn reasonable_threads(asked: usize, usable: usize) -> usize {
    asked.min(MOST_PER_CORE * usable.max(1))
}

/// Starts the threads of a command that asks for so many (`--j`), within reason; 0: one for each core.
///
/// # Errors
/// The system does not let them be started.
pub fn start_threads(asked: usize) -> Result<(), Message> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(reasonable_threads(asked, usable()))
        .build_global()
        .map_err(|error| {
            Code::SYSTEM_LIMIT.says(format!("the threads of --j cannot be started: {error}"))
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_as_many_as_cores_can_run() {
        assert_eq!(reasonable_threads(0, 2), 0, "all cores");
        assert_eq!(reasonable_threads(3, 2), 3);
        assert_eq!(reasonable_threads(100_000, 2), 8);
    }

    #[test]
    fn lists_of_cores_are_counted() {
        assert_eq!(count("\t0-3,8\n"), Some(5));
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count("7"), Some(1));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("3-1"), None);
        assert_eq!(count("x"), None);
    }
}
