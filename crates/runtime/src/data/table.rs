//! A table: named columns of equal length.

use super::column::Column;
use super::error::DataError;

/// A table of data.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Where it came from, for messages.
    pub source: String,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// Number of rows.
    pub rows: usize,
}

/// Names joined by commas, the tail left out beyond `most`.
#[must_use]
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names.iter().take(most).copied().collect::<Vec<_>>().join(", ");
    if names.len() > most {
        format!("{shown}, … ({} in all)", names.len())
    } else {
        shown
    }
}

/// The nearest of some names; of single letters only another case of the same one.
#[must_use]
pub fn near<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = lvmc_base::closest(name, names)?;
    (name.chars().count() > 1 || found.eq_ignore_ascii_case(name)).then_some(found)
}

impl Table {
    /// A table of columns; the number of rows is the first column's.
    #[must_use]
    pub fn new(source: impl Into<String>, columns: Vec<Column>) -> Self {
        let rows = columns.first().map_or(0, Column::len);
        Self {
            source: source.into(),
            columns,
            rows,
        }
    }

    /// The rows named, in that order.
    #[must_use]
    pub fn part(&self, rows: &[usize]) -> Self {
        Self {
            source: self.source.clone(),
            columns: self.columns.iter().map(|c| c.part(rows)).collect(),
            rows: rows.len(),
        }
    }

    /// The columns' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str())
    }

    /// The position of the column of that name.
    ///
    /// # Errors
    /// No such column (with the nearest name), or several.
    pub fn find(&self, name: &str, wanted_by: &str) -> Result<usize, DataError> {
        let mut hits = self.columns.iter().enumerate().filter(|(_, c)| c.name == name);
        let times = hits.clone().count();
        match hits.next() {
            Some((i, _)) if times == 1 => Ok(i),
            Some(_) => Err(DataError::DuplicateColumn {
                column: name.into(),
                times,
            }),
            None => Err(DataError::UnknownColumn {
                column: name.into(),
                wanted_by: wanted_by.into(),
                help: match near(name, self.names()) {
                    Some(near) => format!("did you mean `{near}`? The columns are {}", listed(self.names(), 12)),
                    None => format!("the columns are {}", listed(self.names(), 12)),
                },
            }),
        }
    }

    /// The position of the column of that name, where there is exactly one.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<usize> {
        self.find(name, "").ok()
    }
}
