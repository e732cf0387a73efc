//! A barrier whose participants may leave: threads of a block that have returned no longer count.

use std::cell::Cell;

use super::emulator::let_others_run;

pub struct Gate {
    active: Cell<usize>,
    waiting: Cell<usize>,
    openings: Cell<u64>,
}

impl Gate {
    /// A gate that opens when `active` threads are there.
    pub fn new(active: usize) -> Self {
        Self {
            active: Cell::new(active),
            waiting: Cell::new(0),
            openings: Cell::new(0),
        }
    }

    /// Waits until all that are still active are here.
    pub fn wait(&self) {
        self.waiting.set(self.waiting.get() + 1);
        let before = self.openings.get();
        self.open_if_complete();
        while self.openings.get() == before {
            let_others_run();
        }
    }

    /// Counts a thread out.
    pub fn leave(&self) {
        self.active.set(self.active.get() - 1);
        self.open_if_complete();
    }

    /// How often the gate has opened.
    pub fn openings(&self) -> u64 {
        self.openings.get()
    }

    fn open_if_complete(&self) {
        if self.waiting.get() >= self.active.get() && self.waiting.get() > 0 {
            self.waiting.set(0);
            self.openings.set(self.openings.get() + 1);
        }
    }
}
