//! Inputs of a run whose place its own files would take: a run that starts from the last iteration of another one, with the
//! output root of that one; and files of another run with that root.

use crate::errors::{Code, Message};
use crate::formats::replace::{Content, check_place};
use crate::refinement::checkpoint::output_lock;
use crate::refinement::settings::Settings;
use crate::refinement::start_up;
use std::ops::RangeInclusive;
use std::path::Path;

/// Refuses a run that would overwrite a file that one of its options names. It writes the files of iterations from `first` on:
/// 0, or the one after that which it continues.
///
/// # Errors
/// An input has the name of a file that the run writes: the message names it.
pub(crate) fn check(settings: &Settings, first: usize) -> Result<(), Message> {
    inputs(settings)
        .into_iter()
        .try_for_each(|(option, path)| check_files(settings, first, option, [path]))
}

/// Refuses a run that would come upon files of another kind under the names of its own, such as images under that of a map: said
/// before its iterations, not after the first.
///
/// # Errors
/// There is such a file: the message names it.
pub(crate) fn check_places(settings: &Settings, first: usize) -> Result<(), Message> {
    let folder = settings.output_folder();
    let root = settings.output_root.rsplit('/').next().unwrap_or_default();
    let iterations = first..=start_up::last_iteration(settings);
    // A folder that cannot be read has been told of.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_output(&name, root, &iterations, settings.auto_refine)
            && let Some(content) = content(&name)
        {
            check_place(&entry.path(), content)?;
        }
    }
    Ok(())
}

/// Content of an output of this name; None where any file may be replaced.
fn content(name: &str) -> Option<Content> {
    match name.rsplit_once('.')?.1 {
        "mrc" => Some(Content::Map),
        "mrcs" => Some(Content::Images),
        "star" if name.ends_with("data.star") || name.ends_with("rejected.star") => {
            Some(Content::Text)
        }
        "star" => Some(Content::Table),
        _ => None,
    }
}

/// Refuses a run that would overwrite one of these files, which `option` leads to: stacks of a particle table, references of a list.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_files<'a>(
    settings: &Settings,
    first: usize,
    option: &str,
    files: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Message> {
    let Ok(folder) = settings.output_folder().canonicalize() else {
        return Ok(());
    };
    let root = settings.output_root.rsplit('/').next().unwrap_or_default();
    let iterations = first..=start_up::last_iteration(settings);
    let is_written = |input: &Path| {
        let Ok(input) = input.canonicalize() else {
            return false;
        };
        let name = input.file_name().map(|name| name.to_string_lossy());
        input.parent() == Some(folder.as_path())
            && name.is_some_and(|name| is_output(&name, root, &iterations, settings.auto_refine))
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

/// Tells of files that an earlier run with the root of this one has left: they stay beside its own.
pub(crate) fn warn_of_earlier_run(settings: &Settings) -> Option<String> {
    let root = &settings.output_root;
    let last = start_up::last_iteration(settings);
    let there = output_lock::last_iteration_there(root).filter(|&there| there > last)?;
    Some(format!(
        "files of iterations up to {there} of an earlier run with --o {root} stay beside those of this run, which ends at \
         iteration {last} at the latest."
    ))
}

/// As [`warn_of_earlier_run`], for a run that goes on with iteration `first`: any files with its root are those of another
/// run, or of an earlier attempt, and the first iterations of it stay in any case.
pub(crate) fn warn_of_other_run(settings: &Settings, first: usize) -> Option<String> {
    let root = &settings.output_root;
    let last = start_up::last_iteration(settings);
    let there = output_lock::last_iteration_there(root)?;
    let replaced = match there.min(last) >= first {
        true => format!(
            "those from iteration {first} to {} are replaced, and the others",
            there.min(last)
        ),
        false => "they".to_owned(),
    };
    Some(format!(
        "there are files of iterations up to {there} of another run, or of an earlier attempt, with --o {root}: {replaced} \
         stay beside those of this run. Give another --o if they are of use."
    ))
}

/// Whether a run with this root writes a file of this name: of one of its iterations, or the final files of auto-refine.
fn is_output(
    name: &str,
    root: &str,
    iterations: &RangeInclusive<usize>,
    auto_refine: bool,
) -> bool {
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
        Some(iteration) => iterations.contains(&iteration),
        None => auto_refine && finals.iter().any(|begin| rest.starts_with(begin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_run_are_known() {
        let is = |name: &str| is_output(name, "run", &(0..=25), false);
        assert!(is("run_it025_data.star") && is("run_it001_class001.mrc"));
        assert!(!is("run_it026_data.star"), "a later iteration");
        assert!(!is("run_ct10_it011_data.star"), "a continuation");
        assert!(!is("run2_it001_data.star") && !is("run_itself.star"));
        assert!(!is("run_data.star"));
        assert!(is("run_rejected.star"), "images left out");
        let is = |name: &str| is_output(name, "run", &(11..=25), true);
        assert!(is("run_data.star") && is("run_half1_class001_unfil.mrc"));
        assert!(!is("run_mask.mrc"));
        assert!(is("run_it011_half1_class001.mrc"));
        assert!(!is("run_it010_data.star"), "continued after iteration 10");
    }
}
