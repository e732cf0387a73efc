//! `_model.star`: what one half-set, or a classification, has learnt (spec 03 §1.4).

use crate::dataset::ScaleGroup;
use crate::formats::star::{Document, Table, Value};
use crate::fourier::shape::Dimensions;
use crate::maximization::completeness::{estimated_resolution, overall_completeness};
use crate::model::{ClassModel, Model};
use crate::refinement::checkpoint::file_names::{class_average, class_map};
use crate::refinement::checkpoint::gerelion_state;
use crate::refinement::checkpoint::moment_files;

/// `rlnAngstromResolution` of shell 0, and the resolution of a class without a reliable shell.
const NO_RESOLUTION: f64 = 999.0;

/// RELION's tables of a model file, and ours. `stem` is that of the file and of its maps (`<o>_it003_half1`).
pub fn document(model: &Model, stem: &str, groups: &[ScaleGroup]) -> Document {
    let mut tables = vec![general(model, groups.len()), classes(model, stem)];
    for (k, class) in model.classes.iter().enumerate() {
        tables.push(spectra(model, class, k + 1));
    }
    tables.push(scale_groups(model, groups));
    for (g, noise) in model.noise.iter().enumerate() {
        tables.push(noise_spectrum(model, noise, g + 1));
    }
    let classes = || model.classes.iter().enumerate();
    match model.dimensions() {
        Dimensions::Two => tables.push(gerelion_state::class_priors_table(model)),
        Dimensions::Three => {
            tables.extend(classes().map(|(k, class)| direction_priors(class, k + 1)));
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

/// The table of single values.
pub(crate) fn general(model: &Model, groups: usize) -> Table {
    let mut t = Table::new_list("model_general");
    t.push(
        "rlnReferenceDimensionality",
        i64::from(model.dimensions().count()),
    );
    t.push("rlnDataDimensionality", 2usize);
    t.push("rlnOriginalImageSize", model.box_size);
    t.push("rlnCurrentResolution", 1.0 / model.current_resolution);
    t.push("rlnCurrentImageSize", model.current_size);
    t.push("rlnPaddingFactor", model.padding);
    t.push("rlnIsHelix", false);
    t.push("rlnFourierSpaceInterpolator", 1usize);
    t.push("rlnMinRadiusNnInterpolation", 10usize);
    t.push("rlnPixelSize", model.pixel_size);
    t.push("rlnNrClasses", model.classes.len());
    t.push("rlnNrBodies", 1usize);
    t.push("rlnNrGroups", groups);
    t.push("rlnNrOpticsGroups", model.noise.len());
    t.push("rlnTau2FudgeFactor", model.tau2_fudge);
    t.push("rlnNormCorrectionAverage", model.average_norm);
    t.push("rlnSigmaOffsetsAngst", model.sigma2_offset.sqrt());
    let width = |pick: fn(&crate::geometry::prior::LocalSearch) -> f64| {
        model.local_search.as_ref().map_or(0.0, pick)
    };
    t.push("rlnOrientationalPriorMode", model.local_search.is_some());
    t.push("rlnSigmaPriorRotAngle", width(|s| s.sigma_rot));
    t.push("rlnSigmaPriorTiltAngle", width(|s| s.sigma_tilt));
    t.push("rlnSigmaPriorPsiAngle", width(|s| s.sigma_psi));
    t.push("rlnLogLikelihood", model.log_likelihood);
    t.push("rlnAveragePmax", model.average_pmax);
    t
}

fn classes(model: &Model, stem: &str) -> Table {
    let flat = model.dimensions() == Dimensions::Two;
    let moments = model.classes.iter().any(|class| class.moments.is_some());
    let mut labels = vec!["rlnReferenceImage"];
    if moments {
        labels.extend(["rlnGradMoment1", "rlnGradMoment2"]);
    }
    labels.extend([
        "rlnClassDistribution",
        "rlnAccuracyRotations",
        "rlnAccuracyTranslationsAngst",
        "rlnEstimatedResolution",
        "rlnOverallFourierCompleteness",
    ]);
    if flat {
        labels.extend(["rlnClassPriorOffsetX", "rlnClassPriorOffsetY"]);
    }
    let mut t = Table::new_loop("model_classes", &labels);
    for (k, class) in model.classes.iter().enumerate() {
        let name = match flat {
            true => class_average(stem, k + 1),
            false => class_map(stem, k + 1),
        };
        let mut row: Vec<Value> = vec![name.into()];
        if moments {
            let names = moment_files::names(stem, k + 1, model.dimensions());
            row.extend(names.map(Value::from));
        }
        row.extend([
            class.fraction.into(),
            class.accuracy_rotations.into(),
            class.accuracy_translations.into(),
            estimated_resolution(&class.ssnr, model.box_size, model.pixel_size).into(),
            overall_completeness(&class.ssnr, &class.coverage).into(),
        ]);
        if flat {
            row.extend(class.offset_prior.map(Value::from));
        }
        t.push_row(row);
    }
    t
}

fn spectra(model: &Model, class: &ClassModel, number: usize) -> Table {
    let mut labels = vec![
        "rlnSpectralIndex",
        "rlnResolution",
        "rlnAngstromResolution",
        "rlnSsnrMap",
        "rlnGoldStandardFsc",
        "rlnFourierCompleteness",
        "rlnReferenceSigma2",
        "rlnReferenceTau2",
    ];
    if class.orientability.is_some() {
        labels.push("rlnSpectralOrientabilityContribution");
    }
    let mut t = Table::new_loop(&format!("model_class_{number}"), &labels);
    for s in 0..class.ssnr.len() {
        let mut row: Vec<Value> = vec![
            s.into(),
            frequency(model, s).into(),
            angstrom(model, s).into(),
            written(class.ssnr[s]),
            written(class.fsc[s]),
            written(class.coverage[s]),
            written(class.sigma2[s]),
            written(class.tau2[s]),
        ];
        if let Some(orientability) = &class.orientability {
            row.push(written(orientability[s]));
        }
        t.push_row(row);
    }
    t
}

fn scale_groups(model: &Model, groups: &[ScaleGroup]) -> Table {
    let mut t = Table::new_loop(
        "model_groups",
        &[
            "rlnGroupNumber",
            "rlnGroupName",
            "rlnGroupNrParticles",
            "rlnGroupScaleCorrection",
        ],
    );
    for (g, group) in groups.iter().enumerate() {
        t.push_row(vec![
            (g + 1).into(),
            group.name.as_str().into(),
            model.group_particles[g].into(),
            model.scales[g].into(),
        ]);
    }
    t
}

/// Only shells with a positive power are written.
fn noise_spectrum(model: &Model, noise: &[f64], number: usize) -> Table {
    let mut t = Table::new_loop(
        &format!("model_optics_group_{number}"),
        &["rlnSpectralIndex", "rlnResolution", "rlnSigma2Noise"],
    );
    for (s, &power) in noise.iter().enumerate().filter(|&(_, &power)| power > 0.0) {
        t.push_row(vec![s.into(), frequency(model, s).into(), written(power)]);
    }
    t
}

fn direction_priors(class: &ClassModel, number: usize) -> Table {
    let mut t = Table::new_loop(
        &format!("model_pdf_orient_class_{number}"),
        &["rlnOrientationDistribution"],
    );
    for &prior in &class.direction_prior {
        t.push_row(vec![written(prior)]);
    }
    t
}

/// Spatial frequency of a shell, 1/Å.
fn frequency(model: &Model, shell: usize) -> f64 {
    shell as f64 / (model.pixel_size * model.box_size as f64)
}

/// Resolution of a shell, Å.
fn angstrom(model: &Model, shell: usize) -> f64 {
    if shell == 0 {
        NO_RESOLUTION
    } else {
        model.pixel_size * model.box_size as f64 / shell as f64
    }
}

/// A value of a spectrum. Exponents of three digits do not fit the twelve columns of a real, so that RELION would read
/// 1e-100 back as 1e-10: such values are written as 0.
fn written(value: f64) -> Value {
    Value::Real(if value.abs() < 1e-99 { 0.0 } else { value })
}
