//! Pixel sizes, particles that are there twice, and the hand.

use super::half_maps::Measured;
use super::inputs::{Inputs, Particles};
use super::{Check, Verdict};
use crate::dataset::copies::shared_by_halves;
use crate::formats::angstrom::Angstrom;
use std::collections::HashMap;

/// Relative difference of pixel sizes that is more than rounding.
const SAME_PIXEL: f64 = 1e-3;

/// Pixel sizes (Å) of single-particle images.
const PLAUSIBLE: [f64; 2] = [0.2, 15.0];

/// Share of the particle's diameter below which two picks are the same particle.
const SAME_PLACE: f64 = 0.2;

/// Diameter (Å) of particles where the files do not say.
const DIAMETER: f64 = 100.0;

/// Share of particles with a second pick that is good, and that is bad.
const NEIGHBOURS: [f64; 2] = [0.01, 0.1];

/// Checks that all files state one plausible pixel size, and that the pixels do not limit the resolution.
pub(super) fn pixel_size(inputs: &Inputs, measured: &Measured) -> Vec<Check> {
    let size = inputs.pixel_size;
    let differs = inputs
        .stated_pixel_sizes
        .iter()
        .find(|(_, stated)| (stated / size - 1.0).abs() > SAME_PIXEL);
    let figure = format!("{} Å", Angstrom(size));
    let plausible = (PLAUSIBLE[0]..=PLAUSIBLE[1]).contains(&size);
    let (verdict, reason) = match differs {
        Some((place, stated)) => (
            Verdict::Bad,
            format!("the half maps state {} Å, but {place} {} Å", Angstrom(size), Angstrom(*stated)),
        ),
        None if !plausible => (Verdict::Bad, "no microscope gives such pixels".into()),
        None => (
            Verdict::Good,
            "all files agree; whether the magnification is right within some per cent cannot be told from them".into(),
        ),
    };
    let stated = Check::new(
        "pixel size",
        figure,
        verdict,
        reason,
        "Give the right pixel size in the optics table, or refine again; calibrate it against a known structure.",
    );
    let share = measured.shell as f64 / (inputs.n() as f64 / 2.0);
    let limit = Check::new(
        "pixels against resolution",
        format!("{:.0} % of Nyquist", 100.0 * share),
        if share < 0.95 {
            Verdict::Good
        } else {
            Verdict::Look
        },
        format!(
            "{:.2} Å of a limit of {:.2} Å",
            measured.resolution,
            2.0 * size
        ),
        "Extract the particles again with smaller pixels: the data may show more.",
    );
    vec![stated, limit]
}

/// Checks for images in both half-sets, images that are there twice, and picks of one particle.
pub(super) fn copies(inputs: &Inputs) -> Vec<Check> {
    match &inputs.particles {
        Some(particles) => vec![images(particles), picks(particles, inputs.diameter)],
        None => vec![Check::new(
            "particles are there once",
            "–",
            Verdict::Unknown,
            "no table of particles was found",
            "",
        )],
    }
}

fn images(particles: &Particles) -> Check {
    let first = &particles.first_with_same_image;
    let twice = first
        .iter()
        .enumerate()
        .filter(|(i, first)| *i != **first)
        .count();
    let shared = match particles.halves.len() == first.len() {
        true => shared_by_halves(first, &particles.halves),
        false => None,
    };
    let (verdict, reason) = match (shared, twice) {
        (Some(shared), _) => (
            Verdict::Bad,
            format!(
                "{} particles have an image that is in both half-sets: noise alone would have an FSC of {:.2}",
                shared.particles, shared.correlation
            ),
        ),
        (None, 0) => (Verdict::Good, "no image is named twice".into()),
        (None, _) => (
            Verdict::Look,
            "images are named twice within a half-set".into(),
        ),
    };
    Check::new(
        "images are there once",
        format!("{twice} of {} again", particles.count),
        verdict,
        reason,
        "Remove the copies (relion_star_handler --remove_duplicates, or by hand) and refine again.",
    )
}

/// Particles of one micrograph whose refined centres nearly coincide.
fn picks(particles: &Particles, diameter: Option<f64>) -> Check {
    let name = "particles are picked once";
    if particles.places.is_empty() {
        return Check::new(
            name,
            "–",
            Verdict::Unknown,
            "the table of particles has no coordinates on micrographs, or no pixel size of these",
            "",
        );
    }
    let limit = SAME_PLACE * diameter.unwrap_or(DIAMETER);
    let mut cells: HashMap<(&str, i64, i64), Vec<usize>> = HashMap::new();
    let cell = |v: f64| (v / limit).floor() as i64;
    for (i, (name, [x, y])) in particles.places.iter().enumerate() {
        cells.entry((name, cell(*x), cell(*y))).or_default().push(i);
    }
    // The same image again is a check of its own.
    let image = |i: usize| particles.first_with_same_image.get(i).copied().unwrap_or(i);
    let has_neighbour = |i: &usize| {
        let (name, [x, y]) = &particles.places[*i];
        let near = |j: usize| {
            let [u, v] = particles.places[j].1;
            image(j) != image(*i) && (u - x).hypot(v - y) < limit
        };
        (-1..=1).any(|dy| {
            (-1..=1).any(|dx| {
                let key = (name.as_str(), cell(*x) + dx, cell(*y) + dy);
                cells
                    .get(&key)
                    .is_some_and(|found| found.iter().any(|j| near(*j)))
            })
        })
    };
    let count = (0..particles.places.len()).filter(has_neighbour).count();
    let share = count as f64 / particles.count.max(1) as f64;
    Check::new(
        name,
        format!("{count} of {}", particles.count),
        Verdict::of_rising(share, NEIGHBOURS[0], NEIGHBOURS[1]),
        format!(
            "particles with the centre of another image within {limit:.0} Å on the same micrograph: they may be one particle, in \
             both half-sets"
        ),
        "Remove picks that moved onto each other (relion_star_handler --remove_duplicates) and refine again.",
    )
}

/// Says that the hand is not known.
pub(super) fn hand() -> Check {
    Check::new(
        "hand",
        "–",
        Verdict::Unknown,
        "projections of a structure and of its mirror image are the same, so the hand cannot be told from these files",
        "Look at α-helices (right-handed), fit a known structure, or compare tilt pairs; flip the map and the half maps if it is wrong.",
    )
}
