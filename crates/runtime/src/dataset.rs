//! Data in the layout that programs read: blocks of rows, centred where the program asks for it.

use crate::bind::{Binding, Bound, Labels};
use crate::data::{DataError, Pieces, Table, listed};
use crate::sequences::{self, Made, Order};
use lvmc_base::{Bug, Limit};
use lvmc_loops::ir::BufId;
use lvmc_loops::lowered::{ColumnSlot, Lowered, MissingCells};
use lvmc_loops::{AlignedVec, Padding, RowLayout};
use lvmc_model::graph::{ModelGraph, When};
use lvmc_term::{Array, Support, SymId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Centres and scales of a variable's columns.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moments {
    /// What is subtracted from each column.
    pub centre: Vec<f64>,
    /// Each column's variance, never 0.
    pub scale: Vec<f64>,
}

/// The data of a fit.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Number of rows.
    pub rows: usize,
    /// Rows per block.
    pub block: usize,
    /// Contents of `Column` buffers, weights included.
    pub columns: HashMap<BufId, Arc<AlignedVec>>,
    /// The buffer of weights.
    pub weight: BufId,
    /// Sum of the weights.
    pub weight_sum: f64,
    /// Some weight is not 1.
    pub weighted: bool,
    /// By variable.
    pub moments: BTreeMap<String, Moments>,
    /// Missing cells by buffer.
    pub missing: HashMap<BufId, usize>,
    /// The order of the rows, and their sequences.
    pub order: Order,
}

/// How a [`Dataset`] is made.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Centres and scales from a fit.
    pub moments: Option<BTreeMap<String, Moments>>,
    /// Categories that may have values the fit has not seen: they get the code after the last.
    pub open: Vec<SymId>,
    /// Variables without columns, and cells that may not be missing, are filled with some valid value: for what does not
    /// look at them.
    pub fill_absent: bool,
}

/// Lays out the data. The table's numbers are freed while they are moved.
///
/// # Errors
/// Missing cells where none may be, values outside a transformed variable's type, too much memory.
pub fn load(
    lowered: &Lowered,
    graph: &ModelGraph,
    binding: &Binding,
    mut table: Table,
    options: &LoadOptions,
) -> Result<Dataset, DataError> {
    fits_in_memory(lowered, table.rows)?;
    let layout = RowLayout {
        rows: table.rows,
        block: lowered.program.block,
    };
    let order = match &graph.chain {
        Some(chain) => Order::new(chain, binding, &table)?,
        None => Order::plain(table.rows),
    };
    let weights: Option<Vec<f64>> = binding
        .weight
        .and_then(|w| table.columns.get(w)?.as_numbers().cloned())
        .map(|xs| order.sorted(xs).iter().collect());
    if let (Some(weights), true) = (&weights, lowered.chained()) {
        sequence_weights(weights, &order)?;
    }
    let weighted = weights.as_ref().is_some_and(|w| w.iter().any(|&x| x != 1.0));
    let mut out = Dataset {
        rows: table.rows,
        block: layout.block,
        columns: HashMap::new(),
        weight: lowered.weight,
        weight_sum: weights.as_ref().map_or(as_f64(table.rows), |w| w.iter().sum()),
        weighted,
        moments: BTreeMap::new(),
        missing: HashMap::new(),
        order,
    };
    // how many slots still want a column: the last one takes it away
    let mut wanted = vec![0usize; table.columns.len()];
    let plans: Vec<Source> = lowered
        .columns
        .iter()
        .map(|slot| source(slot.mask_of().unwrap_or(slot.sym), graph, binding))
        .collect();
    for plan in &plans {
        if let Source::Columns(b) | Source::Lag(b, _) = plan {
            b.columns.iter().for_each(|&c| wanted[c] += 1);
        }
    }
    for (slot, plan) in lowered.columns.iter().zip(&plans) {
        let columns: Vec<Pieces<f64>> = match plan {
            Source::Columns(b) | Source::Lag(b, _) => take_columns(b, &mut table, &mut wanted, &options.open)?,
            Source::Computed => computed(
                slot.mask_of().unwrap_or(slot.sym),
                (&slot.name, slot.cols),
                graph,
                binding,
                &table,
            )?,
            Source::ComputedLag(of, _) => computed(*of, (&slot.name, slot.cols), graph, binding, &table)?,
            Source::Position | Source::Mark(_) => vec![Pieces::default()],
            Source::Nothing if slot.may_miss() || slot.mask_of().is_some() || options.fill_absent => (0..slot.cols)
                .map(|_| std::iter::repeat_n(f64::NAN, table.rows).collect())
                .collect(),
            Source::Nothing => {
                return Err(DataError::Unbound {
                    variable: slot.name.clone(),
                    help: format!(
                        "--bind {}=COLUMN; the columns are {}",
                        slot.name,
                        listed(table.names(), 12)
                    ),
                });
            }
        };
        let columns: Vec<Pieces<f64>> = columns.into_iter().map(|c| out.order.sorted(c)).collect();
        if slot.mask_of().is_some() {
            out.columns
                .insert(slot.buf, Arc::new(observed(&layout, slot, &columns)));
            continue;
        }
        if columns.len() != slot.cols {
            return Err(bug(format!(
                "`{}` has {} columns, lowered for {}",
                slot.name,
                columns.len(),
                slot.cols
            )));
        }
        let names = match plan {
            Source::Columns(b) | Source::Lag(b, _) => b.column_names.clone(),
            _ => vec![slot.name.clone(); slot.cols],
        };
        let missing = count_missing(&columns);
        if let Some((c, count, row)) = missing.first
            && !slot.may_miss()
            && !options.fill_absent
        {
            return Err(DataError::Missing {
                column: names.get(c).cloned().unwrap_or_default(),
                count,
                row: row + 1,
                variable: slot.name.clone(),
                help: refused(graph, slot, &columns),
            });
        }
        let columns = made_columns(plan, columns, &out.order);
        out.missing.insert(slot.buf, missing.total);
        let known = options
            .moments
            .as_ref()
            .and_then(|m| m.get(&slot.name))
            .filter(|m| m.centre.len() == slot.cols);
        let moments = match known {
            Some(m) => m.clone(),
            None => moments_of(slot, &columns, weights.as_deref()),
        };
        let fill = match slot.missing {
            MissingCells::Summed => f64::NAN,
            _ => filler(graph, slot),
        };
        let data = lay_out(&layout, slot, columns, &moments, fill);
        out.moments.insert(slot.name.clone(), moments);
        out.columns.insert(slot.buf, Arc::new(data));
    }
    if out.missing.values().any(|&n| n > 0) {
        steps_fit_in_memory(lowered, out.rows)?;
    }
    let w = layout.fill(1, Padding::Zero, |row, _| weights.as_ref().map_or(1.0, |w| w[row]));
    out.columns.insert(lowered.weight, Arc::new(w));
    Ok(out)
}

/// 1 where a cell is observed; in one column, where a row has any.
fn observed(layout: &RowLayout, slot: &ColumnSlot, columns: &[Pieces<f64>]) -> AlignedVec {
    let whole = slot.cols == 1;
    let mut present = vec![vec![0.0; layout.rows]; slot.cols];
    for (c, xs) in columns.iter().enumerate() {
        let Some(to) = present.get_mut(if whole { 0 } else { c }) else {
            continue;
        };
        for (o, x) in to.iter_mut().zip(xs.iter()) {
            if !x.is_nan() {
                *o = 1.0;
            }
        }
    }
    layout.fill(slot.cols, Padding::LastRow, |row, c| present[c][row])
}

/// Why missing cells are refused, and what to do.
fn refused(graph: &ModelGraph, slot: &ColumnSlot, columns: &[Pieces<f64>]) -> String {
    let why = lvmc_derive::missing::refusal(graph, slot.sym, crate::gaps::gaps_of(columns));
    format!(
        "fill the cells or remove their rows; the model cannot integrate them out: {}",
        why.unwrap_or_else(|| "its statement has no rule for them".into())
    )
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(n: usize) -> f64 {
    n as f64
}

fn bug(message: String) -> DataError {
    Bug {
        stage: "data",
        message,
        ir: String::new(),
    }
    .into()
}

/// Where a slot's values come from.
enum Source<'a> {
    Columns(&'a Bound),
    /// Those columns, so many rows before.
    Lag(&'a Bound, usize),
    /// A transformed variable so many rows before.
    ComputedLag(SymId, usize),
    /// The row's position in its sequence.
    Position,
    /// 1 where a statement holds.
    Mark(When),
    /// `observed_as`.
    Computed,
    Nothing,
}

fn source<'a>(sym: SymId, graph: &ModelGraph, binding: &'a Binding) -> Source<'a> {
    match sequences::made(graph, sym) {
        Some(Made::Position) => return Source::Position,
        Some(Made::Mark(when)) => return Source::Mark(when),
        Some(Made::Lag(of, by)) => {
            return match source(graph.var(of).sym, graph, binding) {
                Source::Columns(b) => Source::Lag(b, by),
                Source::Computed => Source::ComputedLag(graph.var(of).sym, by),
                other => other,
            };
        }
        None => {}
    }
    if let Some(b) = binding.var(sym) {
        return Source::Columns(b);
    }
    let term = graph.var_of(sym).and_then(|v| graph.var(v).observed_as);
    match term {
        Some(t) if graph.store.symbols(t).iter().any(|s| binding.var(*s).is_some()) => Source::Computed,
        _ => Source::Nothing,
    }
}

/// What a chain makes of sorted columns.
fn made_columns(plan: &Source<'_>, columns: Vec<Pieces<f64>>, order: &Order) -> Vec<Pieces<f64>> {
    let positions = |f: &dyn Fn(usize) -> f64| vec![order.positions().map(f).collect::<Pieces<f64>>()];
    match plan {
        Source::Position => positions(&as_f64),
        Source::Mark(when) => positions(&|p| f64::from(u8::from(when.holds(p)))),
        Source::Lag(_, by) | Source::ComputedLag(_, by) => columns.iter().map(|c| order.lagged(c, *by)).collect(),
        Source::Columns(_) | Source::Computed | Source::Nothing => columns,
    }
}

/// A sequence counts as a whole.
fn sequence_weights(weights: &[f64], order: &Order) -> Result<(), DataError> {
    for w in order.starts.windows(2) {
        if let Some(row) = (w[0] + 1..w[1]).find(|&r| weights[r] != weights[w[0]]) {
            let row = order.rows.as_ref().map_or(row, |r| r[row]) + 1;
            return Err(DataError::SequenceWeight { row });
        }
    }
    Ok(())
}

fn take_columns(
    b: &Bound,
    table: &mut Table,
    wanted: &mut [usize],
    open: &[SymId],
) -> Result<Vec<Pieces<f64>>, DataError> {
    let mut out = Vec::with_capacity(b.columns.len());
    for &c in &b.columns {
        let Some(column) = table.columns.get_mut(c) else {
            return Err(bug(format!("no column {c}")));
        };
        wanted[c] -= 1;
        if let Some(labels) = &b.labels {
            let open = open.contains(&b.sym);
            out.push(labels.codes(column, &b.name, open)?.into_iter().collect());
        } else if wanted[c] == 0 {
            out.push(column.take_numbers().unwrap_or_default());
        } else {
            out.push(column.as_numbers().cloned().unwrap_or_default());
        }
    }
    Ok(out)
}

/// Values of a transformed variable, row by row.
pub(crate) fn computed(
    sym: SymId,
    (name, cols): (&str, usize),
    graph: &ModelGraph,
    binding: &Binding,
    table: &Table,
) -> Result<Vec<Pieces<f64>>, DataError> {
    let var = graph.var_of(sym).map(|v| graph.var(v));
    let Some(term) = var.and_then(|v| v.observed_as) else {
        return Err(bug("no transformation".into()));
    };
    let support = &graph.store.sym(sym).support;
    let inputs: Vec<&Bound> = graph
        .store
        .symbols(term)
        .iter()
        .filter_map(|s| binding.var(*s))
        .collect();
    let mut out: Vec<Pieces<f64>> = vec![Pieces::default(); cols];
    let mut env = crate::terms::environment(graph, &binding.sizes);
    for row in 0..table.rows {
        for b in &inputs {
            env.set(b.sym, row_array(b, table, row));
        }
        let value = graph
            .store
            .eval(term, &env)
            .map_err(|e| bug(format!("`{name}` cannot be computed: {e}")))?;
        for (c, piece) in out.iter_mut().enumerate() {
            let x = value
                .data
                .get(if value.data.len() == 1 { 0 } else { c })
                .copied()
                .unwrap_or(f64::NAN);
            if x.is_infinite() || crate::bind::fault(support, x).is_some() {
                return Err(DataError::Range {
                    cell: Box::new(crate::data::Cell {
                        row: row + 1,
                        column: inputs
                            .iter()
                            .filter_map(|b| b.column_names.get(c))
                            .next()
                            .cloned()
                            .unwrap_or_default(),
                        value: format!("{x}"),
                    }),
                    fault: crate::bind::fault(support, x).unwrap_or("infinite").into(),
                    variable: name.into(),
                    wanted: "declared otherwise".into(),
                    help: "the value shown is the transformed one; correct the transformation or the data".into(),
                });
            }
            piece.push(x);
        }
    }
    Ok(out)
}

fn row_array(b: &Bound, table: &Table, row: usize) -> Array {
    let cell = |c: &usize| {
        table
            .columns
            .get(*c)
            .and_then(|c| c.as_numbers()?.get(row))
            .unwrap_or(f64::NAN)
    };
    Array {
        shape: b.shape.clone(),
        data: b.columns.iter().map(cell).collect(),
    }
}

struct Gaps {
    total: usize,
    /// Column, its number of missing cells, the first's row.
    first: Option<(usize, usize, usize)>,
}

fn count_missing(columns: &[Pieces<f64>]) -> Gaps {
    let mut out = Gaps { total: 0, first: None };
    for (c, xs) in columns.iter().enumerate() {
        let n = xs.iter().filter(|x| x.is_nan()).count();
        out.total += n;
        if n > 0 && out.first.is_none() {
            out.first = xs.iter().position(f64::is_nan).map(|row| (c, n, row));
        }
    }
    out
}

/// The weighted mean and variance of each column's observed cells.
fn moments_of(slot: &ColumnSlot, columns: &[Pieces<f64>], weights: Option<&[f64]>) -> Moments {
    let mut out = Moments {
        centre: vec![0.0; slot.cols],
        scale: vec![1.0; slot.cols],
    };
    if slot.categories.is_some() {
        return out;
    }
    let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
    for (c, xs) in columns.iter().enumerate() {
        let seen = || {
            xs.iter()
                .enumerate()
                .filter(|(_, x)| !x.is_nan())
                .map(|(row, x)| (weight(row), x))
        };
        let n: f64 = seen().map(|(w, _)| w).sum();
        if n <= 0.0 {
            continue;
        }
        // around a value of the column, so that neither sum cancels
        let near = seen().next().map_or(0.0, |(_, x)| x);
        let mean = near + seen().map(|(w, x)| w * (x - near)).sum::<f64>() / n;
        let var = seen().map(|(w, x)| w * (x - mean) * (x - mean)).sum::<f64>() / n;
        out.centre[c] = if slot.centre.is_some() { mean } else { 0.0 };
        let tiny = mean * mean * 1e-24;
        out.scale[c] = if var > tiny && var > f64::MIN_POSITIVE {
            var
        } else if mean != 0.0 {
            mean * mean * 1e-6
        } else {
            1.0
        };
    }
    out
}

/// A valid value for cells that nothing will look at.
fn filler(graph: &ModelGraph, slot: &ColumnSlot) -> f64 {
    match graph.store.sym(slot.sym).support {
        Support::Positive | Support::NonNegative => 1.0,
        Support::Unit | Support::Simplex => 0.5,
        _ => 0.0,
    }
}

/// Moves columns into blocks; their pieces are freed on the way.
fn lay_out(layout: &RowLayout, slot: &ColumnSlot, columns: Vec<Pieces<f64>>, m: &Moments, fill: f64) -> AlignedVec {
    let (block, cols) = (layout.block, slot.cols);
    let mut out = AlignedVec::zeroed(layout.len(cols));
    let mut streams: Vec<_> = columns.into_iter().map(Pieces::drain).collect();
    for (b, chunk) in out.chunks_mut(block * cols.max(1)).enumerate() {
        let rows = (layout.rows - b * block).min(block);
        for ((stream, column), &centre) in streams.iter_mut().zip(chunk.chunks_mut(block)).zip(&m.centre) {
            for (to, x) in column[..rows].iter_mut().zip(stream) {
                *to = if x.is_nan() { fill } else { x - centre };
            }
            let last = column[rows - 1];
            column[rows..].fill(last);
        }
    }
    out
}

/// Refuses a program that the machine cannot hold, before any of it is allocated.
///
/// # Errors
/// A limit.
pub fn fits_in_memory(lowered: &Lowered, rows: usize) -> Result<(), DataError> {
    use lvmc_loops::ir::BufKind;
    let block = lowered.program.block.max(1);
    let blocks = rows.div_ceil(block) as u128;
    let mut bytes: u128 = 0;
    for b in &lowered.program.buffers {
        let len = b.len as u128;
        bytes += 8 * match b.kind {
            BufKind::Column | BufKind::Feature => len * blocks * block as u128,
            BufKind::Temp => 2 * len * block as u128,
            // one copy per chunk of blocks, and at least eight of them
            BufKind::Stat => len * (1 + blocks.min(8)),
            BufKind::Out => 0,
            _ => 2 * len,
        };
    }
    within(bytes, "the memory that this fit needs")
}

/// As there: where observations of a Gaussian chain are missing, every row may have covariances of its own.
fn steps_fit_in_memory(lowered: &Lowered, rows: usize) -> Result<(), DataError> {
    let Some(chain) = lowered.gaussian_chain.as_ref() else {
        return Ok(());
    };
    if chain.statements.iter().all(|s| s.mask.is_none()) {
        return Ok(());
    }
    let own = |lagged: bool| {
        chain
            .parts
            .iter()
            .filter(|p| p.lagged == lagged)
            .map(|p| p.size)
            .sum::<usize>() as u128
    };
    let (lags, all) = (own(true), own(true) + own(false));
    let seen = chain.statements.iter().filter(|s| s.of.is_none());
    let seen: u128 = seen.map(|s| s.size as u128).sum();
    let each = all * all + lags * lags + all * seen + seen * seen;
    within(
        8 * each * rows as u128,
        "the memory that a smoother needs where observations are missing",
    )
}

fn within(bytes: u128, what: &str) -> Result<(), DataError> {
    let limit = u128::from(crate::limits::memory());
    if bytes <= limit {
        return Ok(());
    }
    let show = |b: u128| crate::limits::show_bytes(u64::try_from(b).unwrap_or(u64::MAX));
    Err(Limit {
        what: what.into(),
        found: show(bytes),
        limit: show(limit),
        advice: "choose smaller sizes, or fewer columns or rows; LVMC_MEMORY_MB raises the limit".into(),
    }
    .into())
}

impl Dataset {
    /// The rows named by `rows`, as a data set of their own with the same centres.
    #[must_use]
    pub fn subset(&self, lowered: &Lowered, rows: &[usize]) -> Self {
        let from = RowLayout {
            rows: self.rows,
            block: self.block,
        };
        let to = RowLayout {
            rows: rows.len(),
            block: self.block,
        };
        let mut out = self.clone();
        out.rows = rows.len();
        out.order = Order {
            rows: Some(rows.iter().map(|&r| self.table_row(r)).collect()),
            starts: self.starts_of(rows),
        };
        out.weight_sum = 0.0;
        for (buf, data) in &self.columns {
            let cols = lowered.program.buffers.get(buf.index()).map_or(1, |b| b.len);
            let padding = if *buf == self.weight {
                Padding::Zero
            } else {
                Padding::LastRow
            };
            let part = to.fill(cols, padding, |r, c| {
                rows.get(r).map_or(0.0, |&row| data[from.at(cols, row, c)])
            });
            if *buf == self.weight {
                out.weight_sum = part.iter().sum();
            }
            out.columns.insert(*buf, Arc::new(part));
        }
        out
    }

    /// Where sequences begin among some rows, in ascending order: rows that follow each other stay together.
    fn starts_of(&self, rows: &[usize]) -> Vec<usize> {
        let begins = |i: usize| {
            let row = rows[i];
            i == 0 || rows[i - 1] + 1 != row || self.order.starts.binary_search(&row).is_ok()
        };
        let mut starts: Vec<usize> = (0..rows.len()).filter(|&i| begins(i)).collect();
        starts.push(rows.len());
        starts
    }

    /// The table's row of a row.
    #[must_use]
    pub fn table_row(&self, row: usize) -> usize {
        self.order
            .rows
            .as_ref()
            .and_then(|r| r.get(row).copied())
            .unwrap_or(row)
    }

    /// The rows in the order of the table.
    #[must_use]
    pub fn by_table(&self) -> Vec<usize> {
        let mut out: Vec<usize> = (0..self.rows).collect();
        if let Some(rows) = &self.order.rows {
            out.sort_by_key(|&r| rows[r]);
        }
        out
    }

    /// A value as stored (centred where the program asks for it).
    #[must_use]
    pub fn stored(&self, buf: BufId, cols: usize, row: usize, col: usize) -> f64 {
        let layout = RowLayout {
            rows: self.rows,
            block: self.block,
        };
        self.columns
            .get(&buf)
            .and_then(|d| d.get(layout.at(cols, row, col)).copied())
            .unwrap_or(f64::NAN)
    }

    /// The weight of a row.
    #[must_use]
    pub fn weight_of(&self, row: usize) -> f64 {
        self.stored(self.weight, 1, row, 0)
    }
}

/// Labels by variable, for a fit file.
#[must_use]
pub fn labels(binding: &Binding) -> BTreeMap<String, Labels> {
    binding
        .vars
        .iter()
        .filter_map(|b| Some((b.name.clone(), b.labels.clone()?)))
        .collect()
}
