//! Particles that are the same image: files that were joined or symmetry-expanded name an image more than once, and not
//! always with the same spelling.

use super::ParticleSet;
use super::located::locate;
use crate::formats::file_name::ImageName;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// Returns, for each image name, the index of the first name that means the same image (its own index where it is the
/// first). Names are those of a STAR file: `1@./s.mrcs` and `000001@s.mrcs` are the same image, and so are names that
/// reach one stack through a symbolic link.
pub fn first_of_each_image<'a>(
    names: impl Iterator<Item = &'a str>,
    star_file: &Path,
) -> Vec<usize> {
    let mut stacks_by_spelling: HashMap<&str, usize> = HashMap::new();
    let mut stacks: HashMap<PathBuf, usize> = HashMap::new();
    let mut first: HashMap<(usize, usize), usize> = HashMap::new();
    names
        .enumerate()
        .map(|(index, name)| {
            let slice = ImageName::parse(name).slice;
            let spelling = match (slice, name.split_once('@')) {
                (Some(_), Some((_, stack))) => stack,
                _ => name,
            };
            let stack = *stacks_by_spelling.entry(spelling).or_insert_with(|| {
                let next = stacks.len();
                *stacks.entry(identity(spelling, star_file)).or_insert(next)
            });
            *first.entry((stack, slice.unwrap_or(1))).or_insert(index)
        })
        .collect()
}

/// The real path of a stack where it is found, else its name without the parts that mean nothing.
fn identity(stack: &str, star_file: &Path) -> PathBuf {
    let name = ImageName::parse(stack).path;
    let real = locate(&name, star_file)
        .ok()
        .and_then(|found| found.path.canonicalize().ok());
    real.unwrap_or_else(|| {
        let parts = Path::new(&name).components();
        parts.filter(|part| *part != Component::CurDir).collect()
    })
}

/// Images that are in both half-sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shared {
    /// Particles whose image is in the other half-set too.
    pub particles: usize,
    /// The first of them.
    pub first: usize,
    /// Correlation of the noise of the two half maps that comes of it: the FSC that pure noise would have.
    pub correlation: f64,
}

/// Returns what the half-sets (1 or 2 of each particle) share; None when they share nothing. `first` is what
/// [`first_of_each_image`] returned.
///
/// An image that is m₁ times in half-set 1 and m₂ times in half-set 2 adds its noise m₁ and m₂ times, so the noise of
/// the half maps correlates by Σ m₁m₂ / √(Σ m₁² · Σ m₂²).
pub fn shared_by_halves(first: &[usize], halves: &[u8]) -> Option<Shared> {
    let mut times = vec![[0.0f64; 2]; first.len()];
    for (&image, &half) in first.iter().zip(halves) {
        times[image][usize::from(half == 2)] += 1.0;
    }
    let sum = |of: fn(&[f64; 2]) -> f64| times.iter().map(of).sum::<f64>();
    let both = sum(|m| m[0] * m[1]);
    let in_both = |index: &usize| times[first[*index]].iter().all(|&m| m > 0.0);
    let shared: Vec<usize> = (0..first.len()).filter(in_both).collect();
    Some(Shared {
        particles: shared.len(),
        first: *shared.first()?,
        correlation: both / (sum(|m| m[0] * m[0]) * sum(|m| m[1] * m[1])).sqrt(),
    })
}

impl ParticleSet {
    /// Returns the number of each particle's micrograph and the particle's centre on it after alignment, Å; None where the table
    /// lacks micrographs or coordinates. Coordinates of a micrograph that are all the same say nothing: its particles count as
    /// alone.
    pub fn centres(&self) -> Option<Vec<(usize, [f64; 2])>> {
        let x = self.real_column("rlnCoordinateX").ok()?;
        let y = self.real_column("rlnCoordinateY").ok()?;
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut micrographs = Vec::with_capacity(x.len());
        for name in self.particle_table.texts("rlnMicrographName").ok()? {
            let next = numbers.len();
            micrographs.push(*numbers.entry(name).or_insert(next));
        }
        let mut first: Vec<Option<[f64; 2]>> = vec![None; numbers.len()];
        let mut differ = vec![false; numbers.len()];
        for ((&m, &x), &y) in micrographs.iter().zip(&x).zip(&y) {
            differ[m] |= *first[m].get_or_insert([x, y]) != [x, y];
        }
        let centre = |i: usize| {
            let particle = &self.particles[i];
            let group = &self.optics[particle.optics_group];
            // Micrographs are rarely sampled more finely than the images cut from them.
            let pixel = group.original_pixel_size.unwrap_or(group.pixel_size);
            [
                x[i] * pixel - particle.origin[0],
                y[i] * pixel - particle.origin[1],
            ]
        };
        let alone = |i: usize| (numbers.len() + i, [0.0; 2]);
        Some(
            (0..x.len())
                .map(|i| match differ[micrographs[i]] {
                    true => (micrographs[i], centre(i)),
                    false => alone(i),
                })
                .collect(),
        )
    }

    /// Returns, for each particle, the index of the first particle with the same image; see [`first_of_each_image`].
    pub fn first_with_same_image(&self) -> Vec<usize> {
        match self.particle_table.texts("rlnImageName") {
            Ok(names) => first_of_each_image(names, &self.source),
            Err(_) => (0..self.particles.len()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(names: &[&str], star_file: &str) -> Vec<usize> {
        first_of_each_image(names.iter().copied(), Path::new(star_file))
    }

    #[test]
    fn spelling_does_not_make_another_image() {
        let names = [
            "000001@s.mrcs",
            "000002@s.mrcs",
            "1@./s.mrcs",
            "1@a/s.mrcs",
            "2@s.mrcs:mrcs",
            "000001@a//s.mrcs",
        ];
        assert_eq!(first(&names, "p.star"), [0, 1, 0, 3, 1, 3]);
        assert_eq!(first(&["1@b.mrcs", "2@b.mrcs"], "p.star"), [0, 1]);
        assert_eq!(first(&["b.mrc", "./b.mrc"], "p.star"), [0, 0]);
    }

    #[test]
    fn links_lead_to_the_same_image() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s.mrcs"), "").unwrap();
        std::os::unix::fs::symlink("s.mrcs", folder.path().join("link.mrcs")).unwrap();
        let star = folder.path().join("p.star");
        let names = ["1@s.mrcs", "1@link.mrcs", "2@link.mrcs"];
        assert_eq!(first(&names, &star.to_string_lossy()), [0, 0, 2]);
    }

    #[test]
    fn shared_images_correlate_the_noise_of_half_maps() {
        // Four images in each half-set, two of them the same.
        let shared = shared_by_halves(&[0, 1, 2, 3, 0, 1, 6, 7], &[1, 1, 1, 1, 2, 2, 2, 2]);
        let shared = shared.unwrap();
        assert_eq!((shared.particles, shared.first), (4, 0));
        assert!((shared.correlation - 0.5).abs() < 1e-12);
        // Every image in both: the half maps are the same.
        let all = shared_by_halves(&[0, 0], &[1, 2]).unwrap();
        assert!((all.correlation - 1.0).abs() < 1e-12);
        // Copies within a half-set share nothing.
        assert_eq!(shared_by_halves(&[0, 0, 2, 2], &[1, 1, 2, 2]), None);
    }
}
