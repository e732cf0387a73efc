//! Particle tables from before RELION 3.1: no optics table, offsets in pixels (spec 03 §1.5).

use super::{DatasetError, ReadOptions};
use crate::errors::Code;
use crate::formats::angstrom::Angstrom;
use crate::formats::star::PLACEHOLDER;
use crate::formats::star::{Table, Value};
use std::collections::HashMap;
use std::path::Path;

/// Columns whose values make an optics group and move to the optics table.
const GROUP_COLUMNS: &[&str] = &[
    "rlnAmplitudeContrast",
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnSphericalAberration",
    "rlnVoltage",
    "rlnDetectorPixelSize",
    "rlnMagnification",
    // Not of RELION's old layouts: other programs write it beside them.
    "rlnImagePixelSize",
];

/// Lengths in pixels and the columns in Å that replace them.
const LENGTHS: &[(&str, &str)] = &[
    ("rlnOriginX", "rlnOriginXAngst"),
    ("rlnOriginY", "rlnOriginYAngst"),
    ("rlnOriginZ", "rlnOriginZAngst"),
    ("rlnOriginXPrior", "rlnOriginXPriorAngst"),
    ("rlnOriginYPrior", "rlnOriginYPriorAngst"),
    ("rlnOriginZPrior", "rlnOriginZPriorAngst"),
    ("rlnHelicalTrackLength", "rlnHelicalTrackLengthAngst"),
];

/// Version of the layout that has an optics table; a table of this version without one is damaged.
const CURRENT_VERSION: u32 = 50001;

/// Convert an old particle table to an optics table and a particle table of the 3.1+ layout.
pub(super) fn convert(
    path: &Path,
    old: &Table,
    options: &ReadOptions,
    warnings: &mut Vec<String>,
) -> Result<(Table, Table), DatasetError> {
    if old.version() == CURRENT_VERSION {
        return Err(DatasetError::about(
            Code::PARTICLE_FILE,
            path,
            format!(
                "there is no data_optics table, although data_{} is of the layout that has one (version \
                 {CURRENT_VERSION}): the file is incomplete or not a particle file. Copy the table from the original file",
                old.name()
            ),
        ));
    }
    warnings.push(format!(
        "{} has no optics table (RELION 3.0 or older): it is converted to the present layout",
        path.display()
    ));
    let present: Vec<&str> = GROUP_COLUMNS
        .iter()
        .copied()
        .filter(|label| old.has(label))
        .collect();
    let (group_of_row, first_rows) = group_rows(old, &present)?;
    let pixel_sizes = pixel_sizes(path, old, &first_rows, options)?;

    let mut labels = vec!["rlnOpticsGroup", "rlnOpticsGroupName"];
    let carried = |label: &&str| {
        !matches!(
            *label,
            "rlnDetectorPixelSize" | "rlnMagnification" | "rlnImagePixelSize"
        )
    };
    labels.extend(present.iter().copied().filter(carried));
    labels.extend(["rlnImagePixelSize", "rlnImageDimensionality"]);
    let mut optics = Table::new_loop("optics", &labels);
    for (group, &row) in first_rows.iter().enumerate() {
        let mut values = vec![
            Value::from(group + 1),
            Value::Text(format!("opticsGroup{}", group + 1)),
        ];
        for label in present.iter().filter(|label| carried(label)) {
            values.push(Value::Real(old.real(row, label)?));
        }
        values.push(Value::Real(pixel_sizes[group]));
        values.push(Value::Integer(2));
        optics.push_row(values);
    }

    let mut particles = old.clone();
    particles.set_name("particles");
    particles.add_column("rlnOpticsGroup", Value::Integer(1));
    for (row, &group) in group_of_row.iter().enumerate() {
        if group > 0 {
            particles.set(row, "rlnOpticsGroup", Value::from(group + 1));
        }
    }
    for &(pixels, angstroms) in LENGTHS {
        if !old.has(pixels) {
            continue;
        }
        if !old.has(angstroms) {
            particles.add_column(angstroms, Value::Real(0.0));
            for (row, length) in old.real_column(pixels)?.into_iter().enumerate() {
                // 999 marks an undefined prior in any unit.
                let undefined =
                    pixels.ends_with("Prior") && (length > 998.9 || length == PLACEHOLDER);
                let scale = if undefined {
                    1.0
                } else {
                    pixel_sizes[group_of_row[row]]
                };
                particles.set(row, angstroms, Value::Real(length * scale));
            }
        }
        particles.remove_column(pixels);
    }
    present
        .iter()
        .for_each(|label| particles.remove_column(label));
    Ok((optics, particles))
}

/// Group of each row by equal values of the columns, and the first row of each group.
fn group_rows(table: &Table, columns: &[&str]) -> Result<(Vec<usize>, Vec<usize>), DatasetError> {
    let values: Vec<Vec<f64>> = columns
        .iter()
        .map(|label| table.real_column(label))
        .collect::<Result<_, _>>()?;
    let mut groups = HashMap::new();
    let mut first_rows = Vec::new();
    let of_row = (0..table.len())
        .map(|row| {
            let key: Vec<u64> = values.iter().map(|column| column[row].to_bits()).collect();
            *groups.entry(key).or_insert_with(|| {
                first_rows.push(row);
                first_rows.len() - 1
            })
        })
        .collect();
    Ok((of_row, first_rows))
}

/// Å per pixel of each group.
fn pixel_sizes(
    path: &Path,
    table: &Table,
    rows: &[usize],
    options: &ReadOptions,
) -> Result<Vec<f64>, DatasetError> {
    let from_columns = table.has("rlnDetectorPixelSize") && table.has("rlnMagnification");
    rows.iter()
        .map(|&row| {
            let pixel = if table.has("rlnImagePixelSize") {
                table.real(row, "rlnImagePixelSize")?
            } else if from_columns {
                // Detector pixels are in µm, pixels in Å.
                1e4 * table.real(row, "rlnDetectorPixelSize")? / table.real(row, "rlnMagnification")?
            } else {
                options.pixel_size.ok_or_else(|| {
                    DatasetError::about(Code::PIXEL_SIZE,
                        path,
                        format!(
                            "table data_{} says nothing about the pixel size (rlnDetectorPixelSize and \
                             rlnMagnification are missing); give it with --angpix",
                            table.name()
                        ),
                    )
                })?
            };
            if pixel.is_finite() && pixel > 0.0 {
                return Ok(pixel);
            }
            Err(DatasetError::about(Code::PIXEL_SIZE,
                path,
                format!(
                    "{}: the pixel size is {} Å; check rlnDetectorPixelSize and rlnMagnification, or --angpix",
                    table.place(row, "rlnMagnification"),
                    Angstrom(pixel)
                ),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::dataset::{ParticleSet, ReadOptions};
    use crate::formats::mrc::{StackMode, StackWriter};
    use std::path::Path;

    /// A stack of two 8² images, and a table of RELION 1.3's layout beside it.
    fn read(folder: &Path, star: &str, pixel_size: Option<f64>) -> Result<ParticleSet, String> {
        let mut stack =
            StackWriter::create(&folder.join("a.mrcs"), 8, 2, 1.0, StackMode::Float32).unwrap();
        (0..2).for_each(|_| stack.push(&[1.0; 64]).unwrap());
        stack.finish().unwrap();
        let path = folder.join("old.star");
        std::fs::write(&path, star).unwrap();
        let options = ReadOptions {
            pixel_size,
            need_ctf: true,
        };
        ParticleSet::read(&path, &options).map_err(|e| e.to_string())
    }

    const OLD: &str = "data_images\nloop_\n_rlnImageName\n_rlnMicrographName\n_rlnDefocusU\n_rlnVoltage\n\
                       _rlnSphericalAberration\n_rlnAmplitudeContrast\n_rlnOriginX\n_rlnOriginY\n";

    #[test]
    fn offsets_become_angstroms_and_microscopes_become_optics_groups() {
        let folder = tempfile::tempdir().unwrap();
        let star = format!(
            "{OLD}_rlnMagnification\n_rlnDetectorPixelSize\n\
             1@a.mrcs m 9000 300 2.7 0.1 2 -1 50000 5\n2@a.mrcs m 9000 200 2.7 0.1 4 0 25000 5\n"
        );
        let set = read(folder.path(), &star, None).unwrap();
        assert_eq!(set.optics.len(), 2);
        assert_eq!(
            (set.optics[0].pixel_size, set.optics[1].pixel_size),
            (1.0, 2.0)
        );
        assert_eq!(
            (set.optics[0].box_size, set.optics[1].voltage),
            (8, Some(200.0))
        );
        assert_eq!(set.particles[0].origin, [2.0, -1.0]);
        assert_eq!(
            (set.particles[1].origin, set.particles[1].optics_group),
            ([8.0, 0.0], 1)
        );
        let written = folder.path().join("new.star");
        set.write(&written, false, false).unwrap();
        let again = ParticleSet::read(&written, &ReadOptions::default()).unwrap();
        assert_eq!(again.optics, set.optics);
        assert_eq!(again.particles, set.particles);
        assert_eq!(again.warnings, Vec::<String>::new());
    }

    /// RELION 2 and 3.0 write -999 for particles that were picked by hand.
    #[test]
    fn placeholders_mean_none() {
        let folder = tempfile::tempdir().unwrap();
        let columns = "_rlnClassNumber\n_rlnAnglePsi\n_rlnAutopickFigureOfMerit\n_rlnAnglePsiPrior\n_rlnOriginXPrior\n";
        let row = "1@a.mrcs m 9000 300 2.7 0.1 2 -1";
        for number in ["-999", "-999.00000"] {
            let star = format!("{OLD}{columns}{row} -999 {number} {number} {number} {number}\n");
            let set = read(folder.path(), &star, Some(1.5)).unwrap();
            let particle = &set.particles[0];
            assert_eq!((particle.class, particle.psi), (0, 0.0));
            assert_eq!(
                (particle.angle_prior[2], particle.origin_prior[0]),
                (None, None)
            );
        }
        let star = format!("{OLD}{columns}{row} -998 0 0 0 0\n");
        assert!(read(folder.path(), &star, Some(1.5)).is_err());
    }

    #[test]
    fn angpix_stands_in_for_missing_columns_and_is_compared_with_present_ones() {
        let folder = tempfile::tempdir().unwrap();
        let row = "1@a.mrcs m 9000 300 2.7 0.1 2 -1";
        let bare = format!("{OLD}{row}\n");
        let message = read(folder.path(), &bare, None).unwrap_err();
        assert!(
            message.contains("old.star") && message.contains("--angpix"),
            "{message}"
        );
        let set = read(folder.path(), &bare, Some(1.77)).unwrap();
        assert_eq!(
            (set.optics[0].pixel_size, set.particles[0].origin),
            (1.77, [3.54, -1.77])
        );

        let full = format!("{OLD}_rlnMagnification\n_rlnDetectorPixelSize\n{row} 50000 5\n");
        let differs = |given| {
            let set = read(folder.path(), &full, Some(given)).unwrap();
            assert_eq!(set.optics[0].pixel_size, 1.0);
            set.warnings.iter().any(|w| w.contains("--angpix"))
        };
        assert!(differs(1.006));
        assert!(!differs(1.004));
        let damaged = format!("\n# version 50001\n\n{bare}");
        assert!(
            read(folder.path(), &damaged, None)
                .unwrap_err()
                .contains("no data_optics table")
        );
    }
}
