//! Lengths of the command line against the box of the images: what would leave nothing of images or references, or move
//! particles out of their images.

use crate::errors::{Code, Message};
use crate::formats::angstrom::Angstrom;
use crate::options::OptionsError;
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::settings::Settings;

/// Most steps of the offset range in each direction.
const MOST_OFFSET_STEPS: f64 = 100.0;
/// Least diameter of the mask of the particles, pixels.
const LEAST_DIAMETER: f64 = 4.0;
/// Least box in which images are compared, pixels.
const LEAST_COMPARED: usize = 4;

/// D, Å: as given, or the box less the edge of the mask.
pub(crate) fn particle_diameter(
    settings: &Settings,
    box_size: usize,
    pixel_size: f64,
    console: &Console,
) -> Result<f64, RunError> {
    let width = box_size as f64 * pixel_size;
    let Some(diameter) = settings.particle_diameter.filter(|&d| d > 0.0) else {
        let diameter = (box_size as f64 - settings.mask_edge) * pixel_size;
        if diameter <= 0.0 {
            return Err(Code::DIAMETER.says(format!(
                "a mask edge of {} pixels leaves nothing of the box of {box_size} pixels. Give a smaller --maskedge.",
                settings.mask_edge
            )).into());
        }
        console.say(&format!(
            " Particle diameter not given: using {} Angstroms (box less mask edge)",
            Angstrom(diameter)
        ));
        return Ok(diameter);
    };
    if diameter > width {
        return Err(Code::DIAMETER.says(format!(
            "the particle diameter of {diameter} Å (--particle_diameter) is larger than the box of {box_size} pixels × \
             {} Å = {} Å. Give the diameter in Å, smaller than the box, or extract larger images.",
            Angstrom(pixel_size),
            Angstrom(width)
        )).into());
    }
    if diameter < LEAST_DIAMETER * pixel_size {
        return Err(Code::DIAMETER.says(format!(
            "the particle diameter of {diameter} Å (--particle_diameter) is less than {LEAST_DIAMETER} pixels of {} Å, so the \
             mask would leave nothing of the particles. Give the longest dimension of the particle in Å, with some margin.",
            Angstrom(pixel_size)
        )).into());
    }
    Ok(diameter)
}

/// Refuses resolutions, edges and boxes that leave nothing to compare, for a box of `box_size` pixels that is `width` Å wide.
pub(crate) fn check_resolutions(
    settings: &Settings,
    box_size: usize,
    width: f64,
) -> Result<(), Message> {
    for (option, resolution) in [
        ("--ini_high", settings.initial_low_pass),
        ("--strict_highres_exp", settings.strict_highres),
    ] {
        if let Some(resolution) = resolution.filter(|&resolution| resolution >= width) {
            return Err(Code::BAD_VALUE.says(format!(
                "{option} {resolution} Å is not less than the width of the box, {} Å, so nothing would be left to compare. Give a \
                 smaller number.",
                Angstrom(width)
            )));
        }
    }
    if let Some(lowest) = settings.strict_lowres {
        let nyquist = 2.0 * width / box_size as f64;
        let highest = settings.strict_highres.map_or(nyquist, |h| h.max(nyquist));
        if lowest <= highest {
            return Err(Code::BAD_VALUE.says(format!(
                "--strict_lowres_exp {lowest} Å leaves nothing to compare: images are compared from that resolution up to {} Å. Give \
                 a larger number, or leave it out.",
                Angstrom(highest)
            )));
        }
    }
    if settings.mask_edge > box_size as f64 && settings.particle_diameter.is_some() {
        return Err(Code::BAD_VALUE.says(format!(
            "--maskedge {} is more than the box of {box_size} pixels. It is in pixels, about 5: give a smaller number.",
            settings.mask_edge
        )));
    }
    match settings.max_coarse_size {
        Some(size) if size < LEAST_COMPARED => Err(Code::BAD_VALUE.says(format!(
            "--coarse_size {size} leaves nothing to compare: it is the box of the first pass in pixels, at least {LEAST_COMPARED}. \
             Leave it out, or give a larger one."
        ))),
        _ => Ok(()),
    }
}

/// Returns what stands after the names of a range of offsets and its step where they make too many translations.
pub(crate) fn too_many_offsets(range: f64, step: f64) -> Option<String> {
    let few = range / step <= MOST_OFFSET_STEPS;
    (!few).then(|| format!("makes more than {MOST_OFFSET_STEPS} steps in each direction"))
}

/// Refuses translations (range and step in pixels) that are too many to be searched.
pub(crate) fn check_offset_steps(range: f64, step: f64) -> Result<(), OptionsError> {
    let Some(many) = too_many_offsets(range, step) else {
        return Ok(());
    };
    Err(OptionsError::Combination(format!(
        "--offset_range {range} with --offset_step {step} (pixels) {many}: give a smaller range or a larger step"
    )))
}

/// Refuses translations (range and step in pixels) beyond half of the box.
pub(crate) fn check_offsets([range, step]: [f64; 2], box_size: usize) -> Result<(), Message> {
    for (option, value) in [("--offset_range", range), ("--offset_step", step)] {
        if value > box_size as f64 / 2.0 {
            return Err(Code::BAD_VALUE.says(format!(
                "{option} {value} is more than half of the box of {box_size} pixels, so particles would leave their images. It \
                 is in pixels: give a smaller number."
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl Fn(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    #[test]
    fn what_leaves_nothing_to_compare_is_refused() {
        let check = |change: fn(&mut Settings)| check_resolutions(&settings(change), 64, 256.0);
        assert!(check(|s| s.initial_low_pass = Some(60.0)).is_ok());
        assert!(check(|s| s.max_coarse_size = Some(4)).is_ok());
        assert!(check(|s| s.strict_lowres = Some(30.0)).is_ok());
        for (change, option) in [
            (
                (|s| s.initial_low_pass = Some(256.0)) as fn(&mut Settings),
                "--ini_high 256 Å",
            ),
            (
                |s| s.strict_highres = Some(1e9),
                "--strict_highres_exp 1000000000 Å",
            ),
            (|s| s.max_coarse_size = Some(1), "--coarse_size 1 "),
            (|s| s.strict_lowres = Some(8.0), "--strict_lowres_exp 8 Å"),
            (
                |s| (s.strict_lowres, s.strict_highres) = (Some(20.0), Some(50.0)),
                "--strict_lowres_exp 20 Å",
            ),
            (
                |s| (s.mask_edge, s.particle_diameter) = (65.0, Some(100.0)),
                "--maskedge 65 ",
            ),
        ] {
            let refused = check(change).unwrap_err();
            assert_eq!(refused.code, Code::BAD_VALUE);
            assert!(refused.text.starts_with(option), "{refused}");
        }
    }

    #[test]
    fn a_mask_has_a_few_pixels() {
        let of = |diameter: f64| {
            let settings = settings(|s| s.particle_diameter = Some(diameter));
            particle_diameter(&settings, 64, 4.0, &Console::new(0, true))
        };
        assert_eq!(of(170.0).unwrap(), 170.0);
        for diameter in [1.0, 257.0] {
            let refused = of(diameter).unwrap_err().to_string();
            assert!(refused.contains("--particle_diameter"), "{refused}");
        }
    }

    #[test]
    fn particles_stay_in_their_images() {
        assert!(check_offsets([5.0, 2.0], 64).is_ok());
        for (offsets, option) in [
            ([33.0, 2.0], "--offset_range"),
            ([5.0, 33.0], "--offset_step"),
        ] {
            let refused = check_offsets(offsets, 64).unwrap_err();
            assert!(refused.text.starts_with(option), "{refused}");
        }
        assert!(check_offset_steps(10.0, 0.05).is_err());
    }
}
