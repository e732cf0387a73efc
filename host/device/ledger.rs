//! How much device memory is taken, and how much may be.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of buffers on one device.
#[derive(Debug)]
pub(super) struct Ledger {
    taken: AtomicUsize,
    peak: AtomicUsize,
    limit: AtomicUsize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            taken: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
        }
    }
}

impl Ledger {
    /// Enters `bytes`; false when they would pass the limit.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let entered = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|sum| *sum <= limit)
            });
        if let Ok(before) = entered {
            self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        }
        entered.is_ok()
    }

    /// Strikes out `bytes` that were entered.
    pub(super) fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Sets how much may be taken.
    pub(super) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes (that may still be taken, that may be taken in all).
    pub(super) fn room(&self) -> (usize, usize) {
        let limit = self.limit.load(Ordering::Relaxed);
        (
            limit.saturating_sub(self.taken.load(Ordering::Relaxed)),
            limit,
        )
    }

    /// The most that was taken at one time.
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_beyond_the_limit() {
        let ledger = Ledger::default();
        ledger.set_limit(100);
        assert!(ledger.take(60));
        assert!(!ledger.take(41));
        assert!(ledger.take(40));
        assert_eq!(ledger.room(), (0, 100));
        ledger.give_back(60);
        assert_eq!((ledger.room(), ledger.peak()), ((60, 100), 100));
    }
}
