//! Options on top of an optimiser file: which of them hold when a run is continued (spec 03 §3.2 and §5).

use crate::options::{CommandLine, OnContinue, OptionsError, table};
use crate::refinement::settings::Settings;
use std::fmt::Debug;

impl Settings {
    /// Apply the options of a `--continue` command line to settings recovered from an optimiser file, by the rules of the
    /// option table. Returns one line per changed option, to be printed.
    ///
    /// `--o` is only carried over; the rule that turns an old root into `<old>_ctN` is
    /// [`continuation_root`](crate::refinement::checkpoint::resume::continuation_root).
    ///
    /// # Errors
    /// Values that are not possible, combinations that are refused.
    pub fn apply_continue_options(
        &mut self,
        line: &CommandLine,
    ) -> Result<Vec<String>, OptionsError> {
        let given = Settings::from_values(line)?;
        if line.was_given("--tau2_fudge") && given.tau2_fudge.is_none() {
            return Err(OptionsError::OutOfRange {
                option: "--tau2_fudge",
                value: line.text("--tau2_fudge").to_owned(),
                reason: "it must be above 0 when a run is continued",
            });
        }
        let mut changes = Changes {
            line,
            automatic: self.auto_refine || self.auto_sampling,
            log: Vec::new(),
        };
        self.command_line = given.command_line.clone();
        self.continue_from = given.continue_from.clone();
        if line.name_given("--o").is_some() {
            self.output_root = given.output_root.clone();
        }
        self.apply_what_is_refined(&given, &mut changes);
        self.apply_regions(&given, &mut changes);
        self.apply_sampling(&given, &mut changes);
        self.apply_gradient(&given, &mut changes);
        self.apply_computation(&given, &mut changes);
        let log = changes.log;
        self.check_combinations()?;
        Ok(log)
    }

    fn apply_what_is_refined(&mut self, given: &Settings, changes: &mut Changes) {
        changes.apply("--iter", &mut self.iterations, &given.iterations);
        changes.apply(
            "--auto_iter_max",
            &mut self.auto_iter_max,
            &given.auto_iter_max,
        );
        changes.apply("--tau2_fudge", &mut self.tau2_fudge, &given.tau2_fudge);
        changes.apply(
            "--particle_diameter",
            &mut self.particle_diameter,
            &given.particle_diameter,
        );
        changes.apply(
            "--flatten_solvent",
            &mut self.flatten_solvent,
            &given.flatten_solvent,
        );
        changes.apply(
            "--solvent_mask",
            &mut self.solvent_mask,
            &given.solvent_mask,
        );
        changes.apply(
            "--solvent_mask2",
            &mut self.solvent_mask2,
            &given.solvent_mask2,
        );
        changes.apply(
            "--lowpass_mask",
            &mut self.lowpass_mask,
            &given.lowpass_mask,
        );
        changes.apply("--tau", &mut self.tau_spectrum, &given.tau_spectrum);
        changes.apply(
            "--center_classes",
            &mut self.center_classes,
            &given.center_classes,
        );
        changes.apply(
            "--trust_ref_size",
            &mut self.trust_reference_size,
            &given.trust_reference_size,
        );
        changes.apply("--angpix", &mut self.pixel_size, &given.pixel_size);
        changes.apply("--always_cc", &mut self.always_cc, &given.always_cc);
        changes.apply(
            "--strict_highres_exp",
            &mut self.strict_highres,
            &given.strict_highres,
        );
        changes.apply(
            "--solvent_correct_fsc",
            &mut self.solvent_correct_fsc,
            &given.solvent_correct_fsc,
        );
        changes.apply(
            "--skip_maximize",
            &mut self.skip_maximize,
            &given.skip_maximize,
        );
        changes.apply("--pad", &mut self.padding, &given.padding.trunc());
        changes.apply(
            "--dont_skip_gridding",
            &mut self.gridding_iterations,
            &given.gridding_iterations,
        );
        changes.apply("--no_map", &mut self.no_map, &given.no_map);
        changes.apply(
            "--sigma2_fudge",
            &mut self.sigma2_fudge,
            &given.sigma2_fudge,
        );
        changes.apply("--minres_map", &mut self.minres_map, &given.minres_map);
        changes.apply(
            "--abort_at_resolution",
            &mut self.abort_at_resolution,
            &given.abort_at_resolution,
        );
        changes.apply(
            "--always_join_random_halves",
            &mut self.always_join_halves,
            &given.always_join_halves,
        );
        changes.apply(
            "--use_all_data",
            &mut self.use_all_data,
            &given.use_all_data,
        );
        changes.apply(
            "--force_converge",
            &mut self.force_converge,
            &given.force_converge,
        );
        changes.switch("--norm", "--no_norm", &mut self.norm, given.norm);
        changes.switch("--scale", "--no_scale", &mut self.scale, given.scale);
        self.apply_maps(given, changes);
    }

    fn apply_maps(&mut self, given: &Settings, changes: &mut Changes) {
        let maps = (&mut self.maps, &given.maps);
        changes.apply(
            "--external_reconstruct",
            &mut maps.0.external,
            &maps.1.external,
        );
        changes.apply("--blush", &mut maps.0.blush, &maps.1.blush);
        changes.apply(
            "--blush_skip_spectral_trailing",
            &mut maps.0.skip_spectral_trailing,
            &maps.1.skip_spectral_trailing,
        );
        changes.apply(
            "--external_time_limit",
            &mut maps.0.time_limit,
            &maps.1.time_limit,
        );
    }

    fn apply_regions(&mut self, given: &Settings, changes: &mut Changes) {
        let (regions, from) = (&mut self.regions, &given.regions);
        for (option, value, given) in [
            ("--red_mask", &mut regions.wanted_mask, &from.wanted_mask),
            (
                "--yellow_mask",
                &mut regions.unwanted_mask,
                &from.unwanted_mask,
            ),
            (
                "--yellow_map",
                &mut regions.unwanted_map,
                &from.unwanted_map,
            ),
            ("--fsc_mask", &mut regions.fsc_mask, &from.fsc_mask),
        ] {
            changes.apply(option, value, given);
        }
        changes.apply(
            "--extra_iter",
            &mut regions.extra_iterations,
            &from.extra_iterations,
        );
    }

    fn apply_sampling(&mut self, given: &Settings, changes: &mut Changes) {
        changes.apply(
            "--offset",
            &mut self.initial_sigma_offset,
            &given.initial_sigma_offset,
        );
        changes.apply(
            "--oversampling",
            &mut self.oversampling,
            &given.oversampling,
        );
        changes.apply(
            "--healpix_order",
            &mut self.healpix_order,
            &given.healpix_order,
        );
        changes.apply("--psi_step", &mut self.psi_step, &given.psi_step);
        changes.apply(
            "--offset_range",
            &mut self.offset_range,
            &given.offset_range,
        );
        changes.apply("--offset_step", &mut self.offset_step, &given.offset_step);
        changes.apply("--perturb", &mut self.perturbation, &given.perturbation);
        changes.apply(
            "--auto_local_healpix_order",
            &mut self.auto_local_healpix_order,
            &given.auto_local_healpix_order,
        );
        if changes.line.was_given("--sigma_ang") {
            changes.apply("--sigma_ang", &mut self.sigma_angles, &given.sigma_angles);
        } else {
            for (axis, name) in ["--sigma_rot", "--sigma_tilt", "--sigma_psi"]
                .into_iter()
                .enumerate()
            {
                changes.apply(
                    name,
                    &mut self.sigma_angles[axis],
                    &given.sigma_angles[axis],
                );
            }
        }
        changes.apply(
            "--relax_sym",
            &mut self.relaxed_symmetry,
            &given.relaxed_symmetry,
        );
        if changes.line.was_given("--relax_sym") && self.sigma_angles.iter().all(|&s| s <= 0.0) {
            self.sigma_angles = given.sigma_angles;
        }
        changes.apply("--skip_align", &mut self.skip_align, &given.skip_align);
        changes.apply("--skip_rotate", &mut self.skip_rotate, &given.skip_rotate);
        changes.apply(
            "--auto_ignore_angles",
            &mut self.auto_ignore_angles,
            &given.auto_ignore_angles,
        );
        changes.apply(
            "--auto_resol_angles",
            &mut self.auto_resol_angles,
            &given.auto_resol_angles,
        );
        changes.apply(
            "--allow_coarser_sampling",
            &mut self.allow_coarser_sampling,
            &given.allow_coarser_sampling,
        );
        changes.apply(
            "--minimum_angular_sampling",
            &mut self.minimum_angular_sampling,
            &given.minimum_angular_sampling,
        );
        changes.apply(
            "--maximum_angular_sampling",
            &mut self.maximum_angular_sampling,
            &given.maximum_angular_sampling,
        );
        changes.apply(
            "--min_sigma2_offset",
            &mut self.min_sigma2_offset,
            &given.min_sigma2_offset,
        );
        changes.apply(
            "--maxsig",
            &mut self.max_significant,
            &given.max_significant,
        );
    }

    fn apply_gradient(&mut self, given: &Settings, changes: &mut Changes) {
        let (kept, given) = (&mut self.gradient, &given.gradient);
        changes.apply(
            "--grad_em_iters",
            &mut kept.em_iterations,
            &given.em_iterations,
        );
        changes.apply(
            "--grad_ini_frac",
            &mut kept.initial_fraction,
            &given.initial_fraction,
        );
        changes.apply(
            "--grad_fin_frac",
            &mut kept.last_fraction,
            &given.last_fraction,
        );
        changes.apply(
            "--grad_ini_resol",
            &mut kept.initial_resolution,
            &given.initial_resolution,
        );
        changes.apply(
            "--grad_fin_resol",
            &mut kept.last_resolution,
            &given.last_resolution,
        );
        changes.apply(
            "--grad_ini_subset",
            &mut kept.initial_subset,
            &given.initial_subset,
        );
        changes.apply(
            "--grad_fin_subset",
            &mut kept.last_subset,
            &given.last_subset,
        );
        changes.apply("--mu", &mut kept.momentum, &given.momentum);
        changes.apply("--grad_stepsize", &mut kept.step_size, &given.step_size);
        changes.apply(
            "--grad_stepsize_scheme",
            &mut kept.step_scheme,
            &given.step_scheme,
        );
        changes.apply(
            "--tau2_fudge_scheme",
            &mut kept.tau2_scheme,
            &given.tau2_scheme,
        );
        changes.apply(
            "--grad_write_iter",
            &mut kept.write_every,
            &given.write_every,
        );
        changes.apply(
            "--class_inactivity_threshold",
            &mut kept.inactivity,
            &given.inactivity,
        );
    }

    fn apply_computation(&mut self, given: &Settings, changes: &mut Changes) {
        changes.apply("--j", &mut self.threads, &given.threads);
        changes.apply("--pool", &mut self.pool, &given.pool);
        changes.apply("--gpu", &mut self.gpu, &given.gpu);
        changes.apply("--gpu_memory", &mut self.gpu_memory, &given.gpu_memory);
        changes.apply(
            "--gpu_precision",
            &mut self.gpu_precision,
            &given.gpu_precision,
        );
        changes.apply(
            "--free_gpu_memory",
            &mut self.free_gpu_memory,
            &given.free_gpu_memory,
        );
        changes.apply("--no_nccl", &mut self.no_nccl, &given.no_nccl);
        changes.apply(
            "--deterministic",
            &mut self.deterministic,
            &given.deterministic,
        );
        changes.apply(
            "--preread_images",
            &mut self.preread_images,
            &given.preread_images,
        );
        changes.apply("--scratch_dir", &mut self.scratch_dir, &given.scratch_dir);
        changes.apply(
            "--keep_free_scratch",
            &mut self.keep_free_scratch,
            &given.keep_free_scratch,
        );
        changes.apply(
            "--reuse_scratch",
            &mut self.reuse_scratch,
            &given.reuse_scratch,
        );
        changes.apply(
            "--keep_scratch",
            &mut self.keep_scratch,
            &given.keep_scratch,
        );
        changes.apply("--verb", &mut self.verbosity, &given.verbosity);
        changes.apply("--json_log", &mut self.json_log, &given.json_log);
        changes.apply(
            "--pipeline_control",
            &mut self.pipeline_control,
            &given.pipeline_control,
        );
    }
}

/// Applies single options by the rule of the table and keeps the log.
struct Changes<'a> {
    line: &'a CommandLine,
    automatic: bool,
    log: Vec<String>,
}

impl Changes<'_> {
    fn apply<T: Clone + PartialEq + Debug>(
        &mut self,
        option: &'static str,
        kept: &mut T,
        given: &T,
    ) {
        let on_the_line = self.line.was_given(option);
        let rule = table::find(option).map(|entry| entry.on_continue);
        let holds = match rule {
            Some(OnContinue::IfGiven | OnContinue::SwitchOn) => on_the_line,
            Some(OnContinue::IfGivenNotAuto) if on_the_line && self.automatic => {
                self.log.push(format!(
                    "{option} is not changed: the sampling is automatic in this run"
                ));
                false
            }
            Some(OnContinue::IfGivenNotAuto) => on_the_line,
            Some(
                OnContinue::FromCommandLine | OnContinue::MustBeRepeated | OnContinue::ContinueOnly,
            ) => true,
            Some(OnContinue::FromFile) | None => false,
        };
        if holds && kept != given {
            self.log.push(format!(
                "{option} changes from {} to {}",
                words(kept),
                words(given)
            ));
            *kept = given.clone();
        }
    }

    /// A pair of flags that switch on and off; neither keeps what the file says.
    fn switch(&mut self, on: &'static str, off: &'static str, kept: &mut bool, given: bool) {
        if (self.line.was_given(on) || self.line.was_given(off)) && *kept != given {
            self.log.push(format!("{on} is switched {}", words(&given)));
            *kept = given;
        }
    }
}

/// A value as a user would write it.
fn words(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let inner = text.strip_prefix("Some(").and_then(|t| t.strip_suffix(')'));
    match inner.unwrap_or(&text) {
        "None" => "nothing".into(),
        "true" => "on".into(),
        "false" => "off".into(),
        value => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> CommandLine {
        CommandLine::parse(text.split_whitespace().map(String::from)).unwrap()
    }

    fn finished_run(text: &str) -> Settings {
        Settings::from_command_line(&line(&format!("--i a.star --o run --ref r.mrc {text}")))
            .unwrap()
    }

    #[test]
    fn given_options_replace_those_of_the_file_and_are_logged() {
        let mut settings = finished_run("--iter 25 --tau2_fudge 4 --zero_mask --norm --j 4");
        let log = settings
            .apply_continue_options(&line(
                "--continue run_it010_optimiser.star --iter 30 --no_norm --j 4",
            ))
            .unwrap();
        assert_eq!(settings.iterations, Some(30));
        assert_eq!(settings.tau2_fudge, Some(4.0));
        assert!(settings.zero_mask && !settings.norm);
        assert_eq!(
            log,
            ["--iter changes from 25 to 30", "--norm is switched off"]
        );
    }

    #[test]
    fn computing_options_are_reset_when_they_are_not_repeated() {
        let mut settings = finished_run("--j 8 --pool 30 --skip_align --flatten_solvent");
        settings
            .apply_continue_options(&line("--continue run_it010_optimiser.star"))
            .unwrap();
        assert_eq!((settings.threads, settings.pool), (0, 1));
        assert!(!settings.skip_align);
        assert!(settings.flatten_solvent, "a flag kept in the file stays on");
    }

    #[test]
    fn sampling_options_are_not_taken_in_auto_refine() {
        let mut settings = finished_run("--auto_refine --healpix_order 2");
        let log = settings
            .apply_continue_options(&line(
                "--continue run_it010_optimiser.star --healpix_order 3",
            ))
            .unwrap();
        assert_eq!(settings.healpix_order, Some(2));
        assert_eq!(
            log,
            ["--healpix_order is not changed: the sampling is automatic in this run"]
        );

        let mut settings = finished_run("--K 2 --healpix_order 2");
        settings
            .apply_continue_options(&line(
                "--continue run_it010_optimiser.star --healpix_order 3",
            ))
            .unwrap();
        assert_eq!(settings.healpix_order, Some(3));
    }

    #[test]
    fn options_of_the_file_cannot_be_changed() {
        let mut settings = finished_run("--K 3 --sym C4");
        settings
            .apply_continue_options(&line("--continue run_it010_optimiser.star --K 5 --sym D2"))
            .unwrap();
        assert_eq!((settings.classes, settings.symmetry.as_str()), (3, "C4"));
    }

    #[test]
    fn the_padding_is_read_as_a_whole_number() {
        let mut settings = finished_run("--pad 2");
        settings
            .apply_continue_options(&line("--continue run_it010_optimiser.star --pad 1.9"))
            .unwrap();
        assert_eq!(settings.padding, 1.0);
    }
}
