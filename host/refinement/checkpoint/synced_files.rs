//! Files that are written at the same time: each waits until it is on the disk, which takes a journalling file system about
//! as long for several files as for one.

use crate::refinement::checkpoint::OutputError;
use std::sync::{Mutex, PoisonError};

/// Files under way at a time.
const AT_A_TIME: usize = 8;

/// Closure that writes one file.
type Writing<'a> = Box<dyn FnOnce() -> Result<(), OutputError> + Send + 'a>;

/// Files still to be written, in any order.
#[derive(Default)]
pub(crate) struct Files<'a> {
    waiting: Vec<Writing<'a>>,
}

impl<'a> Files<'a> {
    /// Adds a file.
    pub(crate) fn add(&mut self, write: impl FnOnce() -> Result<(), OutputError> + Send + 'a) {
        self.waiting.push(Box::new(write));
    }

    /// Writes all of them, and returns when they are on the disk.
    ///
    /// # Errors
    /// The first error; files that were not begun by then are left out.
    pub(crate) fn write(self) -> Result<(), OutputError> {
        let threads = self.waiting.len().min(AT_A_TIME);
        // Taken from the end, so that files are begun in the order in which they were added.
        let waiting = Mutex::new(self.waiting.into_iter().rev().collect::<Vec<_>>());
        let failed = Mutex::new(None);
        let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let Some(write) = lock().pop() else {
                            return;
                        };
                        if let Err(error) = write() {
                            lock().clear();
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.get_or_insert(error);
                        }
                    }
                });
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn all_files_are_written_or_an_error_is_told() {
        let written = AtomicUsize::new(0);
        let mut files = Files::default();
        for _ in 0..100 {
            files.add(|| {
                written.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
        }
        files.write().unwrap();
        assert_eq!(written.into_inner(), 100);
        let mut files = Files::default();
        for path in ["a", "b"] {
            files.add(move || {
                Err(OutputError::Io {
                    path: path.into(),
                    source: std::io::Error::other("no space left"),
                })
            });
        }
        let error = files.write().unwrap_err();
        assert!(error.to_string().contains("no space left"), "{error}");
        Files::default().write().unwrap();
    }
}
