//! RELION's own output files, read and written again, must come out byte for byte.

use gerelion::dataset::{ImageStore, ParticleSet, ReadOptions};
use gerelion::formats::star::Document;
use material::shared;
use std::path::{Path, PathBuf};

fn star_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(star_files(&path));
        } else if path.extension().is_some_and(|e| e == "star") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn assert_same_text(written: &[u8], path: &Path) {
    let written = String::from_utf8_lossy(written);
    let expected = std::fs::read_to_string(path).unwrap();
    for (number, (ours, theirs)) in written.lines().zip(expected.lines()).enumerate() {
        assert_eq!(ours, theirs, "{} line {}", path.display(), number + 1);
    }
    assert_eq!(written.len(), expected.len(), "{}", path.display());
}

#[test]
fn relions_star_files_keep_every_byte() {
    let Some(golden) = shared("golden") else {
        return;
    };
    let files: Vec<_> = star_files(&golden)
        .into_iter()
        .filter(|path| {
            // What RELION wrote itself, not what it was given.
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with("run_")
        })
        .collect();
    assert!(files.len() > 40, "{files:?}");
    for path in files {
        let mut out = Vec::new();
        Document::read(&path).unwrap().write_to(&mut out).unwrap();
        assert_same_text(&out, &path);
    }
}

/// Read RELION's particles and write them: no particle changes, no column moves.
#[test]
fn particle_sets_of_relion_keep_every_byte() {
    let Some(golden) = shared("golden") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "class3d_k1_noperturb/run_it000_data.star",
        "class3d_k1_noperturb/run_it002_data.star",
        "refine3d_bgal_real/run_data.star",
    ] {
        let path = golden.join(name);
        let set = ParticleSet::read(&path, &ReadOptions::default()).unwrap();
        let ours = folder.path().join("data.star");
        set.write(&ours, name.contains("refine3d"), !name.contains("it000"))
            .unwrap();
        assert_same_text(&std::fs::read(&ours).unwrap(), &path);
    }
}

/// The table written before the first iteration from the input file: columns added and formatted as RELION does.
#[test]
fn the_first_data_file_is_that_of_relion() {
    let Some(golden) = shared("golden") else {
        return;
    };
    let options = ReadOptions {
        need_ctf: true,
        ..ReadOptions::default()
    };
    let folder = tempfile::tempdir().unwrap();
    for (input, run) in [
        (
            "input/trpv1_mini.star",
            "class3d_k1_noperturb/run_it000_data.star",
        ),
        ("input/mix_mini.star", "class3d_k2_c4/run_it000_data.star"),
    ] {
        let set = ParticleSet::read(&golden.join(input), &options).unwrap();
        assert_eq!((set.particles.len(), set.scale_groups.len()), (2000, 40));
        assert_eq!(set.warnings, Vec::<String>::new());
        let ours = folder.path().join("data.star");
        set.write(&ours, false, false).unwrap();
        let written = std::fs::read(&ours).unwrap();
        assert_same_text(&written, &golden.join(run));
    }
}

#[test]
fn images_of_the_real_set_can_be_read_with_and_without_memory() {
    let Some(data) = shared("data/bgal") else {
        return;
    };
    let options = ReadOptions {
        need_ctf: true,
        ..ReadOptions::default()
    };
    let set = ParticleSet::read(&data.join("bgal.star"), &options).unwrap();
    assert_eq!(set.particles.len(), 2374);
    let group = &set.optics[0];
    assert_eq!(
        (group.box_size, group.pixel_size, group.voltage),
        (64, 3.54, Some(200.0))
    );
    let direct = ImageStore::open(&set, false).unwrap();
    assert!(
        direct.notices()[0].contains("beside the STAR file"),
        "{:?}",
        direct.warnings()
    );
    let memory = ImageStore::open(&set, true).unwrap();
    let (mut a, mut b) = (vec![0.0; 64 * 64], vec![1.0; 64 * 64]);
    for particle in [0, 17, 2373] {
        direct.read_into(&set, particle, &mut a).unwrap();
        memory.read_into(&set, particle, &mut b).unwrap();
        assert_eq!(a, b);
        // Extracted particles are normalised: background mean 0, deviation 1.
        let mean = a.iter().sum::<f32>() / 4096.0;
        let deviation = (a.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 4096.0).sqrt();
        assert!(
            mean.abs() < 0.5 && (0.7..1.5).contains(&deviation),
            "{mean} {deviation}"
        );
    }
}

#[test]
fn the_fixture_reads_and_its_images_are_there() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixture");
    let folder = match committed.join("bundle.star").is_file() {
        true => committed,
        false => match shared("fixture") {
            Some(folder) => folder,
            None => return,
        },
    };
    let set = ParticleSet::read(&folder.join("bundle.star"), &ReadOptions::default()).unwrap();
    assert_eq!((set.particles.len(), set.optics[0].box_size), (400, 48));
    let store = ImageStore::open(&set, true).unwrap();
    let mut image = vec![0.0; 48 * 48];
    for particle in 0..400 {
        store.read_into(&set, particle, &mut image).unwrap();
    }
}
