//! Local symmetry (`--local_symmetry`): the map of a particle with three equal subunits, which no point group relates, comes nearer
//! to the truth when they are averaged, and not when the operators are those of the way back (spec 06 §2).

mod runs;

use gerelion::formats::atoms::Atom;
use gerelion::formats::mrc::write_map;
use gerelion::formats::volume::read_map;
use gerelion::geometry::{Matrix3, euler, symmetry::PointGroup};
use gerelion::maximization::map_fsc::map_fsc;
use gerelion::tools::simulate::{
    self, Preset, SimulationSettings,
    phantom::{HelixBundle, helix_bundle},
};
use ndarray::Array3;
use runs::succeeded;
use std::path::Path;
use std::process::Command;

const BOX: usize = 48;
const PIXEL: f64 = 4.0;
/// Centre (x, y, z) of the first subunit and its radius, Å.
const ORIGINAL: ([f64; 3], f64) = ([-45.0, 0.0, 0.0], 26.0);
/// Rot, tilt and psi (degrees) that turn the first subunit to a copy, and the centre (Å) of the copy.
const COPIES: [([f64; 3], [f64; 3]); 2] = [
    ([37.0, 64.0, -21.0], [38.0, 32.0, -8.0]),
    ([-110.0, 120.0, 75.0], [22.0, -42.0, 20.0]),
];

fn matrix([rot, tilt, psi]: [f64; 3]) -> Matrix3 {
    euler::matrix(rot, tilt, psi)
}

/// Shift (Å) of the operator r → A·r + t of a copy.
fn shift((angles, centre): ([f64; 3], [f64; 3])) -> [f64; 3] {
    let turned = euler::apply(&matrix(angles), ORIGINAL.0);
    std::array::from_fn(|i| centre[i] - turned[i])
}

/// Atoms of all subunits.
fn atoms() -> Vec<Atom> {
    let shape = HelixBundle {
        diameter: 2.0 * ORIGINAL.1,
        helices: 5,
        conformation: 0,
    };
    let mut first = helix_bundle(&shape, &PointGroup::c1());
    for atom in &mut first {
        atom.position = std::array::from_fn(|i| atom.position[i] + ORIGINAL.0[i]);
    }
    let mut all = first.clone();
    for copy in COPIES {
        let (a, t) = (matrix(copy.0), shift(copy));
        all.extend(first.iter().map(|atom| {
            let turned = euler::apply(&a, atom.position);
            Atom {
                position: std::array::from_fn(|i| turned[i] + t[i]),
                weight: atom.weight,
            }
        }));
    }
    all
}

/// Writes noisy images `set.mrcs`, their table with true poses, and a mask of the first subunit.
fn simulated(folder: &Path) {
    let settings = SimulationSettings {
        particles: 300,
        box_size: BOX,
        pixel_size: PIXEL,
        snr: 0.005,
        shift: 1.0,
        seed: 5,
        diameter: 170.0,
        symmetry: "C1".into(),
        ..Preset::Mini.settings()
    };
    simulate::run(&settings, &[atoms()], &folder.join("set"), |_| {}).unwrap();
    let (centre, radius) = ORIGINAL;
    let mask = Array3::from_shape_fn((BOX, BOX, BOX), |(z, y, x)| {
        let place = |i: usize| (i as f64 - (BOX / 2) as f64) * PIXEL;
        let square = |i: usize, c: f64| (place(i) - c).powi(2);
        let distance = (square(x, centre[0]) + square(y, centre[1]) + square(z, centre[2])).sqrt();
        ((radius + 14.0 - distance) / 12.0).clamp(0.0, 1.0) as f32
    });
    write_map(&folder.join("subunit.mrc"), mask.view(), PIXEL).unwrap();
}

/// Writes a description file with these operators.
fn describe(path: &Path, operators: &[([f64; 3], [f64; 3])]) {
    let mut text = String::from(
        "\ndata_\n\nloop_\n_rlnMaskName\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n_rlnOriginYAngst\n\
         _rlnOriginZAngst\nsubunit.mrc 0 0 0 0 0 0\n",
    );
    for ([rot, tilt, psi], [x, y, z]) in operators {
        text.push_str(&format!("subunit.mrc {rot} {tilt} {psi} {x} {y} {z}\n"));
    }
    std::fs::write(path, text).unwrap();
}

/// Mean FSC to the truth of the first subunit, of the shells in which a part of the signal is left, in the map of one iteration
/// with true poses. Around the subunits is noise, which averaging them does not touch, so it is masked.
fn quality(folder: &Path, name: &str, options: &str) -> f64 {
    let words = format!(
        "--i set_truth.star --ref set_truth1.mrc --o {name} --iter 1 --ctf --skip_align --zero_mask --particle_diameter 180 \
         --firstiter_cc --ini_high 20 --tau2_fudge 4 --j 2 --random_seed 1 {options}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    succeeded(&output);
    let mask = read_map(&folder.join("subunit.mrc")).unwrap().data;
    let [map, truth] = [
        format!("{name}_it001_class001.mrc"),
        "set_truth1.mrc".into(),
    ]
    .map(|file| read_map(&folder.join(file)).unwrap().data * &mask)
    .map(|map| map.mapv(f64::from));
    let curve = map_fsc(&map, &truth).unwrap();
    println!("{name}: {curve:.3?}");
    curve[3..10].iter().sum::<f64>() / 7.0
}

#[test]
fn averaging_subunits_brings_the_map_nearer_to_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    simulated(folder);
    let there = COPIES.map(|copy| (copy.0, shift(copy)));
    // r → Aᵀ(r − t): angles (−psi, −tilt, −rot), shift −Aᵀ·t.
    let back = there.map(|([rot, tilt, psi], t)| {
        let a = matrix([rot, tilt, psi]);
        let turned = euler::apply(&euler::transpose(&a), t);
        ([-psi, -tilt, -rot], turned.map(|v| -v))
    });
    describe(&folder.join("there.star"), &there);
    describe(&folder.join("back.star"), &back);
    let without = quality(folder, "without", "");
    let with = quality(folder, "with", "--local_symmetry there.star");
    let wrong = quality(folder, "wrong", "--local_symmetry back.star");
    println!(
        "mean FSC to the truth: without {without:.3}, with {with:.3}, the wrong way {wrong:.3}"
    );
    assert!(with > without + 0.05, "{with} {without}");
    assert!(wrong < without, "{wrong} {without}");
}
