use super::*;
use crate::dataset::ReadOptions;
use crate::formats::mrc::{StackMode, StackWriter};
use std::borrow::Cow;

/// Writes `images` of 2² pixels to `a.mrcs`.
fn write(folder: &Path, images: &[[f32; 4]], mode: StackMode) {
    let mut stack =
        StackWriter::create(&folder.join("a.mrcs"), 2, images.len(), 1.0, mode).unwrap();
    images.iter().for_each(|image| stack.push(image).unwrap());
    stack.finish().unwrap();
}

/// A data set with `images` of 2² pixels in `a.mrcs`; the table names `names`.
fn set(folder: &Path, images: &[[f32; 4]], names: &[&str]) -> ParticleSet {
    write(folder, images, StackMode::Float32);
    let mut star =
        "data_optics\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n_rlnImageSize\n1 1.0 2\n\n\
                    data_particles\nloop_\n_rlnImageName\n"
            .to_string();
    names
        .iter()
        .for_each(|name| star.push_str(&format!("{name}\n")));
    let path = folder.join("p.star");
    std::fs::write(&path, star).unwrap();
    ParticleSet::read(&path, &ReadOptions::default()).unwrap()
}

#[test]
fn images_come_by_particle_from_disk_or_memory() {
    let folder = tempfile::tempdir().unwrap();
    let set = set(
        folder.path(),
        &[[1.0; 4], [1.0, 2.0, 3.0, 4.0]],
        &["2@a.mrcs", "1@a.mrcs"],
    );
    // Kept at once; kept when first read, since two images are 32 bytes; not kept.
    for (preread, room) in [(true, 0), (false, 32), (false, 31)] {
        let mut store = ImageStore::open(&set, preread).unwrap();
        store.keep_within(&set, room);
        for _ in 0..2 {
            let image = store.image(&set, 0).unwrap();
            assert_eq!(image.single()[..], [1.0, 2.0, 3.0, 4.0]);
        }
        let kept = matches!(
            store.image(&set, 0).unwrap(),
            Pixels::Single(Cow::Borrowed(_))
        );
        assert_eq!(kept, preread || room == 32);
        assert!(store.read_into(&set, 0, &mut [0.0; 9]).is_err());
        assert!(store.notices()[0].contains("beside the STAR file"));
    }
}

/// Whoever has a place for an image where it stays gets it without a copy in memory; who comes back has no such place.
#[test]
fn images_are_kept_from_their_second_reading_on() {
    let folder = tempfile::tempdir().unwrap();
    let images = [[1.0f32; 4], [1.0, 2.0, 3.0, 4.0]];
    let set = set(folder.path(), &images, &["2@a.mrcs", "1@a.mrcs"]);
    // With and without room for both.
    for room in [32, 31] {
        let mut store = ImageStore::open(&set, false).unwrap();
        store.keep_within(&set, room);
        for is_kept in [false, room == 32, room == 32] {
            let mut pixels = [0.0f32; 4];
            let bytes = bytemuck::cast_slice_mut(&mut pixels);
            store.read_stored(&set, 0, bytes).unwrap();
            assert_eq!(pixels, images[1]);
            let kept = store.kept.as_ref();
            assert_eq!(kept.is_some_and(|k| k[0].get().is_some()), is_kept);
        }
    }
}

#[test]
fn bad_images_name_particle_stack_and_slice() {
    let folder = tempfile::tempdir().unwrap();
    let images = [[1.0, f32::NAN, 0.0, 0.0], [0.0; 4], [1.0; 4]];
    let set = set(
        folder.path(),
        &images,
        &["3@a.mrcs", "1@a.mrcs", "2@a.mrcs"],
    );
    let store = ImageStore::open(&set, false).unwrap();
    let mut image = [0.0; 4];
    store.read_into(&set, 0, &mut image).unwrap();
    let error = store
        .read_into(&set, 1, &mut image)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("particle 2 (1@a.mrcs; ") && error.contains("NaN at pixel (1, 0)"),
        "{error}"
    );
    let error = store
        .read_into(&set, 2, &mut image)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("particle 3 (2@a.mrcs; ") && error.contains("all pixels"),
        "{error}"
    );
    // Also where images are kept, in half precision too.
    for half in [false, true] {
        if half {
            write(folder.path(), &images, StackMode::Float16);
        }
        let store = ImageStore::open(&set, true).unwrap();
        assert!(store.image(&set, 0).is_ok());
        for (index, what) in [(1, "NaN at pixel (1, 0)"), (2, "all pixels")] {
            let error = store.image(&set, index).unwrap_err().to_string();
            assert!(
                error.starts_with("particle") && error.contains(what),
                "{error}"
            );
        }
    }
}

#[test]
fn images_in_half_precision_stay_so() {
    let folder = tempfile::tempdir().unwrap();
    let images = [[1.0, -0.5, 1024.0, 0.25], [2.0; 4]];
    let set = set(folder.path(), &images, &["1@a.mrcs", "2@a.mrcs"]);
    write(folder.path(), &images, StackMode::Float16);
    let mut store = ImageStore::open(&set, false).unwrap();
    // Two images of four pixels of two bytes.
    store.keep_within(&set, 16);
    for (index, pixels) in images.iter().enumerate() {
        let image = store.image(&set, index).unwrap();
        assert!(matches!(image, Pixels::Half(Cow::Borrowed(_))));
        assert_eq!((image.bytes().len(), &image.single()[..]), (8, &pixels[..]));
    }
}

#[test]
fn missing_short_and_misshapen_stacks_are_found_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |set: &ParticleSet| {
        let message = ImageStore::open(set, false).unwrap_err().to_string();
        assert!(
            message.starts_with("particle 1 (") && message.contains("p.star"),
            "{message}"
        );
        message
    };
    let images = [[1.0; 4], [2.0; 4], [3.0; 4]];
    assert!(
        refused(&set(folder.path(), &images, &["1@none.mrcs"]))
            .contains("neither in the current folder")
    );
    assert!(refused(&set(folder.path(), &images, &["4@a.mrcs"])).contains("the stack holds 3"));
    assert!(refused(&set(folder.path(), &images, &["1@a.tif"])).contains("TIFF"));
    assert!(refused(&set(folder.path(), &images, &["1@a.spi"])).contains("SPIDER"));

    let mut wrong = set(folder.path(), &images, &["1@a.mrcs"]);
    wrong.optics[0].box_size = 4;
    assert!(refused(&wrong).contains("2 x 2 pixels, its optics group says 4 x 4"));

    let whole = set(folder.path(), &images, &["2@a.mrcs"]);
    let file = std::fs::File::options()
        .write(true)
        .open(folder.path().join("a.mrcs"))
        .unwrap();
    file.set_len(1024 + 2 * 16).unwrap();
    let store = ImageStore::open(&whole, false).unwrap();
    assert!(
        store.warnings()[0].contains("2 of its 3 images"),
        "{:?}",
        store.warnings()
    );
    file.set_len(1024 + 16).unwrap();
    assert!(refused(&whole).contains("image 2 is missing and 1 are complete"));
}
