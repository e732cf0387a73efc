//! Noise spectra before the first iteration (spec 01 §2.6, spec 02 §4.0), and spectra given by the user.

use crate::dataset::power::{self, Outlier};
use crate::dataset::{ImageStore, OpticsGroup, ParticleSet};
use crate::errors::{Code, Message};
use crate::formats::star::Document;
use crate::fourier::image::{Background, ImageTransform, logical_row, mask_particle, mean_power};
use crate::fourier::shells::round;
use crate::fourier::window::window_image;
use crate::refinement::error::RunError;
use crate::refinement::settings::Settings;
use num_complex::Complex32;
use rayon::prelude::*;
use std::path::Path;

/// Pixel sizes that differ by more are brought to that of the model (Å).
const SAME_PIXEL: f64 = 0.0001;
/// Images decoded at a time.
const CHUNK: usize = 128;
/// Share of the power of the images below which what is left for the noise is rounding.
const NO_NOISE: f64 = 1e-6;

/// How images enter the estimate.
#[derive(Debug, Clone, Copy)]
pub struct NoiseRule {
    /// Box N of the model, pixels.
    pub box_size: usize,
    /// Å per pixel of the model.
    pub pixel_size: f64,
    /// D, Å.
    pub particle_diameter: f64,
    /// Edge of the mask, pixels.
    pub mask_edge: f64,
    /// Mask the images; without `--zero_mask` they are not masked at all.
    pub zero_mask: bool,
    /// Warn about images that are not normalised.
    pub check_norm: bool,
    /// Particles of each optics group that are used.
    pub particles: usize,
}

/// Noise spectra of all optics groups (shells 0…N/2 of the model) and warnings about the images they come from.
#[derive(Debug)]
pub struct NoiseEstimate {
    /// σ² per optics group and shell; zeros for groups without particles.
    pub spectra: Vec<Vec<f64>>,
    /// Faults of images, in words for the user.
    pub warnings: Vec<String>,
}

/// An image as it enters the estimate.
pub struct Seen<'a> {
    /// Place of the particle in the order, counting those that are left out.
    pub place: usize,
    /// Its index in the particle table.
    pub particle: usize,
    /// N² pixels, row-major, at the box and pixel size of the model, masked as [`NoiseRule`] says.
    pub image: &'a [f32],
}

/// Estimates the noise from the first particles of each optics group in `order` (table order; half 1 first when there
/// are halves): half their mean power less half that of the average image over all groups. Images whose power is out of
/// proportion are left out.
/// Every image is looked at twice. `poll` is called between chunks with the number of looks so far and may stop the run; `see` is given every image, in the order in which they are added.
pub fn estimate(
    set: &ParticleSet,
    images: &ImageStore,
    order: &[usize],
    rule: &NoiseRule,
    poll: &mut dyn FnMut(usize) -> Result<(), RunError>,
    see: &mut dyn FnMut(Seen) -> Result<(), RunError>,
) -> Result<NoiseEstimate, RunError> {
    let places = first_of_each_group(set, order, rule.particles);
    let mut used: Vec<usize> = places.iter().map(|&place| order[place]).collect();
    let examined = used.len();
    let outliers = outliers(set, images, &used, poll)?;
    let kept = |particle: &usize| !outliers.iter().any(|(outlier, _)| outlier == particle);
    let places: Vec<usize> = places.into_iter().filter(|&p| kept(&order[p])).collect();
    used.retain(kept);
    let shells = rule.box_size / 2 + 1;
    let mut power = vec![vec![0.0; shells]; set.optics.len()];
    let mut count = vec![0usize; set.optics.len()];
    let mut average = vec![0.0f64; rule.box_size * rule.box_size];
    let mut warning = None;
    let transforms: Vec<GroupTransforms> = set
        .optics
        .iter()
        .map(|group| GroupTransforms::new(group, rule))
        .collect();
    let model_transform = ImageTransform::new(rule.box_size);
    for (chunk_index, (chunk, places)) in used.chunks(CHUNK).zip(places.chunks(CHUNK)).enumerate() {
        poll(examined + chunk_index * CHUNK)?;
        let looks: Vec<Look> = chunk
            .par_iter()
            .map(|&i| look_at(set, images, i, rule, &transforms, &model_transform))
            .collect::<Result<_, RunError>>()?;
        // One after the other in table order: the sums do not depend on the number of threads.
        for ((&i, &place), look) in chunk.iter().zip(places).zip(looks) {
            see(Seen {
                place,
                particle: i,
                image: &look.image,
            })?;
            let group = set.particles[i].optics_group;
            count[group] += 1;
            add(&mut power[group], &look.power);
            for (sum, v) in average.iter_mut().zip(&look.image) {
                *sum += f64::from(*v);
            }
            warning = warning.or(look.warning);
        }
    }
    let total = used.len().max(1) as f64;
    let mean_image: Vec<f32> = average.iter().map(|v| (v / total) as f32).collect();
    let signal = mean_power(
        &model_transform.forward(&mean_image, rule.box_size / 2),
        rule.box_size,
    );
    let spectra: Vec<Vec<f64>> = power
        .iter()
        .zip(count)
        .map(|(sum, n)| {
            if n == 0 {
                return vec![0.0; shells];
            }
            let spectrum = sum
                .iter()
                .zip(&signal)
                .map(|(p, s)| p / (2.0 * n as f64) - 0.5 * s)
                .collect();
            without_negatives(spectrum)
        })
        .collect();
    for (sum, spectrum) in power.iter().zip(&spectra) {
        let (images, noise): (f64, f64) = (sum.iter().sum(), spectrum.iter().sum());
        if images > 0.0 && noise <= NO_NOISE * images / total {
            return Err(no_noise(set, &used).into());
        }
    }
    let outliers = outliers_in_words(set, &outliers, used.len() + outliers.len());
    Ok(NoiseEstimate {
        spectra,
        warnings: outliers.into_iter().chain(warning).collect(),
    })
}

/// Particles of `used` whose power is out of proportion in their optics group, in the order of `used`.
fn outliers(
    set: &ParticleSet,
    images: &ImageStore,
    used: &[usize],
    poll: &mut dyn FnMut(usize) -> Result<(), RunError>,
) -> Result<Vec<(usize, Outlier)>, RunError> {
    let mut powers = Vec::new();
    for (number, chunk) in used.chunks(CHUNK).enumerate() {
        poll(number * CHUNK)?;
        let of_chunk: Vec<f64> = chunk
            .par_iter()
            .map(|&index| Ok(images.power(set, index)?))
            .collect::<Result<_, RunError>>()?;
        powers.extend(of_chunk);
    }
    if let Some(fault) = power::impossible_scale(&powers) {
        let message = Code::BAD_IMAGE.says(fault);
        return Err(message.about(set.source().display()).into());
    }
    let mut found = Vec::new();
    for group in 0..set.optics.len() {
        let (particles, powers): (Vec<usize>, Vec<f64>) = used
            .iter()
            .zip(&powers)
            .filter(|(index, _)| set.particles[**index].optics_group == group)
            .unzip();
        let outliers = power::outliers(&powers);
        found.extend(outliers.into_iter().map(|o| (particles[o.index], o)));
    }
    found.sort_by_key(|(particle, _)| *particle);
    Ok(found)
}

fn outliers_in_words(
    set: &ParticleSet,
    outliers: &[(usize, Outlier)],
    examined: usize,
) -> Option<String> {
    let (first, outlier) = outliers.first()?;
    Some(format!(
        "images of which the power is out of proportion: {} of the {examined} that the noise is estimated from, which is done \
         without them. The first is that of {}: {}. In the iterations they spoil noise, weights and maps of all particles: remove \
         them, or have all such images of the set left out and listed (--reject_limit 1 allows 1 %).",
        outliers.len(),
        set.describe(*first),
        outlier.reason()
    ))
}

/// Why the images `used` say nothing about the noise.
fn no_noise(set: &ParticleSet, used: &[usize]) -> Message {
    let why = match used {
        [_] => "there is only one particle",
        _ => "all images that it is estimated from are the same",
    };
    let first = used.first().map_or(String::new(), |&i| set.describe(i));
    Code::NOISE_SPECTRUM.says(format!(
        "the noise cannot be estimated from the differences between images, since {why} ({first}). Give the file with all \
         particles, check the column rlnImageName and the stacks, or give the noise spectrum of another run (--sigma)."
    ))
}

/// Places in `order` of the first `limit` particles of every optics group.
fn first_of_each_group(set: &ParticleSet, order: &[usize], limit: usize) -> Vec<usize> {
    let mut seen = vec![0usize; set.optics.len()];
    (0..order.len())
        .filter(|&place| {
            let n = &mut seen[set.particles[order[place]].optics_group];
            *n += 1;
            *n <= limit
        })
        .collect()
}

fn add(sum: &mut [f64], other: &[f64]) {
    for (s, o) in sum.iter_mut().zip(other) {
        *s += o;
    }
}

/// Negative values become the shell before when that is positive, else the next positive one.
fn without_negatives(mut spectrum: Vec<f64>) -> Vec<f64> {
    for i in 0..spectrum.len() {
        if spectrum[i] < 0.0 {
            spectrum[i] = if i > 0 && spectrum[i - 1] > 0.0 {
                spectrum[i - 1]
            } else {
                spectrum[i..]
                    .iter()
                    .copied()
                    .find(|&v| v > 0.0)
                    .unwrap_or(0.0)
            };
        }
    }
    spectrum
}

/// Contribution of one image.
struct Look {
    image: Vec<f32>,
    power: Vec<f64>,
    warning: Option<String>,
}

fn look_at(
    set: &ParticleSet,
    images: &ImageStore,
    index: usize,
    rule: &NoiseRule,
    transforms: &[GroupTransforms],
    model_transform: &ImageTransform,
) -> Result<Look, RunError> {
    let particle = &set.particles[index];
    let group = &set.optics[particle.optics_group];
    let mut image = vec![0.0f32; group.box_size * group.box_size];
    images.read_into(set, index, &mut image)?;
    let warning = rule
        .check_norm
        .then(|| badly_normalised(&image, group, rule.particle_diameter))
        .flatten()
        .map(|(mean, deviation)| {
            format!(
                "particle {} has a background of mean {mean:.4} and standard deviation {deviation:.4}, but 0 and 1 are \
                 expected: the particles seem not to be normalised. Extract them with normalisation (or give \
                 --dont_check_norm if this is intended).",
                set.image_name(index)
            )
        });
    if rule.zero_mask {
        let radius = rule.particle_diameter / (2.0 * group.pixel_size);
        mask_particle(
            &mut image,
            group.box_size,
            radius as f32,
            rule.mask_edge as f32,
            Background::Mean,
        );
    }
    if let Some(resampler) = &transforms[particle.optics_group].resampler {
        image = resampler.apply(&image);
    }
    let side = (image.len() as f64).sqrt().round() as usize;
    let image = window_image(&image, side, rule.box_size);
    let power = mean_power(
        &model_transform.forward(&image, rule.box_size / 2),
        rule.box_size,
    );
    Ok(Look {
        image,
        power,
        warning,
    })
}

/// Mean and deviation of the background when they are far from 0 and 1.
fn badly_normalised(image: &[f32], group: &OpticsGroup, diameter: f64) -> Option<(f64, f64)> {
    let centre = (group.box_size / 2) as i64;
    let radius = round(diameter / (2.0 * group.pixel_size));
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for (i, &value) in image.iter().enumerate() {
        let x = (i % group.box_size) as i64 - centre;
        let y = (i / group.box_size) as i64 - centre;
        if x * x + y * y > radius * radius {
            n += 1.0;
            sum += f64::from(value);
            squares += f64::from(value) * f64::from(value);
        }
    }
    if n < 2.0 {
        return None;
    }
    let mean = sum / n;
    let deviation = (squares / n - mean * mean).max(0.0).sqrt();
    let bad = (mean / deviation).abs() > 0.5 || !(0.5..=2.0).contains(&deviation);
    bad.then_some((mean, deviation))
}

struct GroupTransforms {
    resampler: Option<Resampler>,
}

impl GroupTransforms {
    fn new(group: &OpticsGroup, rule: &NoiseRule) -> Self {
        let resampler = ((group.pixel_size - rule.pixel_size).abs() > SAME_PIXEL).then(|| {
            let side = round(group.box_size as f64 * group.pixel_size / rule.pixel_size) as usize;
            Resampler::new(group.box_size, side + side % 2)
        });
        Self { resampler }
    }
}

/// Changes the sampling of images over the same width.
struct Resampler {
    from: ImageTransform,
    to: ImageTransform,
}

impl Resampler {
    fn new(from: usize, to: usize) -> Self {
        Self {
            from: ImageTransform::new(from),
            to: ImageTransform::new(to),
        }
    }

    fn apply(&self, image: &[f32]) -> Vec<f32> {
        let (n, m) = (self.from.size(), self.to.size());
        let old = self.from.forward(image, n / 2);
        let mut new = vec![Complex32::default(); m * (m / 2 + 1)];
        let keep = (n.min(m) / 2) as i32;
        let reach = (n / 2 * (n / 2)) as i32;
        for (i, row) in new.chunks_exact_mut(m / 2 + 1).enumerate() {
            let y = logical_row(i, m);
            for (x, value) in row.iter_mut().enumerate().take(keep as usize + 1) {
                let inside = y.abs() <= keep && (m <= n || (x * x) as i32 + y * y <= reach);
                if inside {
                    let stored = y.rem_euclid(n as i32) as usize;
                    *value = old[stored * (n / 2 + 1) + x];
                }
            }
        }
        self.to.inverse(&new)
    }
}

/// A spectrum from a STAR table (`rlnSpectralIndex` and `label`), shells 0…`shells`−1; missing shells are 0.
pub fn read_spectrum(path: &Path, label: &str, shells: usize) -> Result<Vec<f64>, RunError> {
    let document = Document::read(path)?;
    let table = document
        .tables
        .iter()
        .find(|t| t.has("rlnSpectralIndex") && t.has(label))
        .ok_or_else(|| {
            Code::STAR_CONTENT.says(format!(
                "{}: no table with the columns rlnSpectralIndex and {label} was found. Give a spectrum with these columns.",
                path.display()
            ))
        })?;
    let mut spectrum = vec![0.0; shells];
    for row in 0..table.len() {
        let shell = table.integer(row, "rlnSpectralIndex")?;
        if let Some(value) = usize::try_from(shell)
            .ok()
            .and_then(|s| spectrum.get_mut(s))
        {
            *value = table.real(row, label)?;
        }
    }
    Ok(spectrum)
}

/// The fixed τ² of `--tau`: T times the file's values; None without that option.
pub fn fixed_tau2(settings: &Settings, shells: usize) -> Result<Option<Vec<f64>>, RunError> {
    settings
        .tau_spectrum
        .as_ref()
        .map(|path| {
            let t = settings.tau2_fudge.unwrap_or(1.0);
            let mut spectrum = read_spectrum(path, "rlnReferenceTau2", shells)?;
            spectrum.iter_mut().for_each(|v| *v *= t);
            Ok(spectrum)
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_shells_take_a_neighbour() {
        assert_eq!(
            without_negatives(vec![-1.0, 2.0, -3.0, 4.0, -5.0]),
            [2.0, 2.0, 2.0, 4.0, 4.0]
        );
    }

    #[test]
    fn resampling_an_image_keeps_its_centre_and_height() {
        let n = 32;
        let image: Vec<f32> = (0..n * n)
            .map(|i| {
                let (x, y) = ((i % n) as f32 - 16.0, (i / n) as f32 - 16.0);
                (-(x * x + (y - 4.0) * (y - 4.0)) / 32.0).exp()
            })
            .collect();
        let small = Resampler::new(32, 16).apply(&image);
        assert!((small[10 * 16 + 8] - 1.0).abs() < 1e-3);
        assert!((small[8 * 16 + 8] - image[16 * 32 + 16]).abs() < 1e-3);
        let padded = window_image(&small, 16, 20);
        assert_eq!(padded[12 * 20 + 10], small[10 * 16 + 8]);
        assert_eq!(window_image(&padded, 20, 16), small);
    }

    #[test]
    fn white_images_of_variance_one_pass_the_normalisation_check() {
        let group = OpticsGroup::new(1.0, 16);
        let image: Vec<f32> = (0..256)
            .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        assert!(badly_normalised(&image, &group, 8.0).is_none());
        let bright: Vec<f32> = image.iter().map(|v| v + 1.0).collect();
        assert!(badly_normalised(&bright, &group, 8.0).is_some());
        let strong: Vec<f32> = image.iter().map(|v| v * 3.0).collect();
        assert!(badly_normalised(&strong, &group, 8.0).is_some());
    }
}
