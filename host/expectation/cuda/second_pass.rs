//! Second pass and sums on the device: children of the significant samples, their weights, what they add.

use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::Iteration;
use super::first_pass::FirstPass;
use super::images::Prepared;
use super::layout::DeviceLayout;
use crate::device::{Buffer, Device, Pointer};
use gpu::samples::{Alignment, CTF_CORRECTED, NO_MAP, PREMULTIPLIED, Pair, Parent, Sample};
use gpu::slice::SliceAxes;

/// Bytes of slices projected at once.
const SLICE_BUFFER: usize = 1 << 30;

/// Samples grouped by coarse orientation.
pub struct Groups {
    parents: Buffer<Parent>,
    pairs: Buffer<Pair>,
    /// Rows of the parents.
    chosen: Buffer<u32>,
    host_parents: Vec<Parent>,
}

impl Groups {
    /// Groups `total` samples over `rows` orientations.
    pub fn new(
        device: &Device,
        samples: &Buffer<Sample>,
        total: usize,
        rows: usize,
    ) -> Result<Self, ExpectationError> {
        let counts = device.zeros::<u32>(rows)?;
        let cursor = device.zeros::<u32>(rows)?;
        // SAFETY: each is filled by a kernel below before it is read.
        let (first, rank, pairs, parents, chosen) = unsafe {
            (
                device.buffer::<u32>(rows + 1)?,
                device.buffer::<u32>(rows + 1)?,
                device.buffer::<Pair>(total)?,
                device.buffer::<Parent>(rows)?,
                device.buffer::<u32>(rows)?,
            )
        };
        let (count, rows) = (total as u32, rows as u32);
        // SAFETY: arrays of the sizes the kernels' documentation asks for.
        unsafe {
            device.count_pairs(samples.pointer(), count, counts.pointer())?;
            device.exclusive_scan(counts.pointer(), rows, 0, first.pointer())?;
            device.exclusive_scan(counts.pointer(), rows, 1, rank.pointer())?;
            device.place_pairs(
                samples.pointer(),
                count,
                first.pointer(),
                rank.pointer(),
                cursor.pointer(),
                pairs.pointer(),
            )?;
            device.list_parents(
                first.pointer(),
                rank.pointer(),
                rows,
                parents.pointer(),
                chosen.pointer(),
            )?;
        }
        let number = device.download_at(&rank, rows as usize)? as usize;
        Ok(Self {
            host_parents: device.download(&parents, number)?,
            parents,
            pairs,
            chosen,
        })
    }
}

/// One pass of differences over grouped samples.
pub struct Differences<'a> {
    /// Axes of every child of every row.
    pub axes: &'a Buffer<SliceAxes>,
    /// Class of every row.
    pub class_of: &'a Buffer<u32>,
    /// Children of an orientation.
    pub children: usize,
    /// Children of a shift.
    pub shift_children: usize,
    /// Pixels compared.
    pub pixel_count: usize,
    /// Their weights.
    pub weight: &'a Buffer<f32>,
    /// Phases of the shifts' children.
    pub phases: &'a Buffer<[f32; 2]>,
    /// Row length of `phases`.
    pub phase_stride: usize,
    /// Powers of the images in cross-correlations.
    pub powers: Pointer<f32>,
}

impl Differences<'_> {
    /// Fills `values`; parents are projected part by part.
    #[allow(clippy::too_many_arguments)]
    pub fn run(
        &self,
        device: &Device,
        input: &IterationInput,
        iteration: &Iteration,
        layout: &DeviceLayout,
        images: &Prepared,
        groups: &Groups,
        samples: &Buffer<Sample>,
        values: &Buffer<f32>,
    ) -> Result<(), ExpectationError> {
        let stride = self.pixel_count.next_multiple_of(32);
        let parents = &groups.host_parents;
        let step = (SLICE_BUFFER / (8 * stride * self.children)).clamp(1, parents.len().max(1));
        // SAFETY: filled by the kernel below before it is read.
        let slices = unsafe { device.buffer::<[f32; 2]>(step * self.children * stride)? };
        for begin in (0..parents.len()).step_by(step) {
            let end = (begin + step).min(parents.len());
            let pairs = parents[begin].begin..parents[end - 1].end;
            // SAFETY: arrays of the sizes the kernels' documentation asks for.
            unsafe {
                device.project_slices(
                    ((end - begin) * self.children) as u32,
                    iteration.references[0].pointer(),
                    iteration.shape.pointer(),
                    self.axes.pointer(),
                    groups.chosen.pointer().offset(begin),
                    self.class_of.pointer(),
                    self.children as u32,
                    layout.pixels.pointer(),
                    self.pixel_count as u32,
                    slices.pointer(),
                    stride as u32,
                    Pointer::null(),
                    0,
                )?;
                let launch = if self.children >= 8 && self.shift_children >= 4 {
                    Device::fine_differences_8x4
                } else {
                    Device::fine_differences_1x1
                };
                launch(
                    device,
                    pairs.end - pairs.start,
                    groups.pairs.pointer().offset(pairs.start as usize),
                    samples.pointer(),
                    begin as u32,
                    slices.pointer(),
                    stride as u32,
                    images.masked.pointer(),
                    layout.stride as u32,
                    images.comparison_ctf(input),
                    images.scales.pointer(),
                    self.weight.pointer(),
                    self.phases.pointer(),
                    self.phase_stride as u32,
                    self.pixel_count as u32,
                    self.children as u32,
                    self.shift_children as u32,
                    self.powers,
                    values.pointer(),
                )?;
            }
        }
        Ok(())
    }
}

/// Fine samples of a batch.
pub struct SecondPass {
    groups: Groups,
    /// Differences, then weights.
    values: Buffer<f32>,
    children: usize,
}

impl SecondPass {
    /// Differences of all children.
    pub fn new(
        device: &Device,
        input: &IterationInput,
        iteration: &Iteration,
        layout: &DeviceLayout,
        _items: &[&BatchItem],
        images: &Prepared,
        first: &FirstPass,
    ) -> Result<Self, ExpectationError> {
        let rows = first.rows(layout);
        let children = input
            .sampling
            .orientation_children(input.options.oversampling);
        let groups = Groups::new(device, &first.samples, first.total, rows.count)?;
        let per_sample = children * layout.host.shift_children;
        // SAFETY: filled by the kernels below.
        let values = unsafe { device.buffer::<f32>(first.total * per_sample)? };
        Differences {
            axes: &rows.fine_axes,
            class_of: &rows.class_of,
            children,
            shift_children: layout.host.shift_children,
            pixel_count: layout.fine_count,
            weight: &layout.fine_weight,
            phases: &layout.fine_phases,
            phase_stride: layout.stride,
            powers: images.powers(1),
        }
        .run(
            device,
            input,
            iteration,
            layout,
            images,
            &groups,
            &first.samples,
            &values,
        )?;
        Ok(Self {
            groups,
            values,
            children,
        })
    }

    /// Weights, and what each particle's alignment is; adds to the direction sums.
    #[allow(clippy::too_many_arguments)]
    pub fn weigh(
        &self,
        device: &Device,
        input: &IterationInput,
        iteration: &Iteration,
        layout: &DeviceLayout,
        items: &[&BatchItem],
        images: &Prepared,
        first: &FirstPass,
    ) -> Result<Vec<Alignment>, ExpectationError> {
        let count = items.len();
        let rows = first.rows(layout);
        let only_best = input.criterion == Criterion::CrossCorrelation;
        let alignments = device.zeros::<Alignment>(count)?;
        let best = device.zeros::<u64>(count)?;
        // With one pass only, the sums of the first pass stand.
        let given = if input.options.oversampling == 0 && !only_best {
            Some(device.upload(&first.selections)?)
        } else {
            None
        };
        let centres: Vec<[f32; 2]> = images
            .starts
            .iter()
            .map(|p| std::array::from_fn(|i| (p.old_offset[i] - p.offset_prior[i]) as f32))
            .collect();
        let centres = device.upload(&centres)?;
        let (children, shift_children) = (self.children as u32, layout.host.shift_children as u32);
        // SAFETY: arrays of the sizes the kernels' documentation asks for.
        unsafe {
            device.fine_weights(
                count as u32,
                first.samples.pointer(),
                first.first.pointer(),
                children,
                shift_children,
                input.options.adaptive_fraction as f32,
                u32::MAX,
                u32::from(only_best),
                given.as_ref().map_or(Pointer::null(), Buffer::pointer),
                self.values.pointer(),
                best.pointer(),
                alignments.pointer(),
            )?;
            device.fine_statistics(
                count as u32,
                first.samples.pointer(),
                first.first.pointer(),
                self.values.pointer(),
                children,
                shift_children,
                rows.slot_of.pointer(),
                iteration.direction_weight.pointer(),
                layout.fine_shifts.pointer(),
                centres.pointer(),
                alignments.pointer(),
            )?;
        }
        Ok(device.download(&alignments, count)?)
    }

    /// Adds to the volumes; returns (Σ XA, Σ AA, Σ|F|², 0) per image, class and shell.
    #[allow(clippy::too_many_arguments)]
    pub fn store(
        &self,
        device: &Device,
        input: &IterationInput,
        iteration: &Iteration,
        layout: &DeviceLayout,
        items: &[&BatchItem],
        images: &Prepared,
        first: &FirstPass,
    ) -> Result<Vec<[f32; 4]>, ExpectationError> {
        let rows = first.rows(layout);
        let classes = input.references.len();
        let shares = device.zeros::<[f32; 2]>(items.len() * classes * layout.count)?;
        let out = device.zeros::<[f32; 4]>(items.len() * classes * layout.shells)?;
        let mut flags = 0;
        if input.references_ctf_corrected {
            flags |= CTF_CORRECTED;
        }
        if input.optics[items[0].particle.optics_group].ctf_premultiplied {
            flags |= PREMULTIPLIED;
        }
        if input.options.no_map {
            flags |= NO_MAP;
        }
        // Rp = ROUND(r_max·P), with a tolerance for pixels exactly on the sphere.
        let reference = &input.references[0];
        let radius =
            crate::fourier::shells::round(reference.padding() * reference.r_max() as f64) as f32;
        let max_radius2 = radius * radius * (1.0 + 2e-6);
        // SAFETY: arrays of the sizes the kernels' documentation asks for.
        unsafe {
            if !input.options.skip_maximize {
                device.store_orientations(
                    self.groups.host_parents.len() as u32,
                    self.groups.parents.pointer(),
                    self.groups.pairs.pointer(),
                    first.samples.pointer(),
                    self.values.pointer(),
                    self.children as u32,
                    layout.host.shift_children as u32,
                    rows.fine_axes.pointer(),
                    rows.class_of.pointer(),
                    iteration.references[0].pointer(),
                    iteration.shape.pointer(),
                    max_radius2,
                    layout.pixels.pointer(),
                    layout.projected as u32,
                    layout.count as u32,
                    images.masked.pointer(),
                    images.unmasked.pointer(),
                    images.ctf.as_ref().map_or(Pointer::null(), Buffer::pointer),
                    layout.stride as u32,
                    images.sum_scales.pointer(),
                    layout.inverse_variance.pointer(),
                    layout.fine_phases.pointer(),
                    layout.stride as u32,
                    flags,
                    classes as u32,
                    iteration.volumes.pointer(),
                    shares.pointer(),
                )?;
            }
            device.reduce_shares(
                (items.len() * classes) as u32,
                shares.pointer(),
                images.masked.pointer(),
                layout.stride as u32,
                layout.count as u32,
                classes as u32,
                layout.shell_begin.pointer(),
                layout.shells as u32,
                out.pointer(),
            )?;
        }
        Ok(device.download(&out, items.len() * classes * layout.shells)?)
    }
}
