//! Device memory that is kept only to save time, and freed before a buffer is refused.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// An owner of buffers that can be made again.
pub trait Spare: Send + Sync {
    /// Frees them where nothing is using them; true when something was freed.
    fn free(&self) -> bool;
    /// Bytes that [`Self::free`] would free now.
    fn bytes(&self) -> usize;
}

/// The owners on one device. They are dropped by those who made them.
#[derive(Default)]
pub struct Spares(Mutex<Vec<Weak<dyn Spare>>>);

impl Spares {
    /// Adds an owner.
    pub fn add(&self, owner: &Arc<impl Spare + 'static>) {
        let owner: Arc<dyn Spare> = owner.clone();
        self.owners(|owners| owners.push(Arc::downgrade(&owner)));
    }

    /// Frees all that can be made again; true when something was freed.
    pub fn free(&self) -> bool {
        // Every owner is asked.
        let freed = self.alive().iter().filter(|owner| owner.free()).count();
        freed > 0
    }

    /// Bytes that [`Self::free`] would free now.
    pub fn bytes(&self) -> usize {
        self.alive().iter().map(|owner| owner.bytes()).sum()
    }

    fn alive(&self) -> Vec<Arc<dyn Spare>> {
        self.owners(|owners| owners.iter().filter_map(Weak::upgrade).collect())
    }

    fn owners<R>(&self, work: impl FnOnce(&mut Vec<Weak<dyn Spare>>) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Kept(AtomicUsize);

    impl Spare for Kept {
        fn free(&self) -> bool {
            self.0.swap(0, Ordering::Relaxed) > 0
        }

        fn bytes(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn every_owner_gives_way_once() {
        let spares = Spares::default();
        let owners = [3, 4].map(|bytes| Arc::new(Kept(AtomicUsize::new(bytes))));
        owners.iter().for_each(|owner| spares.add(owner));
        assert_eq!(spares.bytes(), 7);
        assert!(spares.free() && !spares.free());
        assert_eq!(spares.bytes(), 0);
    }

    #[test]
    fn owners_that_are_gone_are_not_asked() {
        let spares = Spares::default();
        spares.add(&Arc::new(Kept(AtomicUsize::new(1))));
        assert!(!spares.free());
    }
}
