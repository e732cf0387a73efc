//! Inputs of a new run whose place its own files would take: a run that starts from the last iteration of another one, with the
//! output root of that one.

use crate::errors::{Code, Message};
use crate::refinement::settings::Settings;
use crate::refinement::start_up;
use std::path::Path;

/// Refuses a run that would overwrite a file that one of its options names.
///
/// # Errors
/// An input has the name of a file that the run writes: the message names it.
pub fn check(settings: &Settings) -> Result<(), Message> {
    inputs(settings)
        .into_iter()
        .try_for_each(|(option, path)| check_files(settings, option, [path]))
}

/// Refuses a run that would overwrite one of these files, which `option` leads to: stacks of a particle table, references of a list.
///
/// # Errors
/// As [`check`].
pub fn check_files<'a>(
    settings: &Settings,
    option: &str,
    files: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Message> {
    let Ok(folder) = settings.output_folder().canonicalize() else {
        return Ok(());
    };
    let root = settings.output_root.rsplit('/').next().unwrap_or_default();
    let last = start_up::last_iteration(settings);
    let is_written = |input: &Path| {
        let Ok(input) = input.canonicalize() else {
            return false;
        };
        let name = input.file_name().map(|name| name.to_string_lossy());
        input.parent() == Some(folder.as_path())
            && name.is_some_and(|name| is_output(&name, root, last, settings.auto_refine))
    };
    match files.into_iter().find(|file| is_written(file)) {
        None => Ok(()),
        Some(file) => Err(Code::BAD_VALUE.says(format!(
            "{}: this file ({option}) is read by the run and would be lost, since --o {} makes the run write a file of the same \
             name. Give --o another root.",
            file.display(),
            settings.output_root
        ))),
    }
}

/// The files that options name.
fn inputs(settings: &Settings) -> Vec<(&'static str, &Path)> {
    let masks = &settings.regions;
    let optional = [
        ("--ref", &settings.reference),
        ("--solvent_mask", &settings.solvent_mask),
        ("--solvent_mask2", &settings.solvent_mask2),
        ("--tau", &settings.tau_spectrum),
        ("--sigma", &settings.sigma_spectrum),
        ("--local_symmetry", &settings.maps.local_symmetry),
        ("--red_mask", &masks.wanted_mask),
        ("--yellow_mask", &masks.unwanted_mask),
        ("--yellow_map", &masks.unwanted_map),
        ("--fsc_mask", &masks.fsc_mask),
    ];
    let mut found = vec![("--i", settings.particles.as_path())];
    let given = optional
        .into_iter()
        .filter_map(|(option, path)| Some((option, path.as_deref()?)));
    found.extend(given);
    if let Some((mask, _)) = &settings.lowpass_mask {
        found.push(("--lowpass_mask", mask));
    }
    found
}

/// Whether a run with this root writes a file of this name: of an iteration up to `last`, or the final files of auto-refine.
fn is_output(name: &str, root: &str, last: usize, auto_refine: bool) -> bool {
    let Some(rest) = name.strip_prefix(root).and_then(|n| n.strip_prefix('_')) else {
        return false;
    };
    let iteration = rest
        .strip_prefix("it")
        .and_then(|rest| rest.split_once('_'))
        .and_then(|(number, _)| number.parse::<usize>().ok());
    let finals = [
        "data.star",
        "optimiser.star",
        "sampling.star",
        "model.star",
        "class0",
        "half1_",
        "half2_",
    ];
    match iteration {
        _ if rest == "rejected.star" => true,
        Some(iteration) => iteration <= last,
        None => auto_refine && finals.iter().any(|begin| rest.starts_with(begin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_run_are_known() {
        let is = |name: &str| is_output(name, "run", 25, false);
        assert!(is("run_it025_data.star") && is("run_it001_class001.mrc"));
        assert!(!is("run_it026_data.star"), "a later iteration");
        assert!(!is("run_ct10_it011_data.star"), "a continuation");
        assert!(!is("run2_it001_data.star") && !is("run_itself.star"));
        assert!(!is("run_data.star"));
        assert!(is("run_rejected.star"), "images left out");
        assert!(is_output("run_data.star", "run", 25, true));
        assert!(is_output("run_half1_class001_unfil.mrc", "run", 25, true));
        assert!(!is_output("run_mask.mrc", "run", 25, true));
    }
}
