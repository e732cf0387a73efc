//! Kind of the run, its progress and the time left.

use crate::tools::moment;
use crate::tools::report::files::SetName;
use crate::tools::report::history::Run;
use crate::tools::report::html::{escaped, number, short};
use crate::tools::report::job::Job;
use crate::tools::report::pace;
use crate::tools::report::state::State;
use std::time::SystemTime;

/// Heading and list of facts.
pub(super) fn header(run: &Run, state: State, now: SystemTime) -> String {
    let job = Job::of(run).title(run);
    let facts: String = facts(run, state, now)
        .into_iter()
        .map(|(name, value)| format!("<dt>{}</dt><dd>{value}</dd>\n", escaped(name)))
        .collect();
    format!(
        "<header>\n<h1>{}</h1>\n<p class=\"lead\">{job}, {}</p>\n<dl>\n{facts}</dl>\n</header>\n",
        escaped(&run.prefix),
        progress(run, state)
    )
}

/// How far the run is.
fn progress(run: &Run, state: State) -> String {
    let word = state.word();
    match (run.last().name, asked_for(run)) {
        (SetName::Final, _) => format!("{word}: final maps written"),
        (SetName::Iteration(number), Some(of)) => format!("{word}: iteration {number} of {of}"),
        (SetName::Iteration(number), None) => format!("{word}: iteration {number}"),
    }
}

/// Number of iterations, where the run was given one.
fn asked_for(run: &Run) -> Option<usize> {
    run.optimiser()
        .filter(|optimiser| !optimiser.auto_refine)
        .map(|optimiser| optimiser.iterations)
}

/// Names and values (markup) of what is known.
fn facts(run: &Run, state: State, now: SystemTime) -> Vec<(&'static str, String)> {
    let model = &run.last().model;
    let mut facts = vec![
        (
            "Resolution",
            format!("{} Å", number(Some(model.resolution), 2)),
        ),
        (
            "Box",
            format!(
                "{} pixels of {} Å ({} Å)",
                model.box_size,
                short(model.pixel_size, 4),
                number(Some(model.extent()), 0)
            ),
        ),
    ];
    if let Some(particles) = &run.latest.particles {
        let (count, visited) = (particles.count, particles.visited());
        facts.push((
            "Particles",
            match visited < count && visited > 0 {
                true => format!("{count}, of which {visited} have been used so far"),
                false => count.to_string(),
            },
        ));
    }
    if model.classes.len() > 1 {
        facts.push(("Classes", model.classes.len().to_string()));
    }
    if let Some(sampling) = run.sampling().filter(|_| !model.is_2d) {
        facts.push(("Symmetry", escaped(&sampling.symmetry).into_owned()));
    }
    if let Some(optimiser) = run.optimiser() {
        if let Some(diameter) = optimiser.particle_diameter {
            facts.push((
                "Particle diameter",
                format!("{} Å", number(Some(diameter), 0)),
            ));
        }
        if optimiser.half_sets || optimiser.auto_refine {
            facts.push(("Half-sets", "refined independently".into()));
        }
        if !optimiser.program.is_empty() {
            facts.push(("Program", escaped(&optimiser.program).into_owned()));
        }
    }
    facts.extend(time(run, state, now));
    if let Some(written) = run.last().written {
        facts.push(("Latest files", moment::minute(written)));
    }
    if let Some(optimiser) = run.optimiser()
        && !optimiser.command_line.is_empty()
    {
        facts.push(("Command line", words(&optimiser.command_line)));
    }
    facts
}

/// Words of a command line, none of which is broken at its dashes.
fn words(line: &str) -> String {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| format!("<span>{}</span>", escaped(word)))
        .collect();
    format!("<code>{}</code>", words.join(" "))
}

/// How long iterations take and what is left of a run that goes on.
fn time(run: &Run, state: State, now: SystemTime) -> Vec<(&'static str, String)> {
    let recent = pace::recent(&run.sets);
    let mut facts = Vec::new();
    if let Some((each, count)) = recent {
        let which = match count {
            1 => "the last one".to_owned(),
            _ => format!("mean of the last {count}"),
        };
        facts.push((
            "Time per iteration",
            format!("{} ({which})", pace::words(each)),
        ));
    }
    if state != State::Running {
        return facts;
    }
    match (run.last().name, asked_for(run), recent) {
        (SetName::Iteration(number), Some(of), Some((each, _))) => {
            let written = run.last().written;
            let age = written.and_then(|written| now.duration_since(written).ok());
            let age = age.map_or(0.0, |age| age.as_secs_f64());
            let left = pace::words(pace::left(each, of.saturating_sub(number), age));
            facts.push((
                "Time left",
                format!("about {left} when this page was written"),
            ));
        }
        (_, None, _) if run.optimiser().is_some() => facts.push((
            "Time left",
            "not known: auto-refine decides itself how many iterations it needs".into(),
        )),
        _ => {}
    }
    facts
}
