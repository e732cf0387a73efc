//! Settings: every option of a run in its working form (spec 01 §9, spec 03 §3).

pub(crate) mod class_averages;
pub mod continuation;
pub mod gradient_options;
pub(crate) mod lengths;
pub(crate) mod local_search;
pub mod map_options;
pub(crate) mod not_repeated;
pub(crate) mod option_values;
pub mod region_options;

use crate::device::Precision;
use crate::fourier::shape::Dimensions;
use crate::optics::CtfFlags;
use crate::options::{CommandLine, OptionsError};
use crate::refinement::settings::gradient_options::GradientSettings;
use crate::refinement::settings::map_options::MapOptions;
use crate::refinement::settings::option_values::{
    above_zero, below_hundred, between, count, not_negative, optional_count, particle_diameter,
    psi_step, refuse, small,
};
use crate::refinement::settings::region_options::RegionOptions;
use std::path::{Path, PathBuf};

/// Options of a run; from the command line, or from an optimiser file with the command line on top (`--continue`).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Arguments as given, joined by blanks (second comment line of optimiser files).
    pub command_line: String,
    /// `--i`.
    pub particles: PathBuf,
    /// `--o`, output root.
    pub output_root: String,
    /// `--continue`: optimiser file to continue from.
    pub continue_from: Option<PathBuf>,
    /// `--iter`; None when not given.
    pub iterations: Option<usize>,
    /// `--auto_iter_max`.
    pub auto_iter_max: usize,
    /// `--K`.
    pub classes: usize,
    /// `--tau2_fudge` as given; None = default 1.
    pub tau2_fudge: Option<f64>,
    /// `--particle_diameter`, Å; None = (N − edge)·a.
    pub particle_diameter: Option<f64>,
    /// `--zero_mask`.
    pub zero_mask: bool,
    /// `--flatten_solvent`.
    pub flatten_solvent: bool,
    /// `--solvent_mask`.
    pub solvent_mask: Option<PathBuf>,
    /// `--solvent_mask2`.
    pub solvent_mask2: Option<PathBuf>,
    /// `--lowpass_mask` and `--lowpass` (Å).
    pub lowpass_mask: Option<(PathBuf, f64)>,
    /// `--tau`: STAR file with a fixed tau² spectrum.
    pub tau_spectrum: Option<PathBuf>,
    /// `--sigma`: STAR file with the initial noise spectrum.
    pub sigma_spectrum: Option<PathBuf>,
    /// `--split_random_halves` (implied by `--auto_refine`).
    pub split_random_halves: bool,
    /// `--low_resol_join_halves`, Å; None = off.
    pub low_resol_join_halves: Option<f64>,
    /// `--center_classes`.
    pub center_classes: bool,
    /// `--pipeline_control` prefix.
    pub pipeline_control: Option<String>,
    /// `--ref` (map or STAR file).
    pub reference: Option<PathBuf>,
    /// `--denovo_3dref`: without `--ref`, maps are made from nothing, not class averages.
    pub denovo_3d: bool,
    /// `--no_init_blobs` absent: references from nothing are blobs.
    pub initial_blobs: bool,
    /// `--ref_angpix`.
    pub reference_pixel_size: Option<f64>,
    /// `--trust_ref_size`.
    pub trust_reference_size: bool,
    /// `--angpix`: pixel size for old particle files.
    pub pixel_size: Option<f64>,
    /// `--offset`, Å: initial σ of offsets.
    pub initial_sigma_offset: f64,
    /// `--firstiter_cc`.
    pub first_iteration_cc: bool,
    /// `--always_cc`.
    pub always_cc: bool,
    /// `--ini_high`, Å.
    pub initial_low_pass: Option<f64>,
    /// `--oversampling`.
    pub oversampling: u32,
    /// `--healpix_order`; None when not given (default 2).
    pub healpix_order: Option<u32>,
    /// `--psi_step`, degrees.
    pub psi_step: Option<f64>,
    /// `--limit_tilt`.
    pub limit_tilt: f64,
    /// `--sym`: one name, or one per class separated by commas.
    pub symmetry: String,
    /// `--offset_range`, pixels; None when not given (default 6).
    pub offset_range: Option<f64>,
    /// `--offset_step`, pixels; None when not given (default 2).
    pub offset_step: Option<f64>,
    /// `--perturb`.
    pub perturbation: f64,
    /// `--auto_refine`.
    pub auto_refine: bool,
    /// `--auto_sampling`.
    pub auto_sampling: bool,
    /// `--auto_local_healpix_order`.
    pub auto_local_healpix_order: u32,
    /// `--sigma_ang` / `--sigma_rot`, `--sigma_tilt`, `--sigma_psi`, degrees (≤ 0: off).
    pub sigma_angles: [f64; 3],
    /// `--relax_sym`: name of the group whose mates are searched.
    pub relaxed_symmetry: Option<String>,
    /// `--skip_align`.
    pub skip_align: bool,
    /// `--skip_rotate`.
    pub skip_rotate: bool,
    /// `--auto_ignore_angles`.
    pub auto_ignore_angles: bool,
    /// `--auto_resol_angles`.
    pub auto_resol_angles: bool,
    /// `--allow_coarser_sampling`.
    pub allow_coarser_sampling: bool,
    /// `--minimum_angular_sampling`, degrees (0 = off).
    pub minimum_angular_sampling: f64,
    /// `--maximum_angular_sampling`, degrees (0 = off).
    pub maximum_angular_sampling: f64,
    /// `--min_sigma2_offset`, Å².
    pub min_sigma2_offset: f64,
    /// `--ctf`.
    pub ctf: bool,
    /// CTF flags.
    pub ctf_flags: CtfFlags,
    /// `--ctf_uncorrected_ref`.
    pub ctf_uncorrected_reference: bool,
    /// `--norm` without `--no_norm`.
    pub norm: bool,
    /// `--scale` without `--no_scale`.
    pub scale: bool,
    /// `--j`; 0 = all cores.
    pub threads: usize,
    /// `--pool`.
    pub pool: usize,
    /// `--gpu` value ("" = automatic), or `--mode 1`; None = CPU.
    pub gpu: Option<String>,
    /// `--gpu_memory`, bytes.
    pub gpu_memory: Option<u64>,
    /// `--gpu_precision`.
    pub gpu_precision: Precision,
    /// `--deterministic`: shares and batches depend on neither speed nor free memory.
    pub deterministic: bool,
    /// `--no_nccl`: sums over cards go through the host.
    pub no_nccl: bool,
    /// `--free_gpu_memory`, MB.
    pub free_gpu_memory: u64,
    /// `--preread_images`.
    pub preread_images: bool,
    /// `--scratch_dir`.
    pub scratch_dir: Option<PathBuf>,
    /// `--keep_free_scratch`, GB.
    pub keep_free_scratch: f64,
    /// `--reuse_scratch`.
    pub reuse_scratch: bool,
    /// `--keep_scratch`.
    pub keep_scratch: bool,
    /// `--fast_subsets`.
    pub fast_subsets: bool,
    /// `--verb`.
    pub verbosity: i32,
    /// `--json_log`.
    pub json_log: Option<PathBuf>,
    /// `--random_seed`; None = from the clock.
    pub random_seed: Option<u32>,
    /// `--pad`.
    pub padding: f64,
    /// `--coarse_size`, pixels.
    pub max_coarse_size: Option<usize>,
    /// `--adaptive_fraction`.
    pub adaptive_fraction: f64,
    /// `--maxsig`.
    pub max_significant: Option<usize>,
    /// `--maskedge`, pixels.
    pub mask_edge: f64,
    /// `--fix_sigma_noise`.
    pub fix_sigma_noise: bool,
    /// `--fix_sigma_offset`.
    pub fix_sigma_offset: bool,
    /// `--incr_size`.
    pub increment_size: usize,
    /// `--strict_highres_exp`, Å.
    pub strict_highres: Option<f64>,
    /// `--strict_lowres_exp`, Å.
    pub strict_lowres: Option<f64>,
    /// `--dont_check_norm` absent.
    pub check_norm: bool,
    /// `--solvent_correct_fsc`.
    pub solvent_correct_fsc: bool,
    /// `--skip_maximize`.
    pub skip_maximize: bool,
    /// `--nr_parts_sigma2noise`.
    pub noise_particles: usize,
    /// `--reject_limit`, per cent; None: images that cannot be used end the run.
    pub reject_limit: Option<f64>,
    /// `--dont_skip_gridding`: number of gridding iterations; None = direct division.
    pub gridding_iterations: Option<usize>,
    /// `--no_map`.
    pub no_map: bool,
    /// `--sigma2_fudge`.
    pub sigma2_fudge: f64,
    /// `--minres_map`, shells.
    pub minres_map: usize,
    /// `--abort_at_resolution`, Å.
    pub abort_at_resolution: Option<f64>,
    /// `--accuracy_current_size`.
    pub accuracy_current_size: bool,
    /// `--always_join_random_halves`.
    pub always_join_halves: bool,
    /// `--use_all_data`.
    pub use_all_data: bool,
    /// `--force_converge`.
    pub force_converge: bool,
    /// How maps are made from the sums.
    pub maps: MapOptions,
    /// Regions that are told apart, and the iterations that belong to them.
    pub regions: RegionOptions,
    /// `--grad` and what belongs to it.
    pub gradient: GradientSettings,
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

    /// Every option turned into its working form, each value checked by itself.
    pub(crate) fn from_values(line: &CommandLine) -> Result<Self, OptionsError> {
        let path = |name| line.name_given(name).map(PathBuf::from);
        let given_real = |name| line.was_given(name).then(|| line.real(name));
        let mode = match line.integer("--mode") {
            mode @ (0 | 1) => mode,
            _ => return Err(refuse(line, "--mode", "0 is the CPU, 1 the GPU")),
        };
        let gridding = count(line, "--gridding_iter", 1)?;
        Ok(Settings {
            command_line: line.joined().to_owned(),
            particles: path("--i").unwrap_or_default(),
            output_root: line.text("--o").to_owned(),
            continue_from: path("--continue"),
            iterations: optional_count(line, "--iter")?,
            auto_iter_max: count(line, "--auto_iter_max", 0)?,
            classes: count(line, "--K", 1)?,
            tau2_fudge: line.positive("--tau2_fudge"),
            particle_diameter: particle_diameter(line)?,
            zero_mask: line.flag("--zero_mask"),
            flatten_solvent: line.flag("--flatten_solvent"),
            solvent_mask: path("--solvent_mask"),
            solvent_mask2: path("--solvent_mask2"),
            lowpass_mask: path("--lowpass_mask").map(|mask| (mask, line.real("--lowpass"))),
            tau_spectrum: path("--tau"),
            sigma_spectrum: path("--sigma"),
            split_random_halves: line.flag("--split_random_halves") || line.flag("--auto_refine"),
            low_resol_join_halves: line.positive("--low_resol_join_halves"),
            center_classes: line.flag("--center_classes"),
            pipeline_control: line.name_given("--pipeline_control").map(str::to_owned),
            reference: path("--ref"),
            denovo_3d: line.flag("--denovo_3dref"),
            initial_blobs: !line.flag("--no_init_blobs"),
            reference_pixel_size: line.positive("--ref_angpix"),
            trust_reference_size: line.flag("--trust_ref_size"),
            pixel_size: line.positive("--angpix"),
            initial_sigma_offset: not_negative(line, "--offset")?,
            first_iteration_cc: line.flag("--firstiter_cc"),
            always_cc: line.flag("--always_cc"),
            initial_low_pass: line.positive("--ini_high"),
            oversampling: small(line, "--oversampling", 0..=5, "it must lie between 0 and 5")?,
            healpix_order: line
                .was_given("--healpix_order")
                .then(|| {
                    small(
                        line,
                        "--healpix_order",
                        0..=9,
                        "it must lie between 0 and 9",
                    )
                })
                .transpose()?,
            psi_step: psi_step(line)?,
            limit_tilt: line.real("--limit_tilt"),
            symmetry: line.text("--sym").to_owned(),
            offset_range: given_real("--offset_range")
                .map(|_| not_negative(line, "--offset_range"))
                .transpose()?,
            offset_step: given_real("--offset_step")
                .map(|_| {
                    let reason = "steps of translations lie between 0.01 and 1000 pixels";
                    between(line, "--offset_step", 0.01, 1000.0, reason)
                })
                .transpose()?,
            perturbation: between(line, "--perturb", 0.0, 1.0, "it must lie between 0 and 1")?,
            auto_refine: line.flag("--auto_refine"),
            auto_sampling: line.flag("--auto_sampling"),
            auto_local_healpix_order: small(
                line,
                "--auto_local_healpix_order",
                0..=99,
                "it must lie between 0 and 99",
            )?,
            sigma_angles: local_search::widths(line),
            relaxed_symmetry: local_search::relaxed_group(line),
            skip_align: line.flag("--skip_align"),
            skip_rotate: line.flag("--skip_rotate"),
            auto_ignore_angles: line.flag("--auto_ignore_angles"),
            auto_resol_angles: line.flag("--auto_resol_angles"),
            allow_coarser_sampling: line.flag("--allow_coarser_sampling"),
            minimum_angular_sampling: line.real("--minimum_angular_sampling").max(0.0),
            maximum_angular_sampling: line.real("--maximum_angular_sampling").max(0.0),
            min_sigma2_offset: not_negative(line, "--min_sigma2_offset")?,
            ctf: line.flag("--ctf"),
            ctf_flags: CtfFlags {
                intact_first_peak: line.flag("--ctf_intact_first_peak"),
                phase_flipped: line.flag("--ctf_phase_flipped"),
                only_flip_phases: line.flag("--only_flip_phases"),
            },
            ctf_uncorrected_reference: line.flag("--ctf_uncorrected_ref"),
            norm: line.flag("--norm") && !line.flag("--no_norm"),
            scale: line.flag("--scale") && !line.flag("--no_scale"),
            threads: count(line, "--j", 0)?,
            pool: count(line, "--pool", 1)?,
            // RELION's own word for a bare --gpu is "default".
            gpu: match (line.was_given("--gpu"), mode) {
                (true, _) => Some(line.text("--gpu").to_owned()).map(|map| match map.as_str() {
                    "default" => String::new(),
                    _ => map,
                }),
                (false, 1) => Some(String::new()),
                (false, _) => None,
            },
            gpu_memory: line.bytes("--gpu_memory"),
            gpu_precision: Precision::parse(line.text("--gpu_precision"))
                .ok_or_else(|| refuse(line, "--gpu_precision", "it is single, tf32x3 or tf32"))?,
            no_nccl: line.flag("--no_nccl"),
            deterministic: line.flag("--deterministic"),
            free_gpu_memory: count(line, "--free_gpu_memory", 0)? as u64,
            preread_images: line.flag("--preread_images"),
            scratch_dir: path("--scratch_dir"),
            keep_free_scratch: not_negative(line, "--keep_free_scratch")?,
            reuse_scratch: line.flag("--reuse_scratch"),
            keep_scratch: line.flag("--keep_scratch"),
            fast_subsets: line.flag("--fast_subsets"),
            verbosity: line.integer("--verb") as i32,
            json_log: path("--json_log"),
            random_seed: u32::try_from(line.integer("--random_seed")).ok(),
            padding: between(line, "--pad", 1.0, 8.0, "it must lie between 1 and 8")?,
            max_coarse_size: optional_count(line, "--coarse_size")?,
            adaptive_fraction: adaptive_fraction(line)?,
            max_significant: optional_count(line, "--maxsig")?,
            mask_edge: not_negative(line, "--maskedge")?,
            fix_sigma_noise: line.flag("--fix_sigma_noise"),
            fix_sigma_offset: line.flag("--fix_sigma_offset"),
            increment_size: count(line, "--incr_size", 0)?,
            strict_highres: line.positive("--strict_highres_exp"),
            strict_lowres: line.positive("--strict_lowres_exp"),
            check_norm: !line.flag("--dont_check_norm"),
            solvent_correct_fsc: line.flag("--solvent_correct_fsc"),
            skip_maximize: line.flag("--skip_maximize"),
            noise_particles: optional_count(line, "--nr_parts_sigma2noise")?.unwrap_or(1000),
            reject_limit: Some(below_hundred(line, "--reject_limit")?).filter(|limit| *limit > 0.0),
            gridding_iterations: line.flag("--dont_skip_gridding").then_some(gridding),
            no_map: line.flag("--no_map"),
            sigma2_fudge: above_zero(line, "--sigma2_fudge")?,
            minres_map: count(line, "--minres_map", 0)?,
            abort_at_resolution: line.positive("--abort_at_resolution"),
            accuracy_current_size: line.flag("--accuracy_current_size"),
            always_join_halves: line.flag("--always_join_random_halves"),
            use_all_data: line.flag("--use_all_data"),
            force_converge: line.flag("--force_converge"),
            maps: MapOptions::from_values(line)?,
            regions: RegionOptions::from_values(line)?,
            gradient: GradientSettings::from_values(line)?,
        })
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
        if let Some(trouble) = self.maps.excluded_by(self) {
            return refuse(&trouble);
        }
        if let Some(trouble) = self.regions.excluded_by(self) {
            return refuse(trouble);
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
        let probe = folder.join(format!(".relion_refine_{}.tmp", std::process::id()));
        std::fs::write(&probe, b"writable?")
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|source| OptionsError::OutputFolderNotWritable {
                folder: folder.to_owned(),
                root,
                source,
            })
    }
}

fn adaptive_fraction(line: &CommandLine) -> Result<f64, OptionsError> {
    let fraction = above_zero(line, "--adaptive_fraction")?;
    match fraction <= 1.0 {
        true => Ok(fraction),
        false => Err(refuse(
            line,
            "--adaptive_fraction",
            "it is a fraction, at most 1",
        )),
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
