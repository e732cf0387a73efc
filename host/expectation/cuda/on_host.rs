//! Work that does not fit into the memory of a device and is done by the engine of the host: an iteration, or single particles.

use super::super::cpu::CpuEngine;
use super::super::{
    BatchItem, ExpectationEngine, ExpectationError, IterationInput, ParticleOutcome, Subtraction,
    WeightedSums,
};
use crate::errors::tell;
use crate::fourier::reference::Reference;

/// The host's engine, and the references where it can use them.
pub(super) struct OnHost {
    engine: CpuEngine,
    references: Vec<Reference>,
    /// Wanted regions, where an unwanted signal is subtracted.
    wanted: Vec<Reference>,
    particles: usize,
}

impl OnHost {
    /// Begins an iteration on the host. `what` is done there because of `reason`, the error of a device that is too small
    /// for it.
    pub(super) fn begin(
        input: &IterationInput,
        what: &str,
        reason: &ExpectationError,
    ) -> Result<Self, ExpectationError> {
        // The run goes on whether or not anybody reads this.
        tell(&format!(
            "WARNING: {what} done on the host, which takes longer: {reason}"
        ));
        let to_host = |references: &[Reference]| -> Result<Vec<Reference>, ExpectationError> {
            let references = references.iter();
            references
                .map(|reference| Ok(Reference::Host(reference.to_host()?)))
                .collect()
        };
        let references = to_host(input.references)?;
        let wanted = to_host(input.subtraction.map_or(&[], |s| s.wanted))?;
        let mut begun = Self {
            engine: CpuEngine::new(),
            references,
            wanted,
            particles: 0,
        };
        begun
            .engine
            .begin_iteration(&with(input, &begun.references, &begun.wanted))?;
        Ok(begun)
    }

    /// As [`ExpectationEngine::batch_size`].
    pub(super) fn batch_size(&self) -> usize {
        self.engine.batch_size()
    }

    /// As [`ExpectationEngine::process_batch`].
    pub(super) fn process_batch(
        &mut self,
        input: &IterationInput,
        batch: &[BatchItem],
    ) -> Result<Vec<ParticleOutcome>, ExpectationError> {
        self.particles += batch.len();
        self.engine
            .process_batch(&with(input, &self.references, &self.wanted), batch)
    }

    /// Particles that were handed over.
    pub(super) fn particles(&self) -> usize {
        self.particles
    }

    /// Returns the sums, on the host.
    pub(super) fn finish(mut self) -> Result<WeightedSums, ExpectationError> {
        self.engine.take_sums()
    }
}

/// The same input with other references, and wanted regions of them.
fn with<'a>(
    input: &IterationInput<'a>,
    references: &'a [Reference],
    wanted: &'a [Reference],
) -> IterationInput<'a> {
    IterationInput {
        references,
        subtraction: input.subtraction.map(|s| Subtraction { wanted, ..s }),
        ..*input
    }
}
