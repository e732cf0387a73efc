//! Images that cannot be used: found one by one when they are read, or all of them before a run begins.

use super::images::locate;
use super::{DatasetError, ParticleSet, Pixels};
use crate::errors::Message;
use crate::formats::file_name::ImageName;
use crate::formats::mrc::StackReader;
use rayon::prelude::*;

/// Images looked at between two calls of `poll`.
const CHUNK: usize = 4096;

/// A particle whose image cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Index in the table.
    pub particle: usize,
    /// What is wrong with its image, in words.
    pub reason: String,
}

/// What makes an image `width` pixels wide useless whatever the particle: a value that is no number, or nothing but
/// zeros.
pub(super) fn flaw(pixels: &Pixels, width: usize) -> Option<String> {
    if let Some((pixel, value)) = pixels.first_not_finite() {
        return Some(format!(
            "the image holds {value} at pixel ({}, {})",
            pixel % width,
            pixel / width
        ));
    }
    pixels
        .are_zero()
        .then(|| "all pixels of the image are 0".to_string())
}

/// Read the images of these particles in stack order and tell which cannot be used, in the order of the table: not in
/// their stack, or with a [`flaw`]. A stack that cannot be opened is an error, since more than single images is wrong
/// then. `poll` is called now and then with the number of images read, and may stop it.
pub fn unusable_images<E: From<DatasetError> + Send>(
    set: &ParticleSet,
    particles: &[usize],
    mut poll: impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<Unusable>, E> {
    let stack_of = |index: usize| set.particles[index].stack;
    let mut order = particles.to_vec();
    order.sort_by_key(|&index| (stack_of(index), set.particles[index].slice));
    let mut found = Vec::new();
    for (number, chunk) in order.chunks(CHUNK).enumerate() {
        poll(number * CHUNK)?;
        let of_stacks: Vec<Vec<Unusable>> = chunk
            .par_chunk_by(|&a, &b| stack_of(a) == stack_of(b))
            .map(|of_stack| unusable_in_stack(set, of_stack))
            .collect::<Result<_, DatasetError>>()?;
        found.extend(of_stacks.into_iter().flatten());
    }
    found.sort_by_key(|unusable| unusable.particle);
    Ok(found)
}

/// Of particles of one stack.
fn unusable_in_stack(
    set: &ParticleSet,
    particles: &[usize],
) -> Result<Vec<Unusable>, DatasetError> {
    let first = particles[0];
    let name = ImageName::parse(&set.stacks[set.particles[first].stack]);
    let blame = |message: Message| DatasetError::from(message.about(set.describe(first)));
    let located = locate(&name.path, set.source()).map_err(blame)?;
    let reader =
        StackReader::open_partial(&located.path).map_err(|error| blame(Message::of(&error)))?;
    let look = |&particle: &usize| {
        let (width, height) = reader.shape();
        let reason = match Pixels::read(&reader, set.particles[particle].slice, width * height) {
            Ok(pixels) => flaw(&pixels, width)?,
            Err(error) => error.to_string(),
        };
        Some(Unusable { particle, reason })
    };
    Ok(particles.par_iter().filter_map(look).collect())
}
