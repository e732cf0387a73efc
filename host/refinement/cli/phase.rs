//! Progress of one stage: a bar once it takes longer than [`PATIENCE`], and lines of `--json_log`.

use crate::errors;
use crate::refinement::cli::console::Console;
use crate::refinement::cli::progress_bar::ProgressBar;
use crate::refinement::cli::stage_log::{Stage, StageLog, milliseconds};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Stages that take no longer show no bar, and write no line about their progress.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a bar is brought up to date between steps.
const TICK: Duration = Duration::from_secs(1);

/// A stage that is under way; it ends when this is dropped.
pub struct Phase {
    shared: Arc<Mutex<Course>>,
    /// Dropping it ends the thread that keeps the bar moving.
    ticking: Option<(Sender<()>, JoinHandle<()>)>,
    console: Console,
    /// Another thread does the work and says when the stage has ended.
    is_wait: bool,
}

/// How far the stage is.
struct Course {
    stage: Stage,
    iteration: Option<usize>,
    title: Option<String>,
    begun: Instant,
    /// Steps done and in all; 0 in all where they cannot be counted.
    done: usize,
    total: usize,
    /// Seconds that the stage took in the iteration before.
    before: Option<f64>,
    bar: Option<ProgressBar>,
    silent: bool,
    log: Option<Arc<StageLog>>,
    told: Instant,
}

impl Phase {
    /// Begins a stage of `total` steps (0: they cannot be counted). `title` is printed above the bar if there comes to be one.
    pub fn begin(
        console: &Console,
        stage: Stage,
        iteration: Option<usize>,
        title: &str,
        total: usize,
    ) -> Self {
        Self::new(console, stage, iteration, Some(title.to_owned()), total)
    }

    /// Begins a stage whose bar is shown from the start, without a title.
    pub fn with_bar(
        console: &Console,
        stage: Stage,
        iteration: Option<usize>,
        total: usize,
    ) -> Self {
        let phase = Self::new(console, stage, iteration, None, total);
        lock(&phase.shared).show_bar();
        phase
    }

    /// Begins to wait for files that another thread writes.
    pub fn waiting_for_files(console: &Console) -> Self {
        let title = " Waiting until the files of the last iteration are on the disk ...";
        let mut phase = Self::new(console, Stage::WriteFiles, None, Some(title.into()), 0);
        phase.is_wait = true;
        phase
    }

    fn new(
        console: &Console,
        stage: Stage,
        iteration: Option<usize>,
        title: Option<String>,
        total: usize,
    ) -> Self {
        let silent = console.verbosity <= 0;
        let log = console.log().cloned();
        let watched = !silent || log.is_some();
        let now = Instant::now();
        let shared = Arc::new(Mutex::new(Course {
            stage,
            iteration,
            title,
            begun: now,
            done: 0,
            total,
            before: console.seconds_of(stage),
            bar: None,
            silent,
            log,
            told: now,
        }));
        let ticking = watched.then(|| {
            let (end, ended) = channel::<()>();
            let course = shared.clone();
            let thread = std::thread::spawn(move || {
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    lock(&course).tick();
                }
            });
            (end, thread)
        });
        Self {
            shared,
            ticking,
            console: console.clone(),
            is_wait: false,
        }
    }

    /// Moves on by some steps.
    pub fn advance(&self, steps: usize) {
        let mut course = lock(&self.shared);
        course.done += steps;
        course.redraw(false);
    }

    /// Moves on to `done` steps.
    pub fn set(&self, done: usize) {
        let mut course = lock(&self.shared);
        course.done = done;
        course.redraw(false);
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.ticking.take() {
            drop(end);
            // It only draws; that it panicked changes nothing.
            let _ = thread.join();
        }
        let mut course = lock(&self.shared);
        if let Some(bar) = course.bar.take() {
            // A stage that fails leaves its bar as it is.
            match std::thread::panicking() || course.done < course.total {
                true => errors::end_open_line(),
                false => bar.finish(),
            }
        }
        if !self.is_wait {
            let seconds = course.begun.elapsed().as_secs_f64();
            self.console
                .stage_ended(course.stage, course.iteration, seconds);
        }
    }
}

impl Course {
    fn tick(&mut self) {
        let elapsed = self.begun.elapsed();
        if elapsed < PATIENCE {
            return;
        }
        if self.bar.is_none() {
            self.show_bar();
        }
        self.redraw(true);
        if self.told.elapsed() >= PATIENCE
            && let Some(log) = &self.log
        {
            self.told = Instant::now();
            let steps = (self.done, self.total);
            let left = seconds_left(steps, elapsed.as_secs_f64(), self.before);
            log.write(
                "progress",
                [
                    ("stage", self.stage.name().into()),
                    ("iteration", self.iteration.into()),
                    ("done", self.done.into()),
                    ("total", (self.total > 0).then_some(self.total).into()),
                    ("seconds", milliseconds(elapsed.as_secs_f64())),
                    ("remaining_s", left.map(milliseconds).into()),
                ],
            );
        }
    }

    fn show_bar(&mut self) {
        if let Some(title) = self.title.take().filter(|_| !self.silent) {
            errors::end_open_line();
            println_ignoring_errors(&title);
        }
        self.bar = Some(ProgressBar::since(self.begun, self.silent));
    }

    fn redraw(&mut self, by_the_clock: bool) {
        let fraction = self.fraction();
        if let Some(bar) = &mut self.bar {
            bar.draw(fraction, by_the_clock);
        }
    }

    /// Share of the stage that is done, where it can be told: by its steps, or by the time that it took before.
    fn fraction(&self) -> Option<f64> {
        share_done(
            (self.done, self.total),
            self.begun.elapsed().as_secs_f64(),
            self.before,
        )
    }
}

/// A title cannot be printed where nobody reads any more, which changes nothing.
fn println_ignoring_errors(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Share that is done of `(done, total)` steps after `elapsed` seconds, where the stage took `before` seconds the last time.
fn share_done((done, total): (usize, usize), elapsed: f64, before: Option<f64>) -> Option<f64> {
    /// A stage that takes longer than before is nearly done until it is.
    const NEARLY: f64 = 0.99;
    let by_steps = (total > 0 && done > 0).then(|| (done as f64 / total as f64).min(1.0));
    by_steps.or_else(|| before.map(|before| (elapsed / before.max(1e-3)).clamp(1e-3, NEARLY)))
}

/// Returns the seconds that the rest of a stage takes, as [`share_done`]; None where a stage whose steps are not known has overrun the time
/// that it took before.
fn seconds_left(steps: (usize, usize), elapsed: f64, before: Option<f64>) -> Option<f64> {
    let has_overrun = steps.0 == 0 && before.is_some_and(|before| elapsed >= before);
    let share = share_done(steps, elapsed, before).filter(|_| !has_overrun)?;
    Some(elapsed * (1.0 / share - 1.0))
}

fn lock(course: &Mutex<Course>) -> MutexGuard<'_, Course> {
    course.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_tell_more_than_the_time_before() {
        assert_eq!(share_done((5, 10), 30.0, Some(300.0)), Some(0.5));
        assert_eq!(share_done((0, 10), 30.0, Some(300.0)), Some(0.1));
        assert_eq!(share_done((0, 0), 30.0, None), None);
        assert_eq!(share_done((0, 0), 400.0, Some(300.0)), Some(0.99));
    }

    #[test]
    fn nobody_knows_when_a_stage_ends_that_takes_longer_than_before() {
        assert_eq!(seconds_left((5, 10), 30.0, Some(20.0)), Some(30.0));
        assert_eq!(seconds_left((0, 10), 75.0, Some(300.0)), Some(225.0));
        assert_eq!(seconds_left((0, 10), 300.0, Some(300.0)), None);
        assert_eq!(seconds_left((0, 10), 30.0, None), None);
    }

    #[test]
    fn a_stage_writes_its_line_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let console = Console::new(0, true).logging(StageLog::open(&path, false).unwrap());
        let phase = Phase::begin(&console, Stage::Accuracy, Some(3), " Accuracies", 7);
        phase.advance(7);
        drop(phase);
        let text = std::fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["event"], "stage");
        assert_eq!(line["stage"], "accuracy");
        assert_eq!(line["iteration"], 3);
        assert!(line["seconds"].as_f64().unwrap() < 5.0);
        assert!(console.seconds_of(Stage::Accuracy).is_some());
    }
}
