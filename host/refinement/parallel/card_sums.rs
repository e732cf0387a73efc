//! How sums that lie on cards are put together: with NCCL where the cards of a machine can work together, over MPI
//! between machines and wherever NCCL cannot be used, never through files.

mod nccl_choice;

use crate::comm::{Host, Ranks};
use crate::device::nccl::{CardGroup, GroupId};
use crate::device::{Device, DeviceError, DeviceVolume};
use crate::expectation::ExpectationError;
use crate::fourier::sums::Sums;
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::parallel::workers::{Engine, agree};
use nccl_choice::{Offer, Way, choose, speakers, way};
use std::sync::Arc;

/// Voxels that go over the network at a time.
const RANGE: usize = 4 << 20;

/// Needs of a job for sums over cards.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// False with `--no_nccl`.
    pub nccl: bool,
    /// Each half-set has cards of its own in a process, whose sums are moved, not added.
    pub halves_at_once: bool,
}

/// The ways of the sums.
pub struct Routes {
    /// All cards of this process.
    process: Option<CardGroup>,
    /// The first cards of the ranks of this machine.
    machine: Option<CardGroup>,
    /// Ranks whose sums are added over MPI: the first of each machine that has such a group, and all ranks of others.
    speakers: Vec<usize>,
}

impl Routes {
    /// All sums through the host and MPI.
    pub fn by_mpi(ranks: &Ranks) -> Self {
        Self {
            process: None,
            machine: None,
            speakers: (0..ranks.size()).collect(),
        }
    }

    /// Find out what can be used on each machine, and say so. A collective.
    pub fn open(
        ranks: &Ranks,
        engines: &[Engine],
        wanted: Wanted,
        console: &Console,
    ) -> Result<Self, RunError> {
        let devices: Vec<Arc<Device>> = engines.iter().filter_map(|e| e.device()).collect();
        // Loading NCCL and joining the cards takes a second, which one process with a card for each half-set can do without.
        let unwanted = match (wanted.nccl, wanted.halves_at_once && ranks.size() == 1) {
            (false, _) => Some("--no_nccl"),
            (_, true) => Some("each half-set has cards of its own"),
            _ => None,
        };
        let offer = agree(ranks, Offer::of(&devices, unwanted))?;
        let offers: Vec<Offer> = ranks
            .gather(&offer.to_bytes())
            .iter()
            .map(|bytes| Offer::from_bytes(bytes))
            .collect();
        ranks
            .watch()
            .enter("joining cards with NCCL (--no_nccl does without)");
        let possible = matches!(choose(ranks.host(), &offers), Way::Cards(_));
        let process = match possible && devices.len() > 1 && !wanted.halves_at_once {
            true => join(&devices, 0, devices.len(), GroupId::new()).map(Some),
            false => Ok(None),
        };
        let machine = join_on_machine(ranks, &offers, &devices);
        // A group that one rank could not join is of no use to the others.
        let own = [failure(&process), failure(&machine)].concat();
        let failures: Vec<String> = ranks
            .gather(own.as_bytes())
            .iter()
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect();
        let ways: Vec<Way> = ranks
            .hosts()
            .iter()
            .map(|host| way(host, &offers, &failures))
            .collect();
        report(ranks, &offers, &ways, console);
        let place = ranks.hosts().iter().position(|h| h == ranks.host());
        let own_way = &ways[place.expect("every rank is on a host")];
        let usable = matches!(own_way, Way::Cards(_));
        Ok(Self {
            process: process.ok().flatten().filter(|_| usable),
            machine: machine.ok().flatten().filter(|_| usable),
            speakers: speakers(ranks.hosts(), &ways),
        })
    }

    /// Add the volumes of this process's engines, in place in that of the first.
    pub fn over_engines(&self, volumes: Vec<&mut Sums>) -> Result<(), RunError> {
        if let Some(group) = &self.process
            && let Some(all) = volumes
                .iter()
                .map(|sums| on_device(sums))
                .collect::<Option<Vec<_>>>()
        {
            return group.sum(&all).map_err(failed);
        }
        let mut volumes = volumes.into_iter();
        let first = volumes.next().expect("a rank has an engine");
        for other in volumes {
            first.add(other).map_err(failed)?;
        }
        Ok(())
    }

    /// Add a volume over all ranks, in place, the same bits on all. A collective; ranks that fail on the way take part
    /// to the end.
    pub fn over_ranks(&self, ranks: &Ranks, volume: &mut Sums) -> Result<(), RunError> {
        // A rank whose iteration did not fit into its card has its sums on the host.
        let everywhere = self.speakers.len() == ranks.size()
            || ranks
                .gather_numbers(&[f64::from(u8::from(on_device(volume).is_some()))])
                .concat()
                .iter()
                .all(|there| *there == 1.0);
        if !everywhere {
            let all: Vec<usize> = (0..ranks.size()).collect();
            return over_mpi(ranks, &all, volume).map_err(failed);
        }
        let speaks = self.speakers.contains(&ranks.rank());
        let Some(group) = &self.machine else {
            return over_mpi(ranks, &self.speakers, volume).map_err(failed);
        };
        let watch = ranks.watch();
        let mut result = match on_device(volume) {
            Some(volume) => watch.waiting(|| group.sum(&[volume])),
            None => Ok(()),
        };
        if self.speakers.len() > 1 {
            if speaks {
                result = result.and(over_mpi(ranks, &self.speakers, volume));
            }
            if let Some(volume) = on_device(volume) {
                result = result.and(watch.waiting(|| group.broadcast(&[volume])));
            }
        }
        result.map_err(failed)
    }
}

/// Adds a volume over those ranks among `members`, in place. A collective of these.
fn over_mpi(ranks: &Ranks, members: &[usize], volume: &mut Sums) -> Result<(), DeviceError> {
    let mut result = Ok(());
    for first in (0..volume.voxels()).step_by(RANGE) {
        let end = (first + RANGE).min(volume.voxels());
        let read = volume.read(first..end);
        let (mut values, error) = match read {
            Ok(values) => (values, None),
            Err(error) => (vec![[0.0; 3]; end - first], Some(error)),
        };
        ranks.sum_among(members, values.as_flattened_mut());
        result = result.and(match error {
            Some(error) => Err(error),
            None => volume.replace(first, &values),
        });
    }
    result
}

fn failed(error: DeviceError) -> RunError {
    ExpectationError::from(error).into()
}

/// The volume, if it is on a device.
fn on_device(sums: &Sums) -> Option<&DeviceVolume<[f32; 4]>> {
    match sums {
        Sums::Device(sums) => Some(&sums.volume),
        Sums::Host(_) => None,
    }
}

fn failure<T>(joined: &Result<T, DeviceError>) -> String {
    match joined {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

/// The group of the first cards of the ranks of this machine, where there are several such ranks. A collective.
fn join_on_machine(
    ranks: &Ranks,
    offers: &[Offer],
    devices: &[Arc<Device>],
) -> Result<Option<CardGroup>, DeviceError> {
    let host = ranks.host();
    let (place, size) = ranks.place_on_host();
    let joins = size > 1 && matches!(choose(host, offers), Way::Cards(_));
    let id = match joins && place == 0 {
        true => GroupId::new().map(|id| id.as_bytes().to_vec()),
        false => Ok(Vec::new()),
    };
    let ids = ranks.gather(id.as_deref().unwrap_or_default());
    id?;
    match <[u8; GroupId::BYTES]>::try_from(ids[host.ranks[0]].as_slice()) {
        Ok(id) if joins => ranks
            .watch()
            .waiting(|| join(&devices[..1], place, size, Ok(GroupId::from_bytes(id))).map(Some)),
        _ => Ok(None),
    }
}

fn join(
    devices: &[Arc<Device>],
    first: usize,
    size: usize,
    id: Result<GroupId, DeviceError>,
) -> Result<CardGroup, DeviceError> {
    CardGroup::join(id?, devices, first, size)
}

/// Prints, per host, how sums are reduced (NCCL or MPI); prints nothing in a job of one rank without several cards.
fn report(ranks: &Ranks, offers: &[Offer], ways: &[Way], console: &Console) {
    for (host, way) in ranks.hosts().iter().zip(ways) {
        let mut cards: Vec<&[u8; 16]> = host
            .ranks
            .iter()
            .flat_map(|&rank| &offers[rank].cards)
            .collect();
        let several = cards.len() > 1;
        cards.sort_unstable();
        cards.dedup();
        if several {
            console.say(&said(host, cards.len(), way));
        }
    }
    if ranks.size() > 1 && speakers(ranks.hosts(), ways).len() > 1 {
        let several = ranks.hosts().len() > 1;
        let between = if several { "machines" } else { "ranks" };
        console.say(&format!(" + Sums between {between}: MPI"));
    }
}

fn said(host: &Host, cards: usize, way: &Way) -> String {
    let name = &host.name;
    let cards = match cards {
        1 => "card".to_owned(),
        several => format!("{several} cards"),
    };
    match way {
        Way::Cards(version) => {
            format!(" + Sums over the {cards} of {name}: NCCL {version}")
        }
        Way::Host(reason) => {
            format!(" + Sums over the {cards} of {name}: without NCCL ({reason})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::tests::on_ranks;
    use crate::fourier::backprojection::BackProjection;
    use num_complex::Complex64;

    /// Without cards every rank's sums are added through the host.
    #[test]
    fn sums_on_the_host_are_added_over_ranks_and_engines() {
        let volume = |value: f64| {
            let mut sums = BackProjection::new(8, 2.0, 6);
            sums.data.fill(Complex64::new(value, -value));
            sums.weight.fill(2.0 * value);
            Sums::from(sums)
        };
        let wanted = Wanted {
            nccl: true,
            halves_at_once: false,
        };
        on_ranks(3, |ranks| {
            let routes = Routes::open(&ranks, &[], wanted, &Console::new(0, false)).unwrap();
            assert_eq!(routes.speakers, [0, 1, 2]);
            let own = ranks.rank() as f64 + 1.0;
            let (mut first, mut second) = (volume(own), volume(10.0));
            routes.over_engines(vec![&mut first, &mut second]).unwrap();
            routes.over_ranks(&ranks, &mut first).unwrap();
            let last = first.voxels() - 1;
            assert_eq!(first.read(last..last + 1).unwrap(), [[36.0, -36.0, 72.0]]);
        });
    }
}
