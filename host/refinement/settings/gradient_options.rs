//! The options of gradient refinement (`--grad`, `--grad_…`) in their working form (spec 05 §1–4).

use crate::formats::star::{StarError, Table};
use crate::maximization::gradient::schedule::{ScheduleOptions, Scheme};
use crate::options::{CommandLine, OptionsError};
use crate::refinement::settings::Settings;
use crate::refinement::settings::option_values::{
    between, count, optional_count, positive_or_default, refuse,
};

/// Options of gradient refinement.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientSettings {
    /// `--grad`.
    pub on: bool,
    /// `--grad_em_iters`.
    pub em_iterations: usize,
    /// `--grad_ini_frac`.
    pub initial_fraction: f64,
    /// `--grad_fin_frac`.
    pub last_fraction: f64,
    /// `--grad_min_resol`, Å; without effect, kept for the files.
    pub minimum_resolution: f64,
    /// `--grad_ini_resol`, Å; without effect, kept for the files.
    pub initial_resolution: f64,
    /// `--grad_fin_resol`, Å; without effect, kept for the files.
    pub last_resolution: f64,
    /// `--grad_ini_subset`; None: by the number of particles.
    pub initial_subset: Option<usize>,
    /// `--grad_fin_subset`; None: by the number of particles.
    pub last_subset: Option<usize>,
    /// `--mu`.
    pub momentum: f64,
    /// `--grad_stepsize`; None: by the kind of job.
    pub step_size: Option<f64>,
    /// `--grad_stepsize_scheme`; empty: by the kind of job.
    pub step_scheme: String,
    /// `--tau2_fudge_scheme`; empty: by the kind of job.
    pub tau2_scheme: String,
    /// `--grad_write_iter`.
    pub write_every: usize,
    /// `--class_inactivity_threshold`.
    pub inactivity: f64,
}

/// `--iter` of a gradient run that does not say how many.
pub const DEFAULT_ITERATIONS: usize = 200;

impl GradientSettings {
    /// Every value checked by itself.
    pub(crate) fn from_values(line: &CommandLine) -> Result<Self, OptionsError> {
        let fraction = |option| match line.real(option) {
            fraction if fraction > 0.0 && fraction < 1.0 => Ok(fraction),
            _ => Err(refuse(
                line,
                option,
                "it is a fraction of the iterations, between 0 and 1 (neither of them)",
            )),
        };
        let scheme = |option| match line.text(option) {
            text if text.is_empty() || Scheme::parse(text).is_some() => Ok(text.to_owned()),
            _ => Err(refuse(
                line,
                option,
                "it is plain or X-step, X being the factor of a step (as 3-step)",
            )),
        };
        Ok(Self {
            on: line.flag("--grad"),
            em_iterations: count(line, "--grad_em_iters", 0)?,
            initial_fraction: fraction("--grad_ini_frac")?,
            last_fraction: fraction("--grad_fin_frac")?,
            minimum_resolution: line.real("--grad_min_resol"),
            initial_resolution: line.real("--grad_ini_resol"),
            last_resolution: line.real("--grad_fin_resol"),
            initial_subset: optional_count(line, "--grad_ini_subset")?,
            last_subset: optional_count(line, "--grad_fin_subset")?,
            momentum: between(line, "--mu", 0.0, 1.0, "it must lie between 0 and 1")?,
            step_size: positive_or_default(
                line,
                "--grad_stepsize",
                "it is a share of a step, above 0 (-1: by the kind of job)",
            )?,
            step_scheme: scheme("--grad_stepsize_scheme")?,
            tau2_scheme: scheme("--tau2_fudge_scheme")?,
            write_every: count(line, "--grad_write_iter", 1)?,
            inactivity: between(
                line,
                "--class_inactivity_threshold",
                0.0,
                1.0,
                "it is a share of a class, between 0 and 1",
            )?,
        })
    }

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

    /// Reads the options from an optimiser file; those that older files lack have their defaults.
    pub(crate) fn read(table: &Table) -> Result<Self, StarError> {
        let mut found = Settings::default().gradient;
        found.on = table.has("rlnDoGradientRefine") && table.boolean(0, "rlnDoGradientRefine")?;
        if !found.on {
            return Ok(found);
        }
        let count = |label: &str| table.integer(0, label).map(|n| n.max(0) as usize);
        let real = |label: &str| table.real(0, label);
        let subset = |label: &str| Ok::<_, StarError>(Some(count(label)?).filter(|n| *n > 0));
        // Two quotes stand for nothing.
        let word = |label: &str| {
            table
                .text(0, label)
                .map(|text| text.trim_matches('"').to_owned())
        };
        Ok(Self {
            on: true,
            em_iterations: count("rlnGradEmIters")?,
            initial_fraction: real("rlnSgdInitialIterationsFraction")?,
            last_fraction: real("rlnSgdFinalIterationsFraction")?,
            minimum_resolution: real("rlnSgdMinimumResolution")?,
            initial_resolution: real("rlnSgdInitialResolution")?,
            last_resolution: real("rlnSgdFinalResolution")?,
            initial_subset: subset("rlnSgdInitialSubsetSize")?,
            last_subset: subset("rlnSgdFinalSubsetSize")?,
            momentum: real("rlnSgdMuFactor")?,
            step_size: Some(real("rlnSgdStepsize")?).filter(|v| *v > 0.0),
            step_scheme: word("rlnSgdStepsizeScheme")?,
            tau2_scheme: word("rlnTau2FudgeScheme")?,
            write_every: count("rlnSgdWriteEverySubset")?.max(1),
            inactivity: real("rlnSgdClassInactivityThreshold")?,
        })
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
