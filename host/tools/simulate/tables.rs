//! STAR tables of a simulated set.

use super::{SimulationSettings, TrueParticle};
use crate::dataset::OpticsGroup;
use crate::formats::star::{Document, Table, Value};

/// The optics group of all simulated images.
pub(super) fn optics_group(s: &SimulationSettings) -> OpticsGroup {
    OpticsGroup {
        voltage: Some(s.voltage),
        spherical_aberration: Some(s.spherical_aberration),
        amplitude_contrast: Some(s.amplitude_contrast),
        ..OpticsGroup::new(s.pixel_size, s.box_size)
    }
}

const COMMON: [&str; 8] = [
    "rlnImageName",
    "rlnMicrographName",
    "rlnOpticsGroup",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnCoordinateX",
    "rlnCoordinateY",
];
const TRUTH: [&str; 6] = [
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "rlnClassNumber",
];

/// Number of the preferred direction that a particle is seen around; 0 for contaminants and empty images.
pub const VIEW: &str = "gerelionView";

/// Particle file without poses, as it goes into a refinement.
pub(super) fn particles(s: &SimulationSettings, stack: &str, truths: &[TrueParticle]) -> Document {
    document(s, &COMMON, truths, |i, t| common(stack, i, t))
}

/// The same with true angles, origins and classes, and the preferred view (0: none) of sets that have such.
pub(super) fn truth(s: &SimulationSettings, stack: &str, truths: &[TrueParticle]) -> Document {
    let view = Some(VIEW).filter(|_| s.views > 0);
    let labels: Vec<&str> = COMMON.into_iter().chain(TRUTH).chain(view).collect();
    document(s, &labels, truths, |i, t| {
        let mut row = common(stack, i, t);
        row.extend(t.angles.map(Value::Real));
        row.extend(t.shift.map(|v| Value::Real(-v * s.pixel_size)));
        row.push((t.class + 1).into());
        if view.is_some() {
            row.push(t.view.map_or(0, |v| v + 1).into());
        }
        row
    })
}

fn common(stack: &str, index: usize, t: &TrueParticle) -> Vec<Value> {
    vec![
        format!("{:06}@{stack}", index + 1).into(),
        format!("mic{:04}.mrc", t.micrograph + 1).into(),
        1usize.into(),
        t.defocus.u.into(),
        t.defocus.v.into(),
        t.defocus.angle.into(),
        t.coordinates[0].into(),
        t.coordinates[1].into(),
    ]
}

fn document(
    s: &SimulationSettings,
    labels: &[&str],
    truths: &[TrueParticle],
    row: impl Fn(usize, &TrueParticle) -> Vec<Value>,
) -> Document {
    let mut optics = Table::new_loop(
        "optics",
        &[
            "rlnOpticsGroupName",
            "rlnOpticsGroup",
            "rlnVoltage",
            "rlnSphericalAberration",
            "rlnAmplitudeContrast",
            "rlnImagePixelSize",
            "rlnImageSize",
            "rlnImageDimensionality",
        ],
    );
    optics.push_row(vec![
        optics_group(s).name.into(),
        1usize.into(),
        s.voltage.into(),
        s.spherical_aberration.into(),
        s.amplitude_contrast.into(),
        s.pixel_size.into(),
        s.box_size.into(),
        2usize.into(),
    ]);
    let mut particles = Table::new_loop("particles", labels);
    for (i, t) in truths.iter().enumerate() {
        particles.push_row(row(i, t));
    }
    Document {
        tables: vec![optics, particles],
        ..Document::default()
    }
}
