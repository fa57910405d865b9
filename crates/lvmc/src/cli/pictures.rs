//! Data that are pictures: which variable they are, and grids of them as PNG.

use super::output;
use crate::failure::Failure;
use crate::pipeline;
use lvmc_model::graph::Role;
use lvmc_report::numbers::counted;
use lvmc_report::pictures::{self, Shape};
use lvmc_runtime::data::Table;
use lvmc_runtime::fitfile;
use lvmc_runtime::gradient::apply::Restored;
use lvmc_runtime::predict::{Cell, Predictions};
use lvmc_runtime::result::Fit;
use lvmc_term::{Support, SymId};
use std::path::Path;

/// Rows of a prediction that are shown, and how many stand side by side.
const PAIRS: usize = 64;
const PAIRS_ACROSS: usize = 16;

/// A data variable whose rows are pictures.
#[derive(Debug, Clone)]
pub struct Pictured {
    sym: SymId,
    shape: Shape,
    /// Names of its columns in what `sample` writes.
    columns: Vec<String>,
    /// What is black and white, where the type says so.
    range: Option<(f64, f64)>,
}

/// One picture a row.
pub type Rows = Vec<Vec<f64>>;

/// The data variable that is a picture by its type, or by `--shape`; `None` where none is and no shape is given.
///
/// # Errors
/// A shape that no data variable has.
pub fn find(fit: &Fit, asked: Option<Shape>) -> Result<Option<Pictured>, Failure> {
    let graph = pipeline::graph_of(fit)?;
    let sizes = lvmc_runtime::apply::sizes(&graph, fit);
    let env = lvmc_runtime::terms::environment(&graph, &sizes);
    let mut seen = vec![];
    for var in &graph.vars {
        // of a chain observed at one position, that position
        let at = var.role == Role::Latent && var.observed_at.is_some();
        if var.role != Role::Data && !at {
            continue;
        }
        let symbol = graph.store.sym(var.sym);
        let extents: Option<Vec<usize>> = symbol.shape[usize::from(at)..]
            .iter()
            .map(|n| env.size(&graph.store, n).ok())
            .collect();
        let Some(extents) = extents else { continue };
        let count: usize = extents.iter().product();
        let shape = match asked {
            Some(shape) => Some(shape).filter(|s| s.numbers() == Some(count)),
            None => Shape::of(&extents),
        };
        let Some(shape) = shape else {
            seen.push(format!("`{}` has {}", var.name, counted(count, "number")));
            continue;
        };
        let bound = fit.binding.iter().find(|b| b.0 == var.name && b.1.len() == count);
        return Ok(Some(Pictured {
            sym: var.sym,
            shape,
            columns: match bound {
                Some(b) => b.1.clone(),
                None => (1..=count).map(|i| format!("{}_{i}", var.name)).collect(),
            },
            range: matches!(symbol.support, Support::Unit | Support::Binary).then_some((0.0, 1.0)),
        }));
    }
    match asked {
        None => Ok(None),
        Some(shape) => Err(Failure::usage(
            format!(
                "pictures of {} have {} each, and {}",
                shape.text(),
                shape
                    .numbers()
                    .map_or("too many numbers".into(), |n| counted(n, "number")),
                if seen.is_empty() {
                    "the model has no data variable".into()
                } else {
                    seen.join(", ")
                }
            ),
            "--shape HEIGHTxWIDTH, such as 8x8, or CHANNELSxHEIGHTxWIDTH",
        )),
    }
}

/// As [`find`], where pictures are asked for.
///
/// # Errors
/// The data are no pictures.
pub fn wanted(fit: &Fit, asked: Option<Shape>) -> Result<Pictured, Failure> {
    find(fit, asked)?.ok_or_else(|| {
        Failure::usage(
            "the data of this fit are no pictures by their type",
            "say which pictures they are, --shape 8x8; or in the model, data x : real[8, 8]",
        )
    })
}

impl Pictured {
    /// The pictures of a table with that suffix after each column's name; `None` where it lacks some.
    fn in_columns(&self, suffix: &str, column: impl Fn(&str) -> Option<Vec<f64>>) -> Option<Rows> {
        let columns: Option<Vec<Vec<f64>>> = self.columns.iter().map(|c| column(&format!("{c}{suffix}"))).collect();
        let columns = columns?;
        let rows = columns.first().map_or(0, Vec::len);
        Some((0..rows).map(|i| columns.iter().map(|c| c[i]).collect()).collect())
    }

    /// The pictures of rows that `sample` wrote.
    ///
    /// # Errors
    /// The text lacks some of the columns.
    pub fn sampled(&self, text: &str) -> Result<Rows, Failure> {
        let table = lvmc_runtime::data::read_from(text.as_bytes(), "samples")?;
        let column = |name: &str| -> Option<Vec<f64>> {
            Some(table.columns.get(table.lookup(name)?)?.as_numbers()?.iter().collect())
        };
        self.in_columns("", column).ok_or_else(|| self.lacking())
    }

    /// The pictures that `predict` gives: reconstructions, or codes decoded.
    ///
    /// # Errors
    /// The predictions lack them.
    pub fn predicted(&self, out: &Predictions) -> Result<Rows, Failure> {
        let column = |name: &str| -> Option<Vec<f64>> {
            let at = out.header.iter().position(|h| h == name)?;
            out.columns[at]
                .iter()
                .map(|c| match c {
                    Cell::Number(x) => Some(*x),
                    Cell::Label(_) => None,
                })
                .collect()
        };
        let found = self.in_columns("_mean", column).or_else(|| self.in_columns("", column));
        found.ok_or_else(|| self.lacking())
    }

    fn lacking(&self) -> Failure {
        Failure::usage(
            "there are no pictures in what this fit gives here",
            "predict gives the means of the data where a model has a guide; sample draws them for every model",
        )
    }

    /// The data as pictures; `None` where the table lacks them.
    #[must_use]
    pub fn observed(&self, r: &mut Restored<'_>, table: &Table, binds: &[String]) -> Option<Rows> {
        let data = r.data(table, binds).ok()?.1;
        // of a chain, the data are its first state
        let first = r
            .guided
            .noising
            .as_ref()
            .filter(|n| n.variable == self.sym)
            .map(|n| n.data);
        let (width, numbers) = data.numbers(first.unwrap_or(self.sym))?;
        Some(numbers.chunks(width.max(1)).map(<[f64]>::to_vec).collect())
    }

    /// Writes a grid that is about square.
    ///
    /// # Errors
    /// Too many pictures, or a file that cannot be written.
    pub fn write(&self, path: &Path, rows: &Rows) -> Result<(), Failure> {
        self.write_grid(path, rows, pictures::columns(rows.len()))
    }

    /// Writes data above their reconstructions, the first of them; gives how many.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_pairs(&self, path: &Path, above: &Rows, below: &Rows) -> Result<usize, Failure> {
        let shown = above.len().min(below.len()).min(PAIRS);
        let mut all = vec![];
        for (a, b) in above[..shown]
            .chunks(PAIRS_ACROSS)
            .zip(below[..shown].chunks(PAIRS_ACROSS))
        {
            let blank = vec![self.range.map_or(f64::NAN, |r| r.1); a.first().map_or(0, Vec::len)];
            for line in [a, b] {
                all.extend_from_slice(line);
                // a last line that is not full
                let short = if shown > PAIRS_ACROSS {
                    PAIRS_ACROSS - line.len()
                } else {
                    0
                };
                all.extend(std::iter::repeat_n(blank.clone(), short));
            }
        }
        self.write_grid(path, &all, shown.min(PAIRS_ACROSS))?;
        Ok(shown)
    }

    fn write_grid(&self, path: &Path, rows: &Rows, columns: usize) -> Result<(), Failure> {
        let range = self
            .range
            .unwrap_or_else(|| pictures::range(rows.iter().map(Vec::as_slice)));
        let each: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let bytes = pictures::grid(&each, self.shape, columns, range)
            .map_err(|e| Failure::usage(e.to_string(), "ask for fewer rows: -n 64"))?;
        fitfile::write_atomic(path, &bytes)?;
        Ok(())
    }

    /// `64 pictures of 8 × 8`.
    #[must_use]
    pub fn counted(&self, n: usize) -> String {
        format!("{} of {}", counted(n, "picture"), self.shape.text())
    }
}

/// Writes what `predict` found as pictures: data above reconstructions, or codes decoded.
///
/// # Errors
/// As those of [`Pictured`].
pub fn of_predictions(
    picture: &Pictured,
    path: &Path,
    out: &Predictions,
    data: Option<Rows>,
    quiet: bool,
) -> Result<(), Failure> {
    let found = picture.predicted(out)?;
    let text = match data {
        Some(data) => {
            let shown = picture.write_pairs(path, &data, &found)?;
            let all = if shown < data.len() { "the first " } else { "" };
            format!("{all}{} above their reconstructions", picture.counted(shown))
        }
        None => {
            picture.write(path, &found)?;
            picture.counted(found.len())
        }
    };
    if !quiet {
        output::remark(&format!("{}: {text}", path.display()));
    }
    Ok(())
}
