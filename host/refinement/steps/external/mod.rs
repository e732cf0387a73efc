//! Maps that another program makes from the sums: `--external_reconstruct` and `--blush` (spec 06 §3). The rank that owns a class
//! calls the program for it; sums on a device come to the host.

mod call;
mod files;

pub use call::check;

use crate::comm::Ranks;
use crate::expectation::WeightedSums;
use crate::fourier::sums::Sums;
use crate::geometry::Matrix3;
use crate::maximization::{
    Finish, MaximizationError, MaximizationOptions, Prior, external::PaddedSums, update_spectra,
    volumes,
};
use crate::model::{ClassModel, Model};
use crate::refinement::cli::console::Console;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use call::Call;
use files::{Files, Geometry};
use std::time::Duration;

/// Programs that run at a time: both half-sets, or two classes.
const AT_A_TIME: usize = 2;

/// A class whose map is to be made.
struct Task<'a> {
    /// The class, which this rank owns.
    class: &'a mut ClassModel,
    /// The card that its sums were made on, which is free for the program now.
    device: Option<usize>,
    /// Its symmetrised sums.
    sums: Sums,
    /// Σw over its particles.
    class_weight: f64,
    /// Beginning of the names of its files ([`Rule::file_root`]).
    root: String,
}

/// How programs are called in an iteration.
pub struct Rule<'a> {
    call: Call,
    /// Beginning of all names, with the number of the iteration: the final one has it in them, too (spec 06 §3.2).
    root: String,
    options: MaximizationOptions,
    geometry: Geometry,
    time_limit: Duration,
    ranks: &'a Ranks,
    console: &'a Console,
}

impl<'a> Rule<'a> {
    /// The program that the settings ask for, if they do.
    pub fn of(job: &Job, ranks: &'a Ranks, console: &'a Console) -> Option<Self> {
        let maps = &job.settings.maps;
        maps.by_program().then(|| Self {
            call: Call::of(maps),
            root: format!("{}_it{:03}", job.settings.output_root, job.state.iteration),
            options: job.maximization.clone(),
            geometry: Geometry {
                pixel_size: job.models[0].pixel_size,
                particle_diameter: job.expectation.particle_diameter,
            },
            time_limit: Duration::try_from_secs_f64(maps.time_limit).unwrap_or(Duration::MAX),
            ranks,
            console,
        })
    }

    /// Returns how the names of the files of a class (from 0) begin; `half` is 1 or 2 where half-sets are apart.
    fn file_root(&self, half: Option<usize>, class: usize) -> String {
        let half = half.map_or(String::new(), |half| format!("_half{half}"));
        format!("{}{half}_class{:03}", self.root, class + 1)
    }
}

/// Updates classes of a classification, from the sums of those that this rank owns, which are symmetrised with `operators` here.
pub fn maximize_classes(
    classes: &mut [ClassModel],
    sums: Vec<Sums>,
    class_weight: &[f64],
    operators: &[Vec<Matrix3>],
    prior: Prior,
    rule: &Rule,
    finish: &Finish,
) -> Result<(), RunError> {
    let mut tasks = Vec::new();
    let all = classes.iter_mut().zip(sums).enumerate();
    for (k, (class, mut sums)) in all.filter(|(k, _)| rule.ranks.owns(*k)) {
        let device = device_of(&sums);
        sums.move_to_host().map_err(MaximizationError::from)?;
        // Class averages are not symmetrised, but for Friedel mates.
        let operators = match class.map.dim().0 {
            1 => &[],
            _ => operators[k].as_slice(),
        };
        volumes::symmetrise(&mut sums, operators)?;
        tasks.push(Task {
            class,
            device,
            sums,
            class_weight: class_weight[k],
            root: rule.file_root(None, k),
        });
    }
    maximize(tasks, prior, rule, finish)
}

/// Updates the half-sets that this rank owns, or the only class of the joined ones, from symmetrised sums.
pub fn maximize_halves(
    models: &mut [Model],
    sums: &mut [WeightedSums],
    prior: Prior,
    rule: &Rule,
    finish: &Finish,
) -> Result<(), RunError> {
    let apart = sums.len() > 1;
    let all = models.iter_mut().zip(sums).enumerate();
    let own = all.filter(|(half, _)| rule.ranks.owns(*half));
    let tasks = own.map(|(half, (model, sums))| Task {
        class: &mut model.classes[0],
        device: device_of(&sums.backprojections[0]),
        sums: sums.backprojections.remove(0),
        class_weight: sums.class_weight[0],
        root: rule.file_root(apart.then_some(half + 1), 0),
    });
    maximize(tasks.collect(), prior, rule, finish)
}

fn device_of(sums: &Sums) -> Option<usize> {
    match sums {
        Sums::Device(sums) => Some(sums.volume.device().ordinal()),
        Sums::Host(_) => None,
    }
}

/// Updates spectra and maps of classes. What is done to the maps afterwards is in `finish`.
fn maximize(tasks: Vec<Task>, prior: Prior, rule: &Rule, finish: &Finish) -> Result<(), RunError> {
    let mut tasks = tasks.into_iter().peekable();
    while tasks.peek().is_some() {
        let mut running = Vec::new();
        for mut task in tasks.by_ref().take(AT_A_TIME) {
            task.sums.move_to_host().map_err(MaximizationError::from)?;
            let (sums, weight) = (&task.sums, task.class_weight);
            let source = update_spectra(task.class, sums, weight, prior, &rule.options)?;
            if source.done_without_sums(task.class, finish) {
                continue;
            }
            let Sums::Host(sums) = task.sums else {
                continue;
            };
            let files = Files::new(&task.root);
            let arrays = PaddedSums::of(&sums);
            files.write(
                &arrays,
                &sums.shape,
                task.class,
                &rule.options,
                &rule.geometry,
            )?;
            drop((sums, arrays));
            let program = rule.call.start(&files, task.device)?;
            running.push((task.class, files, program));
        }
        for (class, files, program) in running {
            let line = program.line().to_owned();
            rule.console.say(&rule.call.announcement(&line));
            program.wait(rule.time_limit, rule.ranks)?;
            rule.console.say(rule.call.success());
            let joined = matches!(prior, Prior::Fsc { joined: true, .. });
            let mut map = files.read_map(class.map.dim(), &line)?;
            if let Some(spectrum) = files.read_spectrum(&line)? {
                spectrum.apply(class, rule.options.tau2_fudge, joined);
            }
            finish.on_host(&mut map);
            class.map = map.into();
        }
    }
    Ok(())
}
