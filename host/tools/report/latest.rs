//! Maps and particles of the latest iteration.

use super::ReportError;
use super::averages::Averages;
use super::files::{SetName, folder};
use super::history::Set;
use super::maps::Views;
use super::particles::Particles;
use super::surface::{Molecule, Surface};
use crate::formats::star::Document;
use crate::formats::volume::read_map_if;
use crate::model::map_checks;
use std::path::PathBuf;

/// Maps whose surface is drawn at most.
const MOST_SURFACES: usize = 4;

/// Data of the latest iteration that the page shows.
#[derive(Debug)]
pub(crate) struct Latest {
    /// Views of each map.
    pub maps: Vec<Views>,
    /// Class averages of a 2D run; None where their stack is missing.
    pub averages: Option<Averages>,
    /// Particles; None where their file is missing.
    pub particles: Option<Particles>,
}

impl Latest {
    /// Read the files of a set; missing ones are noted. Surfaces are those of `molecule`.
    pub(crate) fn read(
        prefix: &str,
        set: &Set,
        molecule: Molecule,
        notes: &mut Vec<String>,
    ) -> Result<Self, ReportError> {
        let mut missing = Vec::new();
        let mut maps = Vec::new();
        let mut averages = None;
        let mut drawn = 0;
        if set.model.is_2d {
            let stack = set.name.file(prefix, "_classes.mrcs");
            if stack.is_file() {
                let (classes, pixel_size) = (set.model.classes.len(), set.model.pixel_size);
                averages = Some(Averages::read(&stack, classes, pixel_size)?);
            } else {
                missing.push(stack);
            }
        }
        for (title, path) in map_files(prefix, set) {
            if path.is_file() {
                let map = read_map_if(&path, &map_checks::fits)?;
                let pixel_size = map.pixel_size.unwrap_or(set.model.pixel_size);
                let mut views = Views::of(title, path, &map.data, pixel_size);
                // Half maps are noisier, and of the same shape.
                if drawn < MOST_SURFACES && (drawn == 0 || !views.title.starts_with("Half map")) {
                    views.surface = Surface::of(&map.data, pixel_size, molecule);
                    drawn += 1;
                }
                maps.push(views);
            } else {
                missing.push(path);
            }
        }
        let table = set.name.file(prefix, "_data.star");
        let particles = if table.is_file() {
            Some(Particles::from_table(
                Document::read(&table)?.require("particles")?,
                &table,
            )?)
        } else {
            missing.push(table);
            None
        };
        notes.extend(
            missing
                .iter()
                .map(|path| format!("Missing: {}.", path.display())),
        );
        Ok(Self {
            maps,
            averages,
            particles,
        })
    }
}

fn is_of_gradient(set: &Set) -> bool {
    set.optimiser.as_ref().is_some_and(|o| o.gradient.is_some())
}

/// Titles and paths of the maps that a set should have.
fn map_files(prefix: &str, set: &Set) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    if set.model.is_2d {
        return found;
    }
    let halves = set.name.existing(prefix, "_half1_model.star").is_some();
    let aligned = folder(prefix).join("initial_model.mrc");
    if is_of_gradient(set) && aligned.is_file() {
        found.push(("Aligned with the symmetry axes".to_owned(), aligned));
    }
    for k in 1..=set.model.classes.len() {
        let map = |tag: &str, tail: &str| {
            set.name
                .file(prefix, &format!("{tag}_class{k:03}{tail}.mrc"))
        };
        let half_maps =
            |tail: &str| [1, 2].map(|h| (format!("Half map {h}"), map(&format!("_half{h}"), tail)));
        match (set.name, halves) {
            (SetName::Final, _) => {
                found.push(("Final map".to_owned(), map("", "")));
                found.extend(half_maps("_unfil"));
            }
            (_, true) => found.extend(half_maps("")),
            (_, false) => found.push((format!("Class {k}"), map("", ""))),
        }
    }
    found
}
