//! Output files under RELION's names, tables and columns (spec 03 §1.3–1.6).
//!
//! A set of files is written in an order that a kill cannot harm: an optimiser file of the same name left by an
//! earlier run is removed first, every file gets a temporary name and is renamed when complete, and the optimiser,
//! which names all the others, comes last; the others are written together. Whatever optimiser file exists therefore
//! names files that are whole.

pub mod background_writer;
pub mod moment_files;
pub(crate) mod output_lock;
pub(crate) mod overwritten;
pub mod resume;

mod angular_distribution;
mod file_names;
pub(crate) mod fingerprint_tables;
pub(crate) mod gerelion_state;
mod model_star;
mod moment_checks;
mod optimiser_star;
#[cfg(test)]
mod reference_files;
mod sampling_star;
pub(crate) mod set_mark;
mod synced_files;

use self::file_names::FileNames;
use self::set_mark::SetMark;
use self::synced_files::Files;
use crate::dataset::{DatasetError, ParticleSet};
use crate::errors::{Code, Coded, Message};
use crate::formats::mrc::{MrcError, StackMode, StackWriter, write_map_of_doubles};
use crate::formats::replace::replace_file;
use crate::formats::star::StarError;
use crate::fourier::shape::Dimensions;
use crate::geometry::sampling::Sampling;
use crate::model::Model;
use crate::refinement::settings::Settings;
use crate::refinement::state::RunState;
use ndarray::Array3;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Errors of writing the files of an iteration; the causes name the file.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A STAR table.
    #[error("cannot write the output files: {0}")]
    Star(#[from] StarError),
    /// A map.
    #[error("cannot write the output files: {0}")]
    Map(#[from] MrcError),
    /// The particle table.
    #[error("cannot write the output files: {0}")]
    Particles(#[from] DatasetError),
    /// A plain file.
    #[error("{}", Message::unwritten(&path.display().to_string(), source))]
    Io {
        /// File concerned.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Coded for OutputError {
    fn code(&self) -> Code {
        match self {
            Self::Star(error) => error.code(),
            Self::Map(error) => error.code(),
            Self::Particles(error) => error.code(),
            Self::Io { .. } => Code::CANNOT_WRITE,
        }
    }
}

/// The sampling at the start of the program run: what the `…Original` columns of `_sampling.star` hold and what the
/// change limits of spec 02 §5.3 and `--allow_coarser_sampling` refer to. On `--continue` of a RELION file it is the
/// sampling of that file (spec 03 §5); our own files bring back the one of the first run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OriginalSampling {
    /// HEALPix order.
    pub healpix_order: u32,
    /// Coarse psi step, degrees.
    pub psi_step: f64,
    /// Å.
    pub offset_range: f64,
    /// Coarse step, Å.
    pub offset_step: f64,
}

impl OriginalSampling {
    /// Take a sampling as the original one.
    pub fn of(sampling: &Sampling) -> Self {
        Self {
            healpix_order: sampling.healpix_order,
            psi_step: sampling.psi_step,
            offset_range: sampling.offset_range,
            offset_step: sampling.offset_step,
        }
    }
}

/// Contents of the files of one iteration.
pub struct IterationFiles<'a> {
    /// Options; `output_root` is the root of all names.
    pub settings: &'a Settings,
    /// State after the iteration; `iteration` gives the number in the names.
    pub state: &'a RunState,
    /// Particles; the three statistics columns are written when `iteration` > 0.
    pub particles: &'a ParticleSet,
    /// One model (classification), or those of half 1 and half 2.
    pub models: &'a [Model],
    /// Sampling of the iteration.
    pub sampling: &'a Sampling,
    /// Sampling at the start of the program run.
    pub original_sampling: OriginalSampling,
    /// Iteration whose number seeded the processing order of this run (1 in a fresh run; spec 03 §8).
    pub order_iteration: usize,
    /// Unregularised half maps (`--solvent_correct_fsc`), else empty.
    pub unfiltered: &'a [Arc<Array3<f64>>],
    /// Class averages before the solvent was flattened, else empty.
    pub unmasked: &'a [Arc<Array3<f64>>],
}

/// Write the complete set of files of an iteration (0 = start-up); the optimiser last. Returns its path.
pub fn write_iteration(files: &IterationFiles) -> Result<PathBuf, OutputError> {
    let iteration = files.state.iteration;
    FileSet {
        names: FileNames::of_iteration(&files.settings.output_root, iteration),
        iteration: Some(iteration),
        settings: files.settings,
        state: files.state,
        particles: files.particles,
        models: files.models,
        sampling: files.sampling,
        original_sampling: files.original_sampling,
        order_iteration: files.order_iteration,
        unfiltered: files.unfiltered,
        unmasked: files.unmasked,
    }
    .write()
}

/// Contents of the files of an auto-refinement whose half-sets have been joined.
pub struct FinalFiles<'a> {
    /// Options.
    pub settings: &'a Settings,
    /// State after the last iteration.
    pub state: &'a RunState,
    /// Particles.
    pub particles: &'a ParticleSet,
    /// Joined model.
    pub model: &'a Model,
    /// Sampling of the last iteration.
    pub sampling: &'a Sampling,
    /// Sampling at the start of the program run.
    pub original_sampling: OriginalSampling,
    /// See [`IterationFiles::order_iteration`].
    pub order_iteration: usize,
    /// Unregularised maps of half 1 and half 2, where they were made.
    pub unfiltered: &'a [Arc<Array3<f64>>],
}

/// Write the files without iteration number that end an auto-refinement. Returns the optimiser's path.
pub fn write_final(files: &FinalFiles) -> Result<PathBuf, OutputError> {
    FileSet {
        names: FileNames::of_final(&files.settings.output_root),
        iteration: None,
        settings: files.settings,
        state: files.state,
        particles: files.particles,
        models: std::slice::from_ref(files.model),
        sampling: files.sampling,
        original_sampling: files.original_sampling,
        order_iteration: files.order_iteration,
        unfiltered: files.unfiltered,
        unmasked: &[],
    }
    .write()
}

/// One set of files, of an iteration or final.
struct FileSet<'a> {
    names: FileNames,
    iteration: Option<usize>,
    settings: &'a Settings,
    state: &'a RunState,
    particles: &'a ParticleSet,
    models: &'a [Model],
    sampling: &'a Sampling,
    original_sampling: OriginalSampling,
    order_iteration: usize,
    unfiltered: &'a [Arc<Array3<f64>>],
    unmasked: &'a [Arc<Array3<f64>>],
}

impl FileSet<'_> {
    fn write(&self) -> Result<PathBuf, OutputError> {
        let optimiser = PathBuf::from(self.names.optimiser());
        let mark = &SetMark::of(self.state, self.models);
        remove_if_present(&optimiser)?;
        let mut files = Files::default();
        for (m, model) in self.models.iter().enumerate() {
            self.add_model(&mut files, model, self.half(m), mark);
        }
        for (h, map) in self.unfiltered.iter().enumerate() {
            let path = self.names.unfiltered(h + 1);
            files.add(move || self.write_map(&path, map, mark));
        }
        if !self.unmasked.is_empty() {
            let path = file_names::unmasked_averages(&self.settings.output_root);
            files.add(move || {
                write_averages(
                    &path,
                    self.unmasked.iter().map(Arc::as_ref),
                    &self.models[0],
                    mark,
                )
            });
        }
        files.add(|| {
            let mut sampling = sampling_star::document(self.sampling, &self.original_sampling);
            let path = self.names.sampling();
            sampling.header.push(mark.line(path.as_ref()));
            Ok(sampling.write(path.as_ref())?)
        });
        files.add(|| {
            let path = self.names.data();
            self.particles.write_with_comment(
                path.as_ref(),
                Some(&mark.line(path.as_ref())),
                self.settings.split_random_halves,
                self.iteration != Some(0),
            )?;
            Ok(())
        });
        files.write()?;
        let mut document = optimiser_star::document(&self.optimiser_contents());
        document.header.push(mark.line(&optimiser));
        document.write(&optimiser)?;
        Ok(optimiser)
    }

    /// Half-set (1 or 2) of a model; None when there is one model for all particles.
    fn half(&self, model: usize) -> Option<usize> {
        (self.models.len() == 2).then_some(model + 1)
    }

    /// The files of one model.
    fn add_model<'s>(
        &'s self,
        files: &mut Files<'s>,
        model: &'s Model,
        half: Option<usize>,
        mark: &'s SetMark,
    ) {
        let stem = self.names.model_stem(half);
        match model.dimensions() {
            Dimensions::Two => {
                let path = file_names::averages(&stem);
                let maps = model.classes.iter().map(|class| class.map.as_ref());
                files.add(move || write_averages(&path, maps, model, mark));
            }
            Dimensions::Three => self.add_maps(files, model, &stem, mark),
        }
        if model.classes.iter().any(|class| class.moments.is_some()) {
            let stem = stem.clone();
            files.add(move || Ok(moment_files::write(&stem, model, mark)?));
        }
        files.add(move || {
            let mut document = model_star::document(model, &stem, &self.particles.scale_groups);
            let path = self.names.model(half);
            document.header.push(mark.line(path.as_ref()));
            Ok(document.write(path.as_ref())?)
        });
    }

    /// The map of every class and its distribution of directions.
    fn add_maps<'s>(
        &'s self,
        files: &mut Files<'s>,
        model: &'s Model,
        stem: &str,
        mark: &'s SetMark,
    ) {
        for (k, class) in model.classes.iter().enumerate() {
            let path = PathBuf::from(file_names::class_map(stem, k + 1));
            files.add(move || self.write_map(&path, &class.map, mark));
            let searched = !(self.settings.skip_align || self.settings.skip_rotate);
            if searched && !self.state.gradient {
                let path = file_names::angular_distribution(stem, k + 1);
                files.add(move || {
                    let text = angular_distribution::bild(
                        &angular_distribution::directions(self.sampling, &class.direction_prior),
                        self.sampling.healpix_order,
                        model.box_size as f64 * model.pixel_size,
                    );
                    write_text(&path, &text)
                });
            }
        }
    }

    fn write_map(&self, path: &Path, map: &Array3<f64>, mark: &SetMark) -> Result<(), OutputError> {
        let pixel_size = self.models[0].pixel_size;
        Ok(write_map_of_doubles(
            path,
            map,
            pixel_size,
            &mark.line(path),
        )?)
    }

    fn optimiser_contents(&self) -> optimiser_star::Contents<'_> {
        let model = &self.models[0];
        optimiser_star::Contents {
            settings: self.settings,
            state: self.state,
            files: optimiser_star::Files {
                model: self.names.model(self.half(0)),
                model2: self.half(1).map(|half| self.names.model(Some(half)).into()),
                data: self.names.data(),
                sampling: self.names.sampling(),
                iteration: self.iteration.map_or(-1, |iteration| iteration as i64),
                default_diameter: (model.box_size as f64 - self.settings.mask_edge)
                    * model.pixel_size,
                scale_groups: self.particles.scale_groups.len(),
                particles: Some(self.particles.fingerprint()),
                results: fingerprint_tables::of_models(self.models),
                accuracy_translations: None,
            },
            sampling: self.sampling,
            order_iteration: self.order_iteration,
        }
    }
}

/// Writes the averages of all classes as one stack.
fn write_averages<'a>(
    path: &Path,
    maps: impl ExactSizeIterator<Item = &'a Array3<f64>>,
    model: &Model,
    mark: &SetMark,
) -> Result<(), OutputError> {
    let (box_size, pixel_size) = (model.box_size, model.pixel_size);
    let mut stack =
        StackWriter::create(path, box_size, maps.len(), pixel_size, StackMode::Float32)?
            .labelled(&mark.line(path));
    for map in maps {
        let image: Vec<f32> = map.iter().map(|&v| v as f32).collect();
        stack.push(&image)?;
    }
    Ok(stack.finish()?)
}

/// Take away the optimiser file of an earlier run: it would name files that are about to be replaced.
fn remove_if_present(path: &Path) -> Result<(), OutputError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(OutputError::Io {
            path: path.to_path_buf(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Writes a text file whole or not at all.
fn write_text(path: &Path, text: &str) -> Result<(), OutputError> {
    replace_file(path, |out| out.write_all(text.as_bytes())).map_err(|source| OutputError::Io {
        path: path.to_path_buf(),
        source,
    })
}
