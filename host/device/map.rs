//! `--gpu`: which devices each rank uses (spec 03 §6.6). Ranks are separated by `:`, devices of a rank by `,`.

use super::{Device, DeviceError, driver};
use std::sync::Arc;

/// Devices per rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceMap {
    /// Spread over what there is.
    Automatic,
    /// One list per rank, repeated when there are more ranks; where there are fewer ranks, further lists are dealt to them
    /// in turn, so that no card that was named stays idle.
    Listed(Vec<Vec<usize>>),
}

impl DeviceMap {
    /// From the value of `--gpu`: empty or not starting with a digit is automatic.
    pub fn parse(text: &str) -> Result<Self, DeviceError> {
        let trimmed = text.trim();
        if !trimmed.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(DeviceMap::Automatic);
        }
        let number = |part: &str| {
            part.trim().parse().map_err(|_| DeviceError::Map {
                text: text.to_string(),
                part: part.to_string(),
            })
        };
        let ranks = trimmed
            .split(':')
            .map(|rank| rank.split(',').map(number).collect())
            .collect::<Result<_, _>>()?;
        Ok(DeviceMap::Listed(ranks))
    }

    /// Devices of rank `rank` of `ranks` on a host that has `available`, each once, ascending in the order given.
    ///
    /// Automatic: an equal share of the devices, or one shared device when there are more ranks than devices.
    pub fn devices_of(
        &self,
        rank: usize,
        ranks: usize,
        available: usize,
    ) -> Result<Vec<usize>, DeviceError> {
        if available == 0 {
            return Err(DeviceError::NoDevice(String::new()));
        }
        let chosen: Vec<usize> = match self {
            DeviceMap::Automatic => {
                let (rank, ranks) = (rank % ranks.max(1), ranks.max(1));
                let begin = available * rank / ranks;
                let end = (available * (rank + 1) / ranks).max(begin + 1);
                (begin..end).collect()
            }
            DeviceMap::Listed(lists) => {
                let (ranks, first) = (ranks.max(1), rank % lists.len());
                lists[first..]
                    .iter()
                    .step_by(ranks)
                    .flatten()
                    .copied()
                    .collect()
            }
        };
        let mut devices: Vec<usize> = Vec::new();
        for asked in chosen {
            if asked >= available {
                return Err(DeviceError::OutOfRange { asked, available });
            }
            if !devices.contains(&asked) {
                devices.push(asked);
            }
        }
        Ok(devices)
    }
}

/// Opens the cards of a tool that works in one process: those of the list of `--gpu`, or all.
///
/// # Errors
/// The list is wrong; a card or a library of CUDA is not there.
pub fn open_cards(list: &str) -> Result<Vec<Arc<Device>>, DeviceError> {
    let cards = DeviceMap::parse(list)?.devices_of(0, 1, driver::devices()?.len())?;
    driver::require_cufft()?;
    let open = |ordinal| Ok(Arc::new(Device::open(ordinal)?));
    cards.into_iter().map(open).collect()
}

/// Returns the warning about a card that has no room for `arrays`, and whose work the others or the processor do.
pub fn left_out(card: &Device, arrays: &str) -> String {
    format!(
        "GPU {} ({}) has too little free memory for {arrays}, so its work is done without it: by the other cards, or by the processor, \
         which takes longer. Another program may be using the card (see nvidia-smi).",
        card.ordinal(),
        card.name()
    )
}

/// Returns the numbers and names of cards, for the user.
pub fn names<'a>(cards: impl IntoIterator<Item = &'a Device>) -> Vec<String> {
    let name = |card: &Device| format!("GPU {} ({})", card.ordinal(), card.name());
    cards.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(text: &str, rank: usize, ranks: usize, available: usize) -> Vec<usize> {
        DeviceMap::parse(text)
            .unwrap()
            .devices_of(rank, ranks, available)
            .unwrap()
    }

    #[test]
    fn lists_of_devices_belong_to_ranks() {
        assert_eq!(devices("0,1:2,3", 0, 2, 4), [0, 1]);
        assert_eq!(devices("0,1:2,3", 1, 2, 4), [2, 3]);
        // Fewer entries than ranks: repeated.
        assert_eq!(devices("0,1:2,3", 2, 3, 4), [0, 1]);
        // More entries than ranks: one process drives all cards that were named.
        assert_eq!(devices("0:1", 0, 1, 2), [0, 1]);
        assert_eq!(devices("0:1:2", 0, 2, 4), [0, 2]);
        assert_eq!(devices("0:1:2", 1, 2, 4), [1]);
        assert_eq!(devices("0:1:0:1", 0, 1, 2), [0, 1]);
        // The same device for several threads is used once.
        assert_eq!(devices("1,1,1", 0, 1, 2), [1]);
    }

    #[test]
    fn automatic_spreads_ranks_over_devices() {
        for text in ["", "  ", "--ctf", "default"] {
            assert_eq!(devices(text, 0, 1, 4), [0, 1, 2, 3]);
        }
        assert_eq!(devices("", 1, 2, 4), [2, 3]);
        assert_eq!(devices("", 0, 2, 1), [0]);
        assert_eq!(devices("", 1, 2, 1), [0]);
        assert_eq!(devices("", 2, 3, 2), [1]);
    }

    #[test]
    fn wrong_numbers_are_named() {
        assert!(matches!(
            DeviceMap::parse("0,x").unwrap_err(),
            DeviceError::Map { part, .. } if part == "x"
        ));
        assert!(DeviceMap::parse("0,").is_err());
        let map = DeviceMap::parse("0:7").unwrap();
        assert!(matches!(
            map.devices_of(1, 2, 4),
            Err(DeviceError::OutOfRange {
                asked: 7,
                available: 4
            })
        ));
        assert!(map.devices_of(0, 1, 0).is_err());
    }
}
