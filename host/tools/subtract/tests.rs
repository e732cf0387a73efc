//! Images and tables against the reference run.

use super::*;
use crate::errors::Coded;
use crate::formats::mrc::StackReader;
use std::io::Read;

fn images(path: &Path, count: usize) -> Vec<Vec<f32>> {
    let reader = StackReader::open_partial(path).unwrap();
    let (width, height) = reader.shape();
    (0..count)
        .map(|i| {
            let mut image = vec![0.0; width * height];
            reader.read_into(i, &mut image).unwrap();
            image
        })
        .collect()
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|v| f64::from(*v)).sum::<f64>() / v.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a) - mean_a, f64::from(*b) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt()
}

/// Settings for the particles of the reference run, and its folder. Names of its images are made absolute.
fn reference(folder: &Path) -> Option<(SubtractSettings, PathBuf)> {
    let golden = material::golden("more")?;
    let stack = golden.join("input/p32.mrcs").canonicalize().unwrap();
    let run = golden.join("localsym_off/run_it001_data.star");
    let text = std::fs::read_to_string(run).unwrap();
    let data = folder.join("data.star");
    std::fs::write(
        &data,
        text.replace("@p32.mrcs", &format!("@{}", stack.display())),
    )
    .unwrap();
    let settings = SubtractSettings {
        optimiser: golden.join("localsym_off/run_it001_optimiser.star"),
        folder: folder.join("subtract"),
        mask: Some(golden.join("input/mask_su.mrc")),
        data: Some(data),
        ignore_class: false,
        centre: Centre::Mask,
        new_box: Some(24),
        half_precision: false,
    };
    Some((settings, golden))
}

#[test]
fn images_and_tables_are_those_of_the_reference_run() {
    let folder = tempfile::tempdir().unwrap();
    let Some((settings, golden)) = reference(folder.path()) else {
        return;
    };
    let made = run(&settings, |_, _| {}).unwrap();
    assert_eq!(made.particles, 200);
    let stack = settings
        .folder
        .join("Particles/subtracted_opticsgroup1.mrcs");
    let ours = images(&stack, 20);
    let theirs = images(&golden.join("subtract/first20.mrcs"), 20);
    let correlations: Vec<f64> = ours
        .iter()
        .zip(&theirs)
        .map(|(a, b)| correlation(a, b))
        .collect();
    let lowest = correlations.iter().copied().fold(1.0, f64::min);
    println!("lowest correlation {lowest}");
    assert!(lowest > 0.9999, "{correlations:?}");

    let mut text = String::new();
    let file = std::fs::File::open(golden.join("subtract/particles_subtracted.star.gz")).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    let theirs = Document::parse(text.as_bytes(), Path::new("particles_subtracted.star")).unwrap();
    let ours = Document::read(&made.star).unwrap();
    for name in ["optics", "particles"] {
        let (ours, theirs) = (ours.require(name).unwrap(), theirs.require(name).unwrap());
        assert_eq!(ours.labels(), theirs.labels());
        assert_eq!(ours.len(), theirs.len());
        for label in ours.labels() {
            for row in 0..ours.len() {
                let (a, b) = (
                    ours.text(row, label).unwrap(),
                    theirs.text(row, label).unwrap(),
                );
                match label {
                    "rlnOriginXAngst" | "rlnOriginYAngst" => {
                        let of = |t: &crate::formats::star::Table| t.real(row, label).unwrap();
                        let difference = of(ours) - of(theirs);
                        assert!(difference.abs() < 1e-5, "{label}, row {row}: {a} {b}");
                    }
                    "rlnImageName" => {
                        let name = |text: &str| text.rsplit('/').next().unwrap().to_owned();
                        assert_eq!((&a[..9], name(a)), (&b[..9], name(b)));
                    }
                    "rlnImageOriginalName" => assert_eq!(a.split('@').next(), b.split('@').next()),
                    _ => assert_eq!(a, b, "{label}, row {row}"),
                }
            }
        }
    }
}

/// Without mask and recentring all of the signal goes and the tables keep their boxes; the names can be put back.
#[test]
fn the_original_images_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut settings, _)) = reference(folder.path()) else {
        return;
    };
    (settings.mask, settings.new_box, settings.centre) = (None, None, Centre::Kept);
    settings.half_precision = true;
    let made = run(&settings, |_, _| {}).unwrap();
    assert_eq!(made.centre, None);
    let back = revert(&made.star, &folder.path().join("back")).unwrap();
    let options = ReadOptions::default();
    let original = ParticleSet::read(settings.data.as_ref().unwrap(), &options).unwrap();
    let [subtracted, back] = [made.star, back].map(|p| ParticleSet::read(&p, &options).unwrap());
    for row in [0, 7, 199] {
        assert_eq!(back.image_name(row), original.image_name(row));
        assert_eq!(
            subtracted.particles[row].origin,
            original.particles[row].origin
        );
    }
    let power = |set: &ParticleSet| {
        let store = ImageStore::open(set, false).unwrap();
        let of = |index| {
            store
                .image(set, index)
                .unwrap()
                .single()
                .iter()
                .map(|v| v * v)
                .sum::<f32>()
        };
        (0..20).map(of).sum::<f32>()
    };
    assert!(power(&subtracted) < power(&back));
    let centred = SubtractSettings {
        centre: Centre::Mask,
        ..settings
    };
    assert_eq!(
        run(&centred, |_, _| {}).unwrap_err().code(),
        Code::CONFLICTING_OPTIONS
    );
}
