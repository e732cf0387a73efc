//! How many files this process may have open at a time (`ulimit -n`).

use crate::errors::{Code, Message};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fewer than this are not enough for the libraries, the output files of an iteration and a stack.
const LEAST: u64 = 48;
/// More are not asked for.
const ENOUGH: u64 = 4096;

/// Raises the limit to what the system allows, and says so where that is too little for a run.
///
/// # Errors
/// The limit is too low.
pub fn prepare() -> Result<(), Message> {
    raise();
    match limit() {
        limit if limit < LEAST => Err(Code::SYSTEM_LIMIT.says(format!(
            "this process may open {limit} files at a time (ulimit -n), but a run needs at least {LEAST}: raise the limit, for \
             example with ulimit -n 1024 before the command, or ask the administrator of the machine"
        ))),
        _ => Ok(()),
    }
}

/// Returns how many files may be open at a time.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the limit as far as the process may.
fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        // Where it is not allowed, the limit stays as it is, and is judged as such.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}
