//! `_model.star`: what one half-set, or a classification, has learnt (spec 03 §1.4, with the fallbacks for older files).

use crate::dataset::ScaleGroup;
use crate::formats::star::columns::{Length, columns, loop_of, push_cells};
use crate::formats::star::{Document, StarError, Table, Value};
use crate::fourier::shape::Dimensions;
use crate::geometry::prior::LocalSearch;
use crate::maximization::completeness::{estimated_resolution, overall_completeness};
use crate::model::{ClassModel, Model};
use crate::refinement::checkpoint::file_names::{class_average, class_map};
use crate::refinement::checkpoint::gerelion_state;
use crate::refinement::checkpoint::moment_files;

/// `rlnAngstromResolution` of shell 0, and the resolution of a class without a reliable shell.
const NO_RESOLUTION: f64 = 999.0;

/// Facts that the columns of single values need beside the model, or give.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// 2 or 3.
    pub dimensions: i64,
    /// Optics groups, where the file says how many.
    pub optics_groups: Option<i64>,
    /// Scale groups.
    pub scale_groups: usize,
}

columns! {
    /// The table of single values.
    pub(crate) struct General(model: Model, counts: Counts) {
        Required "rlnReferenceDimensionality" = counts.dimensions;
        Written "rlnDataDimensionality" [2usize];
        Required "rlnOriginalImageSize" = model.box_size;
        // The resolution in Å; its frequency is found with the pixel size.
        Required "rlnCurrentResolution" [1.0 / model.current_resolution]
            => |resolution: f64| model.current_resolution = resolution;
        Required "rlnCurrentImageSize" = model.current_size;
        Required "rlnPaddingFactor" = model.padding;
        Written "rlnIsHelix" [false];
        Written "rlnFourierSpaceInterpolator" [1usize];
        Written "rlnMinRadiusNnInterpolation" [10usize];
        Required "rlnPixelSize" [model.pixel_size] => |pixel_size: f64| {
            model.pixel_size = pixel_size;
            model.current_resolution = frequency(model.current_resolution, model.box_size as f64 * pixel_size);
        };
        Written "rlnNrClasses" [model.classes.len()];
        Written "rlnNrBodies" [1usize];
        Written "rlnNrGroups" [counts.scale_groups];
        Optional "rlnNrOpticsGroups" [model.noise.len()] => |groups: i64| counts.optics_groups = Some(groups);
        Required "rlnTau2FudgeFactor" = model.tau2_fudge;
        Required "rlnNormCorrectionAverage" = model.average_norm;
        Required "rlnSigmaOffsetsAngst" [model.sigma2_offset.sqrt()]
            => |width: Length| {
                let width = width.angstrom(model.pixel_size);
                // The square keeps the sign, for the check of what was read.
                model.sigma2_offset = width.powi(2).copysign(width);
            };
        Required "rlnOrientationalPriorMode" [model.local_search.is_some()]
            => |mode: i64| model.local_search = (mode != 0).then_some(NO_SEARCH);
        Where(model.local_search.is_some()) "rlnSigmaPriorRotAngle" [model.local_search.as_ref().unwrap_or(&NO_SEARCH).sigma_rot]
            => |sigma: f64| model.local_search.get_or_insert(NO_SEARCH).sigma_rot = sigma;
        Where(model.local_search.is_some()) "rlnSigmaPriorTiltAngle" [model.local_search.as_ref().unwrap_or(&NO_SEARCH).sigma_tilt]
            => |sigma: f64| model.local_search.get_or_insert(NO_SEARCH).sigma_tilt = sigma;
        Where(model.local_search.is_some()) "rlnSigmaPriorPsiAngle" [model.local_search.as_ref().unwrap_or(&NO_SEARCH).sigma_psi]
            => |sigma: f64| model.local_search.get_or_insert(NO_SEARCH).sigma_psi = sigma;
        Required "rlnLogLikelihood" = model.log_likelihood;
        Required "rlnAveragePmax" = model.average_pmax;
    }
}

/// Widths of a global search, as they are written.
const NO_SEARCH: LocalSearch = LocalSearch {
    sigma_rot: 0.0,
    sigma_tilt: 0.0,
    sigma_psi: 0.0,
};

/// Facts about a class that the columns of `model_classes` need beside its model, or give.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClassFacts {
    /// Map, or image in the stack of class averages.
    pub map: String,
    /// Moments of a gradient run.
    pub moments: Option<[String; 2]>,
    /// The reference has two dimensions.
    pub flat: bool,
    /// Estimated resolution, Å.
    pub resolution: f64,
    /// `rlnOverallFourierCompleteness`.
    pub completeness: f64,
    /// Å per pixel.
    pub pixel_size: f64,
}

columns! {
    /// One row per class.
    pub(crate) struct Classes(class: ClassModel, facts: ClassFacts) {
        Required "rlnReferenceImage" = facts.map;
        Optional "rlnGradMoment1" [facts.moments.as_ref().map(|[first, _]| Value::from(first.as_str()))]
            => |name: String| facts.moments = Some([name, String::new()]);
        Where(facts.moments.is_some()) "rlnGradMoment2" [facts.moments.as_ref().map(|[_, second]| Value::from(second.as_str()))]
            => |name: String| facts.moments.get_or_insert_default()[1] = name;
        Required "rlnClassDistribution" = class.fraction;
        Required "rlnAccuracyRotations" = class.accuracy_rotations;
        Required "rlnAccuracyTranslationsAngst" [class.accuracy_translations]
            => |accuracy: Length| class.accuracy_translations = accuracy.angstrom(facts.pixel_size);
        Written "rlnEstimatedResolution" [facts.resolution];
        Written "rlnOverallFourierCompleteness" [facts.completeness];
        Optional "rlnClassPriorOffsetX" [facts.flat.then(|| Value::from(class.offset_prior[0]))] => |x: f64| {
            class.offset_prior[0] = x;
            facts.flat = true;
        };
        Where(facts.flat) "rlnClassPriorOffsetY" [facts.flat.then(|| Value::from(class.offset_prior[1]))]
            => |y: f64| class.offset_prior[1] = y;
    }
}

/// A shell of a spectrum.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shell {
    /// Number.
    pub index: i64,
    /// Spatial frequency, 1/Å.
    pub frequency: f64,
    /// Resolution, Å.
    pub angstrom: f64,
}

impl Shell {
    fn of(model: &Model, index: usize) -> Self {
        let width = model.pixel_size * model.box_size as f64;
        Self {
            index: index as i64,
            frequency: index as f64 / width,
            angstrom: match index {
                0 => NO_RESOLUTION,
                _ => width / index as f64,
            },
        }
    }
}

columns! {
    /// One row per shell of a class. Rows are read in the order of the shells.
    pub(crate) struct Spectra(class: ClassModel, shell: Shell) {
        Written "rlnSpectralIndex" [shell.index];
        Written "rlnResolution" [shell.frequency];
        Written "rlnAngstromResolution" [shell.angstrom];
        Required "rlnSsnrMap" [class.ssnr[shell.index as usize]] => |value: f64| class.ssnr.push(value);
        Optional "rlnGoldStandardFsc" [class.fsc[shell.index as usize]] => |value: f64| class.fsc.push(value);
        Optional "rlnFourierCompleteness" [class.coverage[shell.index as usize]] => |value: f64| class.coverage.push(value);
        Required "rlnReferenceSigma2" [class.sigma2[shell.index as usize]] => |value: f64| class.sigma2.push(value);
        Required "rlnReferenceTau2" [class.tau2[shell.index as usize]] => |value: f64| class.tau2.push(value);
        Optional "rlnSpectralOrientabilityContribution"
            [class.orientability.as_ref().and_then(|values| values[shell.index as usize].to_cell())]
            => |value: f64| class.orientability.get_or_insert_default().push(value);
    }
}

columns! {
    /// One row per scale group. Rows are read in the order of the groups.
    struct ScaleGroups(model: Model, index: usize, group: ScaleGroup) {
        Written "rlnGroupNumber" [*index + 1];
        Written "rlnGroupName" [group.name.as_str()];
        Required "rlnGroupNrParticles" [model.group_particles[*index]] => |particles: usize| model.group_particles.push(particles);
        Required "rlnGroupScaleCorrection" [model.scales[*index]] => |scale: f64| model.scales.push(scale);
    }
}

columns! {
    /// One row per shell with a positive power.
    pub(crate) struct Noise(shell: Shell, power: f64) {
        Required "rlnSpectralIndex" = shell.index;
        Written "rlnResolution" [shell.frequency];
        Required "rlnSigma2Noise" = *power;
    }
}

columns! {
    /// One row per direction.
    struct DirectionPriors(prior: f64) {
        Required "rlnOrientationDistribution" = *prior;
    }
}

/// Returns RELION's tables of a model file, and ours. `stem` is that of the file and of its maps (`<o>_it003_half1`).
pub(super) fn document(model: &Model, stem: &str, groups: &[ScaleGroup]) -> Document {
    let mut tables = vec![general(model, groups.len()), classes(model, stem)];
    for (k, class) in model.classes.iter().enumerate() {
        let rows = (0..class.ssnr.len()).map(|s| Spectra::cells(class, &Shell::of(model, s)));
        tables.push(loop_of::<Spectra>(&spectra_name(k + 1), rows));
    }
    let rows = groups.iter().enumerate();
    tables.push(loop_of::<ScaleGroups>(
        SCALE_GROUPS,
        rows.map(|(g, group)| ScaleGroups::cells(model, &g, group)),
    ));
    for (g, noise) in model.noise.iter().enumerate() {
        let shells = noise.iter().enumerate().filter(|&(_, &power)| power > 0.0);
        let rows = shells.map(|(s, power)| Noise::cells(&Shell::of(model, s), power));
        tables.push(loop_of::<Noise>(&noise_name(g + 1), rows));
    }
    let classes = || model.classes.iter().enumerate();
    match model.dimensions() {
        Dimensions::Two => tables.push(gerelion_state::class_priors_table(model)),
        Dimensions::Three => {
            tables.extend(classes().map(|(k, class)| {
                let rows = class.direction_prior.iter().map(DirectionPriors::cells);
                loop_of::<DirectionPriors>(&direction_priors_name(k + 1), rows)
            }));
            tables.extend(classes().map(|(k, class)| {
                gerelion_state::direction_priors_table(k + 1, &class.direction_prior)
            }));
        }
    }
    Document {
        tables,
        ..Document::default()
    }
}

/// Returns the table of single values.
pub(crate) fn general(model: &Model, scale_groups: usize) -> Table {
    let mut table = Table::new_list("model_general");
    let counts = Counts {
        dimensions: i64::from(model.dimensions().count()),
        scale_groups,
        ..Counts::default()
    };
    push_cells(&mut table, General::cells(model, &counts));
    table
}

fn classes(model: &Model, stem: &str) -> Table {
    let flat = model.dimensions() == Dimensions::Two;
    let moments = model.classes.iter().any(|class| class.moments.is_some());
    let rows = model.classes.iter().enumerate().map(|(k, class)| {
        let facts = ClassFacts {
            map: match flat {
                true => class_average(stem, k + 1),
                false => class_map(stem, k + 1),
            },
            moments: moments.then(|| moment_files::names(stem, k + 1, model.dimensions())),
            flat,
            resolution: estimated_resolution(&class.ssnr, model.box_size, model.pixel_size),
            completeness: overall_completeness(&class.ssnr, &class.coverage),
            pixel_size: model.pixel_size,
        };
        Classes::cells(class, &facts)
    });
    loop_of::<Classes>("model_classes", rows)
}

/// Reads the spectra of a class; those that older files lack are 0.
///
/// # Errors
/// A column is missing, or a cell is no number.
pub(crate) fn read_spectra(table: &Table, class: &mut ClassModel) -> Result<(), StarError> {
    let mut shell = Shell::default();
    for row in 0..table.len() {
        Spectra::read(table, row, class, &mut shell)?;
    }
    class.fsc.resize(table.len(), 0.0);
    class.coverage.resize(table.len(), 0.0);
    Ok(())
}

/// Reads the particles and scales of all scale groups.
///
/// # Errors
/// A column is missing, or a cell is no number.
pub(crate) fn read_scale_groups(table: &Table, model: &mut Model) -> Result<(), StarError> {
    let mut unnamed = ScaleGroup {
        name: String::new(),
    };
    for mut row in 0..table.len() {
        ScaleGroups::read(table, row, model, &mut row, &mut unnamed)?;
    }
    Ok(())
}

/// Reads the priors of the directions of a class (counted from 1), rounded.
///
/// # Errors
/// The table is missing, or a cell is no number.
pub(crate) fn read_direction_priors(
    document: &Document,
    class: usize,
) -> Result<Vec<f64>, StarError> {
    let table = document.require(&direction_priors_name(class))?;
    let mut priors = vec![0.0; table.len()];
    for (row, prior) in priors.iter_mut().enumerate() {
        DirectionPriors::read(table, row, prior)?;
    }
    Ok(priors)
}

/// Name of the table of scale groups.
pub(crate) const SCALE_GROUPS: &str = "model_groups";

/// Returns the name of the table of spectra of a class (counted from 1).
pub(crate) fn spectra_name(class: usize) -> String {
    format!("model_class_{class}")
}

/// Returns the name of the table of the noise of an optics group (counted from 1).
pub(crate) fn noise_name(group: usize) -> String {
    format!("model_optics_group_{group}")
}

fn direction_priors_name(class: usize) -> String {
    format!("model_pdf_orient_class_{class}")
}

/// Returns the spatial frequency (1/Å) of a resolution (Å) as written with six decimals: exactly that of its shell in a box of
/// `width` Å.
fn frequency(resolution: f64, width: f64) -> f64 {
    if !resolution.is_finite() || resolution <= 0.0 {
        return 0.0;
    }
    (width / resolution).round() / width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_resolutions_return_to_their_shell() {
        assert_eq!(frequency(14.222222, 256.0), 18.0 / 256.0);
        assert_eq!(frequency(f64::INFINITY, 256.0), 0.0);
    }
}
