//! Fingerprints of what a run reads and never changes, one per quantity: a run that is continued names what was changed since.

use super::{ImageStore, OpticsGroup, Particle, ParticleSet};
use crate::formats::star::number::push_real;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// Quantity that stands for the pixels of the images.
pub const PIXELS: &str = "pixels";

/// Images whose pixels are looked at, spread evenly over the set.
const IMAGES: usize = 64;
/// Particles whose numbers are put into words at a time.
const CHUNK: usize = 4096;

/// Fingerprint of one quantity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Label of its column, or [`PIXELS`].
    pub quantity: String,
    /// Word that equal values have.
    pub word: String,
}

/// Columns of the optics table, with the numbers that a group has of each.
type OfGroup = fn(&OpticsGroup) -> Vec<f64>;
const OF_GROUPS: [(&str, OfGroup); 13] = [
    ("rlnImagePixelSize", |g| vec![g.pixel_size]),
    ("rlnVoltage", |g| g.voltage.into_iter().collect()),
    ("rlnSphericalAberration", |g| {
        g.spherical_aberration.into_iter().collect()
    }),
    ("rlnAmplitudeContrast", |g| {
        g.amplitude_contrast.into_iter().collect()
    }),
    ("rlnBeamTiltX", |g| vec![g.beam_tilt[0]]),
    ("rlnBeamTiltY", |g| vec![g.beam_tilt[1]]),
    ("rlnOddZernike", |g| g.odd_zernike.clone()),
    ("rlnEvenZernike", |g| g.even_zernike.clone()),
    ("rlnMagMat00", |g| vec![g.magnification[0][0]]),
    ("rlnMagMat01", |g| vec![g.magnification[0][1]]),
    ("rlnMagMat10", |g| vec![g.magnification[1][0]]),
    ("rlnMagMat11", |g| vec![g.magnification[1][1]]),
    ("rlnCtfDataAreCtfPremultiplied", |g| {
        vec![f64::from(u8::from(g.ctf_premultiplied))]
    }),
];

/// Columns of the particle table, with the number that a particle has of each.
type OfParticle = fn(&Particle) -> f64;
const OF_PARTICLES: [(&str, OfParticle); 7] = [
    ("rlnDefocusU", |p| p.ctf.defocus_u),
    ("rlnDefocusV", |p| p.ctf.defocus_v),
    ("rlnDefocusAngle", |p| p.ctf.defocus_angle),
    ("rlnPhaseShift", |p| p.ctf.phase_shift),
    ("rlnCtfBfactor", |p| p.ctf.b_factor),
    ("rlnCtfScalefactor", |p| p.ctf.scale),
    ("rlnOpticsGroup", |p| p.optics_group as f64),
];

/// Returns the fingerprints of the optics, of the CTFs and, as far as they can be read, of the images of a set. Numbers count with
/// the digits that tables are written with.
pub fn of_set(set: &ParticleSet, images: &ImageStore) -> Vec<Fingerprint> {
    let named = |quantity: &str, word| Fingerprint {
        quantity: quantity.to_owned(),
        word,
    };
    let groups = OF_GROUPS.into_iter().map(|(label, values)| {
        let mut text = Vec::new();
        for group in &set.optics {
            values(group).into_iter().for_each(|v| push(&mut text, v));
            text.push(b'\n');
        }
        named(label, word(&[Sha256::digest(&text).to_vec()]))
    });
    let particles = OF_PARTICLES
        .into_iter()
        .map(|(label, value)| named(label, of_particles(set, value)));
    let pixels = of_images(set, images).map(|word| named(PIXELS, word));
    groups.chain(particles).chain(pixels).collect()
}

/// Returns the fingerprint of numbers of a quantity.
pub fn of_numbers(quantity: &str, numbers: impl IntoIterator<Item = f64>) -> Fingerprint {
    let mut text = Vec::new();
    numbers.into_iter().for_each(|v| push(&mut text, v));
    Fingerprint {
        quantity: quantity.to_owned(),
        word: word(&[Sha256::digest(&text).to_vec()]),
    }
}

/// Returns the quantities whose fingerprint is another one now; those that only one list has are not compared.
pub fn changed<'a>(before: &'a [Fingerprint], now: &[Fingerprint]) -> Vec<&'a str> {
    let differs = |old: &&Fingerprint| {
        let same = |new: &&Fingerprint| new.quantity == old.quantity;
        now.iter()
            .find(same)
            .is_some_and(|new| new.word != old.word)
    };
    let found = before.iter().filter(differs);
    found
        .map(|fingerprint| fingerprint.quantity.as_str())
        .collect()
}

fn of_particles(set: &ParticleSet, value: OfParticle) -> String {
    let chunks: Vec<Vec<u8>> = set
        .particles
        .par_chunks(CHUNK)
        .map(|particles| {
            let mut text = Vec::new();
            particles.iter().for_each(|p| push(&mut text, value(p)));
            Sha256::digest(&text).to_vec()
        })
        .collect();
    word(&chunks)
}

/// None where an image cannot be read: whoever needs it says why.
fn of_images(set: &ParticleSet, images: &ImageStore) -> Option<String> {
    let all = set.particles.len();
    let some = all.min(IMAGES);
    let digests: Option<Vec<Vec<u8>>> = (0..some)
        .map(|i| {
            let image = images.image(set, i * all / some).ok()?;
            let mut digest = Sha256::new();
            for pixel in image.single().iter() {
                digest.update(pixel.to_le_bytes());
            }
            Some(digest.finalize().to_vec())
        })
        .collect();
    digests.map(|digests| word(&digests))
}

fn push(text: &mut Vec<u8>, value: f64) {
    // There is no minus sign before a 0 that is read.
    push_real(text, value + 0.0);
}

fn word(digests: &[Vec<u8>]) -> String {
    let digest = Sha256::digest(digests.concat());
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(quantity: &str, word: &str) -> Fingerprint {
        Fingerprint {
            quantity: quantity.into(),
            word: word.into(),
        }
    }

    #[test]
    fn only_quantities_of_both_lists_are_compared() {
        let before = ["a", "b", "c"].map(|name| fingerprint(name, "1"));
        let now = [
            fingerprint("a", "1"),
            fingerprint("b", "2"),
            fingerprint("d", "1"),
        ];
        assert_eq!(changed(&before, &now), ["b"]);
        assert!(changed(&before, &before).is_empty());
    }
}
