//! The options of gradient refinement (`--grad`, `--grad_…`) in their working form (spec 05 §1–4).

use crate::maximization::gradient::schedule::{ScheduleOptions, Scheme};
use crate::options::{CommandLine, OptionsError};
use crate::refinement::settings::Settings;
use crate::refinement::settings::declare::option_group;
use crate::refinement::settings::option_values::{count, flag, optional_count, positive, real};

option_group! {
    /// Options of gradient refinement.
    #[derive(Debug, Clone, PartialEq)]
    pub struct GradientSettings {
        options {
            "--grad" on: bool = flag;
            "--grad_em_iters" em_iterations: usize = count;
            "--grad_ini_frac" initial_fraction: f64 = real;
            "--grad_fin_frac" last_fraction: f64 = real;
            /// Å; without effect, kept for the files.
            "--grad_min_resol" minimum_resolution: f64 = real;
            /// Å; without effect, kept for the files.
            "--grad_ini_resol" initial_resolution: f64 = real;
            /// Å; without effect, kept for the files.
            "--grad_fin_resol" last_resolution: f64 = real;
            /// None: by the number of particles.
            "--grad_ini_subset" initial_subset: Option<usize> = optional_count;
            /// None: by the number of particles.
            "--grad_fin_subset" last_subset: Option<usize> = optional_count;
            "--mu" momentum: f64 = real;
            /// None: by the kind of job.
            "--grad_stepsize" step_size: Option<f64> = positive;
            /// Empty: by the kind of job.
            "--grad_stepsize_scheme" step_scheme: String = scheme;
            /// Empty: by the kind of job.
            "--tau2_fudge_scheme" tau2_scheme: String = scheme;
            "--grad_write_iter" write_every: usize = count;
            "--class_inactivity_threshold" inactivity: f64 = real;
        }
        others {}
        groups {}
    }
}

/// `--iter` of a gradient run that does not say how many.
pub const DEFAULT_ITERATIONS: usize = 200;

/// Returns a scheme of steps; empty: by the kind of job.
fn scheme(line: &CommandLine, option: &'static str) -> Result<String, OptionsError> {
    match line.text(option) {
        text if text.is_empty() || Scheme::parse(text).is_some() => Ok(text.to_owned()),
        _ => Err(line.impossible(
            option,
            "it is plain or X-step, X being the factor of a step (as 3-step)",
        )),
    }
}

impl GradientSettings {
    /// Why gradient refinement cannot be combined with another option, if it is on.
    pub(crate) fn excluded_by(&self, settings: &Settings) -> Option<&'static str> {
        let excluded = [
            (
                settings.split_random_halves,
                "--grad cannot be combined with --split_random_halves or --auto_refine: gradient refinement compares halves of its \
                 own making. Make a first map with --grad, then refine it with --auto_refine",
            ),
            (
                settings.fast_subsets,
                "--fast_subsets cannot be combined with --grad, whose subsets have their own sizes (--grad_ini_subset, \
                 --grad_fin_subset)",
            ),
            (
                settings.random_seed == Some(0),
                "--random_seed 0 keeps the particles in order, so that with --grad every subset would hold the same ones: give \
                 another seed",
            ),
        ];
        let found = excluded.into_iter().find(|(holds, _)| *holds);
        found.filter(|_| self.on).map(|(_, why)| why)
    }

    /// Returns warnings about options that contradict each other.
    pub(crate) fn warnings(&self, settings: &Settings) -> Vec<String> {
        let mut warnings = Vec::new();
        if let (true, Some(first), Some(last)) = (self.on, self.initial_subset, self.last_subset)
            && first > last
        {
            warnings.push(format!(
                "--grad_ini_subset {first} is larger than --grad_fin_subset {last}: subsets will shrink while the maps get finer, \
                 which need more particles. Give a larger last one."
            ));
        }
        if settings.denovo_3d && settings.reference.is_some() {
            warnings.push(format!(
                "--ref gives the references, so --denovo_3dref makes none from nothing{}. For an initial model from nothing leave out \
                 --ref.",
                match self.on {
                    true => "; it only chooses the steps and the T of --grad",
                    false => "",
                }
            ));
        }
        warnings
    }

    /// The options of the schedule of a run of so many iterations.
    pub(crate) fn schedule_options(
        &self,
        iterations: usize,
        tau2_fudge: Option<f64>,
        first_iteration_cc: bool,
    ) -> ScheduleOptions {
        ScheduleOptions {
            iterations,
            em_iterations: self.em_iterations,
            fractions: [self.initial_fraction, self.last_fraction],
            subsets: [self.initial_subset, self.last_subset],
            step_size: self.step_size,
            step_scheme: Scheme::parse(&self.step_scheme),
            tau2_fudge,
            tau2_scheme: Scheme::parse(&self.tau2_scheme),
            momentum: self.momentum,
            write_every: self.write_every,
            inactivity: self.inactivity,
            first_iteration_cc,
        }
    }
}
