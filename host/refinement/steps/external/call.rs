//! The call of the program that makes a map (spec 06 §3.5).

use super::files::Files;
use crate::comm::Ranks;
use crate::comm::programs::{Ended, Running, find_program};
use crate::errors::listed::shortened;
use crate::errors::{Code, Message};
use crate::refinement::error::RunError;
use crate::refinement::settings::map_options::MapOptions;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Names the program of `--external_reconstruct`, maybe with arguments.
const EXTERNAL_VARIABLE: &str = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE";
/// The program where the variable is not set.
const EXTERNAL_PROGRAM: &str = "relion_external_reconstruct";
/// The program of `--blush`.
pub(super) const BLUSH_PROGRAM: &str = "relion_python_blush";
/// Further arguments of Blush.
const BLUSH_VARIABLE: &str = "RELION_BLUSH_ARGS";
/// Output of Blush when it has made the map.
const BLUSH_SUCCESS: &str = "success";
/// How often the watch of the ranks is told that there is progress.
const BEAT: Duration = Duration::from_secs(1);
/// Lines of what the program printed that an error shows.
const LAST_LINES: usize = 5;

/// Which program is called, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// `--external_reconstruct`: the program, maybe with arguments.
    External(String),
    /// `--blush`: its arguments but for the devices.
    Blush(String),
}

impl Call {
    /// Returns the program that the options and the environment ask for; Blush takes precedence.
    pub(super) fn of(maps: &MapOptions) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
        if !maps.blush {
            let program = variable(EXTERNAL_VARIABLE);
            return Self::External(program.unwrap_or_else(|| EXTERNAL_PROGRAM.into()));
        }
        let mut words = variable(BLUSH_VARIABLE).unwrap_or_default();
        if maps.skip_spectral_trailing {
            words.push_str(" --skip-spectral-trailing ");
        }
        Self::Blush(words)
    }

    /// The line for the shell. `device`: the card that Blush may use.
    fn line(&self, star: &str, device: Option<usize>) -> String {
        match self {
            Self::External(program) => format!("{program} {star}"),
            Self::Blush(words) => {
                let device = device.map_or("-1 ".into(), |device| format!("{device}, "));
                format!("{BLUSH_PROGRAM} {star} {words} --gpu {device}")
            }
        }
    }

    /// Starts the program.
    pub(super) fn start(&self, files: &Files, device: Option<usize>) -> Result<Started, Message> {
        let line = self.line(&files.star(), device);
        let (output, errors) = (files.output(), files.errors());
        let running = Running::start(&line, &output, &errors).map_err(|error| {
            Code::EXTERNAL_PROGRAM.says(format!("'{line}' cannot be started: {error}"))
        })?;
        Ok(Started {
            line,
            running,
            must_say: matches!(self, Self::Blush(_)).then_some(BLUSH_SUCCESS),
            output,
            errors,
        })
    }

    /// Returns the line that is printed while the program runs.
    pub(super) fn announcement(&self, line: &str) -> String {
        match self {
            Self::External(_) => {
                format!(" + Making system call for external reconstruction: {line}")
            }
            Self::Blush(_) => format!(" + Making system call for Blush: {line}"),
        }
    }

    /// Returns the line that is printed when it has ended.
    pub(super) fn success(&self) -> &'static str {
        match self {
            Self::External(_) => {
                " + External reconstruction finished successfully, reading result back in ..."
            }
            Self::Blush(_) => " + Blush finished successfully, reading result back in ...",
        }
    }

    fn program(&self) -> &str {
        match self {
            Self::External(program) => program,
            Self::Blush(_) => BLUSH_PROGRAM,
        }
    }
}

/// Checks that the program that the options ask for is there: before hours of work, not after them.
///
/// # Errors
/// No such program, as far as that can be told: a line that sets variables for the shell is believed.
pub fn check(maps: &MapOptions) -> Result<(), Message> {
    if !maps.by_program() {
        return Ok(());
    }
    let call = Call::of(maps);
    let first = call.program().split_whitespace().next().unwrap_or_default();
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if !first.chars().all(plain) || find_program(first).is_some() {
        return Ok(());
    }
    let (option, advice) = match call {
        Call::External(_) => (
            "--external_reconstruct",
            format!("Set {EXTERNAL_VARIABLE} to the program that shall make the maps, or leave out the option"),
        ),
        Call::Blush(_) => (
            "--blush",
            "Install Blush (it comes with RELION 5) and bring its folder into PATH, or leave out the option".into(),
        ),
    };
    Err(Code::EXTERNAL_PROGRAM.says(format!(
        "{option} needs the program {first}, which is not there or cannot be executed (PATH was searched). {advice}"
    )))
}

/// A program that was started for a map.
pub(super) struct Started {
    line: String,
    running: Running,
    /// All that it must print.
    must_say: Option<&'static str>,
    output: PathBuf,
    errors: PathBuf,
}

impl Started {
    /// The line that the shell was given.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// Waits for the end, and while waiting tells the other ranks that there is progress.
    ///
    /// # Errors
    /// The program fails or takes too long. Ended because another rank has failed it is [`RunError::Stopped`], so that the error
    /// of that rank is told.
    pub(super) fn wait(self, limit: Duration, ranks: &Ranks) -> Result<(), RunError> {
        let mut last_beat = Instant::now();
        let ended = self.running.wait(limit, || {
            if last_beat.elapsed() > BEAT {
                last_beat = Instant::now();
                ranks.watch().advance();
            }
            !ranks.watch().stopping()
        });
        let line = &self.line;
        let failed = |what: String| {
            let said = last_lines(&[&self.errors, &self.output]);
            RunError::from(Code::EXTERNAL_PROGRAM.says(format!(
                "the program that makes the maps {what}. It was called as: {line}. {said} Nothing of the iterations before is lost: \
                 go on with --continue once the program works"
            )))
        };
        match ended {
            Err(error) => Err(failed(format!("cannot be waited for: {error}"))),
            Ok(Ended::TooLate) => Err(Code::EXTERNAL_TIME.says(format!(
                "the program that makes the maps did not end within {} s (--external_time_limit) and was killed. It was called as: \
                 {line}. {} Give it more time, or find out by hand why it hangs; then go on from the last finished iteration \
                 with --continue",
                limit.as_secs_f64(),
                last_lines(&[&self.errors, &self.output])
            ))
            .into()),
            Ok(Ended::Unwanted) => Err(RunError::Stopped),
            Ok(Ended::With(status)) => match self.must_say {
                None if status.success() => Ok(()),
                None => Err(failed(format!("failed ({status})"))),
                Some(word) => match fs::read_to_string(&self.output).unwrap_or_default().trim() {
                    said if said == word => Ok(()),
                    _ => Err(failed(format!(
                        "did not print '{word}' alone, by which it says that the map is made ({status})"
                    ))),
                },
            },
        }
    }
}

/// The last lines of the first of these files that is not empty, for an error.
fn last_lines(files: &[&Path]) -> String {
    for file in files {
        let bytes = fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        if !lines.is_empty() {
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            let last: Vec<String> = last.iter().map(|line| shortened(line)).collect();
            return format!("Its last words ({}): {}.", file.display(), last.join(" | "));
        }
    }
    "It printed nothing.".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of spec 06 §3.5.
    #[test]
    fn lines_for_the_shell() {
        let external = Call::External("python3 plain.py".into());
        assert_eq!(
            external.line("run_it001_class001_external_reconstruct.star", Some(0)),
            "python3 plain.py run_it001_class001_external_reconstruct.star"
        );
        let blush = Call::Blush("--mask-diameter 180 --skip-spectral-trailing ".into());
        let expected =
            "relion_python_blush a.star --mask-diameter 180 --skip-spectral-trailing  --gpu ";
        assert_eq!(blush.line("a.star", None), format!("{expected}-1 "));
        assert_eq!(blush.line("a.star", Some(1)), format!("{expected}1, "));
    }

    #[test]
    fn the_last_lines_are_those_of_the_errors() {
        let folder = tempfile::tempdir().unwrap();
        let [out, err] = ["out", "err"].map(|name| folder.path().join(name));
        assert_eq!(last_lines(&[&err, &out]), "It printed nothing.");
        fs::write(&out, "success?\n").unwrap();
        assert!(last_lines(&[&err, &out]).ends_with("success?."));
        fs::write(&err, "1\n2\n3\n4\n5\n6\n\n").unwrap();
        assert!(last_lines(&[&err, &out]).ends_with("): 2 | 3 | 4 | 5 | 6."));
    }
}
