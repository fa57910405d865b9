//! Reading a CSV file: one header line, then one line per row, straight into columns.
//!
//! A cell that is empty, `NA`, `NaN` or `nan` is a missing value. A column with a cell that is no number is text. Cells
//! may be quoted; lines may end in CR LF; a byte-order mark is skipped. Blank lines are skipped, but those between the cells
//! of a file's only column, which are missing values. Columns are separated by commas, or, where the header has no comma, by
//! tabs or semicolons.

use super::blank::Blanks;
use super::column::{Cells, Column, NO_TEXT, Pieces, show_number};
use super::error::DataError;
use super::table::Table;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Reads a file. `-` is standard input.
///
/// # Errors
/// A file that cannot be read, or is no table.
pub fn read(path: &Path) -> Result<Table, DataError> {
    let name = path.display().to_string();
    if name == "-" {
        return read_from(std::io::stdin().lock(), "standard input");
    }
    let fail = |e: &std::io::Error| DataError::File {
        path: name.clone(),
        reason: plain(e),
        help: file_help(path, e),
    };
    let file = File::open(path).map_err(|e| fail(&e))?;
    let meta = file.metadata().map_err(|e| fail(&e))?;
    if meta.is_dir() {
        return Err(DataError::File {
            path: name,
            reason: "it is a directory".into(),
            help: "give the CSV file itself".into(),
        });
    }
    let again = if meta.is_file() { file.try_clone().ok() } else { None };
    let mut table = read_from(BufReader::with_capacity(1 << 18, file), &name)?;
    if let Some(mut file) = again
        && table.columns.iter().any(turned_late)
    {
        file.seek(SeekFrom::Start(0)).map_err(|e| fail(&e))?;
        reread(BufReader::with_capacity(1 << 18, file), &name, &mut table)?;
    }
    Ok(table)
}

fn plain(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => e.to_string(),
    }
}

fn file_help(path: &Path, e: &std::io::Error) -> String {
    if e.kind() != std::io::ErrorKind::NotFound {
        return "check the path and its permissions".into();
    }
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|e| e.file_name().into_string().ok())
                .filter(|n| n.ends_with(".csv") || n.ends_with(".tsv"))
                .take(200)
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    let wanted = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    match lvmc_base::closest(wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", folder.join(near).display()),
        None if names.is_empty() => format!("there are no CSV files in {}", folder.display()),
        None => format!(
            "CSV files in {}: {}",
            folder.display(),
            super::table::listed(names.iter().map(String::as_str), 8)
        ),
    }
}

/// Reads a table from any source; `name` is for messages.
///
/// # Errors
/// What is no table.
pub fn read_from(source: impl BufRead, name: &str) -> Result<Table, DataError> {
    let (mut reader, header) = open(source, name)?;
    let mut columns: Vec<Filling> = header.iter().map(|_| Filling::default()).collect();
    let rows = each_row(&mut reader, name, header.len(), |row, record| {
        for (i, (column, cell)) in columns.iter_mut().zip(record.iter()).enumerate() {
            if !column.push(row, cell) {
                return Err(bad_text(name, row, header.get(i).map_or("", String::as_str)));
            }
        }
        Ok(())
    })?;
    if rows == 0 {
        return Err(DataError::NoRows {
            path: name.into(),
            columns: super::table::listed(header.iter().map(String::as_str), 12),
        });
    }
    let columns = header
        .into_iter()
        .zip(columns)
        .map(|(name, f)| Column { name, cells: f.cells })
        .collect();
    Ok(Table {
        source: name.into(),
        columns,
        rows,
    })
}

/// Reads again the text of columns that began as numbers: `007` must not have become `7`.
fn reread(source: impl BufRead, name: &str, table: &mut Table) -> Result<(), DataError> {
    let (mut reader, header) = open(source, name)?;
    let mut fresh: Vec<Option<Filling>> = table
        .columns
        .iter()
        .map(|c| turned_late(c).then(Filling::text))
        .collect();
    each_row(&mut reader, name, header.len(), |row, record| {
        for (filling, cell) in fresh.iter_mut().zip(record.iter()) {
            if let Some(f) = filling
                && !f.push(row, cell)
            {
                return Err(bad_text(name, row, ""));
            }
        }
        Ok(())
    })?;
    for (column, filling) in table.columns.iter_mut().zip(fresh) {
        if let (Cells::Text { first, .. }, Some(f)) = (&column.cells, filling) {
            let at = *first;
            column.cells = f.cells;
            if let Cells::Text { first, .. } = &mut column.cells {
                *first = at;
            }
        }
    }
    Ok(())
}

fn turned_late(column: &Column) -> bool {
    matches!(&column.cells, Cells::Text { first, .. } if *first > 0)
}

fn bad_text(path: &str, row: usize, column: &str) -> DataError {
    DataError::Encoding {
        path: path.into(),
        place: format!("row {}, column `{column}`", row + 1),
    }
}

type Reader<R> = csv::Reader<Blanks<std::io::Chain<std::io::Cursor<Vec<u8>>, R>>>;

fn open<R: BufRead>(mut source: R, name: &str) -> Result<(Reader<R>, Vec<String>), DataError> {
    // the header line decides the separator; 1 MB of it is plenty
    let mut head = Vec::new();
    let mut limited = (&mut source).take(1 << 20);
    loop {
        let n = limited.read_until(b'\n', &mut head).map_err(|e| DataError::File {
            path: name.into(),
            reason: plain(&e),
            help: "check the file".into(),
        })?;
        if n == 0 || head.iter().any(|b| !b.is_ascii_whitespace()) {
            break;
        }
    }
    let bare = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    if bare.iter().all(u8::is_ascii_whitespace) {
        return Err(DataError::Empty { path: name.into() });
    }
    if bare.contains(&0) {
        return Err(DataError::Encoding {
            path: name.into(),
            place: "its first line holds a zero byte".into(),
        });
    }
    let delimiter = [b',', b'\t', b';']
        .into_iter()
        .find(|d| bare.contains(d))
        .unwrap_or(b',');
    let bare = bare.to_vec();
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(true)
        .flexible(true)
        .buffer_capacity(1 << 16)
        .from_reader(Blanks::new(std::io::Cursor::new(bare).chain(source), delimiter));
    let record = reader.byte_headers().map_err(|e| csv_error(name, &e))?.clone();
    let mut header = Vec::with_capacity(record.len());
    for cell in &record {
        let text = std::str::from_utf8(cell).map_err(|_| DataError::Encoding {
            path: name.into(),
            place: "the header".into(),
        })?;
        header.push(text.trim().to_string());
    }
    if header.iter().all(|h| h.parse::<f64>().is_ok() || h.is_empty()) {
        let names: Vec<String> = (1..=header.len().min(4)).map(|i| format!("x{i}")).collect();
        return Err(DataError::Header {
            path: name.into(),
            line: super::table::listed(header.iter().map(String::as_str), 6),
            suggestion: names.join(",") + if header.len() > 4 { ",…" } else { "" },
        });
    }
    Ok((reader, header))
}

fn csv_error(path: &str, e: &csv::Error) -> DataError {
    DataError::File {
        path: path.into(),
        reason: match e.kind() {
            csv::ErrorKind::Io(e) => plain(e),
            _ => e.to_string(),
        },
        help: "the file must be comma-separated text".into(),
    }
}

fn each_row<R: Read>(
    reader: &mut csv::Reader<R>,
    name: &str,
    expected: usize,
    mut take: impl FnMut(usize, &csv::ByteRecord) -> Result<(), DataError>,
) -> Result<usize, DataError> {
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).map_err(|e| csv_error(name, &e))? {
        if record.len() != expected {
            let blank = record.len() == 1 && record.get(0).is_some_and(|c| c.iter().all(u8::is_ascii_whitespace));
            if blank {
                continue;
            }
            return Err(DataError::Ragged {
                path: name.into(),
                row: rows + 1,
                line: record.position().map_or(0, csv::Position::line),
                found: record.len(),
                expected,
            });
        }
        take(rows, &record)?;
        rows += 1;
    }
    Ok(rows)
}

/// A column while it is read.
struct Filling {
    cells: Cells,
    known: HashMap<String, u32>,
}

impl Default for Filling {
    fn default() -> Self {
        Self {
            cells: Cells::Numbers(Pieces::default()),
            known: HashMap::new(),
        }
    }
}

impl Filling {
    fn text() -> Self {
        Self {
            cells: Cells::Text {
                codes: Pieces::default(),
                words: Vec::new(),
                first: 0,
            },
            known: HashMap::new(),
        }
    }

    /// Takes one cell; false where it is no text.
    fn push(&mut self, row: usize, cell: &[u8]) -> bool {
        let cell = cell.trim_ascii();
        if let Cells::Numbers(xs) = &mut self.cells {
            if is_missing(cell) {
                xs.push(f64::NAN);
                return true;
            }
            if let Some(x) = number(cell) {
                xs.push(x);
                return true;
            }
            self.turn_to_text(row);
        }
        let Ok(text) = std::str::from_utf8(cell) else {
            return false;
        };
        let code = if is_missing(cell) { NO_TEXT } else { self.code(text) };
        if let Cells::Text { codes, .. } = &mut self.cells {
            codes.push(code);
        }
        true
    }

    fn code(&mut self, text: &str) -> u32 {
        if let Some(&c) = self.known.get(text) {
            return c;
        }
        let Cells::Text { words, .. } = &mut self.cells else {
            return NO_TEXT;
        };
        let c = u32::try_from(words.len()).unwrap_or(NO_TEXT);
        words.push(text.to_string());
        self.known.insert(text.to_string(), c);
        c
    }

    fn turn_to_text(&mut self, row: usize) {
        let Cells::Numbers(xs) = std::mem::replace(&mut self.cells, Self::text().cells) else {
            return;
        };
        for x in xs.drain() {
            let code = if x.is_nan() {
                NO_TEXT
            } else {
                self.code(&show_number(x))
            };
            if let Cells::Text { codes, .. } = &mut self.cells {
                codes.push(code);
            }
        }
        if let Cells::Text { first, .. } = &mut self.cells {
            *first = row;
        }
    }
}

fn is_missing(cell: &[u8]) -> bool {
    matches!(cell, b"" | b"NA" | b"NaN" | b"nan")
}

/// A number; short decimals without an exponent are exact in one division, the rest is left to the standard parser.
fn number(cell: &[u8]) -> Option<f64> {
    const TENS: [f64; 16] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    let (negative, digits) = match cell {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, cell),
    };
    let mut mantissa: u64 = 0;
    let mut point = None;
    if digits.len() <= 16 {
        let mut plain = !digits.is_empty();
        for (i, b) in digits.iter().enumerate() {
            match b {
                b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(b - b'0'),
                b'.' if point.is_none() && digits.len() > 1 => point = Some(i),
                _ => {
                    plain = false;
                    break;
                }
            }
        }
        // at most 15 digits of mantissa and an exact power of ten: the quotient is correctly rounded
        if plain && mantissa <= 999_999_999_999_999 {
            let decimals = point.map_or(0, |p| digits.len() - 1 - p);
            #[allow(clippy::cast_precision_loss)] // below 10^15
            let x = mantissa as f64 / TENS.get(decimals)?;
            return Some(if negative { -x } else { x });
        }
    }
    std::str::from_utf8(cell)
        .ok()?
        .parse()
        .ok()
        .filter(|x: &f64| !x.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_path_agrees_with_the_standard_parser() {
        for text in [
            "0",
            "-0",
            "3.6",
            "79",
            "-1.25",
            ".5",
            "5.",
            "123456789012345",
            "0.000000000000001",
            "1e3",
            "+2",
            "-inf",
        ] {
            let want: f64 = text.parse().expect("a number");
            assert_eq!(
                number(text.as_bytes()).map(f64::to_bits),
                Some(want.to_bits()),
                "{text}"
            );
        }
        let mut state: u64 = 1;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            #[allow(clippy::cast_precision_loss)]
            let x = ((state >> 20) as f64 / 1e6).sin() * 10f64.powi((state % 12) as i32 - 4);
            for text in [format!("{x}"), format!("{x:.6}"), format!("{x:e}")] {
                let want: f64 = text.parse().expect("a number");
                assert_eq!(
                    number(text.as_bytes()).map(f64::to_bits),
                    Some(want.to_bits()),
                    "{text}"
                );
            }
        }
        for text in ["", ".", "-", "1.2.3", "abc", "1,5", "0x10", "--1", "nan"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
