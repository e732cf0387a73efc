//! A device that turns out to be full in the middle of a batch: fewer particles at once, or single ones on the host; the same
//! sums.

use super::device;
use gerelion::dataset::{ImageStore, ParticleSet};
use gerelion::device::Device;
use gerelion::expectation::cuda::CudaEngine;
use gerelion::expectation::{
    BatchItem, ClassSelection, Criterion, ExpectationEngine, ExpectationError, ExpectationOptions,
    ImageSizes, IterationInput, ParticleOutcome, WeightedSums,
};
use gerelion::fourier::reference::{self, Reference};
use gerelion::geometry::prior::LocalSearch;
use gerelion::geometry::sampling::Sampling;
use gerelion::model::Model;
use gerelion::refinement::checkpoint::resume::{Resumed, read_optimiser};
use std::path::{Path, PathBuf};

/// Particles of the batch.
const PARTICLES: usize = 4;
/// Limits that are tried: nothing, and equal steps from half of what the batch takes to all but one step of it.
const LIMITS: usize = 8;

/// A particle set with model and sampling, from the second iteration of a classification.
pub struct Start {
    pub set: ParticleSet,
    pub model: Model,
    sampling: Sampling,
    references: Vec<Reference>,
    pub options: ExpectationOptions,
    sizes: [ImageSizes; 1],
}

impl Start {
    pub fn new() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixture");
        let optimiser = folder.join("class3d_c4/run_it001_optimiser.star");
        let Resumed {
            particles: mut set,
            mut models,
            sampling,
            ..
        } = read_optimiser(&optimiser).unwrap();
        for stack in &mut set.stacks {
            let name = Path::new(&*stack).file_name().unwrap();
            *stack = folder.join(name).to_string_lossy().into_owned();
        }
        let model = models.swap_remove(0);
        let size = 12;
        let prepared = reference::prepare(&model.classes[0].map, 1.0, size, None);
        Self {
            set,
            sampling,
            references: vec![Reference::Host(prepared.volume)],
            options: ExpectationOptions::new(160.0),
            sizes: [ImageSizes {
                full: size,
                fine: size,
                coarse: 10,
            }],
            model: Model {
                padding: 1.0,
                ..model
            },
        }
    }

    /// Samples around the orientations that particles have.
    pub fn local() -> Self {
        let mut start = Self::new();
        start.model.local_search = Some(LocalSearch {
            sigma_rot: 10.0,
            sigma_tilt: 10.0,
            sigma_psi: 10.0,
        });
        start
    }

    pub fn store(&self) -> ImageStore {
        ImageStore::open(&self.set, false).unwrap()
    }

    /// `count` particles from `first` on.
    pub fn items<'a>(
        &'a self,
        store: &'a ImageStore,
        first: usize,
        count: usize,
    ) -> Vec<BatchItem<'a>> {
        (first..first + count)
            .map(|i| BatchItem {
                particle: &self.set.particles[i],
                position: i,
                image: store.image(&self.set, i).unwrap(),
                name: self.set.image_name(i),
            })
            .collect()
    }

    pub fn input(&self) -> IterationInput<'_> {
        IterationInput {
            options: &self.options,
            model: &self.model,
            references: &self.references,
            optics: &self.set.optics,
            sizes: &self.sizes,
            sampling: &self.sampling,
            criterion: Criterion::Likelihood,
            classes: ClassSelection::All,
            references_ctf_corrected: true,
            priors_from_current: false,
            gradient: false,
            subtraction: None,
        }
    }
}

/// Returns the results of an iteration of one batch, and the bytes that the batch took at most.
struct Outcome {
    outcomes: Vec<ParticleOutcome>,
    sums: WeightedSums,
    took: usize,
    /// Particles that were aligned on the host.
    on_host: usize,
}

/// One iteration whose batch may take `room` bytes besides what the iteration itself has taken.
fn iteration(start: &Start, ordinal: usize, room: usize) -> Outcome {
    try_iteration(start, ordinal, room).unwrap()
}

fn try_iteration(start: &Start, ordinal: usize, room: usize) -> Result<Outcome, ExpectationError> {
    let store = start.store();
    let items = start.items(&store, 0, PARTICLES);
    let input = start.input();
    let mut engine = CudaEngine::new(Device::open(ordinal)?, None)?;
    engine.begin_iteration(&input)?;
    let device = engine.device().unwrap();
    let before = device.peak_memory();
    device.limit_memory(before.saturating_add(room));
    let outcomes = engine.process_batch(&input, &items)?;
    Ok(Outcome {
        outcomes,
        took: device.peak_memory() - before,
        on_host: engine.particles_on_host(),
        sums: engine.take_sums()?,
    })
}

/// Largest difference of two lists relative to the largest value.
pub fn difference(a: &[f64], b: &[f64]) -> f64 {
    let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert!(a.len() == b.len() && scale > 0.0);
    a.iter()
        .zip(b)
        .fold(0.0f64, |m, (x, y)| m.max((x - y).abs() / scale))
}

fn spectra(sums: &WeightedSums) -> [Vec<f64>; 4] {
    [
        sums.class_weight.clone(),
        sums.direction_weight.concat(),
        sums.noise.concat(),
        vec![
            sums.norm,
            sums.sigma2_offset,
            sums.log_likelihood,
            sums.max_probability,
            sums.signal[0],
            sums.signal[1],
        ],
    ]
}

pub fn volume(sums: &WeightedSums) -> Vec<f64> {
    let volume = &sums.backprojections[0];
    volume.read(0..volume.voxels()).unwrap().concat()
}

/// However little memory there is, the sums are those that enough memory gives: a batch that failed half-way must not have
/// left anything in them. Particles that do not fit by themselves are aligned on the host, whose sums differ by the rounding
/// of single precision (`tests/parity` has the bounds).
fn agree_at_every_limit(start: &Start) {
    let Some(device) = device() else { return };
    let ordinal = device.ordinal();
    drop(device);
    let whole = iteration(start, ordinal, 1 << 30);
    assert_eq!((whole.sums.particles, whole.on_host), (PARTICLES, 0));
    let (mut on_host, mut fitted, mut before) = (0, 0, PARTICLES);
    for part in 0..LIMITS {
        let room = match part {
            0 => 0,
            part => whole.took / 2 * (LIMITS + part) / LIMITS,
        };
        let found = iteration(start, ordinal, room);
        let bound = match found.on_host {
            0 => 1e-6,
            _ => 1e-5,
        };
        assert!(
            found.on_host <= before,
            "{room} bytes leave more to the host than less did"
        );
        before = found.on_host;
        match found.on_host {
            0 => fitted += 1,
            _ => on_host += 1,
        }
        assert!(found.took <= room);
        assert_eq!(found.sums.particles, PARTICLES);
        for (a, b) in found.outcomes.iter().zip(&whole.outcomes) {
            let pose = |o: &ParticleOutcome| (o.rot, o.tilt, o.psi, o.origin, o.class);
            assert_eq!(pose(a), pose(b), "{room} bytes");
            assert_eq!(a.significant_samples, b.significant_samples);
        }
        let spectra = spectra(&found.sums).into_iter().zip(spectra(&whole.sums));
        for (i, (a, b)) in spectra.enumerate() {
            let error = difference(&a, &b);
            assert!(error < bound, "{room} bytes: sum {i} is {error:e} off");
        }
        // Rounding of single-precision sums that are added in another order.
        let error = difference(&volume(&found.sums), &volume(&whole.sums));
        assert!(error < bound, "{room} bytes: volumes {error:e} apart");
    }
    println!("{on_host} limits left particles to the host, {fitted} fitted by smaller batches");
    assert!(on_host > 0 && fitted >= LIMITS / 4);
}

#[test]
fn a_full_device_takes_fewer_particles_at_once() {
    agree_at_every_limit(&Start::new());
}

#[test]
fn a_full_device_takes_fewer_particles_at_once_in_local_searches() {
    agree_at_every_limit(&Start::local());
}
