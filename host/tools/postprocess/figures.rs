//! Plots of post-processing: FSC curves and Guinier plot (spec 02 §7.1 step 9).

use super::drawing::{Curve, Drawing, eps, pdf};
use super::output::with;
use super::{PostprocessError, PostprocessSettings, Postprocessed};
use std::path::Path;

/// Writes `<o>_fsc.eps`, `<o>_guinier.eps` and, in the folder of the output, `logfile.pdf`.
pub(super) fn write(
    settings: &PostprocessSettings,
    found: &Postprocessed,
) -> Result<(), PostprocessError> {
    let drawings = [fsc(found), guinier(found)];
    for (suffix, drawing) in ["_fsc.eps", "_guinier.eps"].into_iter().zip(&drawings) {
        let path = with(&settings.output, suffix);
        write_file(&path, eps(drawing).as_bytes())?;
    }
    // RELION fails here where the root has no folder (spec 06 §10); the file then lies in the working directory.
    write_file(
        &settings.output.with_file_name("logfile.pdf"),
        &pdf(&drawings),
    )
}

pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), PostprocessError> {
    std::fs::write(path, bytes).map_err(|source| PostprocessError::Write {
        path: path.display().to_string(),
        source,
    })
}

fn fsc(found: &Postprocessed) -> Drawing {
    let curves = &found.curves;
    let named = [
        ("corrected", Some(&curves.corrected)),
        ("unmasked", Some(&curves.unmasked)),
        ("masked", curves.masked.as_ref()),
        ("random phases, masked", curves.randomised.as_ref()),
    ];
    let curve = |(name, values): (&str, Option<&Vec<f64>>)| {
        let points = values?.iter().enumerate();
        Some(Curve {
            name: name.into(),
            points: points.map(|(s, c)| (s as f64 / found.extent, *c)).collect(),
        })
    };
    Drawing {
        title: format!("Final resolution = {:.2} Angstroms", found.resolution),
        axes: [
            "Resolution (1/Å)".into(),
            "Fourier shell correlation".into(),
        ],
        curves: named.into_iter().filter_map(curve).collect(),
    }
}

/// Log amplitudes of empty shells are left out.
fn guinier(found: &Postprocessed) -> Drawing {
    let curve = |(label, values): &(&str, Vec<f64>)| Curve {
        name: label.trim_start_matches("rlnLogAmplitudes").into(),
        points: (1..values.len())
            .filter(|s| values[*s] > super::filter::EMPTY)
            .map(|s| ((s as f64 / found.extent).powi(2), values[s]))
            .collect(),
    };
    Drawing {
        title: format!("Guinier plot, B-factor {:.1} Å^2", found.b_factor),
        axes: ["Resolution^2 (1/Å^2)".into(), "Ln(amplitudes)".into()],
        curves: found.guinier.iter().map(curve).collect(),
    }
}
