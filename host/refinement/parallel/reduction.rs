//! The one place where sums of several engines and ranks become those of all.

use crate::comm::Ranks;
use crate::expectation::{ParticleOutcome, WeightedSums};
use crate::refinement::error::RunError;
use crate::refinement::parallel::card_sums::Routes;
/// Numbers of a particle's outcome on its way between ranks, with its index and position.
const OUTCOME: usize = 12;

/// The sums of all engines of this rank, as those of the first.
pub fn over_engines(mut all: Vec<WeightedSums>, routes: &Routes) -> Result<WeightedSums, RunError> {
    for class in 0..all[0].backprojections.len() {
        let volumes = all.iter_mut().map(|sums| &mut sums.backprojections[class]);
        routes.over_engines(volumes.collect())?;
    }
    let mut all = all.into_iter();
    let mut first = all.next().expect("a rank has an engine");
    for mut other in all {
        first.add_spectra_and_totals(&mut other);
    }
    Ok(first)
}

/// The sums of all ranks, in place, the same on all. A collective; ranks that fail on the way take part to the end.
pub fn over_ranks(ranks: &Ranks, routes: &Routes, sums: &mut WeightedSums) -> Result<(), RunError> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let mut numbers: Vec<f64> = sums.spectra_and_totals().concat();
    numbers.push(sums.particles as f64);
    ranks.sum(&mut numbers);
    let mut rest = numbers.as_slice();
    for part in sums.spectra_and_totals() {
        let (own, others) = rest.split_at(part.len());
        part.copy_from_slice(own);
        rest = others;
    }
    sums.particles = rest[0] as usize;
    let mut failed = None;
    for volume in &mut sums.backprojections {
        failed = failed.or(routes.over_ranks(ranks, volume).err());
    }
    failed.map_or(Ok(()), Err)
}

/// Result for a particle: its index in the table, its position in the processing order, the outcome.
pub type Found = (usize, usize, ParticleOutcome);

/// Gathers the outcomes of all ranks, in processing order. A collective.
pub fn gather_outcomes(ranks: &Ranks, found: Vec<Found>) -> Vec<(usize, ParticleOutcome)> {
    let mut all = found;
    if ranks.size() > 1 {
        let numbers: Vec<f64> = all.iter().flat_map(to_numbers).collect();
        all = ranks
            .gather_numbers(&numbers)
            .iter()
            .flat_map(|numbers| numbers.as_chunks::<OUTCOME>().0)
            .map(from_numbers)
            .collect();
    }
    all.sort_by_key(|(_, position, _)| *position);
    all.into_iter()
        .map(|(index, _, outcome)| (index, outcome))
        .collect()
}

fn to_numbers((index, position, found): &Found) -> [f64; OUTCOME] {
    [
        *index as f64,
        *position as f64,
        found.rot,
        found.tilt,
        found.psi,
        found.origin[0],
        found.origin[1],
        found.class as f64,
        found.norm,
        found.log_likelihood,
        found.max_probability,
        found.significant_samples as f64,
    ]
}

fn from_numbers(numbers: &[f64; OUTCOME]) -> Found {
    let [
        index,
        position,
        rot,
        tilt,
        psi,
        x,
        y,
        class,
        norm,
        log_likelihood,
        max_probability,
        significant,
    ] = *numbers;
    let outcome = ParticleOutcome {
        rot,
        tilt,
        psi,
        origin: [x, y],
        class: class as usize,
        norm,
        log_likelihood,
        max_probability,
        significant_samples: significant as usize,
    };
    (index as usize, position as usize, outcome)
}
