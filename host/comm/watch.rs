//! A thread on each rank that tells the others how far its rank is, so that a rank that stops is named instead of waited
//! for, and an error on one rank soon ends the work of all.
//!
//! Every rank sends a short note of its stage to rank 0, which judges them; rank 0 sends its own to all. Rank 1 judges
//! rank 0; the others, should they hear nothing of rank 0 any more, have been cut off and end by themselves. A rank that
//! waits for others in a collective is not to blame, unless all of them wait.

mod watcher;

use self::watcher::{Place, Reason, Seen, Watcher};
use super::Communicator;
use crate::errors::{Message, shell_word};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Action on a fault before all ranks are ended: print it, leave the scheduler's marker file.
pub type FaultReport = Arc<dyn Fn(&Message) + Send + Sync>;

/// When the watch thread steps in.
#[derive(Clone)]
pub struct WatchRule {
    /// A rank that makes no progress for so long is named, and the job ended.
    pub limit: Duration,
    /// So is one of which nothing is heard for so long, though it should tell every second where it is.
    pub silence: Duration,
    /// After an error on one rank the others have so long to end in an orderly way.
    pub grace: Duration,
    /// Called on the rank that ends the job.
    pub report: FaultReport,
}

/// State that the rank's own threads and its watch thread share.
#[derive(Default)]
struct Board {
    steps: AtomicU64,
    waiting: AtomicBool,
    stage: Mutex<String>,
    /// Some rank has stopped or wants all to stop.
    stop: AtomicBool,
    /// This rank wants all to stop, for the reason given (None: no error); to be passed on.
    wish: Mutex<Option<Reason>>,
    /// The reason, once given.
    reason: Mutex<Option<Reason>>,
    /// The newest file that the run can be continued from.
    checkpoint: Mutex<Option<String>>,
    over: AtomicBool,
    /// The ranks have agreed to end, or are done.
    ending: AtomicBool,
}

impl Board {
    fn place(&self) -> Place {
        Place {
            steps: self.steps.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            stage: lock(&self.stage).clone(),
        }
    }

    fn advice(&self) -> String {
        match &*lock(&self.checkpoint) {
            Some(file) => format!(
                "Go on from the last finished iteration with --continue {}",
                shell_word(file)
            ),
            None => "No iteration is finished yet: start the run again".to_owned(),
        }
    }
}

/// A thread that panicked leaves texts that are still valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The watch thread of a rank; a job of one rank has none.
#[derive(Default)]
pub struct Watch {
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Start watching over the ranks of `comm`, which `names` names for messages.
    pub fn start(comm: Arc<dyn Communicator>, names: Vec<String>, rule: WatchRule) -> Self {
        let board = Arc::new(Board::default());
        let watcher = Watcher {
            seen: vec![Seen::nothing(); comm.size()],
            board: board.clone(),
            comm,
            names,
            rule,
            deadline: None,
        };
        Self {
            board,
            thread: Some(std::thread::spawn(|| watcher.run())),
        }
    }

    /// The rank begins a stage.
    pub fn enter(&self, stage: &str) {
        stage.clone_into(&mut lock(&self.board.stage));
        self.advance();
    }

    /// The rank has done a step.
    pub fn advance(&self) {
        self.board.steps.fetch_add(1, Relaxed);
    }

    /// Wait in a collective while `work` runs.
    pub fn waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        self.board.waiting.store(true, Relaxed);
        let result = work();
        self.board.waiting.store(false, Relaxed);
        self.advance();
        result
    }

    /// Have all ranks stop at their next step, because of an error or (None) on request.
    pub fn stop_all(&self, reason: Option<&Message>) {
        self.view().stop_all(reason);
    }

    /// The error for which this rank has wanted all to stop.
    pub fn reason(&self) -> Option<Message> {
        lock(&self.board.reason).clone().flatten()
    }

    /// The ranks have agreed to end, or are done: from now on nothing that ends them is news.
    pub fn end(&self) {
        self.board.ending.store(true, Relaxed);
    }

    /// Returns a handle for another thread.
    pub fn view(&self) -> View {
        View(self.board.clone())
    }

    /// Some rank wants all to stop.
    pub fn stopping(&self) -> bool {
        self.board.stop.load(Relaxed)
    }
}

/// A rank's progress as a thread beside its work sees it.
#[derive(Clone)]
pub struct View(Arc<Board>);

impl View {
    /// Returns the stage that the rank is in: before its first one it reads what it is to do.
    pub fn stage(&self) -> String {
        let stage = lock(&self.0.stage).clone();
        match stage.as_str() {
            "" => "reading the command line".to_owned(),
            _ => stage,
        }
    }

    /// The run can be continued from this file.
    pub fn checkpoint(&self, file: &str) {
        *lock(&self.0.checkpoint) = Some(file.to_owned());
    }

    /// The ranks are ending anyway.
    pub fn ending(&self) -> bool {
        self.0.ending.load(Relaxed)
    }

    /// Tells the user how to go on after the run was ended: continue from the newest file, or start again.
    pub fn advice(&self) -> String {
        self.0.advice()
    }

    /// Have all ranks stop at their next step, because of an error or (None) on request.
    pub fn stop_all(&self, reason: Option<&Message>) {
        self.0.stop.store(true, Relaxed);
        lock(&self.0.reason).get_or_insert_with(|| reason.cloned());
        lock(&self.0.wish).get_or_insert_with(|| reason.cloned());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.board.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the watch thread has been reported by itself.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads::{ThreadRank, on_ranks};
    use super::*;
    use crate::errors::Code;
    use std::sync::Barrier;
    use std::time::Instant;

    /// A rank that keeps what its watch thread reports; the thread itself ends with a panic in place of the job.
    fn watched(
        comm: ThreadRank,
        [limit_ms, silence_ms]: [u64; 2],
    ) -> (Watch, Arc<Mutex<Vec<String>>>) {
        let reports: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = reports.clone();
        let names = (0..comm.size()).map(|r| format!("rank {r}")).collect();
        let rule = WatchRule {
            limit: Duration::from_millis(limit_ms),
            silence: Duration::from_millis(silence_ms),
            grace: Duration::from_millis(400),
            report: Arc::new(move |fault: &Message| lock(&seen).push(fault.line())),
        };
        (Watch::start(Arc::new(comm), names, rule), reports)
    }

    /// A signal may come before the first stage, and its message names one.
    #[test]
    fn a_stage_has_a_name_from_the_start() {
        let view = View(Arc::new(Board::default()));
        assert_eq!(view.stage(), "reading the command line");
        "start-up".clone_into(&mut lock(&view.0.stage));
        assert_eq!(view.stage(), "start-up");
    }

    #[test]
    fn a_rank_that_stops_is_named_and_one_that_waits_is_not() {
        let reports = on_ranks(3, |comm| {
            let rank = comm.rank();
            let (watch, reports) = watched(comm, [2500, 60_000]);
            watch.enter(&format!("stage of {rank}"));
            let pause = || std::thread::sleep(Duration::from_millis(100));
            match rank {
                0 => (0..50).for_each(|_| {
                    watch.advance();
                    pause();
                }),
                1 => watch.waiting(|| (0..50).for_each(|_| pause())),
                _ => (0..50).for_each(|_| pause()),
            }
            lock(&reports).clone()
        });
        assert_eq!(reports[1], Vec::<String>::new());
        assert!(
            reports[0][0].starts_with("GR-0603: rank 2 has made no progress")
                && reports[0][0].contains("stage of 2"),
            "{reports:?}"
        );
    }

    /// The others are told every second where a rank is, except by one that is gone.
    #[test]
    fn a_rank_of_which_nothing_is_heard_is_named() {
        let reports = on_ranks(3, |comm| {
            if comm.rank() == 2 {
                std::thread::sleep(Duration::from_millis(5000));
                return vec![];
            }
            let (_watch, reports) = watched(comm, [60_000, 3000]);
            std::thread::sleep(Duration::from_millis(4500));
            lock(&reports).clone()
        });
        assert_eq!(reports[1], Vec::<String>::new());
        assert!(
            reports[0].len() == 1
                && reports[0][0].starts_with("GR-0604: nothing has been heard of rank 2"),
            "{reports:?}"
        );
    }

    #[test]
    fn time_in_which_a_rank_was_suspended_itself_is_nobodys_fault() {
        let found = on_ranks(2, |comm| {
            let begin = Instant::now();
            let seconds = Duration::from_secs;
            let mut watcher = Watcher {
                seen: vec![Seen::nothing(); 2],
                board: Arc::default(),
                comm: Arc::new(comm),
                names: vec!["rank 0".into(), "rank 1".into()],
                rule: WatchRule {
                    limit: seconds(1000),
                    silence: seconds(20),
                    grace: seconds(1),
                    report: Arc::new(|_: &Message| {}),
                },
                deadline: None,
            };
            let mut faults = vec![
                watcher.fault(begin + seconds(19)),
                watcher.fault(begin + seconds(40)),
            ];
            watcher.forgive(seconds(3600));
            faults.push(watcher.fault(begin + seconds(3610)));
            faults.iter().map(Option::is_some).collect::<Vec<_>>()
        });
        assert_eq!(found, [[false, true, false]; 2]);
    }

    #[test]
    fn an_error_on_one_rank_stops_all_and_ends_those_that_do_not_stop() {
        // However slow the machine is.
        let soon = |happened: &dyn Fn() -> bool| {
            (0..1200).any(|_| {
                std::thread::sleep(Duration::from_millis(50));
                happened()
            })
        };
        let ended = Barrier::new(3);
        let results = on_ranks(3, |comm| {
            let rank = comm.rank();
            let (watch, reports) = watched(comm, [60_000; 2]);
            if rank == 2 {
                watch.stop_all(Some(&Code::CANNOT_WRITE.says("disk full")));
            }
            let stopped = soon(&|| watch.stopping());
            if rank == 0 {
                soon(&|| !lock(&reports).is_empty());
            }
            ended.wait();
            let found = lock(&reports).clone();
            (stopped, found)
        });
        assert!(results.iter().all(|(stopped, _)| *stopped), "{results:?}");
        assert_eq!(results[0].1, ["GR-0209: rank 2: disk full"]);
    }
}
