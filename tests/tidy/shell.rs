//! Commands on pages are those that the programs take: every option that a shell block gives exists. A block with anything that is not
//! tried, here or by a script, is marked `sh untried`.

use super::sources::root;
use gerelion::options::CommandLine;
use gerelion::refinement::settings::Settings;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Shell blocks of a page that are not marked `untried`.
fn blocks(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<(&str, String)> = None;
    for line in page.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(kind)) => block = Some((kind, String::new())),
            (Some((_, text)), None) => *text += &format!("{line}\n"),
            (Some(_), Some(_)) => found.extend(block.take()),
            (None, None) => {}
        }
    }
    let shell = found.into_iter().filter_map(|(kind, text)| {
        let mut words = kind.split(' ');
        (words.next() == Some("sh") && words.all(|mark| mark != "untried")).then_some(text)
    });
    shell.collect()
}

/// Commands of the shell blocks of a page, each with its words; lines that go on are joined, comments left out.
fn commands(page: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for text in blocks(page) {
        let joined = text.replace("\\\n", " ");
        let parts = joined
            .lines()
            .flat_map(|line| line.split("&&"))
            .flat_map(|part| part.split(" | "));
        found.extend(parts.filter_map(|part| {
            let words = shlex::split(part)?;
            let kept = words.into_iter().take_while(|word| *word != "#");
            Some(kept.collect::<Vec<_>>()).filter(|words| !words.is_empty())
        }));
    }
    found
}

/// Pages with shell blocks: each with its path.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let others = ["README.md", "packaging/README.md"].map(|name| root().join(name));
    docs.chain(others)
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// Options that `gerelion COMMAND --help` tells of.
fn help(command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .args([command, "--help"])
        .output()
        .unwrap();
    assert!(output.status.success(), "gerelion {command} is no command");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn commands_on_pages_are_taken() {
    let mut tried = 0;
    for (path, page) in pages() {
        for words in commands(&page) {
            let place = format!("{}: {}", path.display(), words.join(" "));
            match words[0].as_str() {
                "relion_refine" | "relion_refine_mpi" => {
                    let line = CommandLine::parse(words[1..].to_vec());
                    let line = line.unwrap_or_else(|error| panic!("{place}: {error}"));
                    if line.name_given("--i").is_some() {
                        Settings::from_command_line(&line)
                            .unwrap_or_else(|error| panic!("{place}: {error}"));
                    }
                    tried += 1;
                }
                "gerelion" if words.len() > 1 && !words[1].starts_with('-') => {
                    let help = help(&words[1]);
                    let given = words[2..].iter().take_while(|word| *word != "--");
                    for option in given.filter(|word| word.starts_with("--")) {
                        assert!(help.contains(option.as_str()), "{place}: no {option}");
                    }
                    tried += 1;
                }
                _ => {}
            }
        }
    }
    assert!(tried > 15, "only {tried} commands were found");
}

/// `tests/first_kernel.sh` runs cargo's commands, `scripts/clean_machine.sh` those that install.
#[test]
fn shell_blocks_are_tried_or_marked() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let of_the_shell = [
        "cd",
        "export",
        "grep",
        "man",
        "mkdir",
        "module",
        "sha256sum",
        "tar",
        "tee",
    ];
    let is_known = |words: &[String]| match words[0].as_str() {
        "make" => words[1..]
            .iter()
            .all(|word| word.contains('=') || makefile.contains(&format!("\n{word}:"))),
        "cargo" => words[1] == "nextest",
        script if script.starts_with("scripts/") => root().join(script).exists(),
        name => of_the_shell.contains(&name) || manifest.contains(&format!("name = \"{name}\"")),
    };
    for (path, page) in pages() {
        for words in commands(&page) {
            let place = format!("{}: {}", path.display(), words.join(" "));
            assert!(
                is_known(&words),
                "{place}: not tried; mark its block `sh untried`"
            );
        }
    }
}

#[test]
fn commands_are_read_as_a_shell_would() {
    let page = "text\n```sh\nmkdir a && relion_refine --o 'x y' \\\n  --iter 3   # three\n```\n```diff\n-a\n```\n```sh untried\nb\n```\n";
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let mut second = words("relion_refine --o");
    second.extend(["x y", "--iter", "3"].map(String::from));
    assert_eq!(commands(page), [words("mkdir a"), second]);
}
