//! The files that a program gets and those that it answers with (spec 06 §3.2–3.4, §3.6).

use crate::errors::{Code, Message};
use crate::formats::mrc::{MrcError, write_map};
use crate::formats::star::{Document, StarError, Table};
use crate::formats::volume::read_map_if;
use crate::fourier::shape::VolumeShape;
use crate::maximization::MaximizationOptions;
use crate::maximization::external::{GivenSpectrum, PaddedSums};
use crate::model::ClassModel;
use crate::refinement::checkpoint::OutputError;
use crate::refinement::error::RunError;
use ndarray::Array3;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// RELION leaves the pixel size out of the headers, which then hold 1 Å.
const NO_PIXEL_SIZE: f64 = 1.0;

/// Lengths that the program is told, Å.
pub(super) struct Geometry {
    /// Of a voxel of the reference.
    pub pixel_size: f64,
    /// Of the mask of the particles.
    pub particle_diameter: f64,
}

/// Names of the files of one class.
pub(super) struct Files {
    /// Name of the STAR file without its ending.
    root: String,
}

impl Files {
    /// Files whose names begin with this root.
    pub(super) fn new(root: &str) -> Self {
        Self {
            root: format!("{root}_external_reconstruct"),
        }
    }

    fn with(&self, ending: &str) -> String {
        format!("{}{ending}", self.root)
    }

    /// The STAR file, the one argument of the program.
    pub(super) fn star(&self) -> String {
        self.with(".star")
    }

    /// Returns the file of the standard output of the program.
    pub(super) fn output(&self) -> PathBuf {
        self.with(".out").into()
    }

    /// Returns the file of its standard error.
    pub(super) fn errors(&self) -> PathBuf {
        self.with(".err").into()
    }

    fn map(&self) -> String {
        self.with(".mrc")
    }

    fn spectra(&self) -> String {
        self.with("_out.star")
    }

    /// Writes the arrays and the STAR file, and removes answers that an earlier run has left.
    pub(super) fn write(
        &self,
        arrays: &PaddedSums,
        shape: &VolumeShape,
        class: &ClassModel,
        options: &MaximizationOptions,
        geometry: &Geometry,
    ) -> Result<(), RunError> {
        for answer in [self.map(), self.spectra()] {
            match fs::remove_file(&answer) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Code::CANNOT_WRITE
                        .says(format!(
                            "{answer}, of an earlier run, cannot be removed: {error}"
                        ))
                        .into());
                }
                _ => {}
            }
        }
        let names = ["_data_real.mrc", "_data_imag.mrc", "_weight.mrc"].map(|end| self.with(end));
        let written = [&arrays.real, &arrays.imaginary, &arrays.weight];
        for (name, array) in names.iter().zip(written) {
            write_map(Path::new(name), array.view(), NO_PIXEL_SIZE)?;
        }
        let mut general = Table::new_list("external_reconstruct_general");
        let labels = [
            "rlnExtReconsDataReal",
            "rlnExtReconsDataImag",
            "rlnExtReconsWeight",
        ];
        for (label, name) in labels.into_iter().zip(&names) {
            general.push(label, name.as_str());
        }
        general.push("rlnExtReconsResult", self.map());
        general.push("rlnExtReconsResultStarfile", self.spectra());
        general.push("rlnTau2FudgeFactor", options.tau2_fudge);
        general.push("rlnPaddingFactor", shape.padding);
        general.push(
            "rlnReferenceDimensionality",
            i64::from(shape.dimensions.count()),
        );
        general.push("rlnOriginalImageSize", shape.box_size);
        general.push("rlnCurrentImageSize", 2 * shape.r_max);
        general.push("rlnPixelSize", geometry.pixel_size);
        general.push("rlnParticleDiameter", geometry.particle_diameter);
        let document = Document {
            tables: vec![general, spectra_table(class)],
            ..Document::default()
        };
        let name = self.star();
        let written = document.write(Path::new(&name));
        Ok(written.map_err(OutputError::from)?)
    }

    /// Reads the map that the program has made.
    ///
    /// # Errors
    /// There is none, its size is another, or values are not finite.
    pub(super) fn read_map(
        &self,
        (sections, height, width): (usize, usize, usize),
        line: &str,
    ) -> Result<Array3<f64>, RunError> {
        let name = self.map();
        let wrong = |text: String| -> Message { answer(line, &name, &text) };
        if !Path::new(&name).is_file() {
            return Err(wrong("it has not written the map".into()).into());
        }
        let size = |[x, y, z]: [usize; 3]| match [x, y, z] == [width, height, sections] {
            true => Ok(()),
            false => Err(wrong(format!(
                "the map has {x} × {y} × {z} voxels (x × y × z), and {width} × {height} × {sections} are expected"
            ))),
        };
        let map =
            read_map_if(Path::new(&name), &size).map_err(|error| in_words(error, line, &name))?;
        if let Some(((z, y, x), value)) = map.data.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(wrong(format!("voxel ({x}, {y}, {z}) of the map is {value}")).into());
        }
        Ok(map.data.mapv(f64::from))
    }

    /// Reads the spectrum that the program may have written.
    ///
    /// # Errors
    /// The file has no spectrum, or values are not finite.
    pub(super) fn read_spectrum(&self, line: &str) -> Result<Option<GivenSpectrum>, RunError> {
        let name = self.spectra();
        if !Path::new(&name).is_file() {
            return Ok(None);
        }
        let found =
            spectrum_of(Path::new(&name)).map_err(|error| answer(line, &name, &error.text))?;
        Ok(Some(found))
    }
}

fn spectra_table(class: &ClassModel) -> Table {
    let labels = ["rlnSpectralIndex", "rlnReferenceTau2", "rlnGoldStandardFsc"];
    let mut table = Table::new_loop("external_reconstruct_tau2", &labels);
    for (shell, (tau2, fsc)) in class.tau2.iter().zip(&class.fsc).enumerate() {
        table.push_row(vec![shell.into(), (*tau2).into(), (*fsc).into()]);
    }
    table
}

fn spectrum_of(path: &Path) -> Result<GivenSpectrum, Message> {
    let star = |error: StarError| Message::of(&error);
    let document = Document::read(path).map_err(star)?;
    let table = document.require("").map_err(star)?;
    let shells = table.integer_column("rlnSpectralIndex").map_err(star)?;
    let (label, given): (_, fn(_) -> _) = match table.has("rlnReferenceTau2") {
        true => ("rlnReferenceTau2", GivenSpectrum::Tau2),
        false => ("rlnFourierShellCorrelation", GivenSpectrum::Fsc),
    };
    let values = table.real_column(label).map_err(star)?;
    let mut spectrum = Vec::new();
    for (shell, value) in shells.into_iter().zip(values) {
        let shell = usize::try_from(shell).ok().filter(|_| value.is_finite());
        let Some(shell) = shell else {
            return Err(Code::STAR_VALUE.says(format!(
                "rlnSpectralIndex cannot be negative and {label} must be a finite number; a row has {value}"
            )));
        };
        spectrum.push((shell, value));
    }
    Ok(given(spectrum))
}

/// An error about a file that the program has written.
fn answer(line: &str, name: &str, trouble: &str) -> Message {
    Code::EXTERNAL_RESULT.says(format!(
        "the program that makes the maps has ended well, but its answer cannot be used: {trouble} ({name}). It was called as: {line}. \
         Call it by hand to see what is wrong; what it was given is still there. Then go on from the last finished iteration \
         with --continue"
    ))
}

/// The judgement of the size is passed on; anything else is about the file.
fn in_words(error: MrcError, line: &str, name: &str) -> Message {
    let message = Message::of(&error);
    match message.code == Code::EXTERNAL_RESULT {
        true => message,
        false => answer(line, name, &message.text),
    }
}
