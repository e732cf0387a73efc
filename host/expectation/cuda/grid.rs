//! The grid of a global search in the first pass: one slice per pair of orientations that differ by a half turn in the
//! plane of the image, and the matrix products with the images of a batch (`gpu/src/kernels/half_turns.rs`).

use super::super::orientations::half_turns;
use super::super::{ExpectationError, IterationInput};
use super::Iteration;
use super::batch::BatchContext;
use super::layout::DeviceLayout;
use super::rows::Rows;
use super::work;
use crate::device::meter::Part;
use crate::device::{
    Buffer, Device, Factors, MatrixProduct, Operand, Precision, Staging, Uploader,
};
use gpu::kernels::columns::WeightedColumns;
use gpu::kernels::half_turns::{JoinHalfTurns, ProjectParts};
use std::ops::Range;

/// The grid of a global search and its slices in the first pass.
pub(super) struct Grid {
    /// Orientations of all classes.
    pub rows: Rows,
    /// Rows that differ by a half turn; a row twice where its half turn is not in the grid.
    pairs: Buffer<[u32; 2]>,
    /// Pairs that have slices at a time.
    chunk: usize,
    /// Parts of the slices, rows of `coarse_stride`.
    real: Operand,
    imaginary: Operand,
    /// ½|A|², rows of `coarse_stride`.
    half_powers: Operand,
}

/// The products of the first pass, by the names of [`gpu::kernels::coarse`].
pub(super) struct Products {
    pub cross: Buffer<f32>,
    pub norm: Buffer<f32>,
}

/// Weighted images at all shifts, and their weights of the slices' powers.
struct Columns {
    real: Operand,
    imaginary: Operand,
    powers: Operand,
}

/// Returns how many of `pairs` pairs are multiplied at a time: their products wait for being put in place, so an eighth, but
/// enough for large tiles.
pub(super) fn pairs_at_once(pairs: usize) -> usize {
    (pairs / 8).max(512).next_multiple_of(128).min(pairs)
}

impl Grid {
    /// The grid of an iteration; its slices are cut where all of them fit.
    pub(super) fn new(
        (device, staging, lists): (&Device, &mut Staging, &mut Uploader),
        input: &IterationInput,
        iteration: &Iteration,
        layout: &DeviceLayout,
        (product, precision): (&MatrixProduct, Precision),
    ) -> Result<Self, ExpectationError> {
        let rows = Rows::of_grid(staging, lists, input, &layout.host.plane)?;
        let pairs = half_turns(&rows.index, input.sampling.n_psi());
        let chunk = pairs.len().min(iteration.plan.orientations);
        let part = || {
            // SAFETY: filled by `project` before it is read.
            let values = unsafe { device.buffer(chunk * layout.coarse_stride)? };
            product.operand(device, precision, values)
        };
        let grid = Self {
            rows,
            pairs: staging.upload(&pairs)?,
            chunk,
            real: part()?,
            imaginary: part()?,
            half_powers: part()?,
        };
        if grid.is_whole() {
            grid.project(device, iteration, layout, 0..grid.pairs.len())?;
        }
        Ok(grid)
    }

    /// All slices are kept; otherwise they are cut anew for every batch, chunk by chunk.
    fn is_whole(&self) -> bool {
        self.chunk == self.pairs.len()
    }

    /// Cuts the slices of `pairs`.
    fn project(
        &self,
        device: &Device,
        iteration: &Iteration,
        layout: &DeviceLayout,
        pairs: Range<usize>,
    ) -> Result<(), ExpectationError> {
        // SAFETY: arrays of the sizes the kernel's documentation asks for; there is room for `chunk` pairs.
        unsafe {
            device.launch(&ProjectParts {
                pairs: self.pairs.view().offset(pairs.start),
                pair_count: pairs.len() as u32,
                volume: iteration.compared[0].view(),
                shape: iteration.shape.view(),
                axes: self.rows.coarse_axes.block.view(),
                volume_of: self.rows.class_of.view(),
                pixels: layout.pixels.view(),
                pixel_count: layout.coarse_count as u32,
                real: self.real.view(),
                imaginary: self.imaginary.view(),
                half_power: self.half_powers.view(),
                stride: layout.coarse_stride as u32,
            })?;
        }
        let length = pairs.len() * layout.coarse_stride;
        for part in [&self.real, &self.imaginary, &self.half_powers] {
            part.split(device, length)?;
        }
        Ok(())
    }

    /// Queues the products of all orientations with all images and shifts of a batch.
    pub(super) fn products(
        &self,
        batch: &BatchContext,
        product: (&MatrixProduct, Precision),
    ) -> Result<Products, ExpectationError> {
        let &BatchContext {
            device,
            iteration,
            layout,
            items,
            ..
        } = batch;
        let (rows, images) = (self.rows.count, items.len());
        let columns = Columns::of(batch, product)?;
        // SAFETY: every row is filled by a kernel below.
        let products = unsafe {
            Products {
                cross: device.buffer(rows * images * layout.host.shifts())?,
                norm: device.buffer(rows * images)?,
            }
        };
        for begin in (0..self.pairs.len()).step_by(self.chunk.max(1)) {
            let chunk = begin..(begin + self.chunk).min(self.pairs.len());
            if !self.is_whole() {
                self.project(device, iteration, layout, chunk.clone())?;
            }
            self.multiply(batch, product, &columns, chunk, &products)?;
        }
        Ok(products)
    }

    /// Multiplies the pairs of `chunk`, whose slices are there.
    fn multiply(
        &self,
        batch: &BatchContext,
        (product, precision): (&MatrixProduct, Precision),
        columns: &Columns,
        chunk: Range<usize>,
        products: &Products,
    ) -> Result<(), ExpectationError> {
        let (device, stride) = (batch.device, batch.layout.coarse_stride);
        let (images, shifts) = (batch.items.len(), batch.layout.host.shifts());
        let (step, width) = (pairs_at_once(self.pairs.len()), images * shifts);
        // SAFETY: filled by the products below before they are read.
        let (real, imaginary, power) = unsafe {
            (
                device.buffer::<f32>(step * width)?,
                device.buffer::<f32>(step * width)?,
                device.buffer::<f32>(step * images)?,
            )
        };
        for begin in chunk.clone().step_by(step) {
            let count = step.min(chunk.end - begin);
            let first = (begin - chunk.start) * stride;
            let rows = |left, right, columns: usize, out: &Buffer<f32>| Factors {
                left,
                first,
                right,
                rows: count,
                columns,
                length: stride,
                out: out.view(),
            };
            let all = [
                rows(&self.real, &columns.real, width, &real),
                rows(&self.imaginary, &columns.imaginary, width, &imaginary),
                rows(&self.half_powers, &columns.powers, images, &power),
            ];
            for factors in &all {
                work::count_product(
                    device,
                    [factors.rows, factors.columns, factors.length].into(),
                );
            }
            // SAFETY: the slices of these pairs are there, and both orientations of each have rows in the products.
            device.metered(Part::CoarseProducts, || unsafe {
                for factors in &all {
                    product.run(device, precision, factors)?;
                }
                device.launch(&JoinHalfTurns {
                    pairs: self.pairs.view().offset(begin),
                    pair_count: count as u32,
                    real: real.view(),
                    imaginary: imaginary.view(),
                    columns: width as u32,
                    power: power.view(),
                    images: images as u32,
                    cross: products.cross.view(),
                    norm: products.norm.view(),
                })
            })?;
        }
        Ok(())
    }
}

impl Columns {
    /// Those of a batch.
    fn of(
        batch: &BatchContext,
        (product, precision): (&MatrixProduct, Precision),
    ) -> Result<Self, ExpectationError> {
        let &BatchContext {
            device,
            input,
            layout,
            items,
            images,
            ..
        } = batch;
        let (count, shifts, stride) = (items.len(), layout.host.shifts(), layout.coarse_stride);
        let operand = |columns: usize| {
            // SAFETY: filled by the kernel below before they are read.
            let values = unsafe { device.buffer(columns * stride)? };
            product.operand(device, precision, values)
        };
        let columns = Self {
            real: operand(count * shifts)?,
            imaginary: operand(count * shifts)?,
            powers: operand(count)?,
        };
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        unsafe {
            device.launch(&WeightedColumns {
                image_count: count as u32,
                images: images.compared(),
                image_stride: layout.stride as u32,
                ctf: images.comparison_ctf(input),
                scales: images.scales.view(),
                weight: layout.coarse_weight.view(),
                phases: layout.coarse_phases.view(),
                phase_stride: stride as u32,
                pixel_count: layout.coarse_count as u32,
                shifts: shifts as u32,
                real: columns.real.view(),
                imaginary: columns.imaginary.view(),
                column_stride: stride as u32,
                powers: columns.powers.view(),
                power_stride: stride as u32,
            })?;
        }
        columns.real.split(device, count * shifts * stride)?;
        columns.imaginary.split(device, count * shifts * stride)?;
        columns.powers.split(device, count * stride)?;
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pairs_are_multiplied_at_once() {
        assert_eq!([300, 4000, 18_432].map(pairs_at_once), [300, 512, 2304]);
    }
}
