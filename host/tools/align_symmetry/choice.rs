//! Which maps are tried: the one that was named, or classes of a model file (spec 05 §14 step 1).

use super::AlignError;
use crate::errors::Code;
use crate::formats::star::{Document, Table};
use std::path::{Path, PathBuf};

/// Resolution (Å) from which a class has none.
const NO_RESOLUTION: f64 = 10_000.0;

/// Which class of a model file is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one that comes closest to the symmetry.
    BestSymmetry,
    /// The one with most particles (`--select_largest_class`).
    LargestClass,
    /// The one of the highest resolution (`--select_highest_resol`).
    HighestResolution,
}

/// A map to be aligned.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// Its file.
    pub path: PathBuf,
    /// Class (from 1) and number of classes, of a model file.
    pub class: Option<(usize, usize)>,
}

/// Lists the maps to try: `input` itself, or the classes chosen of a file whose name contains `model.star`.
pub(super) fn candidates(
    input: &Path,
    choice: Choice,
    is_c1: bool,
) -> Result<Vec<Candidate>, AlignError> {
    if !input.to_string_lossy().contains("model.star") {
        return Ok(vec![Candidate {
            path: input.to_owned(),
            class: None,
        }]);
    }
    let document = Document::read(input)?;
    let table = document.require("model_classes")?;
    if table.is_empty() {
        let text = "its table model_classes has no row, so it names no map; give the _model.star file of an iteration";
        return Err(Code::REFERENCE_LIST
            .says(text)
            .about(input.display())
            .into());
    }
    let of_class = |k: usize| -> Result<Candidate, AlignError> {
        Ok(Candidate {
            path: map_file(input, table.text(k, "rlnReferenceImage")?),
            class: Some((k + 1, table.len())),
        })
    };
    let chosen = match choice {
        Choice::LargestClass => Some(largest(&table.real_column("rlnClassDistribution")?)),
        Choice::HighestResolution => Some(finest(input, table)?),
        Choice::BestSymmetry if table.len() == 1 => Some(0),
        Choice::BestSymmetry => None,
    };
    match chosen {
        Some(k) => Ok(vec![of_class(k)?]),
        None if is_c1 => Err(Code::CONFLICTING_OPTIONS
            .says(format!(
                "{} has {} classes, and without a symmetry (--sym C1) none of them fits better than another; choose one with \
                 --select_largest_class or --select_highest_resol, or give the map itself with --i",
                input.display(),
                table.len()
            ))
            .into()),
        None => (0..table.len()).map(of_class).collect(),
    }
}

/// Row of the largest value, the first of equals.
fn largest(values: &[f64]) -> usize {
    let better = |best: usize, k: usize| if values[k] > values[best] { k } else { best };
    (0..values.len()).fold(0, better)
}

fn finest(input: &Path, table: &Table) -> Result<usize, AlignError> {
    let negated: Vec<f64> = table
        .real_column("rlnEstimatedResolution")?
        .into_iter()
        .map(|r| -r)
        .collect();
    let k = largest(&negated);
    if -negated[k] < NO_RESOLUTION {
        return Ok(k);
    }
    let text = "no class has a resolution yet (rlnEstimatedResolution); give the model file of a later iteration, or choose \
                with --select_largest_class";
    Err(Code::STAR_VALUE.says(text).about(input.display()).into())
}

/// Path of a map that a model file names: as it is, which is relative to the folder that the program runs in, else beside the
/// model file, for runs that were copied.
fn map_file(model: &Path, name: &str) -> PathBuf {
    let named = PathBuf::from(name);
    let beside = named.file_name().map(|file| model.with_file_name(file));
    match beside {
        Some(path) if !named.exists() && path.exists() => path,
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn model(rows: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run_it010_model.star");
        let text = format!(
            "data_model_classes\n\nloop_\n_rlnReferenceImage\n_rlnClassDistribution\n_rlnEstimatedResolution\n{rows}\n"
        );
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    const THREE: &str = "x/a.mrc 0.2 12.0\nx/b.mrc 0.4 15.0\nx/c.mrc 0.4 11.0";

    #[test]
    fn classes_are_chosen_by_what_was_asked_for() {
        let (folder, path) = model(THREE);
        let chosen = |choice| candidates(&path, choice, false).unwrap();
        assert_eq!(chosen(Choice::LargestClass)[0].class, Some((2, 3)));
        assert_eq!(chosen(Choice::HighestResolution)[0].class, Some((3, 3)));
        let all = chosen(Choice::BestSymmetry);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].path, Path::new("x/a.mrc"));
        // A run that was copied has its maps beside the model file.
        fs::write(folder.path().join("a.mrc"), "").unwrap();
        assert_eq!(
            chosen(Choice::BestSymmetry)[0].path,
            folder.path().join("a.mrc")
        );
    }

    #[test]
    fn what_cannot_be_chosen_is_refused() {
        let (_folder, path) = model(THREE);
        let error = candidates(&path, Choice::BestSymmetry, true).unwrap_err();
        assert!(error.to_string().contains("3 classes"), "{error}");
        let (_folder, path) = model("a.mrc 1.0 inf");
        assert!(candidates(&path, Choice::HighestResolution, false).is_err());
        // One class needs no choice.
        assert_eq!(
            candidates(&path, Choice::BestSymmetry, true).unwrap().len(),
            1
        );
    }

    #[test]
    fn a_map_is_taken_as_it_is() {
        let map = Path::new("some/map.mrc");
        let found = candidates(map, Choice::BestSymmetry, true).unwrap();
        assert_eq!(found[0].path, map);
        assert_eq!(found[0].class, None);
    }
}
