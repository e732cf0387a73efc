//! All codes, by subject; the first two digits say which. A code that was once given is never used for anything else.

mod command_line;
mod continuation;
mod devices;
mod files;
mod internal;
mod method;
mod particles;
mod ranks;
mod references;

use super::Entry;

/// Subjects and their codes, ascending.
pub(super) const SUBJECTS: &[(&str, &[Entry])] = &[
    ("01xx: command line", command_line::ENTRIES),
    ("02xx: files", files::ENTRIES),
    ("03xx: particles and optics", particles::ENTRIES),
    ("04xx: references, masks and maps", references::ENTRIES),
    ("05xx: memory and devices", devices::ENTRIES),
    ("06xx: ranks and jobs", ranks::ENTRIES),
    ("07xx: continuation", continuation::ENTRIES),
    ("08xx: method and numerics", method::ENTRIES),
    ("09xx: the program itself", internal::ENTRIES),
];

/// Returns the entries of all codes, ascending.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    SUBJECTS.iter().flat_map(|(_, entries)| *entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_stand_under_their_subject() {
        let codes: Vec<_> = entries().map(|entry| entry.code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for (subject, entries) in SUBJECTS {
            for entry in *entries {
                let code = entry.code.to_string();
                assert_eq!(code[3..5], subject[..2], "{code} in {subject}");
            }
        }
    }

    #[test]
    fn every_entry_is_in_sentences() {
        for entry in entries() {
            let texts = entry.causes.iter().chain(entry.remedies);
            for text in texts.chain([&entry.meaning()]) {
                assert!(text.ends_with('.'), "{}: {text}", entry.code);
            }
            assert!(!entry.title.ends_with('.'), "{}", entry.code);
        }
    }
}
