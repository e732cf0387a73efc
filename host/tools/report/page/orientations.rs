//! Where the particles are seen from, and how their other parameters are distributed.

use crate::geometry::symmetry::PointGroup;
use crate::tools::report::ReportError;
use crate::tools::report::chart::{Axis, Chart, Curve, Scale};
use crate::tools::report::directions::Density;
use crate::tools::report::history::Run;
use crate::tools::report::html::{paragraph, section as html_section};
use crate::tools::report::mollweide;
use crate::tools::report::particles::Particles;

/// Bars of a histogram.
const BARS: usize = 40;

/// Density of viewing directions per class, and histograms; nothing without particles.
pub(super) fn section(run: &Run) -> Result<String, ReportError> {
    let Some(particles) = &run.latest.particles else {
        return Ok(String::new());
    };
    // Class averages have no viewing direction: rot and tilt are those of the input.
    let mut body = match run.last().model.is_2d {
        true => String::new(),
        false => spheres(run, particles)?,
    };
    body.push_str(&histograms(particles));
    Ok(html_section(
        &format!("Particles, {}", run.last().name.title()),
        &body,
    ))
}

fn spheres(run: &Run, particles: &Particles) -> Result<String, ReportError> {
    let symmetry = run.sampling().map_or("C1", |s| s.symmetry.as_str());
    let (group, copies) = match PointGroup::parse(symmetry) {
        Ok(group) if group.order() > 1 => {
            let copies = format!("with all copies by point group {}", group.name());
            (group, copies)
        }
        Ok(group) => (group, String::new()),
        Err(_) => (
            PointGroup::c1(),
            format!("without copies by '{symmetry}', whose operators are not known here"),
        ),
    };
    let finer = run
        .optimiser()
        .map_or(1.0, |optimiser| 2f64.powi(optimiser.oversampling as i32));
    let step = run.sampling().map_or(7.5, |s| s.angular_step / finer);
    let mut figures = String::new();
    let classes = run.last().model.classes.len();
    for k in 0..classes {
        let directions = particles.directions_of(k);
        let Some(density) = Density::of(&directions, &group, step) else {
            continue;
        };
        let title = match classes {
            1 => format!("Viewing directions of {} particles", directions.len()),
            _ => format!(
                "Class {}: viewing directions of {} particles",
                k + 1,
                directions.len()
            ),
        };
        figures.push_str(&mollweide::figure(&title, &density)?);
    }
    if figures.is_empty() {
        return Ok(figures);
    }
    let copies = match copies.is_empty() {
        true => copies,
        false => format!(" {copies},"),
    };
    let explanation = format!(
        "Density of rot and tilt over the whole sphere,{copies} in Mollweide's equal-area projection, smoothed by about the angular \
         step; 1 is what an even distribution would have everywhere."
    );
    Ok(format!(
        "<div class=\"side-by-side\">\n{figures}</div>\n{}",
        paragraph(&explanation)
    ))
}

fn histograms(particles: &Particles) -> String {
    let micrometres: Vec<f64> = particles.defocus.iter().map(|d| d / 1e4).collect();
    let charts: String = [
        histogram("Pmax of the particles", "Pmax", &particles.pmax),
        histogram(
            "Distance of the particles from the centre of their images",
            "offset, Å",
            &particles.offsets,
        ),
        histogram("Defocus", "defocus, µm", &micrometres),
    ]
    .iter()
    .flatten()
    .map(Chart::figure)
    .collect();
    match charts.is_empty() {
        true => charts,
        false => format!("<div class=\"side-by-side\">\n{charts}</div>\n"),
    }
}

/// Share of the particles per bar; None without values, or where all are the same.
fn histogram(title: &str, label: &str, values: &[f64]) -> Option<Chart> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low >= high {
        return None;
    }
    let width = (high - low) / BARS as f64;
    let mut counts = [0usize; BARS];
    for value in finite() {
        counts[(((value - low) / width) as usize).min(BARS - 1)] += 1;
    }
    let share = |count: usize| 100.0 * count as f64 / values.len() as f64;
    let mut points = vec![(low, 0.0)];
    for (i, count) in counts.iter().enumerate() {
        let left = low + i as f64 * width;
        points.push((left, share(*count)));
        points.push((left + width, share(*count)));
    }
    points.push((high, 0.0));
    let most = counts.iter().copied().max().map_or(0.0, share);
    Some(Chart {
        title: title.into(),
        x: Axis::new(label, low, high, Scale::Linear),
        y: Axis::new("particles, %", 0.0, 1.1 * most, Scale::Linear),
        curves: vec![Curve {
            name: label.into(),
            points,
            dots: false,
        }],
        rules: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_count_every_value() {
        let chart = histogram("t", "x", &[0.0, 0.1, 1.0, f64::NAN]).unwrap();
        let area: f64 = chart.curves[0].points[1..81]
            .chunks(2)
            .map(|bar| bar[0].1)
            .sum();
        assert!((area - 75.0).abs() < 1e-9, "{area}");
        assert_eq!(histogram("t", "x", &[2.0, 2.0]), None);
        assert_eq!(histogram("t", "x", &[]), None);
    }
}
