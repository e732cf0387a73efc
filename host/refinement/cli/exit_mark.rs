//! Marker file where a library ends the program: MPI's exits by itself when its launcher has been killed, in the middle of
//! whatever the other threads do.

use crate::dataset::scratch;
use crate::refinement::cli::job_markers::{Ending, Pipeline};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static PIPELINE: OnceLock<Pipeline> = OnceLock::new();
/// The program has come to its own end.
static OVER: AtomicBool = AtomicBool::new(false);

/// Leaves the failure marker, and no copies in the scratch folder, when the process exits before [`over`] was called.
pub(crate) fn leave_unless_over(pipeline: &Pipeline) {
    if PIPELINE.set(pipeline.clone()).is_ok() {
        // SAFETY: the function needs nothing but memory of the process, and does not unwind. A failure, for lack of
        // memory, costs the marker only.
        unsafe { libc::atexit(at_exit) };
    }
}

/// The program ends by itself: what is to be left is left.
pub(crate) fn over() {
    OVER.store(true, Relaxed);
}

extern "C" fn at_exit() {
    if OVER.load(Relaxed) {
        return;
    }
    if let Some(pipeline) = PIPELINE.get()
        && !pipeline.has_ended()
    {
        // Nobody is left to be told.
        let _ = pipeline.finish(Ending::Failure);
    }
    scratch::leave_before_exit();
}
