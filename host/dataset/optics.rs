//! The optics table (spec 03 §1.3).

use super::{DatasetError, OpticsGroup, ReadOptions};
use crate::errors::Code;
use crate::formats::angstrom::Angstrom;
use crate::formats::star::{StarError, Table, Value};
use std::collections::HashMap;
use std::path::Path;

/// Optics groups of a table and the index of each group's number.
pub(super) struct Optics {
    pub groups: Vec<OpticsGroup>,
    /// From `rlnOpticsGroup` as written to index.
    pub index: HashMap<i64, usize>,
}

/// Largest relative difference between `--angpix` and the file that passes without a warning.
const PIXEL_TOLERANCE: f64 = 0.005;

/// Read the groups; `box_of` gives the box of a group whose table lacks it, from its first image.
///
/// Missing box sizes and pixel sizes that were found elsewhere are added to the table, and the group numbers in it
/// become 1…n.
pub(super) fn read_optics(
    path: &Path,
    table: &mut Table,
    options: &ReadOptions,
    box_of: impl Fn(i64) -> Result<usize, DatasetError>,
    warnings: &mut Vec<String>,
) -> Result<Optics, DatasetError> {
    let mut optics = Optics {
        groups: Vec::new(),
        index: HashMap::new(),
    };
    let without_box = !table.has("rlnImageSize");
    for row in 0..table.len() {
        let row = Row { path, table, row };
        let number = row.number()?;
        if optics.index.insert(number, row.row).is_some() {
            return Err(row.fail(
                Code::OPTICS_GROUPS,
                format!(
                    "optics group {number} is there twice; give each group a number of its own"
                ),
            ));
        }
        let pixel_size = row.pixel_size(number, options, warnings)?;
        let box_size = row.box_size(|| box_of(number))?;
        let group = group(table, row.row, number, pixel_size, box_size)?;
        if options.need_ctf && !group.ctf_corrected {
            let missing = missing_microscope(&group);
            if !missing.is_empty() {
                return Err(row.fail(
                    Code::CTF_PARAMETERS,
                    format!(
                        "CTF correction (--ctf) needs {} in the optics table; add it, or run without --ctf",
                        missing.join(", ")
                    ),
                ));
            }
        }
        optics.groups.push(group);
    }
    complete(table, &optics, without_box, warnings);
    Ok(optics)
}

/// A row of the optics table.
struct Row<'a> {
    path: &'a Path,
    table: &'a Table,
    row: usize,
}

impl Row<'_> {
    fn fail(&self, code: Code, message: String) -> DatasetError {
        let place = self.table.place(self.row, "rlnOpticsGroup");
        DatasetError::about(code, self.path, format!("{place}: {message}"))
    }

    /// Returns the number of the group, whose images must be 2D.
    fn number(&self) -> Result<i64, DatasetError> {
        let number = match self.table.has("rlnOpticsGroup") {
            true => self.table.integer(self.row, "rlnOpticsGroup")?,
            false if self.table.len() == 1 => 1,
            false => {
                return Err(self.fail(
                    Code::OPTICS_GROUPS,
                    "several optics groups need the column rlnOpticsGroup".into(),
                ));
            }
        };
        let label = "rlnImageDimensionality";
        if self.table.has(label) && self.table.integer(self.row, label)? != 2 {
            return Err(self.fail(
                Code::PARTICLE_KIND,
                "the particles are not 2D images; subtomograms cannot be refined by this program. Refine them with RELION"
                    .into(),
            ));
        }
        Ok(number)
    }

    /// Returns Å per pixel; warns where `--angpix` says otherwise.
    fn pixel_size(
        &self,
        number: i64,
        options: &ReadOptions,
        warnings: &mut Vec<String>,
    ) -> Result<f64, DatasetError> {
        let pixel_size = pixel_size(self.table, self.row, options)?.ok_or_else(|| {
            self.fail(
                Code::PIXEL_SIZE,
                "the pixel size is missing (rlnImagePixelSize); give it with --angpix".into(),
            )
        })?;
        if !(pixel_size.is_finite() && pixel_size > 0.0) {
            return Err(self.fail(
                Code::PIXEL_SIZE,
                format!(
                    "the pixel size is {} Å; it must be positive: correct rlnImagePixelSize",
                    Angstrom(pixel_size)
                ),
            ));
        }
        if let Some(given) = options.pixel_size
            && (given / pixel_size - 1.0).abs() > PIXEL_TOLERANCE
        {
            warnings.push(format!(
                "--angpix gives {} Å per pixel, {} gives {} for optics group {number}: the file counts",
                Angstrom(given),
                self.path.display(),
                Angstrom(pixel_size)
            ));
        }
        Ok(pixel_size)
    }

    /// Returns the box in pixels; `of_image` gives that of the first image where the table lacks it.
    fn box_size(
        &self,
        of_image: impl FnOnce() -> Result<usize, DatasetError>,
    ) -> Result<usize, DatasetError> {
        let box_size = match self.table.has("rlnImageSize") {
            true => self.table.integer(self.row, "rlnImageSize")?,
            false => of_image()? as i64,
        };
        if box_size < 2 || box_size % 2 != 0 || box_size > 1 << 15 {
            return Err(self.fail(
                Code::IMAGE_SIZE,
                format!(
                    "the images have {box_size} pixels a side; an even number is needed: extract or crop them again"
                ),
            ));
        }
        Ok(box_size as usize)
    }
}

/// Labels of the microscope's values that the CTF needs and the group lacks.
fn missing_microscope(group: &OpticsGroup) -> Vec<&'static str> {
    [
        ("rlnVoltage", group.voltage),
        ("rlnSphericalAberration", group.spherical_aberration),
        ("rlnAmplitudeContrast", group.amplitude_contrast),
    ]
    .into_iter()
    .filter_map(|(label, value)| value.is_none().then_some(label))
    .collect()
}

/// Put into the table what was found elsewhere, and number its rows 1…n.
fn complete(table: &mut Table, optics: &Optics, without_box: bool, warnings: &mut Vec<String>) {
    let in_order = (0..table.len()).all(|row| optics.index.get(&(row as i64 + 1)) == Some(&row));
    if !in_order {
        warnings.push(
            "the optics groups are not numbered 1, 2, …: they are renumbered in file order".into(),
        );
    }
    for (row, group) in optics.groups.iter().enumerate() {
        table.set(row, "rlnOpticsGroup", Value::from(row + 1));
        table.set(row, "rlnOpticsGroupName", Value::from(group.name.as_str()));
        if without_box {
            table.set(row, "rlnImageSize", Value::from(group.box_size));
        }
        table.set(row, "rlnImagePixelSize", Value::Real(group.pixel_size));
        table.add_column("rlnImageDimensionality", Value::Integer(2));
    }
}

fn pixel_size(table: &Table, row: usize, options: &ReadOptions) -> Result<Option<f64>, StarError> {
    for label in [
        "rlnImagePixelSize",
        "rlnMicrographPixelSize",
        "rlnMicrographOriginalPixelSize",
        "rlnTomoTiltSeriesPixelSize",
    ] {
        if table.has(label) {
            return table.real(row, label).map(Some);
        }
    }
    Ok(options.pixel_size)
}

fn group(
    table: &Table,
    row: usize,
    number: i64,
    pixel_size: f64,
    box_size: usize,
) -> Result<OpticsGroup, StarError> {
    let real = |label: &str| table.has(label).then(|| table.real(row, label)).transpose();
    let vector = |label: &str| {
        let values = table.has(label).then(|| table.vector(row, label));
        values.transpose().map(Option::unwrap_or_default)
    };
    let flag = |label: &str| {
        let value = table.has(label).then(|| table.boolean(row, label));
        value.transpose().map(Option::unwrap_or_default)
    };
    let text = |label: &str| {
        let value = table
            .has(label)
            .then(|| table.text(row, label))
            .transpose()?;
        Ok::<_, StarError>(
            value
                .filter(|t| !t.is_empty() && *t != "None")
                .map(String::from),
        )
    };
    Ok(OpticsGroup {
        name: text("rlnOpticsGroupName")?.unwrap_or_else(|| format!("opticsGroup{number}")),
        pixel_size,
        box_size,
        voltage: real("rlnVoltage")?,
        spherical_aberration: real("rlnSphericalAberration")?,
        amplitude_contrast: real("rlnAmplitudeContrast")?,
        beam_tilt: [
            real("rlnBeamTiltX")?.unwrap_or(0.0),
            real("rlnBeamTiltY")?.unwrap_or(0.0),
        ],
        odd_zernike: vector("rlnOddZernike")?,
        even_zernike: vector("rlnEvenZernike")?,
        magnification: [
            [
                real("rlnMagMat00")?.unwrap_or(1.0),
                real("rlnMagMat01")?.unwrap_or(0.0),
            ],
            [
                real("rlnMagMat10")?.unwrap_or(0.0),
                real("rlnMagMat11")?.unwrap_or(1.0),
            ],
        ],
        mtf_file: text("rlnMtfFileName")?,
        original_pixel_size: real("rlnMicrographOriginalPixelSize")?,
        ctf_premultiplied: flag("rlnCtfDataAreCtfPremultiplied")?,
        ctf_corrected: flag("rlnCtfDataAreCtfCorrected")?,
    })
}
