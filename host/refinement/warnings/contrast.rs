//! The contrast of the images against that of the reference: black particles on white compared with a white reference
//! refine to noise. A few images are compared with the reference and with its negative before the first iteration.

use crate::expectation::cpu::CpuEngine;
use crate::expectation::{
    BatchItem, ClassSelection, Criterion, ExpectationEngine, ExpectationOptions, ImageSizes,
    IterationInput,
};
use crate::fourier::reference::{self, Reference};
use crate::fourier::resample::resample;
use crate::fourier::shape::Dimensions;
use crate::geometry::sampling::Sampling;
use crate::model::{ClassModel, Model};
use crate::refinement::cli::console::Console;
use crate::refinement::cli::phase::Phase;
use crate::refinement::cli::stage_log::Stage;
use crate::refinement::error::RunError;
use crate::refinement::job::{Job, uniform_directions};
use crate::refinement::parallel::workers::StopSign;
use crate::refinement::schedule::image_size::{self, PassRule, SizeRule};

/// Images compared; the best poses of fewer than [`FEWEST`] say nothing.
const IMAGES: usize = 128;
const FEWEST: usize = 16;
/// Standard deviations, of a fair coin, by which more images must fit the negative better.
const BEYOND_CHANCE: f64 = 4.0;
/// HEALPix order of the trial: steps of 30°.
const ORDER: u32 = 1;
/// In-plane step of the trial of class averages, degrees.
const IN_PLANE_STEP: f64 = 15.0;
/// Class averages that images are compared with at most.
const AVERAGES: usize = 50;
/// Resolution of the trial at most, Å: contrast is in the coarse features.
const RESOLUTION: f64 = 30.0;
/// Shifts on a line from the centre outwards at most.
const SHIFTS: f64 = 3.0;

/// As [`check`], with its progress on the console; `stop` may stop it.
pub(crate) fn check_showing(
    job: &Job,
    console: &Console,
    stop: &StopSign,
) -> Result<Option<String>, RunError> {
    let total = job.particles.particles.len().min(IMAGES);
    let title = " Comparing the contrast of images and reference ...";
    let phase = Phase::begin(console, Stage::CheckContrast, None, title, total);
    let found = check(job, &mut |done| {
        phase.set(done);
        stop.check()
    });
    phase.set(total);
    found
}

/// Warns when the images of a new run fit the negative of the (first) reference, or of any class average, better than the
/// reference itself.
fn check(
    job: &Job,
    poll: &mut dyn FnMut(usize) -> Result<(), RunError>,
) -> Result<Option<String>, RunError> {
    let total = job.particles.particles.len();
    let chosen: Vec<usize> = match total <= IMAGES {
        true => (0..total).collect(),
        false => (0..IMAGES).map(|i| i * total / IMAGES).collect(),
    };
    if chosen.len() < FEWEST {
        return Ok(None);
    }
    let negative = better_with_the_negative(job, &chosen, poll)?;
    Ok(negative.and_then(|negative| verdict(negative, chosen.len())))
}

fn verdict(negative: usize, images: usize) -> Option<String> {
    let n = images as f64;
    (negative as f64 > n / 2.0 + BEYOND_CHANCE * n.sqrt() / 2.0).then(|| {
        format!(
            "the contrast seems to be inverted: of {images} images, {negative} fit the negative of the reference better than the \
             reference. The particles must be as bright as the reference (both white, usually). Extract the particles with \
             inverted contrast, or multiply the images or the reference by -1 (relion_image_handler --multiply_constant -1)."
        )
    })
}

/// Number of the images that fit the negative better; None where the comparison fails, about which the iteration itself will
/// say more.
fn better_with_the_negative(
    job: &Job,
    chosen: &[usize],
    poll: &mut dyn FnMut(usize) -> Result<(), RunError>,
) -> Result<Option<usize>, RunError> {
    let sampling = trial_sampling(&job.sampling);
    let (model, sizes) = trial_model(job, sampling.directions.len());
    let positive = model.classes.len() / 2;
    let references: Vec<Reference> = model
        .classes
        .iter()
        .map(|class| {
            let prepared = reference::prepare(&class.map, model.padding, model.current_size, None);
            Reference::Host(prepared.volume)
        })
        .collect();
    let options = ExpectationOptions {
        oversampling: 0,
        norm: false,
        scale: false,
        skip_align: false,
        skip_rotate: false,
        skip_maximize: true,
        ..job.expectation.clone()
    };
    let input = IterationInput {
        options: &options,
        model: &model,
        references: &references,
        optics: &job.particles.optics,
        sizes: &sizes,
        sampling: &sampling,
        criterion: Criterion::CrossCorrelation,
        classes: ClassSelection::All,
        references_ctf_corrected: job.state.references_ctf_corrected,
        priors_from_current: false,
        gradient: false,
        subtraction: None,
    };
    let mut engine = CpuEngine::new();
    if engine.begin_iteration(&input).is_err() {
        return Ok(None);
    }
    let mut negative = 0;
    for (number, part) in chosen.chunks(engine.batch_size()).enumerate() {
        poll(number * engine.batch_size())?;
        let items = part
            .iter()
            .map(|&index| {
                Ok(BatchItem {
                    particle: &job.particles.particles[index],
                    position: index,
                    image: job.images.image(&job.particles, index)?,
                    name: job.particles.image_name(index),
                })
            })
            .collect::<Result<Vec<_>, RunError>>()?;
        let Ok(outcomes) = engine.process_batch(&input, &items) else {
            return Ok(None);
        };
        negative += outcomes
            .iter()
            .filter(|found| found.class > positive)
            .count();
    }
    Ok(Some(negative))
}

/// A coarse grid over all orientations, with shifts as far as those of the run.
fn trial_sampling(of_run: &Sampling) -> Sampling {
    let range = of_run.offset_range;
    let step = of_run.offset_step.max(range / SHIFTS);
    if of_run.in_plane {
        return Sampling::in_plane(ORDER, IN_PLANE_STEP, range, step, 0.0);
    }
    Sampling::new(
        ORDER,
        -1.0,
        of_run.symmetry.clone(),
        of_run.limit_tilt,
        range,
        step,
        0.0,
    )
}

/// The first map, or the class averages, as classes and their negatives as further ones, in a box that holds what the trial
/// looks at; and the boxes of the optics groups.
fn trial_model(job: &Job, directions: usize) -> (Model, Vec<ImageSizes>) {
    let whole = &job.models[0];
    let width = whole.box_size as f64 * whole.pixel_size;
    let resolution = job.settings.initial_low_pass.unwrap_or(0.0).max(RESOLUTION);
    let current_size = image_size::current_size(&SizeRule {
        box_size: whole.box_size,
        pixel_size: whole.pixel_size,
        resolution: 1.0 / resolution,
        average_pmax: 0.0,
        high_fsc_at_limit: false,
        increment: 1,
        use_all_data: false,
    });
    // Small references take neither time nor memory, however large the box of the run is.
    let box_size = (2 * current_size).min(whole.box_size);
    let shells = box_size / 2 + 1;
    let compared = match whole.dimensions() {
        Dimensions::Two => AVERAGES,
        Dimensions::Three => 1,
    };
    let mut classes: Vec<ClassModel> = whole.classes.iter().take(compared).cloned().collect();
    for class in &mut classes {
        class.map = resample(&class.map, box_size).into();
        for spectrum in [
            &mut class.tau2,
            &mut class.sigma2,
            &mut class.ssnr,
            &mut class.coverage,
            &mut class.fsc,
        ] {
            spectrum.truncate(shells);
        }
    }
    let mut negatives = classes.clone();
    for class in &mut negatives {
        class.map = class.map.mapv(|value| -value).into();
    }
    classes.append(&mut negatives);
    let noise = whole.noise.iter();
    let mut model = Model {
        box_size,
        pixel_size: width / box_size as f64,
        classes,
        noise: noise.map(|spectrum| spectrum[..shells].to_vec()).collect(),
        current_size,
        local_search: None,
        ..whole.clone()
    };
    uniform_directions(&mut model, directions);
    let rule = PassRule {
        dimensions: whole.dimensions(),
        box_size,
        pixel_size: model.pixel_size,
        current_size,
        particle_diameter: job.expectation.particle_diameter,
        angular_step: 0.0,
        oversampling: 0,
        strict_highres: None,
        max_coarse_size: None,
    };
    let optics = job.particles.optics.iter();
    let sizes = optics
        .map(|group| image_size::image_sizes(group, &rule))
        .collect();
    (model, sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_no_reason_to_warn() {
        for (negative, images) in [(0, 128), (64, 128), (80, 128), (12, 16)] {
            assert_eq!(verdict(negative, images), None, "{negative} of {images}");
        }
        assert!(
            verdict(120, 128)
                .unwrap()
                .contains("of 128 images, 120 fit")
        );
        assert!(verdict(88, 128).is_some());
    }
}
