//! Options of GeRelion's dynamic signal subtraction, and of the auto-refinement that it belongs to (spec 06 §9.2).

use crate::formats::star::{StarError, Table};
use crate::options::{CommandLine, OptionsError};
use crate::refinement::settings::Settings;
use crate::refinement::settings::option_values::count;
use std::path::PathBuf;

/// Regions of the particle that are aligned and compared between half-sets, and for how many iterations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionOptions {
    /// `--red_mask`: the wanted region.
    pub wanted_mask: Option<PathBuf>,
    /// `--yellow_mask`: the unwanted region of the current map.
    pub unwanted_mask: Option<PathBuf>,
    /// `--yellow_map`: the unwanted signal as a map that stays as it is.
    pub unwanted_map: Option<PathBuf>,
    /// `--fsc_mask`: the gold-standard FSC is that of the half maps under this mask.
    pub fsc_mask: Option<PathBuf>,
    /// `--extra_iter`: iterations of an auto-refinement between convergence and the last, joined one.
    pub extra_iterations: usize,
}

const EXTRA_ITERATIONS: &str = "gerelionExtraIterations";

impl RegionOptions {
    /// Options of a command line.
    pub(crate) fn from_values(line: &CommandLine) -> Result<Self, OptionsError> {
        let path = |name| line.name_given(name).map(PathBuf::from);
        Ok(Self {
            wanted_mask: path("--red_mask"),
            unwanted_mask: path("--yellow_mask"),
            unwanted_map: path("--yellow_map"),
            fsc_mask: path("--fsc_mask"),
            extra_iterations: count(line, "--extra_iter", 0)?,
        })
    }

    /// An unwanted signal is subtracted.
    pub fn subtracts(&self) -> bool {
        self.wanted_mask.is_some()
    }

    /// The files, each with the column of `gerelion_state` that names it.
    pub(crate) fn files(&mut self) -> [(&'static str, &mut Option<PathBuf>); 4] {
        [
            ("gerelionRedMask", &mut self.wanted_mask),
            ("gerelionYellowMask", &mut self.unwanted_mask),
            ("gerelionYellowMap", &mut self.unwanted_map),
            ("gerelionFscMask", &mut self.fsc_mask),
        ]
    }

    /// Adds what RELION's tables do not hold to ours.
    pub(crate) fn push(&self, table: &mut Table) {
        for (label, file) in self.clone().files() {
            if let Some(file) = file {
                table.push(label, file.to_string_lossy().as_ref());
            }
        }
        if self.extra_iterations > 0 {
            table.push(EXTRA_ITERATIONS, self.extra_iterations);
        }
    }

    /// Takes it from there, as far as it is there.
    pub(crate) fn read(&mut self, table: &Table) -> Result<(), StarError> {
        for (label, file) in self.files() {
            if table.has(label) {
                *file = Some(PathBuf::from(table.text(0, label)?));
            }
        }
        if table.has(EXTRA_ITERATIONS) {
            self.extra_iterations = table.integer(0, EXTRA_ITERATIONS)?.max(0) as usize;
        }
        Ok(())
    }

    /// Why an option cannot be combined with others.
    pub(crate) fn excluded_by(&self, settings: &Settings) -> Option<&'static str> {
        let unwanted = self.unwanted_mask.is_some() || self.unwanted_map.is_some();
        if self.subtracts() && !unwanted {
            return Some(
                "--red_mask (the wanted region) needs the unwanted one, whose signal is subtracted: give --yellow_mask, or a map of \
                 it with --yellow_map",
            );
        }
        if unwanted && !self.subtracts() {
            return Some(
                "--yellow_mask and --yellow_map name the signal that is subtracted, and need --red_mask, the region that particles \
                 are aligned by",
            );
        }
        if self.unwanted_mask.is_some() && self.unwanted_map.is_some() {
            return Some(
                "--yellow_mask and --yellow_map both say what is subtracted. Leave out one of them",
            );
        }
        if self.subtracts() && settings.gradient.on {
            return Some(
                "--red_mask cannot be combined with --grad: it needs the orientations of a refinement, and --grad finds them. Leave \
                 out one of them",
            );
        }
        if self.fsc_mask.is_some() && !settings.split_random_halves {
            return Some(
                "--fsc_mask is a mask for the FSC of half-sets, and needs --auto_refine or --split_random_halves",
            );
        }
        if self.fsc_mask.is_some() && settings.solvent_correct_fsc {
            return Some(
                "--fsc_mask and --solvent_correct_fsc are two ways to work out the gold-standard FSC. Leave out one of them",
            );
        }
        (self.extra_iterations > 0 && !settings.auto_refine).then_some(
            "--extra_iter adds iterations after an auto-refinement has converged, and needs --auto_refine; a classification takes \
             the number of its iterations from --iter",
        )
    }
}
