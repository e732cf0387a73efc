//! Widths of local searches, and the group that is relaxed in them (spec 01 §4.5, spec 06 §1.1).

use crate::options::CommandLine;
use crate::refinement::settings::{DEFAULT_OFFSET_STEP, Settings};

/// Width of all three angles, degrees, where `--relax_sym` is given without any: nothing but the nearest orientation of the
/// grid is searched around each symmetry mate.
const RELAXED_WIDTH: f64 = 0.0033;

/// Returns the widths of rot, tilt and psi, degrees (≤ 0: off).
pub(crate) fn widths(line: &CommandLine) -> [f64; 3] {
    let widths = match line.positive("--sigma_ang") {
        Some(sigma) => [sigma; 3],
        None => ["--sigma_rot", "--sigma_tilt", "--sigma_psi"].map(|name| line.real(name)),
    };
    match relaxed_group(line) {
        Some(_) if widths.iter().all(|&sigma| sigma <= 0.0) => [RELAXED_WIDTH; 3],
        _ => widths,
    }
}

/// Returns the name of the group of `--relax_sym`.
pub(crate) fn relaxed_group(line: &CommandLine) -> Option<String> {
    line.name_given("--relax_sym").map(str::to_owned)
}

/// Why the relaxation of symmetry cannot be combined with another option.
pub(crate) fn excluded_by(settings: &Settings) -> Option<&'static str> {
    settings.relaxed_symmetry.as_ref()?;
    if settings.gradient.on {
        return Some(
            "--relax_sym cannot be combined with --grad: it starts from the orientations of a refinement, and --grad finds them. \
             Leave out one of them",
        );
    }
    let [rot, tilt, _] = settings.sigma_angles;
    let one_sided = (rot > 0.0) != (tilt > 0.0);
    one_sided.then_some(
        "--relax_sym searches around the symmetry mates of a direction and needs both --sigma_rot and --sigma_tilt, or \
         --sigma_ang, or none of them",
    )
}

/// Returns a warning where the first pass of a search with `--relax_sym` steps over the offset that tells symmetry mates apart.
///
/// The first pass leaves out whatever mate does not fit at its best offset of the grid, which is up to half a step from the true one.
/// In a simulation (`tests/relaxed_symmetry.rs`, resolution 15 Å) steps of 12 Å mixed the mates and steps of 6 Å did not.
///
/// `pixel_size`: of the references, Å.
pub(crate) fn coarse_offsets(settings: &Settings, pixel_size: f64) -> Option<String> {
    let group = settings.relaxed_symmetry.as_ref()?;
    let step = settings.offset_step.unwrap_or(DEFAULT_OFFSET_STEP);
    let resolution = settings.initial_low_pass.unwrap_or(2.0 * pixel_size);
    let in_angstrom = step * pixel_size;
    (in_angstrom > resolution / 2.0).then(|| {
        format!(
            "--relax_sym {group}: steps of the offset of {in_angstrom:.1} Å (--offset_step {step} pixels) are more than half of the \
             resolution of the references ({resolution:.1} Å). The first pass may then discard the right symmetry mate because no \
             offset of the grid fits it, and the orientations of the mates become mixed. Use an --offset_step of at most \
             {:.2} pixels.",
            resolution / 4.0 / pixel_size
        )
    })
}
