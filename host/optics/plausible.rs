//! CTF parameters that no microscope has: refused where they are impossible, told where they are improbable. Most are
//! values in another unit; RELION computes with them without a word.

mod magnification;

use crate::dataset::particle_checks::are_radians;
use crate::dataset::{OpticsGroup, Particle, ParticleSet};
use crate::errors::listed::listed;
use crate::errors::{Code, Message};
use crate::formats::star::PLACEHOLDER;
use std::fmt;

/// Electron microscopes work between these voltages (kV); cryo-EM between [`USUAL_VOLTAGE`].
const POSSIBLE_VOLTAGE: [f64; 2] = [1.0, 3000.0];
const USUAL_VOLTAGE: [f64; 2] = [60.0, 1300.0];
/// Spherical aberrations (mm), either sign.
const POSSIBLE_CS: f64 = 100.0;
const USUAL_CS: f64 = 10.0;
/// Spherical aberrations of 1.1 to 6.5 mm, in metres. Those of corrected microscopes are given as 0.01, 0.001 or 0.
const CS_IN_METRES: [f64; 2] = [0.0011, 0.0065];
/// Defoci (Å), either sign. One below the least is one in µm, or of an image taken in focus, which few are.
const POSSIBLE_DEFOCUS: f64 = 1e6;
const USUAL_DEFOCUS: f64 = 1e5;
const LEAST_DEFOCUS: f64 = 20.0;
/// Median defocus (Å) of a set below which its images show next to nothing without a phase plate.
const LEAST_MEDIAN_DEFOCUS: f64 = 4000.0;
/// Difference of both defoci (Å) from which on it matters along which axis it is.
const SOME_ASTIGMATISM: f64 = 100.0;
/// Difference of both defoci, Å.
const USUAL_ASTIGMATISM: f64 = 1e4;
/// Share of particles in focus above which their defocus is taken for one in µm: files of two programs may be joined.
const MOST_TINY: f64 = 0.01;
/// Amplitude contrast.
const POSSIBLE_CONTRAST: [f64; 2] = [0.0, 1.0];
const USUAL_CONTRAST: [f64; 2] = [0.0, 1.0];
/// Scale factors of the CTF, either sign.
const POSSIBLE_SCALE: [f64; 2] = [1e-3, 100.0];
/// B-factors of the CTF, Å². One of −500 amplifies a resolution of 4 Å two thousand times.
const POSSIBLE_B: [f64; 2] = [-500.0, 1e5];
/// Beam tilts (mrad), either sign.
const POSSIBLE_TILT: f64 = 100.0;
const USUAL_TILT: f64 = 20.0;
/// Zernike coefficients of aberrations, radians, either sign. Polynomials are of frequencies in 1/Å: at 5 Å one of the
/// third order shifts the phase by a hundredth of its coefficient, so that coma of 3,000 is strong but can be undone.
const POSSIBLE_ZERNIKE: f64 = 1e5;
const USUAL_ZERNIKE: f64 = 1000.0;
/// Phase shifts of phase plates (degrees), either sign.
const POSSIBLE_PHASE: f64 = 360.0;
/// Phase shift (degrees) from which on it is that of a phase plate.
const LEAST_OF_A_PLATE: f64 = 20.0;
/// Phase shifts (degrees) up to this are taken for radians where all of a set are: a plate shifts by about 90°.
const LARGEST_IN_RADIANS: f64 = 3.15;

/// Pixel sizes (Å) of images of single particles, binned ones among them.
const USUAL_PIXEL: [f64; 2] = [0.2, 40.0];

/// Warns of pixel sizes that will be in another unit.
fn pixel_sizes(set: &ParticleSet) -> Vec<String> {
    let odd = |size: f64| !(USUAL_PIXEL[0]..=USUAL_PIXEL[1]).contains(&size);
    let groups = set.optics.iter().filter(|group| odd(group.pixel_size));
    let warning = |group: &OpticsGroup| {
        format!(
            "optics group '{}': rlnImagePixelSize is {}. It is in Å, as 1.1: is it right?",
            group.name, group.pixel_size
        )
    };
    groups.map(warning).collect()
}

/// Checks the optics of a data set: pixel sizes, magnification matrices, and the CTF parameters where the CTF is used. Returns warnings
/// about improbable ones.
///
/// # Errors
/// Impossible values, with the number of particles or the names of the optics groups that have them.
pub fn check_all(set: &ParticleSet, ctf_is_used: bool) -> Result<Vec<String>, Message> {
    let mut warnings = pixel_sizes(set);
    warnings.extend(magnification::check(set)?);
    if ctf_is_used {
        warnings.extend(check(set)?);
    }
    Ok(warnings)
}

fn of_coefficient(coefficient: f64) -> Verdict {
    match coefficient == PLACEHOLDER {
        true => Verdict::Impossible,
        false => within(coefficient, POSSIBLE_ZERNIKE, USUAL_ZERNIKE),
    }
}

/// Checks the CTF parameters of a data set whose CTF is used, and returns warnings about improbable ones.
///
/// # Errors
/// Impossible values, with the number of particles or the names of the optics groups that have them.
fn check(set: &ParticleSet) -> Result<Vec<String>, Message> {
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
            let verdict = match (CS_IN_METRES[0]..=CS_IN_METRES[1]).contains(&cs.abs()) {
                true => Verdict::Improbable,
                false => within(cs, POSSIBLE_CS, USUAL_CS),
            };
            let advice = "It is in mm, as 2.7: correct it.";
            judge("rlnSphericalAberration", cs, verdict, advice)?;
        }
        if let Some(contrast) = group.amplitude_contrast {
            let verdict = between(contrast, POSSIBLE_CONTRAST, USUAL_CONTRAST);
            let advice = "It lies between 0 and 1, as 0.1 (not in per cent): correct it.";
            judge("rlnAmplitudeContrast", contrast, verdict, advice)?;
        }
        for (label, tilt) in ["rlnBeamTiltX", "rlnBeamTiltY"]
            .into_iter()
            .zip(group.beam_tilt)
        {
            let advice = "It is in mrad, 0 where it is not known: correct it.";
            judge(label, tilt, within(tilt, POSSIBLE_TILT, USUAL_TILT), advice)?;
        }
        for (label, coefficients) in [
            ("rlnOddZernike", &group.odd_zernike),
            ("rlnEvenZernike", &group.even_zernike),
        ] {
            for &coefficient in coefficients {
                let advice =
                    "Coefficients are in radians, 0 where they are not known: correct them.";
                judge(label, coefficient, of_coefficient(coefficient), advice)?;
            }
        }
    }
    check_numbers(set)?;
    check_defocus(set, &mut warnings)?;
    warnings.extend(angle_missing(set));
    warnings.extend(near_focus(set));
    warnings.extend(radians(set));
    Ok(warnings)
}

/// Checks the CTF columns of the particles.
///
/// # Errors
/// Numbers that no image has, with how many have them.
fn check_numbers(set: &ParticleSet) -> Result<(), Message> {
    check_placeholders(set)?;
    for (label, bad, advice) in [
        (
            "rlnCtfScalefactor of 0",
            (|p| p.ctf.scale == 0.0) as fn(&Particle) -> bool,
            "Their CTF is 0 everywhere, so nothing is known of them. Set it to 1, or remove the column.",
        ),
        (
            "rlnCtfScalefactor below 0.001 or above 100",
            |p| !(POSSIBLE_SCALE[0]..=POSSIBLE_SCALE[1]).contains(&p.ctf.scale.abs()),
            "It is about 1: correct or remove the column.",
        ),
        (
            "rlnCtfBfactor below −500 or above 100,000",
            |p| !(POSSIBLE_B[0]..=POSSIBLE_B[1]).contains(&p.ctf.b_factor),
            "It is in Å², as 50, and damps the CTF when it is positive: correct or remove the column.",
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
        if let Some(found) = Holders::of(set, bad) {
            return Err(Code::CTF_PARAMETERS
                .says(format!("{found} have {label}. {advice}"))
                .about(set.source().display()));
        }
    }
    Ok(())
}

/// Judges defoci that are possible, and adds to the warnings.
fn check_defocus(set: &ParticleSet, warnings: &mut Vec<String>) -> Result<(), Message> {
    let tiny = Holders::of(set, |p| {
        let largest = largest_defocus(p);
        largest > 0.0 && largest < LEAST_DEFOCUS
    });
    if let Some(found) = tiny {
        let text = format!(
            "{found} have a defocus below {LEAST_DEFOCUS} Å: it is probably in µm. rlnDefocusU and rlnDefocusV are in Å; multiply \
             them by 10000."
        );
        match found.share() > MOST_TINY {
            true => {
                return Err(Code::CTF_PARAMETERS
                    .says(text)
                    .about(set.source().display()));
            }
            false => warnings.push(text),
        }
    }
    if let Some(found) = Holders::of(set, |p| largest_defocus(p) == 0.0)
        && found.share() > MOST_TINY
    {
        warnings.push(format!(
            "{found} have a defocus of 0: has the CTF been estimated? An image in focus shows next to nothing. Without CTF \
             parameters leave out --ctf."
        ));
    }
    if let Some(found) = Holders::of(set, |p| p.ctf.defocus_u + p.ctf.defocus_v < 0.0) {
        warnings.push(match found.share() < 1.0 {
            true => format!(
                "{found} have a negative defocus, and others a positive one. Underfocus is positive in rlnDefocusU and rlnDefocusV: \
                 are files of two conventions joined?"
            ),
            false => format!(
                "{found} have a negative defocus. Underfocus, in which micrographs are taken, is positive in rlnDefocusU and \
                 rlnDefocusV: is the sign that of another program? With the wrong sign the contrast is inverted."
            ),
        });
    }
    if let Some(found) = Holders::of(set, |p| {
        (p.ctf.defocus_u - p.ctf.defocus_v).abs() > USUAL_ASTIGMATISM
    }) {
        warnings.push(format!(
            "{found} have an rlnDefocusU and rlnDefocusV that differ by more than 1 µm. Microscopes have astigmatisms of up to some \
             1000 Å: are both columns right, and in Å?"
        ));
    }
    if let Some(found) = Holders::of(set, |p| largest_defocus(p) > USUAL_DEFOCUS) {
        warnings.push(format!(
            "{found} have a defocus beyond 10 µm. rlnDefocusU and rlnDefocusV are in Å, as 15000: are they right?"
        ));
    }
    Ok(())
}

/// Warns of astigmatisms whose direction is not given, which is taken as 0.
fn angle_missing(set: &ParticleSet) -> Option<String> {
    if set.has_column("rlnDefocusAngle") {
        return None;
    }
    let found = Holders::of(set, |p| {
        (p.ctf.defocus_u - p.ctf.defocus_v).abs() > SOME_ASTIGMATISM
    })?;
    Some(format!(
        "{found} have an rlnDefocusU and rlnDefocusV that differ by more than {SOME_ASTIGMATISM} Å, but there is no column \
         rlnDefocusAngle, and 0 is taken: is its label misspelt?"
    ))
}

/// Warns of a set that was taken as good as in focus, without a phase plate.
fn near_focus(set: &ParticleSet) -> Option<String> {
    let mut defoci: Vec<f64> = used(set)
        .filter(|p| p.ctf.phase_shift.abs() < LEAST_OF_A_PLATE)
        .map(largest_defocus)
        .collect();
    defoci.sort_by(f64::total_cmp);
    let median = *defoci.get(defoci.len() / 2)?;
    (LEAST_DEFOCUS..LEAST_MEDIAN_DEFOCUS)
        .contains(&median)
        .then(|| {
            format!(
                "half of the particles have a defocus below {median:.0} Å, where images show next to nothing without a phase plate. \
                 rlnDefocusU and rlnDefocusV are in Å, as 15000: are they right?"
            )
        })
}

/// Warns of angles that are all so small that they will be in radians.
fn radians(set: &ParticleSet) -> Option<String> {
    let largest = used(set)
        .map(|p| p.ctf.phase_shift.abs())
        .fold(0.0, f64::max);
    if largest > 0.0 && largest <= LARGEST_IN_RADIANS {
        return Some(
            "all values of rlnPhaseShift are below 3.15: they are in degrees, about 90 with a phase plate. Are these in radians?"
                .into(),
        );
    }
    are_radians(used(set).map(|p| p.ctf.defocus_angle)).then(|| {
        "all values of rlnDefocusAngle are below 3.15: they are in degrees, up to 180. Are these in radians?".into()
    })
}

/// Particles whose CTF is used.
fn used(set: &ParticleSet) -> impl Iterator<Item = &Particle> {
    let of_used = |particle: &&Particle| !set.optics[particle.optics_group].ctf_corrected;
    set.particles.iter().filter(of_used)
}

/// Particles with some property, of those whose CTF is used.
struct Holders {
    /// Name, number of holders, and number of particles of each optics group that has holders.
    groups: Vec<(String, usize, usize)>,
    /// Particles of all groups.
    all: usize,
}

impl Holders {
    /// Counts the particles with a property; None without any.
    fn of(set: &ParticleSet, holds: impl Fn(&Particle) -> bool) -> Option<Self> {
        let mut counts = vec![(0, 0); set.optics.len()];
        for particle in &set.particles {
            let (found, all) = &mut counts[particle.optics_group];
            *found += usize::from(holds(particle));
            *all += 1;
        }
        let used = set.optics.iter().zip(counts);
        let used = used.filter(|(group, _)| !group.ctf_corrected);
        let all = used.clone().map(|(_, (_, all))| all).sum();
        let groups: Vec<_> = used
            .filter(|(_, (found, _))| *found > 0)
            .map(|(group, (found, all))| (group.name.clone(), found, all))
            .collect();
        (!groups.is_empty()).then_some(Self { groups, all })
    }

    fn found(&self) -> usize {
        self.groups.iter().map(|(_, found, _)| found).sum()
    }

    fn share(&self) -> f64 {
        self.found() as f64 / self.all as f64
    }
}

impl fmt::Display for Holders {
    /// "12 of 100 particles (optics group 'a': 10 of 50, 'b': 2 of 50)".
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let groups = self.groups.iter();
        let groups: Vec<String> = groups
            .map(|(name, found, all)| format!("'{name}': {found} of {all}"))
            .collect();
        write!(
            f,
            "{} of {} particles (optics group {})",
            self.found(),
            self.all,
            listed(groups.iter().map(String::as_str), ", ")
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// CTF columns of the particle table.
type CtfColumn = fn(&Particle) -> f64;
const COLUMNS: [(&str, CtfColumn); 6] = [
    ("rlnDefocusU", |p| p.ctf.defocus_u),
    ("rlnDefocusV", |p| p.ctf.defocus_v),
    // The angle counts where there is an astigmatism to turn.
    ("rlnDefocusAngle", |p| {
        match p.ctf.defocus_u == p.ctf.defocus_v {
            true => 0.0,
            false => p.ctf.defocus_angle,
        }
    }),
    ("rlnPhaseShift", |p| p.ctf.phase_shift),
    ("rlnCtfBfactor", |p| p.ctf.b_factor),
    ("rlnCtfScalefactor", |p| p.ctf.scale),
];

/// Checks that no number of a CTF stands for none.
///
/// # Errors
/// Some do, with their columns and how many particles have them.
fn check_placeholders(set: &ParticleSet) -> Result<(), Message> {
    let held = |value: CtfColumn| used(set).any(|p| value(p) == PLACEHOLDER);
    let columns = COLUMNS.into_iter().filter(|(_, value)| held(*value));
    let labels: Vec<&str> = columns.map(|(label, _)| label).collect();
    let of_none = |p: &Particle| COLUMNS.iter().any(|(_, value)| value(p) == PLACEHOLDER);
    match Holders::of(set, of_none) {
        None => Ok(()),
        Some(found) => Err(Code::CTF_PARAMETERS
            .says(format!(
                "{found} have {PLACEHOLDER} in {}, which stands for none. Estimate the CTF of their micrographs, remove these particles, \
                 or remove a column that is not known for any.",
                listed(labels, ", ")
            ))
            .about(set.source().display())),
    }
}

/// The larger of both defoci, without their signs, Å.
fn largest_defocus(particle: &Particle) -> f64 {
    let ctf = &particle.ctf;
    ctf.defocus_u.abs().max(ctf.defocus_v.abs())
}
