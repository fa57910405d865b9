//! Rows that are dependent given the parameters, because they share latents of the data set as a whole: effects of groups.

use crate::bind::Binding;
use crate::data::{Cells, Column, Table};
use lvmc_model::graph::{Dist, ModelGraph, Plate, Role};
use lvmc_term::{Node, SymId, SymKind, Term, children};
use std::collections::{BTreeSet, HashMap};

/// What rows share.
enum Sharing {
    /// All of them one latent.
    All,
    /// Those with the same values of given variables: a latent each, one entry for every way of indexing.
    By(BTreeSet<Vec<SymId>>),
}

/// The unit of every row, numbered from 0 in order of appearance: rows joined, directly or by others, by a shared effect.
/// Nested groups give the outermost ones; crossed groups are one unit, and so is everything under a latent of all rows.
pub(super) fn units(graph: &ModelGraph, binding: &Binding, table: &Table) -> Vec<usize> {
    let by = match sharing(graph) {
        Sharing::All => return vec![0; table.rows],
        Sharing::By(keys) => keys,
    };
    let mut join = Join::new(table.rows);
    let column = |&x: &SymId| column_of(graph, binding, table, x).map(codes);
    let effects = by.iter().map(|key| key.iter().map(column).collect());
    let blocks = plates(graph).map(|name| named(binding, table, name).map(|c| vec![codes(c)]));
    for columns in effects.chain(blocks).collect::<Vec<Option<Vec<Vec<u64>>>>>() {
        let Some(columns) = columns else {
            return vec![0; table.rows];
        };
        let mut first: HashMap<Vec<u64>, usize> = HashMap::new();
        for row in 0..table.rows {
            let value = columns.iter().map(|c| c[row]).collect();
            let with = *first.entry(value).or_insert(row);
            join.join(row, with);
        }
    }
    join.numbered()
}

/// The columns of outermost `for each` blocks that are no families.
fn plates(graph: &ModelGraph) -> impl Iterator<Item = &str> {
    let is_group = |p: lvmc_model::graph::PlateId| matches!(graph.plates.get(p.index()), Some(Plate::Group { .. }));
    graph.plates.iter().filter_map(move |p| match p {
        Plate::Group { column, parent, .. } if !parent.is_some_and(is_group) => Some(column.as_str()),
        _ => None,
    })
}

/// A column that the model names.
fn named<'a>(binding: &Binding, table: &'a Table, name: &str) -> Option<&'a Column> {
    let role = binding.roles.iter().find(|r| r.0 == name).map(|r| r.1);
    table.columns.get(role.or_else(|| table.lookup(name))?)
}

/// The column of a given category; of a group inside groups its outermost group's, which holds it whole.
fn column_of<'a>(graph: &ModelGraph, binding: &Binding, table: &'a Table, x: SymId) -> Option<&'a Column> {
    let nested = graph.nested.iter().find(|n| graph.var(n.var).sym == x);
    match nested.and_then(|n| n.columns.first()) {
        Some(name) => named(binding, table, name),
        None => table
            .columns
            .get(*binding.vars.iter().find(|v| v.sym == x)?.columns.first()?),
    }
}

/// Equal numbers for equal cells.
fn codes(column: &Column) -> Vec<u64> {
    match &column.cells {
        // −0 is 0
        Cells::Numbers(xs) => xs.iter().map(|x| (x + 0.0).to_bits()).collect(),
        Cells::Text { codes, .. } => codes.iter().map(u64::from).collect(),
    }
}

fn sharing(graph: &ModelGraph) -> Sharing {
    let is_global = |p: lvmc_model::graph::PlateId| matches!(graph.plates.get(p.index()), Some(Plate::Global));
    let latents: Vec<SymId> = graph
        .vars
        .iter()
        .filter(|v| v.role == Role::Latent && is_global(v.plate))
        .map(|v| v.sym)
        .collect();
    let mut keys = BTreeSet::new();
    for factor in &graph.factors {
        let mut terms = vec![];
        arguments(&factor.dist, &mut terms);
        terms.extend(factor.condition);
        let global = is_global(factor.plate);
        if !global {
            terms.push(factor.value);
        }
        for used in terms.into_iter().flat_map(|t| uses(graph, t, &latents)) {
            match used {
                // an effect that depends on another's: of the same nest, or of no group
                Some(_) if global && !graph.nested.is_empty() => {}
                Some(key) if !global && !key.is_empty() => {
                    keys.insert(key);
                }
                _ => return Sharing::All,
            }
        }
    }
    Sharing::By(keys)
}

fn arguments(dist: &Dist, out: &mut Vec<Term>) {
    match dist {
        Dist::Family { args, .. } => out.extend(args),
        Dist::If {
            condition,
            then,
            otherwise,
        } => {
            out.push(*condition);
            arguments(then, out);
            arguments(otherwise, out);
        }
    }
}

/// The uses of latents in a term: the given variables that index them, `None` where something else does, or nothing.
fn uses(graph: &ModelGraph, t: Term, latents: &[SymId]) -> Vec<Option<Vec<SymId>>> {
    let s = &graph.store;
    let is_latent = |t: Term| matches!(s.node(t), Node::Sym(x) if latents.contains(x));
    let (mut found, mut stack, mut seen) = (vec![], vec![t], BTreeSet::new());
    while let Some(t) = stack.pop() {
        if !seen.insert(t) {
            continue;
        }
        match s.node(t) {
            Node::At(base, at) if is_latent(*base) => {
                let of_row = at.iter().flat_map(|&i| s.symbols(i)).filter(|&x| s.sym(x).per_row);
                let key: BTreeSet<SymId> = of_row.collect();
                let given = key.iter().all(|&x| s.sym(x).kind == SymKind::Given);
                found.push(given.then(|| key.into_iter().collect()));
                stack.extend(at.iter().copied());
            }
            _ if is_latent(t) => found.push(None),
            node => stack.extend(children(node)),
        }
    }
    found
}

/// Disjoint sets of rows.
struct Join(Vec<usize>);

impl Join {
    fn new(rows: usize) -> Self {
        Self((0..rows).collect())
    }
    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }
    /// The earliest row is the root.
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
    fn numbered(mut self) -> Vec<usize> {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        (0..self.0.len())
            .map(|row| {
                let root = self.root(row);
                let next = numbers.len();
                *numbers.entry(root).or_insert(next)
            })
            .collect()
    }
}
