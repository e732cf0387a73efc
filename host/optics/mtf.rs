//! Modulation transfer of detectors, and how images of several detectors are brought to a common one (spec 01 §3.7).

use super::OpticsError;
use crate::dataset::OpticsGroup;
use crate::errors::{Code, Message};
use crate::formats::star::Document;
use std::path::Path;

/// Modulation transfer of a detector, from a table at equidistant frequencies.
#[derive(Debug, Clone, PartialEq)]
pub struct Mtf {
    /// Inverse pixels, equidistant.
    abscissa: Vec<f64>,
    values: Vec<f64>,
}

impl Mtf {
    /// Read `rlnResolutionInversePixel` and `rlnMtfValue` of the first table that has them.
    ///
    /// # Errors
    /// The file cannot be read, has no such table, fewer than two rows, or a value that is not above 0.
    pub fn read(path: &Path) -> Result<Self, OpticsError> {
        let fail = |message: &str| Code::MTF.says(format!("{}: {message}", path.display()));
        let document = Document::read(path).map_err(|e| Message::of(&e))?;
        let table = document.tables.iter().find(|t| t.has("rlnMtfValue"));
        let table = table.ok_or_else(|| fail(
            "there is no table with rlnMtfValue, so it is no MTF; give a STAR file with rlnResolutionInversePixel and rlnMtfValue",
        ))?;
        let column = |label| table.real_column(label).map_err(|e| Message::of(&e));
        let mtf = Self {
            abscissa: column("rlnResolutionInversePixel")?,
            values: column("rlnMtfValue")?,
        };
        if mtf.values.len() < 2 || !mtf.values.iter().all(|v| *v >= 1e-10) {
            return Err(fail("an MTF needs two rows or more, all above 0").into());
        }
        Ok(mtf)
    }

    /// Linear interpolation at `frequency` inverse pixels; constant outside the table.
    pub fn value(&self, frequency: f64) -> f64 {
        let last = self.abscissa.len() - 1;
        let step = (self.abscissa[last] - self.abscissa[0]) / last as f64;
        let at = ((frequency - self.abscissa[0]) / step).clamp(0.0, last as f64);
        let i = (at.floor() as usize).min(last - 1);
        self.values[i] + (self.values[i + 1] - self.values[i]) * (at - i as f64)
    }
}

/// Brings the images of one optics group from the transfer of its detector to the mean of all groups.
#[derive(Debug, Clone)]
pub struct MtfCorrection {
    /// MTF and Å per pixel of every group.
    detectors: Vec<(Mtf, f64)>,
    group: usize,
}

impl MtfCorrection {
    /// The correction of optics group `group`; None where all groups have the same detector, whose transfer is part of
    /// the map then.
    ///
    /// # Errors
    /// The groups name several files, and one of them cannot be used; or some groups name one and others none.
    pub fn new(optics: &[OpticsGroup], group: usize) -> Result<Option<Self>, OpticsError> {
        let first = &optics[0].mtf_file;
        if optics.iter().all(|o| o.mtf_file == *first) {
            return Ok(None);
        }
        let detector = |o: &OpticsGroup| {
            let file = o.mtf_file.as_ref().ok_or_else(|| {
                Code::MTF.says(format!(
                    "optics group '{}' has no rlnMtfFileName, but others have: the transfer of its detector is unknown. \
                     Name the file of each group, or remove the column to leave the images as they are",
                    o.name
                ))
            })?;
            let mtf = Mtf::read(Path::new(file)).map_err(|e| {
                Code::MTF.says(format!(
                    "the MTF of optics group '{}' (rlnMtfFileName) cannot be used: {e}. It is needed since the groups \
                     have different detectors; remove the column to leave the images as they are",
                    o.name
                ))
            })?;
            Ok::<_, OpticsError>((mtf, o.original_pixel_size.unwrap_or(o.pixel_size)))
        };
        let detectors = optics.iter().map(detector).collect::<Result<_, _>>()?;
        Ok(Some(Self { detectors, group }))
    }

    /// Factor of the image at a spatial frequency (1/Å).
    pub fn factor(&self, frequency: f64) -> f64 {
        let transfer = |(mtf, pixel): &(Mtf, f64)| mtf.value(frequency * pixel);
        let sum: f64 = self.detectors.iter().map(transfer).sum();
        sum / self.detectors.len() as f64 / transfer(&self.detectors[self.group])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mtf_is_linear_inside_and_constant_outside_its_table() {
        let mtf = Mtf {
            abscissa: vec![0.0, 0.25, 0.5],
            values: vec![1.0, 0.6, 0.4],
        };
        for (at, value) in [(0.125, 0.8), (0.5, 0.4), (0.7, 0.4), (-1.0, 1.0)] {
            assert!((mtf.value(at) - value).abs() < 1e-12, "{at}");
        }
    }
}
