//! Files of local resolution: both maps, the curves of all points, the histogram inside a mask.

use super::{LocalResolution, Point};
use crate::formats::mrc::write_map;
use crate::formats::star::{Document, Table, Value};
use crate::tools::postprocess::{
    Curve, Drawing, PostprocessError, PostprocessSettings, eps, pdf, resolution_of_shell, with,
    write_file,
};

/// Bars of the histogram.
const BARS: usize = 100;

/// Writes the files.
pub(super) fn write(
    settings: &PostprocessSettings,
    found: &LocalResolution,
    pixel_size: f64,
) -> Result<(), PostprocessError> {
    let root = &settings.output;
    for (suffix, map) in [
        ("_locres.mrc", &found.resolution),
        ("_locres_filtered.mrc", &found.filtered),
    ] {
        write_map(&with(root, suffix), map.view(), pixel_size)?;
    }
    Document {
        header: vec![
            format!("gerelion localres; version {}", env!("CARGO_PKG_VERSION")),
            settings.command_line.clone(),
        ],
        tables: found.points.iter().map(|p| curves(found, p)).collect(),
    }
    .write(&with(root, "_locres_fscs.star"))?;
    if let Some(inside) = &found.inside {
        let drawing = histogram(inside);
        write_file(&with(root, "_histogram.eps"), eps(&drawing).as_bytes())?;
        write_file(&root.with_file_name("histogram.pdf"), &pdf(&[drawing]))?;
    }
    Ok(())
}

/// Curves of a point, in a table named by its place as RELION names it. The local resolution is a comment of RELION's that
/// makes its file no STAR file; it can be read off the corrected curve.
fn curves(found: &LocalResolution, point: &Point) -> Table {
    let [z, y, x] = point.at.map(|c| match c < 0 {
        true => format!("-{:04}", -c),
        false => format!("{c:05}"),
    });
    let mut table = Table::new_loop(
        &format!("fsc_{z}_{y}_{x}"),
        &[
            "rlnSpectralIndex",
            "rlnResolution",
            "rlnAngstromResolution",
            "rlnFourierShellCorrelationCorrected",
            "rlnFourierShellCorrelationUnmaskedMaps",
            "rlnFourierShellCorrelationMaskedMaps",
            "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
        ],
    );
    for s in 0..point.corrected.len() {
        let angstrom = resolution_of_shell(s, found.extent);
        let mut row: Vec<Value> = vec![s.into(), (1.0 / angstrom).into(), angstrom.into()];
        let values = [
            point.corrected[s],
            found.unmasked[s],
            point.masked[s],
            point.randomised[s],
        ];
        row.extend(values.map(Value::Real));
        table.push_row(row);
    }
    table
}

/// Voxels per local resolution, as a staircase.
fn histogram(inside: &[f64]) -> Drawing {
    let low = inside.iter().copied().fold(f64::INFINITY, f64::min);
    let high = inside.iter().copied().fold(0.0, f64::max);
    let step = ((high - low) / BARS as f64).max(1e-3);
    let mut counts = vec![0.0; BARS];
    for value in inside {
        counts[(((value - low) / step) as usize).min(BARS - 1)] += 1.0;
    }
    let bar = |(i, count): (usize, &f64)| {
        let at = |k: usize| low + step * k as f64;
        [(at(i), *count), (at(i + 1), *count)]
    };
    Drawing {
        title: "Local resolution inside the mask".into(),
        axes: ["Local resolution (Å)".into(), "Voxels".into()],
        curves: vec![Curve {
            name: format!("{} voxels", inside.len()),
            points: counts.iter().enumerate().flat_map(bar).collect(),
        }],
    }
}
