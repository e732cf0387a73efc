//! How workers of a run talk to each other: a single process now, MPI behind the same trait.

/// Sums and broadcasts over the workers of a run; every rank computes, there is no idle leader.
pub trait Communicator: Send + Sync {
    /// 0-based rank of this worker.
    fn rank(&self) -> usize;
    /// Number of workers.
    fn size(&self) -> usize;
    /// Element-wise sum over all workers, result on all, in place.
    fn sum(&self, values: &mut [f64]);
    /// Copy `values` of worker `root` to all.
    fn broadcast(&self, root: usize, values: &mut [f64]);
    /// Wait for all.
    fn barrier(&self);
}

/// The only worker of a run.
#[derive(Debug, Default, Clone, Copy)]
pub struct SingleProcess;

impl Communicator for SingleProcess {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn sum(&self, _values: &mut [f64]) {}
    fn broadcast(&self, _root: usize, _values: &mut [f64]) {}
    fn barrier(&self) {}
}
