//! CTF parameters that no microscope has: refused where they are impossible, told where they are improbable. Most are
//! values in another unit; RELION computes with them without a word.

use crate::dataset::{Particle, ParticleSet};
use crate::errors::{Code, Message};

/// Electron microscopes work between these voltages (kV); cryo-EM between [`USUAL_VOLTAGE`].
const POSSIBLE_VOLTAGE: [f64; 2] = [1.0, 3000.0];
const USUAL_VOLTAGE: [f64; 2] = [60.0, 1300.0];
/// Spherical aberrations (mm), either sign.
const POSSIBLE_CS: f64 = 100.0;
const USUAL_CS: f64 = 10.0;
/// Defoci (Å), either sign. One below the least for nearly all particles is one in µm.
const POSSIBLE_DEFOCUS: f64 = 1e6;
const USUAL_DEFOCUS: f64 = 1e5;
const LEAST_DEFOCUS: f64 = 20.0;
/// Phase shifts of phase plates (degrees), either sign.
const POSSIBLE_PHASE: f64 = 360.0;
/// Determinants of a magnification matrix: it differs from 1 by a few per cent.
const POSSIBLE_MAGNIFICATION: [f64; 2] = [0.25, 4.0];
const USUAL_MAGNIFICATION: [f64; 2] = [0.8, 1.25];

/// Checks the CTF parameters of a data set whose CTF is used, and returns warnings about improbable ones.
///
/// # Errors
/// Impossible values, with the number of particles or the names of the optics groups that have them.
pub fn check(set: &ParticleSet) -> Result<Vec<String>, Message> {
    let mut warnings = Vec::new();
    for group in set.optics.iter().filter(|g| !g.ctf_corrected) {
        let mut judge = |label: &str, value: f64, verdict: Verdict, advice: &str| {
            let text = format!(
                "optics group '{}': {label} is {value}. {advice}",
                group.name
            );
            match verdict {
                Verdict::Usual => Ok(()),
                Verdict::Improbable => {
                    warnings.push(text);
                    Ok(())
                }
                Verdict::Impossible => Err(Code::CTF_PARAMETERS
                    .says(text)
                    .about(set.source().display())),
            }
        };
        if let Some(voltage) = group.voltage {
            let verdict = between(voltage, POSSIBLE_VOLTAGE, USUAL_VOLTAGE);
            judge(
                "rlnVoltage",
                voltage,
                verdict,
                "It is in kV, as 300: correct it.",
            )?;
        }
        if let Some(cs) = group.spherical_aberration {
            let verdict = within(cs, POSSIBLE_CS, USUAL_CS);
            let advice = "It is in mm, as 2.7: correct it.";
            judge("rlnSphericalAberration", cs, verdict, advice)?;
        }
    }
    let particles = || {
        let uses_ctf = |p: &&Particle| !set.optics[p.optics_group].ctf_corrected;
        set.particles.iter().filter(uses_ctf)
    };
    let all = particles().count();
    let count = |bad: fn(&Particle) -> bool| particles().filter(|p| bad(p)).count();
    let of_all = |n: usize| format!("{n} of {all} particles");
    for (label, bad, advice) in [
        (
            "rlnCtfScalefactor of 0",
            (|p| p.ctf.scale == 0.0) as fn(&Particle) -> bool,
            "Their CTF is 0 everywhere, so nothing is known of them. Set it to 1, or remove the column.",
        ),
        (
            "rlnPhaseShift beyond ±360°",
            |p| p.ctf.phase_shift.abs() > POSSIBLE_PHASE,
            "Phase shifts are in degrees, 0 without a phase plate: correct or remove the column.",
        ),
        (
            "rlnDefocusU or rlnDefocusV beyond ±1,000,000",
            |p| largest_defocus(p) > POSSIBLE_DEFOCUS,
            "Defocus is in Å, as 15000: correct it.",
        ),
    ] {
        let found = count(bad);
        if found > 0 {
            return Err(Code::CTF_PARAMETERS
                .says(format!("{} have {label}. {advice}", of_all(found)))
                .about(set.source().display()));
        }
    }
    let tiny = count(|p| {
        let largest = largest_defocus(p);
        largest > 0.0 && largest < LEAST_DEFOCUS
    });
    if tiny > 0 && 10 * tiny >= 9 * all {
        return Err(Code::CTF_PARAMETERS
            .says(format!(
                "{} have a defocus below {LEAST_DEFOCUS} Å: it is probably in µm. rlnDefocusU and rlnDefocusV are in Å; \
                 multiply them by 10000.",
                of_all(tiny)
            ))
            .about(set.source().display()));
    }
    let large = count(|p| largest_defocus(p) > USUAL_DEFOCUS);
    if large > 0 {
        warnings.push(format!(
            "{} have a defocus beyond 10 µm. rlnDefocusU and rlnDefocusV are in Å, as 15000: are they right?",
            of_all(large)
        ));
    }
    Ok(warnings)
}

/// Checks the magnification matrices of all optics groups, which images are compared through with and without a CTF, and
/// returns warnings about improbable ones.
///
/// # Errors
/// A matrix that is singular or nearly so, with the name of its group.
pub fn check_magnification(set: &ParticleSet) -> Result<Vec<String>, Message> {
    let mut warnings = Vec::new();
    for group in &set.optics {
        let [[a, b], [c, d]] = group.magnification;
        let determinant: f64 = a * d - b * c;
        let text = format!(
            "optics group '{}': the determinant of the magnification matrix (rlnMagMat00 … rlnMagMat11) is {determinant}. The \
             matrix differs from the unit matrix by a few per cent: correct it, or remove these columns.",
            group.name
        );
        match between(
            determinant.abs(),
            POSSIBLE_MAGNIFICATION,
            USUAL_MAGNIFICATION,
        ) {
            Verdict::Usual => {}
            Verdict::Improbable => warnings.push(text),
            Verdict::Impossible => {
                return Err(Code::CTF_PARAMETERS
                    .says(text)
                    .about(set.source().display()));
            }
        }
    }
    Ok(warnings)
}

#[derive(Clone, Copy)]
enum Verdict {
    Usual,
    Improbable,
    Impossible,
}

fn between(value: f64, possible: [f64; 2], usual: [f64; 2]) -> Verdict {
    let inside = |[low, high]: [f64; 2]| (low..=high).contains(&value);
    match (inside(possible), inside(usual)) {
        (_, true) => Verdict::Usual,
        (true, false) => Verdict::Improbable,
        (false, false) => Verdict::Impossible,
    }
}

fn within(value: f64, possible: f64, usual: f64) -> Verdict {
    between(value, [-possible, possible], [-usual, usual])
}

/// The larger of both defoci, without their signs, Å.
fn largest_defocus(particle: &Particle) -> f64 {
    let ctf = &particle.ctf;
    ctf.defocus_u.abs().max(ctf.defocus_v.abs())
}
