//! Processor cores as the system lists them.

use std::fs;
use std::path::Path;

/// Cores of the machine that are switched on; None where the system does not tell.
pub fn online() -> Option<usize> {
    listed("/sys/devices/system/cpu/online", "")
}

/// Cores that this process may run on; None where the system does not tell.
pub fn allowed() -> Option<usize> {
    listed("/proc/self/status", "Cpus_allowed_list:")
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
    fn lists_of_cores_are_counted() {
        assert_eq!(count("\t0-3,8\n"), Some(5));
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count("7"), Some(1));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("3-1"), None);
        assert_eq!(count("x"), None);
    }
}
