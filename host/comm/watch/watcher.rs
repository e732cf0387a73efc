//! The thread itself: beats, what is known of the other ranks, and the judgement on them.

use super::{Board, WatchRule, lock};
use crate::comm::Communicator;
use crate::errors::{Code, Message};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often the thread looks around.
const PERIOD: Duration = Duration::from_millis(100);
/// How often a rank tells where it is.
const BEAT: Duration = Duration::from_secs(1);
/// The thread that notices a silent rank 0 gives rank 0 this much longer to notice others.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a rank is, as others see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Place {
    /// Steps done since the start.
    pub(super) steps: u64,
    /// In a collective.
    pub(super) waiting: bool,
    /// Stage and particles, in words.
    pub(super) stage: String,
}

impl Place {
    pub(super) fn note(&self) -> Vec<u8> {
        let mut note = vec![BEAT_NOTE, u8::from(self.waiting)];
        note.extend(self.steps.to_le_bytes());
        note.extend(self.stage.as_bytes());
        note
    }

    pub(super) fn of_note(note: &[u8]) -> Option<Self> {
        Some(Self {
            waiting: *note.get(1)? != 0,
            steps: u64::from_le_bytes(note.get(2..10)?.try_into().ok()?),
            stage: String::from_utf8_lossy(&note[10..]).into_owned(),
        })
    }
}

/// Why all ranks shall stop: an error, or (None) a request.
pub(super) type Reason = Option<Message>;

const BEAT_NOTE: u8 = 0;
const STOP_NOTE: u8 = 1;

/// Last known state of a rank.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) place: Place,
    /// When it last moved.
    pub(super) moved: Instant,
    /// When it last told where it is.
    pub(super) heard: Instant,
}

impl Seen {
    pub(super) fn nothing() -> Self {
        Self {
            place: Place::default(),
            moved: Instant::now(),
            heard: Instant::now(),
        }
    }
}

/// State of the watch thread.
pub(super) struct Watcher {
    pub(super) comm: Arc<dyn Communicator>,
    pub(super) board: Arc<Board>,
    pub(super) names: Vec<String>,
    pub(super) rule: WatchRule,
    /// Last known state of each rank.
    pub(super) seen: Vec<Seen>,
    /// When the job is ended by force, and why.
    pub(super) deadline: Option<(Instant, Message)>,
}

impl Watcher {
    pub(super) fn run(mut self) {
        let mut beat: Option<Instant> = None;
        let mut last = Instant::now();
        while !self.board.over.load(Relaxed) {
            let now = Instant::now();
            self.forgive(now - std::mem::replace(&mut last, now));
            if beat.is_none_or(|last| now - last >= BEAT) {
                beat = Some(now);
                self.send_beat(now);
            }
            let wish = lock(&self.board.wish).take();
            if let Some(reason) = wish {
                self.pass_on_stop(self.comm.rank(), reason.as_ref(), now);
            }
            while let Some((from, note)) = self.comm.take_note() {
                self.read(from, &note, now);
            }
            if let Some(fault) = self.fault(now) {
                (self.rule.report)(&fault);
                self.comm.abort(1);
            }
            std::thread::sleep(PERIOD);
        }
    }

    /// A rank that was suspended itself for a time, as a batch system may do with a whole job, has heard nobody meanwhile.
    pub(super) fn forgive(&mut self, since_last_round: Duration) {
        if since_last_round > 2 * BEAT {
            for seen in &mut self.seen {
                seen.heard += since_last_round;
                seen.moved += since_last_round;
            }
        }
    }

    fn send_beat(&mut self, now: Instant) {
        let place = self.board.place();
        let (own, note) = (self.comm.rank(), place.note());
        match own {
            0 => (1..self.comm.size()).for_each(|rank| self.comm.post(rank, &note)),
            _ => self.comm.post(0, &note),
        }
        self.see(own, place, now);
    }

    fn see(&mut self, rank: usize, place: Place, now: Instant) {
        let seen = &mut self.seen[rank];
        if seen.place.steps != place.steps || seen.place.waiting != place.waiting {
            seen.moved = now;
        }
        seen.heard = now;
        seen.place = place;
    }

    fn read(&mut self, from: usize, note: &[u8], now: Instant) {
        match note.first() {
            Some(&STOP_NOTE) => {
                self.board.stop.store(true, Relaxed);
                if self.comm.rank() == 0 {
                    let reason = (note.len() > 1)
                        .then(|| Message::of_line(&String::from_utf8_lossy(&note[1..])));
                    self.pass_on_stop(from, reason.as_ref(), now);
                }
            }
            _ => {
                if let Some(place) = Place::of_note(note) {
                    self.see(from, place, now);
                }
            }
        }
    }

    /// Rank 0 tells all others and sets a deadline; other ranks tell rank 0.
    fn pass_on_stop(&mut self, from: usize, reason: Option<&Message>, now: Instant) {
        let mut note = vec![STOP_NOTE];
        note.extend(reason.map(Message::line).unwrap_or_default().as_bytes());
        if self.comm.rank() != 0 {
            self.comm.post(0, &note);
            return;
        }
        if self.deadline.is_none() {
            let fault = match reason {
                None => Code::RANK_STALLED.says("asked to stop, but some rank did not"),
                Some(reason) => reason.clone().about(&self.names[from]),
            };
            self.deadline = Some((now + self.rule.grace, fault));
            (1..self.comm.size()).for_each(|rank| self.comm.post(rank, &note));
        }
    }

    /// Why the job must be ended by force now, if it must.
    pub(super) fn fault(&self, now: Instant) -> Option<Message> {
        if let Some((when, reason)) = &self.deadline
            && now > *when
        {
            return Some(reason.clone());
        }
        let limit = self.rule.limit;
        // A rank that waits for others is not to blame as long as it can say so.
        let stalled = |rank: usize, limit: Duration| {
            let seen = &self.seen[rank];
            now - seen.heard > limit || (now - seen.moved > limit && !seen.place.waiting)
        };
        let blame = |rank: usize| {
            Code::RANK_STALLED.says(format!(
                "{} has made no progress for {} s; it was last seen in: {}. Look at that machine (dmesg, nvidia-smi); when it \
                 is only slow, allow it more time with --stall_limit. {}",
                self.names[rank],
                limit.as_secs(),
                self.seen[rank].place.stage,
                self.board.advice()
            ))
        };
        let silence = self.rule.silence;
        let silent = |rank: usize, silence: Duration| {
            now - self.seen[rank].heard > silence && !self.board.ending.load(Relaxed)
        };
        let miss = |rank: usize| {
            Code::RANK_LOST.says(format!(
                "nothing has been heard of {} for {} s, last seen in: {}. Its process, its machine or the network to it is \
                 gone; a network that comes back by itself is waited for longer with --silence_limit. {}",
                self.names[rank],
                silence.as_secs(),
                self.seen[rank].place.stage,
                self.board.advice()
            ))
        };
        match self.comm.rank() {
            0 => {
                let ranks = 0..self.comm.size();
                if let Some(rank) = ranks.clone().find(|&rank| stalled(rank, limit)) {
                    return Some(blame(rank));
                }
                if let Some(rank) = ranks.clone().find(|&rank| silent(rank, silence)) {
                    return Some(miss(rank));
                }
                let all_wait = self
                    .seen
                    .iter()
                    .all(|seen| now - seen.moved > limit && seen.place.waiting);
                all_wait.then(|| {
                    Code::RANKS_WAIT.says(format!(
                        "all ranks have waited for each other for {} s, in: {}. The network between the machines may be \
                         down. {}",
                        limit.as_secs(),
                        self.seen[0].place.stage,
                        self.board.advice()
                    ))
                })
            }
            1 if stalled(0, limit + PATIENCE) => Some(blame(0)),
            1 => silent(0, silence + PATIENCE).then(|| miss(0)),
            _ => silent(0, silence + 2 * PATIENCE).then(|| miss(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_a_note() {
        let place = Place {
            steps: 70_000,
            waiting: true,
            stage: "expectation, particles 1–512".into(),
        };
        assert_eq!(Place::of_note(&place.note()), Some(place));
        assert_eq!(Place::of_note(&[BEAT_NOTE, 0, 1]), None);
    }
}
