//! The mark that all files of an iteration carry, each with its own part in the set. With it `--continue` sees that two runs
//! have written with one `--o`, which a file system without locks lets happen, and that one file was copied over another.

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
/// A label of a map has room for no more.
const LONGEST_PART: usize = 40;
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

    /// Whether there is a mark.
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// The comment, or label, with the mark and the part that the file at `path` has in the set; empty without a mark.
    pub fn line(&self, path: &Path) -> String {
        match (&self.0, part(path)) {
            (None, _) => String::new(),
            (Some(mark), None) => format!("{PREFIX}{mark}"),
            (Some(mark), Some(part)) => format!("{PREFIX}{mark} {part}"),
        }
    }

    /// Compares with the mark of a file that `owner` names. Files without a mark, as other programs write them, pass.
    ///
    /// # Errors
    /// The file has another mark, or another part in the set than its name says.
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
            _ => match (part_in(&beginning), part(path)) {
                (Some(written), Some(named)) if written != named => {
                    Err(Code::RUN_FILES_DIFFER.says(format!(
                        "{}: this file was written as …{written} of its run, not as …{named}: one file of an iteration was copied over \
                         another. Restore it, or continue from another iteration.",
                        path.display()
                    )))
                }
                _ => Ok(()),
            },
        }
    }
}

/// The mark among the first bytes of a file.
fn found_in(bytes: &[u8]) -> Option<String> {
    let mark = after_prefix(bytes)?.get(..DIGITS)?;
    let mark = std::str::from_utf8(mark).ok()?;
    mark.bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| mark.to_owned())
}

/// The part in the set that is written behind the mark; files of earlier versions have none.
fn part_in(bytes: &[u8]) -> Option<String> {
    let part = after_prefix(bytes)?.get(DIGITS..)?.strip_prefix(b" ")?;
    let end = part.iter().position(|byte| !byte.is_ascii_graphic());
    let part = &part[..end.unwrap_or(part.len())];
    std::str::from_utf8(part).ok().map(str::to_owned)
}

fn after_prefix(bytes: &[u8]) -> Option<&[u8]> {
    let prefix = PREFIX.as_bytes();
    let mut places = bytes.windows(prefix.len());
    let at = places.position(|place| place == prefix)?;
    Some(&bytes[at + prefix.len()..])
}

/// Returns the part after the number of the iteration in the name of a file, as `half1_class001.mrc`; None in other names.
fn part(path: &Path) -> Option<String> {
    let (_, part) = numbered(path)?;
    let is_part = part.len() <= LONGEST_PART && part.bytes().all(|byte| byte.is_ascii_graphic());
    is_part.then(|| part.to_owned())
}

/// Returns the number of the iteration in the name of a file; None in other names.
pub(super) fn iteration_in_name(path: &Path) -> Option<usize> {
    numbered(path)?.0.parse().ok()
}

/// Returns the digits of the iteration in the name of a file, and what follows them.
fn numbered(path: &Path) -> Option<(&str, &str)> {
    let name = path.file_name()?.to_str()?;
    let (_, numbered) = name.rsplit_once("_it")?;
    let (number, part) = numbered.split_once('_')?;
    let is_number = number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((number, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_where_it_is_written() {
        let mark = SetMark(Some("0123456789abcdef".into()));
        let header = ["a run".to_owned(), mark.line("r_it001_data.star".as_ref())];
        assert_eq!(SetMark::of_header(&header), mark);
        assert_eq!(SetMark::of_header(&header[..1]), SetMark(None));
        assert_eq!(found_in(b"GeRelion file set 01234"), None);
        assert_eq!(SetMark(None).line("r_it001_data.star".as_ref()), "");
    }

    #[test]
    fn files_of_one_iteration_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mark = SetMark(Some("0123456789abcdef".into()));
        let file = |name: &str| folder.path().join(name);
        let write = |name: &str, line: &str| {
            std::fs::write(file(name), format!("{line}\0rest")).unwrap();
        };
        let (one, two) = ("r_it001_class001.mrc", "r_it001_class002.mrc");
        write(one, &mark.line(&file(one)));
        let check = |name: &str| mark.check(&file(name), Path::new("r_it001_model.star"));
        assert!(check(one).is_ok());
        std::fs::copy(file(one), file(two)).unwrap();
        let error = check(two).unwrap_err();
        assert_eq!(error.code, Code::RUN_FILES_DIFFER);
        assert!(
            error.to_string().contains("as …class001.mrc of its run"),
            "{error}"
        );
        // Under a name of the user's own, and from a version that wrote no parts.
        std::fs::copy(file(one), file("best.mrc")).unwrap();
        assert!(check("best.mrc").is_ok());
        write(two, &mark.line("final.mrc".as_ref()));
        assert!(check(two).is_ok());
        for (name, expected) in [
            ("job/run_it025_half2_model.star", Some("half2_model.star")),
            ("run_item_it1000_1moment.mrcs", Some("1moment.mrcs")),
            ("run_it5_class001.mrc", None),
            ("run_class001.mrc", None),
        ] {
            assert_eq!(part(name.as_ref()).as_deref(), expected, "{name}");
        }
    }
}
