//! An optimiser file that a run is continued from: which ones are refused, and the options and state of the others (spec 03 §1.4, §5).

use crate::errors::Code;
use crate::formats::star::columns::{ColumnList, FromCell};
use crate::formats::star::{StarError, Table};
use crate::refinement::checkpoint::optimiser_star::{Files, General};
use crate::refinement::checkpoint::resume::ResumeError;
use crate::refinement::settings::Settings;
use crate::refinement::state::RunState;
use std::path::{Path, PathBuf};

/// Kinds of run that this program does not do, by the flag that marks them.
const UNSUPPORTED: [(&str, &str); 1] = [("rlnDoHelicalRefine", "a helical refinement")];

/// Refuse a table that lacks labels, was written before the first iteration or after the last, or belongs to a kind of
/// run that this program does not do. Returns the iteration to continue after.
pub(crate) fn check(table: &Table, path: &Path) -> Result<usize, ResumeError> {
    let refuse = |code: Code, why: &str| -> Result<usize, ResumeError> {
        Err(code.says(format!("{}: {why}", path.display())).into())
    };
    let missing = General::missing(table);
    if !missing.is_empty() {
        return refuse(
            Code::RUN_FILES_DIFFER,
            &format!(
                "incorrect optimiser_general table: {} missing. Give an _optimiser.star file of RELION 3.0 or later, or of this program.",
                missing.join(", ")
            ),
        );
    }
    let flag = |label: &str| Ok::<_, StarError>(table.has(label) && table.boolean(0, label)?);
    if flag("rlnDoStochasticGradientDescent")? && !flag("rlnDoGradientRefine")? {
        return refuse(
            Code::UNSUPPORTED_RUN,
            "this file belongs to a stochastic-gradient run of RELION 2 or 3, which is not supported; continue it with RELION",
        );
    }
    for (label, kind) in UNSUPPORTED {
        if table.has(label) && table.boolean(0, label)? {
            return refuse(
                Code::UNSUPPORTED_RUN,
                &format!(
                    "this file belongs to {kind}, which is not supported; continue it with RELION"
                ),
            );
        }
    }
    for (label, kind) in [
        ("rlnBodyStarFile", "multi-body refinement"),
        ("rlnTomoTomogramsFile", "subtomograms"),
    ] {
        if table.has(label) && Option::<PathBuf>::from_cell(table, 0, label)?.is_some() {
            return refuse(
                Code::UNSUPPORTED_RUN,
                &format!("this run uses {kind}, which is not supported; continue it with RELION"),
            );
        }
    }
    match table.integer(0, "rlnCurrentIteration")? {
        0 => refuse(
            Code::CANNOT_CONTINUE,
            "a run cannot be continued from iteration 0, which holds only its starting point: \
             start it afresh, or give the optimiser file of a later iteration",
        ),
        -1 => refuse(
            Code::CANNOT_CONTINUE,
            "this is the final file of an auto-refinement that has converged: its half-sets have been joined and cannot \
             be told apart again. Give the last numbered one instead (…_itNNN_optimiser.star)",
        ),
        iteration => usize::try_from(iteration).or_else(|_| {
            refuse(
                Code::RUN_FILES_DIFFER,
                &format!(
                    "rlnCurrentIteration is {iteration}, which is no iteration of a run. Restore the file, or continue from another \
                     iteration"
                ),
            )
        }),
    }
}

/// Whether the run made its first references itself, as far as the command line that its file begins with tells.
pub(crate) fn references_made(command_line: &str) -> bool {
    let has = |option: &str| command_line.split_whitespace().any(|word| word == option);
    !(command_line.is_empty() || has("--ref") || has("--continue"))
}

/// The table as options, state and file names.
pub(crate) struct Stored {
    /// Options of the file. Those that RELION does not store have their defaults: noise is not estimated again, nor are seeds
    /// generated or references filtered. Model and sampling options are filled in by the caller.
    pub settings: Settings,
    /// Counters and flags. Resolution and size are filled in from the model, and so is the accuracy of translations.
    pub state: RunState,
    /// Other files.
    pub files: Files,
}

/// Reads the table of the optimiser file `path`.
///
/// # Errors
/// A cell is no value of its kind.
pub(crate) fn read(table: &Table, path: &Path, command_line: String) -> Result<Stored, StarError> {
    let mut settings = Settings {
        continue_from: Some(path.to_path_buf()),
        // RELION does not keep it, although the schedules of a gradient run depend on it; its command line tells.
        denovo_3d: command_line.split(' ').any(|word| word == "--denovo_3dref"),
        command_line,
        // RELION's default, which rlnMaxNumberOfPooledParticles is written with; ours is all cores.
        threads: 1,
        ..Settings::default()
    };
    let mut state = RunState::new(0);
    let mut files = Files::default();
    General::read(table, 0, &mut settings, &mut state, &mut files)?;
    Ok(Stored {
        settings,
        state,
        files,
    })
}
