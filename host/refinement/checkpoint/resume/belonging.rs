//! Whether the numbers of a run that is continued belong together: those of RELION's files too, which carry no fingerprints.

use crate::dataset::ParticleSet;
use crate::errors::Code;
use crate::formats::angstrom::Angstrom;
use crate::formats::star::Table;
use crate::model::Model;
use crate::refinement::checkpoint::gerelion_state;
use crate::refinement::checkpoint::resume::ResumeError;
use crate::refinement::checkpoint::set_mark::iteration_in_name;
use std::path::Path;

/// Columns of an optimiser file with the names of the other files of its iteration.
const NAMES: [&str; 3] = [
    "rlnModelStarFile",
    "rlnExperimentalDataStarFile",
    "rlnOrientSamplingStarFile",
];

/// Checks that the iteration of an optimiser file is that of the files it names.
///
/// # Errors
/// A name has another number.
pub(super) fn iteration_of_names(
    table: &Table,
    iteration: usize,
    path: &Path,
) -> Result<(), ResumeError> {
    for label in NAMES {
        let name = table.text(0, label)?;
        let Some(number) = iteration_in_name(name.as_ref()).filter(|n| *n != iteration) else {
            continue;
        };
        return Err(Code::RUN_FILES_DIFFER
            .says(format!(
                "{}: rlnCurrentIteration is {iteration}, but {label} names a file of iteration {number} ({name}). Restore the file, or give \
                 that of the iteration to continue from; --iter says how many there are to be.",
                path.display()
            ))
            .into());
    }
    Ok(())
}

/// Differences between the pixel sizes of maps and images, as shares, that no rescaling of a reference leaves.
const OTHER_PIXELS: f64 = 0.1;
/// Differences of this many voxels in the box come from a reference that was rescaled to whole voxels (`--trust_ref_size`).
const ROUNDED: f64 = 2.0;
/// Å, as two programs may round.
const SAME_PIXEL: f64 = 0.001;

/// Judges the pixel size of the maps beside the nearest one of the optics groups. Returns a warning about one that is not the
/// same.
///
/// # Errors
/// They differ so much that the maps are not of these images.
pub(super) fn pixel_sizes(
    model: &Model,
    set: &ParticleSet,
    path: &Path,
) -> Result<Option<String>, ResumeError> {
    let difference = |size: f64| (size - model.pixel_size).abs();
    let sizes = set.optics.iter().map(|group| group.pixel_size);
    let Some(nearest) = sizes.min_by(|a, b| difference(*a).total_cmp(&difference(*b))) else {
        return Ok(None);
    };
    let rounded = ROUNDED / model.box_size as f64 * model.pixel_size;
    if difference(nearest) <= SAME_PIXEL + rounded {
        return Ok(None);
    }
    let text = format!(
        "{}: the maps have pixels of {} Å (rlnPixelSize of {}), but no optics group has: the nearest rlnImagePixelSize is {} Å",
        set.source().display(),
        Angstrom(model.pixel_size),
        path.display(),
        Angstrom(nearest)
    );
    if difference(nearest) > OTHER_PIXELS * model.pixel_size {
        return Err(Code::RUN_FILES_DIFFER
            .says(format!(
                "{text}. These are not pixels of one particle. Restore the file, or start a new run with this pixel size (--i)."
            ))
            .into());
    }
    Ok(Some(format!(
        "{text}. If the pixel size was corrected, start a new run from the corrected file (--i): this one goes on with maps of the \
         old one."
    )))
}

/// Returns a warning where the seed of an optimiser file of RELION is not that of the command that it begins with.
pub(super) fn seed(command_line: &str, seed: u32, path: &Path) -> Option<String> {
    let mut words = command_line.split_whitespace();
    words.find(|word| *word == "--random_seed")?;
    let given: i64 = words.next()?.parse().ok()?;
    // Without one, and with 0 or less, the clock is taken.
    (given > 0 && given != i64::from(seed)).then(|| gerelion_state::other_seed(path, seed, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_that_of_the_command() {
        let told = |line: &str| seed(line, 7, "r_it001_optimiser.star".as_ref());
        assert_eq!(told("relion_refine --random_seed 7 --o r"), None);
        assert_eq!(told("relion_refine --random_seed -1 --o r"), None);
        assert_eq!(told("relion_refine --o r"), None);
        assert!(
            told("--random_seed 8 --o r")
                .unwrap()
                .contains("started with 8")
        );
    }
}
