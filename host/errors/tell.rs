//! Words for the user. Those on standard error never end the program: the terminal may be gone (a lost connection,
//! `2>&1 | head`), or the disk with the log full.

use super::{Code, Failure, OnFailure};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// A progress bar stands on an unfinished line of standard output.
static LINE_IS_OPEN: AtomicBool = AtomicBool::new(false);

/// Notes that standard output stands within a line, or at the beginning of one.
pub fn line_is_open(open: bool) {
    LINE_IS_OPEN.store(open, Ordering::Relaxed);
}

/// Ends the line of an open progress bar, so that what is printed next begins a line.
pub fn end_open_line() {
    if LINE_IS_OPEN.swap(false, Ordering::Relaxed) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(b"\n").and_then(|()| out.flush());
    }
}

/// Prints a page on standard output. That nobody reads it to its end (`| head`) is no failure.
///
/// # Errors
/// The page cannot be written, on a full disk for instance.
pub fn show(page: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(page.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.or_says(Code::CANNOT_WRITE, "standard output"),
    }
}

/// Prints lines on standard error (a newline is added). They begin a line also where both streams go to one log and a
/// progress bar is open. That they cannot be printed changes nothing.
pub fn tell(text: &str) {
    end_open_line();
    let _ = io::stderr()
        .lock()
        .write_all(format!("{text}\n").as_bytes());
}
