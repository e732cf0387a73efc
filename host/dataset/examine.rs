//! Images that cannot be used: found one by one when they are read, or all of them before a run begins.

use super::located::locate;
use super::{DatasetError, ParticleSet, Pixels, power};
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
    /// Fault of its image, in words.
    pub reason: String,
}

/// Faults in the images of some particles, each list in the order of the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examined {
    /// Those that cannot be used.
    pub unusable: Vec<Unusable>,
    /// Index and power (mean square) of the others.
    pub powers: Vec<(usize, f64)>,
}

/// Adds the images whose power is out of proportion in their optics group to those that cannot be used.
pub fn with_outliers(set: &ParticleSet, examined: Examined) -> Vec<Unusable> {
    let Examined {
        mut unusable,
        powers,
    } = examined;
    for group in 0..set.optics.len() {
        let of_group = |(index, _): &&(usize, f64)| set.particles[*index].optics_group == group;
        let (particles, powers): (Vec<usize>, Vec<f64>) =
            powers.iter().filter(of_group).copied().unzip();
        let outliers = power::outliers(&powers);
        unusable.extend(outliers.iter().map(|outlier| Unusable {
            particle: particles[outlier.index],
            reason: outlier.reason(),
        }));
    }
    unusable.sort_by_key(|unusable| unusable.particle);
    unusable
}

/// Returns a sentence about images out of proportion among those whose powers (index, mean square) are known, with what to do
/// about them; None without any.
pub fn power_warning(set: &ParticleSet, powers: Vec<(usize, f64)>, advice: &str) -> Option<String> {
    let read = powers.len();
    let unusable = Vec::new();
    let outliers = with_outliers(set, Examined { unusable, powers });
    let first = outliers.first()?;
    Some(format!(
        "images of which the power is out of proportion: {} of the {read} that have been read. The first is that of {}: {}. {advice}",
        outliers.len(),
        set.describe(first.particle),
        first.reason
    ))
}

/// Returns the reason why an image `width` pixels wide is useless whatever the particle: a value that is no number, or nothing but
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

/// Reads the images of these particles in stack order and tells which cannot be used: not in their stack, or with a
/// [`flaw`]. Of the others it gives the power. A stack that cannot be opened is an error, since more than single images is
/// wrong then. `poll` is called now and then with the number of images read, and may stop it.
pub fn images<E: From<DatasetError> + Send>(
    set: &ParticleSet,
    particles: &[usize],
    mut poll: impl FnMut(usize) -> Result<(), E>,
) -> Result<Examined, E> {
    let stack_of = |index: usize| set.particles[index].stack;
    let mut order = particles.to_vec();
    order.sort_by_key(|&index| (stack_of(index), set.particles[index].slice));
    let mut all = Examined::default();
    for (number, chunk) in order.chunks(CHUNK).enumerate() {
        poll(number * CHUNK)?;
        let of_stacks: Vec<Vec<Look>> = chunk
            .par_chunk_by(|&a, &b| stack_of(a) == stack_of(b))
            .map(|of_stack| look_at_stack(set, of_stack))
            .collect::<Result<_, DatasetError>>()?;
        for (particle, look) in of_stacks.into_iter().flatten() {
            match look {
                Ok(power) => all.powers.push((particle, power)),
                Err(reason) => all.unusable.push(Unusable { particle, reason }),
            }
        }
    }
    all.unusable.sort_by_key(|unusable| unusable.particle);
    all.powers.sort_by_key(|(particle, _)| *particle);
    Ok(all)
}

/// A particle with the power of its image, or the reason why the image cannot be used.
type Look = (usize, Result<f64, String>);

/// Looks at the images of particles of one stack.
fn look_at_stack(set: &ParticleSet, particles: &[usize]) -> Result<Vec<Look>, DatasetError> {
    let first = particles[0];
    let name = ImageName::parse(&set.stacks[set.particles[first].stack]);
    let blame = |message: Message| DatasetError::from(message.about(set.describe(first)));
    let located = locate(&name.path, set.source()).map_err(blame)?;
    let reader =
        StackReader::open_partial(&located.path).map_err(|error| blame(Message::of(&error)))?;
    let (width, height) = reader.shape();
    let look = |&particle: &usize| {
        let slice = set.particles[particle].slice;
        let look = match Pixels::read(&reader, slice, width * height) {
            Ok(pixels) => match flaw(&pixels, width) {
                Some(flaw) => Err(flaw),
                None => Ok(power::of_image(&pixels.single())),
            },
            Err(error) => Err(error.to_string()),
        };
        (particle, look)
    };
    Ok(particles.par_iter().map(look).collect())
}
