//! The messages as they are, in `messages.txt`: one section for each test that has one, under the test's name.

use gerelion::errors::explanation;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

fn path() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/bad_input/messages.txt"
    ))
}

/// Compare a message (`GR-0203: …`) with what `messages.txt` has for this test; `UPDATE=1` writes it there.
pub fn check(code: &str, message: &str) {
    assert!(
        message.starts_with(&format!("{code}: ")),
        "{code} was expected, found {message}"
    );
    assert!(explanation(code).is_some(), "{code} is explained nowhere");
    let thread = std::thread::current();
    let name = thread.name().expect("tests have names").to_owned();
    if std::env::var_os("UPDATE").is_some() {
        update(&name, message);
    }
    let sections = sections(&fs::read_to_string(path()).unwrap_or_default());
    let written = sections.iter().find(|(n, _)| *n == name).map(|(_, m)| &**m);
    assert_eq!(
        Some(message),
        written,
        "the message of {name} has changed; read it as a user would, then run UPDATE=1 cargo test --test bad_input"
    );
}

/// Names of tests and their messages.
pub fn sections(text: &str) -> Vec<(String, String)> {
    let parts = text.split("\n== ").skip(1);
    parts
        .map(|part| {
            let (name, message) = part.split_once(" ==\n").expect("a name between ==");
            (name.to_owned(), message.trim_end().to_owned())
        })
        .collect()
}

/// Replace or add a section, sorted by name. Tests of other processes do so at the same time.
fn update(name: &str, message: &str) {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path()).unwrap();
    file.lock().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let mut sections = sections(&text);
    sections.retain(|(n, _)| n != name);
    sections.push((name.to_owned(), message.to_owned()));
    sections.sort();
    let mut text = "The messages that tests/bad_input provokes. Written by UPDATE=1 cargo test --test bad_input.\n".to_owned();
    for (name, message) in sections {
        text.push_str(&format!("\n== {name} ==\n{message}\n"));
    }
    file.rewind().unwrap();
    file.set_len(0).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
