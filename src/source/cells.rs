//! One row's cells: strict splitting at delimiters, with quotes.
//!
//! RFC 4180 to the letter: a quote opens a cell only as its first character, is doubled inside, and a
//! delimiter or the line's end must follow the closing one. Lenient parsers (csv-core among them) guess
//! where this is broken and may swallow or shift rows; here it is a [`Fault`], and the caller decides where
//! to go on.

use std::fmt;

/// How cells are set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    pub delimiter: char,
    /// `None`: cells are never quoted.
    pub quote: Option<char>,
}

/// Broken quoting; the number is the cell's, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    StrayQuote(usize),
    TextAfterQuote(usize),
    Unclosed(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::StrayQuote(cell) => write!(f, "cell {cell} holds a quote but does not begin with one"),
            Fault::TextAfterQuote(cell) => write!(f, "text follows the closing quote of cell {cell}"),
            Fault::Unclosed(cell) => write!(f, "the quote that opens cell {cell} is never closed"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Start,
    Plain,
    Quoted,
    /// After a quote inside a quoted cell: its end or half of a doubled quote.
    Closing,
}

/// The cells of the row being read; reused from row to row.
#[derive(Debug, Default)]
pub(super) struct Cells {
    text: String,
    ends: Vec<usize>,
    state: State,
}

impl Cells {
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.state = State::Start;
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Cell texts without their quotes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }

    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.text[start..end])
    }

    pub fn contains(&self, character: char) -> bool {
        self.text.contains(character)
    }

    /// Takes in one line without its end. True: the row is complete. False: a quoted cell goes on in the
    /// next line; then [`Cells::line_end`] is due.
    pub fn feed(&mut self, line: &str, marks: Marks) -> Result<bool, Fault> {
        if self.state == State::Start && marks.quote.is_none_or(|quote| !line.contains(quote)) {
            for cell in line.split(marks.delimiter) {
                self.text.push_str(cell);
                self.end_cell();
            }
            return Ok(true);
        }
        for character in line.chars() {
            self.step(character, marks)?;
        }
        if self.state == State::Quoted {
            return Ok(false);
        }
        self.end_cell();
        Ok(true)
    }

    /// The line end inside a quoted cell belongs to its text.
    pub fn line_end(&mut self, terminator: &str) {
        self.text.push_str(terminator);
    }

    /// The fault of a row whose quoted cell did not end.
    pub fn unclosed(&self) -> Fault {
        Fault::Unclosed(self.ends.len() + 1)
    }

    fn step(&mut self, character: char, marks: Marks) -> Result<(), Fault> {
        let is_quote = marks.quote == Some(character);
        let cell = self.ends.len() + 1;
        match self.state {
            State::Start if is_quote => self.state = State::Quoted,
            State::Plain if is_quote => return Err(Fault::StrayQuote(cell)),
            State::Quoted if is_quote => self.state = State::Closing,
            State::Closing if is_quote => {
                self.text.push(character);
                self.state = State::Quoted;
            }
            State::Quoted => self.text.push(character),
            _ if character == marks.delimiter => self.end_cell(),
            State::Closing => return Err(Fault::TextAfterQuote(cell)),
            State::Start | State::Plain => {
                self.text.push(character);
                self.state = State::Plain;
            }
        }
        Ok(())
    }

    fn end_cell(&mut self) {
        self.ends.push(self.text.len());
        self.state = State::Start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks { delimiter: ',', quote: Some('"') };

    fn split(line: &str) -> Result<Vec<String>, Fault> {
        let mut cells = Cells::default();
        if !cells.feed(line, MARKS)? {
            return Err(cells.unclosed());
        }
        Ok(cells.iter().map(str::to_string).collect())
    }

    #[test]
    fn cells_are_split_as_the_rfc_says() {
        let table: [(&str, &[&str]); 8] = [
            ("a,b", &["a", "b"]),
            (",", &["", ""]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"say \"\"hi\"\"\"", &["say \"hi\""]),
            ("\"\",\"\"", &["", ""]),
            ("\"\"\"\"", &["\""]),
            (" a , b ", &[" a ", " b "]),
            ("a,b,", &["a", "b", ""]),
        ];
        for (line, expected) in table {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn broken_quoting_is_a_fault_that_names_the_cell() {
        let table = [
            ("a,b\"c", Fault::StrayQuote(2)),
            ("\"a\"b,c", Fault::TextAfterQuote(1)),
            ("\"a\" ,c", Fault::TextAfterQuote(1)),
            ("a,b,\"c", Fault::Unclosed(3)),
            ("a, \"b\"", Fault::StrayQuote(2)),
        ];
        for (line, expected) in table {
            assert_eq!(split(line).unwrap_err(), expected, "{line}");
        }
    }

    #[test]
    fn a_quoted_cell_goes_over_lines() {
        let mut cells = Cells::default();
        assert!(!cells.feed("1,\"a", MARKS).unwrap());
        cells.line_end("\r\n");
        assert!(!cells.feed("", MARKS).unwrap());
        cells.line_end("\n");
        assert!(cells.feed("b\",2", MARKS).unwrap());
        assert_eq!(cells.iter().collect::<Vec<_>>(), ["1", "a\r\n\nb", "2"]);
        assert_eq!((cells.get(0), cells.get(2), cells.get(3)), (Some("1"), Some("2"), None));
    }

    #[test]
    fn without_a_quote_character_quotes_are_text() {
        let mut cells = Cells::default();
        assert!(cells.feed("5\" nail|\"x", Marks { delimiter: '|', quote: None }).unwrap());
        assert_eq!(cells.iter().collect::<Vec<_>>(), ["5\" nail", "\"x"]);
    }
}
