//! The table of memory that a run on a device will take, printed before the first particle: every stage up to the last
//! iteration with the full box.

use crate::expectation::cuda::batch_plan::{Outlook, Plan};
use crate::geometry::prior::most_local_orientations;
use crate::maximization::Footprint;
use crate::refinement::error::RunError;
use crate::refinement::job::Job;
use crate::refinement::schedule::image_size::{PassRule, SizeRule, current_size, image_sizes};
use std::fmt::Write;

/// Bytes a row of a particle table takes, about.
const TABLE_ROW: usize = 300;
/// The finest local searches of an auto-refinement are planned with a grid of this HEALPix order.
const FINEST_ORDER: u32 = 7;
/// Orientations of a particle in the local searches that an auto-refinement turns to: about 180 at any order.
const AUTOMATIC_ORIENTATIONS: usize = 300;

/// Inputs of the plan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prospect {
    /// First iteration.
    pub first: Outlook,
    /// Last iteration, full box.
    pub last: Outlook,
    /// Independent halves: 1 or 2.
    pub halves: usize,
    /// Number of particles.
    pub particles: usize,
    /// All images are kept on the host.
    pub preread: bool,
    /// Densities are found by gridding.
    pub gridding: bool,
}

/// A row of the table, bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stage {
    /// Which stage, and what it means for the batches.
    pub name: String,
    /// On the device.
    pub device: usize,
    /// On the host.
    pub host: usize,
    /// In files.
    pub disk: usize,
    /// Features that were given up to fit.
    pub given_up: Vec<String>,
}

impl Prospect {
    /// Of a run about to begin.
    pub(crate) fn of(job: &Job) -> Self {
        let (model, settings) = (&job.models[0], &job.settings);
        let sampling = &job.sampling;
        let size = |use_all_data: bool| {
            current_size(&SizeRule {
                box_size: model.box_size,
                pixel_size: model.pixel_size,
                resolution: job.state.current_resolution,
                average_pmax: 0.0,
                high_fsc_at_limit: false,
                increment: job.state.increment_size,
                use_all_data,
            })
        };
        let outlook =
            |size: usize, angular_step: f64, directions: usize, psis: usize, own: Option<usize>| {
                let sizes = image_sizes(
                    &job.particles.optics[0],
                    &PassRule {
                        box_size: model.box_size,
                        pixel_size: model.pixel_size,
                        current_size: size,
                        particle_diameter: job.expectation.particle_diameter,
                        dimensions: model.dimensions(),
                        angular_step,
                        oversampling: job.expectation.oversampling,
                        strict_highres: None,
                        max_coarse_size: None,
                    },
                );
                Outlook {
                    dimensions: model.dimensions(),
                    box_size: model.box_size,
                    size,
                    coarse_size: sizes.coarse,
                    padding: model.padding,
                    more_padding: job.expectation.more_padding,
                    classes: model.classes.len(),
                    directions,
                    psis,
                    own,
                    shifts: sampling.translations.len(),
                    oversampling: job.expectation.oversampling,
                    gradient: job.gradient.is_some(),
                    subtracts: job.regions.is_some(),
                }
            };
        let (step, directions, psis) = (
            sampling.angular_step(),
            sampling.directions.len(),
            sampling.n_psi(),
        );
        let own = match &model.local_search {
            _ if job.skips_orientations() => Some(1),
            Some(widths) => Some(most_local_orientations(sampling, widths)),
            None => None,
        };
        let mates = sampling.relaxed.as_ref().map_or(1, |group| group.order());
        let last = if settings.auto_refine {
            let grid = 12 << (2 * FINEST_ORDER);
            outlook(
                size(true),
                360.0 / f64::from(6 << FINEST_ORDER),
                grid,
                6 << FINEST_ORDER,
                Some(AUTOMATIC_ORIENTATIONS * mates),
            )
        } else {
            outlook(size(true), step, directions, psis, own)
        };
        Self {
            first: outlook(size(false), step, directions, psis, own),
            last,
            halves: job.models.len(),
            particles: job.particles.particles.len(),
            preread: settings.preread_images,
            gridding: settings.gridding_iterations.is_some(),
        }
    }

    /// Refuses a run whose first iteration does not fit into `limit` bytes of device memory. Later ones that do not fit are
    /// done on the host.
    pub(crate) fn check(&self, limit: usize) -> Result<(), RunError> {
        Plan::new(&self.first.demand(), limit)?;
        Ok(())
    }

    /// All stages within `limit` bytes of device memory.
    pub(crate) fn stages(&self, limit: usize) -> Vec<Stage> {
        let mut stages = Vec::new();
        for (name, outlook) in [
            ("expectation, first iteration", &self.first),
            ("expectation, last iteration", &self.last),
        ] {
            let demand = outlook.demand();
            let image = 4 * outlook.box_size * outlook.box_size;
            // Those of the half-sets that are done.
            let others = (self.halves - 1) * outlook.classes * 16 * demand.sums_voxels;
            let crowded = others > 0 && Plan::is_crowded(&demand, limit, others);
            let (staying, parked) = if crowded { (0, others) } else { (others, 0) };
            let (device, batch, given_up) = match Plan::new(&demand, limit.saturating_sub(staying))
            {
                Ok(mut plan) => {
                    if crowded {
                        plan.given_up.push(
                            "to fit: sums of half 1 wait on the host during half 2".to_string(),
                        );
                    }
                    (plan.total() + staying, plan.batch, plan.given_up)
                }
                // It may never come to that.
                Err(_) => (
                    0,
                    1,
                    vec![format!(
                        "does not fit, needs {:.2} GiB: such an iteration would be done on the host, which takes longer",
                        demand.least() as f64 / f64::from(1 << 30)
                    )],
                ),
            };
            stages.push(Stage {
                name: format!("{name} ({} px, {batch} particles at once)", outlook.size),
                device,
                // A block that is read while another is copied.
                host: parked
                    + 3 * batch * image
                    + if self.preread {
                        self.particles * image
                    } else {
                        0
                    },
                disk: 0,
                given_up,
            });
        }
        stages.push(self.maximization(limit));
        stages
    }

    /// Symmetry and reconstruction of one class after the other, then the references.
    fn maximization(&self, limit: usize) -> Stage {
        let last = &self.last;
        let [of_references, of_sums] =
            (last.shapes()).map(|shape| Footprint::new(&shape, last.box_size, last.classes));
        let footprint = Footprint {
            prepare: of_references.prepare,
            ..of_sums
        };
        let mut given_up = Vec::new();
        let mut one = 0;
        for (bytes, what) in [
            (footprint.sums, "sums are kept"),
            (footprint.symmetrise, "symmetry is applied"),
            (footprint.averages, "halves are compared"),
            (footprint.unregularised, "unregularised half maps are made"),
            (footprint.regularised, "maps are made"),
            (footprint.prepare, "references are prepared"),
        ] {
            match bytes <= limit {
                true => one = one.max(bytes),
                false => given_up.push(format!("to fit: {what} on the host")),
            }
        }
        let waiting = (last.demand().sums * self.halves - 1) * footprint.sums;
        let (mut device, mut on_host) = (one + waiting, 0);
        if device > limit {
            given_up.push("to fit: sums of other classes and halves wait on the host".to_string());
            (device, on_host) = (one, waiting);
        }
        if self.gridding {
            let finding = footprint.densities + waiting - on_host;
            if finding > limit {
                given_up.push("to fit: densities of gridding are found on the host".to_string());
                // Densities, weights and a cube in double precision.
                on_host += footprint.densities - footprint.sums;
            } else {
                device = device.max(finding);
            }
        }
        let map = last.dimensions.sections(last.box_size) * last.box_size.pow(2);
        let maps = last.classes * self.halves * 4 * map;
        Stage {
            name: format!("maximization, last iteration ({} px)", last.size),
            device,
            host: 4 * maps + on_host,
            disk: maps + TABLE_ROW * self.particles,
            given_up,
        }
    }
}

/// The table in words, for the console.
pub(crate) fn table(stages: &[Stage], limit: usize) -> String {
    let gib = |bytes: usize| format!("{:.2}", bytes as f64 / f64::from(1 << 30));
    let mut text = format!(
        " Memory plan, within {} GiB of device memory (GiB)\n {:<62}{:>8}{:>8}{:>8}\n",
        gib(limit),
        "stage",
        "device",
        "host",
        "disk"
    );
    for stage in stages {
        let _ = writeln!(
            text,
            " {:<62}{:>8}{:>8}{:>8}",
            stage.name,
            gib(stage.device),
            gib(stage.host),
            gib(stage.disk)
        );
        for words in &stage.given_up {
            let _ = writeln!(text, "   {words}");
        }
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::shape::Dimensions;

    const GIB: usize = 1 << 30;

    fn prospect(box_size: usize) -> Prospect {
        let first = Outlook {
            dimensions: Dimensions::Three,
            box_size,
            size: 60,
            coarse_size: 60,
            padding: 2.0,
            more_padding: 0.0,
            classes: 1,
            directions: 768,
            psis: 48,
            own: None,
            shifts: 29,
            oversampling: 1,
            gradient: false,
            subtracts: false,
        };
        let last = Outlook {
            size: box_size,
            coarse_size: box_size,
            directions: 196_608,
            psis: 768,
            own: Some(AUTOMATIC_ORIENTATIONS),
            ..first
        };
        Prospect {
            first,
            last,
            halves: 2,
            particles: 100_000,
            preread: false,
            gridding: false,
        }
    }

    #[test]
    fn gridding_counts_its_cubes_or_goes_to_the_host() {
        let with = |limit| {
            let prospect = Prospect {
                gridding: true,
                ..prospect(256)
            };
            let stages = [prospect.stages(limit), self::prospect(256).stages(limit)];
            stages.map(|mut stages| stages.remove(2))
        };
        let [gridding, division] = with(20 * GIB);
        assert!(gridding.given_up.is_empty());
        assert!(gridding.device > division.device && gridding.host == division.host);
        let [gridding, division] = with(3 * GIB);
        assert_eq!(gridding.device, division.device);
        assert!(gridding.host > division.host);
        assert!(
            gridding
                .given_up
                .iter()
                .any(|words| words.contains("gridding"))
        );
    }

    #[test]
    fn box_512_with_padding_2_fits_a_card_of_24_gib() {
        let limit = 22 * GIB;
        let stages = prospect(512).stages(limit);
        assert!(stages.iter().all(|s| s.device <= limit), "{stages:?}");
        assert!(!stages[2].given_up.is_empty());
        // Nine tenths of what is free of 24 GB, the sums of half 1 waiting on the host during half 2 (16 bytes of 1027 ×
        // 1027 × 514 voxels), and batches of a sensible size nevertheless.
        let stages = prospect(512).stages(21 * GIB);
        assert!(stages.iter().all(|s| s.device <= 21 * GIB), "{stages:?}");
        let words = &stages[1].given_up;
        assert_eq!(words.len(), 1, "{words:?}");
        assert!(words[0].contains("half 1"), "{words:?}");
        assert!(stages[1].host > 16 * 1027 * 1027 * 514);
    }

    #[test]
    fn class_averages_take_little() {
        let flat = |outlook| Outlook {
            dimensions: Dimensions::Two,
            classes: 500,
            directions: 1,
            psis: 32,
            own: None,
            ..outlook
        };
        let solid = prospect(128);
        let stages = Prospect {
            first: flat(solid.first),
            last: flat(solid.last),
            halves: 1,
            ..solid
        }
        .stages(10 * GIB);
        assert!(stages.iter().all(|s| s.device <= 10 * GIB), "{stages:?}");
        assert!(stages.iter().all(|s| s.given_up.is_empty()), "{stages:?}");
        // 16 bytes of 259 × 130 pixels of all sums, while transforms of 256 × 129 pixels become averages, padded and not.
        let average = 2 * 8 * 256 * 129 + 4 * 256 * 256 + 2 * 4 * 128 * 128 + 32 * 65;
        assert_eq!(
            stages[2].device,
            500 * (16 * 259 * 130 + average) + (16 << 10)
        );
    }

    #[test]
    fn nothing_is_given_up_on_a_large_card() {
        let stages = prospect(256).stages(120 * GIB);
        assert!(stages.iter().all(|s| s.given_up.is_empty()), "{stages:?}");
        let text = table(&stages, 120 * GIB);
        assert_eq!(text.lines().count(), 5, "{text}");
    }
}
