//! Data as batches read them: one row-major table a variable.

use crate::bind::Binding;
use crate::data::{DataError, Table};
use crate::dataset::computed;
use lvmc_dense::ir::Precision;
use lvmc_dense::{Columns, Numbers};
use lvmc_derive::guided::Guided;
use lvmc_derive::{Gaps, Missing};
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::{Support, SymId};
use std::collections::BTreeMap;

/// Numbers of a table in memory.
#[derive(Debug, Clone)]
enum Store {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// A variable's rows.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// The variable.
    pub sym: SymId,
    /// Numbers of a row; NaN where a cell is missing, until [`Data::complete`].
    pub width: usize,
    numbers: Store,
}

impl Store {
    fn new(numbers: Vec<f64>, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(numbers.iter().map(|&x| x as f32).collect()),
            Precision::F64 => Self::F64(numbers),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F64(x) => x.len(),
        }
    }

    fn get(&self, at: usize) -> f64 {
        match self {
            Self::F32(x) => f64::from(x[at]),
            Self::F64(x) => x[at],
        }
    }

    fn set(&mut self, at: usize, value: f64) {
        match self {
            Self::F32(x) => x[at] = value as f32,
            Self::F64(x) => x[at] = value,
        }
    }
}

impl Matrix {
    /// As an executor reads it.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        let numbers = match &self.numbers {
            Store::F32(x) => Numbers::F32(x),
            Store::F64(x) => Numbers::F64(x),
        };
        Columns {
            numbers,
            width: self.width,
            offset: 0,
        }
    }
}

/// The rows of a fit.
#[derive(Debug, Clone)]
pub struct Data {
    /// How many.
    pub rows: usize,
    /// Data and covariates.
    pub variables: Vec<Matrix>,
    /// Weights of rows, where they have some.
    pub weights: Option<Vec<f64>>,
    precision: Precision,
}

impl Data {
    /// A variable's rows, row-major, and the numbers of one.
    #[must_use]
    pub fn numbers(&self, sym: SymId) -> Option<(usize, Vec<f64>)> {
        let m = self.variables.iter().find(|m| m.sym == sym)?;
        let numbers = match &m.numbers {
            Store::F32(x) => x.iter().map(|&x| f64::from(x)).collect(),
            Store::F64(x) => x.clone(),
        };
        Some((m.width, numbers))
    }

    /// As a derivation names them: of a chain, the data are x₀.
    #[must_use]
    pub fn named_by(mut self, guided: &Guided) -> Self {
        if let Some(n) = &guided.noising {
            for m in &mut self.variables {
                if m.sym == n.variable {
                    m.sym = n.data;
                }
            }
        }
        self
    }

    /// From a bound table.
    ///
    /// # Errors
    /// Missing cells of a variable that the bound cannot do without.
    pub fn new(graph: &ModelGraph, binding: &Binding, table: &Table, precision: Precision) -> Result<Self, DataError> {
        let mut variables = vec![];
        let kept = |numbers: Vec<f64>| Store::new(numbers, precision);
        for var in graph.vars.iter().filter(|v| v.observed_as.is_some()) {
            let Some(term) = var.observed_as else { continue };
            let symbols = graph.store.symbols(term);
            if symbols.iter().all(|&s| binding.var(s).is_none()) {
                continue;
            }
            let shape = &graph.store.sym(var.sym).shape;
            let env = crate::terms::environment(graph, &binding.sizes);
            let width = shape.iter().map(|n| env.size(&graph.store, n).unwrap_or(1)).product();
            let columns = computed(var.sym, (&var.name, width), graph, binding, table)?;
            let mut numbers = vec![0.0; width * table.rows];
            for (j, column) in columns.iter().enumerate() {
                for (row, x) in column.iter().enumerate() {
                    numbers[row * width + j] = x;
                }
            }
            if let Some(at) = numbers.iter().position(|x| x.is_nan())
                && let Some(help) =
                    whole_or_cells(&numbers, width).and_then(|gaps| lvmc_derive::missing::refusal(graph, var.sym, gaps))
            {
                return Err(refused(&var.name, None, at / width.max(1), &help));
            }
            variables.push(Matrix {
                sym: var.sym,
                width,
                numbers: kept(numbers),
            });
        }
        for b in binding.vars.iter().filter(|b| b.role != Role::Const) {
            let observed = graph
                .var_of(b.sym)
                .is_some_and(|v| matches!(graph.var(v).role, Role::Data | Role::Given | Role::Latent));
            if !observed {
                continue;
            }
            let width = b.columns.len();
            let mut numbers = vec![0.0; width * table.rows];
            for (j, &c) in b.columns.iter().enumerate() {
                let Some(column) = table.columns.get(c) else { continue };
                for (row, cells) in numbers.chunks_exact_mut(width).enumerate() {
                    cells[j] = cell(b, column, row);
                }
            }
            let missing = numbers.iter().position(|x| x.is_nan());
            if let Some(at) = missing.filter(|_| !only_transformed(graph, b.sym))
                && let Some(help) =
                    whole_or_cells(&numbers, width).and_then(|gaps| lvmc_derive::missing::refusal(graph, b.sym, gaps))
            {
                let column = b.columns.get(at % width.max(1)).and_then(|&c| table.columns.get(c));
                return Err(refused(&b.name, column, at / width.max(1), &help));
            }
            variables.push(Matrix {
                sym: b.sym,
                width,
                numbers: kept(numbers),
            });
        }
        let weights = binding
            .weight
            .and_then(|w| table.columns.get(w)?.as_numbers().cloned())
            .map(|w| w.iter().collect());
        Ok(Self {
            rows: table.rows,
            variables,
            weights,
            precision,
        })
    }

    /// The variables with missing cells.
    #[must_use]
    pub fn missing(&self, graph: &ModelGraph) -> Missing {
        let mut found = BTreeMap::new();
        for m in &self.variables {
            let numbers: Vec<f64> = (0..m.numbers.len()).map(|i| m.numbers.get(i)).collect();
            if let Some(gaps) = whole_or_cells(&numbers, m.width) {
                found.insert(m.sym, gaps);
            }
        }
        Missing::of(graph, &found)
    }

    /// What a guide reads in the place of a missing cell, by variable: the mean of a column's observed cells over some
    /// rows, with their weights; of a category the most frequent value.
    #[must_use]
    pub fn centres(&self, graph: &ModelGraph, rows: &[u32]) -> BTreeMap<String, Vec<f64>> {
        let mut out = BTreeMap::new();
        for m in &self.variables {
            let Some(var) = graph.var_of(m.sym).map(|v| graph.var(v)) else {
                continue;
            };
            if var.role != Role::Data {
                continue;
            }
            let category = matches!(graph.store.sym(m.sym).support, Support::Category(_));
            let of = |j: usize| {
                let cells = rows.iter().map(|&row| {
                    let weight = self.weights.as_ref().map_or(1.0, |w| w[row as usize]);
                    (m.numbers.get(row as usize * m.width + j), weight)
                });
                let known = cells.filter(|(x, w)| !x.is_nan() && *w > 0.0);
                if category { most_frequent(known) } else { mean(known) }
            };
            out.insert(var.name.clone(), (0..m.width).map(of).collect());
        }
        out
    }

    /// Puts `centres` into missing cells and adds the masks that the derivation reads.
    #[must_use]
    pub fn complete(mut self, graph: &ModelGraph, guided: &Guided, centres: &BTreeMap<String, Vec<f64>>) -> Self {
        for mask in &guided.masks {
            let Some(m) = self.variables.iter_mut().find(|m| m.sym == mask.of) else {
                continue;
            };
            let name = &graph.store.sym(mask.of).name;
            let own = centres.get(name);
            let cells = !guided.store.sym(mask.sym).shape.is_empty();
            let mut observed = vec![1.0; m.numbers.len()];
            for (at, o) in observed.iter_mut().enumerate() {
                if m.numbers.get(at).is_nan() {
                    *o = 0.0;
                    m.numbers
                        .set(at, own.and_then(|c| c.get(at % m.width)).copied().unwrap_or(0.0));
                }
            }
            let width = if cells { m.width } else { 1 };
            if !cells {
                observed = observed.into_iter().step_by(m.width.max(1)).collect();
            }
            let numbers = Store::new(observed, self.precision);
            self.variables.push(Matrix {
                sym: mask.sym,
                width,
                numbers,
            });
        }
        self
    }
}

/// True of columns that a data variable is made of, and that nothing else reads.
fn only_transformed(graph: &ModelGraph, sym: SymId) -> bool {
    let made = graph.vars.iter().filter_map(|v| v.observed_as);
    let guide = graph.guide.iter().flat_map(|g| &g.factors);
    let mut read = graph.factors.iter().chain(guide);
    made.into_iter().any(|t| graph.store.depends_on_sym(t, sym))
        && !read.any(|f| f.dist.mentions(&graph.store, sym) || graph.store.depends_on_sym(f.value, sym))
}

/// What is missing of a variable's rows, row-major.
fn whole_or_cells(numbers: &[f64], width: usize) -> Option<Gaps> {
    let mut found = None;
    for row in numbers.chunks(width.max(1)) {
        match row.iter().filter(|x| x.is_nan()).count() {
            0 => {}
            n if n == row.len() => found = found.or(Some(Gaps::Whole)),
            _ => return Some(Gaps::Cells),
        }
    }
    found
}

/// 0 of nothing.
fn mean(cells: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (sum, weight) = cells.fold((0.0, 0.0), |(s, n), (x, w)| (s + w * x, n + w));
    if weight > 0.0 { sum / weight } else { 0.0 }
}

/// The first of equals, 0 of nothing.
fn most_frequent(cells: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut weights: BTreeMap<u64, f64> = BTreeMap::new();
    for (x, w) in cells {
        // codes are small whole numbers that are not negative: their bits are in their order
        *weights.entry(x.to_bits()).or_default() += w;
    }
    let mut best = (0.0, 0.0);
    for (x, w) in weights {
        if w > best.1 {
            best = (f64::from_bits(x), w);
        }
    }
    best.0
}

fn refused(variable: &str, column: Option<&crate::data::Column>, row: usize, why: &str) -> DataError {
    DataError::Missing {
        column: column.map(|c| c.name.clone()).unwrap_or_default(),
        count: column.map_or(1, |c| c.missing().0),
        row: row + 1,
        variable: variable.to_owned(),
        help: format!(
            "cells of `{variable}` may not be missing here: {why}. Fill them (lvmc impute), or remove their rows"
        ),
    }
}

/// NaN where it is missing.
fn cell(b: &crate::bind::Bound, column: &crate::data::Column, row: usize) -> f64 {
    match &b.labels {
        Some(labels) => {
            let text = column.show(row);
            labels
                .texts
                .iter()
                .position(|t| *t == text)
                .map_or(f64::NAN, |c| c as f64)
        }
        None => column.as_numbers().and_then(|xs| xs.get(row)).unwrap_or(f64::NAN),
    }
}
