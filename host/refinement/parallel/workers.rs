//! Who does the work of a run: the ranks of the job, and the engines of this rank.

use crate::comm::{Ended, Ranks, Trouble};
use crate::errors::{Coded, Message};
use crate::expectation::ExpectationEngine;
use crate::refinement::cli::console::Console;
use crate::refinement::cli::job_markers::Pipeline;
use crate::refinement::error::RunError;
use crate::refinement::parallel::card_sums::Routes;
use crate::refinement::parallel::load_balance::Speeds;
use crate::refinement::parallel::threads::Pools;
use crate::refinement::settings::Settings;
use std::error::Error;
use std::sync::Arc;

/// An engine that a thread of its own can drive.
pub type Engine = Box<dyn ExpectationEngine + Send>;

/// Whoever brings the workers of a run: they are at hand, or their cards are still being opened while the run reads its input.
pub trait Staff {
    /// This rank and the others.
    fn ranks(&self) -> Arc<Ranks>;

    /// Returns the workers. A collective.
    ///
    /// # Errors
    /// A card cannot be used.
    fn workers(&mut self, settings: &Settings, console: &Console)
    -> Result<&mut Workers, RunError>;
}

impl Staff for Workers {
    fn ranks(&self) -> Arc<Ranks> {
        self.ranks.clone()
    }

    fn workers(&mut self, _: &Settings, _: &Console) -> Result<&mut Workers, RunError> {
        Ok(self)
    }
}

/// Ranks and engines of a run.
pub struct Workers {
    /// This rank and the others.
    pub ranks: Arc<Ranks>,
    /// Engines of this rank: that of the host, or one for each of its GPUs.
    pub engines: Vec<Engine>,
    /// How sums that are not in one place are added.
    pub routes: Routes,
    /// How fast the ranks have been.
    pub speeds: Speeds,
    /// Threads of the engines and of their readers.
    pub pools: Pools,
}

impl Workers {
    /// The ranks of a job, of which this one has these engines.
    pub fn new(ranks: Arc<Ranks>, engines: Vec<Engine>, routes: Routes) -> Self {
        Self {
            speeds: Speeds::equal(ranks.size()),
            ranks,
            engines,
            routes,
            pools: Pools::default(),
        }
    }

    /// One process with one engine.
    pub fn of_one(engine: impl ExpectationEngine + Send + 'static) -> Self {
        let ranks = Ranks::single();
        let routes = Routes::by_mpi(&ranks);
        Self::new(Arc::new(ranks), vec![Box::new(engine)], routes)
    }
}

/// Stops work between two batches: when the pipeline's abort file appears (spec 03 §4.3), or another rank has stopped.
#[derive(Clone)]
pub struct StopSign {
    ranks: Arc<Ranks>,
    pipeline: Pipeline,
}

impl StopSign {
    /// The sign that the job scheduler's abort file and the other ranks give.
    pub fn new(ranks: Arc<Ranks>, pipeline: Pipeline) -> Self {
        Self { ranks, pipeline }
    }

    /// To be called between steps; tells the watch that there is progress.
    pub fn check(&self) -> Result<(), RunError> {
        let watch = self.ranks.watch();
        watch.advance();
        if self.pipeline.abort_requested() {
            watch.stop_all(None);
            return Err(RunError::Aborted);
        }
        match watch.stopping() {
            true => Err(RunError::Stopped),
            false => Ok(()),
        }
    }
}

/// Go on only when all ranks came so far; all of them return the same error otherwise. A collective.
pub fn agree<T, E>(ranks: &Ranks, result: Result<T, E>) -> Result<T, E>
where
    E: Coded + From<RunError> + 'static,
{
    if ranks.size() == 1 {
        return result;
    }
    let trouble =
        result.as_ref().err().map(
            |error| match (error as &dyn Error).downcast_ref::<RunError>() {
                Some(RunError::Aborted) => Trouble::Aborted,
                Some(RunError::Stopped) => Trouble::Stopped,
                _ => Trouble::Failed(Message::of(error)),
            },
        );
    match ranks.agree(trouble) {
        Ok(()) => result,
        Err(Ended::Aborted) => Err(RunError::Aborted.into()),
        Err(Ended::Fault(fault)) => Err(RunError::Rank(fault).into()),
    }
}
