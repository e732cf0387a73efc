//! Settings: every option of a run in its working form (spec 01 §9, spec 03 §3).

pub(crate) mod class_averages;
pub mod continuation;
mod declare;
pub mod gradient_options;
pub(crate) mod lengths;
pub(crate) mod local_search;
pub mod map_options;
pub(crate) mod not_repeated;
pub(crate) mod option_values;
pub mod region_options;
mod tilt_search;

use crate::device::Precision;
use crate::formats::replace;
use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::optics::CtfFlags;
use crate::options::{CommandLine, OptionsError};
use crate::refinement::settings::declare::option_group;
use crate::refinement::settings::gradient_options::GradientSettings;
use crate::refinement::settings::map_options::MapOptions;
use crate::refinement::settings::option_values::{
    count, file, flag, gpu, optional_count, order, positive, real, real_if_given, text,
};
use crate::refinement::settings::region_options::RegionOptions;
use std::path::{Path, PathBuf};

option_group! {
    /// Options of a run; from the command line, or from an optimiser file with the command line on top (`--continue`).
    #[derive(Debug, Clone)]
    pub struct Settings {
        options {
            "--i" particles: PathBuf = |line, option| Ok(file(line, option)?.unwrap_or_default());
            /// None when not given.
            "--iter" iterations: Option<usize> = optional_count;
            "--auto_iter_max" auto_iter_max: usize = count;
            "--K" classes: usize = count;
            /// As given; None = default 1.
            "--tau2_fudge" tau2_fudge: Option<f64> = positive;
            /// Å; None = (N − edge)·a.
            "--particle_diameter" particle_diameter: Option<f64> = positive;
            "--zero_mask" zero_mask: bool = flag;
            "--flatten_solvent" flatten_solvent: bool = flag;
            "--solvent_mask" solvent_mask: Option<PathBuf> = file;
            "--solvent_mask2" solvent_mask2: Option<PathBuf> = file;
            /// And `--lowpass` (Å).
            "--lowpass_mask" lowpass_mask: Option<(PathBuf, f64)>
                = |line, option| Ok(file(line, option)?.map(|mask| (mask, line.real("--lowpass"))));
            /// STAR file with a fixed tau² spectrum.
            "--tau" tau_spectrum: Option<PathBuf> = file;
            /// STAR file with the initial noise spectrum.
            "--sigma" sigma_spectrum: Option<PathBuf> = file;
            /// Implied by `--auto_refine`.
            "--split_random_halves" split_random_halves: bool
                = |line, option| Ok(line.flag(option) || line.flag("--auto_refine"));
            /// Å; None = off.
            "--low_resol_join_halves" low_resol_join_halves: Option<f64> = positive;
            "--center_classes" center_classes: bool = flag;
            /// Prefix.
            "--pipeline_control" pipeline_control: Option<String>
                = |line, option| Ok(line.name_given(option).map(str::to_owned));
            /// Map or STAR file.
            "--ref" reference: Option<PathBuf> = file;
            /// Without `--ref`, maps are made from nothing, not class averages.
            "--denovo_3dref" denovo_3d: bool = flag;
            /// Absent: references from nothing are blobs.
            "--no_init_blobs" initial_blobs: bool = |line, option| Ok(!line.flag(option));
            "--ref_angpix" reference_pixel_size: Option<f64> = positive;
            "--trust_ref_size" trust_reference_size: bool = flag;
            /// Pixel size for old particle files.
            "--angpix" pixel_size: Option<f64> = positive;
            /// Å: initial σ of offsets.
            "--offset" initial_sigma_offset: f64 = real;
            "--firstiter_cc" first_iteration_cc: bool = flag;
            "--always_cc" always_cc: bool = flag;
            /// Å.
            "--ini_high" initial_low_pass: Option<f64> = positive;
            "--oversampling" oversampling: u32 = order;
            /// None when not given (default 2).
            "--healpix_order" healpix_order: Option<u32>
                = |line, option| line.was_given(option).then(|| order(line, option)).transpose();
            /// Degrees.
            "--psi_step" psi_step: Option<f64> = positive;
            "--limit_tilt" limit_tilt: f64 = real;
            /// One name, or one per class separated by commas.
            "--sym" symmetry: String = text;
            /// Pixels; None when not given (default 6).
            "--offset_range" offset_range: Option<f64> = real_if_given;
            /// Pixels; None when not given (default 2).
            "--offset_step" offset_step: Option<f64> = real_if_given;
            "--perturb" perturbation: f64 = real;
            "--auto_refine" auto_refine: bool = flag;
            "--auto_sampling" auto_sampling: bool = flag;
            "--auto_local_healpix_order" auto_local_healpix_order: u32 = order;
            /// Name of the group whose mates are searched.
            "--relax_sym" relaxed_symmetry: Option<String> = |line, _| Ok(local_search::relaxed_group(line));
            "--skip_align" skip_align: bool = flag;
            "--skip_rotate" skip_rotate: bool = flag;
            "--only_sample_tilt" only_sample_tilt: bool = flag;
            "--auto_ignore_angles" auto_ignore_angles: bool = flag;
            "--auto_resol_angles" auto_resol_angles: bool = flag;
            "--allow_coarser_sampling" allow_coarser_sampling: bool = flag;
            /// Degrees (0 = off).
            "--minimum_angular_sampling" minimum_angular_sampling: f64 = real;
            /// Degrees (0 = off).
            "--maximum_angular_sampling" maximum_angular_sampling: f64 = real;
            /// Å².
            "--min_sigma2_offset" min_sigma2_offset: f64 = real;
            "--ctf" ctf: bool = flag;
            "--ctf_uncorrected_ref" ctf_uncorrected_reference: bool = flag;
            /// 0 = all cores.
            "--j" threads: usize = count;
            "--pool" pool: usize = count;
            /// Value ("" = automatic), or `--mode 1`; None = CPU.
            "--gpu" gpu: Option<String> = gpu;
            /// Bytes.
            "--gpu_memory" gpu_memory: Option<u64> = |line, option| Ok(line.bytes(option));
            "--gpu_precision" gpu_precision: Precision = |line, option| {
                let precision = Precision::parse(line.text(option));
                precision.ok_or_else(|| line.impossible(option, "it is single, tf32x3 or tf32"))
            };
            /// Shares and batches depend on neither speed nor free memory.
            "--deterministic" deterministic: bool = flag;
            /// Sums over cards go through the host.
            "--no_nccl" no_nccl: bool = flag;
            /// MB.
            "--free_gpu_memory" free_gpu_memory: u64 = |line, option| Ok(line.count(option) as u64);
            "--preread_images" preread_images: bool = flag;
            "--scratch_dir" scratch_dir: Option<PathBuf> = file;
            /// GB.
            "--keep_free_scratch" keep_free_scratch: f64 = real;
            "--reuse_scratch" reuse_scratch: bool = flag;
            "--keep_scratch" keep_scratch: bool = flag;
            "--fast_subsets" fast_subsets: bool = flag;
            "--verb" verbosity: i32 = |line, option| Ok(line.integer(option) as i32);
            "--json_log" json_log: Option<PathBuf> = file;
            /// None = from the clock.
            "--random_seed" random_seed: Option<u32>
                = |line, option| Ok(u32::try_from(line.integer(option)).ok());
            "--pad" padding: f64 = real;
            /// Pixels.
            "--coarse_size" max_coarse_size: Option<usize> = optional_count;
            "--adaptive_fraction" adaptive_fraction: f64 = real;
            "--maxsig" max_significant: Option<usize> = optional_count;
            /// Pixels.
            "--maskedge" mask_edge: f64 = real;
            "--fix_sigma_noise" fix_sigma_noise: bool = flag;
            "--fix_sigma_offset" fix_sigma_offset: bool = flag;
            "--incr_size" increment_size: usize = count;
            /// Å.
            "--strict_highres_exp" strict_highres: Option<f64> = positive;
            /// Å.
            "--strict_lowres_exp" strict_lowres: Option<f64> = positive;
            /// Absent.
            "--dont_check_norm" check_norm: bool = |line, option| Ok(!line.flag(option));
            "--solvent_correct_fsc" solvent_correct_fsc: bool = flag;
            "--skip_maximize" skip_maximize: bool = flag;
            "--nr_parts_sigma2noise" noise_particles: usize
                = |line, option| Ok(line.optional_count(option).unwrap_or(1000));
            /// Per cent; None: images that cannot be used end the run.
            "--reject_limit" reject_limit: Option<f64> = positive;
            /// Number of gridding iterations; None = direct division.
            "--dont_skip_gridding" gridding_iterations: Option<usize> = |line, option| {
                let iterations = line.count("--gridding_iter");
                Ok(line.flag(option).then_some(iterations))
            };
            "--no_map" no_map: bool = flag;
            "--sigma2_fudge" sigma2_fudge: f64 = real;
            /// Shells.
            "--minres_map" minres_map: usize = count;
            /// Å.
            "--abort_at_resolution" abort_at_resolution: Option<f64> = positive;
            "--accuracy_current_size" accuracy_current_size: bool = flag;
            "--always_join_random_halves" always_join_halves: bool = flag;
            "--use_all_data" use_all_data: bool = flag;
            "--asymmetric_padding" asymmetric_padding: bool = flag;
            "--force_converge" force_converge: bool = flag;
        }
        others {
            /// Arguments as given, joined by blanks (second comment line of optimiser files).
            command_line: String = |line| Ok(line.joined().to_owned());
            /// `--o`, output root.
            output_root: String = |line| Ok(line.text("--o").to_owned());
            /// `--continue`: optimiser file to continue from.
            continue_from: Option<PathBuf> = |line| file(line, "--continue");
            /// `--sigma_ang` / `--sigma_rot`, `--sigma_tilt`, `--sigma_psi`, degrees (≤ 0: off).
            sigma_angles: [f64; 3] = |line| Ok(local_search::widths(line));
            /// CTF flags.
            ctf_flags: CtfFlags = |line| Ok(CtfFlags {
                intact_first_peak: line.flag("--ctf_intact_first_peak"),
                phase_flipped: line.flag("--ctf_phase_flipped"),
                only_flip_phases: line.flag("--only_flip_phases"),
            });
            /// `--norm` without `--no_norm`.
            norm: bool = |line| Ok(line.flag("--norm") && !line.flag("--no_norm"));
            /// `--scale` without `--no_scale`.
            scale: bool = |line| Ok(line.flag("--scale") && !line.flag("--no_scale"));
        }
        groups {
            /// How maps are made from the sums.
            maps: MapOptions;
            /// Regions that are told apart, and the iterations that belong to them.
            regions: RegionOptions;
            /// `--grad` and what belongs to it.
            gradient: GradientSettings;
        }
    }
}

/// RELION's `--offset_range` and `--offset_step`, pixels.
pub(crate) const DEFAULT_OFFSET_RANGE: f64 = 6.0;
pub(crate) const DEFAULT_OFFSET_STEP: f64 = 2.0;

impl Settings {
    /// Settings of a new run. The output folder is looked at by [`Settings::check_output_folder`].
    ///
    /// # Errors
    /// `--i` or `--o` missing, or `--ref` where half-sets are refined; values that are not possible; combinations that are refused (spec 03 §3.4).
    pub fn from_command_line(line: &CommandLine) -> Result<Self, OptionsError> {
        let missing = match (line.name_given("--i"), line.name_given("--o")) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => Some("--i is"),
            (Some(_), None) => Some("--o is"),
            (None, None) => Some("--i and --o are"),
        };
        if let Some(missing) = missing {
            return Err(OptionsError::InputOrOutputMissing { missing });
        }
        let settings = Self::from_values(line)?;
        if settings.split_random_halves && settings.reference.is_none() {
            return Err(OptionsError::ReferenceMissing);
        }
        settings.check_combinations()?;
        lengths::check_offset_steps(
            settings.offset_range.unwrap_or(DEFAULT_OFFSET_RANGE),
            settings.offset_step.unwrap_or(DEFAULT_OFFSET_STEP),
        )?;
        Ok(settings)
    }

    /// Combinations of options that are refused, as far as the options alone tell (spec 03 §3.4).
    pub(crate) fn check_combinations(&self) -> Result<(), OptionsError> {
        let refuse = |text: &str| Err(OptionsError::Combination(text.to_owned()));
        if self.split_random_halves && self.classes > 1 {
            return refuse(&format!(
                "--K {} cannot be combined with --split_random_halves or --auto_refine: half-sets are refined against one \
                 reference each; classify first (without --auto_refine), then refine the particles of one class",
                self.classes
            ));
        }
        if let Some(trouble) = self.gradient.excluded_by(self) {
            return refuse(trouble);
        }
        if let Some(trouble) = local_search::excluded_by(self) {
            return refuse(trouble);
        }
        if let Some(trouble) = tilt_search::excluded_by(self) {
            return refuse(&trouble);
        }
        if let Some(trouble) = self.maps.excluded_by(self) {
            return refuse(&trouble);
        }
        if let Some(trouble) = self.regions.excluded_by(self) {
            return refuse(trouble);
        }
        if self.asymmetric_padding && self.gradient.on {
            return refuse(
                "--asymmetric_padding cannot be combined with --grad: moments of the gradient have the padding of the references. \
                 Leave out one of them, or give a larger --pad",
            );
        }
        if self.deterministic && self.gpu.is_some() {
            return refuse(
                "--deterministic cannot be combined with --gpu: kernels add to sums in the order in which they come to it. \
                 Leave out one of them",
            );
        }
        if self.solvent_correct_fsc && self.solvent_mask.is_none() {
            return refuse(
                "--solvent_correct_fsc corrects the FSC for a mask and needs --solvent_mask",
            );
        }
        if let Some((mask, limit)) = &self.lowpass_mask
            && *limit <= 0.0
        {
            return refuse(&format!(
                "--lowpass_mask {} needs its resolution limit: --lowpass X, in Å",
                mask.display()
            ));
        }
        let [finest, coarsest] = [self.minimum_angular_sampling, self.maximum_angular_sampling];
        if coarsest > 0.0 && finest > coarsest {
            return refuse(&format!(
                "--minimum_angular_sampling {finest} keeps the sampling from getting as fine as --maximum_angular_sampling {coarsest} \
                 wants it; give a smaller first or a larger second one"
            ));
        }
        if self.solvent_mask2.is_some() && self.solvent_mask.is_none() {
            return refuse("--solvent_mask2 is a second mask and needs --solvent_mask, the first");
        }
        if self.fast_subsets && self.auto_refine {
            return refuse(
                "--fast_subsets is for classification and cannot be combined with --auto_refine",
            );
        }
        if let Some(iterations) = self.iterations
            && self.fast_subsets
            && iterations < 20
        {
            return refuse(&format!(
                "--fast_subsets needs at least 20 iterations, so that the last ones use all particles; --iter is {iterations}"
            ));
        }
        Ok(())
    }

    /// Whether the run began with a reference that was given, as far as it is known: a continued run knows the resolution of a
    /// given one only.
    pub(crate) fn began_with_reference(&self) -> bool {
        match self.continue_from {
            Some(_) => self.initial_low_pass.is_some(),
            None => self.reference.is_some(),
        }
    }

    /// Dimensionality of the references of a new run that are made from nothing; None where `--ref` gives them, or files of
    /// the run that is continued.
    pub fn from_nothing(&self) -> Option<Dimensions> {
        if self.continue_from.is_some() {
            return None;
        }
        match (&self.reference, self.denovo_3d) {
            (Some(_), _) => None,
            (None, true) => Some(Dimensions::Three),
            (None, false) => Some(Dimensions::Two),
        }
    }

    /// Padding factor of the sums beyond that of the references: 1 with `--asymmetric_padding` (spec 06 §7).
    pub fn more_padding(&self) -> f64 {
        f64::from(u8::from(self.asymmetric_padding))
    }

    /// Geometry of references and of sums at the full box.
    pub(crate) fn volume_shapes(
        &self,
        dimensions: Dimensions,
        box_size: usize,
    ) -> [VolumeShape; 2] {
        [self.padding, self.padding + self.more_padding()]
            .map(|padding| VolumeShape::new(dimensions, box_size, padding, 0))
    }

    /// Folder part of `--o`.
    pub fn output_folder(&self) -> &Path {
        match self.output_root.rfind('/') {
            Some(0) => Path::new("/"),
            Some(at) => Path::new(&self.output_root[..at]),
            None => Path::new("."),
        }
    }

    /// The folder of `--o` must exist and files can be made in it: said before hours of work, not after them.
    ///
    /// # Errors
    /// The folder is missing, or nothing can be written into it.
    pub fn check_output_folder(&self) -> Result<(), OptionsError> {
        let folder = self.output_folder();
        let root = self.output_root.clone();
        if !folder.is_dir() {
            let folder = folder.to_owned();
            return Err(OptionsError::OutputFolderMissing { folder, root });
        }
        let unwritable = |source| OptionsError::OutputFolderNotWritable {
            folder: folder.to_owned(),
            root: root.clone(),
            source,
        };
        if replace::is_of_the_kernel(folder) {
            let text = "the kernel shows devices and processes there, which is no disk";
            return Err(unwritable(std::io::Error::other(text)));
        }
        let probe = folder.join(format!(".relion_refine_{}.tmp", std::process::id()));
        std::fs::write(&probe, b"writable?")
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(unwritable)
    }
}

impl Default for Settings {
    /// Every option at the default of the option table.
    fn default() -> Self {
        let nothing_given = CommandLine::parse(Vec::<String>::new());
        let settings = nothing_given.and_then(|line| Self::from_values(&line));
        settings.expect("the defaults of the option table are possible values")
    }
}
