//! What the user asked for: every option of a run in its working form (spec 01 §9, spec 03 §3).

use crate::optics::CtfFlags;
use std::path::PathBuf;

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
    /// `--j`.
    pub threads: usize,
    /// `--pool`.
    pub pool: usize,
    /// `--gpu` value ("" = automatic), or `--mode 1`; None = CPU.
    pub gpu: Option<String>,
    /// `--gpu_memory`, bytes.
    pub gpu_memory: Option<u64>,
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
    /// `--join_random_halves` (continue only).
    pub join_random_halves: bool,
}
