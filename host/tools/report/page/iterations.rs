//! The table of iterations and curves over them.

use super::gradient;
use super::shown_classes;
use crate::tools::report::chart::{Axis, Chart, Curve, Scale};
use crate::tools::report::files::SetName;
use crate::tools::report::history::{Run, Set};
use crate::tools::report::html::{number, paragraph, section, short, table};
use crate::tools::report::pace;

/// Classes whose shares are listed in the table.
const MOST_LISTED: usize = 4;

/// Curves, then the table.
pub(super) fn sections(run: &Run) -> String {
    let mut text = String::new();
    let charts = charts(run);
    if !charts.is_empty() {
        let body = format!("<div class=\"side-by-side\">\n{charts}</div>\n");
        text.push_str(&section("Progress", &body));
    }
    text.push_str(&section(
        "Iterations",
        &format!("{}{}", iterations_table(run), legend(run)),
    ));
    text
}

fn charts(run: &Run) -> String {
    if run.sets.len() < 2 {
        return String::new();
    }
    let over = |value: &dyn Fn(&Set) -> f64| -> Vec<(f64, f64)> {
        run.sets
            .iter()
            .map(|set| (position(run, set), value(set)))
            .collect()
    };
    let mut charts = vec![resolution(run, over(&|set| 1.0 / set.model.resolution))];
    charts.push(Chart {
        title: "Average Pmax".into(),
        y: Axis::new("average Pmax", 0.0, 1.0, Scale::Linear),
        ..blank(
            run,
            vec![curve(
                "Pmax",
                over(&|set| known(set, set.model.average_pmax)),
            )],
        )
    });
    if is_of_gradient(run) {
        charts.extend(gradient::charts(run));
    }
    let shown = shown_classes(&run.last().model);
    if shown.len() > 1 {
        let occupancy = |set: &Set, k: usize| {
            set.model
                .classes
                .get(k)
                .map_or(f64::NAN, |c| 100.0 * c.occupancy)
        };
        let curves: Vec<Curve> = shown
            .iter()
            .map(|&k| curve(&format!("class {}", k + 1), over(&|set| occupancy(set, k))))
            .collect();
        charts.push(Chart {
            title: match shown.len() < run.last().model.classes.len() {
                true => "Share of the particles in the largest classes".into(),
                false => "Share of the particles in each class".to_owned(),
            },
            y: Axis::new(
                "particles, %",
                0.0,
                1.1 * largest(&curves).min(91.0),
                Scale::Linear,
            ),
            ..blank(run, curves)
        });
    }
    charts.iter().map(Chart::figure).collect()
}

/// A figure of a set; not a number for the one before the first iteration, which knows none.
pub(super) fn known(set: &Set, value: f64) -> f64 {
    if set.name == SetName::Iteration(0) {
        return f64::NAN;
    }
    value
}

fn resolution(run: &Run, points: Vec<(f64, f64)>) -> Chart {
    let points = points
        .into_iter()
        // Before the first iteration the resolution is not known.
        .map(|(x, y)| (x, if y > 0.0 { y } else { f64::NAN }))
        .collect();
    let curves = vec![curve("resolution", points)];
    let high = 1.1 * largest(&curves);
    Chart {
        title: "Resolution".into(),
        y: Axis::new("resolution, Å", 0.0, high, Scale::Resolution),
        ..blank(run, curves)
    }
}

pub(super) fn curve(name: &str, points: Vec<(f64, f64)>) -> Curve {
    Curve {
        name: name.into(),
        points,
        dots: true,
    }
}

pub(super) fn largest(curves: &[Curve]) -> f64 {
    curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|(_, y)| *y)
        .filter(|y| y.is_finite())
        .fold(0.0, f64::max)
}

/// A chart over the iterations, without title and y axis.
pub(super) fn blank(run: &Run, curves: Vec<Curve>) -> Chart {
    let ends = [&run.sets[0], run.last()].map(|set| position(run, set));
    Chart {
        title: String::new(),
        x: Axis::new("iteration", ends[0], ends[1], Scale::Whole),
        y: Axis::new("", 0.0, 1.0, Scale::Linear),
        curves,
        rules: Vec::new(),
    }
}

/// Where a set stands on the axis: the final set is one iteration more.
pub(super) fn position(run: &Run, set: &Set) -> f64 {
    let last = |set: &Set| match set.name {
        SetName::Iteration(number) => Some(number),
        SetName::Final => None,
    };
    match set.name {
        SetName::Iteration(number) => number as f64,
        SetName::Final => run.sets.iter().rev().find_map(last).unwrap_or(0) as f64 + 1.0,
    }
}

fn iterations_table(run: &Run) -> String {
    let mut heads: Vec<&str> = vec![
        "Iteration",
        "Resolution, Å",
        "Image, px",
        "Mean Pmax",
        "Angular step, °",
        "Offset range, Å",
        "Offset step, Å",
        "Accuracy, °",
        "Accuracy, Å",
        "Changes, °",
        "Changes, Å",
    ];
    let has_classes = run.last().model.classes.len() > 1;
    if has_classes {
        heads.push("Changes of class, %");
    }
    if is_of_gradient(run) {
        heads.extend(["Step size", "Particles", "T"]);
    }
    heads.push("Time");
    if lists_classes(run) {
        heads.push("Classes, %");
    }
    let heads: Vec<String> = heads.into_iter().map(String::from).collect();
    let rows: Vec<Vec<String>> = run
        .sets
        .iter()
        .map(|set| row(set, run, has_classes))
        .collect();
    table("iterations", &heads, &rows)
}

fn row(set: &Set, run: &Run, has_classes: bool) -> Vec<String> {
    let model = &set.model;
    let optimiser = set.optimiser.as_ref();
    let sampling = set.sampling.as_ref();
    let finer = optimiser
        .or_else(|| run.optimiser())
        .map_or(1.0, |optimiser| 2f64.powi(optimiser.oversampling as i32));
    let steps = |step: f64| match finer {
        1.0 => short(step, 2),
        _ => format!("{} → {}", short(step, 2), short(step / finer, 2)),
    };
    let angular = sampling.map_or("–".into(), |sampling| {
        let local = if model.local_searches { " (local)" } else { "" };
        format!("{}{local}", steps(sampling.angular_step))
    });
    let mut cells = vec![
        set.name.to_string(),
        number(Some(model.resolution), 2),
        number(
            Some(model.current_size as f64).filter(|size| *size > 0.0),
            0,
        ),
        number(Some(known(set, model.average_pmax)), 3),
        angular,
        sampling.map_or("–".into(), |sampling| short(sampling.offset_range, 2)),
        sampling.map_or("–".into(), |sampling| steps(sampling.offset_step)),
        number(optimiser.and_then(|o| o.accuracy_rotations), 2),
        number(optimiser.and_then(|o| o.accuracy_translations), 2),
        number(optimiser.and_then(|o| o.change_orientations), 2),
        number(optimiser.and_then(|o| o.change_offsets), 2),
    ];
    if has_classes {
        let changed = optimiser.and_then(|o| o.change_classes);
        cells.push(number(changed.map(|share| 100.0 * share), 1));
    }
    if is_of_gradient(run) {
        let first = set.name == SetName::Iteration(0);
        let gradient = optimiser.and_then(|o| o.gradient).filter(|_| !first);
        cells.push(number(gradient.and_then(|g| g.step_size), 3));
        cells.push(match gradient.map(|g| g.subset) {
            Some(Some(size)) => size.to_string(),
            Some(None) => "all".into(),
            None => "–".into(),
        });
        cells.push(number(model.tau_fudge, 2));
    }
    cells.push(set.seconds.map_or("–".into(), pace::words));
    if lists_classes(run) {
        let shares: Vec<String> = model
            .classes
            .iter()
            .map(|class| number(Some(100.0 * class.occupancy), 1))
            .collect();
        cells.push(shares.join(" / "));
    }
    cells
}

fn is_of_gradient(run: &Run) -> bool {
    run.optimiser().is_some_and(|o| o.gradient.is_some())
}

/// Shares of all classes have room in the table; the chart shows more of them.
fn lists_classes(run: &Run) -> bool {
    (2..=MOST_LISTED).contains(&run.last().model.classes.len())
}

fn legend(run: &Run) -> String {
    let mut text = "Steps are those of the first pass → the second. Accuracies are expected errors; changes are averages \
                    against the iteration before. Times are those between optimiser files, per iteration."
        .to_owned();
    if is_of_gradient(run) {
        text.push_str(
            " Each iteration of a gradient run uses a subset of the particles; mean Pmax and changes are those of the subset. Only some \
             iterations are written.",
        );
    }
    if run.optimiser().is_some_and(|o| o.auto_refine) {
        text.push_str(
            " Figures of auto-refine are those of half 1; the final set is the map from all particles.",
        );
    }
    paragraph(&text)
}
