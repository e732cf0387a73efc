//! The latest iteration: figures of each class, FSC between the halves, signal-to-noise ratio.

use crate::findings::half_sets::GOLD_STANDARD;
use crate::tools::report::chart::{Axis, Chart, Curve, Rule, Scale};
use crate::tools::report::film::spread;
use crate::tools::report::history::{Run, Set};
use crate::tools::report::html::{number, section as html_section, table};
use crate::tools::report::page::{MOST_CURVES, shown_classes};
use crate::tools::report::tables::Model;

/// Signal-to-noise ratios below this are not shown: nothing is seen there.
const LOWEST_SSNR: f64 = 1e-2;

/// Iterations whose FSC is shown, the first and the latest among them.
const MOST_FSC: usize = 6;

/// Rows from which a table is folded away until the reader asks for it.
const LONG_TABLE: usize = 20;

/// Figures and curves.
pub(super) fn section(run: &Run) -> String {
    let model = &run.last().model;
    let mut body = String::new();
    if model.classes.len() > 1 {
        body.push_str(&classes_table(run));
    }
    let charts: String = [fsc(run), ssnr(model), noise(model)]
        .iter()
        .flatten()
        .map(Chart::figure)
        .collect();
    if !charts.is_empty() {
        body.push_str(&format!("<div class=\"side-by-side\">\n{charts}</div>\n"));
    }
    if body.is_empty() {
        return body;
    }
    html_section(&format!("Resolution, {}", run.last().name.title()), &body)
}

fn classes_table(run: &Run) -> String {
    let heads = [
        "Class",
        "Share, %",
        "Particles",
        "Resolution, Å",
        "Accuracy, °",
        "Accuracy, Å",
        "Fourier coverage, %",
    ]
    .map(String::from);
    let members = |k: usize| {
        let particles = run.latest.particles.as_ref()?;
        Some(
            particles
                .classes
                .iter()
                .filter(|class| **class == Some(k))
                .count(),
        )
    };
    let rows: Vec<Vec<String>> = run
        .last()
        .model
        .classes
        .iter()
        .enumerate()
        .map(|(k, class)| {
            vec![
                (k + 1).to_string(),
                number(Some(100.0 * class.occupancy), 2),
                members(k).map_or("–".into(), |n| n.to_string()),
                number(class.resolution, 2),
                number(class.accuracy_rotations, 2),
                number(class.accuracy_translations, 2),
                number(class.completeness.map(|share| 100.0 * share), 1),
            ]
        })
        .collect();
    let table = table("classes", &heads, &rows);
    match rows.len() > LONG_TABLE {
        true => {
            format!("<details>\n<summary>Figures of all classes</summary>\n{table}</details>\n")
        }
        false => table,
    }
}

/// Frequencies up to Nyquist.
fn frequencies(model: &Model) -> Axis {
    let nyquist = 0.5 / model.pixel_size;
    Axis::new("resolution, Å", 0.0, nyquist, Scale::Resolution)
}

/// Line at the resolution of the model.
fn resolution(model: &Model) -> Option<Rule> {
    model.resolution.is_finite().then(|| {
        Rule::Upright(
            1.0 / model.resolution,
            format!("{} Å", number(Some(model.resolution), 2)),
        )
    })
}

/// Gold-standard FSC; None in a classification, whose files hold zeros.
fn fsc(run: &Run) -> Option<Chart> {
    let model = &run.last().model;
    let known: Vec<&Set> = run.sets.iter().filter(|set| has_fsc(&set.model)).collect();
    if !has_fsc(model) {
        return None;
    }
    // The latest first: it has the colour of a single curve.
    let mut shown: Vec<usize> = spread(known.len(), MOST_FSC).collect();
    shown.reverse();
    let curves: Vec<Curve> = shown
        .into_iter()
        .map(|i| Curve {
            name: known[i].name.title(),
            points: fsc_points(&known[i].model),
            dots: false,
        })
        .collect();
    let all = curves.iter().flat_map(|curve| &curve.points);
    let lowest = all.map(|(_, y)| *y).fold(0.0, f64::min);
    let mut rules = vec![Rule::Across(GOLD_STANDARD, GOLD_STANDARD.to_string())];
    rules.extend(resolution(model));
    Some(Chart {
        title: "FSC between the half maps (gold standard)".into(),
        x: frequencies(model),
        y: Axis::new(
            "FSC",
            (lowest * 10.0).floor().max(-10.0) / 10.0,
            1.0,
            Scale::Linear,
        ),
        curves,
        rules,
    })
}

fn has_fsc(model: &Model) -> bool {
    let first = model.classes.first();
    first.is_some_and(|class| class.spectra.fsc.iter().skip(1).any(|value| *value != 0.0))
}

fn fsc_points(model: &Model) -> Vec<(f64, f64)> {
    let spectra = &model.classes[0].spectra;
    let frequencies = spectra.frequency.iter().copied();
    frequencies.zip(spectra.fsc.iter().copied()).collect()
}

/// Noise spectra of the optics groups.
fn noise(model: &Model) -> Option<Chart> {
    let curves: Vec<Curve> = model
        .noise
        .iter()
        .take(MOST_CURVES)
        .enumerate()
        .map(|(group, spectrum)| Curve {
            name: format!("group {}", group + 1),
            // The mean of an image is no noise.
            points: spectrum
                .iter()
                .skip(1)
                .copied()
                .filter(|(_, s)| *s > 0.0)
                .collect(),
            dots: false,
        })
        .collect();
    let values = || {
        curves
            .iter()
            .flat_map(|curve| &curve.points)
            .map(|(_, y)| *y)
    };
    let (lowest, highest) = (
        values().fold(f64::INFINITY, f64::min),
        values().fold(0.0, f64::max),
    );
    (highest > 0.0 && highest.is_finite()).then(|| Chart {
        title: "Noise of the optics groups, σ²".into(),
        x: frequencies(model),
        y: Axis::new("σ²", lowest / 1.5, 1.5 * highest, Scale::Logarithmic),
        curves,
        rules: Vec::new(),
    })
}

/// Signal-to-noise ratio of the classes.
fn ssnr(model: &Model) -> Option<Chart> {
    let shown = shown_classes(model);
    let curves: Vec<Curve> = shown
        .iter()
        .map(|&k| (k, &model.classes[k]))
        .map(|(k, class)| Curve {
            name: format!("class {}", k + 1),
            points: class
                .spectra
                .frequency
                .iter()
                .zip(&class.spectra.ssnr)
                .filter(|(_, value)| **value >= LOWEST_SSNR)
                .map(|(frequency, value)| (*frequency, *value))
                .collect(),
            dots: false,
        })
        .collect();
    let largest = curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|(_, y)| *y)
        .fold(0.0, f64::max);
    if largest <= LOWEST_SSNR || !largest.is_finite() {
        return None;
    }
    let mut rules = vec![Rule::Across(1.0, "1".into())];
    rules.extend(resolution(model));
    Some(Chart {
        title: match (model.is_2d, shown.len() < model.classes.len()) {
            (true, true) => "Signal-to-noise ratio of the largest classes, τ²/σ²".into(),
            (true, false) => "Signal-to-noise ratio of the class averages, τ²/σ²".into(),
            (false, _) => "Signal-to-noise ratio of the map, τ²/σ²".to_owned(),
        },
        x: frequencies(model),
        y: Axis::new("SSNR", LOWEST_SSNR, largest.max(2.0), Scale::Logarithmic),
        curves,
        rules,
    })
}
