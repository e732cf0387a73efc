//! The page for a browser: markup without any script, which loads itself again.

use crate::tools::moment;
use crate::tools::report::chart::{Axis, Chart, Curve, Scale};
use crate::tools::report::html::{escaped, list, number, table};
use crate::tools::watch::View;
use crate::tools::watch::standing::Standing;
use serde_json::{Value, json};
use std::time::UNIX_EPOCH;

/// The style of the page, which it holds word for word.
pub(super) const STYLE: &str = concat!(
    include_str!("../report/page/style.css"),
    include_str!("watch.css")
);

/// Returns the page; a browser loads it again after `refresh` seconds while a run goes on.
pub(super) fn html(view: &View, refresh: u64) -> String {
    let again = match view.has_ended() {
        true => String::new(),
        false => format!("<meta http-equiv=\"refresh\" content=\"{refresh}\"/>\n"),
    };
    let running = view.runs.iter().filter(|run| !run.has_ended()).count();
    format!(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n{again}<title>{running} running – gerelion \
         watch</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Runs</h1>\n<p class=\"lead\">{}</p>\n{}{}{}</main>\n\
         <footer>Read from the files of the runs by gerelion {}.</footer>\n</body>\n</html>\n",
        moment::minute(view.now),
        runs_table(view),
        cards_table(view),
        view.runs.iter().map(section).collect::<String>(),
        env!("CARGO_PKG_VERSION"),
    )
}

fn texts<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(String::from).into()
}

fn runs_table(view: &View) -> String {
    let heads = texts([
        "Run",
        "State",
        "Iteration",
        "Resolution, Å",
        "Mean Pmax",
        "Now",
        "Time left",
    ]);
    let last = |points: &[(f64, f64)]| points.last().map(|(_, value)| *value);
    let row = |run: &Standing| {
        vec![
            run.prefix.clone(),
            run.word.clone(),
            run.iterations(),
            number(last(&run.resolutions), 2),
            number(last(&run.pmax), 2),
            run.stage(),
            run.time_left(),
        ]
    };
    table(
        "runs",
        &heads,
        &view.runs.iter().map(row).collect::<Vec<_>>(),
    )
}

fn cards_table(view: &View) -> String {
    let Some(cards) = &view.cards else {
        return String::new();
    };
    let heads = texts(["GPU", "Busy, %", "Memory used, MiB", "Memory, MiB"]);
    let rows: Vec<Vec<String>> = cards
        .iter()
        .map(|card| {
            vec![
                card.name.clone(),
                number(card.busy, 0),
                number(card.memory.map(|[used, _]| used), 0),
                number(card.memory.map(|[_, total]| total), 0),
            ]
        })
        .collect();
    table("cards", &heads, &rows)
}

/// Curves and notes of a run.
fn section(run: &Standing) -> String {
    let charts: String = charts(run).iter().map(Chart::figure).collect();
    if charts.is_empty() && run.notes.is_empty() {
        return String::new();
    }
    let notes = match run.notes.is_empty() {
        true => String::new(),
        false => format!("<div class=\"look\">\n{}</div>\n", list(&run.notes)),
    };
    format!(
        "<section>\n<h2>{}</h2>\n{notes}<div class=\"side-by-side\">\n{charts}</div>\n</section>\n",
        escaped(&run.prefix)
    )
}

fn charts(run: &Standing) -> Vec<Chart> {
    let chart = |title: &str, points: Vec<(f64, f64)>, y: Axis| {
        let (first, last) = (points.first()?.0, points.last()?.0);
        (points.len() > 1).then(|| Chart {
            title: title.into(),
            x: Axis::new("iteration", first, last, Scale::Whole),
            y,
            curves: vec![Curve {
                name: title.into(),
                points,
                dots: true,
            }],
            rules: Vec::new(),
        })
    };
    let frequencies: Vec<(f64, f64)> = run.resolutions.iter().map(|(i, r)| (*i, 1.0 / r)).collect();
    let highest = frequencies.iter().map(|(_, f)| *f).fold(0.0, f64::max);
    let y = Axis::new("resolution, Å", 0.0, 1.1 * highest, Scale::Resolution);
    let pmax = Axis::new("average Pmax", 0.0, 1.0, Scale::Linear);
    [
        chart("Resolution", frequencies, y),
        chart("Average Pmax", run.pmax.clone(), pmax),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the same as JSON, for other programs.
pub(super) fn json(view: &View) -> String {
    let seconds = |time: std::time::SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map_or(0.0, |t| t.as_secs_f64().round())
    };
    let runs: Vec<Value> = view
        .runs
        .iter()
        .map(|run| {
            json!({
                "run": run.prefix,
                "state": run.word,
                "iteration": run.done,
                "last_iteration": run.of,
                "resolution_angstrom": run.resolutions.last().map(|(_, value)| value),
                "average_pmax": run.pmax.last().map(|(_, value)| value),
                "stage": run.progress.as_ref().map(|progress| &progress.stage),
                "remaining_s": run.left,
                "written": run.written.map(seconds),
                "notes": run.notes,
            })
        })
        .collect();
    let cards = view.cards.iter().flatten().map(|card| {
        json!({
            "gpu": card.name,
            "busy_percent": card.busy,
            "memory_used_mib": card.memory.map(|[used, _]| used),
            "memory_mib": card.memory.map(|[_, total]| total),
        })
    });
    json!({"time": seconds(view.now), "runs": runs, "gpus": cards.collect::<Vec<Value>>()})
        .to_string()
}
