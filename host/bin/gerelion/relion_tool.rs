//! Parts shared by the commands that replace a program of RELION: threads, marker files of the pipeline, options that are refused
//! by name.

use clap::Args;
use gerelion::errors::{Code, Failure, OnFailure};
use gerelion::refinement::cli::job_markers::{Ending, Pipeline};

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
    pub fn run(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let pipeline = Pipeline::new(self.pipeline_control.clone());
        pipeline.start();
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
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.j)
            .build_global()
            .or_says(Code::SYSTEM_LIMIT, "the threads of --j cannot be started")?;
        work()
    }
}

/// Refuses the first of the options (name, given, why or what to do) that was given.
pub fn refuse(options: &[(&str, bool, &str)]) -> Result<(), Failure> {
    match options.iter().find(|(_, given, _)| *given) {
        None => Ok(()),
        Some((name, _, why)) => Err(Code::UNSUPPORTED_OPTION
            .says(format!("{name} is not supported: {why}"))
            .into()),
    }
}
