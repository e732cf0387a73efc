//! The engines that the options ask for on each rank, and the lines that say what the job runs on.

use crate::comm::Ranks;
use crate::device::{self, Device, DeviceError, ImageTransforms, MatrixProduct, map::DeviceMap};
use crate::expectation::ExpectationError;
use crate::expectation::cpu::CpuEngine;
use crate::expectation::cuda::CudaEngine;
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::parallel::card_sums::{Routes, Wanted};
use crate::refinement::parallel::engine_shares::align_halves_at_once;
use crate::refinement::parallel::threads::{self, Cores};
use crate::refinement::parallel::workers::{Engine, Staff, Workers, agree};
use crate::refinement::settings::Settings;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A card that is ready for an engine.
struct Card {
    device: Device,
    product: MatrixProduct,
}

/// The workers that the options ask for. Cards are opened by a thread from the moment this exists, since the driver and its
/// libraries take a second.
pub(crate) struct Opening {
    ranks: Arc<Ranks>,
    cards: Option<JoinHandle<Result<Vec<Card>, RunError>>>,
    workers: Option<Workers>,
}

impl Opening {
    /// Begins to open the cards of this rank.
    pub(crate) fn begin(settings: &Settings, ranks: &Arc<Ranks>) -> Self {
        let cards = settings.gpu.clone().map(|map| {
            let ranks = ranks.clone();
            std::thread::spawn(move || choose(&map, &ranks).and_then(open_all))
        });
        Self {
            ranks: ranks.clone(),
            cards,
            workers: None,
        }
    }
}

impl Staff for Opening {
    fn ranks(&self) -> Arc<Ranks> {
        self.ranks.clone()
    }

    fn workers(
        &mut self,
        settings: &Settings,
        console: &Console,
    ) -> Result<&mut Workers, RunError> {
        if self.workers.is_none() {
            let cards = self.cards.take().map(|opening| {
                opening
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            self.workers = Some(workers(settings, &self.ranks, cards, console)?);
        }
        Ok(self.workers.as_mut().expect("made above"))
    }
}

impl Drop for Opening {
    /// Waits for the thread: a program must not end while the driver starts.
    fn drop(&mut self) {
        if let Some(opening) = self.cards.take() {
            let _ = opening.join();
        }
    }
}

/// Ranks, engines on these cards or on the host, and the ways between them. The first rank prints what all ranks run on. A
/// collective.
fn workers(
    settings: &Settings,
    ranks: &Arc<Ranks>,
    cards: Option<Result<Vec<Card>, RunError>>,
    console: &Console,
) -> Result<Workers, RunError> {
    let (engines, cards) = match cards {
        Some(cards) => on_devices(settings, agree(ranks, cards)?, ranks)?,
        None => (vec![Box::new(CpuEngine::new()) as Engine], Vec::new()),
    };
    report(settings, ranks, &cards, console);
    let wanted = Wanted {
        nccl: !settings.no_nccl,
        halves_at_once: settings.split_random_halves && align_halves_at_once(&engines),
    };
    let routes = Routes::open(ranks, &engines, wanted, console)?;
    Ok(Workers::new(ranks.clone(), engines, routes))
}

/// An engine on each device of this rank, and a line about each. A collective.
fn on_devices(
    settings: &Settings,
    opened: Vec<Card>,
    ranks: &Ranks,
) -> Result<(Vec<Engine>, Vec<String>), RunError> {
    // Ranks may number the cards differently: each may see but its own.
    let own = opened
        .iter()
        .map(|card| card.device.identity().map_err(device_error));
    let own: Vec<Identity> = agree(ranks, own.collect())?;
    let all: Vec<Vec<Identity>> = ranks
        .gather(own.as_flattened())
        .iter()
        .map(|bytes| bytes.as_chunks().0.to_vec())
        .collect();
    let shares = shares(&all, &ranks.host().ranks, ranks.rank());
    // What is free is asked for by all ranks before any of them takes its part.
    let free = agree(ranks, free_memory(&opened))?;
    let engines = opened
        .into_iter()
        .zip(&shares)
        .zip(free)
        .map(|((card, &sharing), (free, total))| {
            let Card { device, product } = card;
            let limit = memory_limit(settings, free, sharing);
            let text = format!(
                "GPU {} ({}): {} of {} MiB{}",
                device.ordinal(),
                device.name(),
                limit >> 20,
                total >> 20,
                match sharing {
                    1 => String::new(),
                    n => format!(", shared by {n} ranks"),
                }
            );
            let engine = CudaEngine::with_product(device, product, Some(limit))
                .map_err(device_error)?
                .with_precision(settings.gpu_precision);
            Ok((Box::new(engine) as Engine, text))
        })
        .collect::<Result<Vec<_>, RunError>>();
    Ok(agree(ranks, engines)?.into_iter().unzip())
}

/// Devices of this rank. A list with an entry for each rank of the job is taken by rank, else by place on the machine.
fn choose(map: &str, ranks: &Ranks) -> Result<Vec<usize>, RunError> {
    let devices = device::driver::devices().map_err(device_error)?.len();
    let (place, on_host) = ranks.place_on_host();
    let map = DeviceMap::parse(map).map_err(device_error)?;
    let (place, of) = match &map {
        DeviceMap::Listed(lists) if lists.len() == ranks.size() => (ranks.rank(), ranks.size()),
        _ => (place, on_host),
    };
    map.devices_of(place, of, devices).map_err(device_error)
}

/// Opens all devices at the same time.
fn open_all(chosen: Vec<usize>) -> Result<Vec<Card>, RunError> {
    let tasks = chosen.into_iter().map(|ordinal| move || open_card(ordinal));
    threads::side_by_side(tasks)
        .into_iter()
        .map(|card| card.map_err(device_error))
        .collect()
}

/// Opens a device and the libraries that work on it.
fn open_card(ordinal: usize) -> Result<Card, DeviceError> {
    let device = Device::open(ordinal)?;
    let product = MatrixProduct::new(&device);
    product.load(&device)?;
    ImageTransforms::load(&device)?;
    Ok(Card { device, product })
}

fn free_memory(cards: &[Card]) -> Result<Vec<(usize, usize)>, RunError> {
    cards
        .iter()
        .map(|card| card.device.memory().map_err(device_error))
        .collect()
}

/// Identifier of a card.
type Identity = [u8; 16];

/// Number of ranks among `host` that use each card of rank `own`; `all` lists the cards of every rank.
fn shares(all: &[Vec<Identity>], host: &[usize], own: usize) -> Vec<usize> {
    all[own]
        .iter()
        .map(|card| host.iter().filter(|&&r| all[r].contains(card)).count())
        .collect()
}

/// Bytes of a device that one of `ranks` may take: nine tenths of its part of what is free, within the user's limits.
fn memory_limit(settings: &Settings, free: usize, ranks: usize) -> usize {
    let spared = free.saturating_sub((settings.free_gpu_memory as usize) << 20);
    let limit = settings
        .gpu_memory
        .map_or(usize::MAX, |bytes| bytes as usize);
    (spared.min(free / 10 * 9) / ranks.max(1)).min(limit)
}

fn device_error(error: DeviceError) -> RunError {
    ExpectationError::from(error).into()
}

/// Ranks, machines, threads, cards and effective options, printed once. A collective.
fn report(settings: &Settings, ranks: &Ranks, cards: &[String], console: &Console) {
    let cores = Cores::of_this_process();
    let threads = threads::of_rank(settings, ranks);
    let mut line = format!("{threads} threads on {} cores", cores.usable);
    if cores.bound {
        line.push_str(" that it is bound to");
    }
    if cores.bound && threads > cores.usable {
        line.push_str(" (too few: start mpirun with --bind-to none, or srun with --cpus-per-task)");
    }
    if settings.threads > threads {
        line.push_str(&format!(
            " (--j {} would be slower: more threads than this wait for each other)",
            settings.threads
        ));
    }
    for card in cards {
        line.push_str("; ");
        line.push_str(card);
    }
    let lines: Vec<String> = ranks
        .gather(line.as_bytes())
        .into_iter()
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect();
    console.say(&setup(ranks, &lines, settings));
}

/// The block; `lines` says what each rank has.
fn setup(ranks: &Ranks, lines: &[String], settings: &Settings) -> String {
    let mut text = format!(
        "{}\n === Setup ===\n + Number of processes: {}",
        crate::refinement::cli::console::version(),
        ranks.size()
    );
    for host in ranks.hosts() {
        for &rank in &host.ranks {
            text.push_str(&format!(
                "\n + Rank {rank} on {}: {}",
                host.name, lines[rank]
            ));
        }
    }
    text.push_str(&format!("\n + Images: {}", images(settings)));
    text.push_str(&format!("\n + Options: {}", settings.command_line));
    text.push_str("\n ==========================");
    text
}

/// Where images come from.
fn images(settings: &Settings) -> String {
    match (&settings.scratch_dir, settings.preread_images) {
        (_, true) => "each rank keeps its own in memory (--preread_images)".into(),
        (Some(folder), false) => format!("copied to {}", folder.display()),
        (None, false) => "read when needed, in stack order".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::CommandLine;

    #[test]
    fn ranks_on_one_card_share_its_memory() {
        // Four ranks on two machines; ranks 0 and 1 use card 0 of theirs.
        let all = [vec![0], vec![0, 1], vec![0], vec![1]];
        let all = all.map(|cards| cards.into_iter().map(|card: u8| [card; 16]).collect());
        assert_eq!(shares(&all, &[0, 1], 1), [2, 1]);
        assert_eq!(shares(&all, &[2, 3], 2), [1]);
    }

    #[test]
    fn memory_is_limited_by_part_reserve_and_option() {
        let words = ["--i", "a.star", "--o", "b", "--ref", "c.mrc"].map(String::from);
        let line = CommandLine::parse(words).unwrap();
        let mut settings = Settings::from_command_line(&line).unwrap();
        assert_eq!(memory_limit(&settings, 1000, 1), 900);
        assert_eq!(memory_limit(&settings, 1000, 2), 450);
        settings.free_gpu_memory = 3;
        assert_eq!(memory_limit(&settings, 10 << 20, 1), 7 << 20);
        settings.gpu_memory = Some(5);
        assert_eq!(memory_limit(&settings, 10 << 20, 2), 5);
    }
}
