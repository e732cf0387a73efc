//! What this process has used of the machine, from `/proc` (Linux).

/// Ticks per second of the times in `/proc/self/stat`: fixed at 100 by the kernel's interface to programs.
const TICKS: f64 = 100.0;

/// Processor time and memory of this process, all threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Seconds in user mode.
    pub user: f64,
    /// Seconds in the kernel.
    pub system: f64,
    /// Largest resident memory so far, bytes.
    pub peak_memory: u64,
}

impl Usage {
    /// Usage up to now; zeros where the system does not tell.
    pub fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let (user, system) = times(&stat).unwrap_or_default();
        Self {
            user,
            system,
            peak_memory: peak(&status).unwrap_or_default(),
        }
    }

    /// Forget the peak of memory so far, so that the next reading is that of what follows.
    pub fn reset_peak() {
        // a kernel that does not allow it leaves the older, larger peak: an overstatement, not an error
        std::fs::write("/proc/self/clear_refs", "5").ok();
    }

    /// Processor times spent since `earlier`, with the peak of now.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
            peak_memory: self.peak_memory,
        }
    }
}

/// User and system seconds of a `stat` line; the command name in brackets may hold blanks.
fn times(stat: &str) -> Option<(f64, f64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |i: usize| Some(fields.get(i)?.parse::<f64>().ok()? / TICKS);
    Some((seconds(11)?, seconds(12)?))
}

/// Bytes of `VmHWM` in a `status` file.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_an_awkward_command_name() {
        let stat = "12 (a (b) c) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0";
        assert_eq!(times(stat), Some((2.5, 0.5)));
        assert_eq!(peak("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2048 * 1024));
    }

    #[test]
    fn work_and_memory_are_seen() {
        let before = Usage::now();
        let block = vec![1u8; 64 << 20];
        let mut sum = 0u64;
        while Usage::now().since(before).user < 0.02 {
            sum += block.iter().step_by(64).map(|v| u64::from(*v)).sum::<u64>();
        }
        assert!(sum > 0 && Usage::now().peak_memory >= 64 << 20);
    }
}
