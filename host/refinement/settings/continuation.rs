//! Options on top of an optimiser file: which of them hold when a run is continued (spec 03 §3.2 and §5).

use crate::options::{CommandLine, OnContinue, OptionsError, table};
use crate::refinement::settings::Settings;
use std::fmt::Debug;

impl Settings {
    /// Applies the options of a `--continue` command line to settings recovered from an optimiser file, by the rules of the
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
        let mut given = Settings::from_values(line)?;
        given.padding = given.padding.trunc();
        if line.was_given("--tau2_fudge") && given.tau2_fudge.is_none() {
            return Err(OptionsError::OutOfRange {
                option: "--tau2_fudge",
                value: line.text("--tau2_fudge").to_owned(),
                reason: "a run that is continued has a number already; give one above 0, or leave the option out".into(),
            });
        }
        let mut changes = Changes::on(line, self.auto_refine || self.auto_sampling);
        self.command_line = given.command_line.clone();
        self.continue_from = given.continue_from.clone();
        if line.name_given("--o").is_some() {
            self.output_root = given.output_root.clone();
        }
        self.apply_given(&given, &mut changes);
        changes.switch("--norm", "--no_norm", &mut self.norm, given.norm);
        changes.switch("--scale", "--no_scale", &mut self.scale, given.scale);
        self.apply_widths(&given, &mut changes);
        let log = changes.log;
        self.check_combinations()?;
        Ok(log)
    }

    /// Applies the widths of local searches: one for all angles, or one for each.
    fn apply_widths(&mut self, given: &Settings, changes: &mut Changes) {
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
        if changes.line.was_given("--relax_sym") && self.sigma_angles.iter().all(|&s| s <= 0.0) {
            self.sigma_angles = given.sigma_angles;
        }
    }
}

/// Applies single options by the rule of the table and keeps the log.
pub(crate) struct Changes<'a> {
    line: &'a CommandLine,
    automatic: bool,
    log: Vec<String>,
}

impl<'a> Changes<'a> {
    /// Begins with the options of a line; `automatic`: the run chooses its sampling itself.
    pub(super) fn on(line: &'a CommandLine, automatic: bool) -> Self {
        Self {
            line,
            automatic,
            log: Vec::new(),
        }
    }

    /// Takes a value of the command line where the rule of its option says so.
    pub(super) fn apply<T: Clone + PartialEq + Debug>(
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
            Some(OnContinue::FromFile | OnContinue::StartOnly) | None => false,
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
