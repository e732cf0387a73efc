//! Dynamic signal subtraction (`--red_mask`, spec 06 §9.2): images are compared without the signal of an unwanted region, with the
//! references of the wanted region alone. What is summed stays as it is, so that maps keep all of their density.

use super::layout::GroupLayout;
use super::start::ParticleStart;
use super::{BatchItem, ExpectationError, IterationInput};
use crate::errors::Coded;
use crate::fourier::reference::{Reference, ReferenceVolume};
use crate::optics::{Ctf, CtfFlags};

/// The references of an iteration by regions, one per class.
#[derive(Clone, Copy)]
pub struct Subtraction<'a> {
    /// The wanted region, in the place of the whole references: what images are compared with.
    pub wanted: &'a [Reference],
    /// The unwanted region up to the full radius, on the host: what is subtracted from images.
    pub unwanted: &'a [ReferenceVolume],
}

impl<'a> IterationInput<'a> {
    /// References that images are compared with.
    pub(super) fn compared_references(&self) -> &'a [Reference] {
        self.subtraction
            .map_or(self.references, |subtraction| subtraction.wanted)
    }

    /// Reference of class `class` that images are compared with, for an engine that has called [`Self::check_on_host`].
    pub(super) fn host_compared(&self, class: usize) -> &'a ReferenceVolume {
        self.compared_references()[class]
            .on_host()
            .expect("checked before the first batch")
    }
}

/// Returns the unwanted signal in the image of a particle once that is multiplied by its norm correction, box² pixels: the projection
/// of the unwanted region of the class, in the pose and with the scale that the particle has so far. None where nothing is
/// subtracted.
///
/// A particle that has no class yet, or one of another run, takes the first.
///
/// # Errors
/// The CTF of the particle cannot be computed.
pub(super) fn unwanted_signal(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    start: &ParticleStart,
) -> Result<Option<Vec<f32>>, ExpectationError> {
    let (Some(subtraction), Some(signal)) = (&input.subtraction, &layout.signal) else {
        return Ok(None);
    };
    let particle = item.particle;
    let of_class = subtraction.unwanted.get(particle.class.max(1) - 1);
    let reference = of_class.unwrap_or(&subtraction.unwanted[0]);
    let ctf = match input.options.ctf && input.references_ctf_corrected {
        true => Some(whole_ctf(input, item)?),
        false => None,
    };
    Ok(Some(signal.image(
        particle,
        reference,
        ctf.as_ref(),
        start.scale,
    )))
}

/// Returns the CTF that the image has: whatever the comparison leaves out of it (`--ctf_intact_first_peak`, `--only_flip_phases`) is
/// in the image.
fn whole_ctf(input: &IterationInput, item: &BatchItem) -> Result<Ctf, ExpectationError> {
    let group = &input.optics[item.particle.optics_group];
    let flags = CtfFlags {
        phase_flipped: input.options.ctf_flags.phase_flipped,
        ..CtfFlags::default()
    };
    Ctf::new(&item.particle.ctf, group, flags).map_err(|e| ExpectationError::Particle {
        code: e.code(),
        image: item.name.clone(),
        message: e.to_string(),
    })
}
