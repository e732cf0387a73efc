//! One batch of simulated images through the CPU engine, and its matrix product by itself.

use criterion::{Criterion, criterion_group, criterion_main};
use gerelion::dataset::{CtfFields, OpticsGroup, Particle};
use gerelion::expectation::cpu::{CpuEngine, product};
use gerelion::expectation::{
    BatchItem, ClassSelection, Criterion as Comparison, ExpectationEngine, ExpectationOptions,
    ImageSizes, IterationInput,
};
use gerelion::fourier::reference::{self, Reference};
use gerelion::geometry::{sampling::Sampling, symmetry::PointGroup};
use gerelion::model::{ClassModel, Model};
use gerelion::tools::simulate::{
    Preset, Simulation, SimulationSettings, phantom::helix_bundle, truth_map,
};
use std::hint::black_box;
use std::time::Duration;

const BOX: usize = 32;
const IMAGES: usize = 16;
const CURRENT_SIZE: usize = 24;

fn settings() -> SimulationSettings {
    SimulationSettings {
        box_size: BOX,
        pixel_size: 8.0,
        particles: IMAGES,
        ..Preset::Mini.settings()
    }
}

fn optics(s: &SimulationSettings) -> OpticsGroup {
    OpticsGroup {
        voltage: Some(s.voltage),
        spherical_aberration: Some(s.spherical_aberration),
        amplitude_contrast: Some(s.amplitude_contrast),
        ..OpticsGroup::new(s.pixel_size, s.box_size)
    }
}

fn model(s: &SimulationSettings, map: ndarray::Array3<f64>, directions: usize) -> Model {
    let shells = BOX / 2 + 1;
    Model {
        box_size: BOX,
        pixel_size: s.pixel_size,
        padding: 2.0,
        tau2_fudge: 1.0,
        classes: vec![ClassModel {
            map: map.into(),
            fraction: 1.0,
            tau2: vec![1.0; shells],
            sigma2: vec![1.0; shells],
            ssnr: vec![1.0; shells],
            coverage: vec![1.0; shells],
            fsc: vec![1.0; shells],
            orientability: None,
            direction_prior: vec![1.0 / directions as f64; directions],
            offset_prior: [0.0; 2],
            accuracy_rotations: 0.0,
            accuracy_translations: 0.0,
            moments: None,
        }],
        // white noise of standard deviation 1: half its power per Fourier component
        noise: vec![vec![0.5 / (BOX * BOX) as f64; shells]],
        scales: vec![1.0],
        group_particles: vec![IMAGES],
        average_norm: 1.0,
        sigma2_offset: 100.0,
        average_pmax: 0.5,
        log_likelihood: 0.0,
        current_resolution: 1.0 / 30.0,
        current_size: CURRENT_SIZE,
        local_search: None,
    }
}

fn expectation(c: &mut Criterion) {
    let s = settings();
    let group = PointGroup::parse(&s.symmetry).expect("a point group of the presets");
    let atoms = vec![helix_bundle(&s.phantom, &group)];
    let simulation = Simulation::new(&s, &atoms).expect("settings of a preset");
    let sampling = Sampling::new(1, -1.0, group, -91.0, 24.0, 8.0, 0.0);
    // images are normalised to noise 1: so is the map
    let scale = 1.0 / simulation.noise_sigma();
    let map = truth_map(&atoms[0], BOX, s.pixel_size, s.b_factor) * scale;
    let model = model(&s, map, sampling.directions.len());
    let prepared = reference::prepare(&model.classes[0].map, 2.0, CURRENT_SIZE, None);
    let references = [Reference::Host(prepared.volume)];
    let (optics, options) = ([optics(&s)], ExpectationOptions::new(s.diameter));
    let sizes = [ImageSizes {
        full: CURRENT_SIZE,
        fine: CURRENT_SIZE,
        coarse: 16,
    }];
    let input = IterationInput {
        options: &options,
        model: &model,
        references: &references,
        optics: &optics,
        sizes: &sizes,
        sampling: &sampling,
        criterion: Comparison::Likelihood,
        classes: ClassSelection::All,
        references_ctf_corrected: true,
        priors_from_current: false,
        gradient: false,
        subtraction: None,
    };
    let particles: Vec<Particle> = (0..IMAGES).map(|i| particle(i, &simulation)).collect();
    let batch: Vec<BatchItem> = particles
        .iter()
        .enumerate()
        .map(|(i, particle)| BatchItem {
            particle,
            position: i,
            image: simulation
                .render(i, &simulation.particle(i))
                .expect("a valid CTF")
                .into(),
            name: format!("{:06}@simulated.mrcs", i + 1),
        })
        .collect();
    c.bench_function(
        "expectation of 16 images, 32², global search of order 1",
        |b| {
            b.iter(|| {
                let mut engine = CpuEngine::new();
                engine.begin_iteration(&input).expect("consistent input");
                engine
                    .process_batch(&input, black_box(&batch))
                    .expect("comparable images")
            })
        },
    );
}

fn particle(index: usize, simulation: &Simulation) -> Particle {
    let truth = simulation.particle(index);
    let new = Particle::new(index);
    Particle {
        slice: index,
        ctf: CtfFields {
            defocus_u: truth.defocus.u,
            defocus_v: truth.defocus.v,
            defocus_angle: truth.defocus.angle,
            ..new.ctf
        },
        ..new
    }
}

fn matrix_product(c: &mut Criterion) {
    let k = product::padded(700);
    let fill = |rows: usize| -> Vec<f32> { (0..rows * k).map(|i| (i % 13) as f32 - 6.0).collect() };
    let (left, right) = (fill(256), fill(512));
    let mut out = vec![0.0; 256 * 512];
    c.bench_function("product of 256 × 704 and 704 × 512 floats", |b| {
        b.iter(|| product::matrix_product(black_box(&left), black_box(&right), k, &mut out))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    targets = expectation, matrix_product
}
criterion_main!(benches);
