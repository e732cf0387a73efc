//! A run that goes on from an optimiser file.

use super::input_checks::{UNSEEDED, check_columns, check_ctf, drop_corrected_ctf, warn_all};
use super::regions::RegionFiles;
use super::solvent_masks::Solvent;
use super::{Beginning, disable_scale_of_one_group, half_sets, open_images, tell_of_images};
use crate::comm::Ranks;
use crate::dataset::fingerprints;
use crate::geometry::random::CRandom;
use crate::refinement::checkpoint::{fingerprint_tables, overwritten, resume};
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::schedule::gradient_iterations;
use crate::refinement::settings::{class_averages, lengths};
use crate::refinement::steps::external;

/// Returns a run as its optimiser file left it. Its notices are the caller's to print.
///
/// # Errors
/// Options, or files that belong to the run, that cannot be used.
pub fn resumed(
    resumed: resume::Resumed,
    ranks: &Ranks,
    console: &Console,
) -> Result<Job, RunError> {
    let resume::Resumed {
        mut settings,
        mut state,
        particles,
        models,
        mut sampling,
        original_sampling,
        order_iteration,
        exact,
        ..
    } = resumed;
    if sampling.in_plane {
        class_averages::check(&settings)?;
    }
    external::check(&settings.maps)?;
    check_columns(&settings, &particles)?;
    drop_corrected_ctf(&mut settings, &particles.optics, console);
    check_ctf(&settings, &particles, console)?;
    let (box_size, pixel_size) = (models[0].box_size, models[0].pixel_size);
    lengths::check_resolutions(&settings, box_size, box_size as f64 * pixel_size)?;
    let diameter = lengths::particle_diameter(&settings, box_size, pixel_size, console)?;
    disable_scale_of_one_group(&mut settings, &particles, console);
    let images = open_images(&particles, settings.preread_images, ranks)?;
    tell_of_images(&images, console);
    if ranks.leads() {
        let inputs = fingerprints::of_set(&particles, &images);
        let changed = fingerprint_tables::changed_inputs(&state.inputs, &inputs, &particles);
        warn_all(console, &changed);
        state.inputs = inputs;
    }
    let first = state.iteration + 1;
    overwritten::check_files(
        &settings,
        first,
        "a stack of the particles",
        images.stacks(),
    )?;
    overwritten::check_places(&settings, first)?;
    let (solvent, warnings) = Solvent::read(
        &mut settings,
        &models[0].classes[0].map,
        pixel_size,
        diameter,
    )?;
    warn_all(console, &warnings);
    let reference = &models[0].classes[0].map;
    let regions = RegionFiles::read(&mut settings, &particles, reference, pixel_size)?;
    warn_all(console, &regions.warnings);
    if models.len() == 2 {
        let same_image = particles.first_with_same_image();
        warn_all(console, &half_sets::warnings(&particles, &same_image));
    }
    if !exact {
        sampling.perturbation = 0.0;
        sampling.perturb(&mut CRandom::new(UNSEEDED));
    }
    let dimensions = models[0].dimensions();
    let schedule =
        gradient_iterations::schedule(&mut settings, dimensions, particles.particles.len());
    let tau2_fudge = gradient_iterations::tau2_fudge(schedule.as_ref(), &settings, state.iteration);
    let beginning = Beginning {
        settings,
        particles,
        images,
        models,
        sampling,
        original_sampling,
        order_iteration,
        state,
        solvent,
        regions,
        diameter,
        schedule,
        tau2_fudge,
    };
    beginning.job(ranks)
}
