//! A run as it goes from iteration to iteration: what start-up makes and iterations change.

use crate::dataset::{ImageStore, ParticleSet};
use crate::expectation::{ClassSelection, ExpectationOptions};
use crate::geometry::{Matrix3, prior::LocalSearch, sampling::Sampling};
use crate::maximization::{MaximizationOptions, gradient::schedule::Schedule};
use crate::model::Model;
use crate::model::local_symmetry::LocalSymmetry;
use crate::model::regions::Regions;
use crate::refinement::checkpoint::OriginalSampling;
use crate::refinement::schedule::{SamplingSteps, ScheduleRule};
use crate::refinement::settings::Settings;
use crate::refinement::start_up::solvent_masks::Solvent;
use crate::refinement::state::RunState;
use crate::refinement::warnings::mismatch::Alarms;
use ndarray::Array3;
use std::sync::Arc;

/// A run between two iterations.
pub struct Job {
    /// Options of the user.
    pub settings: Settings,
    /// Options of the expectation step.
    pub expectation: ExpectationOptions,
    /// Options of the reconstruction.
    pub maximization: MaximizationOptions,
    /// Particles with their current poses.
    pub particles: ParticleSet,
    /// Their images.
    pub images: ImageStore,
    /// One model, or those of half 1 and half 2.
    pub models: Vec<Model>,
    /// Grid of orientations and translations.
    pub sampling: Sampling,
    /// The grid at the start of the program run.
    pub original_sampling: OriginalSampling,
    /// Counters and flags.
    pub state: RunState,
    /// Masks.
    pub solvent: Solvent,
    /// Masks and operators that maps are averaged over (`--local_symmetry`).
    pub local_symmetry: Option<LocalSymmetry>,
    /// Regions that are told apart in the comparison (`--red_mask`).
    pub regions: Option<Regions>,
    /// Mask of the gold-standard FSC (`--fsc_mask`).
    pub fsc_mask: Option<Array3<f64>>,
    /// Symmetry operators (without the identity) of each class, for the sums.
    pub operators: Vec<Vec<Matrix3>>,
    /// τ² comes from `--tau` and stays.
    pub fixed_tau2: bool,
    /// Processing order of each half.
    pub orders: Vec<Vec<usize>>,
    /// Iteration whose number seeds the processing order.
    pub order_iteration: usize,
    /// Unregularised half maps of the last iteration, where they were made.
    pub unfiltered: Vec<Arc<Array3<f64>>>,
    /// Class averages of the last iteration as they were before the solvent was flattened; none for maps.
    pub unmasked: Vec<Arc<Array3<f64>>>,
    /// Warnings that were given.
    pub alarms: Alarms,
    /// Schedule of the iterations of a gradient run (`--grad`).
    pub gradient: Option<Schedule>,
}

impl Job {
    /// Gold-standard halves: two models.
    pub fn halves(&self) -> bool {
        self.models.len() == 2
    }

    /// Sampling follows accuracies and resolution.
    pub fn automatic_sampling(&self) -> bool {
        self.settings.auto_refine || self.settings.auto_sampling
    }

    /// The iteration compares by cross-correlation.
    pub fn cross_correlation(&self, iteration: usize) -> bool {
        self.settings.always_cc || (self.settings.first_iteration_cc && iteration == 1)
    }

    /// Classes that particles are compared with: while all classes are copies of one map, first only one of them
    /// (`--firstiter_cc`), then a random one for each particle (spec 01 §2.4–2.5).
    pub fn class_selection(&self, iteration: usize) -> ClassSelection {
        let cc_first = self.settings.first_iteration_cc;
        match iteration {
            _ if !self.state.seeds_due => ClassSelection::All,
            1 if cc_first => ClassSelection::First,
            _ => ClassSelection::RandomPerParticle,
        }
    }

    /// Regions by which an unwanted signal is subtracted in this iteration.
    pub fn subtracted_regions(&self) -> Option<&Regions> {
        let regions = self.regions.as_ref()?;
        (self.state.iteration >= regions.from_iteration).then_some(regions)
    }

    /// Poses are not searched, or only shifts.
    pub fn skips_orientations(&self) -> bool {
        self.settings.skip_align || self.settings.skip_rotate
    }

    /// Options of the schedule.
    pub fn schedule(&self) -> ScheduleRule {
        ScheduleRule {
            oversampling: self.expectation.oversampling,
            local_order: self.settings.auto_local_healpix_order,
            particle_diameter: self.expectation.particle_diameter,
            ignore_angles: self.settings.auto_ignore_angles,
            resolution_angles: self.settings.auto_resol_angles,
            minimum_step: self.settings.minimum_angular_sampling,
            maximum_step: self.settings.maximum_angular_sampling,
            ignore_changes: self.gradient.is_some(),
            stays_global: self.state.gradient,
        }
    }

    /// Steps in use.
    pub fn steps(&self) -> SamplingSteps {
        SamplingSteps {
            healpix_order: self.sampling.healpix_order,
            offset_range: self.sampling.offset_range,
            offset_step: self.sampling.offset_step,
        }
    }

    /// Steps at the start of the program run.
    pub fn original_steps(&self) -> SamplingSteps {
        SamplingSteps {
            healpix_order: self.original_sampling.healpix_order,
            offset_range: self.original_sampling.offset_range,
            offset_step: self.original_sampling.offset_step,
        }
    }

    /// Replace the grid, keeping the perturbation; a new order makes direction priors uniform.
    pub fn resample(&mut self, steps: SamplingSteps) {
        if steps == self.steps() {
            return;
        }
        let old = &self.sampling;
        let psi_step = if steps.healpix_order == old.healpix_order {
            old.psi_step
        } else {
            -1.0
        };
        let new = old.with_steps(
            steps.healpix_order,
            psi_step,
            steps.offset_range,
            steps.offset_step,
        );
        let new_directions = new.healpix_order != old.healpix_order;
        self.sampling = new;
        if new_directions {
            let directions = self.sampling.directions.len();
            for model in &mut self.models {
                uniform_directions(model, directions);
            }
        }
    }

    /// Turn local searches on around the current angles, with these widths (degrees).
    pub fn search_locally(&mut self, width: f64) {
        for model in &mut self.models {
            model.local_search = Some(LocalSearch {
                sigma_rot: width,
                sigma_tilt: width,
                sigma_psi: width,
            });
        }
    }

    /// Current angles are the centres of priors (rather than the prior columns of the table).
    pub fn priors_from_current(&self) -> bool {
        (self.automatic_sampling() && self.state.local_searches)
            || self.settings.sigma_angles.iter().all(|&s| s > 0.0)
    }
}

/// The same prior for every class and direction.
pub fn uniform_directions(model: &mut Model, directions: usize) {
    let prior = 1.0 / (model.classes.len() * directions) as f64;
    for class in &mut model.classes {
        class.direction_prior = vec![prior; directions];
    }
}
