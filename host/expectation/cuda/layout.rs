//! Data that all particles of an optics group share on the device during an iteration.

use super::super::layout::{GroupLayout, PhaseTable};
use super::super::orientations::Search;
use super::super::{ExpectationError, IterationInput};
use super::Iteration;
use super::grid::Grid;
use super::totals;
use crate::device::{Buffer, Device, MatrixProduct, Precision, Staging, Uploader};
use crate::optics::Ctf;
use rayon::prelude::*;

/// Rows of vectors are padded with zeros to a multiple of this many elements, as the matrix products want.
const LANES: usize = 32;

/// Pixel lists, weights and phases of one optics group.
pub(super) struct DeviceLayout {
    /// The same on the host.
    pub host: GroupLayout,
    /// Listed pixels of the n_g box.
    pub pixels: Buffer<[i16; 2]>,
    /// Their number.
    pub count: usize,
    /// `count`, padded.
    pub stride: usize,
    /// Pixels with a projected reference in the first pass.
    pub coarse_count: usize,
    /// The same, padded.
    pub coarse_stride: usize,
    /// Those pixels in the order in which local searches go through them.
    pub coarse_walk: Buffer<u32>,
    /// Pixels with a projected reference in the second pass.
    pub fine_count: usize,
    /// Pixels with a projected reference in the sums.
    pub projected: usize,
    /// Weight of each pixel in the comparisons of the first pass.
    pub coarse_weight: Buffer<f32>,
    /// And of the second.
    pub fine_weight: Buffer<f32>,
    /// V, the origin included.
    pub inverse_variance: Buffer<f32>,
    /// V of the pixels of the likelihood's constants.
    pub power_weight: Buffer<f32>,
    /// Class by class, the pixels that take part in the estimate of scales; null with one slot of shares.
    pub in_scale: Option<Buffer<u8>>,
    /// Factors that undo anti-symmetric aberrations.
    pub demodulation: Option<Buffer<[f32; 2]>>,
    /// e^{iφ} of the coarse shifts, rows of `coarse_stride`.
    pub coarse_phases: Buffer<[f32; 2]>,
    /// e^{iφ} of the fine shifts, rows of `stride`.
    pub fine_phases: Buffer<[f32; 2]>,
    /// Fine shifts, pixels.
    pub fine_shifts: Buffer<[f32; 2]>,
    /// Where each shell begins in the list, and the end of the last.
    pub shell_begin: Buffer<u32>,
    /// Number of shells.
    pub shells: usize,
    /// Which optics group.
    pub group: usize,
    /// Global searches: the grid.
    pub grid: Option<Grid>,
}

impl DeviceLayout {
    /// Layout of optics group `group`.
    pub(super) fn new(
        (device, staging, lists): (&Device, &mut Staging, &mut Uploader),
        product: (&MatrixProduct, Precision),
        input: &IterationInput,
        group: usize,
        iteration: &Iteration,
    ) -> Result<Self, ExpectationError> {
        let host = GroupLayout::new(input, group)?;
        let list = &host.pixels;
        let pixels: Vec<[i16; 2]> = list
            .x
            .iter()
            .zip(&list.y)
            .map(|(&x, &y)| [x as i16, y as i16])
            .collect();
        let (count, coarse_count) = (pixels.len(), host.coarse_projected());
        let (stride, coarse_stride) = (
            count.next_multiple_of(LANES),
            coarse_count.next_multiple_of(LANES),
        );
        // There may be a million, and the device waits for them.
        let phases = |shifts: &[[f64; 2]], length: usize, stride: usize| {
            let mut rows = vec![[0.0; 2]; shifts.len() * stride];
            let row_of = rows.par_chunks_exact_mut(stride.max(1)).zip(shifts);
            row_of.for_each(|(row, &shift)| {
                let table = PhaseTable::new(list, length, host.box_size, &[shift]);
                row.copy_from_slice(&table.interleaved(stride));
            });
            rows
        };
        let demodulation = host
            .demodulation
            .as_ref()
            .map(|factors| {
                let factors: Vec<[f32; 2]> = factors.iter().map(|f| [f.re, f.im]).collect();
                device.upload(&factors)
            })
            .transpose()?;
        let in_scale = match totals::pixels_in_scale(input, &list.shell) {
            none if none.is_empty() => None,
            pixels => Some(device.upload(&pixels)?),
        };
        let shells = list.size() / 2 + 1;
        let mut shell_begin: Vec<u32> = list
            .shell_ranges(count)
            .iter()
            .map(|r| r.start as u32)
            .collect();
        shell_begin.push(count as u32);
        let fine_shifts: Vec<[f32; 2]> = host
            .fine_shifts
            .iter()
            .map(|s| s.map(|v| v as f32))
            .collect();
        let mut layout = Self {
            count,
            stride,
            coarse_count,
            coarse_stride,
            fine_count: host.fine_projected(),
            projected: host.full_projected(),
            coarse_walk: device.upload(&list.in_squares(coarse_count))?,
            coarse_weight: device.upload(&host.coarse_comparison_weight)?,
            fine_weight: device.upload(&host.comparison_weight)?,
            inverse_variance: device.upload(&host.inverse_variance)?,
            power_weight: device.upload(&host.power_weight)?,
            in_scale,
            demodulation,
            coarse_phases: device.upload(&phases(
                &host.coarse_shifts,
                coarse_count,
                coarse_stride,
            ))?,
            fine_phases: device.upload(&phases(&host.fine_shifts, count, stride))?,
            fine_shifts: device.upload(&fine_shifts)?,
            shell_begin: device.upload(&shell_begin)?,
            shells,
            group,
            grid: None,
            pixels: device.upload(&pixels)?,
            host,
        };
        if Search::of(input) == Search::Global {
            let device = (device, staging, lists);
            layout.grid = Some(Grid::new(device, input, iteration, &layout, product)?);
        }
        Ok(layout)
    }

    /// Phase of symmetric aberrations per pixel, which all particles of the group share.
    pub(super) fn aberration(
        &self,
        staging: &mut Staging,
        ctf: &Ctf,
    ) -> Result<Option<Buffer<f64>>, ExpectationError> {
        let list = &self.host.pixels;
        let phases: Option<Vec<f64>> = list
            .x
            .iter()
            .zip(&list.y)
            .map(|(&x, &y)| ctf.aberration(x, y))
            .collect();
        Ok(phases.map(|p| staging.upload(&p)).transpose()?)
    }
}
