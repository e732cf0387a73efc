//! Small simulated sets of particles.

use gerelion::formats::atoms;
use gerelion::formats::star::{Document, Value};
use gerelion::geometry::symmetry::PointGroup;
use gerelion::tools::simulate::{
    self, Preset, SimulationSettings,
    phantom::{HelixBundle, helix_bundle},
};
use std::path::Path;

/// Box of the map, voxels.
pub const BOX: usize = 24;
/// Å per voxel.
pub const PIXEL: f64 = 7.0;
/// Diameter of the mask, Å.
pub const DIAMETER: f64 = 126.0;
const PARTICLES: usize = 6;

/// A folder with `images.star` (no poses), `poses.star` and `reference1.mrc`, one reference a class.
pub struct Set {
    folder: tempfile::TempDir,
    pub symmetry: String,
    pub classes: usize,
}

impl Set {
    /// Particles of a phantom of a point group in several conformations.
    pub fn new(symmetry: &str, classes: usize) -> Self {
        let set = Self {
            folder: tempfile::tempdir().unwrap(),
            symmetry: symmetry.into(),
            classes,
        };
        set.simulate("images", BOX, PIXEL, 1);
        for class in 1..=classes {
            std::fs::rename(
                set.path().join(format!("images_truth{class}.mrc")),
                set.path().join(format!("reference{class}.mrc")),
            )
            .unwrap();
        }
        std::fs::rename(
            set.path().join("images_truth.star"),
            set.path().join("poses.star"),
        )
        .unwrap();
        set
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn simulate(&self, name: &str, box_size: usize, pixel_size: f64, seed: u64) {
        let settings = SimulationSettings {
            particles: PARTICLES,
            box_size,
            pixel_size,
            snr: 0.1,
            shift: 1.0,
            seed,
            diameter: DIAMETER,
            symmetry: self.symmetry.clone(),
            particles_per_micrograph: 3,
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
        simulate::run(&settings, &models, &self.path().join(name), |_| {}).unwrap();
        // Paths in the tables are relative to this folder.
        for table in [format!("{name}.star"), format!("{name}_truth.star")] {
            let path = self.path().join(table);
            let mut document = Document::read(&path).unwrap();
            let particles = document
                .tables
                .iter_mut()
                .find(|t| t.name() == "particles")
                .unwrap();
            for row in 0..particles.len() {
                let image = format!("{:06}@{name}.mrcs", row + 1);
                particles.set(row, "rlnImageName", Value::from(image));
            }
            document.write(&path).unwrap();
        }
    }
}
