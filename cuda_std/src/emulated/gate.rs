//! A barrier whose participants may leave: threads of a block that have returned no longer count.

use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Default)]
struct State {
    active: usize,
    waiting: usize,
    generation: u64,
}

#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

impl Gate {
    pub fn new(active: usize) -> Self {
        let gate = Self::default();
        gate.reset(active);
        gate
    }

    /// Starts anew; nobody may be waiting.
    pub fn reset(&self, active: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(state.waiting, 0, "a gate is reset while threads wait at it");
        state.active = active;
    }

    pub fn wait(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting += 1;
        let generation = state.generation;
        self.open_if_complete(&mut state);
        while state.generation == generation {
            state = self
                .opened
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn leave(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.active -= 1;
        self.open_if_complete(&mut state);
    }

    fn open_if_complete(&self, state: &mut State) {
        if state.waiting >= state.active && state.waiting > 0 {
            state.waiting = 0;
            state.generation += 1;
            self.opened.notify_all();
        }
    }
}
