//! Ties of the cross-correlation iteration, decided in double precision (as `cpu/ties.rs` says why).

use super::super::ExpectationError;
use super::batch::BatchContext;
use super::first_pass::FirstPass;
use gpu::correlation::ExactSample;
use gpu::kernels::ties::TiedCorrelations;
use gpu::samples::Sample;

/// Leaves of the samples that are tied with the best one of each image the best in double precision, the first one when
/// equal. Waits for the device only where there are such samples.
pub(super) fn decide(batch: &BatchContext, found: &mut FirstPass) -> Result<(), ExpectationError> {
    let &BatchContext {
        device,
        input,
        iteration,
        layout,
        images,
        ..
    } = batch;
    let index = &found.rows(layout).index;
    let list = &found.list;
    let count = list.selections.len();
    let total = list.first[count] as usize;
    if total == count {
        return Ok(());
    }
    let samples = device.download(&list.samples, total)?;
    let n_psi = input.sampling.n_psi();
    let exact: Vec<ExactSample> = samples
        .iter()
        .map(|sample| {
            let (class, o) = index[sample.orientation as usize];
            let matrix = input
                .sampling
                .orientations(o as usize / n_psi, o as usize % n_psi, 0)[0];
            layout.host.exact_sample(
                &matrix,
                sample.shift as usize,
                sample.image as usize,
                class as usize,
            )
        })
        .collect();
    let exact = device.upload(&exact)?;
    // SAFETY: filled by the kernel below.
    let correlations = unsafe { device.buffer::<f64>(total)? };
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        device.launch(&TiedCorrelations {
            sample_count: total as u32,
            samples: exact.view(),
            references: iteration.compared[0].view(),
            shape: iteration.shape.view(),
            pixels: layout.pixels.view(),
            pixel_count: layout.coarse_count as u32,
            images: images.compared(),
            image_stride: layout.stride as u32,
            ctf: images.comparison_ctf(input),
            scales: images.scales.view(),
            weight: layout.coarse_weight.view(),
            out: correlations.view(),
        })?;
    }
    let correlations = device.download(&correlations, total)?;
    let best: Vec<Sample> = list
        .first
        .windows(2)
        .map(|range| {
            let mut best = range[0] as usize;
            for s in best + 1..range[1] as usize {
                if correlations[s] > correlations[best] {
                    best = s;
                }
            }
            samples[best]
        })
        .collect();
    let list = &mut found.list;
    list.samples = device.upload(&best)?;
    list.first = (0..=count as u32).collect();
    list.selections.iter_mut().for_each(|s| s.kept = 1);
    list.groups = None;
    Ok(())
}
