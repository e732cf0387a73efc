//! `--reject_limit`: particles whose images cannot be used are left out and listed instead of ending the run; and images of
//! enormous power, which without it are told after the first iteration.

use crate::comm::Ranks;
use crate::dataset::examine::{self, Examined, Unusable};
use crate::dataset::{ImageStore, ParticleSet, rejected};
use crate::errors::Code;
use crate::refinement::cli::console::Console;
use crate::refinement::cli::phase::Phase;
use crate::refinement::cli::stage_log::Stage;
use crate::refinement::error::RunError;
use crate::refinement::parallel::workers::{StopSign, agree};
use crate::refinement::settings::Settings;

/// Look at all images, each rank at its share, and give the set without those that cannot be used; they are listed in
/// `<output root>_rejected.star`. More of them than the limit are an error. Nothing is read without a limit. A collective.
pub(crate) fn leave_out_unusable(
    set: ParticleSet,
    settings: &Settings,
    ranks: &Ranks,
    console: &Console,
    stop: &StopSign,
) -> Result<ParticleSet, RunError> {
    let Some(limit) = settings.reject_limit else {
        return Ok(set);
    };
    ranks
        .watch()
        .enter("looking for images that cannot be used");
    console.say(" Looking for images that cannot be used (--reject_limit) ...");
    let total = set.particles.len();
    let share: Vec<usize> = (0..total)
        .filter(|index| index * ranks.size() / total == ranks.rank())
        .collect();
    let title = " Reading all images ...";
    let phase = Phase::begin(console, Stage::CheckImages, None, title, share.len());
    let found = examine::images(&set, &share, |done| {
        phase.set(done);
        stop.check()
    });
    phase.set(share.len());
    drop(phase);
    let examined = of_all_ranks(ranks, agree(ranks, found)?);
    // Every rank finds the same: whether a power is out of proportion depends on those of all images.
    let unusable = examine::with_outliers(&set, examined);
    let Some(first) = unusable.first() else {
        console.say(" All images can be used");
        return Ok(set);
    };
    let list = format!("{}_rejected.star", settings.output_root);
    let written = match ranks.leads() {
        true => rejected::write(&set, &unusable, list.as_ref()),
        false => Ok(()),
    };
    agree(ranks, written.map_err(RunError::from))?;
    let percent = 100.0 * unusable.len() as f64 / total as f64;
    let summary = format!(
        "the images of {} of {total} particles ({percent:.3} %) cannot be used. The first is {}: {}. All are listed in {list}",
        unusable.len(),
        set.describe(first.particle),
        first.reason
    );
    let within_limit = match percent <= limit {
        true => Ok(()),
        false => Err(RunError::from(Code::TOO_MANY_REJECTED.says(format!(
            "{summary}. That is more than --reject_limit {limit} allows (per cent): see whether the images were written \
             completely, extract them again, or allow more"
        )))),
    };
    agree(ranks, within_limit)?;
    console.warn(&format!(
        " + WARNING: {summary}. These particles are left out."
    ));
    let left_out: Vec<usize> = unusable.iter().map(|u| u.particle).collect();
    agree(ranks, set.without(&left_out).map_err(RunError::from))
}

/// Judges the power of all images that were read so far, and warns about those out of proportion. Only the first images of
/// each optics group are judged before the first iteration, since only those are read for the noise; with `--reject_limit`,
/// or where these are all, nothing is left to say. A collective.
pub(crate) fn judge_power(
    set: &ParticleSet,
    images: &ImageStore,
    settings: &Settings,
    ranks: &Ranks,
) -> Option<String> {
    if was_judged_at_start(set, settings) {
        return None;
    }
    let powers = powers_of_all_ranks(ranks, &images.powers());
    examine::power_warning(
        set,
        powers,
        "They spoil noise, weights and maps of all particles: remove them, or start again and have all such images of the set \
         left out and listed (--reject_limit 1 allows 1 %).",
    )
}

/// True when the power of every image was judged before the first iteration.
fn was_judged_at_start(set: &ParticleSet, settings: &Settings) -> bool {
    let mut of_group = vec![0; set.optics.len()];
    for particle in &set.particles {
        of_group[particle.optics_group] += 1;
    }
    let noise_is_estimated = settings.sigma_spectrum.is_none();
    settings.reject_limit.is_some()
        || (noise_is_estimated && of_group.iter().all(|&n| n <= settings.noise_particles))
}

/// Index and power of the images that any rank has read, in the order of the table. A collective.
fn powers_of_all_ranks(ranks: &Ranks, own: &[(usize, f64)]) -> Vec<(usize, f64)> {
    let numbers: Vec<f64> = own
        .iter()
        .flat_map(|&(index, power)| [index as f64, power])
        .collect();
    let numbers = ranks.gather_numbers(&numbers).concat();
    let pairs = numbers.as_chunks::<2>().0.iter();
    let mut all: Vec<(usize, f64)> = pairs
        .map(|&[index, power]| (index as usize, power))
        .collect();
    // The first rank has read some images of the others for the noise.
    all.sort_by_key(|&(index, _)| index);
    all.dedup_by_key(|&mut (index, _)| index);
    all
}

/// Gathers the findings of all ranks, in the order of the table, which is that of the ranks' shares.
fn of_all_ranks(ranks: &Ranks, found: Examined) -> Examined {
    let powers = powers_of_all_ranks(ranks, &found.powers);
    let lines = found
        .unusable
        .iter()
        .map(|u| format!("{} {}\n", u.particle, u.reason.replace('\n', " ")));
    let all = ranks.gather(lines.collect::<String>().as_bytes()).concat();
    let unusable = String::from_utf8_lossy(&all)
        .lines()
        .filter_map(|line| {
            let (particle, reason) = line.split_once(' ')?;
            Some(Unusable {
                particle: particle.parse().ok()?,
                reason: reason.to_string(),
            })
        })
        .collect();
    Examined { unusable, powers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::tests::on_ranks;

    #[test]
    fn all_ranks_learn_of_all_images_in_table_order() {
        let found = |rank: usize| Examined {
            unusable: (0..rank)
                .map(|i| Unusable {
                    particle: 10 * rank + i,
                    reason: format!("rank {rank}\nsaw it"),
                })
                .collect(),
            powers: vec![(10 * rank + 5, rank as f64 / 3.0)],
        };
        for all in on_ranks(3, |ranks| of_all_ranks(&ranks, found(ranks.rank()))) {
            let particles: Vec<usize> = all.unusable.iter().map(|u| u.particle).collect();
            assert_eq!(particles, [10, 20, 21]);
            assert_eq!(all.unusable[2].reason, "rank 2 saw it");
            assert_eq!(all.powers, [(5, 0.0), (15, 1.0 / 3.0), (25, 2.0 / 3.0)]);
        }
    }
}
