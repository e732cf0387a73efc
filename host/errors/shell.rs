//! Names of files in command lines that a message advises.

use std::path::Path;

/// Returns a name as a shell takes it for one word: in quotes where it holds blanks or other special characters.
pub fn shell_word(path: impl AsRef<Path>) -> String {
    let name = path.as_ref().to_string_lossy();
    // A zero, the one thing that cannot be quoted, is in no name.
    shlex::try_quote(&name).map_or_else(|_| name.to_string(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_quotes_are_quoted_and_plain_names_are_not() {
        assert_eq!(shell_word("Class3D/job001"), "Class3D/job001");
        assert_eq!(shell_word("my job/run"), "'my job/run'");
        assert_eq!(shell_word("it's"), "\"it's\"");
        assert_eq!(shell_word("$HOME;ls"), "'$HOME;ls'");
    }
}
