//! How the ranks of a job talk to each other. Every rank runs the same program on its share of the particles; a job of
//! one rank is the usual case, many ranks talk through MPI (feature `mpi`).

pub mod cores;
pub mod memory;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod open_files;
pub mod programs;
mod ranks;
#[cfg(test)]
mod threads;
mod watch;

pub use ranks::{Ended, Fault, Host, Ranks, Trouble};
pub use watch::{FaultReport, View, WatchRule};

/// Communication between ranks: collectives, which all ranks call in the same order, and notes, which one rank's watch thread
/// sends another's at any time.
///
/// All numbers travel as they are: ranks run the same program on machines of the same byte order.
pub trait Communicator: Send + Sync {
    /// 0-based rank of this process.
    fn rank(&self) -> usize;
    /// Number of ranks.
    fn size(&self) -> usize;
    /// Element-wise sum over all ranks, in place, the same bits on all.
    fn sum(&self, values: &mut [f64]);
    /// [`Communicator::sum`] over some ranks, which alone call it: `members`, ascending, this rank among them.
    fn sum_among(&self, members: &[usize], values: &mut [f64]);
    /// Copy the bytes of rank `root` to all; every rank passes as many.
    fn broadcast(&self, root: usize, bytes: &mut [u8]);
    /// The bytes of every rank, on all; lengths may differ.
    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>>;
    /// Send a short note to a rank without waiting for it to be read.
    fn post(&self, to: usize, note: &[u8]);
    /// The next note that has arrived, with its sender.
    fn take_note(&self) -> Option<(usize, Vec<u8>)>;
    /// End all ranks at once.
    fn abort(&self, status: i32) -> !;
}

/// The only rank of a job.
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
    fn sum_among(&self, _members: &[usize], _values: &mut [f64]) {}
    fn broadcast(&self, _root: usize, _bytes: &mut [u8]) {}
    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        vec![bytes.to_vec()]
    }
    fn post(&self, _to: usize, _note: &[u8]) {}
    fn take_note(&self) -> Option<(usize, Vec<u8>)> {
        None
    }
    fn abort(&self, status: i32) -> ! {
        std::process::exit(status)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Ranks, WatchRule, threads};
    use crate::errors::Message;
    use std::sync::Arc;
    use std::time::Duration;

    /// Run `work` on several ranks at the same time; their results in rank order.
    pub(crate) fn on_ranks<T: Send>(size: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
        threads::on_ranks(size, |comm| {
            let rule = WatchRule {
                limit: Duration::from_secs(60),
                silence: Duration::from_secs(60),
                grace: Duration::from_secs(60),
                report: Arc::new(|_: &Message| {}),
            };
            work(Ranks::new(Arc::new(comm), rule))
        })
    }
}
