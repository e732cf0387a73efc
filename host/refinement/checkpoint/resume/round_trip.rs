//! Files written, read back and written again; reference runs read and written alike; what is refused.

mod options;
mod refusals;

use crate::dataset::{ParticleSet, ReadOptions};
use crate::geometry::prior::LocalSearch;
use crate::geometry::sampling::Sampling;
use crate::geometry::symmetry::PointGroup;
use crate::model::{ClassModel, Model};
use crate::options::CommandLine;
use crate::refinement::checkpoint::resume::{Resumed, continuation_root, read_optimiser};
use crate::refinement::checkpoint::{IterationFiles, OriginalSampling, write_iteration};
use crate::refinement::schedule::replay::golden;
use crate::refinement::settings::Settings;
use crate::refinement::state::RunState;
use ndarray::Array3;
use std::path::{Path, PathBuf};
use std::process::Command;

const BOX: usize = 8;

fn class(directions: usize, seed: f64) -> ClassModel {
    let shells = BOX / 2 + 1;
    let spectrum = |a: f64| (0..shells).map(|s| a / (s as f64 + seed)).collect();
    ClassModel {
        map: Array3::from_shape_fn([BOX; 3], |(z, y, x)| (z * 64 + y * 8 + x) as f64 * 0.25).into(),
        fraction: 1.0,
        tau2: spectrum(1e-4),
        sigma2: spectrum(3e-7),
        ssnr: spectrum(40.0),
        coverage: vec![1.0; shells],
        fsc: spectrum(1.0),
        orientability: Some(spectrum(0.1)),
        direction_prior: (0..directions).map(|d| 1.0 / (7 + d) as f64).collect(),
        offset_prior: [0.0; 2],
        accuracy_rotations: 2.5,
        accuracy_translations: 1.25,
        moments: None,
    }
}

fn model(directions: usize, seed: f64) -> Model {
    Model {
        box_size: BOX,
        pixel_size: 2.0,
        padding: 2.0,
        tau2_fudge: 1.0,
        classes: vec![class(directions, seed)],
        noise: vec![(0..=BOX / 2).map(|s| 1e-3 / (s as f64 + seed)).collect()],
        scales: vec![0.95, 1.05],
        group_particles: vec![1, 1],
        average_norm: 0.7,
        sigma2_offset: 9.0,
        average_pmax: 0.5,
        log_likelihood: 1.25e6,
        current_resolution: 3.0 / (BOX as f64 * 2.0),
        current_size: 8,
        local_search: Some(LocalSearch {
            sigma_rot: 7.5,
            sigma_tilt: 7.5,
            sigma_psi: 7.5,
        }),
    }
}

/// A small auto-refinement, as it stands after iteration 3.
struct Run {
    folder: tempfile::TempDir,
    settings: Settings,
    state: RunState,
    particles: ParticleSet,
    models: Vec<Model>,
    sampling: Sampling,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("in.star");
        std::fs::write(&table, PARTICLES).unwrap();
        let particles = ParticleSet::read(&table, &ReadOptions::default()).unwrap();
        let symmetry = PointGroup::parse("C2").unwrap();
        let mut sampling = Sampling::new(1, -1.0, symmetry, -91.0, 6.0, 2.0, 0.5);
        sampling.perturbation = 1.0 / 3.0;
        let directions = sampling.directions.len();
        let command = format!(
            "--i in.star --o {} --ref a.mrc --auto_refine --split_random_halves --particle_diameter 12 \
             --sym C2 --low_resol_join_halves 40 --random_seed 11 --norm --scale --pool 3 --j 2 \
             --red_mask red.mrc --yellow_mask yellow.mrc --fsc_mask fsc.mrc --extra_iter 3",
            folder.path().join("run").display()
        );
        Self {
            folder,
            settings: settings(&command),
            state: RunState {
                iteration: 3,
                current_resolution: 3.0 / (BOX as f64 * 2.0),
                current_size: 8,
                fine_enough: true,
                local_searches: true,
                changes_offsets: 0.123_456_789_012,
                smallest_classes: 0,
                iterations_after_convergence: Some(1),
                ..RunState::new(11)
            },
            particles,
            models: vec![model(directions, 1.0), model(directions, 1.5)],
            sampling,
        }
    }

    fn write(&self) -> Result<PathBuf, String> {
        write_iteration(&IterationFiles {
            settings: &self.settings,
            state: &self.state,
            particles: &self.particles,
            models: &self.models,
            sampling: &self.sampling,
            original_sampling: OriginalSampling::of(&self.sampling),
            order_iteration: 1,
            unfiltered: &[],
            unmasked: &[],
        })
        .map_err(|error| error.to_string())
    }
}

fn settings(command: &str) -> Settings {
    let line = CommandLine::parse(command.split_whitespace().map(String::from)).unwrap();
    Settings::from_command_line(&line).unwrap()
}

const PARTICLES: &str = "
# version 50001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnImagePixelSize #3
_rlnImageSize #4
_rlnImageDimensionality #5
_rlnVoltage #6
_rlnSphericalAberration #7
_rlnAmplitudeContrast #8
1 group1 2.0 8 2 300 2.7 0.1

# version 50001

data_particles

loop_
_rlnImageName #1
_rlnMicrographName #2
_rlnOpticsGroup #3
_rlnRandomSubset #4
_rlnDefocusU #5
_rlnDefocusV #6
_rlnDefocusAngle #7
000001@a.mrcs mic1.mrc 1 1 10000 11000 20
000002@a.mrcs mic1.mrc 1 2 10000 11000 20
000003@a.mrcs mic2.mrc 1 1 12000 11000 20
000004@a.mrcs mic2.mrc 1 2 12000 11000 20
";

/// Write a resumed run under another root, keeping the state of its sampling.
fn write_again(run: &Resumed) -> PathBuf {
    write_iteration(&IterationFiles {
        settings: &run.settings,
        state: &run.state,
        particles: &run.particles,
        models: &run.models,
        sampling: &run.sampling,
        original_sampling: run.original_sampling,
        order_iteration: run.order_iteration,
        unfiltered: &[],
        unmasked: &[],
    })
    .unwrap()
}

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

const STAR_FILES: [&str; 5] = [
    "half1_model.star",
    "half2_model.star",
    "sampling.star",
    "data.star",
    "optimiser.star",
];

#[test]
fn our_own_files_bring_everything_back() {
    let run = Run::new();
    let optimiser = run.write().unwrap();
    let mut resumed = read_optimiser(&optimiser).unwrap();
    assert!(resumed.exact);
    assert!(resumed.notices.is_empty(), "{:?}", resumed.notices);
    assert_eq!(resumed.state, run.state);
    assert_eq!(resumed.sampling.perturbation, 1.0 / 3.0);
    assert_eq!(resumed.order_iteration, 1);
    assert_eq!(resumed.particles.particles, run.particles.particles);
    assert_eq!(
        resumed.models[1].classes[0].map,
        run.models[1].classes[0].map
    );
    assert_eq!(resumed.models[0].local_search, run.models[0].local_search);
    assert_eq!(resumed.settings.symmetry, "C2");
    assert_eq!(resumed.settings.regions, run.settings.regions);
    for (ours, theirs) in resumed.models.iter().zip(&run.models) {
        let prior = &theirs.classes[0].direction_prior;
        assert_eq!(&ours.classes[0].direction_prior, prior, "all digits");
    }

    // Written again, every table has the same text.
    resumed.settings.output_root = run.folder.path().join("ran").display().to_string();
    resumed.settings.pool = 3;
    resumed.settings.threads = 2;
    write_again(&resumed);
    for file in STAR_FILES {
        let first = text(run.folder.path().join(format!("run_it003_{file}")));
        let second = text(run.folder.path().join(format!("ran_it003_{file}")));
        assert_eq!(
            second.replace("/ran_", "/run_").replace("/ran\n", "/run\n"),
            first
        );
    }
}

#[test]
fn a_moved_run_is_found_beside_its_optimiser_file() {
    let run = Run::new();
    let optimiser = run.write().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(run.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::rename(&path, elsewhere.path().join(path.file_name().unwrap())).unwrap();
    }
    let moved = elsewhere.path().join(optimiser.file_name().unwrap());
    let resumed = read_optimiser(&moved).unwrap();
    assert_eq!(resumed.state, run.state);
    assert_eq!(resumed.notices.len(), 6, "{:?}", resumed.notices);
}

#[test]
fn a_failure_leaves_no_optimiser_file() {
    let run = Run::new();
    let optimiser = run.write().unwrap();
    assert!(optimiser.is_file());
    // The second time the particle table cannot be put in its place, as after a kill or on a full disk.
    let data = run.folder.path().join("run_it003_data.star");
    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir_all(data.join("occupied")).unwrap();
    let error = run.write().unwrap_err();
    assert!(error.contains("run_it003_data.star"), "{error}");
    assert!(!optimiser.exists(), "it would name files of two runs");

    std::fs::remove_dir_all(&data).unwrap();
    run.write().unwrap();
    let left: Vec<String> = std::fs::read_dir(run.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("run_it003_") && name != "in.star")
        .collect();
    assert!(left.is_empty(), "temporary files remain: {left:?}");
}

#[test]
fn temporary_files_of_a_killed_run_do_no_harm() {
    let run = Run::new();
    for file in STAR_FILES {
        let path = run.folder.path().join(format!("run_it003_{file}.tmp"));
        std::fs::write(path, "\n# version 50001\n\ndata_optimiser_gen").unwrap();
    }
    let optimiser = run.write().unwrap();
    assert_eq!(read_optimiser(&optimiser).unwrap().state, run.state);
}

#[test]
fn starting_points_have_no_statistics_and_an_infinite_resolution() {
    let mut run = Run::new();
    run.state.iteration = 0;
    for model in &mut run.models {
        model.current_resolution = 0.0;
    }
    run.write().unwrap();
    let path = |file: &str| run.folder.path().join(format!("run_it000_{file}"));
    assert!(!text(path("data.star")).contains("rlnMaxValueProbDistribution"));
    let model = text(path("half1_model.star"));
    let line = model.lines().find(|l| l.contains("CurrentResolution"));
    assert!(line.unwrap().ends_with(" inf"), "{line:?}");
}

#[test]
fn a_continued_run_gets_its_own_root() {
    assert_eq!(continuation_root("run", None, 10), "run_ct10");
    assert_eq!(continuation_root("run", Some("run"), 3), "run_ct3");
    assert_eq!(continuation_root("run", Some("new/run"), 3), "new/run");
}

#[test]
fn changed_options_reach_model_and_sampling() {
    let mut run = Run::new();
    run.settings.auto_refine = false;
    let mut resumed = read_optimiser(&run.write().unwrap()).unwrap();
    resumed.settings.healpix_order = Some(2);
    resumed.settings.offset_step = Some(1.5);
    resumed.settings.tau2_fudge = Some(4.0);
    resumed.settings.padding = 1.0;
    resumed.settings.initial_sigma_offset = 5.0;
    resumed.settings.sigma_angles = [3.0, 3.0, 3.0];
    resumed.apply_settings().unwrap();
    assert!(resumed.settings.output_root.ends_with("run_ct3"));
    assert_eq!(resumed.sampling.healpix_order, 2);
    assert_eq!(resumed.sampling.psi_step, 15.0);
    assert_eq!(resumed.sampling.offset_step, 3.0);
    assert_eq!(resumed.sampling.offset_range, 6.0);
    for model in &resumed.models {
        let prior = &model.classes[0].direction_prior;
        assert_eq!(prior.len(), resumed.sampling.directions.len());
        assert!((prior.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!((model.tau2_fudge, model.padding), (4.0, 1.0));
        assert_eq!(model.sigma2_offset, 25.0);
        assert_eq!(model.local_search.unwrap().sigma_tilt, 3.0);
    }
}

#[test]
fn widths_that_the_user_gave_are_told_from_those_of_the_schedule() {
    let mut run = Run::new();
    let widths = |run: &Run| {
        let resumed = read_optimiser(&run.write().unwrap()).unwrap();
        resumed.settings.sigma_angles
    };
    assert_eq!(widths(&run), [-1.0; 3]);
    run.state.local_searches = false;
    assert_eq!(widths(&run), [7.5; 3]);
}

#[test]
fn unchanged_options_leave_the_run_as_it_was() {
    let run = Run::new();
    let mut resumed = read_optimiser(&run.write().unwrap()).unwrap();
    resumed.apply_settings().unwrap();
    assert_eq!(resumed.models[0].sigma2_offset, 9.0);
    assert_eq!(resumed.models[0].local_search, run.models[0].local_search);
    assert_eq!(resumed.sampling.directions, run.sampling.directions);
    assert_eq!(resumed.state, run.state);
}

/// Iterations of reference runs of which the model maps are at hand.
#[test]
fn reference_runs_are_read_and_written_alike() {
    for (name, iteration) in [
        ("refine3d_c4", 10),
        ("refine3d_c4", 14),
        ("class3d_k1_noperturb", 2),
        ("class3d_k2_c4", 10),
    ] {
        let Some(folder) = golden(name) else { return };
        let prefix = format!("run_it{iteration:03}_");
        let file = |suffix: &str| folder.join(format!("{prefix}{suffix}"));
        let mut run = read_optimiser(&file("optimiser.star")).unwrap();
        assert!(!run.exact);
        assert_eq!(run.state.iteration, iteration);
        assert_eq!(run.order_iteration, iteration + 1);
        assert_eq!(run.particles.particles.len(), 2000);
        assert_eq!(run.old_root, format!("{name}/run"));
        assert!(run.notices.iter().any(|n| n.contains("data.star")));
        assert!(run.warnings.is_empty(), "{:?}", run.warnings);

        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("run").display().to_string();
        run.settings.output_root = root.clone();
        run.settings.pool = if name == "class3d_k1_noperturb" || name == "class3d_k2_c4" {
            64
        } else {
            32
        };
        write_again(&run);
        for suffix in STAR_FILES.iter().copied().chain(["model.star"]) {
            let Ok(theirs) = std::fs::read_to_string(file(suffix)) else {
                continue;
            };
            let ours = text(place.path().join(format!("{prefix}{suffix}")));
            let ours: Vec<&str> = ours
                .lines()
                // The mark of our own files.
                .filter(|line| !line.starts_with("# GeRelion file set "))
                .collect();
            let ours = (ours.join("\n") + "\n").replace(&root, &run.old_root);
            if suffix == "optimiser.star" {
                let body = |text: &str| text.lines().skip(2).map(String::from).collect::<Vec<_>>();
                let (ours, theirs) = (body(&ours), body(&theirs));
                assert_eq!(ours[..theirs.len()], theirs, "{name} {suffix}");
            } else if suffix == "sampling.star" {
                // RELION forgets the perturbation when it continues, and starts afresh from the stored grid.
                let forgotten = |line: &&str| {
                    !line.contains("Original") && !line.contains("SamplingPerturbInstance")
                };
                let ours: Vec<&str> = ours.lines().filter(forgotten).collect();
                let theirs: Vec<&str> = theirs.lines().filter(forgotten).collect();
                assert_eq!(ours, theirs, "{name} {suffix}");
            } else {
                let differs = ours.lines().zip(theirs.lines()).find(|(a, b)| a != b);
                assert_eq!(differs, None, "{name} {suffix}");
                assert!(ours.lines().count() >= theirs.lines().count());
            }
        }
    }
}

#[test]
fn incomplete_and_final_reference_sets_are_refused() {
    let Some(folder) = golden("refine3d_c4") else {
        return;
    };
    let error = |file: &str| read_optimiser(&folder.join(file)).unwrap_err().to_string();
    assert!(error("run_optimiser.star").contains("has converged"));
    assert!(error("run_it000_optimiser.star").contains("iteration 0"));
    assert!(error("run_it012_optimiser.star").contains("run_it012_data.star"));
}

/// Python's `starfile` sees RELION's tables and columns in what we write.
#[test]
fn starfile_reads_our_files() {
    if !material::has_python(&["starfile"]) {
        return;
    }
    let run = Run::new();
    run.write().unwrap();
    let script = "
import sys, starfile
root = sys.argv[1]
read = lambda name: starfile.read(root + '_it003_' + name, always_dict=True)
model = read('half2_model.star')
assert list(model) == ['model_general', 'model_classes', 'model_class_1', 'model_groups',
                       'model_optics_group_1', 'model_pdf_orient_class_1',
                       'gerelion_pdf_orient_class_1'], list(model)
assert model['model_general']['rlnNrGroups'] == 2
assert list(model['model_class_1'].columns)[:2] == ['rlnSpectralIndex', 'rlnResolution']
assert len(model['model_class_1']) == 5
optimiser = read('optimiser.star')
assert list(optimiser) == ['optimiser_general', 'gerelion_state', 'gerelion_results'], list(optimiser)
assert optimiser['optimiser_general']['rlnCurrentIteration'] == 3
sampling = read('sampling.star')
assert sampling['sampling_general']['rlnHealpixOrder'] == 1
data = read('data.star')
assert len(data['particles']) == 4
assert 'rlnNrOfSignificantSamples' in data['particles'].columns
";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(run.folder.path().join("run"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
