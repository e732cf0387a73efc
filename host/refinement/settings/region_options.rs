//! Options of GeRelion's dynamic signal subtraction, and of the auto-refinement that it belongs to (spec 06 §9.2).

use crate::refinement::settings::Settings;
use crate::refinement::settings::declare::option_group;
use crate::refinement::settings::option_values::{count, file};
use std::path::PathBuf;

option_group! {
    /// Regions of the particle that are aligned and compared between half-sets, and for how many iterations.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct RegionOptions {
        options {
            /// The wanted region.
            "--red_mask" wanted_mask: Option<PathBuf> = file;
            /// The unwanted region of the current map.
            "--yellow_mask" unwanted_mask: Option<PathBuf> = file;
            /// The unwanted signal as a map that stays as it is.
            "--yellow_map" unwanted_map: Option<PathBuf> = file;
            /// The gold-standard FSC is that of the half maps under this mask.
            "--fsc_mask" fsc_mask: Option<PathBuf> = file;
            /// Iterations of an auto-refinement between convergence and the last, joined one.
            "--extra_iter" extra_iterations: usize = count;
        }
        others {}
        groups {}
    }
}

impl RegionOptions {
    /// An unwanted signal is subtracted.
    pub fn subtracts(&self) -> bool {
        self.wanted_mask.is_some()
    }

    /// Returns the files that are named.
    pub(crate) fn files(&mut self) -> [&mut Option<PathBuf>; 4] {
        [
            &mut self.wanted_mask,
            &mut self.unwanted_mask,
            &mut self.unwanted_map,
            &mut self.fsc_mask,
        ]
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
