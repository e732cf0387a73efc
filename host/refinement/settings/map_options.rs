//! Options of a map beyond the reconstruction: programs that make it instead, and local symmetry (spec 06 §2, §3).

use crate::formats::star::{StarError, Table};
use crate::options::{CommandLine, OptionsError};
use crate::refinement::settings::Settings;
use crate::refinement::settings::option_values::above_zero;
use std::path::PathBuf;

/// Options about how maps are made from the sums.
#[derive(Debug, Clone)]
pub struct MapOptions {
    /// `--external_reconstruct`.
    pub external: bool,
    /// `--blush`, which takes the place of an external program.
    pub blush: bool,
    /// `--blush_skip_spectral_trailing`.
    pub skip_spectral_trailing: bool,
    /// `--external_time_limit`, seconds: a program that takes longer for one map is ended.
    pub time_limit: f64,
    /// `--local_symmetry`: the description file.
    pub local_symmetry: Option<PathBuf>,
}

impl MapOptions {
    /// Options of a command line.
    pub(crate) fn from_values(line: &CommandLine) -> Result<Self, OptionsError> {
        Ok(Self {
            external: line.flag("--external_reconstruct"),
            blush: line.flag("--blush"),
            skip_spectral_trailing: line.flag("--blush_skip_spectral_trailing"),
            time_limit: above_zero(line, "--external_time_limit")?,
            local_symmetry: line.name_given("--local_symmetry").map(PathBuf::from),
        })
    }

    /// Reads the options from an optimiser file.
    pub(crate) fn read(table: &Table) -> Result<Self, StarError> {
        let flag = |label: &str| Ok::<_, StarError>(table.has(label) && table.boolean(0, label)?);
        Ok(Self {
            external: flag("rlnDoExternalReconstruct")?,
            blush: flag("rlnDoBlush")?,
            skip_spectral_trailing: flag("rlnBlushNoSpectralTrailing")?,
            ..Settings::default().maps
        })
    }

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
