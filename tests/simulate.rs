//! Simulated sets: what the files hold, what the numbers mean, and that an independent simulator agrees.

use gerelion::dataset::{ImageStore, ParticleSet, ReadOptions};
use gerelion::formats::atoms::{self, Atom};
use gerelion::formats::mrc::StackReader;
use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use gerelion::geometry::symmetry::PointGroup;
use gerelion::tools::fsc::compare_maps;
use gerelion::tools::simulate::{
    self, Preset, Simulation, SimulationSettings, TrueParticle, micrograph::Defocus,
    phantom::helix_bundle,
};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn settings() -> SimulationSettings {
    SimulationSettings {
        particles: 24,
        box_size: 32,
        pixel_size: 8.0,
        particles_per_micrograph: 10,
        ..Preset::Mini.settings()
    }
}

fn models(settings: &SimulationSettings) -> Vec<Vec<Atom>> {
    let group = PointGroup::parse(&settings.symmetry).unwrap();
    vec![helix_bundle(&settings.phantom, &group)]
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|x| f64::from(*x)).sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x) - ma, f64::from(*y) - mb);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    ab / (aa * bb).sqrt()
}

fn gerelion(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

#[test]
fn the_command_writes_a_set_that_can_be_refined() {
    let folder = tempfile::tempdir().unwrap();
    let out = gerelion(
        folder.path(),
        "simulate --o set/two --K 2 --n 24 --box 32 --angpix 8 --per_mic 10 --f16",
    );
    assert!(out.status.success(), "{out:?}");
    let file = |name: &str| folder.path().join("set").join(name);
    let mut set = ParticleSet::read(
        &file("two.star"),
        &ReadOptions {
            need_ctf: true,
            ..Default::default()
        },
    )
    .unwrap();
    assert_eq!((set.particles.len(), set.scale_groups.len()), (24, 3));
    assert_eq!(
        (set.optics[0].box_size, set.optics[0].pixel_size),
        (32, 8.0)
    );
    for stack in &mut set.stacks {
        *stack = folder.path().join(&*stack).to_string_lossy().into_owned();
    }
    let images = ImageStore::open(&set, false).unwrap();
    let mut image = vec![0.0; 32 * 32];
    images.read_into(&set, 23, &mut image).unwrap();
    let truth = Document::read(&file("two_truth.star")).unwrap();
    let truth = truth.require("particles").unwrap();
    let classes: Vec<i64> = (0..24)
        .map(|row| truth.integer(row, "rlnClassNumber").unwrap())
        .collect();
    assert!(classes.contains(&1) && classes.contains(&2));
    for map in ["two_truth1.mrc", "two_truth2.mrc"] {
        assert_eq!(read_map(&file(map)).unwrap().pixel_size, Some(8.0), "{map}");
    }
}

/// Contaminants and empty images have classes of their own, particles a view; a set without them is what it was.
#[test]
fn contaminants_empty_images_and_views_are_in_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let out = gerelion(
        folder.path(),
        "simulate --o set --n 200 --box 32 --angpix 8 --views 4 --view_spread 6 --contaminants 0.2 --empty 0.1",
    );
    assert!(out.status.success(), "{out:?}");
    let truth = Document::read(&folder.path().join("set_truth.star")).unwrap();
    let truth = truth.require("particles").unwrap();
    let mut counts = [0; 4];
    let mut views = [0; 5];
    for row in 0..200 {
        let class = truth.integer(row, "rlnClassNumber").unwrap() as usize;
        let view = truth.integer(row, "gerelionView").unwrap() as usize;
        assert_eq!(view > 0, class == 1, "a view for particles alone");
        counts[class] += 1;
        views[view] += 1;
    }
    assert!(
        counts[1] > 110 && counts[2] > 20 && counts[3] > 5,
        "{counts:?}"
    );
    assert!(views[1..].iter().all(|n| *n > 15), "{views:?}");
    assert!(folder.path().join("set_truth2.mrc").exists());
    assert!(!folder.path().join("set_truth3.mrc").exists());

    // Of what an empty image shows nothing is left without noise, and nothing else of the set has moved.
    let mut s = SimulationSettings {
        snr: f64::INFINITY,
        empty: 0.3,
        ..settings()
    };
    let models = models(&s);
    let with = s.clone();
    let with = Simulation::new(&with, &models).unwrap();
    s.empty = 0.0;
    let without = Simulation::new(&s, &models).unwrap();
    let mut empty = 0;
    for i in 0..s.particles {
        let (a, b) = (with.particle(i), without.particle(i));
        assert_eq!(
            (a.angles, a.shift, a.defocus),
            (b.angles, b.shift, b.defocus)
        );
        let image = with.render(i, &a).unwrap();
        assert_eq!(image.iter().all(|v| *v == 0.0), a.class == 2, "image {i}");
        empty += usize::from(a.class == 2);
    }
    assert!((2..14).contains(&empty), "{empty}");
}

#[test]
fn sets_do_not_depend_on_threads_and_longer_ones_begin_with_shorter_ones() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("a", "--n 40 --j 1"),
        ("b", "--n 40 --j 3"),
        ("c", "--n 50 --j 2"),
    ] {
        let out = gerelion(
            folder.path(),
            &format!("simulate --o {name} --box 32 --angpix 8 {options}"),
        );
        assert!(out.status.success(), "{out:?}");
    }
    let images = |name: &str| {
        let stack = StackReader::open(&folder.path().join(name).with_extension("mrcs")).unwrap();
        let mut all = vec![0.0; 40 * 32 * 32];
        for (slice, image) in all.chunks_exact_mut(32 * 32).enumerate() {
            stack.read_into(slice, image).unwrap();
        }
        all
    };
    assert_eq!(images("a"), images("b"));
    assert_eq!(images("a"), images("c"));
}

#[test]
fn wrong_settings_are_explained_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (words, reason) in [
        ("--n 0", "between 1 and 10000000 images"),
        ("--box 33", "even boxes"),
        ("--snr -1", "signal-to-noise"),
        ("--diameter 900", "does not fit the box"),
        ("--sym Q7", "Q7"),
        ("--defocus 30000 10000", "smaller number first"),
        ("--contaminants 0.7 --empty 0.4", "so must their sum"),
        ("--views 2000", "at most 1000"),
        ("--view_spread 120 --views 3", "must be 0 to 90"),
        ("--model absent.pdb", "absent.pdb"),
        ("--ctf_table absent.csv", "absent.csv"),
    ] {
        let out = gerelion(folder.path(), &format!("simulate --o x {words}"));
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(
            !out.status.success() && text.contains(reason),
            "{words}: {text}"
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn background_is_normalised_and_signal_has_the_wanted_power() {
    let s = SimulationSettings {
        snr: 0.5,
        ..settings()
    };
    let models = models(&s);
    let noisy = Simulation::new(&s, &models).unwrap();
    let silent = SimulationSettings {
        snr: f64::INFINITY,
        ..s.clone()
    };
    let clean = Simulation::new(&silent, &models).unwrap();
    let half = (s.box_size / 2) as f64;
    let inside = |i: usize| {
        let (x, y) = (
            (i % s.box_size) as f64 - half,
            (i / s.box_size) as f64 - half,
        );
        x.hypot(y) * s.pixel_size < 0.5 * s.diameter
    };
    let variance = |image: &[f32], wanted: bool| {
        let values: Vec<f64> = (0..image.len())
            .filter(|&i| inside(i) == wanted)
            .map(|i| f64::from(image[i]))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64
    };
    let mut ratio = 0.0;
    for i in 0..s.particles {
        let truth = noisy.particle(i);
        let image = noisy.render(i, &truth).unwrap();
        assert!((variance(&image, false) - 1.0).abs() < 1e-4);
        ratio += variance(&clean.render(i, &truth).unwrap(), true) / noisy.noise_sigma().powi(2);
    }
    ratio /= s.particles as f64;
    assert!((0.3..0.8).contains(&ratio), "signal to noise {ratio}");
}

#[test]
fn noise_only_sets_hold_no_trace_of_the_particle() {
    let s = SimulationSettings {
        snr: 0.0,
        ..settings()
    };
    let models = models(&s);
    let noise = Simulation::new(&s, &models).unwrap();
    let silent = SimulationSettings {
        snr: f64::INFINITY,
        ..s.clone()
    };
    let clean = Simulation::new(&silent, &models).unwrap();
    let mean = (0..s.particles)
        .map(|i| {
            let truth = noise.particle(i);
            correlation(
                &noise.render(i, &truth).unwrap(),
                &clean.render(i, &truth).unwrap(),
            )
        })
        .sum::<f64>()
        / s.particles as f64;
    assert!(mean.abs() < 0.05, "mean correlation {mean}");
}

#[test]
fn unreasonable_output_folders_are_errors() {
    let s = settings();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = simulate::run(&s, &models(&s), &file.join("x"), |_| {}).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}

/// The reference set was made by another program from a deposited model: with its poses our noise-free images must be
/// what its noisy ones (signal to noise 0.05, so a correlation near 0.2) contain, and not with any sign turned round.
#[test]
fn an_independent_simulator_agrees() {
    let (Some(models), Some(input)) = (
        material::shared("data/trpv1"),
        material::shared("golden/input"),
    ) else {
        return;
    };
    let mut atoms = atoms::read_atoms(&models.join("3j5p_c4.pdb")).unwrap();
    atoms::centre(&mut atoms);
    let s = SimulationSettings {
        snr: f64::INFINITY,
        diameter: 160.0,
        ..Preset::Mini.settings()
    };
    let map = simulate::truth_map(&atoms, s.box_size, s.pixel_size, s.b_factor);
    let theirs = read_map(&input.join("trpv1_mini_truth1.mrc")).unwrap();
    let fsc = compare_maps(&map, &theirs.data.mapv(f64::from), None, s.pixel_size)
        .unwrap()
        .curve;
    // theirs is splatted on the final grid, which folds some power back near Nyquist
    assert!(fsc[1..24].iter().all(|c| *c > 0.99), "{fsc:?}");

    let models = [atoms];
    let simulation = Simulation::new(&s, &models).unwrap();
    let document = Document::read(&input.join("trpv1_mini_truth.star")).unwrap();
    let table = document.require("particles").unwrap();
    let stack = StackReader::open(&input.join("trpv1_mini.mrcs")).unwrap();
    let mut image = vec![0.0; s.box_size * s.box_size];
    let [mut right, mut shift_turned, mut mirrored, mut defocus_wrong] = [0.0; 4];
    const IMAGES: usize = 200;
    for row in 0..IMAGES {
        let real = |label: &str| table.real(row, label).unwrap();
        let truth = TrueParticle {
            micrograph: 0,
            defocus: Defocus {
                u: real("rlnDefocusU"),
                v: real("rlnDefocusV"),
                angle: real("rlnDefocusAngle"),
            },
            coordinates: [0.0; 2],
            angles: ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"].map(real),
            shift: ["rlnOriginXAngst", "rlnOriginYAngst"].map(|l| -real(l) / s.pixel_size),
            class: 0,
            view: None,
        };
        stack.read_into(row, &mut image).unwrap();
        let with = |truth: TrueParticle| {
            correlation(&image, &simulation.render(row, &truth).unwrap()) / IMAGES as f64
        };
        right += with(truth);
        shift_turned += with(TrueParticle {
            shift: truth.shift.map(|v| -v),
            ..truth
        });
        let [rot, tilt, psi] = truth.angles;
        mirrored += with(TrueParticle {
            angles: [rot, tilt, -psi],
            ..truth
        });
        defocus_wrong += with(TrueParticle {
            defocus: Defocus {
                u: truth.defocus.u + 3000.0,
                ..truth.defocus
            },
            ..truth
        });
    }
    assert!(right > 0.15, "mean correlation {right}");
    for (what, other) in [
        ("shift", shift_turned),
        ("psi", mirrored),
        ("defocus", defocus_wrong),
    ] {
        assert!(other < 0.95 * right, "{what}: {other} against {right}");
    }
}

/// A command that takes longer than some seconds says how far it is, and how long the rest will take.
#[test]
fn a_long_simulation_tells_its_progress() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .args("simulate --preset trpv1 --n 100000 --j 1 --o long".split(' '))
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).next();
    running.kill().unwrap();
    running.wait().unwrap();
    let line = line.unwrap();
    let (done, left) = line
        .strip_prefix(" Simulating images: ")
        .and_then(|rest| rest.split_once(" of 100000, about "))
        .unwrap_or_else(|| panic!("{line}"));
    assert!(done.parse::<usize>().unwrap() > 0, "{line}");
    assert!(left.ends_with(" left"), "{line}");
}
