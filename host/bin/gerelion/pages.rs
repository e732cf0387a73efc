//! `gerelion man` and `gerelion completions`: manual pages and shell completions of all programs, made from the option table of
//! `relion_refine` and from the definitions of the commands.

use crate::Cli;
use clap::builder::{Command, ValueHint};
use clap::{Arg, ArgAction, Args, CommandFactory};
use clap_complete::Shell;
use gerelion::errors::{Code, Failure, OnFailure, show};
use gerelion::options::{Kind, OptionEntry, Treatment, table};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Programs under RELION's names, each a command of `gerelion`.
const TWINS: [(&str, &str); 7] = [
    ("relion_align_symmetry", "align-symmetry"),
    ("relion_reconstruct", "reconstruct"),
    ("relion_particle_subtract", "subtract"),
    ("relion_localsym", "localsym"),
    ("relion_localres", "localres"),
    ("relion_mask_create", "mask"),
    ("relion_postprocess", "postprocess"),
];

/// Options of `gerelion man`.
#[derive(Args)]
pub struct ManArguments {
    /// Folder for the pages
    folder: PathBuf,
}

/// Options of `gerelion completions`.
#[derive(Args)]
pub struct CompletionArguments {
    /// Shell that the scripts are for
    shell: Shell,
    /// Folder for one script per program; without it, all are printed
    folder: Option<PathBuf>,
}

/// Writes a manual page for each program, and for each command of `gerelion`.
pub fn man(arguments: &ManArguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    make(folder)?;
    for command in programs() {
        if command.has_subcommands() {
            clap_mangen::generate_to(command, folder)
                .or_says(Code::CANNOT_WRITE, folder.display())?;
            continue;
        }
        let path = folder.join(format!("{}.1", command.get_name()));
        let says = || path.display().to_string();
        let mut file = File::create(&path).or_says(Code::CANNOT_WRITE, says())?;
        clap_mangen::Man::new(command)
            .manual("GeRelion")
            .render(&mut file)
            .or_says(Code::CANNOT_WRITE, says())?;
    }
    Ok(())
}

/// Writes the completion scripts of all programs.
pub fn completions(arguments: &CompletionArguments) -> Result<(), Failure> {
    if let Some(folder) = &arguments.folder {
        make(folder)?;
    }
    for mut command in programs() {
        let name = command.get_name().to_owned();
        match &arguments.folder {
            Some(folder) => {
                clap_complete::generate_to(arguments.shell, &mut command, name, folder)
                    .or_says(Code::CANNOT_WRITE, folder.display())?;
            }
            None => {
                // In memory, since the writer may not fail.
                let mut script = Vec::new();
                clap_complete::generate(arguments.shell, &mut command, name, &mut script);
                show(&String::from_utf8_lossy(&script))?;
            }
        }
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).or_says(Code::CANNOT_WRITE, folder.display())
}

/// Returns the definitions of all programs.
fn programs() -> Vec<Command> {
    let gerelion = Cli::command();
    let twins = TWINS.iter().filter_map(|(name, command)| {
        let twin = gerelion.find_subcommand(command)?.clone();
        Some(twin.name(*name).version(env!("CARGO_PKG_VERSION")))
    });
    let mut all: Vec<Command> = twins.collect();
    all.extend(["relion_refine", "relion_refine_mpi"].map(refinement));
    all.push(gerelion);
    all
}

/// Returns what the option table says, as the definition of a command. Refused options are left out.
fn refinement(name: &'static str) -> Command {
    let shown = table::all().filter(|entry| !matches!(entry.treatment, Treatment::Refused(_)));
    Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about("2D and 3D classification, initial models and auto-refinement of cryo-EM particles")
        .override_usage(format!(
            "{name} --i PARTICLES.star --o FOLDER/run [OPTIONS]\n{name} --continue FOLDER/run_itNNN_optimiser.star [OPTIONS]"
        ))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(shown.map(argument))
}

fn argument(entry: &'static OptionEntry) -> Arg {
    let mut help = entry.meaning.to_owned();
    if !entry.unit.is_empty() {
        help.push_str(&format!(" ({})", entry.unit));
    }
    if let Treatment::WithoutEffect(reason) = entry.treatment {
        help.push_str(&format!(". No effect: {reason}"));
    }
    let argument = Arg::new(entry.name)
        .long(entry.name.trim_start_matches('-'))
        .help(help)
        .help_heading(entry.group.title());
    if entry.kind == Kind::Flag {
        return argument.action(ArgAction::SetTrue);
    }
    let argument = argument.value_name(entry.kind.placeholder().trim_matches(['[', ']']));
    let argument = match entry.kind {
        Kind::Text => argument.value_hint(ValueHint::AnyPath),
        Kind::OptionalText => argument.num_args(0..=1),
        _ => argument,
    };
    match entry.default {
        "" => argument,
        value => argument.default_value(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every binary of the package has a page and completions.
    #[test]
    fn every_program_is_defined() {
        let manifest = include_str!("../../../Cargo.toml");
        let mut binaries: Vec<&str> = manifest
            .split("[[bin]]")
            .skip(1)
            .filter_map(|part| part.split('"').nth(1))
            .collect();
        let programs = programs();
        let mut names: Vec<&str> = programs.iter().map(Command::get_name).collect();
        binaries.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, binaries);
    }

    /// Clap's own checks of a definition: no name twice, defaults that fit.
    #[test]
    fn definitions_are_consistent() {
        for command in programs() {
            command.debug_assert();
        }
    }
}
