//! RELION's progress bar: the mouse that runs to the cheese (spec 03 §4.1).

/// A bar on standard output; nothing is shown when silent.
pub struct ProgressBar {}

impl ProgressBar {
    /// Show an empty bar for `total` steps.
    pub fn new(_total: usize, _silent: bool) -> Self {
        todo!()
    }
    /// Move on to `done` steps; redraws at most about 60 times in all.
    pub fn set(&mut self, _done: usize) {
        todo!()
    }
    /// Full bar, "yum!" and a newline.
    pub fn finish(self) {
        todo!()
    }
}
