//! Empty lines of a file with one column: cells without a value.
//!
//! A line of a table with several columns holds a separator even where all of its cells are empty. Of one column it is the
//! cell alone, and the line of a missing cell is empty. A reader that skips empty lines would lose the row, and with it the
//! places of all rows after it. So between the header and the last line with a value an empty line is written `""`, which
//! every reader of CSV takes for an empty cell; after the last value empty lines are the end of the file.

use std::io::{BufRead, Read, Result};

/// What is written in the place of an empty line.
const EMPTY: &[u8] = b"\"\"\n";
/// Bytes prepared at a time.
const CHUNK: usize = 1 << 16;

/// Where in the text of a column the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the beginning of a line, or after nothing but white space.
    Line,
    /// In a cell.
    Cell,
    /// Inside quotes, where ends of lines are text.
    Quoted,
    /// After a quote inside quotes: the end of them, or a quote that is text.
    Quote,
}

/// A source in which empty lines of a single column are cells.
pub(super) struct Blanks<R> {
    inner: R,
    delimiter: u8,
    /// The header has been passed.
    body: bool,
    /// The header has several columns: nothing is changed.
    several: bool,
    at: At,
    /// The byte before was a carriage return: a line feed belongs to it.
    after_return: bool,
    /// Empty lines since the last value.
    empty: u64,
    /// White space that began this line.
    space: Vec<u8>,
    /// Empty lines before a value that is there, still to be written before `rest`.
    owed: u64,
    /// What follows them.
    rest: Vec<u8>,
    /// Written out up to here.
    given: usize,
}

impl<R: BufRead> Blanks<R> {
    /// Cells are separated by `delimiter`.
    pub(super) fn new(inner: R, delimiter: u8) -> Self {
        Self {
            inner,
            delimiter,
            body: false,
            several: false,
            at: At::Line,
            after_return: false,
            empty: 0,
            space: vec![],
            owed: 0,
            rest: vec![],
            given: 0,
        }
    }

    /// Prepares more to write; false at the end.
    fn fill(&mut self) -> Result<bool> {
        self.rest.clear();
        self.given = 0;
        while self.rest.is_empty() {
            let bytes = self.inner.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let bytes: Vec<u8> = bytes[..bytes.len().min(CHUNK)].to_vec();
            let mut taken = 0;
            for &b in &bytes {
                if self.owes(b) && !self.rest.is_empty() {
                    // what stands before the empty lines goes first
                    break;
                }
                taken += 1;
                self.take(b);
                if self.several || self.owed > 0 {
                    break;
                }
            }
            self.inner.consume(taken);
            if self.several {
                break;
            }
        }
        Ok(true)
    }

    /// A byte begins a value after empty lines.
    fn owes(&self, b: u8) -> bool {
        self.at == At::Line && self.empty > 0 && !b.is_ascii_whitespace()
    }

    /// One byte of the text.
    fn take(&mut self, b: u8) {
        let second = b == b'\n' && self.after_return;
        self.after_return = b == b'\r' && self.at != At::Quoted;
        if second {
            // the second half of an end of line
            return;
        }
        let end = matches!(b, b'\n' | b'\r');
        match self.at {
            At::Line if end => {
                self.space.clear();
                if self.body {
                    self.empty += 1;
                } else {
                    // before the header: skipped by the reader, which counts lines
                    self.rest.push(b'\n');
                }
                return;
            }
            At::Line if b.is_ascii_whitespace() && b != self.delimiter => {
                self.space.push(b);
                return;
            }
            At::Line => {
                self.owed = std::mem::take(&mut self.empty);
                self.at = if b == b'"' && self.space.is_empty() {
                    At::Quoted
                } else {
                    At::Cell
                };
                self.rest.append(&mut self.space);
            }
            At::Cell | At::Quote if end => {
                self.at = At::Line;
                self.body = true;
                self.rest.push(b'\n');
                return;
            }
            At::Cell => {}
            At::Quoted if b == b'"' => self.at = At::Quote,
            At::Quoted => {}
            At::Quote => self.at = if b == b'"' { At::Quoted } else { At::Cell },
        }
        if b == self.delimiter && self.at == At::Cell && !self.body {
            self.several = true;
        }
        self.rest.push(b);
    }
}

impl<R: BufRead> Read for Blanks<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        if self.given == self.rest.len() && self.owed == 0 {
            if self.several {
                return self.inner.read(to);
            }
            if !self.fill()? {
                return Ok(0);
            }
        }
        let mut n = 0;
        // whole cells, as far as they fit; a reader's buffer is larger than one
        while self.owed > 0 && n + EMPTY.len() <= to.len() {
            to[n..n + EMPTY.len()].copy_from_slice(EMPTY);
            (n, self.owed) = (n + EMPTY.len(), self.owed - 1);
        }
        if self.owed > 0 {
            if n == 0 {
                // a smaller buffer than a cell: the cells join what follows
                self.rest.splice(0..0, EMPTY.iter().copied());
                self.owed -= 1;
                return Ok(self.part(to));
            }
            return Ok(n);
        }
        Ok(n + self.part(&mut to[n..]))
    }
}

impl<R> Blanks<R> {
    /// A part of what is prepared.
    fn part(&mut self, to: &mut [u8]) -> usize {
        let n = to.len().min(self.rest.len() - self.given);
        to[..n].copy_from_slice(&self.rest[self.given..self.given + n]);
        self.given += n;
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader sees, through buffers of several sizes.
    fn seen(text: &str) -> String {
        let through = |inner: usize, outer: usize| {
            let source = std::io::BufReader::with_capacity(inner, text.as_bytes());
            let mut blanks = Blanks::new(source, b',');
            let (mut out, mut buffer) = (vec![], vec![0; outer]);
            loop {
                let n = blanks.read(&mut buffer).expect("text");
                if n == 0 {
                    return String::from_utf8(out).expect("text");
                }
                out.extend_from_slice(&buffer[..n]);
            }
        };
        let whole = through(1 << 16, 1 << 16);
        for sizes in [(1, 1), (1, 64), (2, 3), (64, 1), (5, 2)] {
            assert_eq!(through(sizes.0, sizes.1), whole, "{text:?} {sizes:?}");
        }
        whole
    }

    #[test]
    fn an_empty_line_of_a_column_is_an_empty_cell() {
        let cell = "\"\"\n";
        for (text, want) in [
            ("y\n1\n\n3\n", format!("y\n1\n{cell}3\n")),
            ("y\n\n\n3", format!("y\n{cell}{cell}3")),
            // at the end nothing is missing
            ("y\n1\n\n\n", "y\n1\n".into()),
            ("y\n1\n  \n\t\n", "y\n1\n".into()),
            ("y\n\n\n", "y\n".into()),
            // one that says so is
            ("y\n1\n\n\"\"\n\n", format!("y\n1\n{cell}{cell}")),
            // ends of lines of every kind
            ("y\r\n1\r\n\r\n \r\n3\r\n\r\n", format!("y\n1\n{cell}{cell}3\n")),
            ("y\r1\r\r3", format!("y\n1\n{cell}3")),
            // inside quotes they are text
            (
                "\"y\n\n\"\n\"a\n\n\"\"b\"\n\n\"c,\"\n",
                format!("\"y\n\n\"\n\"a\n\n\"\"b\"\n{cell}\"c,\"\n"),
            ),
            // a quote inside a cell opens nothing
            ("y\na\"\n\nb\n", format!("y\na\"\n{cell}b\n")),
            ("\n \ny\n1\n\n2\n", format!("\n\ny\n1\n{cell}2\n")),
            // several columns are left as they are
            ("x,y\n1,2\n\n3,4\n", "x,y\n1,2\n\n3,4\n".into()),
            ("\"x\n\",y\r\n1,2\r\n\r\n3,4\n", "\"x\n\",y\r\n1,2\r\n\r\n3,4\n".into()),
        ] {
            assert_eq!(seen(text), want, "{text:?}");
        }
    }
}
