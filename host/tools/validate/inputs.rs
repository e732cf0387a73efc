//! Files of a finished refinement: half maps, particles, options.

use super::support::Support;
use super::{ValidateError, ValidateSettings};
use crate::dataset::copies::first_of_each_image;
use crate::errors::Code;
use crate::formats::star::{Document, Table};
use crate::geometry::symmetry::PointGroup;
use crate::tools::density;
use crate::tools::fsc::common_pixel_size;
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// Inputs of the checks. Everything but the half maps may be missing.
pub(super) struct Inputs {
    /// File of half map 1.
    pub half1: PathBuf,
    /// Unfiltered half maps.
    pub halves: [Array3<f64>; 2],
    /// Å per voxel, by the headers of the half maps.
    pub pixel_size: f64,
    /// Region of the structure.
    pub support: Support,
    /// Point group; C1 where no sampling file says.
    pub symmetry: PointGroup,
    /// Diameter of the particle, Å.
    pub diameter: Option<f64>,
    /// Particles, where their table was found.
    pub particles: Option<Particles>,
    /// Pixel sizes (Å) that other files state, with the name of the place.
    pub stated_pixel_sizes: Vec<(String, f64)>,
    /// For the user.
    pub warnings: Vec<String>,
}

/// Columns of the particle table; empty where the table lacks them.
#[derive(Debug, Default)]
pub(super) struct Particles {
    /// Number of particles.
    pub count: usize,
    /// Rot and tilt, degrees.
    pub directions: Vec<[f64; 2]>,
    /// Half-set of each, 1 or 2.
    pub halves: Vec<u8>,
    /// Index of the first particle with the same image.
    pub first_with_same_image: Vec<usize>,
    /// Micrograph of each particle, and its centre on it in Å.
    pub places: Vec<(String, [f64; 2])>,
}

impl Inputs {
    /// Reads the files of a refinement.
    pub(super) fn read(settings: &ValidateSettings) -> Result<Self, ValidateError> {
        let prefix = &settings.prefix;
        let file = |tail: &str| PathBuf::from(format!("{prefix}{tail}"));
        let paths = [1, 2].map(|half| file(&format!("_half{half}_class001_unfil.mrc")));
        if let Some(missing) = paths.iter().find(|path| !path.is_file()) {
            return Err(Code::FILE_MISSING
                .says(format!(
                    "{}: there is no such file, but a finished auto-refinement leaves its unfiltered half maps under this \
                     name; give the output root of the refinement (its --o), and let it end first",
                    missing.display()
                ))
                .into());
        }
        let read = |path: &Path| density::read_density(path).map_err(|e| ValidateError::of(&e));
        let maps = [read(&paths[0])?, read(&paths[1])?];
        let pixel_size = common_pixel_size((&paths[0], &maps[0]), (&paths[1], &maps[1]))
            .map_err(|e| ValidateError::of(&e))?;
        let halves = maps.map(|map| map.data.mapv(f64::from));
        let mut warnings = Vec::new();
        let mut document = |tail: &str, wanted: &str| -> Result<Option<Document>, ValidateError> {
            let path = file(tail);
            if path.is_file() {
                return Ok(Some(
                    Document::read(&path).map_err(|e| ValidateError::of(&e))?,
                ));
            }
            warnings.push(format!("{}: not found; {wanted}", path.display()));
            Ok(None)
        };
        let sampling = document("_sampling.star", "the point group is taken for C1")?;
        let optimiser = document(
            "_optimiser.star",
            "the diameter of the particle is not known",
        )?;
        let model = document("_model.star", "its pixel size is not compared")?;
        let data = document("_data.star", "checks of the particles are left out")?;
        let symmetry = symmetry(sampling.as_ref())?;
        let general = optimiser
            .as_ref()
            .and_then(|d| d.table("optimiser_general"));
        let diameter = general
            .and_then(|table| table.real(0, "rlnParticleDiameter").ok())
            .filter(|d| d.is_finite() && *d > 0.0);
        let own_mask = general
            .and_then(|table| table.text(0, "rlnSolventMaskName").ok())
            .filter(|name| !matches!(*name, "None" | ""))
            .map(PathBuf::from)
            .filter(|path| path.is_file());
        let mask = settings.mask.clone().or(own_mask);
        let support = match &mask {
            Some(path) => Support::read(path, &halves, pixel_size, &mut warnings)?,
            None => Support::from_map(&halves, pixel_size, diameter)?,
        };
        let particles = match &data {
            Some(document) => Some(Particles::from_document(document, &file("_data.star"))?),
            None => None,
        };
        let [half1, _] = paths;
        Ok(Self {
            half1,
            halves,
            pixel_size,
            support,
            symmetry,
            diameter,
            particles,
            stated_pixel_sizes: stated_pixel_sizes(model.as_ref(), data.as_ref()),
            warnings,
        })
    }

    /// Side of the box, voxels.
    pub(super) fn n(&self) -> usize {
        self.halves[0].dim().0
    }

    /// Side of the box, Å.
    pub(super) fn extent(&self) -> f64 {
        self.n() as f64 * self.pixel_size
    }
}

fn symmetry(sampling: Option<&Document>) -> Result<PointGroup, ValidateError> {
    let name = sampling
        .and_then(|d| d.table("sampling_general"))
        .and_then(|table| table.text(0, "rlnSymmetryGroup").ok());
    PointGroup::parse(name.unwrap_or("C1")).map_err(|e| ValidateError::of(&e))
}

/// Pixel sizes in the model and in the optics groups; images are compared with the maps only where all groups have one.
fn stated_pixel_sizes(model: Option<&Document>, data: Option<&Document>) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    let general = model.and_then(|d| d.table("model_general"));
    if let Some(size) = general.and_then(|table| table.real(0, "rlnPixelSize").ok()) {
        found.push(("the model file".to_owned(), size));
    }
    let optics = data.and_then(|d| d.table("optics"));
    if let Some(sizes) = optics.and_then(|table| table.real_column("rlnImagePixelSize").ok()) {
        let same = sizes.windows(2).all(|pair| pair[0] == pair[1]);
        if let (true, Some(size)) = (same, sizes.first()) {
            found.push(("the optics table".to_owned(), *size));
        }
    }
    found
}

impl Particles {
    fn from_document(document: &Document, path: &Path) -> Result<Self, ValidateError> {
        Self::from_table(document, path).map_err(|e| ValidateError::of(&e))
    }

    fn from_table(
        document: &Document,
        path: &Path,
    ) -> Result<Self, crate::formats::star::StarError> {
        let table = document.require("particles")?;
        let column = |label: &str| match table.has(label) {
            true => table.real_column(label),
            false => Ok(Vec::new()),
        };
        let directions = column("rlnAngleRot")?
            .into_iter()
            .zip(column("rlnAngleTilt")?)
            .map(|(rot, tilt)| [rot, tilt])
            .filter(|pair| pair.iter().all(|v| v.is_finite()))
            .collect();
        let halves = match table.has("rlnRandomSubset") {
            true => table.integer_column("rlnRandomSubset")?,
            false => Vec::new(),
        };
        let first_with_same_image = match table.has("rlnImageName") {
            true => first_of_each_image(table.texts("rlnImageName")?, path),
            false => Vec::new(),
        };
        Ok(Self {
            count: table.len(),
            directions,
            halves: halves
                .iter()
                .map(|half| (*half).clamp(0, 2) as u8)
                .collect(),
            first_with_same_image,
            places: places(document, table)?,
        })
    }
}

/// Centres of particles on their micrographs: picked coordinates less the refined origins, Å. Empty where a column or the
/// pixel size of the micrographs is missing.
fn places(
    document: &Document,
    table: &Table,
) -> Result<Vec<(String, [f64; 2])>, crate::formats::star::StarError> {
    let optics = document.table("optics");
    let Some(pixel_size) = optics.and_then(|t| t.real(0, "rlnMicrographOriginalPixelSize").ok())
    else {
        return Ok(Vec::new());
    };
    let needed = [
        "rlnMicrographName",
        "rlnCoordinateX",
        "rlnCoordinateY",
        "rlnOriginXAngst",
        "rlnOriginYAngst",
    ];
    if needed.iter().any(|label| !table.has(label)) {
        return Ok(Vec::new());
    }
    let [x, y, dx, dy] = [needed[1], needed[2], needed[3], needed[4]];
    let (x, y) = (table.real_column(x)?, table.real_column(y)?);
    let (dx, dy) = (table.real_column(dx)?, table.real_column(dy)?);
    let names = table.texts(needed[0])?;
    Ok(names
        .enumerate()
        .map(|(i, name)| {
            let at = [x[i] * pixel_size - dx[i], y[i] * pixel_size - dy[i]];
            (name.to_owned(), at)
        })
        .collect())
}
