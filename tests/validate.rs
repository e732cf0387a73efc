//! Checks before deposition: none is raised on good maps, and each is on a set that was spoilt for it.
//!
//! Half maps are reconstructed from simulated particles with their true poses, so that a test takes seconds.

mod runs;

use gerelion::formats::mrc::write_map;
use gerelion::formats::star::{Document, Table, Value};
use gerelion::formats::volume::read_map;
use gerelion::tools::validate::{Check, Verdict, read_table, table_path};
use ndarray::Array3;
use runs::{golden, succeeded};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Particles of a simulated set.
const PARTICLES: usize = 400;
const BOX: usize = 64;
const PIXEL: f64 = 3.0;

/// Noise and decay of a set whose resolution its pixels do not limit.
const NOISY: &str = "--snr 0.03 --bfactor 150";

fn run(program: &str, folder: &Path, words: &str) -> Output {
    Command::new(program)
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

/// A refinement's files in a folder, made from true poses.
struct Refined(tempfile::TempDir);

impl Refined {
    /// Simulates particles with the options `words` and makes half maps of them, after `spoil` has had its way with the
    /// tables of optics groups and particles.
    fn new(words: &str, spoil: impl Fn(&mut Table, &mut Table)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let set = format!(
            "simulate --preset mini --n {PARTICLES} --box {BOX} --angpix {PIXEL} --sym C1 --o p {words}"
        );
        succeeded(&run(env!("CARGO_BIN_EXE_gerelion"), path, &set));
        let mut document = Document::read(&path.join("p_truth.star")).unwrap();
        let place = |name: &str| document.tables.iter().position(|t| t.name() == name);
        let (optics, particles) = (place("optics").unwrap(), place("particles").unwrap());
        let mut optics_table = document.tables[optics].clone();
        optics_table.add_column("rlnMicrographOriginalPixelSize", Value::Real(PIXEL));
        let mut table = document.tables[particles].clone();
        table.add_column("rlnRandomSubset", Value::Integer(1));
        for row in (1..table.len()).step_by(2) {
            table.set(row, "rlnRandomSubset", Value::Integer(2));
        }
        spoil(&mut optics_table, &mut table);
        document.tables[optics] = optics_table;
        document.tables[particles] = table;
        document.write(&path.join("run_data.star")).unwrap();
        let refined = Self(folder);
        for half in [1, 2] {
            let map = refined.half(half);
            let words = format!(
                "--i run_data.star --ctf --subset {half} --o {}",
                map.display()
            );
            succeeded(&run(
                env!("CARGO_BIN_EXE_relion_reconstruct"),
                refined.0.path(),
                &words,
            ));
        }
        refined
    }

    fn half(&self, half: usize) -> PathBuf {
        self.0
            .path()
            .join(format!("run_half{half}_class001_unfil.mrc"))
    }

    /// Changes both half maps; the function is given 1 or 2.
    fn change(&self, how: impl Fn(usize, Array3<f32>) -> Array3<f32>) {
        for half in [1, 2] {
            let map = read_map(&self.half(half)).unwrap().data;
            write_map(&self.half(half), how(half, map).view(), PIXEL).unwrap();
        }
    }

    /// Validates, and returns the exit status with the checks.
    fn validated(&self, words: &str) -> (i32, Vec<Check>) {
        validated(&self.0.path().join("run"), words)
    }
}

fn validated(prefix: &Path, words: &str) -> (i32, Vec<Check>) {
    let prefix = prefix.to_string_lossy();
    let folder = Path::new(&*prefix).parent().unwrap();
    let output = run(
        env!("CARGO_BIN_EXE_gerelion"),
        folder,
        &format!("validate {prefix} {words}"),
    );
    let checks = read_table(&table_path(&prefix)).unwrap_or_else(|e| panic!("{e} {output:?}"));
    // The terminal shows what the table keeps.
    let text = String::from_utf8(output.stdout).unwrap();
    for check in &checks {
        assert!(
            text.contains(&check.name) && text.contains(&check.figure),
            "{text}"
        );
    }
    let bad = checks.iter().any(|c| c.verdict == Verdict::Bad);
    let status = output.status.code().unwrap();
    assert_eq!(status, if bad { 2 } else { 0 });
    (status, checks)
}

/// Names of the checks with these verdicts.
fn named(checks: &[Check], verdicts: &[Verdict]) -> Vec<String> {
    let of = checks.iter().filter(|c| verdicts.contains(&c.verdict));
    of.map(|c| c.name.clone()).collect()
}

const RAISED: [Verdict; 2] = [Verdict::Look, Verdict::Bad];

fn verdict(checks: &[Check], name: &str) -> Verdict {
    let check = checks.iter().find(|c| c.name == name).expect(name);
    check.verdict
}

fn radius((z, y, x): (usize, usize, usize)) -> f64 {
    let square = |i: usize| (i as f64 - BOX as f64 / 2.0).powi(2);
    (square(z) + square(y) + square(x)).sqrt()
}

/// Parallel helices, seen from everywhere: their FSC differs with the direction by nature, and nothing is raised.
#[test]
fn nothing_is_raised_on_a_good_map() {
    let (status, checks) = Refined::new(NOISY, |_, _| ()).validated("");
    assert_eq!(status, 0);
    assert_eq!(named(&checks, &RAISED), [""; 0], "{checks:#?}");
    // The hand alone cannot be told.
    assert_eq!(named(&checks, &[Verdict::Unknown]), ["hand"]);
}

/// Reference runs. Their pixels are so large that they do limit the resolution: that, and nothing else, is raised.
#[test]
fn reference_runs_are_limited_by_their_pixels_only() {
    for name in ["refine3d_c4", "refine3d_bgal_real"] {
        let Some(reference) = golden(name) else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(&reference).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with("run_it") {
                std::fs::copy(&path, folder.path().join(name)).unwrap();
            }
        }
        let (status, checks) = validated(&folder.path().join("run"), "");
        assert_eq!(status, 0);
        let expected = ["pixels against resolution"];
        assert_eq!(named(&checks, &RAISED), expected, "{name} {checks:#?}");
    }
}

#[test]
fn views_from_one_side_leave_directions_without_data() {
    let set = Refined::new(&format!("{NOISY} --views 1 --view_spread 8"), |_, _| ());
    let (status, checks) = set.validated("");
    assert_eq!(status, 2);
    assert_eq!(verdict(&checks, "orientation coverage"), Verdict::Bad);
    assert_eq!(
        verdict(&checks, "3D FSC is isotropic"),
        Verdict::Bad,
        "{checks:#?}"
    );
}

/// Half of the images of each half-set are in the other one too.
#[test]
fn images_in_both_half_sets_correlate_the_noise() {
    let set = Refined::new(NOISY, |_, table| {
        let half = PARTICLES / 2;
        let order: Vec<usize> = (0..PARTICLES).chain(0..half).collect();
        table.reorder(&order);
        for row in PARTICLES..PARTICLES + half {
            let of_first = table.integer(row, "rlnRandomSubset").unwrap();
            table.set(row, "rlnRandomSubset", Value::Integer(3 - of_first));
        }
    });
    let (_, checks) = set.validated("");
    assert_eq!(verdict(&checks, "images are there once"), Verdict::Bad);
    assert_eq!(
        verdict(&checks, "half maps are independent"),
        Verdict::Bad,
        "{checks:#?}"
    );
}

/// The second of each pair of particles was picked where the first was.
#[test]
fn particles_picked_twice() {
    let set = Refined::new(NOISY, |_, table| {
        for row in (1..PARTICLES).step_by(2) {
            for label in [
                "rlnCoordinateX",
                "rlnCoordinateY",
                "rlnOriginXAngst",
                "rlnOriginYAngst",
            ] {
                let value = table.real(row - 1, label).unwrap();
                table.set(row, label, Value::Real(value));
            }
        }
    });
    let (_, checks) = set.validated("");
    assert_eq!(verdict(&checks, "particles are picked once"), Verdict::Bad);
    assert_eq!(verdict(&checks, "images are there once"), Verdict::Good);
}

#[test]
fn pixel_sizes_that_disagree() {
    let set = Refined::new(NOISY, |_, _| ());
    let data = set.0.path().join("run_data.star");
    let mut document = Document::read(&data).unwrap();
    let optics = document
        .tables
        .iter_mut()
        .find(|t| t.name() == "optics")
        .unwrap();
    optics.set(0, "rlnImagePixelSize", Value::Real(1.03 * PIXEL));
    document.write(&data).unwrap();
    let (_, checks) = set.validated("");
    assert_eq!(named(&checks, &RAISED), ["pixel size"], "{checks:#?}");
}

/// A filter that leaves a shell of the same noise in both half maps.
#[test]
fn a_correlation_that_rises_again() {
    let set = Refined::new(NOISY, |_, _| ());
    set.change(|_, map| {
        let wave = |(z, y, x): (usize, usize, usize)| {
            // 24 of 64 shells, along many directions of the xy-plane.
            let turn = |k: usize| {
                let angle = k as f64 * std::f64::consts::PI / 37.0;
                let along = x as f64 * angle.cos() + y as f64 * angle.sin() + 0.1 * z as f64;
                (std::f64::consts::TAU * 24.0 / BOX as f64 * along + k as f64).cos()
            };
            (0..37).map(turn).sum::<f64>()
        };
        let scale = map.iter().map(|v| v.abs()).sum::<f32>() / map.len() as f32;
        Array3::from_shape_fn(map.dim(), |at| map[at] + 0.5 * scale * wave(at) as f32)
    });
    let (_, checks) = set.validated("");
    assert_eq!(
        verdict(&checks, "FSC falls and stays low"),
        Verdict::Bad,
        "{checks:#?}"
    );
}

/// A hard ball around the middle of the structure.
#[test]
fn a_mask_that_cuts() {
    let set = Refined::new(NOISY, |_, _| ());
    let mask = Array3::from_shape_fn((BOX, BOX, BOX), |at| f32::from(u8::from(radius(at) < 7.0)));
    write_map(&set.0.path().join("mask.mrc"), mask.view(), PIXEL).unwrap();
    let (_, checks) = set.validated("--mask mask.mrc");
    assert_eq!(
        verdict(&checks, "mask keeps the structure"),
        Verdict::Bad,
        "{checks:#?}"
    );
}

/// Without noise the pixels are all that limits the resolution, and what the half maps share outside the mask is no shared noise.
#[test]
fn maps_without_noise_are_limited_by_their_pixels_only() {
    let (_, checks) = Refined::new("--snr inf --bfactor 0", |_, _| ()).validated("");
    let expected = ["pixels against resolution"];
    assert_eq!(named(&checks, &RAISED), expected, "{checks:#?}");
    let independent = verdict(&checks, "half maps are independent");
    assert_eq!(independent, Verdict::Unknown, "{checks:#?}");
}

/// A mask of single voxels within the particle: its sharp edges bring the low frequencies, which the half maps share, to all shells, and
/// so it makes them correlate by itself.
#[test]
fn a_mask_of_single_voxels() {
    let set = Refined::new("--snr 1 --bfactor 200", |_, _| ());
    let mask = Array3::from_shape_fn((BOX, BOX, BOX), |at| {
        let index = (at.0 * BOX + at.1) * BOX + at.2;
        let is_taken = gpu::random::uniform(1, index as u64) < 0.3;
        f32::from(u8::from(is_taken && radius(at) < 14.0))
    });
    write_map(&set.0.path().join("mask.mrc"), mask.view(), PIXEL).unwrap();
    let (_, checks) = set.validated("--mask mask.mrc");
    let name = "phase-randomised FSC";
    assert!(RAISED.contains(&verdict(&checks, name)), "{checks:#?}");
}

/// A core that is as good as before, in a shell of weak noise that the mask takes in: the core alone makes the FSC.
#[test]
fn a_resolution_that_most_of_the_map_does_not_have() {
    let set = Refined::new("--snr 1 --bfactor 60", |_, _| ());
    let core = 5.0;
    set.change(|half, map| {
        let strength = 0.02 * map.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        Array3::from_shape_fn(map.dim(), |at| match radius(at) < core {
            true => map[at],
            false => {
                let index = (at.0 * BOX + at.1) * BOX + at.2;
                let noise = gpu::random::uniform(half as u64, index as u64) - 0.5;
                strength * noise as f32
            }
        })
    });
    let mask = Array3::from_shape_fn((BOX, BOX, BOX), |at| {
        (4.0 - radius(at) / 5.0).clamp(0.0, 1.0) as f32
    });
    write_map(&set.0.path().join("mask.mrc"), mask.view(), PIXEL).unwrap();
    let (_, checks) = set.validated("--mask mask.mrc");
    assert_eq!(
        verdict(&checks, "local resolution"),
        Verdict::Bad,
        "{checks:#?}"
    );
}

#[test]
fn the_report_shows_the_checks() {
    let Some(reference) = golden("refine3d_c4") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&reference).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let prefix = folder.path().join("run");
    let (_, checks) = validated(&prefix, "");
    let words = format!("report {}", prefix.display());
    succeeded(&run(env!("CARGO_BIN_EXE_gerelion"), folder.path(), &words));
    let page = std::fs::read_to_string(folder.path().join("run_report.html")).unwrap();
    assert!(page.contains("<h2>Before deposition</h2>"));
    for check in checks {
        assert!(page.contains(&format!(
            "<td>{}</td><td>{}</td>",
            check.name,
            check.verdict.word()
        )));
    }
}
