//! The ranks of a job as the rest of the program sees them: who they are, sums, broadcasts and agreements.

use super::watch::{Watch, WatchRule};
use super::{Communicator, SingleProcess};
use crate::errors::{Code, Coded, Message};
use std::fmt;
use std::sync::Arc;

/// A machine and the ranks that run on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Name.
    pub name: String,
    /// Ranks, ascending.
    pub ranks: Vec<usize>,
}

/// An error of one rank, as all ranks learn of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Fault {
    /// Rank and machine, in words.
    pub name: String,
    /// Description of the error.
    pub message: Message,
}

impl Coded for Fault {
    fn code(&self) -> Code {
        self.message.code
    }
}

/// Failure of a rank at a synchronisation point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It failed, in words.
    Failed(Message),
    /// It was asked to abort the run.
    Aborted,
    /// It stopped since another rank wanted to.
    Stopped,
}

/// Why ranks agree to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// A rank failed.
    Fault(Fault),
    /// The run is to be aborted.
    Aborted,
}

/// This rank and the others. Collectives must be called on all ranks in the same order.
pub struct Ranks {
    // Dropped first: its thread uses the communicator.
    watch: Watch,
    comm: Arc<dyn Communicator>,
    hosts: Vec<Host>,
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.size())
    }
}

impl Default for Ranks {
    fn default() -> Self {
        Self::single()
    }
}

impl Ranks {
    /// A job of one rank.
    pub fn single() -> Self {
        Self {
            watch: Watch::default(),
            comm: Arc::new(SingleProcess),
            hosts: vec![Host {
                name: host_name(),
                ranks: vec![0],
            }],
        }
    }

    /// The ranks of `comm`, watched over by the rule. A collective.
    pub fn new(comm: Arc<dyn Communicator>, rule: WatchRule) -> Self {
        let mut hosts: Vec<Host> = Vec::new();
        for (rank, name) in comm.gather(host_name().as_bytes()).into_iter().enumerate() {
            let name = String::from_utf8_lossy(&name).into_owned();
            match hosts.iter_mut().find(|host| host.name == name) {
                Some(host) => host.ranks.push(rank),
                None => hosts.push(Host {
                    name,
                    ranks: vec![rank],
                }),
            }
        }
        let watch = match comm.size() {
            1 => Watch::default(),
            size => {
                let names = (0..size).map(|rank| name(rank, size, &hosts)).collect();
                Watch::start(comm.clone(), names, rule)
            }
        };
        Self { watch, comm, hosts }
    }

    /// 0-based rank of this process.
    pub fn rank(&self) -> usize {
        self.comm.rank()
    }

    /// Number of ranks.
    pub fn size(&self) -> usize {
        self.comm.size()
    }

    /// This rank prints and writes files.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// The machines, in the order of their first ranks.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The machine of this rank.
    pub fn host(&self) -> &Host {
        let found = self.hosts.iter().find(|h| h.ranks.contains(&self.rank()));
        found.expect("every rank is on a host")
    }

    /// Position of this rank among those of its machine, and their number.
    pub fn place_on_host(&self) -> (usize, usize) {
        let ranks = &self.host().ranks;
        let place = ranks.iter().position(|&r| r == self.rank());
        (place.expect("the host of this rank"), ranks.len())
    }

    /// "rank 2 of 4 (node07)"; of a single rank nothing but the machine.
    pub fn name(&self, rank: usize) -> String {
        name(rank, self.size(), &self.hosts)
    }

    /// Rank that does item `item` of work that is divided by items.
    pub fn owner(&self, item: usize) -> usize {
        item % self.size()
    }

    /// Whether this rank does item `item`.
    pub fn owns(&self, item: usize) -> bool {
        self.owner(item) == self.rank()
    }

    /// End all ranks at once.
    pub fn abort(&self, status: i32) -> ! {
        self.comm.abort(status)
    }

    /// The watch over this rank's progress.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Element-wise sum over all ranks, in place, the same bits on all.
    pub fn sum(&self, values: &mut [f64]) {
        if self.size() > 1 {
            self.watch.waiting(|| self.comm.sum(values));
        }
    }

    /// [`Ranks::sum`] over the ranks of `members`, ascending, which alone call it.
    pub fn sum_among(&self, members: &[usize], values: &mut [f64]) {
        if members.len() > 1 {
            self.watch.waiting(|| self.comm.sum_among(members, values));
        }
    }

    /// Copy the values of rank `root` to all; every rank passes as many.
    pub fn broadcast<T: bytemuck::Pod>(&self, root: usize, values: &mut [T]) {
        if self.size() > 1 {
            let bytes = bytemuck::cast_slice_mut(values);
            self.watch.waiting(|| self.comm.broadcast(root, bytes));
        }
    }

    /// [`Ranks::broadcast`] of a list whose length only rank `root` knows.
    pub fn broadcast_list(&self, root: usize, values: &mut Vec<f64>) {
        if self.size() > 1 {
            let mut length = [values.len() as f64];
            self.broadcast(root, &mut length);
            values.resize(length[0] as usize, 0.0);
            self.broadcast(root, values);
        }
    }

    /// The bytes of every rank, on all.
    pub fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.watch.waiting(|| self.comm.gather(bytes))
    }

    /// The numbers of every rank, on all.
    pub fn gather_numbers(&self, values: &[f64]) -> Vec<Vec<f64>> {
        self.gather(bytemuck::cast_slice(values))
            .iter()
            .map(|bytes| bytemuck::allocation::pod_collect_to_vec(bytes))
            .collect()
    }

    /// Learn whether all ranks came so far without trouble. A failed rank stops the others on its way here. The fault of
    /// the lowest rank counts; it weighs more than a wish to abort.
    pub fn agree(&self, mine: Option<Trouble>) -> Result<(), Ended> {
        let mine = match mine {
            Some(Trouble::Failed(message)) => {
                self.watch.stop_all(Some(&message));
                Some(Trouble::Failed(message))
            }
            // A thread beside the work may have stopped it for a reason.
            Some(Trouble::Stopped) => self
                .watch
                .reason()
                .map(Trouble::Failed)
                .or(Some(Trouble::Stopped)),
            other => other,
        };
        let note = match &mine {
            None => vec![],
            Some(Trouble::Stopped) => vec![b's'],
            Some(Trouble::Aborted) => vec![b'a'],
            Some(Trouble::Failed(message)) => [b"f", message.line().as_bytes()].concat(),
        };
        let all = self.gather(&note);
        if !all.iter().all(Vec::is_empty) {
            self.watch.end();
        }
        let failed = all.iter().position(|note| note.first() == Some(&b'f'));
        if let Some(rank) = failed {
            return Err(Ended::Fault(Fault {
                name: self.name(rank),
                message: Message::of_line(&String::from_utf8_lossy(&all[rank][1..])),
            }));
        }
        // Ranks stop without a fault only when some rank was asked to abort.
        match all.iter().all(Vec::is_empty) {
            true => Ok(()),
            false => Err(Ended::Aborted),
        }
    }
}

fn name(rank: usize, size: usize, hosts: &[Host]) -> String {
    let host = hosts.iter().find(|h| h.ranks.contains(&rank));
    let host = host.map_or("unknown host", |h| &h.name);
    match size {
        1 => host.to_owned(),
        size => format!("rank {rank} of {size} ({host})"),
    }
}

/// Name of this machine.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".into(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_ranks;
    use super::*;

    #[test]
    fn sums_and_broadcasts_reach_all_ranks() {
        for size in [1, 2, 3, 5] {
            on_ranks(size, |ranks| {
                let mut values = [1.0, ranks.rank() as f64];
                ranks.sum(&mut values);
                assert_eq!(values, [size as f64, (size * (size - 1) / 2) as f64]);
                let members: Vec<usize> = (0..size).step_by(2).collect();
                if members.contains(&ranks.rank()) {
                    let mut value = [ranks.rank() as f64];
                    ranks.sum_among(&members, &mut value);
                    assert_eq!(value, [members.iter().sum::<usize>() as f64]);
                }
                let mut list = match ranks.rank() + 1 == size {
                    true => vec![4.0, 5.0],
                    false => vec![],
                };
                ranks.broadcast_list(size - 1, &mut list);
                assert_eq!(list, [4.0, 5.0]);
                let lengths: Vec<usize> = ranks
                    .gather_numbers(&vec![0.5; ranks.rank()])
                    .iter()
                    .map(Vec::len)
                    .collect();
                assert_eq!(lengths, (0..size).collect::<Vec<_>>());
            });
        }
    }

    #[test]
    fn all_ranks_learn_of_the_first_fault() {
        let agree = |troubles: [Option<Trouble>; 3]| {
            let found = on_ranks(3, |ranks| ranks.agree(troubles[ranks.rank()].clone()));
            assert!(found.iter().all(|f| *f == found[0]), "{found:?}");
            found[0].clone()
        };
        assert_eq!(agree([None, None, None]), Ok(()));
        let aborted = [Some(Trouble::Stopped), Some(Trouble::Aborted), None];
        assert_eq!(agree(aborted), Err(Ended::Aborted));
        let failed = |text: &str| Some(Trouble::Failed(Code::CANNOT_WRITE.says(text)));
        let Err(Ended::Fault(fault)) =
            agree([Some(Trouble::Stopped), failed("no space"), failed("late")])
        else {
            panic!("a fault is found");
        };
        assert!(fault.name.starts_with("rank 1 of 3 ("), "{fault}");
        assert_eq!(fault.message, Code::CANNOT_WRITE.says("no space"));
    }

    #[test]
    fn ranks_know_their_place_on_the_machine() {
        on_ranks(3, |ranks| {
            assert_eq!(ranks.hosts().len(), 1);
            assert_eq!(ranks.place_on_host(), (ranks.rank(), 3));
            assert_eq!(ranks.owner(4), 1);
        });
        assert_eq!(Ranks::single().place_on_host(), (0, 1));
    }
}
