//! Images of several microscopes in one job.

use crate::images::{BOX, DIAMETER, Exposure, PIXEL, Set, amplitudes, smallest};
use gerelion::formats::star::{Document, Table};

/// Three groups: the box of the map, the same field of view with finer pixels, and another voltage, box and pixel.
fn exposures(images: usize) -> Vec<Exposure> {
    let (first, mut second, mut third) = (
        Exposure::new(images),
        Exposure::new(images),
        Exposure::new(images),
    );
    second.optics.box_size = 64;
    second.optics.pixel_size = 2.5;
    third.optics.box_size = 48;
    third.optics.pixel_size = 3.5;
    third.optics.voltage = Some(200.0);
    third.optics.spherical_aberration = Some(2.7);
    third.optics.amplitude_contrast = Some(0.07);
    vec![first, second, third]
}

#[test]
fn groups_of_other_boxes_pixels_and_voltages_give_one_map() {
    let set = Set::new("C4", &exposures(50));
    let curve = set.reconstruct("--ctf --sym C4");
    println!("{curve:.3?}");
    assert!(smallest(&curve, 16) > 0.97);
    // Were the other groups in a wrong place or on a wrong scale of frequencies, they would do harm.
    let alone = Set::new("C4", &exposures(50)[..1]).reconstruct("--ctf --sym C4");
    assert!(smallest(&alone, 16) < smallest(&curve, 16));
}

/// Noise of deviation 1 has the variance 1/(2N²) per component of a transform divided by N², of which the mask of a
/// group leaves the share of its area: each group its own. (For a group with another field of view some model shells
/// take two image shells and others none, in RELION too.)
#[test]
fn each_group_has_its_noise_spectrum() {
    let set = Set::new("C4", &exposures(40)[..2]);
    let root = set.run(
        "poses.star",
        "--iter 1 --skip_align --zero_mask --ini_high 9 --ctf --sym C4",
    );
    let model = format!("{}_it001_model.star", root.display());
    let model = Document::read(model.as_ref()).unwrap();
    for (group, side, pixel) in [(1, BOX, PIXEL), (2, 64, 2.5)] {
        let table = model
            .require(&format!("model_optics_group_{group}"))
            .unwrap();
        let found = table.real_column("rlnSigma2Noise").unwrap();
        let expected = masked_share(side, DIAMETER / 2.0 / pixel) / (2 * side * side) as f64;
        for (shell, found) in found.iter().enumerate().take(17).skip(8) {
            let ratio = found / expected;
            println!("group {group} shell {shell}: {ratio:.3}");
            assert!(
                (ratio - 1.0).abs() < 0.08,
                "group {group}, shell {shell}: {ratio}"
            );
        }
    }
}

/// Mean square of a circular mask of `radius` pixels with a soft edge of 5 in a box of `side`.
fn masked_share(side: usize, radius: f64) -> f64 {
    let half = (side / 2) as f64;
    let sum: f64 = (0..side * side)
        .map(|i| {
            let r = ((i % side) as f64 - half).hypot((i / side) as f64 - half);
            let edge = ((r - radius) / 5.0).clamp(0.0, 1.0);
            (0.5 + 0.5 * (std::f64::consts::PI * edge).cos()).powi(2)
        })
        .sum();
    sum / (side * side) as f64
}

#[test]
fn particles_of_all_groups_are_aligned() {
    const EACH: usize = 30;
    let set = Set::new("C4", &exposures(EACH));
    let root = set.run(
        "images.star",
        "--iter 2 --ctf --sym C4 --zero_mask --ini_high 20 --healpix_order 2 --offset_range 3 --offset_step 2 \
         --norm --scale --random_seed 1",
    );
    let errors = set.errors(&root, 2);
    for (group, errors) in errors.chunks_exact(EACH).enumerate() {
        let good = errors
            .iter()
            .filter(|(angle, [x, y])| *angle < 12.0 && x.hypot(*y) < 4.0)
            .count();
        println!("group {}: {good} of {EACH}", group + 1);
        assert!(good >= EACH * 9 / 10, "group {}: {errors:.1?}", group + 1);
    }
}

/// Transfer that falls linearly to `at_nyquist`; as a table and as what it does to an image of 4 Å per pixel.
fn write_mtf(path: &std::path::Path, at_nyquist: f64) {
    let mut table = Table::new_loop("", &["rlnResolutionInversePixel", "rlnMtfValue"]);
    for i in 0..=10 {
        let frequency = 0.05 * f64::from(i);
        let value = 1.0 - (1.0 - at_nyquist) * frequency / 0.5;
        table.push_row(vec![frequency.into(), value.into()]);
    }
    let document = Document {
        tables: vec![table],
        ..Document::default()
    };
    document.write(path).unwrap();
}

/// Two detectors, of which one loses most of the fine detail: the map has the transfer of their mean; without the
/// tables it follows the detector that loses less.
#[test]
fn detectors_are_brought_to_their_mean_transfer() {
    let transfer =
        |u: [f64; 2], at_nyquist: f64| 1.0 - (1.0 - at_nyquist) * u[0].hypot(u[1]) * PIXEL / 0.5;
    let folder = tempfile::tempdir().unwrap();
    let [good, poor] = ["good.star", "poor.star"].map(|f| folder.path().join(f));
    write_mtf(&good, 0.9);
    write_mtf(&poor, 0.2);
    let mut exposures = [Exposure::new(80), Exposure::new(80)];
    for (exposure, file) in exposures.iter_mut().zip([good, poor]) {
        exposure.optics.mtf_file = Some(file.to_string_lossy().into_owned());
    }
    exposures[0].before_noise =
        |_, u, value| value * (1.0 - 0.1 * u[0].hypot(u[1]) * PIXEL / 0.5) as f32;
    exposures[1].before_noise =
        |_, u, value| value * (1.0 - 0.8 * u[0].hypot(u[1]) * PIXEL / 0.5) as f32;
    let set = Set::new("C4", &exposures);
    let root = set.run(
        "poses.star",
        "--iter 1 --skip_align --zero_mask --ini_high 9 --ctf --sym C4",
    );
    let found = amplitudes(&set.map(&root, "it001_class001"), &set.truth());
    for (shell, found) in found.iter().enumerate().take(17).skip(1) {
        let u = [shell as f64 / (BOX as f64 * PIXEL), 0.0];
        let mean = (transfer(u, 0.9) + transfer(u, 0.2)) / 2.0;
        println!("shell {shell}: {found:.3}, mean transfer {mean:.3}");
        assert!(
            (found / mean - 1.0).abs() < 0.06,
            "shell {shell}: {found} {mean}"
        );
    }
}
