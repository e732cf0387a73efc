//! Images of a known map as a given microscope would take them, and runs of the program on them.

use gerelion::dataset::{CtfFields, OpticsGroup};
use gerelion::expectation::cpu::CpuEngine;
use gerelion::formats::atoms::Atom;
use gerelion::formats::mrc::{StackMode, StackWriter, write_map};
use gerelion::formats::star::{Document, Table, Value};
use gerelion::formats::volume::read_map;
use gerelion::fourier::{
    fft,
    shells::{logical, shell},
};
use gerelion::geometry::{Matrix3, euler, random::CRandom, symmetry::PointGroup};
use gerelion::optics::{Ctf, CtfFlags};
use gerelion::options::CommandLine;
use gerelion::refinement::parallel::workers::Workers;
use gerelion::refinement::run;
use gerelion::refinement::settings::Settings;
use gerelion::tools::compare::rotation_between;
use gerelion::tools::fsc::compare_maps;
use gerelion::tools::simulate::{
    phantom::{HelixBundle, helix_bundle},
    projection::{Projector, frequencies, signed},
    truth_map,
};
use ndarray::Array3;
use num_complex::Complex32;
use std::path::{Path, PathBuf};

/// Box of the map, voxels.
pub const BOX: usize = 40;
/// Å per voxel of the map.
pub const PIXEL: f64 = 4.0;
/// Envelope of all images, Å².
const B_FACTOR: f64 = 100.0;
/// Diameter of the particle's mask, Å.
pub const DIAMETER: f64 = 130.0;
/// Deviation of the signal against noise of deviation 1.
const SIGNAL: f32 = 5.0;

/// Change of the transform of one image: C, frequency (1/Å), value → new value.
pub type Change = fn(f64, [f64; 2], Complex32) -> Complex32;

/// Images that share an optics group: what the optics table says of them, and how they were really made.
#[derive(Clone)]
pub struct Exposure {
    /// Row of the optics table.
    pub optics: OpticsGroup,
    /// How many.
    pub images: usize,
    /// Form of the CTF that the images carry.
    pub flags: CtfFlags,
    /// Defocus of the images minus that in the table, Å.
    pub more_defocus: f64,
    /// Change of each image after the CTF, before noise.
    pub before_noise: Change,
    /// Change of each image after noise.
    pub after_noise: Change,
    /// Images carry a CTF.
    pub ctf: bool,
    /// Standard deviation of the noise before images are brought to noise of deviation 1; the signal's is about 5.
    pub noise: f32,
}

fn unchanged(_: f64, _: [f64; 2], value: Complex32) -> Complex32 {
    value
}

impl Exposure {
    /// 300 kV, Cs 2 mm, amplitude contrast 0.1, the box and pixel size of the map.
    pub fn new(images: usize) -> Self {
        Self {
            optics: OpticsGroup {
                voltage: Some(300.0),
                spherical_aberration: Some(2.0),
                amplitude_contrast: Some(0.1),
                ..OpticsGroup::new(PIXEL, BOX)
            },
            images,
            flags: CtfFlags::default(),
            more_defocus: 0.0,
            before_noise: unchanged,
            after_noise: unchanged,
            ctf: true,
            noise: 1.0,
        }
    }
}

/// A set of images on disk with its truth.
pub struct Set {
    folder: tempfile::TempDir,
    atoms: Vec<Atom>,
    symmetry: PointGroup,
    /// rot, tilt, psi of each particle, degrees.
    pub angles: Vec<[f64; 3]>,
    /// Origin offsets of each particle, Å.
    pub origins: Vec<[f64; 2]>,
}

impl Set {
    /// Images of a phantom of a point group; poses, shifts (up to ±2 pixels of the map), defocus and noise depend
    /// on the number of the particle alone, not on the exposure.
    pub fn new(symmetry: &str, exposures: &[Exposure]) -> Self {
        let group = PointGroup::parse(symmetry).unwrap();
        let mut set = Self {
            folder: tempfile::tempdir().unwrap(),
            atoms: phantom(&group),
            symmetry: group,
            angles: Vec::new(),
            origins: Vec::new(),
        };
        let map = set.truth().mapv(|v| v as f32);
        write_map(&set.path("truth.mrc"), map.view(), PIXEL).unwrap();
        set.take(exposures);
        set
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The map that the images are projections of, on the grey scale of the images.
    pub fn truth(&self) -> Array3<f64> {
        // Images hold density per Å², maps per voxel.
        let map = truth_map(&self.atoms, BOX, PIXEL, B_FACTOR);
        map * f64::from(self.grey_scale()) / (PIXEL * PIXEL)
    }

    /// Factor that gives projections the deviation [`SIGNAL`], roughly.
    fn grey_scale(&self) -> f32 {
        let weight: f64 = self.atoms.iter().map(|a| a.weight).sum();
        // The projected weight spread evenly over the disc of the particle.
        SIGNAL * (std::f64::consts::PI * 50.0 * 50.0 / weight) as f32
    }

    fn take(&mut self, exposures: &[Exposure]) {
        let mut optics = Table::new_loop("optics", &OPTICS);
        let mut labels = LABELS.to_vec();
        labels.extend(POSE);
        let mut with_poses = Table::new_loop("particles", &labels);
        let mut without = Table::new_loop("particles", &LABELS);
        for (group, exposure) in exposures.iter().enumerate() {
            let o = &exposure.optics;
            optics.push_row(optics_row(group, o));
            let stack = self.path(&format!("stack{}.mrcs", group + 1));
            let mut writer = StackWriter::create(
                &stack,
                o.box_size,
                exposure.images,
                o.pixel_size,
                StackMode::Float32,
            )
            .unwrap();
            let projector = Projector::new(o.box_size, o.pixel_size, B_FACTOR);
            for slice in 0..exposure.images {
                let index = self.angles.len();
                let mut random = CRandom::new(1000 + index as u32);
                let angles = random_angles(&mut random);
                let origin = [(); 2]
                    .map(|()| (f64::from(random.uniform(-2.0, 2.0)) * PIXEL * 1e4).round() / 1e4);
                // A micrograph has ten images; its defocus is drawn anew for each, which does no harm.
                let defocus = f64::from(random.uniform(8000.0, 20000.0)).round();
                let image = self.image(exposure, &projector, angles, origin, defocus, &mut random);
                writer.push(&image).unwrap();
                let mut row: Vec<Value> = vec![
                    format!("{:06}@{}", slice + 1, stack.display()).into(),
                    format!("group{group}_mic{:02}.mrc", slice / 10).into(),
                    (group + 1).into(),
                    defocus.into(),
                    (defocus - 300.0).into(),
                    30.0.into(),
                ];
                without.push_row(row.clone());
                row.extend(angles.map(Value::Real));
                row.extend(origin.map(Value::Real));
                with_poses.push_row(row);
                self.angles.push(angles);
                self.origins.push(origin);
            }
            writer.finish().unwrap();
        }
        for (name, table) in [("poses.star", with_poses), ("images.star", without)] {
            let document = Document {
                tables: vec![optics.clone(), table],
                ..Document::default()
            };
            document.write(&self.path(name)).unwrap();
        }
    }

    /// Write `name`, the table with the true poses after `change` of the angles and origin of each particle.
    pub fn write_poses(
        &self,
        name: &str,
        change: impl Fn(usize, [f64; 3], [f64; 2]) -> ([f64; 3], [f64; 2]),
    ) {
        let mut document = Document::read(&self.path("poses.star")).unwrap();
        let table = &mut document.tables[1];
        for i in 0..self.angles.len() {
            let (angles, origin) = change(i, self.angles[i], self.origins[i]);
            for (label, value) in POSE.iter().zip(angles.into_iter().chain(origin)) {
                table.set(i, label, Value::Real(value));
            }
        }
        document.write(&self.path(name)).unwrap();
    }

    fn image(
        &self,
        exposure: &Exposure,
        projector: &Projector,
        angles: [f64; 3],
        origin: [f64; 2],
        defocus: f64,
        random: &mut CRandom,
    ) -> Vec<f32> {
        let o = &exposure.optics;
        let n = o.box_size;
        // A pixel (x, y) of a distorted image holds the frequency M·(x, y) of the undistorted one, so the particle is
        // seen through Mᵀ.
        let [[xx, xy], [yx, yy]] = o.magnification;
        let distortion: Matrix3 = [[xx, yx, 0.0], [xy, yy, 0.0], [0.0, 0.0, 1.0]];
        let rotation =
            euler::multiply(&distortion, &euler::matrix(angles[0], angles[1], angles[2]));
        let shift = origin.map(|v| -v / o.pixel_size);
        let fields = CtfFields {
            defocus_u: defocus + exposure.more_defocus,
            defocus_v: defocus + exposure.more_defocus - 300.0,
            defocus_angle: 30.0,
            b_factor: 0.0,
            scale: 1.0,
            phase_shift: 0.0,
        };
        // The tests put in themselves what these columns describe.
        let carried = OpticsGroup {
            ctf_premultiplied: false,
            even_zernike: Vec::new(),
            ..o.clone()
        };
        let ctf = Ctf::new(&fields, &carried, exposure.flags).unwrap();
        let mut transform = projector.transform(&self.atoms, &rotation, shift);
        let white: Vec<f32> = (0..n * n).map(|_| random.gaussian(0.0, 1.0)).collect();
        let noise = projector.image_transform().forward(&white, n / 2);
        let grey = self.grey_scale() / (exposure.noise * (o.pixel_size * o.pixel_size) as f32);
        let w = n / 2 + 1;
        for (i, (value, frequency)) in transform
            .iter_mut()
            .zip(frequencies(n, o.pixel_size))
            .enumerate()
        {
            let c = match exposure.ctf {
                true => ctf.value((i % w) as i32, signed(i / w, n)),
                false => 1.0,
            };
            let frequency = [frequency.0, frequency.1];
            let seen = (exposure.before_noise)(c, frequency, *value * (c as f32 * grey));
            *value = (exposure.after_noise)(c, frequency, seen + noise[i]);
        }
        projector.image_transform().inverse(&transform)
    }

    /// Run the program on `particles` from the true map.
    pub fn run(&self, particles: &str, options: &str) -> PathBuf {
        let runs = std::fs::read_dir(self.folder.path()).unwrap();
        let taken = runs.filter(|e| e.as_ref().unwrap().path().is_dir()).count();
        let folder = self.path(&format!("run{taken}"));
        std::fs::create_dir(&folder).unwrap();
        let root = folder.join("run");
        let mut words: Vec<String> = Vec::new();
        for (option, file) in [
            ("--i", self.path(particles)),
            ("--ref", self.path("truth.mrc")),
            ("--o", root.clone()),
        ] {
            words.extend([option.into(), file.to_string_lossy().into_owned()]);
        }
        words.extend(
            format!("--particle_diameter {DIAMETER} --verb 0")
                .split(' ')
                .map(String::from),
        );
        words.extend(options.split_whitespace().map(String::from));
        let line = CommandLine::parse(words).unwrap();
        let settings = Settings::from_command_line(&line).unwrap();
        run::run(settings, &mut Workers::of_one(CpuEngine::new())).unwrap();
        root
    }

    /// One reconstruction from the true poses; returns the FSC of the map with the truth, shell by shell.
    pub fn reconstruct(&self, options: &str) -> Vec<f64> {
        let usual = "--iter 1 --skip_align --zero_mask --ini_high 9";
        let root = self.run("poses.star", &format!("{usual} {options}"));
        self.fsc_to_truth(&self.map(&root, "it001_class001"))
    }

    /// Take the columns that begin with `prefix` out of the optics table.
    pub fn forget(&self, prefix: &str) {
        for name in ["poses.star", "images.star"] {
            let mut document = Document::read(&self.path(name)).unwrap();
            for label in OPTICS.iter().filter(|l| l.starts_with(prefix)) {
                document.tables[0].remove_column(label);
            }
            document.write(&self.path(name)).unwrap();
        }
    }

    /// A map of a run.
    pub fn map(&self, root: &Path, name: &str) -> Array3<f64> {
        let path = PathBuf::from(format!("{}_{name}.mrc", root.display()));
        read_map(&path).unwrap().data.mapv(f64::from)
    }

    /// FSC of a map with the truth.
    pub fn fsc_to_truth(&self, map: &Array3<f64>) -> Vec<f64> {
        fsc(map, &self.truth())
    }

    /// Orientations found.
    pub fn poses(&self, root: &Path, iteration: usize) -> Vec<[f64; 3]> {
        let path = PathBuf::from(format!("{}_it{iteration:03}_data.star", root.display()));
        let document = Document::read(&path).unwrap();
        let table = document.require("particles").unwrap();
        let [rot, tilt, psi] = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
            .map(|label| table.real_column(label).unwrap());
        (0..table.len())
            .map(|i| [rot[i], tilt[i], psi[i]])
            .collect()
    }

    /// Angle (degrees) between each found orientation and the true one, over the symmetry; offsets found minus true, Å.
    pub fn errors(&self, root: &Path, iteration: usize) -> Vec<(f64, [f64; 2])> {
        let path = PathBuf::from(format!("{}_it{iteration:03}_data.star", root.display()));
        let document = Document::read(&path).unwrap();
        let table = document.require("particles").unwrap();
        let [x, y] = ["rlnOriginXAngst", "rlnOriginYAngst"].map(|l| table.real_column(l).unwrap());
        self.poses(root, iteration)
            .into_iter()
            .enumerate()
            .map(|(i, found)| {
                let angle = rotation_between(found, self.angles[i], self.symmetry.operators());
                let [true_x, true_y] = self.origins[i];
                (angle, [x[i] - true_x, y[i] - true_y])
            })
            .collect()
    }
}

/// Helices; where a point group leaves no room for them, loose atoms.
fn phantom(group: &PointGroup) -> Vec<Atom> {
    if group.order() < 60 {
        let shape = HelixBundle {
            diameter: 100.0,
            helices: 24usize.div_ceil(group.order()),
            conformation: 0,
        };
        return helix_bundle(&shape, group);
    }
    const RADIUS: f32 = 48.0;
    let mut random = CRandom::new(7);
    let mut unit = Vec::new();
    while unit.len() * group.order() < 600 {
        let position = [(); 3].map(|()| f64::from(random.uniform(-RADIUS, RADIUS)));
        let r2: f64 = position.iter().map(|v| v * v).sum();
        if r2 < f64::from(RADIUS * RADIUS) {
            unit.push(position);
        }
    }
    let atom = |position| Atom {
        position,
        weight: 6.0,
    };
    let mates = |g: &Matrix3| {
        unit.iter()
            .map(|p| atom(euler::apply(g, *p)))
            .collect::<Vec<_>>()
    };
    let identity = unit.iter().map(|p| atom(*p));
    identity
        .chain(group.operators().iter().flat_map(mates))
        .collect()
}

/// FSC of two maps per shell.
pub fn fsc(a: &Array3<f64>, b: &Array3<f64>) -> Vec<f64> {
    compare_maps(a, b, None, PIXEL).unwrap().curve
}

/// Root mean square amplitude of one map over that of another, shell by shell.
pub fn amplitudes(a: &Array3<f64>, b: &Array3<f64>) -> Vec<f64> {
    let power = |map: &Array3<f64>| {
        let n = map.dim().0;
        let mut sums = vec![0.0; n / 2 + 1];
        for ((z, y, x), value) in fft::forward3(map).indexed_iter() {
            let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
            if let Some(sum) = sums.get_mut(shell(r2)) {
                *sum += value.norm_sqr();
            }
        }
        sums
    };
    let (a, b) = (power(a), power(b));
    a.iter().zip(&b).map(|(a, b)| (a / b).sqrt()).collect()
}

/// Smallest FSC in shells 1…`last`.
pub fn smallest(curve: &[f64], last: usize) -> f64 {
    curve[1..=last].iter().copied().fold(1.0, f64::min)
}

fn random_angles(random: &mut CRandom) -> [f64; 3] {
    let angles = [
        random.uniform(-180.0, 180.0),
        random.uniform(-1.0, 1.0).acos().to_degrees(),
        random.uniform(-180.0, 180.0),
    ];
    // As a STAR file holds them.
    angles.map(|a| (f64::from(a) * 1e6).round() / 1e6)
}

const OPTICS: [&str; 19] = [
    "rlnOpticsGroup",
    "rlnOpticsGroupName",
    "rlnImagePixelSize",
    "rlnImageSize",
    "rlnImageDimensionality",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnOddZernike",
    "rlnEvenZernike",
    "rlnCtfDataAreCtfPremultiplied",
    "rlnMagMat00",
    "rlnMagMat01",
    "rlnMagMat10",
    "rlnMagMat11",
    "rlnMtfFileName",
    "rlnMicrographOriginalPixelSize",
];

fn optics_row(group: usize, o: &OpticsGroup) -> Vec<Value> {
    let vector = |values: &[f64]| -> Value {
        let values: Vec<String> = values.iter().map(f64::to_string).collect();
        format!("[{}]", values.join(",")).into()
    };
    let mut row: Vec<Value> = vec![
        (group + 1).into(),
        format!("opticsGroup{}", group + 1).into(),
        o.pixel_size.into(),
        o.box_size.into(),
        2usize.into(),
        o.voltage.unwrap().into(),
        o.spherical_aberration.unwrap().into(),
        o.amplitude_contrast.unwrap().into(),
        o.beam_tilt[0].into(),
        o.beam_tilt[1].into(),
        vector(&o.odd_zernike),
        vector(&o.even_zernike),
        usize::from(o.ctf_premultiplied).into(),
    ];
    row.extend(
        o.magnification
            .as_flattened()
            .iter()
            .map(|m| Value::Real(*m)),
    );
    row.push(o.mtf_file.clone().unwrap_or("None".into()).into());
    row.push(o.original_pixel_size.unwrap_or(o.pixel_size).into());
    row
}

const LABELS: [&str; 6] = [
    "rlnImageName",
    "rlnMicrographName",
    "rlnOpticsGroup",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
];

const POSE: [&str; 5] = [
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
];
