//! Which columns are which variable, and the sizes that follow.
//!
//! A variable takes the columns that `--bind` gives it, else the column of its own name (a vector: the columns `x1, x2,
//! …`, `x_1, …` or `x[1], …`). If one variable is left and it is a vector, it takes all numeric columns not used
//! elsewhere. Everything else is an error with the `--bind` to paste.

mod check;
mod labels;
mod need;
mod request;
mod resolve;
mod sizes;

use crate::data::{DataError, Table};
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::{DimId, Support, SymId};
use std::collections::BTreeMap;

pub(crate) use check::fault;
pub use labels::Labels;
pub use request::Request;

/// What the caller asks of a binding.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--bind x=a,b,c`, each as written.
    pub binds: Vec<String>,
    /// `--weights COLUMN`.
    pub weights: Option<String>,
    /// Names of columns known from elsewhere, such as a fit, by variable; `binds` go before them.
    pub columns: BTreeMap<String, Vec<String>>,
    /// Sizes known from elsewhere, such as a fit.
    pub sizes: BTreeMap<DimId, usize>,
    /// Labels of categories known from elsewhere, by variable; other values are then errors.
    pub labels: BTreeMap<String, Labels>,
    /// `data` variables without a column are left unbound (all of their cells are missing) rather than refused.
    pub data_may_be_absent: bool,
}

/// A variable with its columns.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Its symbol.
    pub sym: SymId,
    /// As the user wrote it.
    pub name: String,
    /// Data or given.
    pub role: Role,
    /// Its type.
    pub support: Support,
    /// Positions of its columns in the table, row-major over its shape.
    pub columns: Vec<usize>,
    /// Their names.
    pub column_names: Vec<String>,
    /// Its sizes; empty for a scalar.
    pub shape: Vec<usize>,
    /// Of a category: the label of each code.
    pub labels: Option<Labels>,
    /// Missing cells.
    pub missing: usize,
    /// It took the columns that were left.
    pub automatic: bool,
}

/// The binding of a model to a table.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The variables, in the order of the model.
    pub vars: Vec<Bound>,
    /// `data` variables without columns.
    pub absent: Vec<SymId>,
    /// The column of row weights.
    pub weight: Option<usize>,
    /// Columns that order chains or group rows: the name in the model and the position.
    pub roles: Vec<(String, usize)>,
    /// Every size of the model.
    pub sizes: BTreeMap<DimId, usize>,
    /// Number of rows.
    pub rows: usize,
    /// Things worth a second look.
    pub remarks: Vec<String>,
}

impl Bound {
    /// It has a value in every row: its columns hold numbers, or labels that are known.
    #[must_use]
    pub fn has_values(&self, table: &Table) -> bool {
        let numbers = |&c: &usize| table.columns.get(c).is_some_and(|c| c.as_numbers().is_some());
        self.labels.is_some() || self.columns.iter().all(numbers)
    }
}

impl Binding {
    /// The columns of a variable.
    #[must_use]
    pub fn var(&self, sym: SymId) -> Option<&Bound> {
        self.vars.iter().find(|b| b.sym == sym)
    }
    /// `x = (eruptions, waiting)` for every variable: what a report prints.
    #[must_use]
    pub fn describe(&self) -> Vec<(String, Vec<String>)> {
        self.vars
            .iter()
            .map(|b| (b.name.clone(), b.column_names.clone()))
            .collect()
    }
}

/// A chain's rows are ordered by it, and no statement reads it: it may be text, such as dates.
fn only_orders(graph: &ModelGraph, b: &Bound) -> bool {
    let Some(chain) = graph.chain.as_ref().filter(|c| c.by.as_ref() == Some(&b.name)) else {
        return false;
    };
    let lags = chain.lags.iter().filter(|l| graph.var(l.of).sym == b.sym);
    let syms: Vec<SymId> = lags.map(|l| graph.var(l.var).sym).chain([b.sym]).collect();
    let reads = |f: &lvmc_model::graph::Factor| syms.iter().any(|&s| f.dist.mentions(&graph.store, s));
    !graph.factors.iter().any(reads)
}

/// Binds a model to a table.
///
/// # Errors
/// Columns that are not there, are ambiguous, are too many or too few, or hold values outside a variable's type.
pub fn bind(graph: &ModelGraph, table: &Table, options: &Options) -> Result<Binding, DataError> {
    let needs = need::needs(graph);
    let helpers = need::helpers(graph);
    let names: Vec<&str> = needs
        .iter()
        .map(|n| n.name.as_str())
        .chain(helpers.iter().map(String::as_str))
        .collect();
    let requests = options
        .binds
        .iter()
        .map(|text| request::parse(text, table, &names))
        .collect::<Result<Vec<_>, _>>()?;
    request::once_each(&requests)?;
    let mut requests = requests;
    for need in &needs {
        if let Some(columns) = options.columns.get(&need.name) {
            let optional = options.data_may_be_absent && need.role == Role::Data;
            requests.extend(request::known(&need.name, columns, table, optional, &requests)?);
        }
    }

    let mut sizes = options.sizes.clone();
    for dim in &graph.dims {
        if let Some(n) = dim.default {
            sizes.entry(dim.id).or_insert(n);
        }
    }
    sizes::limit(graph, &sizes)?;

    let weight_name = options
        .weights
        .clone()
        .or_else(|| graph.weight.as_ref().map(|(n, _)| n.clone()));
    let found = resolve::resolve(
        &needs,
        &helpers,
        weight_name.as_deref(),
        &requests,
        table,
        &sizes,
        options,
    )?;
    let mut remarks = found.remarks;
    for (need, columns) in needs.iter().zip(&found.columns) {
        if let Some(columns) = columns {
            sizes::from_columns(graph, need, columns.len(), &mut sizes)?;
        }
    }
    let mut vars = Vec::new();
    let mut absent = Vec::new();
    for (need, columns) in needs.iter().zip(found.columns) {
        let Some(columns) = columns else {
            absent.push(need.sym);
            continue;
        };
        let labels = labels::labels(graph, need, &needs, &columns, table, &mut sizes, options)?;
        let shape = sizes::known(&need.shape, &sizes).unwrap_or_default();
        vars.push(Bound {
            sym: need.sym,
            name: need.name.clone(),
            role: need.role,
            support: need.support.clone(),
            column_names: columns
                .iter()
                .filter_map(|&c| table.columns.get(c))
                .map(|c| c.name.clone())
                .collect(),
            missing: columns
                .iter()
                .filter_map(|&c| table.columns.get(c))
                .map(|c| c.missing().0)
                .sum(),
            columns,
            shape,
            labels,
            automatic: found.automatic == Some(need.sym),
        });
    }
    sizes::complete(graph, &sizes)?;
    sizes::limit(graph, &sizes)?;
    for b in vars.iter().filter(|b| !only_orders(graph, b)) {
        check::values(b, table)?;
    }
    if let Some(w) = found.weight {
        check::weights(w, table)?;
    }
    if !options.data_may_be_absent {
        // a fit that is put to use asks for no number of rows
        sizes::enough_rows(graph, &sizes, table.rows)?;
    }
    check::remark(&vars, table, &mut remarks);
    Ok(Binding {
        vars,
        absent,
        weight: found.weight,
        roles: found.roles,
        sizes,
        rows: table.rows,
        remarks,
    })
}
