//! References made from nothing: a few Fourier shells of randomly turned images, whose strength is then put into random
//! blobs (spec 04 §2 for class averages, spec 05 §13 for maps).
//!
//! The images are those that the noise is estimated from. They go to the classes in turn, by their place in the order, so that
//! the references depend neither on ranks nor on threads.

mod blobs;

use crate::dataset::{OpticsGroup, ParticleSet};
use crate::expectation::cpu::{SumSlice, insert_slices};
use crate::expectation::slices::ImagePlane;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::circle::Circle;
use crate::fourier::image::ImageTransform;
use crate::fourier::masks::fill_outside;
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::fourier::shells::round;
use crate::geometry::{euler, random::CRandom};
use crate::maximization::{LowPass, MaximizationOptions, reconstruct::reconstruct};
use crate::optics::{Ctf, CtfFlags};
use crate::refinement::error::RunError;
use crate::refinement::settings::Settings;
use crate::refinement::start_up::initial_noise::Seen;
use ndarray::Array3;
use rayon::prelude::*;

/// s₀ as a share of the box, where no resolution is given (`--ini_high`).
const SHELLS_OF_BOX: f64 = 0.07;
/// Slices that wait for their insertion.
const WAITING: usize = 256;

/// How references are made from nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstRule {
    /// Class averages or maps.
    pub dimensions: Dimensions,
    /// K.
    pub classes: usize,
    /// Box N of the references, pixels.
    pub box_size: usize,
    /// Å per pixel of the references.
    pub pixel_size: f64,
    /// `--pad`.
    pub padding: f64,
    /// Low-pass filter of the references, Å.
    pub resolution: f64,
    /// D, Å.
    pub particle_diameter: f64,
    /// Edge of the mask, pixels.
    pub mask_edge: f64,
    /// CTFs of the images; None without `--ctf`.
    pub ctf: Option<CtfFlags>,
    /// Replace the averages by blobs.
    pub blobs: bool,
    /// Seed of the run.
    pub seed: u32,
}

/// Returns the resolution that references from nothing are low-passed to, Å: that of `--ini_high`, or 7 % of the box in shells.
pub(crate) fn resolution(settings: &Settings, box_size: usize, pixel_size: f64) -> f64 {
    settings.initial_low_pass.unwrap_or_else(|| {
        let shells = round(SHELLS_OF_BOX * box_size as f64).max(1);
        box_size as f64 * pixel_size / shells as f64
    })
}

/// References under way.
pub(crate) struct FirstReferences {
    rule: FirstRule,
    /// Box s₀ that transforms are cropped to.
    shells: usize,
    shape: VolumeShape,
    sums: Vec<BackProjection>,
    waiting: Vec<SumSlice>,
    /// Continues from the last image into the blobs.
    random: CRandom,
    transform: ImageTransform,
    plane: ImagePlane,
}

impl FirstReferences {
    /// References without any image yet.
    pub(crate) fn new(rule: FirstRule) -> Self {
        let width = rule.box_size as f64 * rule.pixel_size;
        let shells = round(width / rule.resolution).clamp(2, rule.box_size as i64) as usize;
        let shape = VolumeShape::new(
            rule.dimensions,
            rule.box_size,
            rule.padding,
            2 * (shells / 2),
        );
        let model = OpticsGroup::new(rule.pixel_size, rule.box_size);
        Self {
            shells,
            shape,
            sums: vec![BackProjection::zeros(shape); rule.classes],
            waiting: Vec::new(),
            random: CRandom::new(rule.seed),
            transform: ImageTransform::new(rule.box_size),
            plane: ImagePlane::new(&model, rule.box_size, rule.pixel_size, shape.padding),
            rule,
        }
    }

    /// Adds an image to the class whose turn it is, in a random orientation.
    ///
    /// # Errors
    /// CTF parameters that cannot be.
    pub(crate) fn add(&mut self, set: &ParticleSet, seen: &Seen) -> Result<(), RunError> {
        let particle = &set.particles[seen.particle];
        self.random
            .reseed(self.rule.seed.wrapping_add(particle.id as u32));
        let angles = self.random_angles();
        let circle = Circle::new(&self.shape, angles);
        let [rot, tilt, psi] = angles;
        // Whatever the group's own box, its images have been brought to that of the model.
        let group = OpticsGroup {
            box_size: self.rule.box_size,
            pixel_size: self.rule.pixel_size,
            ..set.optics[particle.optics_group].clone()
        };
        let ctf = match self.rule.ctf {
            Some(flags) => Some(Ctf::new(&particle.ctf, &group, flags)?),
            None => None,
        };
        self.waiting.push(SumSlice {
            volume: seen.place % self.rule.classes,
            axes: self.plane.axes(&euler::matrix(rot, tilt, psi)),
            bend: None,
            values: self.values(seen.image, &circle, ctf.as_ref(), group.ctf_premultiplied),
        });
        if self.waiting.len() >= WAITING {
            self.insert();
        }
        Ok(())
    }

    /// rot, tilt and psi in degrees.
    fn random_angles(&mut self) -> [f64; 3] {
        let mut draw = |range: f64| range * f64::from(self.random.uniform(0.0, 1.0));
        match self.rule.dimensions {
            Dimensions::Two => [0.0, 0.0, draw(360.0)],
            Dimensions::Three => {
                let (rot, tilt) = (draw(360.0), draw(180.0));
                [rot, tilt, draw(360.0)]
            }
        }
    }

    /// Side of the slices: s₀, made even.
    fn slice_size(&self) -> usize {
        self.shells + self.shells % 2
    }

    /// C·X and C² of the pixels that are inserted, in rows y = −n/2+1…n/2 of n/2+1 pixels; X holds C already where images are
    /// premultiplied, and the value of their CTF is C².
    fn values(
        &self,
        image: &[f32],
        circle: &Circle,
        ctf: Option<&Ctf>,
        premultiplied: bool,
    ) -> Vec<[f32; 3]> {
        let (n, size) = (self.rule.box_size, self.slice_size());
        let half = (size / 2) as i32;
        let transform = self.transform.forward(image, size / 2);
        let mut values = vec![[0.0; 3]; size * (size / 2 + 1)];
        for (row, values) in values.chunks_exact_mut(size / 2 + 1).enumerate() {
            let y = row as i32 - half + 1;
            let stored = y.rem_euclid(n as i32) as usize * (n / 2 + 1);
            for (x, value) in values.iter_mut().enumerate() {
                let at = x as i32;
                if !circle.takes(at, y) || (at == 0 && y < 0) {
                    continue;
                }
                let c = ctf.map_or(1.0, |ctf| ctf.value(at, y)) as f32;
                let f = transform[stored + x];
                let (data, weight) = if premultiplied { (1.0, c) } else { (c, c * c) };
                *value = [data * f.re, data * f.im, weight];
            }
        }
        values
    }

    fn insert(&mut self) {
        let (size, waiting) = (self.slice_size(), std::mem::take(&mut self.waiting));
        self.sums
            .par_iter_mut()
            .enumerate()
            .for_each(|(class, sums)| insert_slices(sums, class, size, &waiting));
    }

    /// Returns one reference per class: averages of N×N pixels in one section, or maps of N³ voxels. Classes without an image
    /// are all zero.
    pub(crate) fn finish(mut self) -> Vec<Array3<f64>> {
        self.insert();
        let rule = self.rule;
        let options = MaximizationOptions {
            box_size: rule.box_size,
            tau2_fudge: 1.0,
            regularise: false,
            minres_map: 0,
            gridding_iterations: None,
        };
        let filter = LowPass {
            resolution: rule.resolution,
            pixel_size: rule.pixel_size,
        };
        let mut maps: Vec<Array3<f64>> = self
            .sums
            .into_par_iter()
            .map(|sums| filter.on_host(&reconstruct(sums, None, 1.0, &options)))
            .collect();
        let diameter = rule.particle_diameter / rule.pixel_size;
        if rule.blobs {
            // One generator for all classes, one after the other.
            let placed: Vec<_> = maps
                .iter()
                .map(|map| blobs::Blobs::draw(map, diameter, &mut self.random))
                .collect();
            maps.par_iter_mut().zip(placed).for_each(|(map, blobs)| {
                blobs.replace(map, diameter);
                *map = filter.on_host(map);
            });
        } else {
            maps.par_iter_mut()
                .for_each(|map| *map = filter.on_host(map));
        }
        maps.par_iter_mut()
            .for_each(|map| fill_outside(map, 0.5 * diameter, rule.mask_edge));
        maps
    }
}
