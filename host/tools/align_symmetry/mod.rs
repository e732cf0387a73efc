//! Turning a map that was refined without symmetry so that its symmetry axes lie where the point group has them, as
//! `relion_align_symmetry` does (spec 05 §14).

mod choice;
mod criterion;
mod frequencies;
mod self_rotations;

pub use choice::Choice;

use super::density::{other_pixel_size, read_density};
use super::progress::Progress;
use super::rotation::{search, turner::Turner};
use crate::errors::{Code, Message, wrapping_error};
use crate::formats::mrc::{MrcError, write_map};
use crate::formats::replace::check_map_output;
use crate::formats::star::StarError;
use crate::fourier::shells::ceil;
use crate::geometry::symmetry::{PointGroup, SymmetryError};
use crate::geometry::{Matrix3, euler};
use crate::maximization::{centre_of_mass, shifted};
use choice::Candidate;
use criterion::Criterion;
use ndarray::Array3;
use search::{Costs, Search};
use self_rotations::SelfRotations;
use std::path::PathBuf;

/// Shells of the first look at all orientations.
const COARSE_SHELLS: usize = 12;

/// Values of the transform that are read at most for one orientation of the search: a part of the high frequencies tells the
/// orientation as well.
const MOST_VALUES: usize = 150_000;

/// Orientations that are judged at the least: half a degree apart about z, or some 5° apart.
const LEAST_ORIENTATIONS: [usize; 2] = [720, 120_000];

/// Share of the power that breaks the symmetry from which the user is warned.
const DOUBTFUL: f64 = 0.25;

/// Largest box that is searched in: more has no use, and takes long.
const LARGEST_BOX: usize = 512;

wrapping_error! {
    /// Error of an alignment: on which file, why, what to try.
    pub enum AlignError {
        /// The model file.
        Star(StarError),
        /// A map.
        Map(MrcError),
        /// The point group.
        Symmetry(SymmetryError),
    }
}

/// Options of an alignment.
#[derive(Debug, Clone)]
pub struct AlignSettings {
    /// Map, or model file that names maps.
    pub input: PathBuf,
    /// Map to write.
    pub output: PathBuf,
    /// Point group.
    pub symmetry: String,
    /// Which class of a model file.
    pub choice: Choice,
    /// Box that orientations are searched in, pixels.
    pub box_size: usize,
    /// Leave the centre of mass where it is.
    pub keep_centre: bool,
    /// Å per voxel; None: from the header.
    pub pixel_size: Option<f64>,
    /// Highest resolution of the search, Å.
    pub resolution: Option<f64>,
    /// Orientations tried first, and those around the best of them.
    pub search: Search,
    /// Oversampling of the transform.
    pub padding: f64,
    /// Replace the map by its mean over the point group.
    pub apply_symmetry: bool,
    /// Take the nearest voxel of the transform from this shell on, instead of interpolating.
    pub nearest_from: Option<f64>,
}

/// Results of an alignment.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned {
    /// Map that was taken.
    pub map: PathBuf,
    /// Its class (from 1) and the number of classes, where a model file was given.
    pub class: Option<(usize, usize)>,
    /// How it was turned; None for C1, where nothing is.
    pub turn: Option<Turn>,
    /// For the user.
    pub warnings: Vec<String>,
}

/// How a map was turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Where its centre of mass was, Å from the box centre; None where it was left there.
    pub shift: Option<[f64; 3]>,
    /// Matrix A: out(r) = in(Aᵀ r).
    pub rotation: Matrix3,
    /// Share of the power of the map, up to the resolution of the search, that does not have the symmetry.
    pub broken: f64,
}

/// A map that was read, and centred where that was asked for.
struct Loaded {
    map: Array3<f64>,
    pixel_size: f64,
    shift: Option<[f64; 3]>,
    /// About its pixel size, for the user.
    warning: Option<String>,
}

/// Aligns a map with the symmetry axes of a point group and writes it.
///
/// # Errors
/// Files cannot be read or written; the point group is unknown; values of options make no sense; a map is no even cube or does
/// not tell its pixel size.
pub fn run(settings: &AlignSettings, progress: Progress) -> Result<Aligned, AlignError> {
    let group = PointGroup::parse(&settings.symmetry)?;
    settings.check()?;
    let is_c1 = group.order() == 1;
    let candidates = choice::candidates(&settings.input, settings.choice, is_c1)?;
    for candidate in &candidates {
        check_map_output(&[&candidate.path, &settings.input], &settings.output)?;
    }
    if is_c1 {
        let candidate = &candidates[0];
        let loaded = load(settings, candidate, false)?;
        write(settings, &loaded.map, loaded.pixel_size)?;
        return Ok(Aligned {
            map: candidate.path.clone(),
            class: candidate.class,
            turn: None,
            warnings: loaded.warning.into_iter().collect(),
        });
    }
    let mut best: Option<(&Candidate, Loaded, Turn)> = None;
    for candidate in &candidates {
        let loaded = {
            let _reading = progress.phase("Reading and centring the map", 0);
            load(settings, candidate, !settings.keep_centre)?
        };
        let turn = orientation(settings, &loaded, &group, progress);
        if best.as_ref().is_none_or(|(_, _, b)| turn.broken < b.broken) {
            best = Some((candidate, loaded, turn));
        }
    }
    let (candidate, loaded, turn) = best.expect("there is at least one map to try");
    let turner = transformed(settings, &loaded, 0, progress);
    let mut matrices = vec![turn.rotation];
    if settings.apply_symmetry {
        let copy = |g: &Matrix3| euler::multiply(g, &turn.rotation);
        matrices.extend(group.operators().iter().map(copy));
    }
    let turned = {
        let _turning = progress.phase("Turning the map", 0);
        turner.turned(&matrices)
    };
    write(settings, &turned, loaded.pixel_size)?;
    let warnings = [
        loaded.warning,
        beyond_nyquist(settings, loaded.pixel_size),
        little_symmetry(settings, turn.broken),
    ];
    Ok(Aligned {
        map: candidate.path.clone(),
        class: candidate.class,
        turn: Some(turn),
        warnings: warnings.into_iter().flatten().collect(),
    })
}

fn beyond_nyquist(settings: &AlignSettings, pixel_size: f64) -> Option<String> {
    let (resolution, nyquist) = (settings.resolution?, 2.0 * pixel_size);
    (resolution < nyquist).then(|| {
        format!(
            "--maxres {resolution} Å is beyond {nyquist} Å, the finest that pixels of {pixel_size} Å hold: the search goes no further. \
             Is the pixel size right (--angpix)?"
        )
    })
}

/// Warns where a point group takes more of a map than noise does.
fn little_symmetry(settings: &AlignSettings, broken: f64) -> Option<String> {
    let is_lost = match settings.apply_symmetry {
        true => "was lost when it was symmetrised (--apply_sym)",
        false => "would be lost if it were symmetrised",
    };
    (broken > DOUBTFUL).then(|| {
        format!(
            "the map shows little of the symmetry {}: {:.0} % of its power up to the resolution of the search {is_lost}. Look at the \
             map: the point group may be another one, or the map not good enough to show it.",
            settings.symmetry,
            100.0 * broken
        )
    })
}

impl AlignSettings {
    fn check(&self) -> Result<(), Message> {
        let refuse = |option: &str, value: String, must: &str| {
            Err(Code::BAD_VALUE.says(format!("{option} is {value}, but must be {must}")))
        };
        if !(8..=LARGEST_BOX).contains(&self.box_size) || !self.box_size.is_multiple_of(2) {
            let must = format!("an even number of pixels from 8 to {LARGEST_BOX}");
            return refuse("--box_size", self.box_size.to_string(), &must);
        }
        if !(1..=100_000).contains(&self.search.uniform) {
            return refuse(
                "--nr_uniform",
                self.search.uniform.to_string(),
                "from 1 to 100000 orientations",
            );
        }
        let step = self.search.step;
        if !(0.01..=45.0).contains(&step) {
            return refuse(
                "--local_search_step",
                step.to_string(),
                "from 0.01 to 45 degrees",
            );
        }
        if self.search.range > 20 {
            let range = self.search.range.to_string();
            return refuse("--local_search_range", range, "from 0 to 20 steps");
        }
        if !(1.0..=8.0).contains(&self.padding) {
            return refuse("--pad", self.padding.to_string(), "from 1 to 8");
        }
        Ok(())
    }
}

/// Reads a map, and moves its centre of mass to the centre of the box where `centred`.
fn load(
    settings: &AlignSettings,
    candidate: &Candidate,
    centred: bool,
) -> Result<Loaded, AlignError> {
    let read = read_density(&candidate.path)?;
    let Some(pixel_size) = settings.pixel_size.or(read.pixel_size) else {
        let text = "the header of the map gives no pixel size; give it with --angpix";
        return Err(Code::MAP_PIXEL_SIZE
            .says(text)
            .about(candidate.path.display())
            .into());
    };
    let given = settings.pixel_size;
    let warning = given.and_then(|given| other_pixel_size(&candidate.path, &read, given));
    let map = read.data.mapv(f64::from);
    let shift = match centred {
        true => centre_of_mass(&map),
        false => None,
    };
    Ok(Loaded {
        map: match shift {
            Some(shift) => shifted(&map, shift),
            None => map,
        },
        pixel_size,
        shift: shift.map(|s| s.map(|v| v * pixel_size)),
        warning,
    })
}

/// Transforms the map as far as shell `r_max`; 0: all of them.
fn transformed(
    settings: &AlignSettings,
    loaded: &Loaded,
    r_max: usize,
    progress: Progress,
) -> Turner {
    let _transforming = progress.phase("Transforming the map", 0);
    let turner = Turner::new(&loaded.map, settings.padding, r_max);
    match settings.nearest_from {
        Some(shell) => turner.nearest_from(shell),
        None => turner,
    }
}

/// Searches the orientation in which the map comes closest to the symmetry.
fn orientation(
    settings: &AlignSettings,
    loaded: &Loaded,
    group: &PointGroup,
    progress: Progress,
) -> Turn {
    let n = loaded.map.dim().0;
    let mut r_max = settings.box_size.min(n) / 2;
    if let Some(resolution) = settings.resolution {
        let shell = ceil(n as f64 * loaded.pixel_size / resolution).max(1);
        r_max = r_max.min(shell as usize);
    }
    // Only the shells of the smaller box are kept, which is what cropping to it would leave.
    let turner = transformed(settings, loaded, r_max, progress);
    let operators = group.operators();
    let coarse = r_max.min(COARSE_SHELLS);
    let criterion = |shells, most| Criterion::new(&turner, operators, shells, most);
    let rough = SelfRotations::new(&turner, operators, coarse, progress);
    let cheap = criterion(coarse, MOST_VALUES / 5);
    let whole = criterion(r_max, MOST_VALUES);
    let costs = Costs {
        rough: |a: &Matrix3| rough.cost(a),
        cheap: |a: &Matrix3| cheap.broken(a),
        whole: |a: &Matrix3| whole.broken(a),
    };
    let mut search = settings.search;
    let [about_z, all] = LEAST_ORIENTATIONS;
    search.uniform = search
        .uniform
        .max(if search.axis_only { about_z } else { all });
    let best = search::smallest(&search, &costs, operators, progress);
    Turn {
        shift: loaded.shift,
        rotation: best.rotation,
        broken: criterion(r_max, usize::MAX).broken(&best.rotation),
    }
}

fn write(settings: &AlignSettings, map: &Array3<f64>, pixel_size: f64) -> Result<(), AlignError> {
    let narrow = map.mapv(|v| v as f32);
    Ok(write_map(&settings.output, narrow.view(), pixel_size)?)
}

#[cfg(test)]
mod tests;
