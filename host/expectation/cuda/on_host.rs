//! An iteration that does not fit into the memory of a device, worked out by the engine of the host.

use super::super::cpu::CpuEngine;
use super::super::{
    BatchItem, ExpectationEngine, ExpectationError, IterationInput, ParticleOutcome, WeightedSums,
};
use crate::fourier::reference::Reference;
use std::io::Write;

/// The host's engine, and the references where it can use them.
pub struct OnHost {
    engine: CpuEngine,
    references: Vec<Reference>,
}

impl OnHost {
    /// Begins an iteration because of `reason`, the error of a device that is too small for it.
    pub fn begin(
        input: &IterationInput,
        reason: &ExpectationError,
    ) -> Result<Self, ExpectationError> {
        // The run goes on whether or not anybody reads this.
        let _ = writeln!(
            std::io::stderr(),
            "WARNING: the expectation step of this iteration is done on the host, which takes longer: {reason}"
        );
        let references = input
            .references
            .iter()
            .map(|reference| Ok(Reference::Host(reference.to_host()?)))
            .collect::<Result<_, ExpectationError>>()?;
        let mut begun = Self {
            engine: CpuEngine::new(),
            references,
        };
        begun
            .engine
            .begin_iteration(&with(input, &begun.references))?;
        Ok(begun)
    }

    /// As [`ExpectationEngine::batch_size`].
    pub fn batch_size(&self) -> usize {
        self.engine.batch_size()
    }

    /// As [`ExpectationEngine::process_batch`].
    pub fn process_batch(
        &mut self,
        input: &IterationInput,
        batch: &[BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        self.engine
            .process_batch(&with(input, &self.references), batch)
    }

    /// Returns the sums, on the host.
    pub fn finish(mut self) -> Result<WeightedSums, ExpectationError> {
        self.engine.take_sums()
    }
}

/// The same input with other references.
fn with<'a>(input: &IterationInput<'a>, references: &'a [Reference]) -> IterationInput<'a> {
    IterationInput {
        references,
        ..*input
    }
}
