//! How closely two runs must agree, number by number.

use crate::engines::{self, Cards};
use crate::particles::{DIAMETER, Set};
use gerelion::device::kernels::{PTX_AVAILABLE, WHY_NO_PTX};
use gerelion::formats::star::{Document, Table};
use gerelion::formats::volume::read_map;
use gerelion::geometry::symmetry::PointGroup;
use gerelion::tools::compare::rotation_between;
use material::{Need, skip};
use ndarray::{Array3, Axis};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Largest differences that are allowed between the engines, beyond the last digit that is written. Relative ones are of
/// the larger value.
pub struct Bounds {
    /// σ² of every optics group and shell, relative.
    pub sigma2: f64,
    /// τ² and σ² of every class and shell, relative.
    pub tau2: f64,
    /// Norm correction of every particle, and its average, relative.
    pub norm: f64,
    /// Scale of every group, relative.
    pub scale: f64,
    /// Pmax of every particle.
    pub pmax: f64,
    /// Log-likelihood of every particle.
    pub log_likelihood: f64,
    /// Significant samples of every particle.
    pub samples: f64,
    /// Orientation of every particle, degrees.
    pub angle: f64,
    /// Origin of every particle, Å.
    pub origin: f64,
    /// Class distribution and orientation distribution.
    pub distribution: f64,
    /// σ of the offsets, relative.
    pub offsets: f64,
    /// Mean offset of class averages, Å.
    pub mean_offset: f64,
    /// Expected accuracies, relative.
    pub accuracy: f64,
    /// Maps: ‖a − b‖ / ‖a‖.
    pub map: f64,
}

/// Rounding in single precision, which the engines do in different orders: 1e-6 of a log-likelihood, more in τ² where a filter or
/// the mask leaves next to nothing, and in scales of few images. Numbers were found to agree within less than half of these
/// bounds.
impl Default for Bounds {
    fn default() -> Self {
        Self {
            sigma2: 5e-6,
            tau2: 5e-4,
            norm: 5e-6,
            scale: 2e-5,
            pmax: 1e-5,
            log_likelihood: 2e-3,
            samples: 0.0,
            angle: 1e-4,
            origin: 1e-4,
            distribution: 1e-5,
            offsets: 5e-6,
            mean_offset: 2e-5,
            accuracy: 0.0,
            map: 1e-5,
        }
    }
}

/// The largest difference of each kind, with where it was found.
#[derive(Default)]
struct Differences {
    kinds: Vec<(&'static str, f64, f64, String)>,
    compared: usize,
}

impl Differences {
    fn add(&mut self, kind: &'static str, bound: f64, difference: f64, place: &str) {
        self.compared += 1;
        let worse = |known: f64| difference > known || difference.is_nan();
        match self.kinds.iter_mut().find(|k| k.0 == kind) {
            Some(known) if worse(known.2) => (known.2, known.3) = (difference, place.into()),
            Some(_) => (),
            None => self.kinds.push((kind, bound, difference, place.into())),
        }
    }

    fn absolute(&mut self, kind: &'static str, bound: f64, a: &[f64], b: &[f64], place: &str) {
        assert_eq!(a.len(), b.len(), "{place}");
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            let text = format!("{place}[{i}]: {a} and {b}");
            self.add(kind, bound, (a - b).abs(), &text);
        }
    }

    fn relative(&mut self, kind: &'static str, bound: f64, a: &[f64], b: &[f64], place: &str) {
        assert_eq!(a.len(), b.len(), "{place}");
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            let largest = a.abs().max(b.abs());
            let beyond_digits = ((a - b).abs() - last_digit(largest)).max(0.0);
            let difference = if beyond_digits > 0.0 {
                beyond_digits / largest
            } else {
                0.0
            };
            self.add(
                kind,
                bound,
                difference,
                &format!("{place}[{i}]: {a} and {b}"),
            );
        }
    }

    /// Asserts that all are within their bounds.
    fn check(&self, title: &str) {
        let (mut text, mut beyond) = (format!("{title}, {} numbers\n", self.compared), false);
        for (kind, bound, found, place) in &self.kinds {
            let within = found <= bound;
            beyond |= !within;
            let mark = if within { ' ' } else { '!' };
            writeln!(
                text,
                "{mark} {kind:<16} {found:9.2e} (bound {bound:.0e})  {place}"
            )
            .unwrap();
        }
        println!("{text}");
        assert!(!beyond, "the engines differ: {text}");
    }
}

/// The unit of the last digit with which a number of this size is written: six decimals, or as many digits in the
/// exponential notation of small numbers. Two numbers that were rounded apart differ by this much.
fn last_digit(value: f64) -> f64 {
    1.001e-6 * if value < 1e-3 { value } else { 1.0 }
}

/// Runs the program on `set` with `options` on both engines and asserts that all iterations agree, and what is said of them.
pub fn agree(set: &Set, options: &str, bounds: &Bounds) {
    agree_on("0", set, options, bounds);
}

/// As [`agree`], on the cards that `map` (of `--gpu`) names.
pub fn agree_on(map: &str, set: &Set, options: &str, bounds: &Bounds) {
    let Some(([host, device], _)) = run_both(map, set, options) else {
        return;
    };
    let iterations = (1..)
        .take_while(|i| Path::new(&format!("{}_it{i:03}_data.star", host.display())).exists())
        .count();
    assert!(iterations > 0, "no iteration was written");
    for iteration in 1..=iterations {
        let prefix = |root: &Path| format!("{}_it{iteration:03}", root.display());
        compare(set, &prefix(&host), &prefix(&device), bounds).check(&format!(
            "{}, {options}, iteration {iteration}",
            set.symmetry
        ));
    }
}

/// Runs the program on `set` with `options` on both engines, that of the GPU on the cards of `map`, and asserts that both give the same warnings. Returns the roots
/// of the files, and the warnings; None, with a message, where the program has no kernels.
pub fn run_both(map: &str, set: &Set, options: &str) -> Option<([PathBuf; 2], Vec<String>)> {
    if !PTX_AVAILABLE {
        skip(Need::Kernels, WHY_NO_PTX);
        return None;
    }
    let mut words: Vec<String> = options.split_whitespace().map(String::from).collect();
    let mut add = |option: &str, value: String| {
        if !words.iter().any(|word| word == option) {
            words.extend([option.into(), value]);
        }
    };
    add("--i", "images.star".into());
    add("--ref", "reference1.mrc".into());
    add("--ini_high", "30".into());
    add("--particle_diameter", DIAMETER.to_string());
    add("--random_seed", "1".into());
    add("--sym", set.symmetry.clone());
    let folder = set.path();
    let libraries = engines::emulated_libraries(folder);
    let cards = Cards {
        libraries: &libraries,
        map,
    };
    let (host, said) = engines::run(folder, &words, "host", None);
    let (device, said_of_device) = engines::run(folder, &words, "device", Some(&cards));
    assert_eq!(said, said_of_device, "{}, {options}", set.symmetry);
    Some(([host, device], said))
}

fn compare(set: &Set, host: &str, device: &str, bounds: &Bounds) -> Differences {
    let mut found = Differences::default();
    particles(set, host, device, bounds, &mut found);
    let mut models = 0;
    for half in ["", "_half1", "_half2"] {
        let [a, b] = [host, device].map(|prefix| format!("{prefix}{half}"));
        if Path::new(&format!("{a}_model.star")).exists() {
            models += 1;
            model(&a, &b, bounds, &mut found);
            maps(set, &a, &b, bounds, &mut found);
        }
    }
    assert!(models > 0, "no model of {host}");
    found
}

fn read(path: &str) -> Document {
    Document::read(Path::new(path)).unwrap()
}

fn particles(set: &Set, host: &str, device: &str, bounds: &Bounds, found: &mut Differences) {
    let tables = [host, device].map(|prefix| {
        let document = read(&format!("{prefix}_data.star"));
        document.require("particles").unwrap().clone()
    });
    let column = |label: &str| tables.each_ref().map(|t| t.real_column(label).unwrap());
    let [a, b] = column("rlnNormCorrection");
    found.relative("norm", bounds.norm, &a, &b, "rlnNormCorrection");
    for (kind, bound, label) in [
        ("Pmax", bounds.pmax, "rlnMaxValueProbDistribution"),
        (
            "log-likelihood",
            bounds.log_likelihood,
            "rlnLogLikeliContribution",
        ),
        ("samples", bounds.samples, "rlnNrOfSignificantSamples"),
        ("class", 0.0, "rlnClassNumber"),
        ("origin", bounds.origin, "rlnOriginXAngst"),
        ("origin", bounds.origin, "rlnOriginYAngst"),
    ] {
        let [a, b] = column(label);
        found.absolute(kind, bound, &a, &b, label);
    }
    let angles = |table: &Table| {
        ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
            .map(|label| table.real_column(label).unwrap())
    };
    let [a, b] = tables.each_ref().map(angles);
    let group = PointGroup::parse(&set.symmetry).unwrap();
    // An icosahedral map of low resolution has no odd harmonics (the first is 15), so that its projections look the same
    // upside down: psi and psi + 180° are tied, and rounding decides.
    let tied_psi: &[f64] = match set.symmetry.starts_with('I') {
        true => &[0.0, 180.0],
        false => &[0.0],
    };
    for i in 0..a[0].len() {
        let [a, b]: [[f64; 3]; 2] = [&a, &b].map(|angles| std::array::from_fn(|k| angles[k][i]));
        let angle = tied_psi
            .iter()
            .map(|turn| rotation_between(a, [b[0], b[1], b[2] + turn], group.operators()))
            .fold(f64::INFINITY, f64::min);
        found.add(
            "angle",
            bounds.angle,
            angle,
            &format!("particle {i}: {a:?} and {b:?}"),
        );
    }
}

fn model(host: &str, device: &str, bounds: &Bounds, found: &mut Differences) {
    let [a, b] = [host, device].map(|prefix| read(&format!("{prefix}_model.star")));
    let names: Vec<&str> = a.tables.iter().map(|t| t.name()).collect();
    let others: Vec<&str> = b.tables.iter().map(|t| t.name()).collect();
    assert_eq!(names, others);
    for (a, b) in a.tables.iter().zip(&b.tables) {
        let mut relative = |kind: &'static str, bound: f64, label: &str| {
            if a.has(label) {
                let [x, y] = [a, b].map(|t| t.real_column(label).unwrap());
                found.relative(kind, bound, &x, &y, &format!("{} {label}", a.name()));
            }
        };
        relative("sigma2", bounds.sigma2, "rlnSigma2Noise");
        relative("tau2", bounds.tau2, "rlnReferenceTau2");
        relative("tau2", bounds.tau2, "rlnReferenceSigma2");
        relative("scale", bounds.scale, "rlnGroupScaleCorrection");
        relative("norm", bounds.norm, "rlnNormCorrectionAverage");
        relative("offsets", bounds.offsets, "rlnSigmaOffsetsAngst");
        relative("accuracy", bounds.accuracy, "rlnAccuracyRotations");
        relative("accuracy", bounds.accuracy, "rlnAccuracyTranslationsAngst");
        relative("image size", 0.0, "rlnCurrentImageSize");
        let mut absolute = |kind: &'static str, bound: f64, label: &str| {
            if a.has(label) {
                let [x, y] = [a, b].map(|t| t.real_column(label).unwrap());
                found.absolute(kind, bound, &x, &y, &format!("{} {label}", a.name()));
            }
        };
        absolute("Pmax", bounds.pmax, "rlnAveragePmax");
        absolute("mean offset", bounds.mean_offset, "rlnClassPriorOffsetX");
        absolute("mean offset", bounds.mean_offset, "rlnClassPriorOffsetY");
        absolute("distribution", bounds.distribution, "rlnClassDistribution");
        absolute(
            "distribution",
            bounds.distribution,
            "rlnOrientationDistribution",
        );
    }
}

fn maps(set: &Set, host: &str, device: &str, bounds: &Bounds, found: &mut Differences) {
    let [a, b] = [host, device].map(|prefix| references(set, prefix));
    assert_eq!(a.len(), b.len(), "{host}");
    let norm = |map: &Array3<f64>| map.iter().map(|v| v * v).sum::<f64>().sqrt();
    for (class, (a, b)) in (1..).zip(a.iter().zip(&b)) {
        // A class without particles is zero.
        let difference = norm(&(a - b)) / norm(a).max(f64::MIN_POSITIVE);
        found.add("map", bounds.map, difference, &format!("class {class}"));
    }
}

/// The maps of an iteration, or the class averages in their stack.
fn references(set: &Set, prefix: &str) -> Vec<Array3<f64>> {
    let read = |path: &str| read_map(Path::new(path)).unwrap().data.mapv(f64::from);
    let stack = format!("{prefix}_classes.mrcs");
    if Path::new(&stack).exists() {
        let averages = read(&stack);
        let sections = averages.axis_chunks_iter(Axis(0), 1);
        return sections.map(|section| section.to_owned()).collect();
    }
    let maps = 1..=set.classes;
    maps.map(|class| read(&format!("{prefix}_class{class:03}.mrc")))
        .collect()
}
