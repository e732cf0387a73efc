//! Progress of a command: of each phase that takes longer than [`PATIENCE`], lines that tell the steps done and the time that the
//! rest will take.

use crate::errors;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Phases that take no longer say nothing, and no rest that takes no longer is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a phase is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Most time between two lines.
const SILENCE: Duration = Duration::from_secs(60);

/// Where the progress of a command is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nowhere.
    Silent,
    /// On standard output, with the rest of what the command says.
    Output,
    /// On standard error, for commands whose standard output is their result.
    Error,
}

impl Progress {
    /// Begins a phase that does `what` ("Back-projecting particles") in `total` steps; 0 where they cannot be counted, or are not
    /// known yet.
    pub fn phase(self, what: impl Into<String>, total: usize) -> Phase {
        let course = Arc::new(Course {
            what: what.into(),
            total: AtomicUsize::new(total),
            done: AtomicUsize::new(0),
            begun: Instant::now(),
        });
        let ticking = (self != Self::Silent).then(|| {
            let (end, ended) = channel();
            let watched = course.clone();
            let thread = std::thread::spawn(move || watched.tell_on(self, &ended));
            (end, thread)
        });
        Phase { course, ticking }
    }

    fn say(self, line: &str) {
        let text = format!("{line}\n");
        // That nobody reads it changes nothing.
        let _ = match self {
            Self::Silent => Ok(()),
            Self::Output => std::io::stdout().lock().write_all(text.as_bytes()),
            Self::Error => {
                errors::tell(line);
                Ok(())
            }
        };
    }
}

/// A phase that is under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Phase {
    course: Arc<Course>,
    /// Dropping the sender ends the thread that tells the progress.
    ticking: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug)]
struct Course {
    what: String,
    total: AtomicUsize,
    done: AtomicUsize,
    begun: Instant,
}

impl Phase {
    /// Moves on by some steps; any thread may.
    pub fn advance(&self, steps: usize) {
        self.course.done.fetch_add(steps, Ordering::Relaxed);
    }

    /// Moves on to `done` of `total` steps.
    pub fn reach(&self, done: usize, total: usize) {
        self.course.done.store(done, Ordering::Relaxed);
        self.course.total.store(total, Ordering::Relaxed);
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.ticking.take() {
            drop(end);
            // It only prints; that it panicked changes nothing.
            let _ = thread.join();
        }
    }
}

impl Course {
    /// Prints a line after [`PATIENCE`], at each further tenth of the steps, after each [`SILENCE`], and when all is done.
    fn tell_on(&self, out: Progress, ended: &Receiver<()>) {
        let mut told: Option<(Instant, usize)> = None;
        loop {
            let is_over = ended.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout);
            let done = self.done.load(Ordering::Relaxed);
            let total = self.total.load(Ordering::Relaxed);
            let tenths = 10 * done / total.max(1);
            let elapsed = self.begun.elapsed();
            let is_due = match told {
                None => !is_over && elapsed >= PATIENCE,
                Some((at, before)) => tenths > before || (!is_over && at.elapsed() >= SILENCE),
            };
            if is_due {
                told = Some((Instant::now(), tenths));
                out.say(&line(&self.what, done, total, elapsed));
            }
            if is_over {
                return;
            }
        }
    }
}

fn line(what: &str, done: usize, total: usize, elapsed: Duration) -> String {
    if total == 0 {
        return format!(" {what}: {} so far", words(elapsed));
    }
    let counted = format!(" {what}: {done} of {total}");
    if done == 0 {
        return format!("{counted} after {}", words(elapsed));
    }
    let left = elapsed.mul_f64(total.saturating_sub(done) as f64 / done as f64);
    match left > PATIENCE {
        true => format!("{counted}, about {} left", words(left)),
        false => counted,
    }
}

/// A time in the unit that suits it.
fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_per_step_as_what_is_done() {
        let after = |seconds| line("Measuring points", 20, 100, Duration::from_secs(seconds));
        assert_eq!(after(1), " Measuring points: 20 of 100");
        assert_eq!(after(10), " Measuring points: 20 of 100, about 40 s left");
        assert_eq!(after(100), " Measuring points: 20 of 100, about 6 min left");
        assert_eq!(
            after(3600),
            " Measuring points: 20 of 100, about 4.0 h left"
        );
        let end = line("Measuring points", 100, 100, Duration::from_secs(50));
        assert_eq!(end, " Measuring points: 100 of 100");
    }

    #[test]
    fn nothing_is_known_of_the_rest_before_the_first_step() {
        let six = Duration::from_secs(6);
        let none = line("Measuring points", 0, 100, six);
        assert_eq!(none, " Measuring points: 0 of 100 after 6 s");
        let uncounted = line("Reading the maps", 0, 0, six);
        assert_eq!(uncounted, " Reading the maps: 6 s so far");
    }

    #[test]
    fn a_phase_counts_the_steps_of_all_threads() {
        let phase = Progress::Silent.phase("Stepping", 400);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| phase.advance(1)));
            }
        });
        let known = |phase: &Phase| {
            let course = &phase.course;
            [&course.done, &course.total].map(|count| count.load(Ordering::Relaxed))
        };
        assert_eq!(known(&phase), [400, 400]);
        phase.reach(7, 9);
        assert_eq!(known(&phase), [7, 9]);
    }
}
