//! Resources that a child process takes: wall time, processor time, peak memory (Linux).

use std::io;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Ticks per second of the times in `/proc/self/stat`: fixed at 100 by the kernel's interface to programs.
const TICKS: f64 = 100.0;
/// How often the child's peak memory is read; the kernel keeps the peak, so that only the very end can be missed.
const POLL: Duration = Duration::from_millis(20);

/// Resources that a child process took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// How it ended.
    pub status: ExitStatus,
    /// Seconds from start to end.
    pub wall: f64,
    /// Processor seconds in user mode, all threads.
    pub user: f64,
    /// Processor seconds in the kernel.
    pub system: f64,
    /// Largest resident memory, bytes; 0 where the system does not tell.
    pub peak_memory: u64,
}

/// Run a command to its end. Times are those of this process's finished children, so run one command at a time.
pub fn measure(command: &mut Command) -> io::Result<Measured> {
    let before = children_times();
    let started = Instant::now();
    let mut child = command.spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_memory = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if let Some(bytes) = std::fs::read_to_string(&status_file)
            .ok()
            .and_then(|t| peak(&t))
        {
            peak_memory = peak_memory.max(bytes);
        }
        std::thread::sleep(POLL);
    };
    let wall = started.elapsed().as_secs_f64();
    let after = children_times();
    Ok(Measured {
        status,
        wall,
        user: after.0 - before.0,
        system: after.1 - before.1,
        peak_memory,
    })
}

/// User and system seconds of the children that have ended.
fn children_times() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    times(&stat).unwrap_or_default()
}

/// `cutime` and `cstime` of a `stat` line in seconds; the command name in brackets may hold blanks and brackets.
fn times(stat: &str) -> Option<(f64, f64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |i: usize| Some(fields.get(i)?.parse::<f64>().ok()? / TICKS);
    Some((seconds(13)?, seconds(14)?))
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
        let stat = "12 (a (b) c) R 1 2 3 4 5 6 7 8 9 10 1 2 250 50 20 0 1 0";
        assert_eq!(times(stat), Some((2.5, 0.5)));
        assert_eq!(peak("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2048 * 1024));
    }

    #[test]
    fn a_busy_child_is_measured() {
        let loops = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; sleep 0.1";
        let found = measure(Command::new("sh").args(["-c", loops])).unwrap();
        assert!(found.status.success());
        assert!(found.wall > 0.1 && found.user > 0.0, "{found:?}");
        assert!(found.peak_memory > 100_000, "{found:?}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        assert!(measure(&mut Command::new("no-such-program-here")).is_err());
    }
}
