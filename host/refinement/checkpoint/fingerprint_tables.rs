//! Fingerprints in our optimiser files, of what the run reads and of what it has written, and the warnings about what was changed
//! since.

use crate::dataset::{Fingerprint, ParticleSet, fingerprints};
use crate::errors::listed::listed;
use crate::formats::star::columns::{columns, loop_of};
use crate::formats::star::{Document, StarError, Table};
use crate::model::Model;
use std::path::Path;

/// Table of what the run reads and never changes.
pub(crate) const INPUTS: &str = "gerelion_inputs";
/// Table of what stands in the model files of the iteration.
pub(crate) const RESULTS: &str = "gerelion_results";
/// Quantity that stands for the voxels of the maps.
const MAPS: &str = "maps";
/// Voxels of a map that are looked at.
const VOXELS: usize = 4096;
/// Carries them all over the map, whatever its side.
const STRIDE: usize = 2_654_435_761;

columns! {
    /// Columns of a fingerprint.
    struct Columns(fingerprint: Fingerprint) {
        Required "gerelionQuantity" [fingerprint.quantity.as_str()] => |quantity: String| fingerprint.quantity = quantity;
        Required "gerelionFingerprint" [fingerprint.word.as_str()] => |word: String| fingerprint.word = word;
    }
}

/// Returns a table of fingerprints; `name` is [`INPUTS`] or [`RESULTS`].
pub(crate) fn table(name: &str, fingerprints: &[Fingerprint]) -> Table {
    loop_of::<Columns>(name, fingerprints.iter().map(Columns::cells))
}

/// Reads a table of fingerprints, if the file has them.
///
/// # Errors
/// A column is missing.
pub(crate) fn read(document: &Document, name: &str) -> Result<Vec<Fingerprint>, StarError> {
    let Some(table) = document.table(name) else {
        return Ok(Vec::new());
    };
    (0..table.len())
        .map(|row| {
            let mut fingerprint = Fingerprint::default();
            Columns::read(table, row, &mut fingerprint)?;
            Ok(fingerprint)
        })
        .collect()
}

/// Returns warnings about inputs that were changed since the files of an iteration were written. `set` is read from them.
pub(crate) fn changed_inputs(
    before: &[Fingerprint],
    now: &[Fingerprint],
    set: &ParticleSet,
) -> Vec<String> {
    let found = fingerprints::changed(before, now);
    let (pixels, columns): (Vec<&str>, Vec<&str>) = found
        .into_iter()
        .partition(|quantity| *quantity == fingerprints::PIXELS);
    let source = set.source().display();
    let goes_on = "The run goes on with what is there now, from maps, noise and poses of what was there before";
    let of_columns = (!columns.is_empty()).then(|| {
        format!(
            "{source}: {} changed since these files were written. {goes_on}. Restore the file if that was not meant, or start a new \
             run from the changed one (--i).",
            listed(columns.iter().copied(), ", ")
        )
    });
    let of_pixels = (!pixels.is_empty()).then(|| {
        format!(
            "{source}: the stacks hold other images than when these files were written: a stack was replaced, or its images were \
             processed anew. {goes_on}. Restore the stacks if that was not meant, or start a new run (--i)."
        )
    });
    of_columns.into_iter().chain(of_pixels).collect()
}

/// Figures of a model that the next iteration starts from.
type OfModel = fn(&Model) -> Vec<f64>;
const OF_MODELS: [(&str, OfModel); 10] = [
    ("rlnPixelSize", |m| vec![m.pixel_size]),
    ("rlnCurrentImageSize", |m| vec![m.current_size as f64]),
    ("rlnTau2FudgeFactor", |m| vec![m.tau2_fudge]),
    ("rlnNormCorrectionAverage", |m| vec![m.average_norm]),
    ("rlnSigmaOffsetsAngst", |m| vec![m.sigma2_offset.sqrt()]),
    ("rlnSigma2Noise", |m| m.noise.concat()),
    ("rlnGroupScaleCorrection", |m| m.scales.clone()),
    ("rlnClassDistribution", |m| {
        m.classes.iter().map(|class| class.fraction).collect()
    }),
    ("rlnReferenceTau2", |m| {
        m.classes
            .iter()
            .flat_map(|class| class.tau2.clone())
            .collect()
    }),
    (MAPS, |m| {
        m.classes
            .iter()
            .flat_map(|class| some_voxels(&class.map))
            .collect()
    }),
];

/// Returns the fingerprints of one model, or of those of both half-sets.
pub(crate) fn of_models(models: &[Model]) -> Vec<Fingerprint> {
    let of_all = |values: OfModel| models.iter().flat_map(values).collect::<Vec<f64>>();
    let all = OF_MODELS.into_iter();
    all.map(|(label, values)| fingerprints::of_numbers(label, of_all(values)))
        .collect()
}

/// Voxels spread over a map, in the precision of files.
fn some_voxels(map: &ndarray::Array3<f64>) -> impl Iterator<Item = f64> + '_ {
    let (_, rows, columns) = map.dim();
    let all = map.len();
    (0..all.min(VOXELS)).map(move |i| {
        let at = i.wrapping_mul(STRIDE) % all;
        let (z, rest) = (at / (rows * columns), at % (rows * columns));
        f64::from(map[[z, rest / columns, rest % columns]] as f32)
    })
}

/// Returns a warning about figures or maps that were changed since the optimiser file at `path` was written.
pub(crate) fn changed_results(
    before: &[Fingerprint],
    models: &[Model],
    path: &Path,
) -> Option<String> {
    let now = of_models(models);
    let changed = fingerprints::changed(before, &now);
    let words = changed.iter().map(|quantity| match *quantity {
        MAPS => "the voxels of the maps",
        label => label,
    });
    (!changed.is_empty()).then(|| {
        format!(
            "{}: {} in the files that it names changed since they were written. The run goes on with what is there now. Restore the files \
             if that was not meant.",
            path.display(),
            listed(words, ", ")
        )
    })
}
