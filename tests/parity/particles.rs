//! Small simulated sets of particles.

use crate::engines;
use gerelion::dataset::OpticsGroup;
use gerelion::formats::atoms;
use gerelion::formats::mrc::write_map;
use gerelion::formats::star::{Document, Table, Value};
use gerelion::formats::volume::read_map;
use gerelion::geometry::symmetry::PointGroup;
use gerelion::tools::simulate::{
    self, Preset, SimulationSettings,
    phantom::{HelixBundle, helix_bundle},
};
use ndarray::Array3;
use std::path::Path;

/// Box of the map, voxels.
const BOX: usize = 28;
/// Å per voxel.
const PIXEL: f64 = 6.0;
/// Diameter of the mask, Å.
pub const DIAMETER: f64 = 126.0;
/// Enough for most options.
const FEW: usize = 10;
/// Deviation of the noise of an image before it was normalised, in units of that of the simulation: it rises towards
/// low frequencies.
const COLOURED: f32 = 1.3;

/// A folder with `images.star` (no poses), `poses.star` (true ones) and `reference1.mrc`…, one a class.
pub struct Set {
    folder: tempfile::TempDir,
    pub symmetry: String,
    pub classes: usize,
    particles: usize,
}

impl Set {
    /// Particles of a phantom of a point group in several conformations.
    pub fn new(symmetry: &str, classes: usize) -> Self {
        Self::of(symmetry, classes, FEW)
    }

    /// The same with this number of particles.
    pub fn of(symmetry: &str, classes: usize, particles: usize) -> Self {
        let set = Self {
            folder: tempfile::tempdir().unwrap(),
            symmetry: symmetry.into(),
            classes,
            particles,
        };
        let noise = set.simulate("images", BOX, PIXEL, 1);
        // Images are in units of their noise.
        let grey = 1.0 / (COLOURED * noise);
        for class in 1..=classes {
            let truth = set.path().join(format!("images_truth{class}.mrc"));
            let map = read_map(&truth).unwrap().data.mapv(|v| v * grey);
            let path = set.path().join(format!("reference{class}.mrc"));
            write_map(&path, map.view(), PIXEL).unwrap();
        }
        set.write_references();
        let truth = set.path().join("images_truth.star");
        std::fs::rename(truth, set.path().join("poses.star")).unwrap();
        set
    }

    /// Adds 2D references, made from the images by the engine of the host: `averages.mrcs`, and `averages.star` with one per
    /// class.
    pub fn with_averages(self) -> Self {
        let options = format!(
            "--i images.star --K {} --ctf --zero_mask --iter 2 --psi_step 15 --offset_range 2 --offset_step 2 --particle_diameter \
             {DIAMETER} --random_seed 3",
            self.classes
        );
        let words: Vec<String> = options.split_whitespace().map(String::from).collect();
        engines::run(self.path(), &words, "made", None);
        let made = self.path().join("made_it002_classes.mrcs");
        std::fs::rename(made, self.path().join("averages.mrcs")).unwrap();
        let names = (1..=self.classes).map(|class| format!("{class:06}@averages.mrcs"));
        self.write_list("averages.star", names);
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Multiply the first reference by a factor.
    pub fn scale_reference(&self, factor: f32) {
        let path = self.path().join("reference1.mrc");
        let map = read_map(&path).unwrap().data * factor;
        write_map(&path, map.view(), PIXEL).unwrap();
    }

    /// The list of references, one a class.
    fn write_references(&self) {
        let names = (1..=self.classes).map(|class| format!("reference{class}.mrc"));
        self.write_list("references.star", names);
    }

    fn write_list(&self, file: &str, names: impl Iterator<Item = String>) {
        let mut table = Table::new_loop("", &["rlnReferenceImage"]);
        for name in names {
            table.push_row(vec![name.into()]);
        }
        let document = Document {
            tables: vec![table],
            ..Document::default()
        };
        document.write(&self.path().join(file)).unwrap();
    }

    /// Adds masks of two regions, `red.mrc` and `yellow.mrc`, and a map of the second, `yellow_map.mrc`.
    pub fn with_regions(self) -> Self {
        let side = |sign: f32| {
            Array3::from_shape_fn((BOX, BOX, BOX), |(_, _, x)| {
                let x = sign * (x as f32 - (BOX / 2) as f32);
                (x / 3.0 + 0.5).clamp(0.0, 1.0)
            })
        };
        let write = |name: &str, map: &Array3<f32>| {
            write_map(&self.path().join(name), map.view(), PIXEL).unwrap();
        };
        write("red.mrc", &side(1.0));
        write("yellow.mrc", &side(-1.0));
        let map = read_map(&self.path().join("reference1.mrc")).unwrap().data;
        write("yellow_map.mrc", &(map * side(-1.0)));
        self
    }

    /// Adds a description of local symmetry, `local.star`: a ball away from the centre and two copies of it.
    pub fn with_local_symmetry(self) -> Self {
        let ball = Array3::from_shape_fn((BOX, BOX, BOX), |(z, y, x)| {
            let [x, y, z] = [x, y, z].map(|i| i as f32 - (BOX / 2) as f32);
            let distance = ((x - 5.0).powi(2) + y * y + (z - 1.0).powi(2)).sqrt();
            (4.0 - distance).clamp(0.0, 1.0)
        });
        write_map(&self.path().join("ball.mrc"), ball.view(), PIXEL).unwrap();
        let labels = [
            "rlnMaskName",
            "rlnAngleRot",
            "rlnAngleTilt",
            "rlnAnglePsi",
            "rlnOriginXAngst",
            "rlnOriginYAngst",
            "rlnOriginZAngst",
        ];
        let mut table = Table::new_loop("", &labels);
        for numbers in [
            [120.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [90.0, 60.0, 10.0, 3.0, -6.0, 4.5],
        ] {
            let values = numbers.into_iter().map(Value::from);
            table.push_row(
                [Value::from("ball.mrc")]
                    .into_iter()
                    .chain(values)
                    .collect(),
            );
        }
        let document = Document {
            tables: vec![table],
            ..Document::default()
        };
        document.write(&self.path().join("local.star")).unwrap();
        self
    }

    /// Changes the optics table of both particle tables: what the columns of the first group say.
    pub fn with_optics(self, columns: &[(&str, &str)]) -> Self {
        for name in ["images.star", "poses.star"] {
            self.edit(name, |document| {
                for (label, value) in columns {
                    set_column(&mut document.tables[0], label, value);
                }
            });
        }
        self
    }

    /// Adds a second optics group: images of another box and pixel size, with the aberrations of `columns`.
    pub fn with_second_group(self, columns: &[(&str, &str)]) -> Self {
        let group = OpticsGroup::new(7.5, 22);
        self.simulate("others", group.box_size, group.pixel_size, 2);
        for (name, other) in [
            ("images.star", "others.star"),
            ("poses.star", "others_truth.star"),
        ] {
            let others = Document::read(&self.path().join(other)).unwrap();
            self.edit(name, |document| {
                let mut optics = others.tables[0].clone();
                optics.set(0, "rlnOpticsGroup", Value::from(2usize));
                optics.set(0, "rlnOpticsGroupName", "second".into());
                for (label, value) in columns {
                    set_column(&mut document.tables[0], label, neutral(label));
                    set_column(&mut optics, label, value);
                }
                append(&mut document.tables[0], &optics);
                let mut particles = others.tables[1].clone();
                for row in 0..particles.len() {
                    particles.set(row, "rlnOpticsGroup", Value::from(2usize));
                }
                append(&mut document.tables[1], &particles);
            });
        }
        self
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Document)) {
        let path = self.path().join(name);
        let mut document = Document::read(&path).unwrap();
        change(&mut document);
        document.write(&path).unwrap();
    }

    /// Writes images and tables that begin with `name`; returns the deviation of their noise.
    fn simulate(&self, name: &str, box_size: usize, pixel_size: f64, seed: u64) -> f32 {
        let settings = SimulationSettings {
            particles: self.particles,
            box_size,
            pixel_size,
            snr: 0.03,
            shift: 1.0,
            seed,
            diameter: DIAMETER,
            symmetry: self.symmetry.clone(),
            particles_per_micrograph: self.particles / 2,
            phantom: HelixBundle {
                diameter: 100.0,
                helices: 8,
                conformation: 0,
            },
            ..Preset::Mini.settings()
        };
        let group = PointGroup::parse(&self.symmetry).unwrap();
        let models: Vec<_> = (0..self.classes)
            .map(|conformation| {
                let shape = HelixBundle {
                    conformation,
                    ..settings.phantom.clone()
                };
                let mut atoms = helix_bundle(&shape, &group);
                atoms::centre(&mut atoms);
                atoms
            })
            .collect();
        let written = simulate::run(&settings, &models, &self.path().join(name), |_| {}).unwrap();
        // Paths in the tables are relative to this folder.
        for table in [format!("{name}.star"), format!("{name}_truth.star")] {
            self.edit(&table, |document| {
                let particles = &mut document.tables[1];
                for row in 0..particles.len() {
                    let image = format!("{:06}@{name}.mrcs", row + 1);
                    particles.set(row, "rlnImageName", Value::from(image));
                }
            });
        }
        written.noise_sigma as f32
    }
}

/// The value of an optics column that says nothing.
fn neutral(label: &str) -> &'static str {
    match label {
        "rlnOddZernike" => "[0,0,0,0,0,0]",
        "rlnEvenZernike" => "[0,0,0,0,0,0,0,0,0]",
        "rlnMagMat00" | "rlnMagMat11" => "1",
        _ => "0",
    }
}

/// Sets all rows of a column, which is added where it is missing.
fn set_column(table: &mut Table, label: &str, value: &str) {
    table.add_column(label, Value::from(value.to_string()));
    for row in 0..table.len() {
        table.set(row, label, Value::from(value.to_string()));
    }
}

/// Appends rows of a table with the same columns.
fn append(table: &mut Table, rows: &Table) {
    let labels: Vec<String> = table.labels().into_iter().map(String::from).collect();
    for row in 0..rows.len() {
        let values = labels
            .iter()
            .map(|l| rows.text(row, l).unwrap().to_string().into());
        table.push_row(values.collect());
    }
}
