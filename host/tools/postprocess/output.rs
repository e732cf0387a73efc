//! Files of post-processing.

use super::{PostprocessError, PostprocessSettings, Postprocessed, resolution_of_shell};
use crate::formats::mrc::write_map;
use crate::formats::star::{Document, Table, Value};
use ndarray::Array3;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// `<root><suffix>`.
pub(crate) fn with(root: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", root.display()))
}

/// Write `<o><name>.mrc` and, with a mask, `<o><name>_masked.mrc`.
pub(crate) fn write_map_pair(
    root: &Path,
    name: &str,
    map: &Array3<f64>,
    mask: Option<&Array3<f64>>,
    pixel_size: f64,
) -> Result<(), PostprocessError> {
    let single = |m: &Array3<f64>| m.mapv(|v| v as f32);
    write_map(
        &with(root, &format!("{name}.mrc")),
        single(map).view(),
        pixel_size,
    )?;
    if let Some(mask) = mask {
        let path = with(root, &format!("{name}_masked.mrc"));
        write_map(&path, single(&(map * mask)).view(), pixel_size)?;
    }
    Ok(())
}

/// Write `<o>.star`, `<o>_fsc.xml` and `<o>_fsc.dat`.
pub(super) fn write_tables(
    settings: &PostprocessSettings,
    found: &Postprocessed,
) -> Result<(), PostprocessError> {
    Document {
        header: vec![
            format!(
                "gerelion postprocess; version {}",
                env!("CARGO_PKG_VERSION")
            ),
            settings.command_line.clone(),
        ],
        tables: vec![
            general(settings, found),
            fsc(settings, found),
            guinier(found),
        ],
    }
    .write(&with(&settings.output, ".star"))?;
    let what = match settings.mask {
        Some(_) => "masked-corrected",
        None => "unmasked",
    };
    let mut xml = format!(
        "<fsc title=\"RELION {what} FSC\" xaxis=\"Resolution (A-1)\" yaxis=\"Correlation Coefficient\">\n"
    );
    let mut dat = String::new();
    for (s, c) in found.curves.corrected.iter().enumerate() {
        let x = 1.0 / resolution_of_shell(s, found.extent);
        // writing to strings cannot fail
        let _ = writeln!(
            xml,
            "  <coordinate>\n    <x>{x}</x>\n    <y>{c}</y>\n  </coordinate>"
        );
        let _ = writeln!(dat, "{x} {c}");
    }
    xml.push_str("</fsc>\n");
    for (suffix, text) in [("_fsc.xml", xml), ("_fsc.dat", dat)] {
        let path = with(&settings.output, suffix);
        std::fs::write(&path, text).map_err(|source| PostprocessError::Write {
            path: path.display().to_string(),
            source,
        })?;
    }
    Ok(())
}

fn general(settings: &PostprocessSettings, found: &Postprocessed) -> Table {
    let name = |path: &Path| path.display().to_string();
    let mut table = Table::new_list("general");
    table.push("rlnFinalResolution", found.resolution);
    table.push("rlnBfactorUsedForSharpening", found.b_factor);
    table.push("rlnUnfilteredMapHalf1", name(&settings.half1));
    table.push("rlnUnfilteredMapHalf2", name(&found.half2));
    table.push("rlnPostprocessedMap", name(&with(&settings.output, ".mrc")));
    if let Some(mass) = settings.molecular_weight {
        table.push("rlnMolecularWeight", mass);
        table.push(
            "rlnParticleBoxFractionMolecularWeight",
            box_over_mass(mass, found.extent),
        );
    }
    if let (Some(mask), Some(fraction), Some(from)) = (
        &settings.mask,
        found.mask_fraction,
        found.curves.randomised_from,
    ) {
        table.push("rlnParticleBoxFractionSolventMask", BOX_SHARE / fraction);
        table.push("rlnMaskName", name(mask));
        table.push("rlnRandomiseFrom", found.extent / from.max(1) as f64);
        table.push(
            "rlnPostprocessedMapMasked",
            name(&with(&settings.output, "_masked.mrc")),
        );
    }
    if let Some(fit) = found.fit {
        table.push("rlnFittedSlopeGuinierPlot", fit.slope);
        table.push("rlnFittedInterceptGuinierPlot", fit.intercept);
        table.push("rlnCorrelationFitGuinierPlot", fit.correlation);
    }
    table
}

/// Share of a cube's voxels that count: 0.476, as RELION has it (spec 02 §7.1 step 2).
const BOX_SHARE: f64 = 0.476;

/// Volume of protein, Å³ per Da, inverted: Da per Å³.
const DENSITY: f64 = 0.81;

/// Mass (Da) of protein that would fill a part of a box of side `extent` Å.
pub fn mass_inside(fraction: f64, extent: f64) -> f64 {
    fraction * extent.powi(3) * DENSITY
}

/// Box over particle volume for an ordered mass in kDa (spec 02 §7.1 step 2).
fn box_over_mass(mass: f64, extent: f64) -> f64 {
    BOX_SHARE * extent.powi(3) * DENSITY / (1000.0 * mass)
}

/// Returns the share of a mask's voxels above 0.5.
pub(crate) fn fraction(mask: &Array3<f64>) -> f64 {
    mask.iter().filter(|v| **v > 0.5).count() as f64 / mask.len() as f64
}

/// FSC of the particle alone, if the noise power outside it were left out: the box is `f` times the particle.
fn partial(unmasked: &[f64], f: f64) -> Vec<f64> {
    let of = |c: &f64| f * c / (1.0 + (f - 1.0) * c);
    unmasked.iter().map(of).collect()
}

fn fsc(settings: &PostprocessSettings, found: &Postprocessed) -> Table {
    let extent = found.extent;
    let curves = &found.curves;
    let mut columns: Vec<(&str, Vec<f64>)> = Vec::new();
    if let (Some(masked), Some(randomised), Some(fraction)) =
        (&curves.masked, &curves.randomised, found.mask_fraction)
    {
        columns.push((
            "rlnFourierShellCorrelationCorrected",
            curves.corrected.clone(),
        ));
        columns.push((
            "rlnFourierShellCorrelationParticleMaskFraction",
            partial(&curves.unmasked, BOX_SHARE / fraction),
        ));
        if let Some(mass) = settings.molecular_weight {
            columns.push((
                "rlnFourierShellCorrelationParticleMolWeight",
                partial(&curves.unmasked, box_over_mass(mass, extent)),
            ));
        }
        columns.push((
            "rlnFourierShellCorrelationUnmaskedMaps",
            curves.unmasked.clone(),
        ));
        columns.push(("rlnFourierShellCorrelationMaskedMaps", masked.clone()));
        columns.push((
            "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
            randomised.clone(),
        ));
    } else {
        columns.push((
            "rlnFourierShellCorrelationUnmaskedMaps",
            curves.unmasked.clone(),
        ));
    }
    let labels: Vec<&str> = ["rlnSpectralIndex", "rlnResolution", "rlnAngstromResolution"]
        .into_iter()
        .chain(columns.iter().map(|c| c.0))
        .collect();
    let mut table = Table::new_loop("fsc", &labels);
    for s in 0..curves.unmasked.len() {
        let angstrom = resolution_of_shell(s, extent);
        let mut row: Vec<Value> = vec![s.into(), (1.0 / angstrom).into(), angstrom.into()];
        row.extend(columns.iter().map(|c| Value::Real(c.1[s])));
        table.push_row(row);
    }
    table
}

fn guinier(found: &Postprocessed) -> Table {
    let mut labels = vec!["rlnResolutionSquared"];
    labels.extend(found.guinier.iter().map(|c| c.0));
    if found.fit.is_some() {
        labels.push("rlnLogAmplitudesIntercept");
    }
    let mut table = Table::new_loop("guinier", &labels);
    for s in 0..found.curves.unmasked.len() {
        let mut row = vec![Value::Real((s as f64 / found.extent).powi(2))];
        row.extend(found.guinier.iter().map(|c| Value::Real(c.1[s])));
        row.extend(found.fit.map(|fit| Value::Real(fit.intercept)));
        table.push_row(row);
    }
    table
}
