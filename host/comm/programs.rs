//! Programs of others that a run calls: found, started, waited for, and ended with everything that they have started.

use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a program that runs is looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// Process groups of the programs that run now: a signal that ends this process ends them too.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Returns the file of a program: a path as it is, a name as the shell finds it through PATH. None where there is no such file,
/// or it must not be executed.
pub fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| is_executable(path));
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    With(ExitStatus),
    /// It was killed since it took too long.
    TooLate,
    /// It was killed since it was not wanted any more.
    Unwanted,
}

/// A program that runs, in a process group of its own. Dropped, it is killed.
pub struct Running {
    child: Child,
    group: Option<Pid>,
    since: Instant,
}

impl Running {
    /// Gives a line to the shell. The program gets no input; what it prints goes to these files.
    pub fn start(line: &str, out: &Path, errors: &Path) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", line])
            .stdin(Stdio::null())
            .stdout(File::create(out)?)
            .stderr(File::create(errors)?)
            .process_group(0)
            .spawn()?;
        let group = Pid::from_child(&child);
        running().push(group);
        Ok(Self {
            child,
            group: Some(group),
            since: Instant::now(),
        })
    }

    /// Waits for the end. The program is killed after `limit` from its start, or once `is_wanted`, which is asked many times
    /// a second, says no.
    pub fn wait(
        mut self,
        limit: Duration,
        mut is_wanted: impl FnMut() -> bool,
    ) -> io::Result<Ended> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Ended::With(status));
            }
            if self.since.elapsed() > limit {
                return Ok(Ended::TooLate);
            }
            if !is_wanted() {
                return Ok(Ended::Unwanted);
            }
            std::thread::sleep(PERIOD);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            running().retain(|other| *other != group);
            // Of a program that has ended, only what it left running is killed.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Kills every program that runs: this process is about to end.
pub fn end_all() {
    for group in running().drain(..) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(folder: &Path, line: &str) -> Running {
        Running::start(line, &folder.join("out"), &folder.join("err")).unwrap()
    }

    #[test]
    fn programs_are_found_through_the_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("/bin/sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
        assert!(find_program("/").is_none());
    }

    #[test]
    fn the_status_and_what_was_printed_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let running = start(folder.path(), "echo one; echo two >&2; exit 3");
        let Ended::With(status) = running.wait(Duration::from_secs(60), || true).unwrap() else {
            panic!("ended by itself");
        };
        assert_eq!(status.code(), Some(3));
        let text = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((text("out"), text("err")), ("one\n".into(), "two\n".into()));
    }

    /// The limit and a stop end the shell and what it has started.
    #[test]
    fn what_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        for (limit, wanted, expected) in
            [(0.3, true, Ended::TooLate), (60.0, false, Ended::Unwanted)]
        {
            let begin = Instant::now();
            let running = start(folder.path(), "sleep 100 & echo $! ; wait");
            while fs::read_to_string(folder.path().join("out"))
                .unwrap()
                .is_empty()
            {
                std::thread::sleep(PERIOD);
            }
            let ended = running.wait(Duration::from_secs_f64(limit), || wanted);
            assert_eq!(ended.unwrap(), expected);
            assert!(begin.elapsed() < Duration::from_secs(50));
            let child = fs::read_to_string(folder.path().join("out")).unwrap();
            let gone = |pid: &str| {
                // A killed process may be seen until its parent has looked at it.
                let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                state.is_empty() || state.contains(") Z ") || state.contains(") X ")
            };
            while !gone(child.trim()) {
                assert!(begin.elapsed() < Duration::from_secs(50), "{child} is left");
                std::thread::sleep(PERIOD);
            }
        }
    }
}
