//! Statistics of groups: sums over the rows that have given codes, of data alone.
//!
//! `Σₙ [userₙ = k] body` in a definition is a number that no iteration changes: it is added up once, by `features`, for all
//! values of the codes. A body is a product of data, summed as it is, or a product of two forms that are affine in data
//! with coefficients that may change: it is read off second moments of (1, centred features), as other statistics are.

use super::context::{Lower, NewBuffer, Scope};
use super::form::Inputs;
use super::rowexpr::RowScope;
use super::stats::{Body, Set, SetKind};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel};
use lvmc_term::{Cmp, Node, SymId, Term};
use std::collections::HashMap;

/// A sum over the rows of a group.
#[derive(Debug, Clone)]
pub struct GroupUse {
    /// Values of the codes, in the order of the set's.
    values: Vec<Term>,
    /// What is summed.
    body: GroupBody,
    /// Position of the set.
    set: usize,
}

#[derive(Debug, Clone)]
enum GroupBody {
    /// Entries of the set from here, as many as the term has elements.
    Data(usize),
    /// Read off the set's moments.
    Form(Body),
}

/// Sums for all values of some codes: `[entries][values]`.
#[derive(Debug, Clone)]
pub struct GroupSet {
    /// Codes, with how many values each has.
    codes: Vec<(SymId, usize)>,
    /// Terms of data, with their first entry.
    data: Vec<(Term, usize)>,
    /// Features whose second moments lie at the entries from `moments`.
    inputs: Inputs,
    features: Vec<Term>,
    moments: Option<usize>,
    entries: usize,
    out: BufId,
}

/// All sums over groups.
#[derive(Debug, Clone, Default)]
pub struct Grouped {
    uses: HashMap<Term, GroupUse>,
    sets: Vec<GroupSet>,
}

/// Codes with their sizes, their values, and the other factors.
type Coded = (Vec<(SymId, usize)>, Vec<Term>, Vec<Term>);

impl Lower<'_> {
    /// Reads every row sum of the definitions and lays out the sets that serve them.
    pub fn plan_groups(&mut self, pb: &mut impl NewBuffer, terms: &[Term]) {
        let mut sums: Vec<Term> = vec![];
        for &t in terms {
            for sub in self.s.subterms(t) {
                if matches!(self.s.node(sub), Node::RowSum(_)) && !sums.contains(&sub) {
                    sums.push(sub);
                }
            }
        }
        let mut sets: Vec<GroupSet> = vec![];
        for t in sums {
            let Some((codes, values, rest)) = self.codes_of(t) else {
                continue;
            };
            let at = sets.iter().position(|s| s.codes == codes).unwrap_or_else(|| {
                sets.push(GroupSet {
                    codes,
                    data: vec![],
                    inputs: Inputs::new(vec![]),
                    features: vec![],
                    moments: None,
                    entries: 0,
                    out: BufId(0),
                });
                sets.len() - 1
            });
            let body = self.group_body(&mut sets[at], &rest);
            self.grouped.uses.insert(t, GroupUse { values, body, set: at });
        }
        for mut set in sets {
            if set.moments.is_some() {
                let features = set.features.clone().into_iter().map(|f| self.feature(pb, f)).collect();
                set.inputs = Inputs::new(features);
                let k = 1 + set.inputs.cols;
                set.moments = Some(set.entries);
                set.entries += k * (k + 1) / 2;
            }
            let n: usize = set.codes.iter().map(|c| c.1).product();
            set.out = pb.new_buffer("stat.group", BufKind::Stat, set.entries * n);
            self.grouped.sets.push(set);
        }
    }

    /// Codes in the order of their symbols, their values, and the other factors of a row sum.
    fn codes_of(&mut self, t: Term) -> Option<Coded> {
        let Node::RowSum(inner) = *self.s.node(t) else {
            return None;
        };
        let (mut codes, mut rest): (Vec<(SymId, Term)>, Vec<Term>) = (vec![], vec![]);
        for f in self.s.factors(inner) {
            let code = match *self.s.node(f) {
                Node::Cmp(Cmp::Eq, a, b) => {
                    [(a, b), (b, a)]
                        .into_iter()
                        .find_map(|(code, v)| match self.s.node(code) {
                            Node::Sym(x) if self.columns.contains_key(x) && self.is_flat(v) => Some((*x, v)),
                            _ => None,
                        })
                }
                _ => None,
            };
            match code {
                Some(c) => codes.push(c),
                None if self.s.as_num(f) == Some(1.0) => {}
                None => rest.push(f),
            }
        }
        codes.sort_unstable();
        let sizes = codes.iter().map(|&(x, _)| (x, self.category_size(x))).collect();
        Some((sizes, codes.into_iter().map(|c| c.1).collect(), rest))
    }

    fn group_body(&mut self, set: &mut GroupSet, rest: &[Term]) -> GroupBody {
        let whole = self.s.product_of(rest);
        if rest.is_empty() || self.is_data(whole) {
            if let Some(known) = set.data.iter().find(|d| d.0 == whole) {
                return GroupBody::Data(known.1);
            }
            let first = set.entries;
            set.data.push((whole, first));
            set.entries += self.len_of(whole).max(1);
            return GroupBody::Data(first);
        }
        let (data, forms): (Vec<Term>, Vec<Term>) = rest.iter().partition(|&&t| self.is_data(t));
        let (data, forms) = (self.s.product_of(&data), self.s.product_of(&forms));
        let one = self.s.num(1.0);
        let parts: Vec<Term> = [data, forms].into_iter().filter(|&t| t != one).collect();
        let body = self.read_body(&parts);
        let features = match &body {
            Body::Linear(f) => f.features(),
            Body::Bilinear(f, g, _) => [f.features(), g.features()].concat(),
            _ => vec![],
        };
        for f in features {
            if !set.features.contains(&f) {
                set.features.push(f);
            }
        }
        set.moments = Some(0);
        GroupBody::Form(body)
    }

    /// Adds up all sets over a block: weighted rows, in `features`.
    pub fn accumulate_groups(&mut self, b: &mut FuncBuilder<'_>) {
        for set in self.grouped.sets.clone() {
            let weight = self.fixed.weight;
            let columns = b.buffer("group.entries", BufKind::Temp, set.entries.max(1));
            for (t, first) in &set.data {
                let mut scope = RowScope::default();
                self.ensure_row(b, &mut scope, *t);
                let dims = self.dims_of(*t);
                super::context::each(b, &dims.clone(), &mut |b, at| {
                    b.rows(|b| {
                        let (v, w) = (self.row_elem(b, &mut scope, *t, at), b.load_row(weight.col(0)));
                        let v = b.mul(w, v);
                        b.store_row(columns.col(Index::row_major(at, &dims) + *first), v);
                    });
                });
            }
            if let Some(first) = set.moments {
                group_moments(b, &set, columns, weight, first);
            }
            let n: usize = set.codes.iter().map(|c| c.1).product();
            let out = set.out;
            if set.codes.is_empty() {
                b.for_(set.entries, |b, e| {
                    b.rows(|b| {
                        let v = b.load_row(columns.col(e));
                        b.reduce(out.at(e), v);
                    });
                });
                continue;
            }
            let code = self.code_column(b, &set.codes);
            b.kernel(Kernel::Scatter {
                code,
                values: n,
                w: columns.col(0),
                entries: set.entries,
                acc: out.at(0),
            });
        }
    }

    /// The codes as one number, row-major.
    fn code_column(&mut self, b: &mut FuncBuilder<'_>, codes: &[(SymId, usize)]) -> crate::ir::Rows {
        if let [(one, _)] = codes {
            return self.columns[one].buf.col(0);
        }
        let out = b.buffer("group.code", BufKind::Temp, 1);
        let columns: Vec<(BufId, usize)> = codes.iter().map(|(x, n)| (self.columns[x].buf, *n)).collect();
        b.rows(|b| {
            let mut v = b.num(0.0);
            for (buf, n) in &columns {
                let (c, n) = (b.load_row(buf.col(0)), b.num(*n as f64));
                v = b.fma(v, n, c);
            }
            b.store_row(out.col(0), v);
        });
        out.col(0)
    }

    /// The value of a sum over a group, if it is one.
    pub fn group_sum_into(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term, out: BufId) -> bool {
        let Some(u) = self.grouped.uses.get(&t).cloned() else {
            return false;
        };
        let set = self.grouped.sets[u.set].clone();
        let mut at = Index::default();
        for (&v, &(_, n)) in u.values.iter().zip(&set.codes) {
            at = at * n + self.as_index(b, scope, v, n);
        }
        let n: usize = set.codes.iter().map(|c| c.1).product();
        match u.body {
            GroupBody::Data(first) => {
                let len = self.len_of(t).max(1);
                b.for_(len, |b, e| {
                    let v = b.load(set.out.at((Index::from(e) + first) * n + at.clone()));
                    b.store(out.at(e), v);
                });
            }
            GroupBody::Form(body) => {
                let k = 1 + set.inputs.cols;
                let moments = b.buffer("group.moments", BufKind::Scratch, k * k);
                let mut entry = set.moments.unwrap_or(0);
                for i in 0..k {
                    for j in 0..=i {
                        let v = b.load(set.out.at(at.clone() + entry * n));
                        b.store(moments.at(i * k + j), v);
                        b.store(moments.at(j * k + i), v);
                        entry += 1;
                    }
                }
                let like = Set {
                    resp: vec![],
                    over: vec![],
                    by: None,
                    kind: SetKind::Second(set.inputs.clone()),
                    out: moments,
                    stride: k * k,
                    acc: None,
                    configs: 1,
                };
                self.read_moments(b, scope, &body, &like, &Index::default(), out);
            }
        }
        true
    }
}

/// w aᵢ aⱼ for a = (1, stored features), lower triangle.
fn group_moments(b: &mut FuncBuilder<'_>, set: &GroupSet, columns: BufId, weight: BufId, first: usize) {
    let places: Vec<Option<(BufId, usize)>> = std::iter::once(None)
        .chain(
            set.inputs
                .features
                .iter()
                .flat_map(|(f, _)| (0..f.cols).map(|c| Some((f.buf, f.first + c)))),
        )
        .collect();
    let mut entry = first;
    for (i, x) in places.iter().enumerate() {
        for y in &places[..=i] {
            b.rows(|b| {
                let mut v = b.load_row(weight.col(0));
                for (buf, col) in [x, y].into_iter().flatten() {
                    let x = b.load_row(buf.col(*col));
                    v = b.mul(v, x);
                }
                b.store_row(columns.col(entry), v);
            });
            entry += 1;
        }
    }
}
