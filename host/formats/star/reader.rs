//! Streaming reader: one line in memory at a time (spec 03 §1.2).
//!
//! Differences from RELION's reader towards reading more: line ends of CR+LF and of CR alone are accepted, blank lines
//! and comments inside a loop do not end it (as in Python's `starfile`), text before the first table is kept. Towards
//! reading less: a label that occurs twice in one table is refused, because nothing says which of the two is meant.

mod lines;

pub(super) use lines::read;

use super::table::LONGEST_CELL;
use super::tokenizer::{Token, is_blank, tokens};
use super::{Document, StarError, Table};
use crate::errors::Code;
use crate::errors::listed::shortened;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// Version assumed for tables without a `# version` line.
const DEFAULT_VERSION: u32 = 30000;

/// Where in a file the reader is.
enum State {
    /// Before the first `data_` line.
    Start,
    /// After `data_name`: a loop or a list follows.
    Block { name: String, line: u32 },
    /// Labels of a loop.
    LoopHeader(Table),
    /// Rows of a loop.
    Rows(Table),
    /// Label–value pairs.
    List(Table),
}

struct Reader {
    path: Arc<Path>,
    document: Document,
    state: State,
    line: u32,
    version: Option<u32>,
    /// Labels of the table being read.
    labels: HashSet<String>,
}

impl Reader {
    fn error(&self, column: usize, message: String) -> StarError {
        StarError {
            code: Code::STAR_SYNTAX,
            path: self.path.display().to_string(),
            message: format!("line {}, column {column}: {message}", self.line.max(1)),
        }
    }

    fn take_line(&mut self, line: &str) -> Result<(), StarError> {
        let content = line.trim_ascii();
        if let Some(comment) = content.strip_prefix('#') {
            self.take_comment(line, comment);
            return Ok(());
        }
        if content.is_empty() {
            return Ok(());
        }
        if let Some(name) = content.strip_prefix("data_")
            && !self.is_row(line)?
        {
            // A vertical tab, too, ends the name, as it ends a value.
            let blank = |c: char| c.is_ascii() && is_blank(c as u8);
            let name = name
                .split(blank)
                .find(|word| !word.is_empty())
                .unwrap_or("");
            self.end_table()?;
            self.state = State::Block {
                name: name.to_string(),
                line: self.line,
            };
            return Ok(());
        }
        match std::mem::replace(&mut self.state, State::Start) {
            State::Start => Ok(()),
            State::Block { name, line: begin } => self.begin_table(name, begin, line),
            State::LoopHeader(table) => self.take_loop_header(table, line),
            State::Rows(table) => self.take_row(table, line),
            State::List(table) => self.take_pair(table, line),
        }
    }

    fn take_comment(&mut self, line: &str, comment: &str) {
        let mut words = comment.split_ascii_whitespace();
        if words.next() == Some("version")
            && let Some(version) = words.next().and_then(|v| v.parse().ok())
        {
            self.version = Some(version);
        } else if matches!(self.state, State::Start) {
            let text = line.trim_ascii_start().strip_prefix('#').unwrap_or(line);
            let text = text.strip_prefix(' ').unwrap_or(text);
            self.document.header.push(text.to_string());
        }
    }

    /// A line that starts with `data_` is a row, not a new table, if it has just as many values as the loop
    /// it follows has (two or more) labels.
    fn is_row(&self, line: &str) -> Result<bool, StarError> {
        let (State::Rows(table) | State::LoopHeader(table)) = &self.state else {
            return Ok(false);
        };
        let labels = table.columns();
        Ok(labels > 1 && self.split(line)?.len() == labels)
    }

    fn split<'a>(&self, line: &'a str) -> Result<Vec<Token<'a>>, StarError> {
        tokens(line).map(|token| self.check(token)).collect()
    }

    fn check<'a>(
        &self,
        token: Result<Token<'a>, super::tokenizer::OpenQuote>,
    ) -> Result<Token<'a>, StarError> {
        let token = token.map_err(|quote| {
            self.error(
                quote.column,
                "the quote that opens here is not closed on this line; close or remove it".into(),
            )
        })?;
        if token.text.len() > LONGEST_CELL {
            return Err(self.error(token.column, "the value is longer than 16 MiB".into()));
        }
        Ok(token)
    }

    /// The first line after `data_` that starts a loop or a list.
    fn begin_table(&mut self, name: String, begin: u32, line: &str) -> Result<(), StarError> {
        let content = line.trim_ascii();
        let is_loop = content.starts_with("loop_");
        if !is_loop && !content.starts_with('_') {
            let message = format!(
                "expected `loop_` or `_label value` after data_{name} of line {begin}, found '{}'",
                shortened(content)
            );
            return Err(self.error(1, message));
        }
        let version = self.version.take().unwrap_or(DEFAULT_VERSION);
        self.labels.clear();
        let table = Table::from_file(&name, is_loop, version, self.path.clone());
        if is_loop {
            self.state = State::LoopHeader(table);
            Ok(())
        } else {
            self.take_pair(table, line)
        }
    }

    fn take_loop_header(&mut self, mut table: Table, line: &str) -> Result<(), StarError> {
        let content = line.trim_ascii();
        if content.starts_with(';') {
            self.state = State::LoopHeader(table);
            return Ok(());
        }
        let Some(rest) = content.strip_prefix('_') else {
            if table.columns() == 0 {
                return Err(self.error(
                    1,
                    format!(
                        "expected a label like `_rlnImageName` after loop_, found '{}'",
                        shortened(content)
                    ),
                ));
            }
            return self.take_row(table, line);
        };
        let label = rest.split([' ', '\t', '#']).next().unwrap_or("");
        if label.is_empty() {
            return Err(self.error(1, "a label without a name".into()));
        }
        self.check_new(label, table.name())?;
        table.add_label(label);
        self.state = State::LoopHeader(table);
        Ok(())
    }

    fn take_row(&mut self, mut table: Table, line: &str) -> Result<(), StarError> {
        let labels = table.columns();
        let mut count = 0;
        for token in tokens(line) {
            let token = self.check(token)?;
            if count == 0 && !token.quoted && token.text.starts_with("loop_") {
                return Err(self.error(
                    token.column,
                    format!("a second loop_ in the block data_{}: RELION's STAR files hold one table per data_ block", table.name()),
                ));
            }
            if count == labels {
                return Err(self.error(
                    token.column,
                    format!(
                        "the row has more values than the {labels} labels of table data_{} (from '{}' on): a text with blanks must stand in quotes",
                        table.name(),
                        shortened(&token.text)
                    ),
                ));
            }
            table.push_cell(count, &token.text);
            count += 1;
        }
        if count == 0 {
            self.state = State::Rows(table);
            return Ok(());
        }
        if count < labels {
            if labels > 2 {
                return Err(self.error(
                    line.trim_ascii_end().len() + 1,
                    format!(
                        "the row has {count} values, table data_{} has {labels} labels; the first \
                         missing one is {}. Complete the row, or remove it",
                        table.name(),
                        table.labels()[count]
                    ),
                ));
            }
            // RELION, too, lets the second of two columns be left out.
            table.push_cell(1, "");
        }
        table.end_row(self.line);
        self.state = State::Rows(table);
        Ok(())
    }

    fn take_pair(&mut self, mut table: Table, line: &str) -> Result<(), StarError> {
        let content = line.trim_ascii();
        if content.starts_with("loop_") {
            return Err(self.error(
                1,
                format!(
                    "a loop_ after label-value pairs in the block data_{}: RELION's STAR files hold \
                     one table per data_ block",
                    table.name()
                ),
            ));
        }
        let split = self.split(line)?;
        let label = split.first().filter(|t| !t.quoted).map(|t| t.text.as_ref());
        let label = label.and_then(|l| l.strip_prefix('_'));
        let Some(label) = label.filter(|l| !l.is_empty()) else {
            return Err(self.error(
                1,
                format!(
                    "expected `_label value` in table data_{}, found '{}'",
                    table.name(),
                    shortened(content)
                ),
            ));
        };
        match split.as_slice() {
            [_, value] => {
                self.check_new(label, table.name())?;
                table.push_pair(label, &value.text, self.line);
            }
            [_] => {
                return Err(self.error(
                    line.trim_ascii_end().len() + 1,
                    format!("the label _{label} has no value; write \"\" for an empty text"),
                ));
            }
            [_, _, extra, ..] => {
                return Err(self.error(
                    extra.column,
                    format!(
                        "the label _{label} has more than one value; put a text with blanks in quotes"
                    ),
                ));
            }
            [] => {}
        }
        self.state = State::List(table);
        Ok(())
    }

    /// Refuses a label that the table being read has already.
    fn check_new(&mut self, label: &str, table: &str) -> Result<(), StarError> {
        if self.labels.insert(label.to_string()) {
            return Ok(());
        }
        Err(self.error(
            1,
            format!(
                "the label _{} occurs twice in table data_{table}, and nothing says which of the two counts; remove one, \
                 with its values",
                shortened(label)
            ),
        ))
    }

    /// Move the table being read, if any, to the document.
    fn end_table(&mut self) -> Result<(), StarError> {
        match std::mem::replace(&mut self.state, State::Start) {
            State::Start => {}
            State::Block { name, .. } => {
                // A named block without content: an empty table.
                let version = self.version.unwrap_or(DEFAULT_VERSION);
                let table = Table::from_file(&name, true, version, self.path.clone());
                self.document.tables.push(table);
            }
            State::LoopHeader(table) | State::Rows(table) | State::List(table) => {
                self.document.tables.push(table);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Document, StarError> {
        self.end_table()?;
        if self.document.tables.is_empty() {
            return Err(self.error(1, "no line starts with `data_`: this is not a STAR file, or it is empty. Give another, or write it again".into()));
        }
        Ok(self.document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Document, StarError> {
        read(text.as_bytes(), Path::new("test.star"))
    }
    fn message(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn loops_lists_comments_and_versions() {
        let document = parse(
            "# made by hand\n\n# version 30001\n\ndata_optics\nloop_\n_rlnA #1\n\n# why not\n_rlnB\n1 x\n\n2 'y z' # end\n \
             \ndata_general\n_rlnC\t3.5\n_rlnD \"\"\n# version 50001\ndata_",
        )
        .unwrap();
        assert_eq!(document.header, ["made by hand"]);
        let [optics, general, last] = document.tables.as_slice() else {
            panic!("three tables")
        };
        assert_eq!(
            (optics.name(), optics.version(), optics.len()),
            ("optics", 30001, 2)
        );
        assert_eq!(optics.text(1, "rlnB").unwrap(), "y z");
        assert_eq!((general.version(), general.is_loop()), (30000, false));
        assert_eq!(general.real(0, "rlnC").unwrap(), 3.5);
        assert_eq!(general.text(0, "rlnD").unwrap(), "");
        assert_eq!((last.name(), last.len()), ("", 0));
    }

    #[test]
    fn labels_that_occur_twice_are_refused() {
        let error = message("data_p\nloop_\n_a #1\n_b #2\n_a #3\n1 2 3\n");
        assert!(
            error.contains("line 5, column 1: the label _a occurs twice in table data_p"),
            "{error}"
        );
        assert!(
            message("data_p\n_a 1\n_a 2\n").contains("line 3, column 1: the label _a occurs twice")
        );
        // In two tables it is no trouble.
        let document = parse("data_p\n_a 1\ndata_q\n_a 2\ndata_r\nloop_\n_a\n3\n").unwrap();
        assert_eq!(document.tables.len(), 3);
    }

    #[test]
    fn a_first_value_that_begins_with_data_is_not_a_table() {
        let document =
            parse("data_a\nloop_\n_x\n_y\ndata_1.mrc 1\ndata_2.mrc 2\ndata_b\n_z 1\n").unwrap();
        assert_eq!(document.tables[0].text(1, "x").unwrap(), "data_2.mrc");
        assert_eq!(document.tables[1].name(), "b");
    }

    #[test]
    fn a_vertical_tab_ends_the_name_of_a_table() {
        let document = parse("data_a\x0bb\n_x 1\ndata_\x0bc\n_x 2\n").unwrap();
        assert_eq!(document.tables[0].name(), "a");
        assert_eq!(document.tables[1].name(), "c");
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let rows = "data_p\nloop_\n_a\n_b\n_c\n1 2 3\n";
        assert_eq!(
            message(&format!("{rows}1 2\n")),
            "test.star: line 7, column 4: the row has 2 values, table data_p has 3 labels; the first missing one is c. Complete \
             the row, or remove it"
        );
        assert!(
            message(&format!("{rows}1 2 3 4\n"))
                .contains("line 7, column 7: the row has more values")
        );
        assert!(message(&format!("{rows}1 \"2 3\n")).contains("line 7, column 3: the quote"));
        assert!(message("data_p\n_a\n").contains("line 2, column 3: the label _a has no value"));
        assert!(
            message("data_p\n_a b c\n")
                .contains("line 2, column 6: the label _a has more than one")
        );
        assert!(message("data_p\n_a 1\nloop_\n_b\n2\n").contains("line 3"));
        assert!(message("data_p\nloop_\n_a\n1\nloop_\n").contains("second loop_"));
        assert!(message("hello\n").contains("not a STAR file"));
        assert!(message("").contains("not a STAR file"));
        assert!(message("data_p\nx\0y\n").contains("binary file"));
    }

    #[test]
    fn numbers_in_cells_are_blamed_with_their_line() {
        let document = parse("data_p\nloop_\n_a\n_b\n1 x\n\n2 y\n").unwrap();
        let error = document.tables[0].real_column("b").unwrap_err().to_string();
        assert_eq!(
            error,
            "test.star: line 5, table data_p, row 1, column b: 'x' is not a number. Correct it; when other rows are wrong too, the \
             columns do not fit their labels"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(data_|loop_|_a|_b| |\t|\n|\r\n|#|'|\"|1|x|;|\x07){0,60}") {
            let _ = parse(&text);
        }
    }
}
