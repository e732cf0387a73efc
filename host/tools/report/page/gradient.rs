//! Schedule of a gradient run: step size, particles per iteration, T.

use super::iterations::{blank, curve, largest, position};
use crate::tools::report::chart::{Axis, Chart, Scale};
use crate::tools::report::files::SetName;
use crate::tools::report::history::{Run, Set};
use crate::tools::report::tables::Gradient;

/// A chart of each, over the iterations.
pub(super) fn charts(run: &Run) -> Vec<Chart> {
    let all = run.latest.particles.as_ref().map(|p| p.count as f64);
    let of_gradient = |value: &dyn Fn(Gradient) -> Option<f64>| {
        over(run, &|set| value(set.optimiser.as_ref()?.gradient?))
    };
    vec![
        chart(
            run,
            "Step size",
            "step size",
            of_gradient(&|gradient| gradient.step_size),
        ),
        chart(
            run,
            "Particles per iteration",
            "particles",
            of_gradient(&|gradient| gradient.subset.map(|size| size as f64).or(all)),
        ),
        chart(
            run,
            "Regularisation (T)",
            "T",
            over(run, &|set| set.model.tau_fudge),
        ),
    ]
}

/// Values of the sets after the start.
fn over(run: &Run, value: &dyn Fn(&Set) -> Option<f64>) -> Vec<(f64, f64)> {
    let begun = run
        .sets
        .iter()
        .filter(|set| set.name != SetName::Iteration(0));
    begun
        .map(|set| (position(run, set), value(set).unwrap_or(f64::NAN)))
        .collect()
}

fn chart(run: &Run, title: &str, label: &str, points: Vec<(f64, f64)>) -> Chart {
    let curves = vec![curve(label, points)];
    Chart {
        title: title.into(),
        y: Axis::new(label, 0.0, 1.1 * largest(&curves), Scale::Linear),
        ..blank(run, curves)
    }
}
