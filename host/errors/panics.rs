//! A panic as an error: a mistake in the program must not end in a message that only programmers read. Rust's `println!`
//! panics, too, where nothing can be printed.

use super::{Code, Coded, Message};
use std::sync::Mutex;

/// A panic, with its text and place.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Panicked(Message);

impl Coded for Panicked {
    fn code(&self) -> Code {
        self.0.code
    }
}

/// Turn a panic, here or in a worker thread, into an error with its text and place.
///
/// # Errors
/// `work` panicked.
pub fn catch_panics<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static LAST: Mutex<Option<String>> = Mutex::new(None);
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("no message").to_owned();
        let place = info
            .location()
            .map(|l| format!(" (at {}:{})", l.file(), l.line()))
            .unwrap_or_default();
        if let Ok(mut last) = LAST.lock() {
            // The first panic is the cause; others follow from it.
            last.get_or_insert(format!("{text}{place}"));
        }
    }));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // Back to the default hook.
    let _ = std::panic::take_hook();
    result.map_err(|_| {
        let text = LAST.lock().ok().and_then(|mut last| last.take());
        Panicked(message(text.as_deref().unwrap_or("no message")))
    })
}

fn message(text: &str) -> Message {
    match text.strip_prefix("failed printing to ") {
        Some(what) => Code::CANNOT_WRITE.says(format!(
            "cannot print to {}; is the disk with the log file full, or has the program at the other end of the pipe ended?",
            // Where in Rust's library it was noticed says nothing.
            what.split(" (at ").next().unwrap_or(what)
        )),
        None => Message::internal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_with_their_place() {
        let error = catch_panics(|| panic!("shell {} is empty", 7)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("internal error: shell 7 is empty (at host"),
            "{text}"
        );
    }
}
