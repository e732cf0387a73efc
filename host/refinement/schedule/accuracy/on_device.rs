//! The estimate with references on a device: every error of both series is tried at once for all particles.

use crate::dataset::Particle;
use crate::expectation::{ExpectationError, cuda::trials::Trials};
use crate::fourier::reference::DeviceReference;
use crate::refinement::error::RunError;
use crate::refinement::schedule::accuracy::{
    AccuracyInput, ClassAccuracy, LARGEST, NOTICEABLE, choice, ctf_of, image_plane, places::places,
    rotation_step, series, shifts_along_x, translation_step, turned,
};
use gpu::slice::SliceAxes;
use rayon::prelude::*;

/// Accuracies of one class.
pub(super) fn estimate(
    input: &AccuracyInput,
    reference: &DeviceReference,
    trials: &[&Particle],
) -> Result<ClassAccuracy, RunError> {
    let mut errors = Vec::new();
    let mut spectrum = vec![0.0; input.model.box_size / 2 + 1];
    for group in 0..input.optics.len() {
        let members: Vec<&Particle> = trials
            .iter()
            .copied()
            .filter(|p| p.optics_group == group)
            .collect();
        if !members.is_empty() {
            errors.extend(of_group(input, reference, group, &members, &mut spectrum)?);
            (input.progress)(members.len());
        }
    }
    Ok(ClassAccuracy::of(&errors, &spectrum))
}

/// First noticeable rotation and translation of each of `members`, all of optics group `number`; adds to `spectrum`.
fn of_group(
    input: &AccuracyInput,
    reference: &DeviceReference,
    number: usize,
    members: &[&Particle],
    spectrum: &mut [f64],
) -> Result<Vec<[f64; 2]>, RunError> {
    let group = &input.optics[number];
    let listed = places(input, number);
    let ctfs = members
        .iter()
        .map(|particle| ctf_of(input, particle))
        .collect::<Result<Vec<_>, RunError>>()?;
    let mut weights = vec![0.0f32; listed.len() * members.len()];
    weights
        .par_chunks_mut(listed.len().max(1))
        .zip(&ctfs)
        .for_each(|(weights, ctf)| {
            for (weight, place) in weights.iter_mut().zip(&listed) {
                *weight = place.weight(ctf.as_ref()) as f32;
            }
        });
    let places: Vec<[i16; 2]> = listed.iter().map(|p| [p.x as i16, p.y as i16]).collect();
    let shell_of: Vec<u32> = listed.iter().map(|p| p.shell as u32).collect();
    let axes_of =
        |orientation| image_plane(reference.shape.padding, group, input.model).axes(&orientation);
    let dimensions = input.model.dimensions();
    let axes: Vec<SliceAxes> = members
        .iter()
        .map(|p| axes_of(turned(p, dimensions, 0.0, 0.0)))
        .collect();
    let choices: Vec<f32> = members.iter().map(|p| choice(input, p)).collect();
    let failed = |error| RunError::from(ExpectationError::from(error));
    let on_device = Trials::new(reference, &places, &weights, &axes).map_err(failed)?;

    let tried = |step: fn(f64) -> f64, largest: f64| -> Vec<f64> {
        series(step).take_while(|&error| error <= largest).collect()
    };
    let rotations = tried(rotation_step, LARGEST[0]);
    let translations = tried(translation_step, LARGEST[1]);
    let mut moved = Vec::new();
    let mut shifts = Vec::new();
    for ((particle, &choice), &own) in members.iter().zip(&choices).zip(&axes) {
        for &error in &rotations {
            moved.push(axes_of(turned(particle, dimensions, choice, error)));
            shifts.push([0.0; 2]);
        }
        for &error in &translations {
            let turns = (error / group.box_size as f64) as f32;
            moved.push(own);
            shifts.push(match shifts_along_x(choice) {
                true => [turns, 0.0],
                false => [0.0, turns],
            });
        }
    }
    let differences = on_device.differences(&moved, &shifts).map_err(failed)?;
    let found: Vec<[f64; 2]> = differences
        .chunks_exact(rotations.len() + translations.len())
        .map(|of_particle| {
            let (turned, shifted) = of_particle.split_at(rotations.len());
            [
                first(rotation_step, &rotations, turned),
                first(translation_step, &translations, shifted) * group.pixel_size,
            ]
        })
        .collect();
    // A trial without a limit contributes nothing: its slice is compared with itself.
    let at_limit: Vec<SliceAxes> = members
        .iter()
        .zip(&choices)
        .zip(&axes)
        .zip(&found)
        .map(
            |(((particle, &choice), &own), &[rotation, _])| match rotation <= LARGEST[0] {
                true => axes_of(turned(particle, dimensions, choice, rotation)),
                false => own,
            },
        )
        .collect();
    let own = on_device
        .spectrum(&at_limit, &shell_of, spectrum.len())
        .map_err(failed)?;
    spectrum.iter_mut().zip(own).for_each(|(sum, v)| *sum += v);
    Ok(found)
}

/// The first error whose difference is noticeable, or the one after the last that was tried.
fn first(step: fn(f64) -> f64, tried: &[f64], differences: &[f32]) -> f64 {
    let at = differences.iter().position(|&d| f64::from(d) > NOTICEABLE);
    series(step)
        .nth(at.unwrap_or(tried.len()))
        .expect("the series is endless")
}
