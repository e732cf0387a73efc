//! Signals that end a program end the run at once, with a message and the scheduler's marker file: those of terminals
//! (INT, QUIT, HUP), of batch systems and users (TERM, USR1, USR2, XCPU, ALRM, real-time signals …) and of a launcher that
//! dies. A file that grows beyond `ulimit -f` fails to be written, like one on a full disk, and ends nothing by itself.
//!
//! Not among them are KILL, which no program hears, and what the processor raises (SEGV, BUS, FPE, ILL), after which no more than
//! [`crash_mark`](super::crash_mark) can be done.

use crate::comm::{FaultReport, Ranks, View, programs};
use crate::dataset::scratch;
use crate::errors::{Code, Message, tell};
use crate::refinement::cli::job_markers::{Ending, Pipeline};
use crate::refinement::cli::launcher;
use rustix::process;
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGSYS, SIGTERM, SIGTRAP, SIGUSR1,
    SIGUSR2, SIGVTALRM,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;
use std::fs;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// A rank that is told to end leaves it to the first rank to say so, and speaks itself when nothing has come of that.
const LEADER_FIRST: Duration = Duration::from_secs(25);

/// Signals that end a program that does not listen for them, beside the real-time ones.
const ENDING: [i32; 16] = [
    SIGINT,
    SIGTERM,
    SIGHUP,
    SIGQUIT,
    SIGUSR1,
    SIGUSR2,
    SIGXCPU,
    SIGALRM,
    SIGVTALRM,
    SIGPROF,
    SIGIO,
    SIGABRT,
    SIGTRAP,
    SIGSYS,
    libc::SIGPWR,
    libc::SIGSTKFLT,
];
/// Numbers that signal-hook does not name.
const SIGXCPU: i32 = libc::SIGXCPU;
const SIGXFSZ: i32 = libc::SIGXFSZ;
/// Sent by the kernel when the launcher dies; else of no use to the program, so that a stray one is ignored.
const LAUNCHER_GONE: i32 = libc::SIGURG;

/// Listens for signals.
pub(crate) struct Listener {
    job: Arc<OnceLock<Place>>,
}

/// This process in its job.
struct Place {
    view: View,
    leads: bool,
    size: usize,
    name: String,
}

/// Actions on a signal.
pub(crate) struct Ways {
    /// Prints a fault and leaves the marker file.
    pub report: FaultReport,
    /// Where the marker file goes when nothing is printed.
    pub pipeline: Pipeline,
    /// This process speaks for its job before the ranks know of each other.
    pub speaks_first: bool,
}

/// Makes a file that grows beyond `ulimit -f` fail to be written, with an error of the program, where the signal for it would end
/// the program without a word. For programs that do not [`listen`].
pub fn fail_beyond_file_size_limit() {
    // Without a handler the program still works; only its last words would be missing.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Returns the signals that would end this program.
fn ending() -> impl Iterator<Item = i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // What is ignored from the start (nohup) stays ignored, and what a library listens for (a profiler, a checkpointer) is its own.
    let taken = signals_in(&status, "SigIgn:") | signals_in(&status, "SigCgt:");
    ENDING
        .into_iter()
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
        .filter(move |signal| taken & (1 << (signal - 1)) == 0)
}

/// Ends a program of one process on a signal with a message and the marker file of a failure. For programs that do not [`listen`].
///
/// # Errors
/// No signal can be listened for.
pub fn mark_failure_on_signal(pipeline: Pipeline) -> Result<(), Message> {
    let mut signals = Signals::new(ending()).map_err(|error| unheard(&error))?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let text = format!(
                "{} (by you, or the batch system). What it was writing is not complete; start it again",
                cause(signal)
            );
            // Why it could not be left is of no use to a scheduler that looks for the file.
            let _ = pipeline.finish(Ending::Failure);
            tell(&Code::TOLD_TO_END.says(text).printed());
            signal_hook::low_level::exit(1);
        }
    });
    Ok(())
}

/// Why signals cannot be listened for, in words.
fn unheard(error: &io::Error) -> Message {
    Code::SYSTEM_LIMIT.says(format!(
        "signals (Ctrl-C, kill) cannot be listened for: {error}"
    ))
}

/// Listen from now on: from before the ranks are brought together, since a launcher ends them all when one dies meanwhile.
pub(crate) fn listen(ways: Ways) -> Result<Listener, Message> {
    let launcher = launcher::is_launched().then(process::getppid).flatten();
    if launcher.is_some() {
        // Without it MPI notices, or the batch system.
        let _ = process::set_parent_process_death_signal(Some(process::Signal::URG));
    }
    let listened = ending().chain([SIGXFSZ, LAUNCHER_GONE]);
    let mut signals = Signals::new(listened).map_err(|error| unheard(&error))?;
    let job = Arc::new(OnceLock::<Place>::new());
    let known = job.clone();
    thread::spawn(move || {
        let ends = |signal: &i32| match *signal {
            // That it is listened for makes the write fail in its place.
            SIGXFSZ => false,
            // It comes, too, when only the launcher's thread that started this process has ended.
            LAUNCHER_GONE => launcher.is_some() && launcher != process::getppid(),
            _ => true,
        };
        if let Some(signal) = signals.forever().find(ends) {
            match known.get() {
                None => end_before_the_job(&ways, signal),
                // A launcher may end the last ranks when the first have left; or the first died over its last words.
                Some(place) if place.view.ending() => {
                    if !ways.pipeline.has_ended() {
                        ways.leave_mark();
                    }
                }
                Some(place) => end(&ways, place, signal),
            }
        }
    });
    Ok(Listener { job })
}

/// Mask of signals, bit n − 1 for signal n, in a line of the text of `/proc/self/status`.
fn signals_in(status: &str, line: &str) -> u64 {
    status
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

impl Ways {
    fn leave_mark(&self) {
        // Why it could not be left is said by the report, which leaves it too.
        let _ = self.pipeline.finish(Ending::Failure);
    }
}

impl Listener {
    /// From now on the job is known: a signal ends all of it.
    pub(crate) fn know(&self, ranks: &Ranks) {
        let place = Place {
            view: ranks.watch().view(),
            leads: ranks.leads(),
            size: ranks.size(),
            name: ranks.name(ranks.rank()),
        };
        // Told once; a second time would say the same.
        let _ = self.job.set(place);
    }
}

/// Returns the name of a signal; a number for those that have none.
fn name(signal: i32) -> String {
    match signal {
        SIGXCPU => "SIGXCPU".to_owned(),
        libc::SIGPWR => "SIGPWR".to_owned(),
        libc::SIGSTKFLT => "SIGSTKFLT".to_owned(),
        _ => signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned),
    }
}

/// Why the run ends, in words.
fn cause(signal: i32) -> String {
    match signal {
        LAUNCHER_GONE => "the launcher of the ranks (mpirun or srun) has gone".to_owned(),
        _ => format!("told to end by {}", name(signal)),
    }
}

fn end_before_the_job(ways: &Ways, signal: i32) -> ! {
    if ways.speaks_first {
        let text = format!(
            "{} before the job had begun (by you, the batch system, or the launcher after another process \
             had died: it names that one). Nothing was written; start it again",
            cause(signal)
        );
        (ways.report)(&Code::TOLD_TO_END.says(text));
    } else {
        ways.leave_mark();
    }
    signal_hook::low_level::exit(1)
}

fn end(ways: &Ways, place: &Place, signal: i32) {
    programs::end_all();
    let others = match place.size {
        1 => "",
        _ if signal == LAUNCHER_GONE => {
            " (it was killed, or its machine has no memory left: look at dmesg and at the log of the batch system)"
        }
        _ => {
            " (by you, the batch system, or the launcher after another rank had died: it names that rank)"
        }
    };
    let fault = Code::TOLD_TO_END.says(format!(
        "{}{others} during: {}. {}",
        cause(signal),
        place.view.stage(),
        place.view.advice()
    ));
    if !place.leads {
        // The first rank may be the one that died.
        ways.leave_mark();
        scratch::leave_before_exit();
        place.view.stop_all(Some(&fault));
        thread::sleep(LEADER_FIRST);
    }
    (ways.report)(&fault.about(&place.name));
    signal_hook::low_level::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_signals_are_read_from_the_status() {
        let status = "Name:\trelion_refine\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000001\n";
        assert_eq!(signals_in(status, "SigIgn:"), 1 << (SIGHUP - 1));
        assert_eq!(signals_in(status, "SigCgt:"), 0);
    }
}
