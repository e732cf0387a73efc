//! From the bytes of a file to lines of text.

use super::{Reader, State};
use crate::errors::Code;
use crate::formats::star::{Document, StarError};
use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;

/// A longer line means that this is not a STAR file; it bounds the memory taken by one.
const LONGEST_LINE: u64 = 64 << 20;

/// Reads all tables; `path` is for messages.
pub(in crate::formats::star) fn read(
    mut input: impl BufRead,
    path: &Path,
) -> Result<Document, StarError> {
    let mut reader = Reader {
        path: Arc::from(path),
        document: Document::default(),
        state: State::Start,
        line: 0,
        version: None,
        labels: HashSet::new(),
    };
    let end = line_end(&mut input).map_err(|e| reader.unreadable(&e))?;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let length = (&mut input)
            .take(LONGEST_LINE)
            .read_until(end, &mut buffer)
            .map_err(|e| reader.unreadable(&e))?;
        if length == 0 {
            break;
        }
        reader.line = reader.line.saturating_add(1);
        if length as u64 == LONGEST_LINE {
            return Err(reader.error(1, "the line is longer than 64 MiB: not a STAR file".into()));
        }
        let text = reader.decode(&buffer)?;
        reader.take_line(text)?;
    }
    reader.finish()
}

/// Returns the byte that ends lines: CR where the first line ends with CR alone, as in files of classic Mac OS (and of
/// some spreadsheet programs), else LF.
fn line_end(input: &mut impl BufRead) -> io::Result<u8> {
    let start = input.fill_buf()?;
    let first = start.iter().position(|b| matches!(b, b'\r' | b'\n'));
    Ok(match first.map(|at| &start[at..]) {
        Some([b'\r', next, ..]) if *next != b'\n' => b'\r',
        _ => b'\n',
    })
}

impl Reader {
    /// The file may be as it should; what it lies on is not.
    fn unreadable(&self, error: &io::Error) -> StarError {
        StarError {
            code: Code::of_reading(error),
            path: self.path.display().to_string(),
            message: format!(
                "reading fails after line {}: {error}. The disk or the network file system may be failing: try to copy the file",
                self.line
            ),
        }
    }

    /// The line as text, without line end and byte-order mark.
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, StarError> {
        if let Some(position) = bytes.iter().position(|&b| b == 0) {
            return Err(self.error(
                position + 1,
                "a zero byte: this is a binary file, not a STAR file. Give the STAR file that names it".into(),
            ));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let position = e.valid_up_to();
            self.error(
                position + 1,
                format!(
                    "byte 0x{:02x} is not UTF-8 text; convert the file, for example with \
                     `iconv -f latin1 -t utf8`",
                    bytes[position]
                ),
            )
        })?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        Ok(match self.line {
            1 => text.strip_prefix('\u{feff}').unwrap_or(text),
            _ => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, StarError> {
        read(text.as_bytes(), Path::new("test.star"))
    }

    fn message(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    /// A failing disk does not make a file a broken STAR file.
    #[test]
    fn a_disk_that_fails_is_not_taken_for_a_broken_file() {
        struct FailingDisk;
        impl Read for FailingDisk {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
        }
        let begin = "data_\nloop_\n_rlnA\n".as_bytes();
        let input = io::BufReader::new(begin.chain(FailingDisk));
        let error = read(input, Path::new("test.star")).unwrap_err();
        assert_eq!(error.code, Code::FILE_UNREADABLE);
        assert!(error.message.contains("after line 3"), "{error}");
    }

    #[test]
    fn carriage_returns_and_a_missing_final_newline_do_not_matter() {
        let document = parse("data_a\r\nloop_\r\n_x #1 \r\n_y #2 \r\n1 2\r\n3 nan").unwrap();
        assert_eq!(document.tables[0].real(1, "x").unwrap(), 3.0);
        assert!(document.tables[0].real(1, "y").unwrap().is_nan());
    }

    /// Files of classic Mac OS; lines are counted as elsewhere.
    #[test]
    fn carriage_returns_alone_end_lines_too() {
        let text = "# made by hand\rdata_a\rloop_\r_x #1\r_y #2\r1 2\r\r3 4";
        let document = parse(text).unwrap();
        assert_eq!(document.header, ["made by hand"]);
        assert_eq!(document.tables[0].real_column("y").unwrap(), [2.0, 4.0]);
        assert!(
            message(&format!("{text}\r5 6 7\r")).contains("line 9, column 5: the row has more")
        );
        // A stray one inside a line of another file is a blank, as before.
        let document = parse("data_a\nloop_\n_x\n_y\n1 \r 2\n").unwrap();
        assert_eq!(document.tables[0].real(0, "y").unwrap(), 2.0);
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        let error = read(&b"data_p\n_a \xe9\n"[..], Path::new("t"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2, column 4: byte 0xe9"), "{error}");
    }
}
