//! Dynamic signal subtraction (`--red_mask`): the fixed part of a particle, whose other part moves, is aligned better without the
//! signal of that part in the comparison.

mod runs;

use gerelion::formats::atoms::Atom;
use gerelion::formats::mrc::write_map;
use gerelion::formats::star::{Document, Value};
use gerelion::formats::volume::read_map;
use gerelion::geometry::symmetry::PointGroup;
use gerelion::tools::simulate::{
    self, Preset, SimulationSettings,
    phantom::{HelixBundle, helix_bundle},
};
use ndarray::Array3;
use runs::succeeded;
use std::path::Path;
use std::process::Command;

const BOX: usize = 32;
const PIXEL: f64 = 6.0;
const DIAMETER: f64 = 180.0;
const PARTICLES: usize = 300;
/// Conformations of the moving part.
const CONFORMATIONS: usize = 9;
/// Centres of the parts along x, and their radii, Å.
const FIXED: (f64, f64) = (-46.0, 30.0);
const MOVING: (f64, f64) = (36.0, 50.0);
/// Noise of the simulation is stronger towards low frequencies, and images are normalised by all of it.
const COLOURED: f32 = 1.3;

/// Atoms of a bundle of helices of this radius whose centre lies at `x`.
fn part((x, radius): (f64, f64), helices: usize) -> Vec<Atom> {
    let shape = HelixBundle {
        diameter: 2.0 * radius,
        helices,
        conformation: 0,
    };
    let mut atoms = helix_bundle(&shape, &PointGroup::c1());
    atoms.iter_mut().for_each(|atom| atom.position[0] += x);
    atoms
}

/// Turns atoms about an axis through the hinge between the parts, that lies in the plane of y and z.
fn turned(atoms: &[Atom], angle: f64, axis: f64) -> Vec<Atom> {
    let (sin, cos) = angle.to_radians().sin_cos();
    let (axis_sin, axis_cos) = axis.to_radians().sin_cos();
    let along = [0.0, axis_cos, axis_sin];
    let turn = |p: [f64; 3]| -> [f64; 3] {
        let dot: f64 = p.iter().zip(along).map(|(a, b)| a * b).sum();
        let cross = [
            along[1] * p[2] - along[2] * p[1],
            along[2] * p[0] - along[0] * p[2],
            along[0] * p[1] - along[1] * p[0],
        ];
        std::array::from_fn(|i| p[i] * cos + cross[i] * sin + along[i] * dot * (1.0 - cos))
    };
    let moved = atoms.iter().map(|atom| Atom {
        position: turn(atom.position),
        weight: atom.weight,
    });
    moved.collect()
}

/// 1 within `radius` Å of (x, 0, 0), 0 from 12 Å beyond.
fn ball((x, radius): (f64, f64)) -> Array3<f32> {
    Array3::from_shape_fn((BOX, BOX, BOX), |at| {
        let place = |i: usize| (i as f64 - (BOX / 2) as f64) * PIXEL;
        let [z, y, own] = [at.0, at.1, at.2].map(place);
        let distance = ((own - x).powi(2) + y * y + z * z).sqrt();
        ((radius + 12.0 - distance) / 12.0).clamp(0.0, 1.0) as f32
    })
}

/// Writes `images.star`, whose poses are the true ones with errors of some degrees, `truth.star`, the maps `fixed.mrc` (the fixed part
/// alone) and `reference.mrc` (the mean of all conformations), and masks of both parts.
fn particles_with_a_moving_part(folder: &Path) {
    let settings = SimulationSettings {
        particles: PARTICLES,
        box_size: BOX,
        pixel_size: PIXEL,
        snr: 2.0,
        shift: 1.0,
        seed: 7,
        diameter: 170.0,
        symmetry: "C1".into(),
        particles_per_micrograph: 20,
        ..Preset::Mini.settings()
    };
    let (fixed, moving) = (part(FIXED, 6), part(MOVING, 40));
    let conformations: Vec<Vec<Atom>> = (0..CONFORMATIONS)
        .map(|k| {
            let angle = 35.0 * (k as f64 / (CONFORMATIONS - 1) as f64 - 0.5) * 2.0;
            let mut atoms = fixed.clone();
            atoms.extend(turned(&moving, angle, 40.0 * k as f64));
            atoms
        })
        .collect();
    let written = simulate::run(&settings, &conformations, &folder.join("set"), |_| {}).unwrap();
    let grey = 1.0 / (COLOURED * written.noise_sigma as f32);
    let map = |file: &str| read_map(&folder.join(file)).unwrap().data;
    let mut mean = Array3::<f32>::zeros((BOX, BOX, BOX));
    for k in 1..=CONFORMATIONS {
        mean += &map(&format!("set_truth{k}.mrc"));
    }
    mean *= grey / CONFORMATIONS as f32;
    write_map(&folder.join("reference.mrc"), mean.view(), PIXEL).unwrap();
    let alone = SimulationSettings {
        particles: 1,
        ..settings
    };
    simulate::run(&alone, &[fixed], &folder.join("alone"), |_| {}).unwrap();
    let fixed = map("alone_truth1.mrc") * grey;
    write_map(&folder.join("fixed.mrc"), fixed.view(), PIXEL).unwrap();
    let red = ball(FIXED);
    // The other part swings far: all that is not the fixed one.
    let yellow = red.mapv(|v| 1.0 - v);
    write_map(&folder.join("red.mrc"), red.view(), PIXEL).unwrap();
    write_map(&folder.join("yellow.mrc"), yellow.view(), PIXEL).unwrap();
    let moving_mean = mean * &yellow;
    write_map(&folder.join("moving.mrc"), moving_mean.view(), PIXEL).unwrap();

    std::fs::rename(folder.join("set_truth.star"), folder.join("truth.star")).unwrap();
    let mut document = Document::read(&folder.join("truth.star")).unwrap();
    let particles = &mut document.tables[1];
    for row in 0..particles.len() {
        for (i, label) in ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
            .iter()
            .enumerate()
        {
            let angle = particles.real(row, label).unwrap();
            // Between −3.6° and 3.6°, without a pattern.
            let error = 0.6 * (((row * 7919 + i * 104_729) % 1201) as f64 / 100.0 - 6.0);
            particles.set(row, label, Value::from(angle + error));
        }
        particles.set(row, "rlnClassNumber", Value::from(1i64));
        let image = format!("{:06}@set.mrcs", row + 1);
        particles.set(row, "rlnImageName", Value::from(image));
    }
    document.write(&folder.join("images.star")).unwrap();
}

fn refine(folder: &Path, words: &str) -> String {
    let common = format!(
        "--ctf --zero_mask --flatten_solvent --j 2 --random_seed 3 --particle_diameter {DIAMETER}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words.split_whitespace())
        .args(common.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    succeeded(&output);
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Mean over all shells of the FSC of the fixed part of a map and of the truth.
fn fixed_part(folder: &Path, map: &str) -> f64 {
    let [map, truth, mask] = [map, "fixed.mrc", "red.mrc"]
        .map(|file| read_map(&folder.join(file)).unwrap().data.mapv(f64::from));
    let curve = gerelion::maximization::map_fsc::map_fsc(&(map * &mask), &(truth * &mask)).unwrap();
    let curve = &curve[1..];
    curve.iter().sum::<f64>() / curve.len() as f64
}

/// Median of the angles (degrees) by which orientations differ from the true ones.
fn orientation_error(folder: &Path, file: &str) -> f64 {
    use gerelion::geometry::euler::matrix;
    let read = |file: &str| {
        let document = Document::read(&folder.join(file)).unwrap();
        let table = document.require("particles").unwrap();
        let names: Vec<usize> = table
            .texts("rlnImageName")
            .unwrap()
            .map(|name| name.split_once('@').unwrap().0.parse().unwrap())
            .collect();
        let [rot, tilt, psi] = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
            .map(|label| table.real_column(label).unwrap());
        let mut rows: Vec<(usize, [[f64; 3]; 3])> = (0..names.len())
            .map(|i| (names[i], matrix(rot[i], tilt[i], psi[i])))
            .collect();
        rows.sort_by_key(|row| row.0);
        rows
    };
    let mut angles: Vec<f64> = read("truth.star")
        .iter()
        .zip(&read(file))
        .map(|((a, truth), (b, found))| {
            assert_eq!(a, b);
            let trace: f64 = truth
                .iter()
                .flatten()
                .zip(found.iter().flatten())
                .map(|(a, b)| a * b)
                .sum();
            ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees()
        })
        .collect();
    angles.sort_by(f64::total_cmp);
    angles[angles.len() / 2]
}

const SEARCH: &str = "--i images.star --ref reference.mrc --ini_high 13 --healpix_order 3 --sigma_ang 3 --offset_range 1 \
                      --offset_step 0.5 --perturb 0 --tau2_fudge 8";

#[test]
fn the_fixed_part_is_aligned_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    particles_with_a_moving_part(folder);
    let common = format!("{SEARCH} --iter 8");
    refine(folder, &format!("{common} --o plain"));
    let masks = "--red_mask red.mrc --yellow_mask yellow.mrc";
    refine(folder, &format!("{common} {masks} --o subtracted"));
    refine(
        folder,
        &format!("{common} --red_mask red.mrc --yellow_map moving.mrc --o fixed_map"),
    );
    let figures = |root: &str| {
        (
            fixed_part(folder, &format!("{root}_it008_class001.mrc")),
            orientation_error(folder, &format!("{root}_it008_data.star")),
        )
    };
    let [plain, subtracted, fixed_map] = ["plain", "subtracted", "fixed_map"].map(figures);
    println!(
        "FSC of the fixed part to the truth, mean to Nyquist, and median error of the orientations: {plain:?} without subtraction, \
         {subtracted:?} with --yellow_mask, {fixed_map:?} with --yellow_map; at the start {:?}",
        orientation_error(folder, "images.star")
    );
    assert!(subtracted.0 > plain.0 + 0.03, "{subtracted:?} {plain:?}");
    assert!(subtracted.1 < 0.8 * plain.1, "{subtracted:?} {plain:?}");
    assert!(fixed_map.0 > plain.0 + 0.03, "{fixed_map:?} {plain:?}");
    assert!(fixed_map.1 < 0.8 * plain.1, "{fixed_map:?} {plain:?}");
    // The moving part is still in the map.
    let map = read_map(&folder.join("subtracted_it008_class001.mrc"))
        .unwrap()
        .data;
    let yellow = read_map(&folder.join("yellow.mrc")).unwrap().data;
    let inside = |map: &Array3<f32>| (map * &yellow).mapv(|v| v * v).sum();
    let reference = read_map(&folder.join("reference.mrc")).unwrap().data;
    assert!(inside(&map) > 0.3 * inside(&reference));
}

/// A continued run takes its regions from the optimiser file.
#[test]
fn a_continued_run_still_subtracts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    particles_with_a_moving_part(folder);
    let masks = "--red_mask red.mrc --yellow_mask yellow.mrc";
    let whole = refine(folder, &format!("{SEARCH} {masks} --iter 2 --o whole"));
    assert!(
        whole.contains("without the signal of the unwanted region"),
        "{whole}"
    );
    refine(
        folder,
        "--continue whole_it001_optimiser.star --iter 2 --o part",
    );
    let poses = |root: &str| {
        let document = Document::read(&folder.join(format!("{root}_it002_data.star"))).unwrap();
        let table = document.require("particles").unwrap();
        table.real_column("rlnAngleRot").unwrap()
    };
    let (whole, part) = (poses("whole"), poses("part"));
    let same = whole
        .iter()
        .zip(&part)
        .filter(|(a, b)| (*a - *b).abs() < 0.01);
    assert!(same.count() >= PARTICLES - 2);
}
