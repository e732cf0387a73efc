//! Findings: signs of a run that goes wrong or of results that say less than they seem to.

use super::history::{Run, Set};
use super::maps::Views;
use super::pace;
use super::state::State;
use super::tables::{Class, Model};
use crate::findings::half_sets::{self, GOLD_STANDARD};
use crate::findings::views;
use crate::geometry::symmetry::PointGroup;
use std::time::SystemTime;

/// Share of the particles below which a class is as good as empty.
const SMALL_CLASS: f64 = 0.01;

/// Number of classes from which some are expected to be small.
const MANY: usize = 10;

/// Share of an even share below which one of many classes is small.
const SMALL_OF_MANY: f64 = 0.1;

/// Share of the particles above which one of many classes is worth a word.
const LARGE_OF_MANY: f64 = 0.5;

/// Change of the average Pmax between two iterations of equal sampling that is not settled.
const PMAX_CHANGE: f64 = 0.2;

/// Iterations, from the last, in which Pmax should have settled.
const SETTLED: usize = 3;

/// Share by which the resolution may fall behind the best before it is worth a word.
const WORSE: f64 = 1.1;

/// Times the longest iteration after which a run may have stopped without a word, and seconds that it must be at least.
const SILENCE: (f64, f64) = (5.0, 3600.0);

/// Everything found about a run, in words.
pub(super) fn of(run: &Run, state: State, now: SystemTime) -> Vec<String> {
    let mut found = Vec::new();
    match state {
        State::Failed => {
            found.push("The run ended with an error; its own output says which.".into())
        }
        State::Aborted => found.push("The run was stopped before its end.".into()),
        State::Running => found.extend(silence(&run.sets, now)),
        State::Finished => {}
    }
    let model = &run.last().model;
    found.extend(flawed_maps(&run.latest.maps));
    found.extend(small_classes(model));
    found.extend(blank_averages(run));
    found.extend(nyquist(model));
    found.extend(fsc(model));
    let particles = run.latest.particles.as_ref();
    found.extend(particles.and_then(|p| Some(half_sets::shared(p.shared?, p.count).text)));
    found.extend(views_of_classes(run));
    found.extend(resolution_lost(&run.sets));
    // Each iteration of a gradient run has other particles.
    if run.optimiser().is_none_or(|o| o.gradient.is_none()) {
        found.extend(pmax(&run.sets));
    }
    found
}

/// Maps that show nothing.
fn flawed_maps(maps: &[Views]) -> Vec<String> {
    let told = |map: &Views| {
        let flaw = map.flaw.as_ref()?;
        Some(format!(
            "{} shows nothing: {flaw} ({}). Look at the mask, the reference and the warnings of the run.",
            map.title,
            map.path.display()
        ))
    };
    maps.iter().filter_map(told).collect()
}

/// Averages of classes with particles that show nothing.
fn blank_averages(run: &Run) -> Option<String> {
    let averages = run.latest.averages.as_ref()?;
    let mut flawed = averages.flaws.iter().enumerate().filter_map(|(k, flaw)| {
        let has_particles = run.last().model.classes[k].occupancy > 0.0;
        Some((k, flaw.as_ref().filter(|_| has_particles)?))
    });
    let (k, flaw) = flawed.next()?;
    let others = match flawed.count() {
        0 => String::new(),
        1 => " So does another one.".into(),
        n => format!(" So do {n} others."),
    };
    Some(format!(
        "The average of class {} shows nothing: {flaw}.{others} Look at the images, their CTF parameters and the warnings of the run.",
        k + 1
    ))
}

/// Of many classes, as in 2D, some are always small: only their number is told.
fn many_classes(model: &Model) -> Vec<String> {
    let count = model.classes.len();
    let small = |share: f64| {
        let is_small = |class: &&Class| class.occupancy <= share / count as f64;
        model.classes.iter().filter(is_small).count()
    };
    let (empty, tiny) = (small(0.0), small(SMALL_OF_MANY));
    let mut found = Vec::new();
    if 2 * tiny > count {
        found.push(format!(
            "{tiny} of {count} classes hold less than a tenth of an even share ({empty} of them nothing): fewer classes (--K) would do."
        ));
    }
    let largest = model.by_occupancy()[0];
    let share = model.classes[largest].occupancy;
    if share > LARGE_OF_MANY {
        found.push(format!(
            "Class {} holds {:.0} % of the particles. If its average is blurred, it gathers what fits nowhere else; gradient \
             refinement (--grad) is less prone to that.",
            largest + 1,
            100.0 * share
        ));
    }
    found
}

fn small_classes(model: &Model) -> Vec<String> {
    if model.classes.len() >= MANY {
        return many_classes(model);
    }
    let is_small = |occupancy: f64| model.classes.len() > 1 && occupancy < SMALL_CLASS;
    model
        .classes
        .iter()
        .enumerate()
        .filter(|(_, class)| is_small(class.occupancy))
        .map(|(k, class)| {
            format!(
                "Class {} holds only {:.2} % of the particles: its map says little.",
                k + 1,
                100.0 * class.occupancy
            )
        })
        .collect()
}

fn nyquist(model: &Model) -> Option<String> {
    let nyquist = 2.0 * model.pixel_size;
    let shell = model.extent() / model.resolution;
    (shell >= model.box_size as f64 / 2.0 - 1.0).then(|| {
        format!(
            "The resolution of {:.2} Å has reached the limit of the pixels (Nyquist, {nyquist:.2} Å): smaller pixels may show more.",
            model.resolution
        )
    })
}

fn fsc(model: &Model) -> Option<String> {
    let spectra = &model.classes.first()?.spectra;
    let curve: Vec<f64> = spectra
        .fsc
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .collect();
    if let Some(level) = half_sets::alike(&curve) {
        return Some(level.text);
    }
    if let Some(end) = half_sets::does_not_fall(&curve) {
        return Some(format!(
            "The FSC does not fall to zero: it is {end:.2} at the highest frequency. Either the pixels limit the resolution, or \
             the half-sets share something (particles extracted twice, a tight mask)."
        ));
    }
    half_sets::rises_again(&curve).map(|(shell, value)| {
        format!(
            "The FSC falls below {GOLD_STANDARD} and rises to {value:.2} again, at {:.2} Å.",
            model.extent() / shell as f64
        )
    })
}

/// Classes whose particles are seen from few sides.
fn views_of_classes(run: &Run) -> Vec<String> {
    let model = &run.last().model;
    let (Some(particles), false) = (&run.latest.particles, model.is_2d) else {
        return Vec::new();
    };
    let group = run
        .sampling()
        .and_then(|s| PointGroup::parse(&s.symmetry).ok());
    let group = group.unwrap_or_else(PointGroup::c1);
    let judge = |k: usize| {
        let whose = match model.classes.len() {
            1 => String::new(),
            _ => format!(" of class {}", k + 1),
        };
        let coverage = views::coverage(&particles.directions_of(k), group.operators())?;
        Some(views::preferred(coverage, &whose, views::Poses::Plausible)?.text)
    };
    (0..model.classes.len()).filter_map(judge).collect()
}

fn resolution_lost(sets: &[Set]) -> Option<String> {
    let best = sets
        .iter()
        .filter(|set| set.model.resolution.is_finite())
        .min_by(|a, b| a.model.resolution.total_cmp(&b.model.resolution))?;
    let last = sets.last()?;
    (last.model.resolution > best.model.resolution * WORSE).then(|| {
        format!(
            "The resolution fell back from {:.2} Å in iteration {} to {:.2} Å.",
            best.model.resolution, best.name, last.model.resolution
        )
    })
}

/// Pmax that still changes widely in the latest iterations. It may where the sampling changes, and after the first iteration.
fn pmax(sets: &[Set]) -> Option<String> {
    let recent = &sets[sets
        .len()
        .saturating_sub(SETTLED + 1)
        .max(2)
        .min(sets.len())..];
    recent
        .windows(2)
        .filter(|pair| pair[1].follows(&pair[0]))
        .filter(|pair| pair[0].sampling.is_some() && pair[0].sampling == pair[1].sampling)
        .map(|pair| (&pair[0], &pair[1]))
        .find(|(a, b)| (a.model.average_pmax - b.model.average_pmax).abs() > PMAX_CHANGE)
        .map(|(a, b)| {
            format!(
                "The average Pmax changed widely, from {:.2} in iteration {} to {:.2} in iteration {}, with the same sampling: \
                 the alignment has not settled.",
                a.model.average_pmax, a.name, b.model.average_pmax, b.name
            )
        })
}

fn silence(sets: &[Set], now: SystemTime) -> Option<String> {
    let longest = sets
        .iter()
        .filter_map(|set| set.seconds)
        .fold(0.0, f64::max);
    let age = now
        .duration_since(sets.last()?.written?)
        .ok()?
        .as_secs_f64();
    // Gradient runs write only some iterations.
    let between = sets
        .windows(2)
        .filter_map(|pair| pair[1].name.iterations_since(pair[0].name));
    let until_written = longest * between.max().unwrap_or(1) as f64;
    (longest > 0.0 && age > (SILENCE.0 * until_written).max(SILENCE.1)).then(|| {
        format!(
            "Nothing was written for {}, while no iteration took longer than {}: the run may have stopped.",
            pace::words(age),
            pace::words(longest)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::SetName;
    use super::super::tables::{Class, Sampling, Spectra};
    use super::*;
    use crate::dataset::copies::Shared;
    use std::time::Duration;

    fn model(resolution: f64, occupancies: &[f64], fsc: &[f64]) -> Model {
        Model {
            is_2d: false,
            tau_fudge: None,
            box_size: 64,
            pixel_size: 4.0,
            resolution,
            current_size: 64,
            average_pmax: 0.5,
            local_searches: false,
            noise: Vec::new(),
            classes: occupancies
                .iter()
                .map(|occupancy| Class {
                    occupancy: *occupancy,
                    resolution: None,
                    accuracy_rotations: None,
                    accuracy_translations: None,
                    completeness: None,
                    spectra: Spectra {
                        fsc: fsc.to_vec(),
                        ..Spectra::default()
                    },
                })
                .collect(),
        }
    }

    fn set(number: usize, average_pmax: f64, resolution: f64) -> Set {
        Set {
            name: SetName::Iteration(number),
            model: Model {
                average_pmax,
                ..model(resolution, &[1.0], &[])
            },
            optimiser: None,
            sampling: Some(Sampling {
                symmetry: "C1".into(),
                angular_step: 7.5,
                offset_range: 10.0,
                offset_step: 2.0,
            }),
            written: None,
            seconds: None,
        }
    }

    /// A mask that removed everything leaves zeros.
    #[test]
    fn maps_that_show_nothing() {
        let views = |map: ndarray::Array3<f32>| {
            Views::of("Final map".into(), "run_class001.mrc".into(), &map, 2.0)
        };
        let mut map = ndarray::Array3::zeros((4, 4, 4));
        let found = flawed_maps(&[views(map.clone())]);
        assert!(
            found[0].starts_with("Final map shows nothing: every voxel is 0 (run_class001.mrc)"),
            "{found:?}"
        );
        map[[1, 2, 3]] = 1.0;
        assert_eq!(flawed_maps(&[views(map.clone())]), Vec::<String>::new());
        map[[1, 2, 2]] = f32::NAN;
        assert!(flawed_maps(&[views(map)])[0].contains("voxels that are NaN"));
    }

    #[test]
    fn classes_that_are_nearly_empty() {
        let found = small_classes(&model(10.0, &[0.6, 0.39, 0.0042], &[]));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("Class 3 holds only 0.42 %"),
            "{found:?}"
        );
        assert!(small_classes(&model(10.0, &[1.0], &[])).is_empty());
    }

    #[test]
    fn resolution_at_the_limit_of_the_pixels() {
        assert!(nyquist(&model(8.0, &[1.0], &[])).is_some());
        assert!(nyquist(&model(9.0, &[1.0], &[])).is_none());
        assert!(nyquist(&model(f64::INFINITY, &[1.0], &[])).is_none());
    }

    #[test]
    fn curves_that_do_not_end_at_zero_or_rise_again() {
        let text = |fsc: &[f64]| super::fsc(&model(20.0, &[1.0], fsc)).unwrap_or_default();
        assert_eq!(text(&[1.0, 0.9, 0.3, 0.1, 0.05, 0.02]), "");
        assert_eq!(
            text(&[0.0, 0.0, 0.0, 0.0]),
            "",
            "no FSC in a classification"
        );
        assert!(text(&[1.0, 0.9, 0.5, 0.4, 0.3]).contains("does not fall to zero: it is 0.30"));
        assert!(text(&[1.0, 0.5, 0.1, 0.4, 0.1, 0.0]).contains("rises to 0.40 again, at 85.33 Å"));
    }

    #[test]
    fn images_in_both_half_sets_are_counted() {
        let shared = Shared {
            particles: 20,
            first: 3,
            correlation: 0.104,
        };
        let text = half_sets::shared(shared, 200).text;
        assert!(text.starts_with("20 of 200 particles"), "{text}");
        assert!(text.contains("an FSC of 0.10 instead of 0"), "{text}");
    }

    #[test]
    fn pmax_must_settle_unless_the_sampling_changes() {
        let mut sets: Vec<Set> = [0.0, 1.0, 0.2, 0.5, 0.75, 0.76]
            .into_iter()
            .enumerate()
            .map(|(i, p)| set(i, p, 10.0))
            .collect();
        assert!(
            pmax(&sets)
                .unwrap()
                .contains("0.20 in iteration 2 to 0.50 in iteration 3")
        );
        sets[3].sampling.as_mut().unwrap().angular_step = 3.75;
        assert!(pmax(&sets).is_none(), "{:?}", pmax(&sets));
        assert!(pmax(&sets[..2]).is_none() && pmax(&sets[..1]).is_none());
    }

    #[test]
    fn resolution_that_falls_back() {
        let sets = [
            set(0, 0.0, f64::INFINITY),
            set(1, 0.5, 10.0),
            set(2, 0.5, 12.0),
        ];
        assert!(
            resolution_lost(&sets)
                .unwrap()
                .contains("10.00 Å in iteration 1 to 12.00 Å")
        );
        assert!(resolution_lost(&sets[..2]).is_none());
    }

    #[test]
    fn a_silent_run_is_suspected_only_after_long() {
        let start = SystemTime::UNIX_EPOCH;
        let mut last = set(1, 0.5, 10.0);
        (last.written, last.seconds) = (Some(start), Some(1000.0));
        let after = |seconds| {
            silence(
                std::slice::from_ref(&last),
                start + Duration::from_secs(seconds),
            )
        };
        assert!(after(4900).is_none());
        assert!(after(5100).unwrap().contains("16 min 40 s"));
    }

    /// Of many classes only the number of small ones is told, and the one that gathers most.
    #[test]
    fn many_classes_are_told_of_together() {
        let mut occupancies = vec![0.0; 20];
        occupancies[4] = 0.6;
        occupancies[5..12].fill(0.4 / 7.0);
        let told = small_classes(&model(20.0, &occupancies, &[]));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with("12 of 20 classes") && told[0].contains("(12 of them nothing)")
        );
        assert!(told[1].starts_with("Class 5 holds 60 %"), "{told:?}");
        assert!(small_classes(&model(20.0, &[0.05; 20], &[])).is_empty());
    }
}
