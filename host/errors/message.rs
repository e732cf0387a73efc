//! An error in words with its code, as it is printed and as ranks pass it on.

use super::{Code, Coded};
use rustix::io::Errno;
use std::error::Error;
use std::fmt;
use std::io;

/// Error in words for the user, and the code of its kind. Displayed without the code, which stands before the
/// whole message when it is printed ([`Message::line`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Kind of trouble.
    pub code: Code,
    /// Text: the failed action, its object, the cause and the remedy.
    pub text: String,
}

impl Message {
    /// An error that is a mistake of the program, which has noticed it.
    pub fn internal(what: impl fmt::Display) -> Self {
        Code::INTERNAL.says(format!(
            "internal error: {what}. This is a mistake in the program and not in your data; please report it with the \
             command line and this text"
        ))
    }

    /// A file (`what` it is for the user) that cannot be opened.
    pub fn unopened(what: &str, error: &io::Error) -> Self {
        let folder = std::env::current_dir().unwrap_or_default();
        let folder = folder.display();
        let text = match error.kind() {
            io::ErrorKind::NotFound => format!(
                "cannot open {what}: there is no such file. Check the name; it is relative to the folder in which the program \
                 was started ({folder})"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "cannot open {what}: {error}. You may not read it: look at its owner and permissions (ls -l)"
            ),
            _ => format!("cannot open {what}: {error}"),
        };
        Code::of_reading(error).says(text)
    }

    /// Says why a file (`what` it is for the user) cannot be written, and what to try.
    pub fn unwritten(what: &str, error: &io::Error) -> Self {
        // Our own refusals say what to do.
        if error.get_ref().is_some() {
            return Code::CANNOT_WRITE.says(format!("cannot write {what}: {error}"));
        }
        let advice = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE) => {
                "raise the limit on open files (ulimit -n), and look at what else holds files open"
            }
            Some(Errno::IO) => {
                "the disk or the file system of the network has failed: look at the log of the system (dmesg), and write elsewhere"
            }
            _ => "check that the folder exists, may be written to and has room",
        };
        Code::CANNOT_WRITE.says(format!("cannot write {what}: {error}; {advice}"))
    }

    /// The code and all that the error and its causes say.
    pub fn of(error: &(impl Coded + ?Sized)) -> Self {
        error.code().says(explain(error))
    }

    /// `GR-0203: …`, as it is printed and passed on.
    pub fn line(&self) -> String {
        format!("{}: {}", self.code, self.text)
    }

    /// As the programs print it. "ERROR:" is what log scanners look for.
    pub fn printed(&self) -> String {
        format!(
            "ERROR:\n{}\nMore about it: gerelion explain {}",
            self.line(),
            self.code
        )
    }

    /// Undo [`Message::line`]; words without a code that is known are an internal error's.
    pub fn of_line(line: &str) -> Self {
        let split = line.split_once(": ");
        match split.and_then(|(code, text)| Some((Code::parse(code)?, text))) {
            Some((code, text)) => code.says(text),
            None => Code::INTERNAL.says(line),
        }
    }

    /// The same with words before it: who or what the message is about.
    pub fn about(self, what: impl fmt::Display) -> Self {
        self.code.says(format!("{what}: {}", self.text))
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Message {}

impl Coded for Message {
    fn code(&self) -> Code {
        self.code
    }
}

/// An error and, line by line, the causes that its text does not hold already.
pub fn explain(error: &(impl Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str("\n  because: ");
            text.push_str(&message);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_on_writing_is_that_of_the_fault() {
        for (number, advice) in [
            (Errno::MFILE, "ulimit -n"),
            (Errno::IO, "dmesg"),
            (Errno::NOSPC, "has room"),
        ] {
            let error = io::Error::from_raw_os_error(number.raw_os_error());
            let message = Message::unwritten("the map", &error);
            assert_eq!(message.code, Code::CANNOT_WRITE);
            assert!(message.text.contains(advice), "{message}");
        }
    }

    #[test]
    fn messages_survive_the_way_to_another_rank() {
        let message = Code::BAD_IMAGE.says("3@a.mrcs: all pixels are 0: extract it again");
        assert_eq!(message.line().split(':').next(), Some("GR-0305"));
        assert_eq!(Message::of_line(&message.line()), message);
        let strange = Message::of_line("GR-9999: what?");
        assert_eq!(strange, Code::INTERNAL.says("GR-9999: what?"));
    }
}
