//! Effects of the microscope and of earlier programs on the images: CTF, aberrations, magnification, flipped phases.
//!
//! Images are reconstructed from their true poses (`--skip_align`). With the right description the map is the truth,
//! without it it is not: each test would fail if the description were ignored.

use crate::images::{Exposure, Set, amplitudes, fsc, smallest};
use gerelion::optics::{CtfFlags, wavelength};
use num_complex::Complex32;
use std::f64::consts::PI;

const IMAGES: usize = 120;
/// Shells (of 160 Å) that are judged: to 10 Å.
const LAST: usize = 16;
const CTF: &str = "--ctf --sym C4";

/// The map with the description is the truth, that without is not.
fn check(known: &[f64], ignored: &[f64]) {
    let (known, ignored) = (smallest(known, LAST), smallest(ignored, LAST));
    println!("smallest FSC to the truth {known:.4}; ignored {ignored:.4}");
    assert!(known > 0.97, "{known}");
    assert!(ignored < 0.7, "{ignored}");
}

#[test]
fn true_poses_and_ctf_give_the_true_map() {
    let set = Set::new("C4", &[Exposure::new(IMAGES)]);
    check(&set.reconstruct(CTF), &set.reconstruct("--sym C4"));
}

/// Far beyond that of a real microscope, so that it shows at 10 Å; mrad.
const BEAM_TILT: [f64; 2] = [70.0, -50.0];

/// A beam tilt t shifts the phase by 2π Cs λ² u² (t·u).
fn tilted(_: f64, u: [f64; 2], value: Complex32) -> Complex32 {
    let u2 = u[0] * u[0] + u[1] * u[1];
    let tilt = (BEAM_TILT[0] * u[0] + BEAM_TILT[1] * u[1]) * 1e-3;
    let phase = -2.0 * PI * 2e7 * wavelength(300.0).powi(2) * u2 * tilt;
    value * Complex32::from_polar(1.0, phase as f32)
}

#[test]
fn beam_tilt_is_undone() {
    let mut exposure = Exposure::new(IMAGES);
    exposure.before_noise = tilted;
    let ignored = Set::new("C4", &[exposure.clone()]).reconstruct(CTF);
    exposure.optics.beam_tilt = BEAM_TILT;
    check(&Set::new("C4", &[exposure]).reconstruct(CTF), &ignored);
}

const COMA: f64 = 1500.0;

/// Coma along x: phase 3c·u²·x.
fn coma(_: f64, u: [f64; 2], value: Complex32) -> Complex32 {
    let phase = 3.0 * COMA * (u[0] * u[0] + u[1] * u[1]) * u[0];
    value * Complex32::from_polar(1.0, phase as f32)
}

/// 3u²·x = Z₃¹ + 2·Z₁¹ with Z₁¹ = x and Z₃¹ = (3u² − 2)·x.
#[test]
fn odd_aberrations_are_undone() {
    let mut exposure = Exposure::new(IMAGES);
    exposure.before_noise = coma;
    let ignored = Set::new("C4", &[exposure.clone()]).reconstruct(CTF);
    // The order of coefficients is Z₁⁻¹, Z₁¹, Z₃⁻³, Z₃⁻¹, Z₃¹, Z₃³.
    exposure.optics.odd_zernike = vec![0.0, 2.0 * COMA, 0.0, 0.0, COMA, 0.0];
    check(&Set::new("C4", &[exposure]).reconstruct(CTF), &ignored);
}

/// A defocus that the particle table does not know, written as an even aberration: −πλΔu² = c·(Z₂⁰ + Z₀⁰) with
/// Z₂⁰ = 2u² − 1.
#[test]
fn even_aberrations_enter_the_ctf() {
    let mut exposure = Exposure::new(IMAGES);
    exposure.more_defocus = 5000.0;
    let ignored = Set::new("C4", &[exposure.clone()]).reconstruct(CTF);
    let c = -PI * wavelength(300.0) * exposure.more_defocus / 2.0;
    // The order of coefficients is Z₀⁰, Z₂⁻², Z₂⁰, Z₂².
    exposure.optics.even_zernike = vec![c, 0.0, c, 0.0];
    check(&Set::new("C4", &[exposure]).reconstruct(CTF), &ignored);
}

/// Images stretched along one diagonal and shortened along the other.
#[test]
fn anisotropic_magnification_is_undone() {
    let distorted = [[1.04, 0.12], [0.12, 0.96]];
    let mut exposure = Exposure::new(IMAGES);
    exposure.ctf = false;
    exposure.optics.magnification = distorted;
    let set = Set::new("C4", &[exposure]);
    let known = set.reconstruct("--sym C4");
    set.forget("rlnMagMat");
    check(&known, &set.reconstruct("--sym C4"));
}

/// Where the CTF is negative, another program has turned the sign of the image.
#[test]
fn flipped_phases_with_their_option_are_as_good_as_none() {
    let mut exposure = Exposure::new(IMAGES);
    let plain = Set::new("C4", &[exposure.clone()]);
    exposure.after_noise = |ctf, _, value| value * ctf.signum() as f32;
    let flipped = Set::new("C4", &[exposure]);
    let usual = format!("--iter 1 --skip_align --zero_mask --ini_high 9 {CTF}");
    let a = plain.map(&plain.run("poses.star", &usual), "it001_class001");
    let root = flipped.run("poses.star", &format!("{usual} --ctf_phase_flipped"));
    let b = flipped.map(&root, "it001_class001");
    // Flipping spreads an image, so shifts by whole pixels push a little of it over the border.
    let same = smallest(&fsc(&a, &b), LAST);
    assert!(same > 0.998, "FSC of the two maps {same}");
    check(&flipped.fsc_to_truth(&b), &flipped.reconstruct(CTF));
}

/// Images that another program has multiplied by their CTF, as the optics table says.
#[test]
fn premultiplied_images_give_the_same_map() {
    let mut exposure = Exposure::new(IMAGES);
    let plain = Set::new("C4", &[exposure.clone()]);
    exposure.after_noise = |ctf, _, value| value * ctf as f32;
    let ignored = Set::new("C4", &[exposure.clone()]).reconstruct(CTF);
    exposure.optics.ctf_premultiplied = true;
    let multiplied = Set::new("C4", &[exposure]);
    check(&multiplied.reconstruct(CTF), &ignored);
    let usual = format!("--iter 1 --skip_align --zero_mask --ini_high 9 {CTF}");
    let [a, b] =
        [&plain, &multiplied].map(|s| s.map(&s.run("poses.star", &usual), "it001_class001"));
    let same = smallest(&fsc(&a, &b), LAST);
    assert!(same > 0.98, "FSC of the two maps {same}");
}

/// Without amplitude contrast the CTF is almost 0 in the first shells; images that do have strong low frequencies
/// are described by a CTF of 1 up to its first peak.
#[test]
fn a_ctf_may_be_left_intact_until_its_first_peak() {
    let mut exposure = Exposure::new(IMAGES);
    exposure.flags = CtfFlags {
        intact_first_peak: true,
        ..CtfFlags::default()
    };
    let set = Set::new("C4", &[exposure]);
    let amplitude = |options: &str| {
        let usual = format!("--iter 1 --skip_align --zero_mask --ini_high 9 {CTF} {options}");
        let map = set.map(&set.run("poses.star", &usual), "it001_class001");
        amplitudes(&map, &set.truth())
    };
    let (known, ignored) = (amplitude("--ctf_intact_first_peak"), amplitude(""));
    println!("{:.2?}\n{:.2?}", &known[..8], &ignored[..8]);
    // Far below its first peak the ordinary CTF is small, and the map comes out too strong by as much.
    assert!(known[1..=LAST].iter().all(|a| (a - 1.0).abs() < 0.1));
    assert!(ignored[1..4].iter().all(|a| *a > 1.5));
}
