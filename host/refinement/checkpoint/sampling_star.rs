//! `_sampling.star`: the grid of orientations and translations (spec 03 §1.4).

use crate::formats::star::columns::{columns, loop_of, push_cells};
use crate::formats::star::{Document, Table, Value};
use crate::geometry::sampling::Sampling;
use crate::refinement::checkpoint::OriginalSampling;

/// A grid as its file describes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grid {
    /// Orientations of maps, not of class averages, whose files have neither order, symmetry nor limit of tilt.
    pub of_maps: bool,
    /// HEALPix order.
    pub healpix_order: i64,
    /// Point group.
    pub symmetry: String,
    /// `--limit_tilt`, degrees.
    pub limit_tilt: f64,
    /// Coarse psi step, degrees.
    pub psi_step: f64,
    /// Range of translations, Å.
    pub offset_range: f64,
    /// Coarse step of translations, Å.
    pub offset_step: f64,
    /// Current perturbation.
    pub perturbation: f64,
    /// `--perturb`.
    pub perturbation_factor: f64,
    /// The sampling at the start of the run, where the file has it.
    pub original: Option<OriginalSampling>,
}

columns! {
    /// The table of single values.
    pub(crate) struct General(grid: Grid) {
        Required "rlnIs3DSampling" = grid.of_maps;
        Written "rlnIs3DTranslationalSampling" [false];
        Where(grid.of_maps) "rlnHealpixOrder" [grid.of_maps.then(|| Value::from(grid.healpix_order))]
            => |order: i64| grid.healpix_order = order;
        Where(grid.of_maps) "rlnSymmetryGroup" [grid.of_maps.then(|| Value::from(grid.symmetry.as_str()))]
            => |name: String| grid.symmetry = name;
        Where(grid.of_maps) "rlnTiltAngleLimit" [grid.of_maps.then(|| Value::from(grid.limit_tilt))]
            => |limit: f64| grid.limit_tilt = limit;
        Required "rlnPsiStep" = grid.psi_step;
        Required "rlnOffsetRange" = grid.offset_range;
        Required "rlnOffsetStep" = grid.offset_step;
        Written "rlnHelicalOffsetStep" [-1.0];
        Written "rlnSamplingPerturbInstance" [grid.perturbation];
        Required "rlnSamplingPerturbFactor" = grid.perturbation_factor;
        Optional "rlnHealpixOrderOriginal" [grid.original.map(|original| Value::from(i64::from(original.healpix_order)))]
            => |order: u32| grid.original.get_or_insert_default().healpix_order = order;
        Where(grid.original.is_some()) "rlnPsiStepOriginal" [grid.original.map(|original| Value::from(original.psi_step))]
            => |step: f64| grid.original.get_or_insert_default().psi_step = step;
        Where(grid.original.is_some()) "rlnOffsetRangeOriginal" [grid.original.map(|original| Value::from(original.offset_range))]
            => |range: f64| grid.original.get_or_insert_default().offset_range = range;
        Where(grid.original.is_some()) "rlnOffsetStepOriginal" [grid.original.map(|original| Value::from(original.offset_step))]
            => |step: f64| grid.original.get_or_insert_default().offset_step = step;
    }
}

columns! {
    /// One row per direction of maps, degrees.
    struct Directions(rot: f64, tilt: f64) {
        Written "rlnAngleRot" [*rot];
        Written "rlnAngleTilt" [*tilt];
    }
}

/// Table of the directions of maps.
pub(crate) const DIRECTIONS: &str = "sampling_directions";

/// Returns all tables of a sampling file.
pub(super) fn document(sampling: &Sampling, original: &OriginalSampling) -> Document {
    let mut general = Table::new_list("sampling_general");
    let grid = Grid {
        of_maps: !sampling.in_plane,
        healpix_order: i64::from(sampling.healpix_order),
        symmetry: sampling.symmetry.name().to_string(),
        limit_tilt: sampling.limit_tilt,
        psi_step: sampling.psi_step,
        offset_range: sampling.offset_range,
        offset_step: sampling.offset_step,
        perturbation: sampling.perturbation,
        perturbation_factor: sampling.perturbation_factor,
        original: Some(*original),
    };
    push_cells(&mut general, General::cells(&grid));
    let mut tables = vec![general];
    if grid.of_maps {
        let directions = sampling.directions.iter();
        let rows = directions.map(|d| Directions::cells(&d.rot, &d.tilt));
        tables.push(loop_of::<Directions>(DIRECTIONS, rows));
    }
    Document {
        tables,
        ..Document::default()
    }
}
