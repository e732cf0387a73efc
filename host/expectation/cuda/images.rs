//! getImg on the device: a batch of particles up to masked and unmasked transforms, CTF, powers.

use super::super::start::{ParticleStart, noise_image};
use super::super::subtraction::unwanted_signal;
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
pub(super) struct TransformPlans(Vec<ImageTransforms>);

impl TransformPlans {
    /// Plans that are kept: full batches and last ones of two optics groups.
    const KEPT: usize = 4;
    /// Pixels of a batch whose plan stays for the next iteration: 64 MiB, and about as much for the plan's work area.
    const SMALL: usize = 1 << 24;

    /// Drops the plans of large batches, whose work areas others need.
    pub(super) fn give_way(&mut self) {
        self.0
            .retain(|plan| plan.batch() * plan.side().pow(2) <= Self::SMALL);
    }

    /// Images that a plan for `images` of them takes: up to an eighth more where they are so small that further ones cost nothing, so that
    /// subsets of particles that grow from iteration to iteration share plans.
    fn rounded(side: usize, images: usize) -> usize {
        const SMALL_SIDE: usize = 128;
        match (images / 8).checked_ilog2() {
            Some(power) if side <= SMALL_SIDE => images.next_multiple_of(1 << power),
            _ => images,
        }
    }

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
pub(super) struct Prepared {
    /// Scale and offsets of each particle.
    pub starts: Vec<ParticleStart>,
    /// F.
    pub masked: Buffer<[f32; 2]>,
    /// F̃.
    pub unmasked: Buffer<[f32; 2]>,
    /// The images without the unwanted signal, where that is subtracted.
    wanted: Option<Wanted>,
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

/// Images without the unwanted signal.
struct Wanted {
    /// F of them.
    masked: Buffer<[f32; 2]>,
    /// Σ|F|² per shell of the whole transform, box/2+1 an image.
    shell_powers: Coming<f32>,
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

/// A batch of images that is being prepared.
struct Batch<'a> {
    device: &'a Device,
    transforms: &'a ImageTransforms,
    input: &'a IterationInput<'a>,
    layout: &'a DeviceLayout,
    images: usize,
    /// Where the raw images are.
    addresses: Buffer<u64>,
    tasks: Buffer<ImageTask>,
    /// Offsets that `--skip_align` leaves.
    remainders: Option<Buffer<[f32; 2]>>,
}

/// Images in real space, box² pixels each.
struct Moved {
    unmasked: Buffer<f32>,
    masked: Buffer<f32>,
}

impl Batch<'_> {
    /// Room for the images, and for those that the plan takes beyond them.
    fn room(&self) -> usize {
        self.transforms.batch()
    }

    /// Moves the images and masks them, with a background image each or the mean of their own. `unwanted` images are subtracted before.
    fn moved(
        &self,
        noise: Option<Buffer<f32>>,
        unwanted: Option<Buffer<f32>>,
    ) -> Result<Moved, DeviceError> {
        let pixels = self.room() * self.layout.host.box_size.pow(2);
        // SAFETY: filled by the kernel below, but for images beyond the batch, of which nothing is read.
        let (unmasked, masked) =
            unsafe { (self.device.buffer(pixels)?, self.device.buffer(pixels)?) };
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        unsafe {
            self.device.launch(&PrepareImages {
                images: self.images as u32,
                raw: self.addresses.view(),
                tasks: self.tasks.view(),
                box_size: self.layout.host.box_size as u32,
                radius: self.layout.host.mask_radius,
                edge: self.input.options.mask_edge as f32,
                noise: noise.as_ref().map_or(View::null(), Buffer::view),
                unwanted: unwanted.as_ref().map_or(View::null(), Buffer::view),
                unmasked: unmasked.view(),
                masked: masked.view(),
            })?;
        }
        Ok(Moved { unmasked, masked })
    }

    /// Transforms the images into `full` and picks the pixels of the list.
    fn transformed(
        &self,
        moved: &Buffer<f32>,
        full: &mut Buffer<[f32; 2]>,
    ) -> Result<Buffer<[f32; 2]>, DeviceError> {
        self.transforms.forward(self.device, moved, full)?;
        let stride = self.layout.stride;
        let view =
            |buffer: &Option<Buffer<[f32; 2]>>| buffer.as_ref().map_or(View::null(), Buffer::view);
        // SAFETY: filled by the kernel below.
        let out = unsafe { self.device.buffer(self.images * stride)? };
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        unsafe {
            self.device.launch(&GatherTransforms {
                images: self.images as u32,
                transforms: full.view(),
                box_size: self.layout.host.box_size as u32,
                pixels: self.layout.pixels.view(),
                pixel_count: self.layout.count as u32,
                factors: view(&self.layout.demodulation),
                remainders: view(&self.remainders),
                out: out.view(),
                stride: stride as u32,
            })?;
        }
        Ok(out)
    }

    /// Σ|F|² per shell of transforms, box/2+1 an image.
    fn shell_powers(&self, full: &Buffer<[f32; 2]>) -> Result<Buffer<f32>, DeviceError> {
        let n = self.layout.host.box_size;
        // SAFETY: filled by the kernel below.
        let powers = unsafe { self.device.buffer(self.images * (n / 2 + 1))? };
        // SAFETY: a power per shell and image.
        unsafe {
            self.device.launch(&ShellPowers {
                images: self.images as u32,
                transforms: full.view(),
                box_size: n as u32,
                out: powers.view(),
            })?;
        }
        Ok(powers)
    }

    /// √Σ|F|² of transforms over the box of the first pass and of the second, in cross-correlations.
    fn box_powers(&self, full: &Buffer<[f32; 2]>) -> Result<Option<[Buffer<f32>; 2]>, DeviceError> {
        if self.input.criterion == Criterion::Likelihood {
            return Ok(None);
        }
        let host = &self.layout.host;
        let of_box = |size: usize| -> Result<Buffer<f32>, DeviceError> {
            // SAFETY: filled by the kernel below.
            let roots = unsafe { self.device.buffer::<f32>(self.images)? };
            // SAFETY: a root an image.
            unsafe {
                self.device.launch(&BoxPowers {
                    images: self.images as u32,
                    transforms: full.view(),
                    box_size: host.box_size as u32,
                    size: size as u32,
                    out: roots.view(),
                })?;
            }
            Ok(roots)
        };
        Ok(Some([of_box(host.coarse_size)?, of_box(host.fine_size)?]))
    }
}

/// Uploads the unwanted signal of each image, which the host works out; None where nothing is subtracted.
fn unwanted_signals(
    device: &Device,
    input: &IterationInput,
    layout: &DeviceLayout,
    items: &[&BatchItem],
    starts: &[ParticleStart],
) -> Result<Option<Buffer<f32>>, ExpectationError> {
    if input.subtraction.is_none() {
        return Ok(None);
    }
    let signals = items
        .par_iter()
        .zip(starts)
        .map(|(item, start)| unwanted_signal(input, &layout.host, item, start))
        .collect::<Result<Vec<_>, _>>()?;
    let values: Vec<f32> = signals.into_iter().flatten().flatten().collect();
    // Too much for pinned memory, as backgrounds are.
    Ok(Some(device.upload(&values)?))
}

impl Prepared {
    /// Prepares `items`, all of the layout's optics group.
    pub(super) fn new(
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
        let unwanted = unwanted_signals(device, input, layout, items, &starts)?;
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
        let remainders: Option<Vec<[f32; 2]>> = input.options.skip_align.then(|| {
            starts
                .iter()
                .map(|s| s.remainder.map(|r| r as f32))
                .collect()
        });
        let batch = Batch {
            device,
            transforms: transforms.of(device, n, TransformPlans::rounded(n, images))?,
            input,
            layout,
            images,
            addresses: staging.upload(&addresses)?,
            tasks: staging.upload(&tasks)?,
            remainders: remainders.map(|r| staging.upload(&r)).transpose()?,
        };
        // SAFETY: filled by transforms before it is read.
        let mut full = unsafe { device.buffer(batch.room() * n * (n / 2 + 1))? };
        let moved = batch.moved(noise, None)?;
        let unmasked = batch.transformed(&moved.unmasked, &mut full)?;
        let masked = batch.transformed(&moved.masked, &mut full)?;
        drop(moved);
        let powers = batch.shell_powers(&full)?;
        let shell_powers = staging.fetch(&powers, 0, images * (n / 2 + 1))?;
        let mut wanted = None;
        if unwanted.is_some() {
            let moved = batch.moved(None, unwanted)?;
            let masked = batch.transformed(&moved.masked, &mut full)?;
            let powers = batch.shell_powers(&full)?;
            wanted = Some(Wanted {
                masked,
                shell_powers: staging.fetch(&powers, 0, images * (n / 2 + 1))?,
            });
        }
        let box_powers = batch.box_powers(&full)?;
        let scales: Vec<f32> = starts.iter().map(|s| s.scale as f32).collect();
        let sum_scales: Vec<f32> = starts.iter().map(|s| s.sum_scale as f32).collect();
        let halves = pseudo_halves(input, items);
        let ctf = ctf_values(device, staging, input, layout, items)?;
        let premultiplied = input.optics[items[0].particle.optics_group].ctf_premultiplied;
        let host_ctf = match &ctf {
            Some(ctf) if premultiplied => {
                HostCtf::Coming(staging.fetch(ctf, 0, images * layout.stride)?)
            }
            None if premultiplied => HostCtf::One(vec![1.0; images * layout.stride]),
            _ => HostCtf::Unasked,
        };
        Ok(Self {
            ctf,
            host_ctf,
            masked,
            unmasked,
            wanted,
            scales: staging.upload(&scales)?,
            sum_scales: staging.upload(&sum_scales)?,
            half_of: halves.map(|h| staging.upload(&h)).transpose()?,
            shell_powers,
            box_powers,
            starts,
        })
    }

    /// The masked images that are compared with references.
    pub(super) fn compared(&self) -> View<[f32; 2]> {
        match &self.wanted {
            Some(wanted) => wanted.masked.view(),
            None => self.masked.view(),
        }
    }

    /// Σ|F|² per shell of the whole transforms of the compared images.
    pub(super) fn compared_powers(&self) -> &Coming<f32> {
        match &self.wanted {
            Some(wanted) => &wanted.shell_powers,
            None => &self.shell_powers,
        }
    }

    /// C of premultiplied groups, when it has come; empty for others.
    pub(super) fn host_ctf<'a>(&'a self, staging: &'a Staging) -> &'a [f32] {
        match &self.host_ctf {
            HostCtf::Unasked => &[],
            HostCtf::One(values) => values,
            HostCtf::Coming(coming) => staging.values(coming),
        }
    }

    /// The CTF as comparisons take it: none while references are not corrected.
    pub(super) fn comparison_ctf(&self, input: &IterationInput) -> View<f32> {
        match &self.ctf {
            Some(ctf) if input.references_ctf_corrected => ctf.view(),
            _ => View::null(),
        }
    }

    /// Powers of the images in cross-correlations; null otherwise. Pass 0 or 1.
    pub(super) fn powers(&self, pass: usize) -> View<f32> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Growing subsets share plans, which take few images too many; half as many images need half the room.
    #[test]
    fn plans_are_shared_by_batches_of_about_a_size() {
        let sizes: Vec<usize> = (200..=1000).step_by(8).collect();
        let mut plans: Vec<usize> = sizes
            .iter()
            .map(|&images| TransformPlans::rounded(64, images))
            .collect();
        for (&images, &planned) in sizes.iter().zip(&plans) {
            assert!((images..=images + images / 8).contains(&planned));
        }
        plans.dedup();
        assert_eq!(plans.len(), 20);
        assert_eq!(TransformPlans::rounded(64, 7), 7);
        assert_eq!(TransformPlans::rounded(256, 1001), 1001);
    }
}
