//! Which machines of a job sum with NCCL.

use crate::comm::Host;
use crate::device::{Device, DeviceError, nccl};
use crate::refinement::error::RunError;
use std::sync::Arc;

/// Cards and libraries that a rank has for sums with NCCL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// Its cards.
    pub cards: Vec<[u8; 16]>,
    /// Version of NCCL, or why it has none.
    pub nccl: Result<String, String>,
}

impl Offer {
    /// That of a rank with these devices; `unwanted` says why NCCL is not to be used.
    pub(super) fn of(devices: &[Arc<Device>], unwanted: Option<&str>) -> Result<Self, RunError> {
        let cards = devices.iter().map(|device| device.identity());
        let nccl = match (unwanted, devices.is_empty()) {
            (Some(reason), _) => Err(reason.to_owned()),
            (_, true) => Err("no cards".to_owned()),
            _ => nccl::version().map_err(|error| match error {
                DeviceError::Nccl { message, .. } => message,
                other => other.to_string(),
            }),
        };
        Ok(Self {
            cards: cards
                .collect::<Result<_, _>>()
                .map_err(crate::refinement::parallel::card_sums::failed)?,
            nccl,
        })
    }

    /// For other ranks.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (flag, text) = match &self.nccl {
            Ok(version) => (1, version),
            Err(reason) => (0, reason),
        };
        let mut bytes = vec![self.cards.len() as u8, flag];
        bytes.extend(self.cards.as_flattened());
        bytes.extend(text.as_bytes());
        bytes
    }

    /// From [`Offer::to_bytes`] of another rank.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (cards, text) = bytes[2..].split_at(16 * usize::from(bytes[0]));
        let text = String::from_utf8_lossy(text).into_owned();
        Self {
            cards: cards.as_chunks().0.to_vec(),
            nccl: if bytes[1] == 1 { Ok(text) } else { Err(text) },
        }
    }
}

/// How the sums of a machine are put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With NCCL of this version.
    Cards(String),
    /// Through the host, for this reason.
    Host(String),
}

/// The way of a machine whose ranks have these offers.
pub(super) fn choose(host: &Host, offers: &[Offer]) -> Way {
    let of_host = || host.ranks.iter().map(|&rank| &offers[rank]);
    if let Some(reason) = of_host().find_map(|offer| offer.nccl.as_ref().err()) {
        return Way::Host(reason.clone());
    }
    let mut cards: Vec<_> = of_host().flat_map(|offer| &offer.cards).collect();
    cards.sort_unstable();
    if cards.len() < 2 {
        return Way::Host("a single card".into());
    }
    if cards.windows(2).any(|pair| pair[0] == pair[1]) {
        return Way::Host("ranks share a card".into());
    }
    let mut versions = of_host().filter_map(|offer| offer.nccl.as_ref().ok());
    let version = versions.next().expect("a host has ranks");
    match versions.all(|other| other == version) {
        true => Way::Cards(version.clone()),
        false => Way::Host("the ranks have different versions of NCCL".into()),
    }
}

/// [`choose`], unless a rank of the machine could not join.
pub(super) fn way(host: &Host, offers: &[Offer], failures: &[String]) -> Way {
    let failure = host.ranks.iter().map(|&rank| &failures[rank]);
    match failure.into_iter().find(|text| !text.is_empty()) {
        Some(text) => Way::Host(text.clone()),
        None => choose(host, offers),
    }
}

/// Ranks whose sums are added over MPI: the first of each machine that sums with NCCL, all of others.
pub(super) fn speakers(hosts: &[Host], ways: &[Way]) -> Vec<usize> {
    let mut speakers: Vec<usize> = hosts
        .iter()
        .zip(ways)
        .flat_map(|(host, way)| match way {
            Way::Cards(_) => host.ranks[..1].to_vec(),
            Way::Host(_) => host.ranks.clone(),
        })
        .collect();
    speakers.sort_unstable();
    speakers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(ranks: &[usize]) -> Host {
        Host {
            name: "node".into(),
            ranks: ranks.to_vec(),
        }
    }

    fn offer(cards: &[u8]) -> Offer {
        Offer {
            cards: cards.iter().map(|&card| [card; 16]).collect(),
            nccl: Ok("2.27.3".into()),
        }
    }

    #[test]
    fn cards_work_together_when_each_is_of_one_rank() {
        let way = |offers: &[Offer]| {
            let ranks: Vec<usize> = (0..offers.len()).collect();
            choose(&host(&ranks), offers)
        };
        let nccl = Way::Cards("2.27.3".into());
        assert_eq!(way(&[offer(&[0]), offer(&[1])]), nccl);
        assert_eq!(way(&[offer(&[0, 1])]), nccl);
        assert_eq!(way(&[offer(&[0, 1]), offer(&[2, 3])]), nccl);
        let on_host = |offers: &[Offer]| matches!(way(offers), Way::Host(_));
        assert!(on_host(&[offer(&[0])]), "one card");
        assert!(on_host(&[offer(&[0]), offer(&[0])]), "a shared card");
        assert!(on_host(&[offer(&[0, 1]), offer(&[1])]), "a shared card");
        let mut old = offer(&[1]);
        old.nccl = Ok("2.18.5".into());
        assert!(on_host(&[offer(&[0]), old.clone()]), "two versions");
        old.nccl = Err("libnccl.so.2 cannot be loaded".into());
        let found = way(&[offer(&[0]), old.clone()]);
        assert_eq!(found, Way::Host("libnccl.so.2 cannot be loaded".into()));
        assert_eq!(Offer::from_bytes(&old.to_bytes()), old);
        let two = offer(&[3, 4]);
        assert_eq!(Offer::from_bytes(&two.to_bytes()), two);
    }

    #[test]
    fn a_rank_that_could_not_join_sends_its_machine_through_the_host() {
        let offers = [offer(&[0]), offer(&[1]), offer(&[0]), offer(&[1])];
        let failures = ["", "", "", "no shared memory"].map(String::from);
        let hosts = [host(&[0, 1]), host(&[2, 3])];
        let ways = hosts.each_ref().map(|h| way(h, &offers, &failures));
        assert_eq!(
            ways,
            [
                Way::Cards("2.27.3".into()),
                Way::Host("no shared memory".into())
            ]
        );
        assert_eq!(speakers(&hosts, &ways), [0, 2, 3]);
    }
}
