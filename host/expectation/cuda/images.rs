//! getImg on the device: a batch of particles up to masked and unmasked transforms, CTF, powers.

use super::super::start::{ParticleStart, noise_image};
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::cache::ImageCache;
use super::layout::DeviceLayout;
use crate::device::{Buffer, Coming, Device, DeviceError, ImageTransforms, Staging, View};
use crate::optics::Ctf;
use gpu::ctf::CtfCoefficients;
use gpu::image::ImageTask;
use gpu::kernels::prepare::{BoxPowers, CtfValues, GatherTransforms, PrepareImages, ShellPowers};
use rayon::prelude::*;

/// Plans for transforms of images, kept from batch to batch: making one takes longer than most transforms.
#[derive(Default)]
pub struct TransformPlans(Vec<ImageTransforms>);

impl TransformPlans {
    /// Plans that are kept: full batches and last ones of two optics groups.
    const KEPT: usize = 4;

    fn of(
        &mut self,
        device: &Device,
        side: usize,
        batch: usize,
    ) -> Result<&ImageTransforms, DeviceError> {
        let found = self
            .0
            .iter()
            .position(|t| (t.side(), t.batch()) == (side, batch));
        let plan = match found {
            Some(at) => self.0.remove(at),
            None => {
                self.0.truncate(Self::KEPT - 1);
                ImageTransforms::new(device, side, batch)?
            }
        };
        self.0.insert(0, plan);
        Ok(&self.0[0])
    }
}

/// A batch on the device; vectors run over the group's pixel list, rows of the layout's stride.
pub struct Prepared {
    /// Scale and offsets of each particle.
    pub starts: Vec<ParticleStart>,
    /// F.
    pub masked: Buffer<[f32; 2]>,
    /// F̃.
    pub unmasked: Buffer<[f32; 2]>,
    /// C; None where it is 1.
    pub ctf: Option<Buffer<f32>>,
    /// The same for the host, where the group is premultiplied (Σ CTF² per shell is collected).
    host_ctf: HostCtf,
    /// s.
    pub scales: Buffer<f32>,
    /// s, not below 0.001.
    pub sum_scales: Buffer<f32>,
    /// Pseudo-half of each image, in a gradient iteration.
    pub half_of: Option<Buffer<u32>>,
    /// Σ|F|² per shell of the whole transform, box/2+1 an image.
    pub shell_powers: Coming<f32>,
    /// Cross-correlation: √Σ|F|² over the box of the first pass and of the second.
    pub box_powers: Option<[Buffer<f32>; 2]>,
}

/// The CTF as the host gets it.
enum HostCtf {
    /// Not at all.
    Unasked,
    /// It is 1.
    One(Vec<f32>),
    /// With the results.
    Coming(Coming<f32>),
}

/// Uploads a background image per particle; None where the background becomes its mean.
fn backgrounds(
    device: &Device,
    input: &IterationInput,
    layout: &DeviceLayout,
    items: &[&BatchItem],
) -> Result<Option<Buffer<f32>>, ExpectationError> {
    if input.options.zero_mask {
        return Ok(None);
    }
    let values: Vec<f32> = items
        .par_iter()
        .flat_map_iter(|item| noise_image(input, &layout.host, item.particle))
        .collect();
    // Too much for pinned memory. Nothing is queued yet that this could wait for.
    Ok(Some(device.upload(&values)?))
}

impl Prepared {
    /// Prepares `items`, all of the layout's optics group.
    pub fn new(
        device: &Device,
        staging: &mut Staging,
        transforms: &mut TransformPlans,
        cache: &ImageCache,
        input: &IterationInput,
        layout: &DeviceLayout,
        items: &[&BatchItem],
    ) -> Result<Self, ExpectationError> {
        let host = &layout.host;
        let (n, images) = (host.box_size, items.len());
        let starts = items
            .iter()
            .map(|item| ParticleStart::new(input, host, item))
            .collect::<Result<Vec<_>, _>>()?;
        let noise = backgrounds(device, input, layout, items)?;
        let places = cache.bring(items)?;
        let addresses: Vec<u64> = places.iter().map(|place| place.address).collect();
        let tasks: Vec<ImageTask> = starts
            .iter()
            .zip(&places)
            .map(|(start, place)| ImageTask {
                factor: start.factor,
                shift: start.old_offset.map(|o| o as i32),
                half: u32::from(place.half),
            })
            .collect();
        let (addresses, tasks) = (staging.upload(&addresses)?, staging.upload(&tasks)?);
        let transforms = transforms.of(device, n, images)?;
        let (stride, half) = (layout.stride, n * (n / 2 + 1));
        // SAFETY: each is filled by a kernel or transform below before it is read.
        let (shifted, masked_image, mut full, masked, unmasked, powers) = unsafe {
            (
                device.buffer::<f32>(images * n * n)?,
                device.buffer::<f32>(images * n * n)?,
                device.buffer::<[f32; 2]>(images * half)?,
                device.buffer::<[f32; 2]>(images * stride)?,
                device.buffer::<[f32; 2]>(images * stride)?,
                device.buffer::<f32>(images * (n / 2 + 1))?,
            )
        };
        let remainders: Option<Vec<[f32; 2]>> = input.options.skip_align.then(|| {
            starts
                .iter()
                .map(|s| s.remainder.map(|r| r as f32))
                .collect()
        });
        let remainders = remainders.map(|r| staging.upload(&r)).transpose()?;
        let factors = layout
            .demodulation
            .as_ref()
            .map_or(View::null(), Buffer::view);
        // SAFETY: arrays of the sizes the kernels' documentation asks for.
        unsafe {
            device.launch(&PrepareImages {
                images: images as u32,
                raw: addresses.view(),
                tasks: tasks.view(),
                box_size: n as u32,
                radius: host.mask_radius,
                edge: input.options.mask_edge as f32,
                noise: noise.as_ref().map_or(View::null(), Buffer::view),
                unmasked: shifted.view(),
                masked: masked_image.view(),
            })?;
        }
        let gather = |full: &Buffer<[f32; 2]>, out: &Buffer<[f32; 2]>| {
            // SAFETY: arrays of the sizes the kernel's documentation asks for.
            unsafe {
                device.launch(&GatherTransforms {
                    images: images as u32,
                    transforms: full.view(),
                    box_size: n as u32,
                    pixels: layout.pixels.view(),
                    pixel_count: layout.count as u32,
                    factors,
                    remainders: remainders.as_ref().map_or(View::null(), Buffer::view),
                    out: out.view(),
                    stride: stride as u32,
                })
            }
        };
        transforms.forward(device, &shifted, &mut full)?;
        gather(&full, &unmasked)?;
        transforms.forward(device, &masked_image, &mut full)?;
        gather(&full, &masked)?;
        // SAFETY: a power per shell and image.
        unsafe {
            device.launch(&ShellPowers {
                images: images as u32,
                transforms: full.view(),
                box_size: n as u32,
                out: powers.view(),
            })?
        };
        let box_powers = match input.criterion {
            Criterion::Likelihood => None,
            Criterion::CrossCorrelation => {
                let of_box = |size: usize| -> Result<Buffer<f32>, ExpectationError> {
                    // SAFETY: filled by the kernel below.
                    let roots = unsafe { device.buffer::<f32>(images)? };
                    // SAFETY: a root an image.
                    unsafe {
                        device.launch(&BoxPowers {
                            images: images as u32,
                            transforms: full.view(),
                            box_size: n as u32,
                            size: size as u32,
                            out: roots.view(),
                        })?;
                    }
                    Ok(roots)
                };
                Some([of_box(host.coarse_size)?, of_box(host.fine_size)?])
            }
        };
        let scales: Vec<f32> = starts.iter().map(|s| s.scale as f32).collect();
        let sum_scales: Vec<f32> = starts.iter().map(|s| s.sum_scale as f32).collect();
        let halves = pseudo_halves(input, items);
        let ctf = ctf_values(device, staging, input, layout, items)?;
        let premultiplied = input.optics[items[0].particle.optics_group].ctf_premultiplied;
        let host_ctf = match &ctf {
            Some(ctf) if premultiplied => {
                HostCtf::Coming(staging.fetch(ctf, 0, images * stride)?)
            }
            None if premultiplied => HostCtf::One(vec![1.0; images * stride]),
            _ => HostCtf::Unasked,
        };
        Ok(Self {
            ctf,
            host_ctf,
            masked,
            unmasked,
            scales: staging.upload(&scales)?,
            sum_scales: staging.upload(&sum_scales)?,
            half_of: halves.map(|h| staging.upload(&h)).transpose()?,
            shell_powers: staging.fetch(&powers, 0, images * (n / 2 + 1))?,
            box_powers,
            starts,
        })
    }

    /// C of premultiplied groups, when it has come; empty for others.
    pub fn host_ctf<'a>(&'a self, staging: &'a Staging) -> &'a [f32] {
        match &self.host_ctf {
            HostCtf::Unasked => &[],
            HostCtf::One(values) => values,
            HostCtf::Coming(coming) => staging.values(coming),
        }
    }

    /// The CTF as comparisons take it: none while references are not corrected.
    pub fn comparison_ctf(&self, input: &IterationInput) -> View<f32> {
        match &self.ctf {
            Some(ctf) if input.references_ctf_corrected => ctf.view(),
            _ => View::null(),
        }
    }

    /// Powers of the images in cross-correlations; null otherwise. Pass 0 or 1.
    pub fn powers(&self, pass: usize) -> View<f32> {
        self.box_powers
            .as_ref()
            .map_or(View::null(), |p| p[pass].view())
    }
}

/// Pseudo-half (0 or 1) of each particle, in a gradient iteration.
fn pseudo_halves(input: &IterationInput, items: &[&BatchItem]) -> Option<Vec<u32>> {
    let of_item = |item: &&BatchItem| input.pseudo_half(item.particle) as u32;
    input.gradient.then(|| items.iter().map(of_item).collect())
}

fn ctf_values(
    device: &Device,
    staging: &mut Staging,
    input: &IterationInput,
    layout: &DeviceLayout,
    items: &[&BatchItem],
) -> Result<Option<Buffer<f32>>, ExpectationError> {
    if !input.options.ctf {
        return Ok(None);
    }
    let ctfs = items
        .iter()
        .map(|item| item.ctf(input))
        .collect::<Result<Vec<Ctf>, _>>()?;
    let coefficients: Option<Vec<CtfCoefficients<f64>>> =
        ctfs.iter().map(|c| c.coefficients().copied()).collect();
    let Some(coefficients) = coefficients else {
        // Images of this group are CTF corrected: C = 1.
        return Ok(None);
    };
    let aberration = layout.aberration(staging, &ctfs[0])?;
    let coefficients = staging.upload(&coefficients)?;
    // SAFETY: filled by the kernel below.
    let out = unsafe { device.buffer(items.len() * layout.stride)? };
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        device.launch(&CtfValues {
            images: items.len() as u32,
            coefficients: coefficients.view(),
            pixels: layout.pixels.view(),
            pixel_count: layout.count as u32,
            aberration: aberration.as_ref().map_or(View::null(), Buffer::view),
            out: out.view(),
            stride: layout.stride as u32,
        })?;
    }
    Ok(Some(out))
}
