//! `--scratch_dir`: before the first iteration the ranks of each machine copy the image stacks to its local disk.

use crate::comm::Ranks;
use crate::dataset::ImageStore;
use crate::dataset::scratch::{Scratch, ScratchRule, Step};
use crate::refinement::cli::console::Console;
use crate::refinement::cli::phase::Phase;
use crate::refinement::cli::stage_log::Stage;
use crate::refinement::error::RunError;
use crate::refinement::parallel::workers::{StopSign, agree};
use crate::refinement::settings::Settings;
use std::collections::HashSet;
use std::path::Path;

/// Copy what fits; images of other stacks are read from where they are. A collective.
pub(crate) fn copy(
    images: &mut ImageStore,
    settings: &Settings,
    ranks: &Ranks,
    console: &Console,
    stop: &StopSign,
) -> Result<(), RunError> {
    // Images in memory need no copies (spec 03 §6.7).
    let Some(folder) = settings
        .scratch_dir
        .as_ref()
        .filter(|_| !settings.preread_images)
    else {
        return Ok(());
    };
    ranks.watch().enter("copying images to the scratch folder");
    let rule = ScratchRule {
        keep_free: (settings.keep_free_scratch.max(0.0) * f64::from(1 << 30)) as u64,
        only_reuse: settings.reuse_scratch,
        compare: true,
    };
    if !rule.only_reuse {
        console.say(&format!(
            " Copying particles to scratch directory: {}",
            folder.display()
        ));
    }
    // The ranks of a machine take turns with the stacks.
    let (place, of) = ranks.place_on_host();
    let mut told = HashSet::new();
    let mut steps = |step: Step| -> Result<(), RunError> {
        match step {
            Step::WaitingFor(path, holder) => console.warn(&waiting_text(path, holder)),
            Step::Changed(copy) if told.insert(copy.to_owned()) => console.warn(&format!(
                " + WARNING: {} is not as it was made: it was written to since, or the disk is failing. The copy is not used.",
                copy.display()
            )),
            Step::Changed(_) | Step::Part | Step::Waiting => {}
        }
        stop.check()
    };
    let total = images.stacks().count().div_ceil(of);
    let title = " Copying image stacks ...";
    let phase = Phase::begin(console, Stage::CopyToScratch, None, title, total);
    let copied =
        Scratch::open(folder, settings.keep_scratch, &mut steps).and_then(|mut scratch| {
            for (number, source) in images.stacks().enumerate() {
                if number % of == place {
                    scratch.copy_of(source, &rule, &mut steps)?;
                    phase.advance(1);
                }
            }
            Ok(scratch)
        });
    phase.set(total);
    drop(phase);
    let mut scratch = agree(ranks, copied)?;
    let reuse = ScratchRule {
        only_reuse: true,
        // One rank of the machine has done so.
        compare: false,
        ..rule
    };
    let stacks = images.stacks().count();
    let found = images.use_copies(|source| scratch.copy_of(source, &reuse, &mut steps));
    let missing = stacks - agree(ranks, found)?;
    let on_all: Vec<f64> = ranks.gather_numbers(&[missing as f64]).concat();
    for host in ranks.hosts() {
        let missing = on_all[host.ranks[0]];
        if missing > 0.0 {
            let why = match rule.only_reuse {
                true => "no copies to use again",
                false => "scratch space full",
            };
            console.warn(&format!(
                " + WARNING: {why} on {}: the images of {missing} of {stacks} stacks will be read from where \
                 they are.",
                host.name
            ));
        }
    }
    images.keep_scratch(scratch);
    Ok(())
}

fn waiting_text(lock: &Path, holder: &str) -> String {
    let holder = match holder {
        "" => "another job".to_owned(),
        process => format!("another job ({process})"),
    };
    format!(
        " Waiting for {holder}, which copies the same images; it holds {}",
        lock.display()
    )
}
