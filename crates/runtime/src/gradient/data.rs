//! Data as batches read them: one row-major table a variable.

use crate::bind::Binding;
use crate::data::{DataError, Table};
use crate::dataset::computed;
use lvmc_dense::ir::Precision;
use lvmc_dense::{Columns, Numbers};
use lvmc_derive::guided::Guided;
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::SymId;

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
    /// Numbers of a row.
    pub width: usize,
    numbers: Store,
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
    /// Missing cells, which a model with nets or a guide has no rule for.
    pub fn new(graph: &ModelGraph, binding: &Binding, table: &Table, precision: Precision) -> Result<Self, DataError> {
        let mut variables = vec![];
        let kept = |numbers: Vec<f64>| match precision {
            Precision::F32 => Store::F32(numbers.iter().map(|&x| x as f32).collect()),
            Precision::F64 => Store::F64(numbers),
        };
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
                    cells[j] = cell(b, column, row)?;
                }
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
        })
    }
}

fn cell(b: &crate::bind::Bound, column: &crate::data::Column, row: usize) -> Result<f64, DataError> {
    let x = match &b.labels {
        Some(labels) => {
            let text = column.show(row);
            labels
                .texts
                .iter()
                .position(|t| *t == text)
                .map_or(f64::NAN, |c| c as f64)
        }
        None => column.as_numbers().and_then(|xs| xs.get(row)).unwrap_or(f64::NAN),
    };
    if x.is_nan() {
        return Err(DataError::Missing {
            column: column.name.clone(),
            count: column.missing().0,
            row: row + 1,
            variable: b.name.clone(),
            help: "a model with a net or a guide needs every cell: fill it (lvmc impute), or remove its row".into(),
        });
    }
    Ok(x)
}
