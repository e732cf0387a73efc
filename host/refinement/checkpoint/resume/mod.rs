//! Continuing a run from an `_optimiser.star`, RELION's or ours (spec 03 §5).

mod belonging;
mod checks;
pub(crate) mod model;
pub(crate) mod optimiser;
mod paths;
#[cfg(test)]
mod round_trip;
pub(crate) mod sampling;

use crate::dataset::{DatasetError, ParticleSet, ReadOptions};
use crate::errors::{Code, Message, wrapping_error};
use crate::formats::mrc::MrcError;
use crate::formats::star::{Document, StarError};
use crate::geometry::prior::LocalSearch;
use crate::geometry::sampling::Sampling;
use crate::geometry::symmetry::{PointGroup, SymmetryError};
use crate::model::Model;
use crate::refinement::checkpoint::optimiser_star::Files;
use crate::refinement::checkpoint::set_mark::SetMark;
use crate::refinement::checkpoint::{OriginalSampling, fingerprint_tables, gerelion_state};
use crate::refinement::job::uniform_directions;
use crate::refinement::settings::Settings;
use crate::refinement::state::RunState;
use std::path::{Path, PathBuf};

wrapping_error! {
    /// Why a run cannot be continued: which file, what is wrong with it, what to try.
    pub enum ResumeError {
        /// STAR syntax or content.
        Star(StarError),
        /// A reference map.
        Map(MrcError),
        /// The particle table.
        Particles(DatasetError),
    }
}

/// A run as it stood when its optimiser file was written.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// Options stored in the files; those that the files do not store have their defaults (spec 03 §5). Sampling options
    /// (`healpix_order`, `psi_step`, `offset_range`, `offset_step`) are None: the grid itself is in `sampling`.
    /// Then `Settings::apply_continue_options`, then [`Resumed::apply_settings`].
    pub settings: Settings,
    /// Counters and flags; `iteration` is the one to continue after.
    pub state: RunState,
    /// Particles with the poses of that iteration.
    pub particles: ParticleSet,
    /// One model, or those of half 1 and half 2, maps included.
    pub models: Vec<Model>,
    /// Sampling of that iteration.
    pub sampling: Sampling,
    /// See [`OriginalSampling`].
    pub original_sampling: OriginalSampling,
    /// Iteration whose number seeds the processing order.
    pub order_iteration: usize,
    /// True for our own files, which hold everything: the loop goes on as if it had never stopped (no +1 on the no-gain
    /// counter, no initialisation draw of the perturbation). False for RELION's: its restart rules hold (spec 03 §5).
    pub exact: bool,
    /// Output root of the files that were read.
    pub old_root: String,
    /// Messages for the user.
    pub notices: Vec<String>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Read an optimiser file and everything that it names. Paths are taken relative to the current folder and, where nothing
/// is there, relative to the optimiser's own folder (with a notice).
pub fn read_optimiser(path: &Path) -> Result<Resumed, ResumeError> {
    let document = Document::read(path)?;
    let table = document.require("optimiser_general")?;
    let iteration = optimiser::check(table, path)?;
    let mut notices = Vec::new();
    let command_line = document.header.get(1).map_or("", |line| line.trim());
    checks::option_values(table, path)?;
    let optimiser::Stored {
        mut settings,
        mut state,
        files,
    } = optimiser::read(table, path, command_line.to_string())?;

    belonging::iteration_of_names(table, iteration, path)?;
    let mark = SetMark::of_header(&document.header);
    let (sampling_path, model_paths) =
        locate_files(&mut settings, &files, path, &mark, &mut notices)?;
    let mut particles = ParticleSet::read(
        &settings.particles,
        &ReadOptions {
            pixel_size: None,
            need_ctf: settings.ctf,
        },
    )?;
    notices.append(&mut particles.warnings);
    let models = model_paths
        .iter()
        .map(|path| {
            let groups = (particles.optics.len(), particles.scale_groups.len());
            model::read(path, groups.0, groups.1, &mark, &mut notices)
        })
        .collect::<Result<Vec<Model>, ResumeError>>()?;

    checks::particle_numbers(&models, &particles, &model_paths)?;
    checks::model_values(&models, &model_paths)?;

    state.iteration = iteration;
    if let Some(accuracy) = files.accuracy_translations {
        state.accuracy_translations = accuracy.angstrom(models[0].pixel_size);
    }
    state.references_made = optimiser::references_made(&settings.command_line);
    state.current_resolution = models[0].current_resolution;
    state.current_size = models[0].current_size;
    let ours = gerelion_state::own_table(&document, path)?;
    let stored = sampling::read(&sampling_path, ours.is_some())?;
    let mut grid = stored.sampling;
    let mut original_sampling = OriginalSampling::of(&grid);
    let mut order_iteration = iteration + 1;
    settings.symmetry = grid.symmetry.name().to_string();
    if let Some(table) = ours {
        checks::numbers(table, path, checks::OF_STATE)?;
        gerelion_state::check_particles(table, &particles)?;
        let exact = gerelion_state::read(table, &mut settings, &mut state)?;
        grid = exact_grid(grid, &exact, settings.relaxed_symmetry.as_deref(), path)?;
        order_iteration = exact.order_iteration;
        state.subsets = gerelion_state::read_subsets(&document)?;
        state.inputs = fingerprint_tables::read(&document, fingerprint_tables::INPUTS)?;
        gerelion_state::check_subsets(&state, path)?;
        original_sampling = stored.original.unwrap_or(original_sampling);
    }
    checks::directions(&models, &grid, &sampling_path)?;
    if !settings.gradient.on {
        checks::class_numbers(&particles, models[0].classes.len())?;
    }
    let mut warnings = checks::equal_references(&models[0], state.seeds_due);
    let results = fingerprint_tables::read(&document, fingerprint_tables::RESULTS)?;
    warnings.extend(fingerprint_tables::changed_results(&results, &models, path));
    warnings.extend(checks::offset_prior(&models[0], &model_paths[0]));
    warnings.extend(belonging::pixel_sizes(
        &models[0],
        &particles,
        &model_paths[0],
    )?);
    warnings.extend(match ours {
        Some(table) => gerelion_state::changed_seed(table, state.random_seed, path)?,
        None => belonging::seed(&settings.command_line, state.random_seed, path),
    });
    take_settings(&mut settings, &state, &models[0], &grid);
    for file in settings.regions.files() {
        let recorded = file.take();
        *file = recorded.map(|recorded| paths::locate_or_keep(recorded, path, &mut notices));
    }
    Ok(Resumed {
        old_root: settings.output_root.clone(),
        settings,
        state,
        particles,
        models,
        sampling: grid,
        original_sampling,
        order_iteration,
        exact: ours.is_some(),
        notices,
        warnings,
    })
}

/// Finds the files that an optimiser file names: puts particles and masks into the settings, returns those of the sampling and
/// of the models.
fn locate_files(
    settings: &mut Settings,
    files: &Files,
    path: &Path,
    mark: &SetMark,
    notices: &mut Vec<String>,
) -> Result<(PathBuf, Vec<PathBuf>), ResumeError> {
    let mut locate = |recorded: &str, what: &str| paths::locate(recorded, path, what, notices);
    settings.particles = locate(&files.data, "particle table")?;
    let sampling_path = locate(&files.sampling, "sampling file")?;
    let mut model_paths = vec![locate(&files.model, "model file")?];
    if settings.split_random_halves {
        let recorded = second_half(files, path)?;
        model_paths.push(locate(&recorded, "model file of half 2")?);
    }
    for file in [&settings.particles, &sampling_path]
        .into_iter()
        .chain(&model_paths)
    {
        mark.check(file, path)?;
    }
    for file in [
        &mut settings.solvent_mask,
        &mut settings.solvent_mask2,
        &mut settings.tau_spectrum,
        &mut settings.maps.local_symmetry,
    ] {
        *file = file
            .take()
            .map(|recorded| paths::locate_or_keep(recorded, path, notices));
    }
    Ok((sampling_path, model_paths))
}

/// Returns the grid with the steps, the relaxed symmetry and the perturbation that our own table of the optimiser file `path` holds.
fn exact_grid(
    grid: Sampling,
    exact: &gerelion_state::Exact,
    relaxed: Option<&str>,
    path: &Path,
) -> Result<Sampling, ResumeError> {
    let mut grid = grid.with_steps(
        grid.healpix_order,
        grid.psi_step,
        exact.offset_range,
        exact.offset_step,
    );
    if let Some(name) = relaxed {
        let group = PointGroup::parse(name).map_err(|e| Message::of(&e).about(path.display()))?;
        grid = grid.relaxing(group);
    }
    grid.perturbation = exact.perturbation;
    Ok(grid)
}

/// Takes the options that the model and sampling files hold.
fn take_settings(settings: &mut Settings, state: &RunState, model: &Model, grid: &Sampling) {
    settings.classes = model.classes.len();
    settings.padding = model.padding;
    settings.initial_sigma_offset = model.sigma2_offset.sqrt();
    settings.limit_tilt = grid.limit_tilt;
    settings.perturbation = grid.perturbation_factor;
    settings.only_sample_tilt = grid.only_tilt;
    settings.sigma_angles = stored_widths(settings, state, model, grid);
}

/// Widths of local searches that the user asked for (`--sigma_ang` …); off (−1) where the schedule of auto-refine set them.
fn stored_widths(
    settings: &Settings,
    state: &RunState,
    model: &Model,
    grid: &Sampling,
) -> [f64; 3] {
    let automatic = (settings.auto_refine || settings.auto_sampling)
        && (state.local_searches || grid.healpix_order >= settings.auto_local_healpix_order);
    match &model.local_search {
        Some(search) if !automatic => [search.sigma_rot, search.sigma_tilt, search.sigma_psi],
        _ => [-1.0; 3],
    }
}

/// Returns the name of the model of half 2, which half-set runs need.
fn second_half(files: &Files, path: &Path) -> Result<String, ResumeError> {
    match &files.model2 {
        Some(recorded) => Ok(recorded.display().to_string()),
        None => Err(Code::CANNOT_CONTINUE.says(format!(
            "{}: this half-set run names no model of half 2 (rlnModelStarFile2), as if its halves had been joined after \
             convergence. Give the optimiser file of an earlier iteration.",
            path.display()
        )).into()),
    }
}

impl Resumed {
    /// Range and step of translations (pixels) that the run goes on with, where the command line changes one of them. To be
    /// checked before [`Resumed::apply_settings`] makes the grid.
    pub fn changed_offsets(&self) -> Option<[f64; 2]> {
        let (settings, old) = (&self.settings, &self.sampling);
        if settings.offset_range.is_none() && settings.offset_step.is_none() {
            return None;
        }
        let pixels = |angstrom: f64| angstrom / self.models[0].pixel_size;
        Some([
            settings.offset_range.unwrap_or(pixels(old.offset_range)),
            settings.offset_step.unwrap_or(pixels(old.offset_step)),
        ])
    }

    /// Carry options changed on the command line over into models, sampling and output root: T, padding, width of offsets
    /// and local searches, grid (not in auto-refine; a new HEALPix order resets the direction priors), relaxed symmetry,
    /// `_ctI` root rule.
    ///
    /// # Errors
    /// `--relax_sym` names no point group.
    pub fn apply_settings(&mut self) -> Result<(), SymmetryError> {
        self.settings.output_root = continuation_root(
            &self.old_root,
            Some(&self.settings.output_root),
            self.state.iteration,
        );
        let first_width = self.models[0].sigma2_offset.sqrt();
        let [sigma_rot, sigma_tilt, sigma_psi] = self.settings.sigma_angles;
        for model in &mut self.models {
            if let Some(tau2_fudge) = self.settings.tau2_fudge {
                model.tau2_fudge = tau2_fudge;
            }
            model.padding = self.settings.padding;
            if self.settings.initial_sigma_offset != first_width {
                model.sigma2_offset = self.settings.initial_sigma_offset.powi(2);
            }
            if sigma_rot > 0.0 || sigma_tilt > 0.0 || sigma_psi > 0.0 {
                model.local_search = Some(LocalSearch {
                    sigma_rot,
                    sigma_tilt,
                    sigma_psi,
                });
            }
        }
        self.sampling.perturbation_factor = self.settings.perturbation;
        if self.settings.perturbation == 0.0 {
            self.sampling.perturbation = 0.0;
        }
        if !(self.settings.auto_refine || self.settings.auto_sampling) {
            self.apply_sampling_options();
        }
        self.relax_symmetry()
    }

    /// The grid becomes that of the relaxed group, where it is not yet; new directions reset the direction priors.
    fn relax_symmetry(&mut self) -> Result<(), SymmetryError> {
        let Some(name) = &self.settings.relaxed_symmetry else {
            return Ok(());
        };
        let group = PointGroup::parse(name)?;
        let directions = self.sampling.directions.len();
        self.sampling = self.sampling.clone().relaxing(group);
        if self.sampling.directions.len() != directions {
            self.make_directions_uniform();
        }
        Ok(())
    }

    fn make_directions_uniform(&mut self) {
        let directions = self.sampling.directions.len();
        for model in &mut self.models {
            uniform_directions(model, directions);
        }
    }

    fn apply_sampling_options(&mut self) {
        let settings = &self.settings;
        let pixel_size = self.models[0].pixel_size;
        let old = &self.sampling;
        let order = match old.in_plane {
            true => old.healpix_order,
            false => settings.healpix_order.unwrap_or(old.healpix_order),
        };
        let changed = order != old.healpix_order;
        let psi_step = settings
            .psi_step
            .unwrap_or(if changed { -1.0 } else { old.psi_step });
        let in_angstrom = |pixels: f64| pixels * pixel_size;
        let given = settings.healpix_order.is_some()
            || settings.psi_step.is_some()
            || settings.offset_range.is_some()
            || settings.offset_step.is_some();
        let range = settings.offset_range.map_or(old.offset_range, in_angstrom);
        let step = settings.offset_step.map_or(old.offset_step, in_angstrom);
        self.sampling = old.with_steps(order, psi_step, range, step);
        if changed {
            self.make_directions_uniform();
        }
        if given {
            self.original_sampling = OriginalSampling::of(&self.sampling);
        }
    }
}

/// Root of the output of a continued run: the given one, or `<old>_ctI` when none or the old one was given (spec 03 §1.6).
pub fn continuation_root(old: &str, given: Option<&str>, iteration: usize) -> String {
    match given {
        Some(root) if !root.is_empty() && root != old => root.to_string(),
        _ => format!("{old}_ct{iteration}"),
    }
}
