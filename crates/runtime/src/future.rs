//! The rows after the end of every sequence of a chain: what a forecast is asked for.
//!
//! They hold what names their sequence, their place (the ordering column continued by its step, where it has one), the
//! covariates that a file of future rows gives, and nothing else.

use crate::apply::{ApplyError, rebind};
use crate::bind::{Binding, Bound};
use crate::data::{Cell, Cells, Column, DataError, NO_TEXT, Pieces, Table, show_number};
use crate::predict;
use crate::result::Fit;
use crate::sequences::Order;
use lvmc_base::Limit;
use lvmc_model::graph::{ModelGraph, Role, RowChain};
use std::cmp::Ordering;
use std::collections::HashMap;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Rows after the end of every sequence.
    pub ahead: usize,
    /// `--bind` of columns that have other names than in the fit.
    pub binds: Vec<String>,
}

/// A table with future rows after its own.
#[derive(Debug, Clone)]
pub struct Future {
    /// The table: its rows, then those of the future, sequence after sequence.
    pub table: Table,
    /// The number of rows that were there.
    pub first: usize,
    /// By sequence: its last row in the table.
    pub last: Vec<usize>,
    /// Rows per sequence.
    pub ahead: usize,
    /// Columns that tell the future rows apart.
    pub labels: Vec<(String, Vec<predict::Cell>)>,
}

fn refused(what: String, help: String) -> DataError {
    DataError::Ahead { what, help }
}

/// Appends future rows to a table, with covariates from the table `given`.
///
/// # Errors
/// A model without a chain over the rows, covariates that are needed and not given, data that do not fit the model.
pub fn extend(
    graph: &ModelGraph,
    fit: &Fit,
    table: Table,
    given: Option<&Table>,
    request: &Request,
) -> Result<Future, ApplyError> {
    let Some(chain) = &graph.chain else {
        let help = "a model says what comes after the last row in a `chain t { }`; without --ahead, predict reads rows";
        let what = format!("the rows of `{}` do not follow each other", graph.name);
        return Err(refused(what, help.into()).into());
    };
    let binding = rebind(graph, fit, &table, &request.binds)?;
    let order = Order::new(chain, &binding, &table)?;
    within_limits(&table, &order, request.ahead)?;
    let names = Names::new(graph, chain, &binding);
    let ends: Vec<Vec<usize>> = order
        .starts
        .windows(2)
        .map(|w| (w[0]..w[1]).map(|i| order.rows.as_ref().map_or(i, |r| r[i])).collect())
        .collect();
    let last: Vec<usize> = ends.iter().filter_map(|s| s.last().copied()).collect();
    let by = names.by.map(|by| {
        let used = names.given.iter().any(|g| g.columns.contains(&by));
        Time::new(&table.columns[by], &ends, request.ahead, used)
    });
    // a covariate that the rows' order continues needs no file
    let continued =
        |g: &&&Bound| by.as_ref().is_some_and(|t| t.known) && g.columns.iter().all(|c| names.by == Some(*c));
    let needed: Vec<&Bound> = names
        .given
        .iter()
        .filter(|g| given.is_some() || !continued(g))
        .copied()
        .collect();
    let from = match given {
        Some(file) => Some(Given::new(file, &table, &names, &needed, &last, request.ahead)?),
        None => {
            if let Some(g) = needed.first() {
                return Err(not_given(g).into());
            }
            None
        }
    };
    let mut columns = vec![];
    for (c, column) in table.columns.iter().enumerate() {
        let fixed = names.groups.contains(&c) || binding.weight == Some(c);
        let asked = needed.iter().any(|g| g.columns.contains(&c)) || names.by == Some(c);
        let theirs = from
            .as_ref()
            .filter(|_| asked)
            .and_then(|f| Some((f, f.column(&column.name)?)));
        columns.push(match (theirs, &by) {
            _ if fixed => appended(column, last.iter().flat_map(|&r| vec![Some(r); request.ahead])),
            (Some((f, theirs)), _) => joined(column, theirs, &f.rows)?,
            (None, Some(time)) if names.by == Some(c) => time.column(column)?,
            _ => appended(column, std::iter::repeat_n(None, last.len() * request.ahead)),
        });
    }
    let mut out = Future {
        labels: vec![],
        first: table.rows,
        last,
        ahead: request.ahead,
        table: Table::new(table.source, columns),
    };
    out.labels = labels(&out, &names, by.as_ref(), from.is_some());
    if let (Some(c), true) = (names.by, from.is_some()) {
        follows(&out, c)?;
    }
    if let (Some(c), Some(time)) = (names.by, &by)
        && !time.used
    {
        // text, or a step that is not known: their order is all that the chain reads
        out.table.columns[c] = Column::numbers(&out.table.columns[c].name, ranks(&ends, out.first, request.ahead));
    }
    Ok(out)
}

fn not_given(g: &Bound) -> DataError {
    refused(
        format!(
            "the model is given `{}` (column `{}`), and nothing says its future values",
            g.name,
            g.column_names.join("`, `")
        ),
        format!(
            "--given FUTURE.csv: a file with {} for the rows to come, as many of every sequence as --ahead asks for",
            if g.column_names.len() > 1 {
                "these columns"
            } else {
                "that column"
            }
        ),
    )
}

fn within_limits(table: &Table, order: &Order, ahead: usize) -> Result<(), DataError> {
    let rows = (order.starts.len().saturating_sub(1) as u128) * ahead as u128;
    let bytes = 8 * rows * table.columns.len().max(1) as u128;
    let limit = u128::from(crate::limits::memory());
    let show = |b: u128| crate::limits::show_bytes(u64::try_from(b).unwrap_or(u64::MAX));
    if bytes > limit {
        return Err(Limit {
            what: "the memory that the forecast's rows need".into(),
            found: show(bytes),
            limit: show(limit),
            advice: "ask for fewer rows; LVMC_MEMORY_MB raises the limit".into(),
        }
        .into());
    }
    Ok(())
}

/// Columns by what they are for.
struct Names<'b> {
    groups: Vec<usize>,
    by: Option<usize>,
    /// Covariates that statements mention.
    given: Vec<&'b Bound>,
}

impl<'b> Names<'b> {
    fn new(graph: &ModelGraph, chain: &RowChain, binding: &'b Binding) -> Self {
        let place = |name: &String| binding.roles.iter().find(|r| r.0 == *name).map(|r| r.1);
        let groups: Vec<usize> = chain.groups.iter().filter_map(place).collect();
        let is_given = |b: &&Bound| {
            let own = graph.var_of(b.sym).is_some_and(|v| graph.var(v).role == Role::Given);
            own && mentioned(graph, chain, b) && !b.columns.iter().all(|c| groups.contains(c))
        };
        Self {
            by: chain.by.as_ref().and_then(place),
            given: binding.vars.iter().filter(is_given).collect(),
            groups,
        }
    }
}

/// A statement reads it, or what it was some rows before.
fn mentioned(graph: &ModelGraph, chain: &RowChain, b: &Bound) -> bool {
    let lags = chain.lags.iter().filter(|l| graph.var(l.of).sym == b.sym);
    let syms: Vec<_> = lags.map(|l| graph.var(l.var).sym).chain([b.sym]).collect();
    let reads = |f: &lvmc_model::graph::Factor| syms.iter().any(|&s| f.dist.mentions(&graph.store, s));
    graph.factors.iter().any(reads)
}

/// How the ordering column goes on.
struct Time {
    /// The future rows' cells.
    cells: Column,
    /// All are known.
    known: bool,
    /// A statement reads it.
    used: bool,
}

impl Time {
    fn new(column: &Column, sequences: &[Vec<usize>], ahead: usize, used: bool) -> Self {
        let cells = match &column.cells {
            Cells::Numbers(xs) => Cells::Numbers(numbers(xs, sequences, ahead).into_iter().collect()),
            Cells::Text { .. } => texts(column, sequences, ahead),
        };
        let cells = Column {
            name: column.name.clone(),
            cells,
        };
        Self {
            known: cells.missing().0 == 0,
            cells,
            used,
        }
    }

    fn column(&self, column: &Column) -> Result<Column, DataError> {
        joined(column, &self.cells, &(0..self.cells.len()).collect::<Vec<_>>())
    }
}

/// Dates go on where they are regular.
fn texts(column: &Column, sequences: &[Vec<usize>], ahead: usize) -> Cells {
    let mut words = vec![];
    let mut codes: Pieces<u32> = Pieces::default();
    for s in sequences {
        let own: Vec<String> = s.iter().map(|&row| column.show(row)).collect();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        match crate::dates::after(&own, ahead) {
            Some(dates) => {
                for date in dates {
                    codes.push(u32::try_from(words.len()).unwrap_or(NO_TEXT));
                    words.push(date);
                }
            }
            None => (0..ahead).for_each(|_| codes.push(NO_TEXT)),
        }
    }
    Cells::Text { codes, words, first: 0 }
}

fn numbers(xs: &Pieces<f64>, sequences: &[Vec<usize>], ahead: usize) -> Vec<f64> {
    let x = |row: usize| xs.get(row).unwrap_or(f64::NAN);
    let steps: Vec<Option<f64>> = sequences.iter().map(|s| step(s, &x)).collect();
    // a sequence of one row goes on as the others do, where they agree
    let several = sequences.iter().zip(&steps).filter(|s| s.0.len() > 1);
    let mut common = several.map(|s| *s.1);
    let first = common.next().flatten();
    let common = first.filter(|f| common.all(|s| s.is_some_and(|s| close(s, *f))));
    let mut values = vec![];
    for (s, own) in sequences.iter().zip(steps) {
        let step = if s.len() > 1 { own } else { common };
        let last = s.last().map_or(f64::NAN, |&row| x(row));
        #[allow(clippy::cast_precision_loss)]
        values.extend((1..=ahead).map(|h| step.map_or(f64::NAN, |d| last + d * h as f64)));
    }
    values
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}

/// The distance of a sequence's rows, where it is the same all along.
fn step(rows: &[usize], x: &dyn Fn(usize) -> f64) -> Option<f64> {
    let (first, last) = (rows.first()?, rows.last()?);
    if rows.len() < 2 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let mean = (x(*last) - x(*first)) / (rows.len() - 1) as f64;
    let regular = rows.windows(2).all(|w| close(x(w[1]) - x(w[0]), mean));
    regular.then_some(mean)
}

/// The rows' places in their sequences.
fn ranks(sequences: &[Vec<usize>], first: usize, ahead: usize) -> Vec<f64> {
    let mut out = vec![0.0; first + sequences.len() * ahead];
    #[allow(clippy::cast_precision_loss)]
    for (i, s) in sequences.iter().enumerate() {
        for (position, &row) in s.iter().enumerate() {
            out[row] = position as f64;
        }
        for h in 0..ahead {
            out[first + i * ahead + h] = (s.len() + h) as f64;
        }
    }
    out
}

/// A column with cells of its own rows after it, or missing ones.
fn appended(column: &Column, from: impl Iterator<Item = Option<usize>>) -> Column {
    let cells = match &column.cells {
        Cells::Numbers(xs) => {
            let new = from.map(|r| r.and_then(|r| xs.get(r)).unwrap_or(f64::NAN));
            Cells::Numbers(xs.iter().chain(new).collect())
        }
        Cells::Text { codes, words, first } => Cells::Text {
            codes: codes
                .iter()
                .chain(from.map(|r| r.and_then(|r| codes.get(r)).unwrap_or(NO_TEXT)))
                .collect(),
            words: words.clone(),
            first: *first,
        },
    };
    Column {
        name: column.name.clone(),
        cells,
    }
}

/// A column with cells of another one after it.
fn joined(column: &Column, other: &Column, rows: &[usize]) -> Result<Column, DataError> {
    let cells = match (&column.cells, &other.cells) {
        (Cells::Numbers(xs), Cells::Numbers(ys)) => {
            let new = rows.iter().map(|&r| ys.get(r).unwrap_or(f64::NAN));
            Cells::Numbers(xs.iter().chain(new).collect())
        }
        (Cells::Numbers(_), Cells::Text { first, .. }) => {
            return Err(DataError::Text {
                cell: Box::new(Cell {
                    row: first + 1,
                    column: other.name.clone(),
                    value: other.show(*first),
                }),
                variable: column.name.clone(),
                wanted: "numbers, as in the data".into(),
                help: "correct the file of --given".into(),
            });
        }
        (Cells::Text { codes, words, first }, _) => {
            let mut words = words.clone();
            let mut known: HashMap<String, u32> = words.iter().cloned().zip(0..).collect();
            let mut all: Pieces<u32> = codes.iter().collect();
            for &row in rows {
                let next = u32::try_from(words.len()).unwrap_or(NO_TEXT);
                let word = other.show(row);
                all.push(match known.get(&word) {
                    _ if other.is_missing(row) => NO_TEXT,
                    Some(&code) => code,
                    None => {
                        known.insert(word.clone(), next);
                        words.push(word);
                        next
                    }
                });
            }
            Cells::Text {
                codes: all,
                words,
                first: *first,
            }
        }
    };
    Ok(Column {
        name: column.name.clone(),
        cells,
    })
}

/// A file of future rows.
struct Given<'t> {
    table: &'t Table,
    /// Its rows in the order of the future's.
    rows: Vec<usize>,
}

impl<'t> Given<'t> {
    fn new(
        file: &'t Table,
        table: &Table,
        names: &Names<'_>,
        needed: &[&Bound],
        last: &[usize],
        ahead: usize,
    ) -> Result<Self, DataError> {
        let find = |c: usize, why: &str| file.find(&table.columns[c].name, why);
        for g in needed {
            let by = |c: &&usize| names.by != Some(**c);
            for &c in g.columns.iter().filter(by) {
                find(c, &format!(" for `{}` in the file of --given", g.name))?;
            }
        }
        let groups = names.groups.iter();
        let groups: Vec<usize> = groups
            .map(|&c| find(c, ", which names sequences, in the file of --given"))
            .collect::<Result<_, _>>()?;
        let by = names.by.and_then(|c| file.lookup(&table.columns[c].name));
        let mut found: HashMap<Vec<String>, Vec<usize>> = HashMap::new();
        for row in 0..file.rows {
            let key = groups.iter().map(|&c| file.columns[c].show(row)).collect();
            found.entry(key).or_default().push(row);
        }
        let mut rows = vec![];
        for &end in last {
            let key: Vec<String> = names.groups.iter().map(|&c| table.columns[c].show(end)).collect();
            let mut own = found.get(&key).cloned().unwrap_or_default();
            if let Some(by) = by {
                own.sort_by(|&a, &b| compare(&file.columns[by], a, b));
            }
            if own.len() < ahead {
                let of = if key.is_empty() {
                    String::new()
                } else {
                    format!(" of {}", key.join(", "))
                };
                return Err(refused(
                    format!(
                        "the file of --given has {} rows{of}, and --ahead asks for {ahead}",
                        own.len()
                    ),
                    format!("add rows, or ask for --ahead {}", own.len()),
                ));
            }
            rows.extend(&own[..ahead]);
        }
        Ok(Self { table: file, rows })
    }

    fn column(&self, name: &str) -> Option<&'t Column> {
        self.table.lookup(name).map(|c| &self.table.columns[c])
    }
}

/// Numbers by size, text by its letters.
fn compare(c: &Column, a: usize, b: usize) -> Ordering {
    match &c.cells {
        Cells::Numbers(xs) => {
            let x = |r| xs.get(r).unwrap_or(f64::NAN);
            x(a).total_cmp(&x(b))
        }
        Cells::Text { .. } => c.show(a).cmp(&c.show(b)),
    }
}

/// The rows that a file gives lie after the last of their sequence.
fn follows(future: &Future, by: usize) -> Result<(), DataError> {
    let column = &future.table.columns[by];
    for (i, &last) in future.last.iter().enumerate() {
        let row = future.first + i * future.ahead;
        if !column.is_missing(row) && compare(column, row, last) != Ordering::Greater {
            return Err(refused(
                format!(
                    "the file of --given begins at `{}` in column `{}`, and the data end at `{}`",
                    column.show(row),
                    column.name,
                    column.show(last)
                ),
                "leave rows out that the data hold".into(),
            ));
        }
    }
    Ok(())
}

/// What names the sequence of a future row, its place, and how many rows after the end it stands.
fn labels(future: &Future, names: &Names<'_>, by: Option<&Time>, file: bool) -> Vec<(String, Vec<predict::Cell>)> {
    let rows = future.first..future.table.rows;
    let texts = |c: usize| -> (String, Vec<predict::Cell>) {
        let column = &future.table.columns[c];
        let cell = |row: usize| match column.as_numbers() {
            Some(xs) => predict::Cell::Number(xs.get(row).unwrap_or(f64::NAN)),
            None if column.is_missing(row) => predict::Cell::Number(f64::NAN),
            None => predict::Cell::Label(column.show(row).into()),
        };
        (column.name.clone(), rows.clone().map(cell).collect())
    };
    let mut out: Vec<_> = names.groups.iter().map(|&c| texts(c)).collect();
    let placed = by.is_some_and(|t| t.known) || file;
    out.extend(names.by.filter(|_| placed).map(&texts));
    let ahead = |row: usize| predict::Cell::Label(show_number(((row - future.first) % future.ahead + 1) as f64).into());
    out.push(("ahead".into(), rows.clone().map(ahead).collect()));
    out
}
