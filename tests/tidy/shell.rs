//! Commands on pages are those that the programs take: every option that a shell block gives exists.

use super::sources::root;
use gerelion::options::CommandLine;
use gerelion::refinement::settings::Settings;
use std::fs;
use std::process::Command;

/// Commands of the shell blocks of a page, each with its words; lines that go on are joined, comments left out.
fn commands(page: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(kind)) if kind.starts_with("sh") => block = Some(String::new()),
            (Some(text), None) => *text += &format!("{line}\n"),
            (Some(text), Some(_)) => {
                let joined = text.replace("\\\n", " ");
                let parts = joined.lines().flat_map(|line| line.split("&&"));
                found.extend(parts.filter_map(|part| {
                    let words = shlex::split(part)?;
                    let kept = words.into_iter().take_while(|word| *word != "#");
                    Some(kept.collect::<Vec<_>>()).filter(|words| !words.is_empty())
                }));
                block = None;
            }
            _ => {}
        }
    }
    found
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
    let pages = fs::read_dir(root().join("docs")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let mut tried = 0;
    for path in pages.chain([root().join("README.md")]) {
        for words in commands(&fs::read_to_string(&path).unwrap()) {
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

#[test]
fn commands_are_read_as_a_shell_would() {
    let page = "text\n```sh\nmkdir a && relion_refine --o 'x y' \\\n  --iter 3   # three\n```\n```diff\n-a\n```\n";
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let mut second = words("relion_refine --o");
    second.extend(["x y", "--iter", "3"].map(String::from));
    assert_eq!(commands(page), [words("mkdir a"), second]);
}
