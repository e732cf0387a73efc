//! Options whose row says that a continued run takes them from the optimiser file are in its files.

use super::{BOX, Run, model, settings};
use crate::fourier::shape::Dimensions;
use crate::options::{Kind, OnContinue, OptionEntry, Treatment, table};
use crate::refinement::checkpoint::resume::{ResumeError, read_optimiser};
use crate::refinement::settings::Settings;
use crate::refinement::start_up::input_checks::sampling;
use crate::refinement::state::Subset;
use std::collections::BTreeMap;

/// Held by other files than those that the settings are read from: the particles themselves, in `_data.star`.
const ELSEWHERE: [&str; 1] = ["--i"];

/// Options of every run.
const COMMON: &str = "--i in.star --particle_diameter 12 --random_seed 11 --healpix_order 1 --offset_range 3 --offset_step 1";

/// Command line of a run that the option can be given to, without it.
fn base(option: &str) -> String {
    let kind = match option {
        "--low_resol_join_halves" => "--ref a.mrc --auto_refine --split_random_halves",
        "--denovo_3dref" => "--iter 25 --grad",
        _ => "--ref a.mrc --iter 25",
    };
    format!("{COMMON} {kind}")
}

/// The option with a value that is not its default.
fn given(entry: &OptionEntry) -> String {
    let value = match (entry.name, entry.kind) {
        (_, Kind::Flag) => "",
        ("--sym", _) => "D2",
        ("--adaptive_fraction", _) => "0.75",
        ("--maskedge", _) => "3.5",
        ("--random_seed", _) => "12",
        (_, Kind::Text) => "a.star",
        _ => "7",
    };
    format!("{} {value}", entry.name)
}

/// Fields of the settings and what they hold; those of a group have its name before theirs.
fn fields(settings: &Settings) -> BTreeMap<String, String> {
    let mut found = BTreeMap::<String, String>::new();
    let (mut group, mut field) = (None::<String>, String::new());
    for line in format!("{settings:#?}").lines() {
        let depth = (line.len() - line.trim_start().len()) / 4;
        let inside = depth - usize::from(group.is_some());
        let (name, value) = line.trim().split_once(": ").unwrap_or(("", line.trim()));
        match (depth, inside) {
            (1, _) if value.ends_with(" {") => group = Some(name.to_owned()),
            (1, _) if line.trim() == "}," => group = None,
            (1, _) | (2, 1) if !name.is_empty() => {
                field = match &group {
                    Some(group) => format!("{group}.{name}"),
                    None => name.to_owned(),
                };
                found.insert(field.clone(), value.to_owned());
            }
            _ => found
                .entry(field.clone())
                .or_default()
                .push_str(line.trim()),
        }
    }
    // Every command line has its own.
    found.remove("command_line");
    found
}

/// Settings of a run of this command line, read from the files of its third iteration.
fn stored(command: &str) -> Result<Settings, ResumeError> {
    let mut run = Run::new();
    let root = run.settings.output_root.clone();
    run.settings = settings(&format!("{command} --o {root}"));
    run.sampling = sampling(&run.settings, Dimensions::Three, BOX, 2.0).unwrap();
    // As a new run has them.
    run.state.random_seed = run.settings.random_seed.unwrap();
    run.state.increment_size = run.settings.increment_size;
    run.state.references_ctf_corrected = !run.settings.ctf_uncorrected_reference;
    let mut one = model(run.sampling.directions.len(), 1.0);
    one.classes = vec![one.classes[0].clone(); run.settings.classes];
    run.models = match run.settings.split_random_halves {
        true => vec![one.clone(), one],
        false => {
            // Those of both half-sets.
            one.group_particles = vec![2, 2];
            vec![one]
        }
    };
    if run.settings.gradient.on {
        run.state.subsets = vec![Subset {
            iteration: run.state.iteration,
            size: None,
        }];
    }
    Ok(read_optimiser(&run.write().unwrap())?.settings)
}

#[test]
fn options_that_the_file_is_to_keep_are_in_it() {
    let kept = table::all().filter(|entry| {
        entry.on_continue == OnContinue::FromFile && matches!(entry.treatment, Treatment::Works)
    });
    let mut lost = Vec::new();
    for entry in kept.filter(|entry| !ELSEWHERE.contains(&entry.name)) {
        let base = base(entry.name);
        let with = format!("{base} {}", given(entry));
        let root = "--o run";
        let without = fields(&settings(&format!("{base} {root}")));
        let wanted: BTreeMap<_, _> = fields(&settings(&format!("{with} {root}")))
            .into_iter()
            .filter(|(field, value)| without[field] != *value)
            .collect();
        assert!(!wanted.is_empty(), "{} changes no setting", entry.name);
        let found = match stored(&with) {
            Ok(settings) => fields(&settings),
            Err(error) => {
                lost.push(format!("{}: {error}", entry.name));
                continue;
            }
        };
        for (field, value) in wanted {
            if found[&field] != value {
                let found = &found[&field];
                lost.push(format!("{}: {field} is {found}, not {value}", entry.name));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}
