//! The mark that all files of an iteration carry. With it `--continue` sees that two runs have written with one `--o`, which a
//! file system without locks lets happen.

use crate::errors::{Code, Message};
use crate::formats::star::Document;
use crate::model::Model;
use crate::refinement::checkpoint::model_star;
use crate::refinement::state::RunState;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::Path;

/// Begins the comment at the top of a STAR file, and the second label of a map.
const PREFIX: &str = "GeRelion file set ";
/// Hexadecimal digits of a mark.
const DIGITS: usize = 16;
/// Both places lie in these first bytes of a file.
const BEGINNING: u64 = 1024;

/// Mark of a set of files; none in the files of RELION and of versions that wrote no marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetMark(Option<String>);

impl SetMark {
    /// Makes the mark of an iteration from what its model files say, rounded as it is there: the same results have the same
    /// mark wherever they were computed, those of two runs differ.
    pub fn of(state: &RunState, models: &[Model]) -> Self {
        let mut hasher = DefaultHasher::new();
        (state.iteration, state.random_seed).hash(&mut hasher);
        for model in models {
            let mut text = Vec::new();
            let document = Document {
                tables: vec![model_star::general(model, model.scales.len())],
                ..Document::default()
            };
            // Writing into memory does not fail.
            let _ = document.write_to(&mut text);
            text.hash(&mut hasher);
        }
        Self(Some(format!("{:0DIGITS$x}", hasher.finish())))
    }

    /// Takes the mark from the comments at the top of a STAR file.
    pub fn of_header(lines: &[String]) -> Self {
        Self(lines.iter().find_map(|line| found_in(line.as_bytes())))
    }

    /// The comment, or label, with the mark; empty without one.
    pub fn line(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(String::new, |mark| format!("{PREFIX}{mark}"))
    }

    /// Compares with the mark of a file that `owner` names. Files without a mark, as other programs write them, pass.
    ///
    /// # Errors
    /// The file has another mark.
    pub fn check(&self, path: &Path, owner: &Path) -> Result<(), Message> {
        let mut beginning = Vec::new();
        // A file that cannot be read is told by who reads it whole.
        let _ = File::open(path).map(|file| file.take(BEGINNING).read_to_end(&mut beginning));
        match (&self.0, found_in(&beginning)) {
            (Some(own), Some(other)) if *own != other => Err(Code::RUN_FILES_DIFFER.says(format!(
                "{}: this file was not written together with {}, which names it: two runs have written with one --o, or one \
                 over the other. Continue from another iteration whose files belong together, or start the run again with an \
                 --o of its own.",
                path.display(),
                owner.display()
            ))),
            _ => Ok(()),
        }
    }
}

fn found_in(bytes: &[u8]) -> Option<String> {
    let prefix = PREFIX.as_bytes();
    let at = bytes
        .windows(prefix.len())
        .position(|part| part == prefix)?;
    let mark = bytes[at + prefix.len()..].get(..DIGITS)?;
    let mark = std::str::from_utf8(mark).ok()?;
    mark.bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| mark.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_where_it_is_written() {
        let mark = SetMark(Some("0123456789abcdef".into()));
        let header = ["a run".to_owned(), mark.line()];
        assert_eq!(SetMark::of_header(&header), mark);
        assert_eq!(SetMark::of_header(&header[..1]), SetMark(None));
        assert_eq!(found_in(b"GeRelion file set 01234"), None);
        assert_eq!(SetMark(None).line(), "");
    }
}
