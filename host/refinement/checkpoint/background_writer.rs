//! Files of an iteration, written while the next one runs.
//!
//! The files of one iteration are whole before those of the next are begun, and an error surfaces there or at the end of
//! the run: whatever ends the program, at most one iteration is lost.

use crate::comm::View;
use crate::dataset::ParticleSet;
use crate::errors::Message;
use crate::geometry::sampling::Sampling;
use crate::model::Model;
use crate::refinement::checkpoint::{self, IterationFiles, OriginalSampling, OutputError};
use crate::refinement::cli::console::Console;
use crate::refinement::cli::phase::Phase;
use crate::refinement::cli::stage_log::Stage;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::settings::Settings;
use crate::refinement::state::RunState;
use ndarray::Array3;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Writes sets of files one after the other, each in a thread of its own.
pub struct Writer {
    writing: Option<JoinHandle<Result<(), OutputError>>>,
    /// Told what the run can be continued from, and that it must stop when files cannot be written.
    view: View,
    /// Told how long it took.
    console: Console,
}

impl Writer {
    /// A writer that has nothing to do yet.
    pub fn new(view: View, console: &Console) -> Self {
        Self {
            writing: None,
            view,
            console: console.clone(),
        }
    }

    /// Begin to write the files of the iteration that the job stands at, from a copy of what they hold, which shares the maps. Waits for those
    /// of the iteration before.
    ///
    /// # Errors
    /// Files of the iteration before could not be written.
    pub fn begin(&mut self, job: &Job) -> Result<(), RunError> {
        let snapshot = Snapshot::of(job);
        self.wait()?;
        let begin = Instant::now();
        let (view, console) = (self.view.clone(), self.console.clone());
        self.writing = Some(std::thread::spawn(move || match snapshot.write() {
            Ok(optimiser) => {
                let iteration = Some(snapshot.state.iteration);
                console.stage_ended(Stage::WriteFiles, iteration, begin.elapsed().as_secs_f64());
                // Iteration 0 holds only the starting point, which no run is continued from.
                if snapshot.state.iteration > 0 {
                    view.checkpoint(&optimiser.to_string_lossy());
                }
                Ok(())
            }
            Err(error) => {
                view.stop_all(Some(&Message::of(&error)));
                Err(error)
            }
        }));
        Ok(())
    }

    /// Wait until all files that were begun are whole.
    ///
    /// # Errors
    /// They could not be written.
    pub fn wait(&mut self) -> Result<(), RunError> {
        if let Some(writing) = self.writing.take() {
            let _bar = (!writing.is_finished()).then(|| Phase::waiting_for_files(&self.console));
            match writing.join() {
                Ok(written) => written?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(writing) = self.writing.take() {
            // The run ends with an error of its own; files that were begun shall be whole nevertheless.
            let _ = writing.join();
        }
    }
}

/// Copy of the state that the files of an iteration hold.
struct Snapshot {
    settings: Settings,
    state: RunState,
    particles: ParticleSet,
    models: Vec<Model>,
    sampling: Sampling,
    original_sampling: OriginalSampling,
    order_iteration: usize,
    unfiltered: Vec<Arc<Array3<f64>>>,
    unmasked: Vec<Arc<Array3<f64>>>,
}

impl Snapshot {
    fn of(job: &Job) -> Self {
        Self {
            settings: job.settings.clone(),
            state: job.state.clone(),
            particles: job.particles.clone(),
            models: job.models.clone(),
            sampling: job.sampling.clone(),
            original_sampling: job.original_sampling,
            order_iteration: job.order_iteration,
            unfiltered: job.unfiltered.clone(),
            unmasked: job.unmasked.clone(),
        }
    }

    fn write(&self) -> Result<PathBuf, OutputError> {
        checkpoint::write_iteration(&IterationFiles {
            settings: &self.settings,
            state: &self.state,
            particles: &self.particles,
            models: &self.models,
            sampling: &self.sampling,
            original_sampling: self.original_sampling,
            order_iteration: self.order_iteration,
            unfiltered: &self.unfiltered,
            unmasked: &self.unmasked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::Ranks;

    /// An error of writing is reported when the next files are begun, or at the end.
    #[test]
    fn errors_surface_at_the_next_call() {
        let mut writer = Writer {
            view: Ranks::single().watch().view(),
            console: Console::new(0, false),
            writing: Some(std::thread::spawn(|| {
                Err(OutputError::Io {
                    path: "a/full/disk".into(),
                    source: std::io::Error::other("no space left"),
                })
            })),
        };
        let error = writer.wait().unwrap_err();
        assert!(error.to_string().contains("a/full/disk"), "{error}");
        writer.wait().unwrap();
    }
}
