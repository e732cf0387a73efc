//! From STAR tables to particles.

use super::located::{Located, locate};
use super::optics::read_optics;
use super::particle_columns::read_particles;
use super::{DatasetError, Particle, ParticleSet, ReadOptions, groups, legacy};
use crate::errors::listed::listed;
use crate::errors::{Code, Message};
use crate::formats::file_name::ImageName;
use crate::formats::mrc::StackReader;
use crate::formats::star::{Document, Table};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<ParticleSet, DatasetError> {
    let document = Document::read(path)?;
    let mut warnings = Vec::new();
    let (mut optics_table, table) = tables(path, document, options, &mut warnings)?;
    if table.is_empty() {
        return Err(DatasetError::about(
            Code::NO_PARTICLES,
            path,
            format!(
                "table data_{} holds no particles, so there is nothing to refine; was the selection empty, or is it another file?",
                table.name()
            ),
        ));
    }
    if !table.has("rlnImageName") {
        return Err(DatasetError::about(
            Code::PARTICLE_FILE,
            path,
            format!(
                "table data_{} has no column rlnImageName, so it does not name any particle images; is this a \
                 particle file? It holds: {}",
                table.name(),
                listed(table.labels(), " ")
            ),
        ));
    }
    let box_of = |number| first_box(path, &table, number);
    let optics = read_optics(path, &mut optics_table, options, box_of, &mut warnings)?;
    let particles = read_particles(path, &table, &optics, options)?;
    let order = order_by_micrograph(&table)?;
    let all = ParticleSet {
        optics: optics.groups,
        particles,
        scale_groups: Vec::new(),
        stacks: Vec::new(),
        warnings,
        optics_table,
        particle_table: table.into(),
        source: path.to_path_buf(),
    };
    with_rows(all, &order)
}

/// The set with these rows of its table, in this order; particles, stacks and scale groups are numbered anew.
pub(super) fn with_rows(set: ParticleSet, rows: &[usize]) -> Result<ParticleSet, DatasetError> {
    let ParticleSet {
        optics,
        particles,
        mut warnings,
        optics_table,
        particle_table: table,
        source,
        ..
    } = set;
    let mut table = Arc::unwrap_or_clone(table);
    table.reorder(rows);
    let mut particles: Vec<Particle> = rows.iter().map(|&row| particles[row].clone()).collect();
    let stacks = number_stacks(&source, &table, &mut particles)?;
    let (scale_group_of, scale_groups) = groups::scale_groups(
        &table,
        &optics,
        |row| particles[row].optics_group,
        &mut warnings,
    )?;
    for (id, particle) in particles.iter_mut().enumerate() {
        particle.id = id;
        particle.scale_group = scale_group_of[id];
    }
    Ok(ParticleSet {
        optics,
        particles,
        scale_groups,
        stacks,
        warnings,
        optics_table,
        particle_table: table.into(),
        source,
    })
}

/// Offsets of tables before RELION 3.1, in pixels, and what they are called in tables with optics groups, in Å.
const OLD_OFFSETS: [(&str, &str); 4] = [
    ("rlnOriginX", "rlnOriginXAngst"),
    ("rlnOriginY", "rlnOriginYAngst"),
    ("rlnOriginXPrior", "rlnOriginXPriorAngst"),
    ("rlnOriginYPrior", "rlnOriginYPriorAngst"),
];

/// Returns a warning about offsets that are not read because they stand under their old names beside optics groups.
fn columns_of_old_tables(path: &Path, particles: &Table) -> Option<String> {
    let unread = |(old, new): &(&str, &str)| particles.has(old) && !particles.has(new);
    let found: Vec<_> = OLD_OFFSETS.into_iter().filter(unread).collect();
    (!found.is_empty()).then(|| {
        format!(
            "{}: offsets under their old names ({}) are not read in a table with optics groups, and are taken as 0. Multiply by the pixel size, \
             and name the columns {}.",
            path.display(),
            listed(found.iter().map(|(old, _)| *old), ", "),
            listed(found.iter().map(|(_, new)| *new), ", ")
        )
    })
}

/// Optics and particle tables in the 3.1+ layout.
fn tables(
    path: &Path,
    document: Document,
    options: &ReadOptions,
    warnings: &mut Vec<String>,
) -> Result<(Table, Table), DatasetError> {
    let optics = document.table("optics").filter(|t| !t.is_empty()).cloned();
    match optics {
        Some(optics) => {
            let particles = document.require("particles")?;
            if particles.has("rlnTomoName") && !particles.has("rlnMicrographName") {
                return Err(DatasetError::about(
                    Code::PARTICLE_KIND,
                    path,
                    "these are particles of tomograms (rlnTomoName); this program refines single-particle images. Refine them with RELION",
                ));
            }
            let particles = particles.clone();
            warnings.extend(columns_of_old_tables(path, &particles));
            Ok((optics, particles))
        }
        None => {
            let first = document
                .table("")
                .filter(|t| !t.is_empty() || document.tables.len() == 1);
            // A file whose first table is an empty optics table keeps its particles in the next one.
            let first = first
                .or_else(|| document.table("particles"))
                .or(document.table(""));
            let Some(table) = first else {
                return Err(DatasetError::about(
                    Code::PARTICLE_FILE,
                    path,
                    "the file holds no table",
                ));
            };
            if table.is_empty() || !table.has("rlnImageName") {
                // The caller's messages about missing images and particles fit better than one about optics.
                return Ok((Table::new_loop("optics", &[]), table.clone()));
            }
            legacy::convert(path, table, options, warnings)
        }
    }
}

/// Box of the first image of an optics group, from the image file.
fn first_box(path: &Path, table: &Table, number: i64) -> Result<usize, DatasetError> {
    for row in 0..table.len() {
        if table.has("rlnOpticsGroup") && table.integer(row, "rlnOpticsGroup")? != number {
            continue;
        }
        let name = ImageName::parse(table.text(row, "rlnImageName")?);
        let blame = |reason: Message| {
            DatasetError::about(
                reason.code,
                path,
                format!(
                    "the optics table lacks rlnImageSize, and the image of {} does not tell it: {reason}",
                    table.place(row, "rlnImageName")
                ),
            )
        };
        let Located { path: file, .. } = locate(&name.path, path).map_err(blame)?;
        let stack = StackReader::open_partial(&file).map_err(|e| blame(Message::of(&e)))?;
        let (width, height) = stack.shape();
        if width != height {
            return Err(blame(Code::IMAGE_SIZE.says(format!(
                "its images are not square: {width} x {height} pixels"
            ))));
        }
        return Ok(width);
    }
    Err(DatasetError::about(
        Code::OPTICS_GROUPS,
        path,
        format!("optics group {number} has no rlnImageSize and no particles to take it from"),
    ))
}

/// Stable order by micrograph name; the table's own order without that column.
fn order_by_micrograph(table: &Table) -> Result<Vec<usize>, DatasetError> {
    let mut order: Vec<usize> = (0..table.len()).collect();
    if table.has("rlnMicrographName") {
        let names: Vec<&str> = table.texts("rlnMicrographName")?.collect();
        order.sort_by_key(|&row| names[row]);
    }
    Ok(order)
}

/// Split image names; gives the stacks in order of first appearance.
fn number_stacks(
    path: &Path,
    table: &Table,
    particles: &mut [Particle],
) -> Result<Vec<String>, DatasetError> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut stacks: Vec<String> = Vec::new();
    for (row, text) in table.texts("rlnImageName")?.enumerate() {
        let blame = |message: &str| {
            DatasetError::about(
                Code::NO_SUCH_IMAGE,
                path,
                format!(
                    "{}, column rlnImageName: '{text}' {message}",
                    table.place(row, "rlnImageName")
                ),
            )
        };
        let name = ImageName::parse(text);
        let stack = match name.slice {
            Some(_) => text.split_once('@').map_or(text, |(_, rest)| rest),
            None => text,
        };
        if stack.is_empty() {
            return Err(blame(
                "names no image file; names are like 000001@stack.mrcs",
            ));
        }
        let slice = name.slice.unwrap_or(1);
        particles[row].slice = slice
            .checked_sub(1)
            .ok_or_else(|| blame("has image number 0 (or one too large), but numbers start at 1; correct it, or extract the particles again"))?;
        particles[row].stack = match numbers.get(stack) {
            Some(&number) => number,
            None => {
                numbers.insert(stack.to_string(), stacks.len());
                stacks.push(stack.to_string());
                stacks.len() - 1
            }
        };
    }
    Ok(stacks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ParticleSet;

    const OPTICS: &str = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnOpticsGroupName\n_rlnVoltage\n_rlnSphericalAberration\n\
                          _rlnAmplitudeContrast\n_rlnImagePixelSize\n_rlnImageSize\n_rlnImageDimensionality\n";

    /// Read a STAR file with this content.
    fn set(content: &str, need_ctf: bool) -> Result<ParticleSet, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.star");
        std::fs::write(&path, content).unwrap();
        let options = ReadOptions {
            need_ctf,
            ..ReadOptions::default()
        };
        ParticleSet::read(&path, &options).map_err(|e| {
            let text = e.to_string();
            assert!(text.contains("p.star"), "{text}");
            text
        })
    }
    fn modern(optics: &str, particles: &str) -> String {
        format!("{OPTICS}{optics}\n\ndata_particles\nloop_\n{particles}\n")
    }
    const ONE: &str = "1 og1 300 2.7 0.1 1.5 64 2";

    #[test]
    fn particles_are_sorted_by_micrograph_and_grouped() {
        let set = set(
            &modern(
                ONE,
                "_rlnImageName\n_rlnMicrographName\n_rlnAngleTiltPrior\n_rlnOriginXAngst\n\
                 3@b.mrcs M/job012/m2.mrc 999 1.5\n2@a.mrcs M/job012/m1.mrc 90 -2\n1@b.mrcs M/job012/m2.mrc 999 0",
            ),
            false,
        )
        .unwrap();
        let names: Vec<String> = (0..3).map(|i| set.image_name(i)).collect();
        assert_eq!(names, ["2@a.mrcs", "3@b.mrcs", "1@b.mrcs"]);
        assert_eq!(set.stacks, ["a.mrcs", "b.mrcs"]);
        let [first, second, third] = set.particles.as_slice() else {
            panic!("three particles")
        };
        assert_eq!(
            (first.id, first.stack, first.slice, first.scale_group),
            (0, 0, 1, 0)
        );
        assert_eq!(
            (second.id, second.stack, second.slice, second.scale_group),
            (1, 1, 2, 1)
        );
        assert_eq!((third.slice, third.scale_group), (0, 1));
        let groups: Vec<&str> = set.scale_groups.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(groups, ["m1.mrc", "m2.mrc"]);
        assert_eq!(first.angle_prior, [None, Some(90.0), None]);
        assert_eq!(
            (first.origin, first.norm, first.class),
            ([-2.0, 0.0], 1.0, 0)
        );
        assert_eq!((first.ctf.scale, first.ctf.defocus_u), (1.0, 0.0));
        assert_eq!(set.warnings, Vec::<String>::new());
        assert!(set.describe(1).contains("line 19"), "{}", set.describe(1));
    }

    #[test]
    fn optics_groups_are_renumbered() {
        let set = set(
            &modern(
                "7 far 200 2.7 0.1 2 32 2\n3 near 300 0.01 0.07 1 64 2",
                "_rlnImageName\n_rlnMicrographName\n_rlnOpticsGroup\n1@a.mrcs m 3\n2@a.mrcs m 7",
            ),
            false,
        )
        .unwrap();
        assert_eq!(set.particles[0].optics_group, 1);
        assert_eq!(
            (set.optics[1].name.as_str(), set.optics[1].voltage),
            ("near", Some(300.0))
        );
        assert!(set.warnings[0].contains("renumbered"), "{:?}", set.warnings);
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.star");
        set.write(&copy, false, false).unwrap();
        let document = Document::read(&copy).unwrap();
        assert_eq!(
            document
                .require("optics")
                .unwrap()
                .integer_column("rlnOpticsGroup")
                .unwrap(),
            [1, 2]
        );
        assert_eq!(
            document
                .require("particles")
                .unwrap()
                .integer_column("rlnOpticsGroup")
                .unwrap(),
            [2, 1]
        );
    }

    #[test]
    fn without_micrographs_the_optics_groups_carry_the_scales() {
        let set = set(&modern(ONE, "_rlnImageName\n1@a.mrcs\n2@a.mrcs"), false).unwrap();
        assert_eq!(set.scale_groups.len(), 1);
        assert!(
            set.warnings[0].contains("all particles together"),
            "{:?}",
            set.warnings
        );
    }

    #[test]
    fn bad_tables_are_refused_with_file_and_place() {
        let refused = |content: &str, need_ctf: bool, words: &str| {
            let message = set(content, need_ctf).unwrap_err();
            assert!(message.contains(words), "{message}");
        };
        let names = "_rlnImageName\n_rlnMicrographName\n";
        refused(
            &modern(ONE, "_rlnImageName"),
            false,
            "holds no particles, so there is nothing to refine; was the selection empty, or is it another file?",
        );
        refused(
            "data_\nloop_\n_rlnImageName\n",
            false,
            "holds no particles, so there is nothing to refine; was the selection empty, or is it another file?",
        );
        refused(
            &modern(ONE, "_rlnMicrographName\nm"),
            false,
            "no column rlnImageName",
        );
        refused(
            "data_general\n_rlnPixelSize 3\n",
            false,
            "no column rlnImageName",
        );
        refused(
            &format!("{OPTICS}{ONE}\n"),
            false,
            "no table data_particles",
        );
        refused(
            &modern(ONE, &format!("{names}1@a.mrcs m")),
            true,
            "rlnDefocusU",
        );
        refused(
            &modern("1 o 300 2.7 0.1 1.5 63 2", &format!("{names}1@a.mrcs m")),
            false,
            "63 pixels a side",
        );
        refused(
            &modern("1 o 300 2.7 0.1 0 64 2", &format!("{names}1@a.mrcs m")),
            false,
            "must be positive",
        );
        refused(
            &modern("1 o 300 2.7 0.1 1 64 3", &format!("{names}1@a.mrcs m")),
            false,
            "not 2D images",
        );
        refused(
            &modern(ONE, &format!("{names}_rlnOpticsGroup\n1@a.mrcs m 2")),
            false,
            "line 18, table data_particles, row 1",
        );
        refused(
            &modern(
                ONE,
                &format!("{names}_rlnRandomSubset\n1@a.mrcs m 1\n2@a.mrcs m 0"),
            ),
            false,
            "no half-set",
        );
        refused(
            &modern(ONE, &format!("{names}_rlnRandomSubset\n1@a.mrcs m 3")),
            false,
            "must be 1 or 2",
        );
        refused(
            &modern(ONE, &format!("{names}_rlnAngleRot\n1@a.mrcs m nan")),
            false,
            "column rlnAngleRot: the value is NaN",
        );
        refused(
            &modern(ONE, &format!("{names}_rlnAngleRot\n1@a.mrcs m x")),
            false,
            "'x' is not a number",
        );
        refused(
            &modern(ONE, &format!("{names}0@a.mrcs m")),
            false,
            "numbers start at 1",
        );
        let no_voltage = OPTICS.replace("_rlnVoltage\n", "");
        refused(
            &format!(
                "{no_voltage}1 o 2.7 0.1 1.5 64 2\n\ndata_particles\nloop_\n{names}_rlnDefocusU\n1@a.mrcs m 9000\n"
            ),
            true,
            "rlnVoltage in the optics table",
        );
    }
}
