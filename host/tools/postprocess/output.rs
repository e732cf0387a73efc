//! Files of post-processing.

use super::{PostprocessError, PostprocessSettings, Postprocessed};
use crate::formats::mrc::write_map;
use crate::formats::star::{Document, Table, Value};
use ndarray::Array3;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn with(root: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", root.display()))
}

/// Write `<o><name>.mrc` and, with a mask, `<o><name>_masked.mrc`.
pub fn write_map_pair(
    root: &Path,
    name: &str,
    map: &Array3<f64>,
    mask: Option<&Array3<f64>>,
    pixel_size: f64,
) -> Result<(), PostprocessError> {
    if let Some(folder) = root.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| PostprocessError::Write {
            path: folder.display().to_string(),
            source,
        })?;
    }
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
pub fn write_tables(
    settings: &PostprocessSettings,
    half2: &Path,
    found: &Postprocessed,
    n: usize,
    pixel_size: f64,
) -> Result<(), PostprocessError> {
    let extent = n as f64 * pixel_size;
    Document {
        header: vec![format!(
            "postprocess; version {}",
            env!("CARGO_PKG_VERSION")
        )],
        tables: vec![
            general(settings, half2, found, extent),
            fsc(found, extent),
            guinier(found, extent),
        ],
    }
    .write(&with(&settings.output, ".star"))?;
    let mut xml = String::from(
        "<fsc title=\"masked-corrected FSC\" xaxis=\"Resolution (A-1)\" yaxis=\"Correlation Coefficient\">\n",
    );
    let mut dat = String::new();
    for (s, c) in found.curves.corrected.iter().enumerate() {
        let x = s as f64 / extent;
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

fn general(
    settings: &PostprocessSettings,
    half2: &Path,
    found: &Postprocessed,
    extent: f64,
) -> Table {
    let name = |path: &Path| path.display().to_string();
    let mut table = Table::new_list("general");
    table.push("rlnFinalResolution", found.resolution);
    table.push("rlnBfactorUsedForSharpening", found.b_factor);
    table.push("rlnUnfilteredMapHalf1", name(&settings.half1));
    table.push("rlnUnfilteredMapHalf2", name(half2));
    table.push("rlnPostprocessedMap", name(&with(&settings.output, ".mrc")));
    if let (Some(mask), Some(fraction), Some(from)) = (
        &settings.mask,
        found.mask_fraction,
        found.curves.randomised_from,
    ) {
        table.push("rlnParticleBoxFractionSolventMask", fraction);
        table.push("rlnMaskName", name(mask));
        table.push("rlnRandomiseFrom", extent / from.max(1) as f64);
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

fn fsc(found: &Postprocessed, extent: f64) -> Table {
    let curves = &found.curves;
    let mut columns: Vec<(&str, Vec<f64>)> = Vec::new();
    if let (Some(masked), Some(randomised), Some(fraction)) =
        (&curves.masked, &curves.randomised, found.mask_fraction)
    {
        // FSC of the particle alone if all noise power outside it were left out
        let f = 0.476 / fraction;
        let partial = curves
            .unmasked
            .iter()
            .map(|c| f * c / (1.0 + (f - 1.0) * c))
            .collect();
        columns.push((
            "rlnFourierShellCorrelationCorrected",
            curves.corrected.clone(),
        ));
        columns.push(("rlnFourierShellCorrelationParticleMaskFraction", partial));
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
        let angstrom = if s == 0 { 999.0 } else { extent / s as f64 };
        let mut row: Vec<Value> = vec![s.into(), (s as f64 / extent).into(), angstrom.into()];
        row.extend(columns.iter().map(|c| Value::Real(c.1[s])));
        table.push_row(row);
    }
    table
}

fn guinier(found: &Postprocessed, extent: f64) -> Table {
    let mut labels = vec!["rlnResolutionSquared"];
    labels.extend(found.guinier.iter().map(|c| c.0));
    if found.fit.is_some() {
        labels.push("rlnLogAmplitudesIntercept");
    }
    let mut table = Table::new_loop("guinier", &labels);
    for s in 1..found.curves.unmasked.len() {
        let mut row = vec![Value::Real((s as f64 / extent).powi(2))];
        row.extend(found.guinier.iter().map(|c| Value::Real(c.1[s])));
        row.extend(found.fit.map(|fit| Value::Real(fit.intercept)));
        table.push_row(row);
    }
    table
}
