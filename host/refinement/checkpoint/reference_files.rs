//! The STAR files of reference runs, read into our structures and written again: the same text must come out.

use crate::dataset::ScaleGroup;
use crate::formats::mrc::{write_map, write_stack};
use crate::formats::star::{Document, Table};
use crate::geometry::sampling::Sampling;
use crate::geometry::symmetry::PointGroup;
use crate::refinement::checkpoint::gerelion_state;
use crate::refinement::checkpoint::optimiser_star::{self, Contents};
use crate::refinement::checkpoint::resume::{model, optimiser, sampling};
use crate::refinement::checkpoint::set_mark::SetMark;
use crate::refinement::checkpoint::{model_star, sampling_star};
use crate::refinement::settings::Settings;
use crate::refinement::state::RunState;
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// Files of all reference runs whose names end in `suffix`: those of this repository and, where they are at hand, the larger
/// ones of the jobs that this program does.
fn reference_files(suffix: &str) -> Vec<PathBuf> {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixture");
    let others = ["golden", "fixture"].map(material::shared);
    let folders = others.into_iter().flatten().chain([committed]);
    let is_ours = |run: &PathBuf| {
        let name = run.file_name().unwrap_or_default().to_string_lossy();
        ["class2d", "class3d", "inimodel", "refine3d"]
            .iter()
            .any(|job| name.starts_with(job))
    };
    let mut found: Vec<PathBuf> = folders
        .flat_map(|folder| entries(&folder))
        .filter(is_ours)
        .flat_map(|run| entries(&run))
        .filter(|file| file.to_string_lossy().ends_with(suffix))
        .collect();
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map_or(Vec::new(), |entries| {
        entries.filter_map(|e| Some(e.ok()?.path())).collect()
    })
}

/// Write a document and compare its text with that of a reference file. The completeness of a class follows from columns
/// that were rounded to six decimals, and may differ in the last one.
fn assert_same_text(document: &Document, reference: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.star");
    document.write(&path).unwrap();
    let ours = std::fs::read_to_string(&path).unwrap();
    let theirs = std::fs::read_to_string(reference).unwrap();
    for (line, (a, b)) in ours.lines().zip(theirs.lines()).enumerate() {
        if a != b && a.contains("_class") && a.contains(".mrc") {
            assert_same_class(a, b);
            continue;
        }
        assert_eq!(a, b, "line {} of {}", line + 1, reference.display());
    }
    assert_eq!(
        ours.lines().count(),
        theirs.lines().count(),
        "lines of {}",
        reference.display()
    );
}

/// Compare rows of `model_classes`. Of a class average without a resolved shell RELION has no number for the resolution
/// and the completeness, and we have those of maps.
fn assert_same_class(ours: &str, theirs: &str) {
    // Behind the names of the moments, in a gradient run.
    let completeness = 5 + 2 * usize::from(theirs.contains("moment"));
    let words = ours.split_whitespace().zip(theirs.split_whitespace());
    for (column, (a, b)) in words.enumerate() {
        match b {
            "inf" => assert_eq!(a, "999.000000", "{theirs}"),
            "-nan" | "nan" => assert_eq!(a, "0.000000", "{theirs}"),
            _ if column == completeness => {
                let [a, b] = [a, b].map(|word| word.parse::<f64>().unwrap());
                assert!((a - b).abs() < 1.1e-6, "{ours}\n{theirs}");
            }
            _ => assert_eq!(a, b, "{theirs}"),
        }
    }
}

/// Files of moments that a model file names, all zero, where it names any.
fn write_empty_moments(classes: &Table, folder: &Path, general: &Table) {
    if !classes.has("rlnGradMoment1") {
        return;
    }
    let box_size = general.integer(0, "rlnOriginalImageSize").unwrap() as f64;
    let side = (box_size * general.real(0, "rlnPaddingFactor").unwrap()) as usize;
    let count = 2 * classes.len();
    for label in ["rlnGradMoment1", "rlnGradMoment2"] {
        let name = classes.text(0, label).unwrap();
        let write = |file: &str, sections: usize| {
            let path = folder.join(Path::new(file).file_name().unwrap());
            let empty = if label == "rlnGradMoment1" { 0.0 } else { 1.0 };
            let moments = Array3::from_elem([sections, side, 2 * (side / 2 + 1)], empty);
            write_map(&path, moments.view(), 1.0).unwrap();
        };
        match name.split_once('@') {
            Some((_, stack)) => write(stack, count),
            None => (1..=count).for_each(|number| {
                let stem = name.rsplit_once("001.mrc").unwrap().0;
                write(&format!("{stem}{number:03}.mrc"), side)
            }),
        }
    }
}

#[test]
fn model_files_of_reference_runs_are_written_alike() {
    for file in reference_files("_model.star") {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join(file.file_name().unwrap());
        std::fs::copy(&file, &copy).unwrap();
        let document = Document::read(&file).unwrap();
        let general = document.require("model_general").unwrap();
        let box_size = general.integer(0, "rlnOriginalImageSize").unwrap() as usize;
        let classes = document.require("model_classes").unwrap();
        let mut stem = String::new();
        for class in 0..classes.len() {
            let name = classes.text(class, "rlnReferenceImage").unwrap();
            let (sections, map) = match name.split_once('@') {
                Some((_, stack)) => (classes.len(), stack),
                None => (box_size, name),
            };
            stem = map.rsplit_once("_class").unwrap().0.to_string();
            let path = folder.path().join(Path::new(map).file_name().unwrap());
            // Something in every image: references of classes with particles are not 0.
            let shape = [sections, box_size, box_size];
            let maps = Array3::from_shape_fn(shape, |(_, y, _)| y as f32);
            match name.contains('@') {
                true => write_stack(&path, maps.view(), 1.0, "").unwrap(),
                false => write_map(&path, maps.view(), 1.0).unwrap(),
            }
        }
        write_empty_moments(classes, folder.path(), general);
        let groups: Vec<ScaleGroup> = document
            .require("model_groups")
            .unwrap()
            .texts("rlnGroupName")
            .unwrap()
            .map(|name| ScaleGroup {
                name: name.to_string(),
            })
            .collect();
        let optics = general.integer(0, "rlnNrOpticsGroups").unwrap() as usize;
        let mut read = model::read(
            &copy,
            optics,
            groups.len(),
            &SetMark::of_header(&[]),
            &mut Vec::new(),
        )
        .unwrap();
        // RELION's pixel size is the single-precision one of the reference's header.
        let pixel_size = f64::from(read.pixel_size as f32);
        read.current_resolution *= read.pixel_size / pixel_size;
        read.pixel_size = pixel_size;
        let mut written = model_star::document(&read, &stem, &groups);
        written
            .tables
            .retain(|table| !table.name().starts_with("gerelion"));
        assert_same_text(&written, &file);
    }
}

#[test]
fn sampling_files_of_reference_runs_are_written_alike() {
    for file in reference_files("_sampling.star") {
        let general = Document::read(&file).unwrap();
        let general = general.require("sampling_general").unwrap();
        let mut stored = sampling::read(&file, false).unwrap();
        stored.sampling.perturbation = general.real(0, "rlnSamplingPerturbInstance").unwrap();
        let document = sampling_star::document(&stored.sampling, &stored.original.unwrap());
        assert_same_text(&document, &file);
    }
}

/// Returns an optimiser file that went through our structures and back.
fn rewritten(table: &Table, file: &Path) -> Document {
    let optimiser::Stored {
        mut settings,
        mut state,
        mut files,
    } = optimiser::read(table, file, String::new()).unwrap();
    settings.pool = table.integer(0, "rlnMaxNumberOfPooledParticles").unwrap() as usize;
    state.converged = table.boolean(0, "rlnHasConverged").unwrap();
    state.accuracy_translations = files.accuracy_translations.unwrap().angstrom(1.0);
    files.scale_groups = 2;
    optimiser_star::document(&Contents {
        settings: &settings,
        state: &state,
        files,
        sampling: &small_sampling(),
        order_iteration: 1,
    })
}

fn small_sampling() -> Sampling {
    let symmetry = PointGroup::parse("C1").unwrap();
    Sampling::new(0, -1.0, symmetry, -91.0, 4.0, 2.0, 0.5)
}

#[test]
fn optimiser_files_of_reference_runs_are_written_alike() {
    for file in reference_files("_optimiser.star") {
        let reference = Document::read(&file).unwrap();
        let mut document = rewritten(reference.require("optimiser_general").unwrap(), &file);
        assert_eq!(document.header.len(), reference.header.len());
        document.header = reference.header.clone();
        assert_eq!(document.tables[1].name(), gerelion_state::TABLE);
        document.tables.truncate(1);
        assert_same_text(&document, &file);
    }
}

#[test]
fn our_own_table_keeps_every_digit() {
    let mut sampling = small_sampling();
    sampling.perturbation = 0.1 + 0.2;
    let state = RunState {
        fine_enough: true,
        local_searches: true,
        current_size: 44,
        current_resolution: 1.0 / 3.0,
        changes_offsets: 2e-17,
        ..RunState::new(3)
    };
    let mut back = RunState::new(3);
    let table = gerelion_state::table(
        &Settings::default(),
        &state,
        &gerelion_state::Exact::of(&sampling, 5),
    );
    let document = Document {
        tables: vec![table],
        ..Document::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.star");
    document.write(&path).unwrap();
    let document = Document::read(&path).unwrap();
    let read = gerelion_state::read(
        document.require(gerelion_state::TABLE).unwrap(),
        &mut Settings::default(),
        &mut back,
    )
    .unwrap();
    assert_eq!(back, state);
    assert_eq!(read.perturbation, 0.1 + 0.2);
    assert_eq!((read.order_iteration, read.offset_range), (5, 4.0));
}
