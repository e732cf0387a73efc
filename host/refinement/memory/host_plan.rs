//! The host memory that a run will take: refused before it begins where it is far too much, else printed.

use crate::errors::{Code, Message};
use crate::fourier::shape::VolumeShape;
use crate::geometry::sampling::Sampling;
use crate::maximization::density_compensation_bytes;
use crate::refinement::job::Job;
use crate::refinement::memory::host_memory;
use std::path::Path;

/// Images that are aligned at once at the least.
const LEAST_BATCH: f64 = 4.0;
/// Bytes of a squared difference.
const DIFFERENCE: f64 = 4.0;
/// Share of the samples of the first pass that are significant in noisy images, and their number at the least: the second pass
/// holds all the children of those of an image at once.
const SIGNIFICANT: f64 = 0.01;
const FEWEST_SIGNIFICANT: f64 = 30.0;

/// Bytes of host memory, as real numbers so that absurd options do not overflow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HostPlan {
    /// Maps of all classes and half-sets, with the copy that is being written.
    pub maps: f64,
    /// Fourier references of one half-set and sums of all, at the full box; on a device where there is one.
    pub volumes: f64,
    /// Differences of the smallest batch of images in a global search.
    pub differences: f64,
}

impl HostPlan {
    /// Returns the plan for `classes` references in each of `halves` half-sets. `shapes`: of the references and of the sums at the
    /// full box, which are on the host or elsewhere. `samples`: orientations × shifts × classes that an image is compared with at once.
    pub(crate) fn new(
        classes: usize,
        halves: usize,
        shapes: [VolumeShape; 2],
        volumes_on_host: bool,
        samples: f64,
    ) -> Self {
        let (classes, halves) = (classes as f64, halves as f64);
        let [shape, of_sums] = shapes;
        let [references, sums] = [8.0 * shape.voxels() as f64, 24.0 * of_sums.voxels() as f64];
        let volumes = classes * (references + halves * sums);
        Self {
            maps: classes * halves * 12.0 * (shape.box_size as f64).powi(shape.dimensions.count()),
            volumes: if volumes_on_host { volumes } else { 0.0 },
            differences: LEAST_BATCH * DIFFERENCE * samples,
        }
    }

    /// Returns the plan of a run about to begin.
    pub(crate) fn of(job: &Job, volumes_on_host: bool) -> Self {
        let model = &job.models[0];
        let global = model.local_search.is_none() && !job.skips_orientations();
        let shape = VolumeShape::new(model.dimensions(), model.box_size, model.padding, 0);
        let samples = samples(&job.sampling, model.classes.len(), global);
        let (classes, halves) = (model.classes.len(), job.models.len());
        let shapes = [
            shape,
            shape.with_padding(model.padding + job.expectation.more_padding),
        ];
        let mut plan = Self::new(classes, halves, shapes, volumes_on_host, samples);
        if volumes_on_host {
            plan.differences = plan.differences.max(second_pass(samples, children(job)));
        }
        if volumes_on_host && job.maximization.gridding_iterations.is_some() {
            // One class after the other.
            plan.volumes += density_compensation_bytes(&shapes[1]) as f64;
        }
        if job.gradient.is_some() {
            // Sums of the other pseudo-half, and moments.
            plan.volumes += model.classes.len() as f64 * shape.voxels() as f64 * (24.0 + 40.0);
        }
        if job.regions.is_some() {
            // The unwanted regions of a half-set, and the wanted ones where the references are.
            let regions = if volumes_on_host { 16.0 } else { 8.0 };
            plan.volumes += model.classes.len() as f64 * shape.voxels() as f64 * regions;
        }
        plan
    }

    /// Bytes in all.
    pub(crate) fn total(&self) -> f64 {
        self.maps + self.volumes + self.differences
    }

    /// Refuses a run that needs more than `free` bytes.
    pub(crate) fn check(&self, free: Option<usize>) -> Result<(), Message> {
        let Some(free) = free.filter(|&free| self.total() > free as f64) else {
            return Ok(());
        };
        Err(Code::OUT_OF_MEMORY.says(format!(
            "this run needs {} GiB of host memory ({self}), and {} GiB are free. Use fewer classes (--K), a coarser search \
             (--healpix_order, --psi_step, --offset_range, --offset_step, --oversampling), a smaller box, less padding (--pad), or a machine \
             with more memory.",
            gib(self.total()),
            gib(free as f64)
        )))
    }

    /// Returns the plan in words, for the console.
    pub(crate) fn line(&self, free: Option<usize>) -> String {
        let free = free.map_or(String::new(), |free| {
            format!(" of {} GiB that are free", gib(free as f64))
        });
        format!(
            " Host memory: {} GiB{free} (GiB: {self})",
            gib(self.total())
        )
    }
}

impl std::fmt::Display for HostPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(
            f,
            "maps {}, references and sums {}, differences of the smallest batch {}",
            gib(self.maps),
            gib(self.volumes),
            gib(self.differences)
        )
    }
}

/// Returns the samples that an image is compared with at once in the first pass; local searches have few.
pub(crate) fn samples(sampling: &Sampling, classes: usize, global: bool) -> f64 {
    if !global {
        return 0.0;
    }
    let orientations = sampling.directions.len() as f64 * sampling.n_psi() as f64;
    orientations * sampling.translations.len() as f64 * classes as f64
}

/// Returns the bytes of the differences of an image in the second pass, of `samples` in the first with so many `children` each.
fn second_pass(samples: f64, children: f64) -> f64 {
    DIFFERENCE * children * (SIGNIFICANT * samples).max(FEWEST_SIGNIFICANT)
}

/// Returns the samples of the second pass that come of a significant one of the first.
pub(crate) fn children(job: &Job) -> f64 {
    let (sampling, oversampling) = (&job.sampling, job.expectation.oversampling);
    let orientations = match job.skips_orientations() {
        true => 1,
        false => sampling.orientation_children(oversampling),
    };
    orientations as f64 * sampling.translation_children(oversampling) as f64
}

/// Bytes that this process, one of `ranks` on the machine, may still take.
pub(crate) fn free(ranks: usize) -> Option<usize> {
    host_memory::free(ranks, Path::new("/"))
}

fn gib(bytes: f64) -> String {
    let gib = bytes / f64::from(1 << 30);
    match gib < 100.0 {
        true => format!("{gib:.2}"),
        false => format!("{gib:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::shape::Dimensions;

    fn maps(box_size: usize) -> [VolumeShape; 2] {
        [VolumeShape::new(Dimensions::Three, box_size, 2.0, 0); 2]
    }

    #[test]
    fn usual_runs_fit_and_absurd_ones_are_refused() {
        let free = Some(16 << 30);
        // Class3D, K = 4, 128 pixels, order 2, 29 shifts.
        let usual = HostPlan::new(4, 1, maps(128), true, 768.0 * 48.0 * 29.0 * 4.0);
        assert!(usual.check(free).is_ok(), "{usual}");
        assert!(usual.line(free).contains("of 16.00 GiB that are free"));
        let classes = HostPlan::new(10_000, 1, maps(128), true, 0.0);
        let refused = classes.check(free).unwrap_err();
        assert_eq!(refused.code, Code::OUT_OF_MEMORY);
        // A global search at order 9.
        let fine = HostPlan::new(1, 1, maps(64), true, 3_145_728.0 * 3072.0 * 29.0);
        assert!(
            fine.check(free)
                .unwrap_err()
                .to_string()
                .contains("--healpix_order")
        );
        // Nothing is known of the machine.
        assert!(fine.check(None).is_ok());
    }

    /// A continued run with `--healpix_order 5 --oversampling 5` asked for terabytes after its first pass.
    #[test]
    fn oversampling_counts() {
        let gib = |samples: f64, children: f64| second_pass(samples, children) / f64::from(1 << 30);
        // Order 3 with 29 shifts, K = 4, twice oversampled; local searches.
        assert!(gib(36_864.0 * 29.0 * 4.0, 1024.0) < 0.2);
        assert!(gib(0.0, 1024.0) < 0.001);
        assert!(gib(12_386_304.0, 32_768.0 * 1024.0) > 10_000.0);
    }

    #[test]
    fn volumes_on_a_device_are_not_counted() {
        let host = HostPlan::new(2, 2, maps(64), true, 0.0);
        let device = HostPlan::new(2, 2, maps(64), false, 0.0);
        assert_eq!(device.volumes, 0.0);
        // Complex f32 of the references of one half-set, complex f64 and f64 of the sums of both.
        assert_eq!(host.volumes, 2.0 * (131.0 * 131.0 * 66.0) * (8.0 + 48.0));
        assert_eq!(host.maps, device.maps);
    }
}
