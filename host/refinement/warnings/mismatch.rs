//! Signs, after the expectation step, that the images and the reference do not belong together: what RELION prints about
//! single particles or not at all is one line with numbers and advice here.

use crate::comm::Ranks;
use crate::expectation::{ClassSelection, ParticleOutcome, WeightedSums};
use crate::refinement::cli::console::Console;
use crate::refinement::job::Job;
use crate::refinement::start_up::unusable_images;
use ndarray::Array3;

/// Norm correction that is not one of a normalised image (spec 01 §7.3).
const HIGH_NORM: f64 = 10.0;
/// Strength of the reference in the images (1 where the grey scales agree) beyond which alignment suffers.
const GREY_SCALES: std::ops::RangeInclusive<f64> = 0.4..=1.8;
/// Share of all orientations and shifts beyond which the poses of the median particle are hardly determined. Without any
/// signal it is 10 to 20 %, since the prior of the shifts favours the central ones; good sets stay below 5 %.
const BROAD: f64 = 0.08;

/// Iteration from which references that were made from nothing are judged like others.
const SEASONED: usize = 10;

/// Warnings that were given and need not be repeated.
#[derive(Debug, Clone, Default)]
pub struct Alarms {
    /// That most samples are significant.
    broad: bool,
    /// Something was told that makes the poses doubtful.
    pub doubtful_poses: bool,
    /// A small copy of the first reference, for the end of the run.
    pub first_reference: Option<Array3<f64>>,
}

/// Warns about what the expectation step of this iteration found. All ranks have the same sums and outcomes; the console
/// of the first one prints. A collective.
pub(crate) fn after_expectation(
    job: &mut Job,
    ranks: &Ranks,
    sums: &[WeightedSums],
    outcomes: &[(usize, ParticleOutcome)],
    console: &Console,
) {
    let iteration = job.state.iteration;
    if iteration == 1 {
        let (set, images) = (&job.particles, &job.images);
        tell(
            console,
            unusable_images::judge_power(set, images, &job.settings, ranks),
        );
    }
    if job.cross_correlation(iteration) {
        return;
    }
    if job.settings.norm {
        let norms: Vec<f64> = outcomes.iter().map(|(_, found)| found.norm).collect();
        tell(console, high_norms(&norms));
        let high = norms.iter().filter(|&&norm| norm > HIGH_NORM).count();
        job.alarms.doubtful_poses |= 2 * high > norms.len();
    }
    if iteration == 1 && !job.state.references_made {
        let signal = sums.iter().map(|sums| sums.signal);
        let [product, power] = signal.fold([0.0; 2], |[x, a], [dx, da]| [x + dx, a + da]);
        let told = grey_scale(product / power);
        job.alarms.doubtful_poses |= told.is_some();
        tell(console, told);
    }
    let significant: Vec<usize> = outcomes
        .iter()
        .map(|(_, found)| found.significant_samples)
        .collect();
    if let Some(all) = samples_of_a_search(job, iteration)
        && let Some(text) = broad_search(&significant, all)
        && !job.alarms.broad
    {
        tell(console, Some(text));
        job.alarms.broad = true;
        job.alarms.doubtful_poses = true;
    }
}

fn tell(console: &Console, warning: Option<String>) {
    if let Some(text) = warning {
        console.warn(&format!(" + WARNING: {text}"));
    }
}

/// Coarse samples that a particle is compared with in a global search; None in other searches.
fn samples_of_a_search(job: &Job, iteration: usize) -> Option<usize> {
    let model = &job.models[0];
    // References from nothing look like no particle at first.
    let from_nothing = job.state.references_made && iteration < SEASONED;
    if job.skips_orientations() || model.local_search.is_some() || from_nothing {
        return None;
    }
    let classes = match job.class_selection(iteration) {
        ClassSelection::All => model.classes.len(),
        _ => 1,
    };
    let sampling = &job.sampling;
    Some(classes * sampling.directions.len() * sampling.n_psi() * sampling.translations.len())
}

/// Norm corrections that are too high, with their number.
fn high_norms(norms: &[f64]) -> Option<String> {
    let high = norms.iter().filter(|&&norm| norm > HIGH_NORM).count();
    let largest = norms.iter().copied().fold(0.0, f64::max);
    (high > 0).then(|| {
        format!(
            "the norm correction of {high} of {} particles is above {HIGH_NORM} (at most {largest:.1}): these images differ from \
             the reference by far more than noise does. If it is most of them, the grey scale of the reference is wrong: \
             start with --firstiter_cc. If it is few, look at these images (rlnNormCorrection in the _data.star file), and \
             remove them or extract the particles again with normalisation.",
            norms.len()
        )
    })
}

/// `strength` of the reference in the images, as the weighted sums of all particles have it.
fn grey_scale(strength: f64) -> Option<String> {
    if strength.is_nan() || strength <= 0.0 || GREY_SCALES.contains(&strength) {
        return None;
    }
    let (how, factor) = match strength < 1.0 {
        true => ("stronger", 1.0 / strength),
        false => ("weaker", strength),
    };
    Some(format!(
        "the reference is about {factor:.1} times {how} than the signal in the images, so its grey scale is wrong and the \
         probabilities of poses are, too. Start with --firstiter_cc, which does not depend on the grey scale, or take a \
         reference that was reconstructed from such images."
    ))
}

/// Numbers of significant samples, of `all`, that are too many in the middle.
fn broad_search(significant: &[usize], all: usize) -> Option<String> {
    let mut sorted = significant.to_vec();
    let middle = sorted.len().checked_sub(1)? / 2;
    let median = *sorted.select_nth_unstable(middle).1;
    let share = median as f64 / all.max(1) as f64;
    (share > BROAD).then(|| {
        format!(
            "half of the particles have {median} or more significant orientations and shifts of {all} ({:.0} %; above {:.0} % the \
             poses are hardly determined at all). The iteration takes as long as it does because all of them are looked at \
             again. Usual causes: a reference that is too weak or of another molecule, an --ini_high that leaves too little, \
             a few images of enormous power (see the warnings above).",
            100.0 * share,
            100.0 * BROAD
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norm_corrections_above_ten_are_counted() {
        assert_eq!(high_norms(&[0.6, 1.2, 10.0]), None);
        let text = high_norms(&[0.6, 12.0, 250.04, 1.0]).unwrap();
        assert!(
            text.contains("2 of 4 particles is above 10 (at most 250.0)"),
            "{text}"
        );
    }

    #[test]
    fn grey_scales_that_agree_are_nothing_to_warn_about() {
        for strength in [0.5, 1.0, 1.7, f64::NAN, -1.0] {
            assert_eq!(grey_scale(strength), None, "{strength}");
        }
        assert!(grey_scale(0.01).unwrap().contains("100.0 times stronger"));
        assert!(grey_scale(10.0).unwrap().contains("10.0 times weaker"));
    }

    #[test]
    fn a_search_is_broad_when_the_median_particle_keeps_much_of_it() {
        assert_eq!(broad_search(&[1, 20, 900], 1000), None);
        assert_eq!(broad_search(&[], 1000), None);
        let text = broad_search(&[1, 400, 900], 1000).unwrap();
        assert!(
            text.contains("400 or more") && text.contains("(40 %;"),
            "{text}"
        );
    }
}
