//! Parts shared by the commands that replace a program of RELION: threads, marker files of the pipeline.

use clap::Args;
use gerelion::comm::cores;
use gerelion::errors::{Failure, tell};
use gerelion::refinement::cli::job_markers::{Ending, Pipeline};
use gerelion::refinement::cli::{launcher, leave_on_crash, mark_failure_on_signal};
use std::path::Path;

/// Options that all these programs have.
#[derive(Args)]
#[command(rename_all = "snake_case")]
pub struct Common {
    /// Prefix of the marker files for RELION's pipeline
    #[arg(long, hide = true)]
    pipeline_control: Option<String>,
    /// Threads; 0 = all cores (the result does not depend on it)
    #[arg(long, default_value_t = 0)]
    j: usize,
}

impl Common {
    /// Does `work` with the threads of `--j`, and leaves RELION's marker files where `--pipeline_control` asks for them.
    ///
    /// Under a name of RELION's MPI programs (`relion_reconstruct_mpi`), rank 0 does all of the work with all cores and the
    /// other ranks end at once: the programs work in one process, and copies of it would write the same files.
    pub fn run(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        if is_mpi_name() && launcher::is_launched() {
            if !launcher::is_first() {
                return Ok(());
            }
            warn_of_binding();
        }
        let pipeline = Pipeline::new(self.pipeline_control.clone());
        pipeline.start()?;
        if self.pipeline_control.is_some() {
            mark_failure_on_signal(pipeline.clone())?;
            leave_on_crash(&pipeline);
        }
        let result = self.with_threads(work);
        let ending = match &result {
            Ok(()) => Ending::Success,
            Err(_) => Ending::Failure,
        };
        let marked = pipeline.finish(ending);
        result?;
        Ok(marked?)
    }

    fn with_threads(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        cores::start_threads(self.j)?;
        work()
    }
}

/// Whether this program was called by a name that ends with `_mpi`, which is a link to the program.
fn is_mpi_name() -> bool {
    let name = std::env::args_os().next();
    let stem = name.as_deref().and_then(|name| Path::new(name).file_name());
    stem.is_some_and(|stem| stem.to_string_lossy().ends_with("_mpi"))
}

/// Says that the launcher leaves this process only some of the cores, as mpirun does by default.
fn warn_of_binding() {
    if let (Some(allowed), Some(online)) = (cores::allowed(), cores::online())
        && allowed < online
    {
        tell(&format!(
            "WARNING: one process does the work of all ranks, but the launcher binds it to {allowed} of {online} cores; start one \
             process without mpirun, or give mpirun --bind-to none"
        ));
    }
}
