//! Optics groups and particles in memory, and their STAR tables.

use super::particle_checks::{orientations_in_radians, origin_fault};
use super::{DatasetError, read, write};
use crate::errors::{Code, Message};
use crate::formats::star::PLACEHOLDER;
use crate::formats::star::Table;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One row of the optics table.
#[derive(Debug, Clone, PartialEq)]
pub struct OpticsGroup {
    /// `rlnOpticsGroupName`.
    pub name: String,
    /// Å per image pixel.
    pub pixel_size: f64,
    /// Box of the images, pixels (even).
    pub box_size: usize,
    /// Acceleration voltage, kV.
    pub voltage: Option<f64>,
    /// Spherical aberration, mm.
    pub spherical_aberration: Option<f64>,
    /// Amplitude contrast, 0…1.
    pub amplitude_contrast: Option<f64>,
    /// Beam tilt x, y in mrad.
    pub beam_tilt: [f64; 2],
    /// Anti-symmetric Zernike coefficients.
    pub odd_zernike: Vec<f64>,
    /// Symmetric Zernike coefficients.
    pub even_zernike: Vec<f64>,
    /// Anisotropic magnification matrix, identity when absent.
    pub magnification: [[f64; 2]; 2],
    /// Detector MTF file.
    pub mtf_file: Option<String>,
    /// Å per pixel of the MTF.
    pub original_pixel_size: Option<f64>,
    /// Images are already multiplied by their CTF.
    pub ctf_premultiplied: bool,
    /// Images are already CTF corrected: no CTF is applied at all.
    pub ctf_corrected: bool,
}

impl OpticsGroup {
    /// A group of a pixel size (Å) and a box of which nothing else is known: no microscope, no aberrations.
    pub fn new(pixel_size: f64, box_size: usize) -> Self {
        Self {
            name: "opticsGroup1".into(),
            pixel_size,
            box_size,
            voltage: None,
            spherical_aberration: None,
            amplitude_contrast: None,
            beam_tilt: [0.0; 2],
            odd_zernike: Vec::new(),
            even_zernike: Vec::new(),
            magnification: [[1.0, 0.0], [0.0, 1.0]],
            mtf_file: None,
            original_pixel_size: None,
            ctf_premultiplied: false,
            ctf_corrected: false,
        }
    }
}

/// CTF columns of one particle (spec 01 §3.7).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CtfFields {
    /// Å, positive = underfocus.
    pub defocus_u: f64,
    /// Å.
    pub defocus_v: f64,
    /// Degrees.
    pub defocus_angle: f64,
    /// Å².
    pub b_factor: f64,
    /// Amplitude factor.
    pub scale: f64,
    /// Degrees.
    pub phase_shift: f64,
}

/// One particle: what the expectation step reads and what it updates.
#[derive(Debug, Clone, PartialEq)]
pub struct Particle {
    /// 0-based row in the sorted table ("particle id" of the random-number rules).
    pub id: usize,
    /// Stack of the image: index into [`ParticleSet::stacks`].
    pub stack: usize,
    /// 0-based slice in that stack.
    pub slice: usize,
    /// 0-based optics group.
    pub optics_group: usize,
    /// 0-based intensity-scale group.
    pub scale_group: usize,
    /// Half-set, 1 or 2; 0 when not assigned.
    pub half: u8,
    /// CTF columns.
    pub ctf: CtfFields,
    /// Current orientation (degrees; ZYZ, spec 01 §1.2).
    pub rot: f64,
    /// Degrees.
    pub tilt: f64,
    /// Degrees.
    pub psi: f64,
    /// Current origin offset, Å (`rlnOriginXAngst`, `rlnOriginYAngst`).
    pub origin: [f64; 2],
    /// Prior centres of rot, tilt, psi where the table defines them.
    pub angle_prior: [Option<f64>; 3],
    /// Prior centre of the offset, Å, where the table defines it.
    pub origin_prior: [Option<f64>; 2],
    /// 1-based class, 0 = none yet.
    pub class: usize,
    /// `rlnNormCorrection`.
    pub norm: f64,
    /// `rlnLogLikeliContribution`.
    pub log_likelihood: f64,
    /// `rlnMaxValueProbDistribution`.
    pub max_probability: f64,
    /// `rlnNrOfSignificantSamples`.
    pub significant_samples: usize,
}

impl Particle {
    /// Returns particle `id`, the first image of the first stack, of which nothing else is known: no half-set, class or
    /// priors, all angles, offsets and CTF fields 0, factors 1.
    pub fn new(id: usize) -> Self {
        Self {
            id,
            stack: 0,
            slice: 0,
            optics_group: 0,
            scale_group: 0,
            half: 0,
            ctf: CtfFields {
                defocus_u: 0.0,
                defocus_v: 0.0,
                defocus_angle: 0.0,
                b_factor: 0.0,
                scale: 1.0,
                phase_shift: 0.0,
            },
            rot: 0.0,
            tilt: 0.0,
            psi: 0.0,
            origin: [0.0; 2],
            angle_prior: [None; 3],
            origin_prior: [None; 2],
            class: 0,
            norm: 1.0,
            log_likelihood: 0.0,
            max_probability: 0.0,
            significant_samples: 0,
        }
    }
}

/// Intensity-scale group.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleGroup {
    /// Group name (`rlnGroupName` or micrograph).
    pub name: String,
}

/// How to read a particle table.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// `--angpix`: used when the file carries no pixel size.
    pub pixel_size: Option<f64>,
    /// CTF columns are required.
    pub need_ctf: bool,
}

/// All particles, in RELION's order (stably sorted by micrograph name), and the table they came from.
#[derive(Debug, Clone)]
pub struct ParticleSet {
    /// Optics groups, in file order.
    pub optics: Vec<OpticsGroup>,
    /// Particles.
    pub particles: Vec<Particle>,
    /// Scale groups in order of first appearance.
    pub scale_groups: Vec<ScaleGroup>,
    /// Stack paths as written in the table.
    pub stacks: Vec<String>,
    /// Messages for the user about conversions and oddities.
    pub warnings: Vec<String>,
    /// Optics table in the 3.1+ layout.
    pub(super) optics_table: Table,
    /// Particle table in the 3.1+ layout, rows as in `particles`; copies of a set share it.
    pub(super) particle_table: Arc<Table>,
    /// The STAR file.
    pub(super) source: PathBuf,
}

impl ParticleSet {
    /// Read a `_data.star`/particle file of RELION 1.3–5 (old layouts are converted, spec 03 §1.5).
    pub fn read(path: &Path, options: &ReadOptions) -> Result<Self, DatasetError> {
        read::read(path, options)
    }
    /// The set that a file without the particles `left_out` (ascending) would have given.
    pub fn without(self, left_out: &[usize]) -> Result<Self, DatasetError> {
        let mut left_out = left_out.iter().copied().peekable();
        let kept: Vec<usize> = (0..self.particles.len())
            .filter(|&row| left_out.next_if_eq(&row).is_none())
            .collect();
        // What there was to say about the file has been said.
        let set = read::with_rows(self, &kept)?;
        Ok(Self {
            warnings: Vec::new(),
            ..set
        })
    }
    /// Write optics and particles in the 3.1+ layout; `with_statistics` adds the three result columns
    /// (likelihood, Pmax, significant samples), `with_halves` `rlnRandomSubset`. Temporary name, then rename.
    ///
    /// The columns of the file that was read come first, in their order, then those that are added (spec 03 §1.3).
    pub fn write(
        &self,
        path: &Path,
        with_halves: bool,
        with_statistics: bool,
    ) -> Result<(), DatasetError> {
        self.write_with_comment(path, None, with_halves, with_statistics)
    }
    /// As [`Self::write`], with a comment line at the top of the file.
    pub fn write_with_comment(
        &self,
        path: &Path,
        comment: Option<&str>,
        with_halves: bool,
        with_statistics: bool,
    ) -> Result<(), DatasetError> {
        write::write(self, path, comment, with_halves, with_statistics)
    }
    /// Image of a particle as the table names it (`000012@stack.mrcs`), for messages.
    pub fn image_name(&self, particle: usize) -> String {
        let name = self.particle_table.text(particle, "rlnImageName");
        name.unwrap_or("(unknown image)").to_string()
    }
    /// Refuses a particle table without a column that `what` needs.
    ///
    /// # Errors
    /// The column is missing; the error has this code.
    pub fn require(&self, what: &str, label: &str, code: Code) -> Result<(), Message> {
        match self.has_column(label) {
            true => Ok(()),
            false => Err(code.says(format!(
                "{}: {what} needs the column {label}, which the particle table does not have; give the _data.star file of the \
                 refinement that found it",
                self.source().display()
            ))),
        }
    }

    /// Refuses a particle table without orientations, which would all be taken for 0, or with impossible offsets. Returns
    /// warnings about improbable ones.
    ///
    /// # Errors
    /// One of the three angles is missing, of all particles or of some; the offset of a particle lies outside its image.
    pub fn require_poses(&self, what: &str) -> Result<Vec<String>, Message> {
        let angles = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"];
        angles
            .into_iter()
            .try_for_each(|label| self.require(what, label, Code::MISSING_POSES))?;
        self.require_angles(what, angles)?;
        self.check_origins()?;
        Ok(orientations_in_radians(self).into_iter().collect())
    }

    /// Refuses particles whose origin offset lies outside their image, or stands for none.
    ///
    /// # Errors
    /// There is such a particle: the message names the first.
    fn check_origins(&self) -> Result<(), Message> {
        self.particles.iter().try_for_each(|particle| {
            let group = &self.optics[particle.optics_group];
            let side = group.box_size as f64 * group.pixel_size;
            match origin_fault(particle.origin, side) {
                None => Ok(()),
                Some(fault) => Err(Code::PARTICLE_VALUE
                    .says(fault)
                    .about(self.describe(particle.id))),
            }
        })
    }

    /// Refuses particles whose angle is given as −999, which stands for none: it would be taken for 0.
    ///
    /// # Errors
    /// A particle has no angle in one of the columns `labels`.
    pub fn require_angles<'a>(
        &self,
        what: &str,
        labels: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Message> {
        for label in labels {
            let angles = self.real_column(label).unwrap_or_default();
            let without = angles.iter().filter(|angle| **angle == PLACEHOLDER).count();
            if without > 0 {
                return Err(Code::MISSING_POSES.says(format!(
                    "{}: {what} needs {label}, and {without} of {} particles have {PLACEHOLDER} there, which stands for none. Give the \
                     _data.star file of a run that has aligned these particles, or leave them out.",
                    self.source().display(),
                    angles.len()
                )));
            }
        }
        Ok(())
    }

    /// Returns a word for the images and half-sets of all particles in their order: the same whatever folders the stacks are in.
    pub fn fingerprint(&self) -> String {
        let stacks: Vec<&str> = self
            .stacks
            .iter()
            .map(|stack| stack.rsplit('/').next().unwrap_or(stack))
            .collect();
        let mut digest = Sha256::new();
        for particle in &self.particles {
            digest.update((particle.slice as u64).to_le_bytes());
            digest.update([particle.half]);
            digest.update(stacks[particle.stack]);
            digest.update([0]);
        }
        let digest = digest.finalize();
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The particle table has a column `label`.
    pub fn has_column(&self, label: &str) -> bool {
        self.particle_table.has(label)
    }
    /// Copies of the optics and particle tables in the 3.1+ layout, rows as in `particles`.
    pub fn tables(&self) -> (Table, Table) {
        (
            self.optics_table.clone(),
            Table::clone(&self.particle_table),
        )
    }
    /// Numbers in a column of the particle table, by particle.
    ///
    /// # Errors
    /// There is no such column, or it holds something else.
    pub fn real_column(&self, label: &str) -> Result<Vec<f64>, DatasetError> {
        Ok(self.particle_table.real_column(label)?)
    }
    /// The STAR file this set was read from.
    pub fn source(&self) -> &Path {
        &self.source
    }
    /// Number and image of a particle and the line of the STAR file that holds it, for messages.
    pub fn describe(&self, particle: usize) -> String {
        format!(
            "particle {} ({}; {}, {})",
            particle + 1,
            self.image_name(particle),
            self.source.display(),
            self.particle_table.place(particle, "rlnImageName")
        )
    }
}
