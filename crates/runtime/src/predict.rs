//! What a fit says of the unobserved variables of new rows.

use crate::apply::{ApplyError, Model, rebind, sizes};
use crate::bind::Binding;
use crate::data::{DataError, Table, show_number};
use crate::dataset::Dataset;
use crate::rowmodel::{RowModel, row_values, values_of};
use lvmc_loops::lowered::{LatentSlot, MomentSlot};
use lvmc_model::graph::Role;
use lvmc_term::{Array, SymId};
use std::io::Write;

/// Combinations of hidden finite values that a predicted mean is averaged over, at most.
const COMBINATIONS: usize = 4_096;

/// Columns of predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Names: a variable's most probable value, then the probability of each.
    pub header: Vec<String>,
    /// By column.
    pub columns: Vec<Vec<Cell>>,
    /// Number of rows.
    pub rows: usize,
}

/// A predicted value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// A category's label.
    Label(std::sync::Arc<str>),
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(x) if x.is_nan() => Ok(()),
            Self::Number(x) => f.write_str(&show_number(*x)),
            Self::Label(t) => f.write_str(t),
        }
    }
}

/// Predicts every unobserved variable of a table's rows: of finite ones (latents, and `data` with missing cells) the
/// posterior, of `data` variables whose columns are absent the mean.
///
/// # Errors
/// Data that do not fit the model.
pub fn predict(model: Model<'_>, table: Table, binds: &[String]) -> Result<Predictions, ApplyError> {
    let binding = rebind(model.graph, model.fit, &table, binds)?;
    let rows = table.rows;
    let data = model.load(table, &binding, true)?;
    let mut out = Predictions {
        header: Vec::new(),
        columns: Vec::new(),
        rows,
    };
    // absent variables that the program cannot integrate out: their rows' posterior comes from the factors instead
    let unfilled: Vec<SymId> = model
        .lowered
        .columns
        .iter()
        .filter(|c| !c.may_miss() && binding.absent.contains(&c.sym))
        .map(|c| c.sym)
        .collect();
    if let (Some(sym), false) = (unfilled.first(), model.lowered.moments.is_empty()) {
        let variable = model.graph.store.sym(*sym).name.clone();
        let help = format!(
            "give the columns of `{variable}`: a model with continuous latents says nothing of absent columns yet"
        );
        return Err(DataError::Unbound { variable, help }.into());
    }
    let asked = !model.lowered.latents.is_empty() || !model.lowered.moments.is_empty();
    if unfilled.is_empty() && asked {
        let found = model.posterior(&data)?;
        let paths = most_probable_path(model, &data)?;
        for (i, (slot, m)) in model.lowered.latents.iter().zip(&found.marginals).enumerate() {
            posterior_columns(&mut out, model, slot, m);
            if let Some((_, path)) = paths.iter().find(|p| p.0 == i) {
                path_column(&mut out, model, slot, path);
            }
        }
        let hidden = |slot: &MomentSlot| model.graph.var_of(slot.sym).is_some();
        let moments = model.lowered.moments.iter().zip(&found.moments);
        for (slot, [mean, square]) in moments.filter(|m| hidden(m.0)) {
            moment_columns(&mut out, &names(slot), mean, square);
        }
        for (slot, [mean, _]) in model.lowered.imputed.iter().zip(&found.imputed) {
            // effects of groups are those of the fit, not of these rows
            if binding.absent.contains(&slot.sym) && model.lowered.groups.is_empty() {
                absent_columns(&mut out, model, slot, mean);
            }
        }
    }
    effect_columns(&mut out, model, &data)?;
    refuse_chained(model, &binding, &unfilled)?;
    let by_row = !unfilled.is_empty() || !model.lowered.groups.is_empty();
    means(&mut out, model, &binding, &data, by_row)?;
    Ok(out)
}

/// The jointly most probable path of the chain's finite latents, in the order of the table.
fn most_probable_path(model: Model<'_>, data: &Dataset) -> Result<Vec<(usize, Vec<u32>)>, ApplyError> {
    if model.lowered.chains.is_empty() {
        return Ok(vec![]);
    }
    let mut paths = model.with_engine(data, |engine| engine.path())?;
    if data.order.rows.is_some() {
        let order = data.by_table();
        for (_, path) in &mut paths {
            *path = order.iter().map(|&row| path[row]).collect();
        }
    }
    Ok(paths)
}

/// The value of a latent on the most probable path; nothing in a sequence that cannot be.
fn path_column(out: &mut Predictions, model: Model<'_>, slot: &LatentSlot, path: &[u32]) {
    let labels: Vec<std::sync::Arc<str>> = (0..slot.size).map(|c| label(model, slot, c).into()).collect();
    let cell = |&code: &u32| match labels.get(code as usize) {
        Some(l) => Cell::Label(l.clone()),
        None => Cell::Number(f64::NAN),
    };
    out.header.push(format!("{}_path", slot.name));
    out.columns.push(path.iter().map(cell).collect());
}

/// Rows of a chain are not independent: what the program does not give of an absent variable is not known row by row.
fn refuse_chained(model: Model<'_>, binding: &Binding, unfilled: &[SymId]) -> Result<(), DataError> {
    if !model.lowered.chained() {
        return Ok(());
    }
    let known = |sym: &SymId| {
        let imputed = model.lowered.imputed.iter().any(|slot| slot.sym == *sym);
        imputed && model.lowered.groups.is_empty() || model.lowered.latents.iter().any(|slot| slot.sym == *sym)
    };
    let is_data = |sym: &SymId| {
        model
            .graph
            .var_of(*sym)
            .is_some_and(|v| model.graph.var(v).role == Role::Data)
    };
    let absent = binding.absent.iter().filter(|s| is_data(s));
    let Some(&sym) = absent.into_iter().find(|s| unfilled.contains(s) || !known(s)) else {
        return Ok(());
    };
    let name = model.graph.store.sym(sym).name.clone();
    let why = lvmc_derive::missing::refusal(model.graph, sym, lvmc_derive::Gaps::Whole);
    let why = why.unwrap_or_else(|| "its moments have no closed form".into());
    Err(DataError::Unbound {
        help: format!("give the columns of `{name}`: its mean along a chain is not known without them, for {why}"),
        variable: name,
    })
}

/// The posterior of every row's own effects, as the fit has it; the prior's for a group that the fit has not seen.
fn effect_columns(out: &mut Predictions, model: Model<'_>, data: &Dataset) -> Result<(), ApplyError> {
    if model.lowered.groups.is_empty() {
        return Ok(());
    }
    let rows = RowModel::new(model.graph, model.fit, &sizes(model.graph, model.fit))?;
    for slot in &model.lowered.groups {
        let Some(effect) = model.fit.effects.iter().find(|e| e.name == slot.name) else {
            continue;
        };
        let prior = rows.prior(slot.sym, &mut rows.environment())?;
        let column = slot
            .by
            .and_then(|by| model.lowered.columns.iter().find(|c| c.sym == by));
        for i in 0..effect.elements {
            for (values, unseen, name) in [
                (&effect.mean, &prior.0, effect.element(i)),
                (&effect.sd, &prior.1, format!("{}_sd", effect.element(i))),
            ] {
                let cell = |row: usize| {
                    let code = column.map_or(0.0, |c| data.stored(c.buf, c.cols, row, 0));
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                    let member = if code >= 0.0 { code as usize } else { usize::MAX };
                    let known = member.checked_mul(effect.elements).and_then(|m| values.get(m + i));
                    Cell::Number(known.or(unseen.get(i)).copied().unwrap_or(f64::NAN))
                };
                out.header.push(name);
                out.columns.push(data.by_table().into_iter().map(cell).collect());
            }
        }
    }
    Ok(())
}

/// The posterior of every member of the global latents: `effect,by,group,mean,sd`.
///
/// # Errors
/// What the writer says.
pub fn write_groups(fit: &crate::result::Fit, to: impl Write) -> Result<(), ApplyError> {
    let mut out = csv::Writer::from_writer(to);
    out.write_record(["effect", "by", "group", "mean", "sd"])?;
    for e in &fit.effects {
        for (g, group) in e.groups.iter().enumerate() {
            for i in 0..e.elements {
                let number = |v: &[f64]| v.get(g * e.elements + i).map_or(String::new(), |&x| show_number(x));
                let group = if e.by.is_some() { group.as_str() } else { "" };
                let by = e.by.as_deref().unwrap_or_default();
                out.write_record([e.element(i).as_str(), by, group, &number(&e.mean), &number(&e.sd)])?;
            }
        }
    }
    Ok(out.flush()?)
}

pub(crate) fn posterior_columns(out: &mut Predictions, model: Model<'_>, slot: &LatentSlot, marginal: &[f64]) {
    let k = slot.size.max(1);
    let labels: Vec<std::sync::Arc<str>> = (0..k).map(|c| label(model, slot, c).into()).collect();
    out.header.push(slot.name.clone());
    out.columns.push(
        marginal
            .chunks(k)
            .map(|p| {
                let mut best = 0;
                for (c, x) in p.iter().enumerate() {
                    if *x > p[best] {
                        best = c;
                    }
                }
                Cell::Label(labels[best].clone())
            })
            .collect(),
    );
    for (c, label) in labels.iter().enumerate() {
        out.header.push(format!("{}_{label}", slot.name));
        out.columns.push(
            marginal
                .chunks(k)
                .map(|p| Cell::Number(p.get(c).copied().unwrap_or(f64::NAN)))
                .collect(),
        );
    }
}

/// A name for every element of a latent.
fn names(slot: &MomentSlot) -> Vec<String> {
    match slot.cols {
        1 => vec![slot.name.clone()],
        n => (1..=n).map(|c| format!("{}_{c}", slot.name)).collect(),
    }
}

/// Mean and standard deviation of every element of a variable, from E[z] and E[z²].
pub(crate) fn moment_columns(out: &mut Predictions, names: &[String], mean: &[f64], square: &[f64]) {
    let column = |xs: &[f64], c: usize| -> Vec<f64> { xs.iter().skip(c).step_by(names.len()).copied().collect() };
    for (c, name) in names.iter().enumerate() {
        let (m, s) = (column(mean, c), column(square, c));
        out.header.push(name.clone());
        out.columns.push(m.iter().map(|&x| Cell::Number(x)).collect());
        out.header.push(format!("{name}_sd"));
        let sd = m.iter().zip(&s).map(|(m, s)| (s - m * m).max(0.0).sqrt());
        out.columns.push(sd.map(Cell::Number).collect());
    }
}

/// Means of a variable without columns.
fn absent_columns(out: &mut Predictions, model: Model<'_>, slot: &MomentSlot, mean: &[f64]) {
    let own = model.fit.binding.iter().find(|b| b.0 == slot.name);
    let names = own.map(|b| &b.1).filter(|n| n.len() == slot.cols);
    for c in 0..slot.cols {
        out.header
            .push(names.map_or_else(|| format!("{}_{}", slot.name, c + 1), |n| n[c].clone()));
        out.columns.push(
            mean.iter()
                .skip(c)
                .step_by(slot.cols)
                .map(|&x| Cell::Number(x))
                .collect(),
        );
    }
}

/// A value's label: from the data, or its number as people count.
fn label(model: Model<'_>, slot: &LatentSlot, code: usize) -> String {
    match model.fit.labels.get(&slot.name) {
        Some(l) => l.show(code),
        None => i64::try_from(code).map_or_else(|_| code.to_string(), |c| (c + slot.first).to_string()),
    }
}

/// The effects of a row: the members' posterior means, and the same with the prior's mean as the first member, which is what
/// a group that the fit has not seen reads.
struct RowEffect {
    sym: SymId,
    by: Option<SymId>,
    members: usize,
    known: Array,
    unseen: Array,
    /// Which of the two an environment holds, once it holds one.
    set: Option<bool>,
}

fn row_effects(model: Model<'_>, rows: &RowModel) -> Result<Vec<RowEffect>, ApplyError> {
    let mut out = vec![];
    let env = rows.environment();
    for slot in &model.lowered.groups {
        let Some(effect) = model.fit.effects.iter().find(|e| e.name == slot.name) else {
            continue;
        };
        let symbolic = &model.graph.store.sym(slot.sym).shape;
        let shape = symbolic
            .iter()
            .filter_map(|n| env.size(&model.graph.store, n).ok())
            .collect();
        let known = Array {
            shape,
            data: effect.mean.clone(),
        };
        let mut unseen = known.clone();
        let prior = rows.prior(slot.sym, &mut rows.environment())?.0;
        unseen.data.iter_mut().zip(prior).for_each(|(u, p)| *u = p);
        out.push(RowEffect {
            sym: slot.sym,
            by: slot.by,
            members: slot.members,
            known,
            unseen,
            set: None,
        });
    }
    Ok(out)
}

/// Sets the effects that a row reads; `values` are those of its columns.
fn set_effects(effects: &mut [RowEffect], values: &[(SymId, Array)], env: &mut lvmc_term::Env<'_>) {
    for e in effects {
        let code = e.by.and_then(|by| values.iter().find(|v| v.0 == by));
        #[allow(clippy::cast_precision_loss)]
        let unseen = code.is_some_and(|c| c.1.as_scalar() >= e.members as f64);
        if let (true, Some(by)) = (unseen, e.by) {
            env.set(by, Array::scalar(0.0));
        }
        if e.set != Some(unseen) {
            let value = if unseen { &e.unseen } else { &e.known };
            env.set(e.sym, value.clone());
            e.set = Some(unseen);
        }
    }
}

/// Means of `data` variables without columns, and of the latents beside them.
fn means(
    out: &mut Predictions,
    model: Model<'_>,
    binding: &Binding,
    data: &Dataset,
    by_row: bool,
) -> Result<(), ApplyError> {
    let graph = model.graph;
    let all_sizes = sizes(graph, model.fit);
    let finite = |sym: SymId| values_of(graph, sym, &all_sizes);
    let is_latent_slot = |sym: SymId| model.lowered.latents.iter().any(|l| l.sym == sym);
    let targets: Vec<SymId> = binding
        .absent
        .iter()
        .copied()
        .filter(|s| !is_latent_slot(*s) || finite(*s).is_none())
        .filter(|s| by_row || !model.lowered.imputed.iter().any(|slot| slot.sym == *s))
        .filter(|s| graph.var_of(*s).is_some_and(|v| graph.var(v).role == Role::Data))
        .collect();
    if targets.is_empty() {
        return Ok(());
    }
    let hidden: Vec<(SymId, usize)> = graph
        .vars
        .iter()
        .filter(|v| {
            v.role == Role::Latent && graph.store.sym(v.sym).per_row
                || binding.absent.contains(&v.sym) && !targets.contains(&v.sym)
        })
        .filter_map(|v| Some((v.sym, finite(v.sym)?)))
        .collect();
    let seen: Vec<SymId> = binding
        .vars
        .iter()
        .filter(|b| b.role == Role::Data)
        .map(|b| b.sym)
        .collect();
    if hidden
        .iter()
        .try_fold(1usize, |n, h| n.checked_mul(h.1))
        .is_none_or(|n| n > COMBINATIONS)
    {
        return Ok(());
    }
    let rows = RowModel::new(graph, model.fit, &all_sizes)?;
    let mut env = rows.environment();
    let mut effects = row_effects(model, &rows)?;
    for target in targets {
        let name = graph.store.sym(target).name.clone();
        let mut columns: Vec<Vec<Cell>> = Vec::new();
        for row in data.by_table() {
            let values = row_values(graph, model.lowered, binding, data, row);
            for (sym, value) in &values {
                env.set(*sym, value.clone());
            }
            set_effects(&mut effects, &values, &mut env);
            let Some(mean) = rows.mean(target, &mut env, &hidden, &seen)? else {
                return Ok(());
            };
            if columns.is_empty() {
                columns = vec![Vec::with_capacity(data.rows); mean.len()];
            }
            columns
                .iter_mut()
                .zip(&mean)
                .for_each(|(c, m)| c.push(Cell::Number(*m)));
        }
        let names = model
            .fit
            .binding
            .iter()
            .find(|b| b.0 == name)
            .map(|b| &b.1)
            .filter(|n| n.len() == columns.len());
        for (i, column) in columns.into_iter().enumerate() {
            out.header.push(
                names
                    .and_then(|n| n.get(i).cloned())
                    .unwrap_or_else(|| format!("{name}_{}", i + 1)),
            );
            out.columns.push(column);
        }
    }
    Ok(())
}

impl Predictions {
    /// As CSV with a header.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, to: impl Write) -> Result<(), ApplyError> {
        let mut out = csv::Writer::from_writer(to);
        out.write_record(&self.header)?;
        for row in 0..self.rows {
            out.write_record(
                self.columns
                    .iter()
                    .map(|c| c.get(row).map(Cell::to_string).unwrap_or_default()),
            )?;
        }
        Ok(out.flush()?)
    }
}
