//! A search of the tilt alone (`--only_sample_tilt`): images of a map that is turned about one axis find their tilts.

mod runs;

use gerelion::formats::mrc::{StackMode, StackWriter, write_map};
use gerelion::formats::star::Document;
use gerelion::geometry::euler;
use gerelion::geometry::random::CRandom;
use ndarray::Array3;
use runs::succeeded;
use std::path::Path;
use std::process::{Command, Output};

const BOX: usize = 32;
/// Å per pixel.
const PIXEL: f64 = 4.0;
/// Width of a blob of density, pixels.
const WIDTH: f64 = 1.5;
/// Step of `--healpix_order 3`, degrees.
const STEP: f64 = 7.5;
/// True tilts, degrees, all around the circle: none of them on the grid, nor halfway between two of its tilts.
const TILTS: [f64; 12] = [
    -174.5, -140.5, -99.0, -61.5, -31.5, -6.0, 1.5, 39.0, 76.5, 104.0, 136.5, 171.0,
];

/// Centres (x, y, z) of blobs of a map without any symmetry, pixels from the centre of the box.
const BLOBS: [[f64; 3]; 6] = [
    [8.0, 1.0, 2.0],
    [-3.0, 5.0, 4.0],
    [2.0, -6.0, 7.0],
    [-6.0, -2.0, -3.0],
    [4.0, 3.0, -8.0],
    [0.0, 7.0, 0.0],
];

/// Density of the blobs at `centres` along as many axes as a point has coordinates.
fn density<const N: usize>(centres: &[[f64; N]], at: [f64; N]) -> f32 {
    let of_blob = |centre: &[f64; N]| {
        let distance2: f64 = (0..N).map(|i| (at[i] - centre[i]).powi(2)).sum();
        (-distance2 / (2.0 * WIDTH * WIDTH)).exp()
    };
    centres.iter().map(of_blob).sum::<f64>() as f32
}

/// Writes `reference.mrc`, and `images.mrcs` and `images.star` with its projections at [`TILTS`] in noise.
fn write_set(folder: &Path) {
    let centre = (BOX / 2) as f64;
    let from_centre = |i: usize| i as f64 - centre;
    let map = Array3::from_shape_fn((BOX, BOX, BOX), |(z, y, x)| {
        density(&BLOBS, [x, y, z].map(from_centre))
    });
    // Projections of the blobs are higher than the blobs by the integral along the third axis.
    let height = (std::f64::consts::TAU * WIDTH * WIDTH).sqrt() as f32;
    write_map(&folder.join("reference.mrc"), map.view(), PIXEL).unwrap();
    let mut stack = StackWriter::create(
        &folder.join("images.mrcs"),
        BOX,
        TILTS.len(),
        PIXEL,
        StackMode::Float32,
    )
    .unwrap();
    let mut random = CRandom::new(7);
    let mut star = String::from(
        "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnOpticsGroupName\n_rlnImagePixelSize\n_rlnImageSize\n_rlnImageDimensionality\n",
    );
    star += &format!(
        "1 one {PIXEL} {BOX} 2\n\ndata_particles\n\nloop_\n_rlnImageName\n_rlnOpticsGroup\n"
    );
    for (i, tilt) in TILTS.into_iter().enumerate() {
        let rotation = euler::matrix(0.0, tilt, 0.0);
        let seen = BLOBS.map(|blob| {
            let [x, y, _] = euler::apply(&rotation, blob);
            [x, y]
        });
        let image: Vec<f32> = (0..BOX * BOX)
            .map(|p| {
                let at = [p % BOX, p / BOX].map(from_centre);
                height * density(&seen, at) + random.gaussian(0.0, 1.0)
            })
            .collect();
        stack.push(&image).unwrap();
        star += &format!("{:06}@images.mrcs 1\n", i + 1);
    }
    stack.finish().unwrap();
    std::fs::write(folder.join("images.star"), star).unwrap();
}

fn refine(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relion_refine"))
        .args(words.split_whitespace())
        .args(["--j", "2"])
        .current_dir(folder)
        .output()
        .unwrap()
}

const START: &str = "--i images.star --ref reference.mrc --o a --iter 2 --healpix_order 3 --offset_range 2 --offset_step 1 --zero_mask \
                     --particle_diameter 110 --random_seed 3 --dont_check_norm --only_sample_tilt";

/// Every image has rot 0, psi 0 and the tilt of the grid that is nearest to its own; negative ones stay as they are.
fn assert_found(folder: &Path, root: &str) {
    let document = Document::read(&folder.join(format!("{root}_data.star"))).unwrap();
    let particles = document.require("particles").unwrap();
    let images = particles.texts("rlnImageName").unwrap();
    for (row, image) in images.enumerate() {
        let number: usize = image.split_once('@').unwrap().0.parse().unwrap();
        let [rot, tilt, psi] = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
            .map(|label| particles.real(row, label).unwrap());
        let truth = TILTS[number - 1];
        assert_eq!((rot, psi), (0.0, 0.0), "{root}: {image}");
        assert_eq!(tilt.rem_euclid(STEP), 0.0, "{root}: {image}: {tilt}");
        let away = (tilt - truth + 180.0).rem_euclid(360.0) - 180.0;
        assert!(
            away.abs() <= STEP / 2.0 + 1e-6,
            "{root}: {tilt} for {truth}"
        );
        assert!((-180.0..180.0).contains(&tilt), "{root}: {tilt}");
    }
    let sampling = Document::read(&folder.join(format!("{root}_sampling.star"))).unwrap();
    let directions = sampling.require("sampling_directions").unwrap();
    let tilts = directions.real_column("rlnAngleTilt").unwrap();
    let wanted: Vec<f64> = (0..48).map(|i| -180.0 + f64::from(i) * STEP).collect();
    assert_eq!(tilts, wanted);
}

/// A continued run goes on with the same search, as its sampling file tells.
#[test]
fn tilts_about_one_axis_are_found() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path());
    let output = refine(folder.path(), START);
    succeeded(&output);
    assert_found(folder.path(), "a_it002");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.contains("Oversampling= 0") && !printed.contains("Oversampling= 1"),
        "{printed}"
    );
    let words = "--continue a_it001_optimiser.star --o b --iter 2 --dont_check_norm";
    succeeded(&refine(folder.path(), words));
    assert_found(folder.path(), "b_it002");
    let tilts = |root: &str| {
        let document = Document::read(&folder.path().join(format!("{root}_data.star"))).unwrap();
        let particles = document.require("particles").unwrap();
        particles.real_column("rlnAngleTilt").unwrap()
    };
    assert_eq!(tilts("a_it002"), tilts("b_it002"));
}

/// Options that a search of the tilt cannot follow are refused, in a new run and in a continued one.
#[test]
fn other_searches_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path());
    let refused = |words: &str, about: &str| {
        let output = refine(folder.path(), words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{words}");
        assert!(
            told.contains("--only_sample_tilt") && told.contains(about),
            "{words}: {told}"
        );
    };
    for option in [
        "--auto_sampling",
        "--sigma_ang 5",
        "--skip_rotate",
        "--limit_tilt 30",
        "--psi_step 5",
        "--relax_sym C2",
    ] {
        let name = option.split_whitespace().next().unwrap();
        refused(&format!("{START} {option}"), name);
    }
    refused(
        "--i images.star --o c --iter 1 --K 2 --only_sample_tilt",
        "class averages",
    );
    succeeded(&refine(
        folder.path(),
        &START.replace("--iter 2", "--iter 1"),
    ));
    let continued = "--continue a_it001_optimiser.star --o d --iter 2 --sigma_ang 5";
    refused(continued, "--sigma_ang");
}
