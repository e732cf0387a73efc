//! Options of a map beyond the reconstruction: programs that make it instead, and local symmetry (spec 06 §2, §3).

use crate::refinement::settings::Settings;
use crate::refinement::settings::declare::option_group;
use crate::refinement::settings::option_values::{file, flag, real};
use std::path::PathBuf;

option_group! {
    /// Options about how maps are made from the sums.
    #[derive(Debug, Clone)]
    pub struct MapOptions {
        options {
            "--external_reconstruct" external: bool = flag;
            /// Which takes the place of an external program.
            "--blush" blush: bool = flag;
            "--blush_skip_spectral_trailing" skip_spectral_trailing: bool = flag;
            /// Seconds: a program that takes longer for one map is ended.
            "--external_time_limit" time_limit: f64 = real;
            /// The description file.
            "--local_symmetry" local_symmetry: Option<PathBuf> = file;
            /// The next iteration joins the sums of the half-sets, and is the last.
            "--join_random_halves" join_halves: bool = flag;
        }
        others {}
        groups {}
    }
}

impl MapOptions {
    /// A program makes the regularised maps.
    pub fn by_program(&self) -> bool {
        self.external || self.blush
    }

    /// Why another option cannot be combined with these.
    pub(crate) fn excluded_by(&self, settings: &Settings) -> Option<String> {
        if self.skip_spectral_trailing && !self.blush {
            return Some(
                "--blush_skip_spectral_trailing is an option of Blush and needs --blush".into(),
            );
        }
        if self.join_halves && !settings.split_random_halves {
            return Some(
                "--join_random_halves joins the half-sets of an auto-refinement, and this run has none. Leave it out".into(),
            );
        }
        if self.join_halves && settings.force_converge {
            return Some(
                "--join_random_halves makes an ordinary iteration with joined half-sets, and --force_converge the last one with all \
                 data. Leave out one of them"
                    .into(),
            );
        }
        let given = [
            ("--blush", self.blush),
            ("--external_reconstruct", self.external),
            ("--local_symmetry", self.local_symmetry.is_some()),
        ];
        let (option, _) = given.into_iter().find(|(_, given)| *given)?;
        if settings.gradient.on {
            return Some(format!(
                "{option} cannot be combined with --grad: gradient refinement takes steps and reconstructs no maps. Leave out one \
                 of them"
            ));
        }
        if self.by_program() && settings.output_root.contains(char::is_whitespace) {
            return Some(format!(
                "{option} writes names of files into a STAR file that programs split at blanks, and --o '{}' has one: choose a \
                 name without blanks",
                settings.output_root
            ));
        }
        None
    }
}
