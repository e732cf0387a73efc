//! Maps against the reference runs, and against the truth of simulated images that follow the Ewald sphere.

use super::*;
use crate::formats::mrc::{StackMode, StackWriter};
use crate::formats::volume::read_map;
use crate::fourier::fft;
use crate::fourier::image::{ImageTransform, logical_row};
use crate::fourier::shells::{logical, shell};
use crate::geometry::{Matrix3, euler};
use crate::maximization::map_fsc::map_fsc;
use crate::optics::{Ctf, wavelength};
use num_complex::{Complex32, Complex64};
use rayon::prelude::*;
use std::f64::consts::{PI, TAU};

fn settings(input: PathBuf, output: PathBuf, correction: Correction) -> ReconstructSettings {
    ReconstructSettings {
        input,
        output,
        symmetry: "C1".into(),
        resolution: None,
        padding: 2.0,
        half: None,
        class: None,
        pixel_size: None,
        box_size: None,
        correction,
        fsc: None,
        figure_of_merit: false,
        gridding_iterations: None,
        nearest: None,
        gpu: None,
    }
}

fn bare_ewald() -> EwaldSettings {
    EwaldSettings {
        mask_diameter: None,
        mask_edge: 3.0,
        reversed: false,
        sectors: 2,
        masked: false,
        weighted: false,
    }
}

fn made(settings: &ReconstructSettings) -> Array3<f64> {
    run(settings, |_, _| {}).unwrap();
    read_map(&settings.output).unwrap().data.mapv(f64::from)
}

fn relative(ours: &Array3<f64>, theirs: &Array3<f64>) -> f64 {
    let square = |a: &Array3<f64>| a.iter().map(|v| v * v).sum::<f64>();
    (square(&(ours - theirs)) / square(theirs)).sqrt()
}

/// Relative L2 difference of two maps in every shell 0…N/2.
fn by_shell(ours: &Array3<f64>, theirs: &Array3<f64>) -> Vec<f64> {
    let n = ours.dim().0;
    let (difference, whole) = (fft::forward3(&(ours - theirs)), fft::forward3(theirs));
    let mut sums = vec![[0.0; 2]; n / 2 + 1];
    for (((z, y, x), d), w) in difference.indexed_iter().zip(&whole) {
        let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
        if let Some(sums) = sums.get_mut(shell(r2)) {
            sums[0] += d.norm_sqr();
            sums[1] += w.norm_sqr();
        }
    }
    sums.iter().map(|[d, w]| (d / w).sqrt()).collect()
}

/// The reference runs with the same command lines, in all shells. Without regularisation the voxels of the outermost shell are divided
/// by weights close to 0, so that it matters which of the pixels exactly on the circle are inserted: with all of them the plain map
/// would differ by 7 % (`fourier::circle`). With masks, pixels on the border of two sectors fall to either side (spec 06 §8.3).
#[test]
fn maps_are_those_of_the_reference_runs() {
    let Some(golden) = material::golden("more") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let flags = CtfFlags::default();
    let text = std::fs::read_to_string(golden.join("input/p32.star")).unwrap();
    let stack = golden.join("input/p32.mrcs").canonicalize().unwrap();
    let text = text.replace("@p32.mrcs", &format!("@{}", stack.display()));
    let (plain, curved) = (
        folder.path().join("p32.star"),
        folder.path().join("p32_20kV.star"),
    );
    std::fs::write(&plain, &text).unwrap();
    std::fs::write(&curved, text.replace("\t300.000000\t", "\t20.000000\t")).unwrap();
    let masked = EwaldSettings {
        mask_diameter: Some(160.0),
        masked: true,
        weighted: true,
        ..bare_ewald()
    };
    for (name, input, correction, bound) in [
        ("plain", &plain, Correction::Ctf(flags), 1e-4),
        (
            "ewald_bare",
            &curved,
            Correction::Ewald(flags, bare_ewald()),
            1e-4,
        ),
        ("ewald", &curved, Correction::Ewald(flags, masked), 0.01),
    ] {
        let theirs = read_map(&golden.join(format!("reconstruct/{name}.mrc.gz"))).unwrap();
        let theirs = theirs.data.mapv(f64::from);
        let output = folder.path().join(format!("{name}.mrc"));
        let differences = |correction| {
            let ours = made(&settings(input.clone(), output.clone(), correction));
            by_shell(&ours, &theirs)
        };
        let ours = differences(correction);
        println!("{name}: {ours:.5?}");
        match correction {
            // Curved slices leave the outermost sphere, so that no pixel lies on it: all shells agree.
            Correction::Ewald(flags, ewald) => {
                assert!(ours.iter().all(|d| *d < bound), "{name}: {ours:?}");
                let reversed = EwaldSettings {
                    reversed: true,
                    ..ewald
                };
                for other in [Correction::Ewald(flags, reversed), Correction::Ctf(flags)] {
                    let other = differences(other);
                    assert!(other[6..].iter().all(|d| *d > 0.09), "{name}: {other:?}");
                }
            }
            _ => assert!(ours.iter().all(|d| *d < bound), "{name}: {ours:?}"),
        }
    }
}

/// Atoms of a simulated particle: positions in Å, all of one width.
struct Atoms {
    positions: Vec<[f64; 3]>,
    /// Å.
    sigma: f64,
}

impl Atoms {
    fn new(count: usize, radius: f64) -> Self {
        let number =
            |i: usize, k: usize| ((i * 7919 + k * 104_729 + 17) % 1009) as f64 / 504.5 - 1.0;
        let positions = (0..).map(|i| [number(i, 1), number(3 * i, 5), number(7 * i, 11)]);
        let inside = positions.filter(|p| p.iter().map(|c| c * c).sum::<f64>() < 1.0);
        Self {
            positions: inside.take(count).map(|p| p.map(|c| c * radius)).collect(),
            sigma: 1.5,
        }
    }

    /// Fourier transform at a spatial frequency (1/Å).
    fn transform(&self, k: [f64; 3]) -> Complex64 {
        let k2: f64 = k.iter().map(|c| c * c).sum();
        let damping = (-2.0 * (PI * self.sigma).powi(2) * k2).exp();
        let waves = self
            .positions
            .iter()
            .map(|p| Complex64::cis(-TAU * (k[0] * p[0] + k[1] * p[1] + k[2] * p[2])));
        waves.sum::<Complex64>() * damping
    }

    /// The map with exactly this transform.
    fn map(&self, n: usize, pixel_size: f64) -> Array3<f64> {
        let side = n as f64 * pixel_size;
        let transform = Array3::from_shape_fn((n, n, n / 2 + 1), |(z, y, x)| {
            let at = [x as i64, logical(y, n), logical(z, n)];
            let sign = 1.0 - 2.0 * (at.iter().sum::<i64>().rem_euclid(2)) as f64;
            self.transform(at.map(|k| k as f64 / side)) * sign
        });
        fft::inverse3(transform, n)
    }
}

const BOX: usize = 40;

/// How images are taken.
struct Microscope {
    box_size: usize,
    /// Å.
    pixel_size: f64,
    kilovolts: f64,
    /// Least defocus and its spread, Å.
    defocus: [f64; 2],
}

/// Voltage and box are so low that small images show the curvature.
const SMALL: Microscope = Microscope {
    box_size: BOX,
    pixel_size: 1.6,
    kilovolts: 1.0,
    defocus: [800.0, 1700.0],
};

/// Transform of an image of `atoms`: X = ½(F₊·(CTFP)* + F₋·CTFP), F± the transform on either side of the sphere, which is C·F where
/// the sphere is flat.
fn curved_image(atoms: &Atoms, a: &Matrix3, ctf: &Ctf, by: &Microscope) -> Vec<Complex32> {
    let n = by.box_size;
    let side = n as f64 * by.pixel_size;
    let radius = side / wavelength(by.kilovolts);
    let at = euler::transpose(a);
    let mut transform = Vec::new();
    for row in 0..n {
        let y = logical_row(row, n);
        let waves = ctf.waves(y, n / 2 + 1);
        for (x, wave) in waves.into_iter().enumerate() {
            let (fx, fy) = (x as f64, f64::from(y));
            let w = (fx * fx + fy * fy) / (2.0 * radius);
            let [above, below] = [w, -w].map(|w| {
                let k = euler::apply(&at, [fx, fy, w]).map(|c| c / side);
                atoms.transform(k)
            });
            let value = 0.5 * (above * wave.conj() + below * wave);
            transform.push(Complex32::new(value.re as f32, value.im as f32));
        }
    }
    transform
}

/// Writes images of `atoms` from many directions, and their particle file.
fn simulate(folder: &Path, atoms: &Atoms, count: usize, by: &Microscope) -> PathBuf {
    let (n, pixel, kilovolts) = (by.box_size, by.pixel_size, by.kilovolts);
    let mut star = format!(
        "data_optics\nloop_\n_rlnOpticsGroup\n_rlnVoltage\n_rlnSphericalAberration\n_rlnAmplitudeContrast\n_rlnImagePixelSize\n\
         _rlnImageSize\n1 {kilovolts} 0 0.1 {pixel} {n}\n\ndata_particles\nloop_\n_rlnImageName\n_rlnOpticsGroup\n_rlnDefocusU\n\
         _rlnDefocusV\n_rlnDefocusAngle\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n_rlnOriginYAngst\n\
         _rlnRandomSubset\n"
    );
    let images = folder.join("images.mrcs");
    let transform = ImageTransform::new(n);
    let made: Vec<(String, Vec<f32>)> = (0..count)
        .into_par_iter()
        .map(|i| {
            let turn = i as f64 * 0.618_034;
            let (rot, psi) = (360.0 * turn.fract(), 360.0 * (turn * 7.3).fract());
            let tilt = (1.0 - 2.0 * (i as f64 + 0.5) / count as f64)
                .acos()
                .to_degrees();
            let defocus = by.defocus[0] + by.defocus[1] * (turn * 3.1).fract();
            let line = format!(
                "{:06}@{} 1 {defocus} {defocus} 0 {rot} {tilt} {psi} 0 0 {}\n",
                i + 1,
                images.display(),
                i % 2 + 1
            );
            let fields = crate::dataset::CtfFields {
                defocus_u: defocus,
                defocus_v: defocus,
                defocus_angle: 0.0,
                b_factor: 0.0,
                scale: 1.0,
                phase_shift: 0.0,
            };
            let group = crate::dataset::OpticsGroup {
                voltage: Some(kilovolts),
                spherical_aberration: Some(0.0),
                amplitude_contrast: Some(0.1),
                ..crate::dataset::OpticsGroup::new(pixel, n)
            };
            let ctf = Ctf::new(&fields, &group, CtfFlags::default()).unwrap();
            let image = curved_image(atoms, &euler::matrix(rot, tilt, psi), &ctf, by);
            (line, transform.inverse(&image))
        })
        .collect();
    let mut stack = StackWriter::create(&images, n, count, pixel, StackMode::Float32).unwrap();
    for (line, image) in made {
        star.push_str(&line);
        stack.push(&image).unwrap();
    }
    stack.finish().unwrap();
    let path = folder.join("particles.star");
    std::fs::write(&path, star).unwrap();
    path
}

/// FSC to the truth of maps of images that follow the sphere: reconstructed as if it were flat, with the right curvature, and with the
/// wrong one.
fn curves(atoms: &Atoms, count: usize, by: &Microscope) -> [Vec<f64>; 3] {
    let folder = tempfile::tempdir().unwrap();
    let input = simulate(folder.path(), atoms, count, by);
    let truth = atoms.map(by.box_size, by.pixel_size);
    let flags = CtfFlags::default();
    let reversed = EwaldSettings {
        reversed: true,
        ..bare_ewald()
    };
    [
        Correction::Ctf(flags),
        Correction::Ewald(flags, bare_ewald()),
        Correction::Ewald(flags, reversed),
    ]
    .map(|correction| {
        let output = folder.path().join("map.mrc");
        let curve = map_fsc(&made(&settings(input.clone(), output, correction)), &truth).unwrap();
        println!("{correction:?}: {curve:.3?}");
        curve
    })
}

/// Images that follow the sphere give a better map when this is taken into account, and a worse one with the wrong sign.
#[test]
fn the_right_curvature_improves_the_map_and_the_wrong_one_does_not() {
    let mean = |curve: Vec<f64>| curve[12..20].iter().sum::<f64>() / 8.0;
    let [flat, right, wrong] = curves(&Atoms::new(60, 30.0), 600, &SMALL).map(mean);
    println!("mean FSC of shells 12 to 19: flat {flat:.3}, right {right:.3}, wrong {wrong:.3}");
    assert!(right > flat + 0.1 && right > 0.95, "{right} {flat}");
    assert!(wrong < flat - 0.1, "{wrong} {flat}");
}

/// The same at 80 kV with voxels of 0.8 Å: the right curvature gives a resolution, where the FSC falls below ½, near Nyquist.
#[test]
fn large_particles_at_80_kilovolts_reach_nyquist_with_the_right_curvature() {
    if !material::long_tests() {
        return;
    }
    let by = Microscope {
        box_size: 256,
        pixel_size: 0.8,
        kilovolts: 80.0,
        defocus: [8_000.0, 12_000.0],
    };
    let mut atoms = Atoms::new(30, 70.0);
    atoms.sigma = 0.4;
    let shell = |curve: Vec<f64>| curve.iter().position(|c| *c < 0.5).unwrap_or(curve.len());
    let [flat, right, wrong] = curves(&atoms, 500, &by).map(shell);
    println!("first shells below 1/2: flat {flat}, right {right}, wrong {wrong}");
    assert!(
        right > 120 && flat < 110 && wrong < flat,
        "{flat} {right} {wrong}"
    );
}

/// Half-sets are what the column says; a selection that leaves nothing, or lacks its column, is refused.
#[test]
fn particles_are_selected() {
    let folder = tempfile::tempdir().unwrap();
    let input = simulate(folder.path(), &Atoms::new(5, 20.0), 6, &SMALL);
    let output = folder.path().join("map.mrc");
    let all = settings(input, output, Correction::Ctf(CtfFlags::default()));
    let half = |half| ReconstructSettings {
        half: Some(half),
        ..all.clone()
    };
    assert_eq!(run(&half(1), |_, _| {}).unwrap().particles, 3);
    let [one, two] = [1, 2].map(|h| made(&half(h)));
    assert!(relative(&one, &two) > 1e-3);
    let of_class = ReconstructSettings {
        class: Some(2),
        ..all.clone()
    };
    assert_eq!(
        run(&of_class, |_, _| {}).unwrap_err().code(),
        Code::STAR_CONTENT
    );
    let empty = ReconstructSettings {
        half: Some(3),
        ..all.clone()
    };
    assert_eq!(
        run(&empty, |_, _| {}).unwrap_err().code(),
        Code::NO_PARTICLES
    );
    let without_diameter = ReconstructSettings {
        correction: Correction::Ewald(
            CtfFlags::default(),
            EwaldSettings {
                masked: true,
                ..bare_ewald()
            },
        ),
        ..all
    };
    assert_eq!(
        run(&without_diameter, |_, _| {}).unwrap_err().code(),
        Code::MISSING_OPTION
    );
}

/// An FSC of 1 leaves the map as it is but for a thousandth, one of ½ halves the signal where all weights are equal, and its
/// shells must be those of the map.
#[test]
fn an_fsc_weighs_the_shells() {
    let folder = tempfile::tempdir().unwrap();
    let input = simulate(folder.path(), &Atoms::new(20, 25.0), 100, &SMALL);
    let write = |name: &str, fsc: f64, shells: usize| {
        let rows: String = (0..shells).map(|s| format!("{s} {fsc}\n")).collect();
        let path = folder.path().join(name);
        let head = "data_model_general\n_rlnNrClasses 1\n\ndata_model_class_1\nloop_\n_rlnSpectralIndex\n_rlnGoldStandardFsc\n";
        std::fs::write(&path, format!("{head}{rows}")).unwrap();
        path
    };
    let output = folder.path().join("map.mrc");
    let with = |fsc: Option<PathBuf>| ReconstructSettings {
        fsc,
        ..settings(
            input.clone(),
            output.clone(),
            Correction::Ctf(CtfFlags::default()),
        )
    };
    let plain = made(&with(None));
    let power = |map: &Array3<f64>| map.iter().map(|v| v * v).sum::<f64>();
    let sure = made(&with(Some(write("sure.star", 1.0, BOX / 2 + 1))));
    let unsure = made(&with(Some(write("unsure.star", 0.5, BOX / 2 + 1))));
    assert!(relative(&sure, &plain) < 0.1);
    let ratio = power(&unsure) / power(&sure);
    assert!((0.1..0.6).contains(&ratio), "{ratio}");
    let long = run(&with(Some(write("long.star", 1.0, BOX))), |_, _| {}).unwrap_err();
    assert_eq!(long.code(), Code::STAR_VALUE);
}

/// Memory that holds the sums, but not the arrays of gridding beside them.
#[test]
fn memory_of_gridding_counts() {
    let shape = VolumeShape::new(Dimensions::Three, 128, 2.0, 128);
    let plain = settings("p.star".into(), "o.mrc".into(), Correction::None);
    let gridding = ReconstructSettings {
        gridding_iterations: Some(10),
        ..plain.clone()
    };
    let sums = 24 * shape.voxels();
    assert!(refuse_beyond(Some(sums), &shape, &plain).is_ok());
    assert!(refuse_beyond(Some(sums - 1), &shape, &plain).is_err());
    let refused = refuse_beyond(Some(sums + sums / 2), &shape, &gridding).unwrap_err();
    assert_eq!(refused.code, Code::OUT_OF_MEMORY);
    assert!(
        refused.to_string().contains("--dont_skip_gridding"),
        "{refused}"
    );
    assert!(refuse_beyond(Some(3 * sums), &shape, &gridding).is_ok());
}
