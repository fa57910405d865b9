//! What lowering knows: the plan's terms, sizes, and where every symbol lies.

use crate::builder::{FuncBuilder, ProgramBuilder};
use crate::ir::{BufId, BufKind, Index};
use lvmc_base::Bug;
use lvmc_derive::plan::Plan;
use lvmc_term::{DimId, IxId, Node, Shape, Size, Store, Support, SymId, SymKind, Term};
use std::collections::HashMap;

/// Sizes of the model's dims, decided by defaults, `--set` and the data.
pub type Sizes = HashMap<DimId, usize>;

/// A data column's place.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The `Column` buffer.
    pub buf: BufId,
    /// Its number of columns.
    pub cols: usize,
    /// What is subtracted from stored values.
    pub centre: Option<BufId>,
    /// The variance of each column.
    pub scale: Option<BufId>,
}

/// A feature: a row term without parameters, stored as columns.
#[derive(Debug, Clone)]
pub struct Feature {
    /// The term.
    pub term: Term,
    /// Where it is stored.
    pub buf: BufId,
    /// First column.
    pub first: usize,
    /// Number of columns.
    pub cols: usize,
    /// Centre of the stored values: buffer and first element.
    pub centre: Option<(BufId, usize)>,
    /// It is computed by `features` (otherwise it is a data column).
    pub derived: bool,
    /// Indices of finite variables on which its first column depends, with the columns from one value to the next.
    pub by: Vec<(IxId, usize)>,
}

/// The state of a lowering.
pub struct Lower<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The plan's store, grown by lowering.
    pub s: Store,
    /// Sizes.
    pub sizes: &'a Sizes,
    /// Flat buffers of parameters, constants and tables.
    pub flat: HashMap<SymId, BufId>,
    /// Data.
    pub columns: HashMap<SymId, Column>,
    /// Row symbols that stand for temporary columns (a predictor).
    pub temps: HashMap<SymId, BufId>,
    /// Row symbols that a posterior defines: computed before the E-step of a block, then read as data.
    pub defined: std::collections::BTreeSet<SymId>,
    /// Features made so far.
    pub features: Vec<Feature>,
    /// Fixed buffers.
    pub fixed: Fixed,
    /// Statistics, by `RowSum` term.
    pub stats: super::stats::Stats,
    /// Sums over the rows of groups.
    pub grouped: super::grouped::Grouped,
    /// What `prepare` computes, in order.
    pub jobs: Vec<super::jobs::Job>,
    /// Posterior (or seeded) weights of the block in hand, by set of finite variables.
    pub weights: HashMap<Vec<SymId>, BufId>,
    /// Centres of the columns with missing cells, as flat symbols: (mask, variable, centre).
    pub centres: Vec<(SymId, SymId, SymId)>,
    /// While a sum over an element of a variable with missing cells is read: that element, which is then a feature.
    pub own: Option<Term>,
    /// While a sum over how far a latent spreads is read: the index of its directions.
    pub pool: Option<IxId>,
    /// The directions' names in sets, one for each size.
    pub pools: Vec<IxId>,
    /// Features may differ by configuration of the finite variables: while statistics are read, which are accumulated
    /// configuration by configuration.
    pub configured: bool,
    /// The chains' buffers.
    pub chains: Vec<super::chain::ChainBuffers>,
    /// The Gaussian chain's buffers.
    pub gaussian_chain: Option<super::kalman::GaussianChain>,
    /// The buffers of the Gaussian part of a q that is a product.
    pub mean_field: Option<super::structured::MeanFieldCode>,
    /// The function being written runs before the first `prepare`: it reads no tables.
    pub early: bool,
    /// The function being written multiplies by row weights.
    pub masked: bool,
}

/// Buffers that every program has.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    /// Row weights.
    pub weight: BufId,
    /// Σ lse.
    pub objective: BufId,
    /// Data-only terms.
    pub constant: BufId,
    /// Log prior.
    pub log_prior: BufId,
    /// Floor and N.
    pub settings: BufId,
    /// Log density of the data set as a whole.
    pub log_shared: BufId,
    /// Active floors.
    pub floors: BufId,
    /// Failed pivots.
    pub failures: BufId,
    /// Row score.
    pub row_score: BufId,
}

/// Bound indices, and arrays already computed in the function being written.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Values of bound indices.
    pub env: HashMap<IxId, Index>,
    /// Terms that lie in buffers.
    pub made: HashMap<Term, BufId>,
    /// Cholesky factors by matrix term.
    pub chol: HashMap<Term, BufId>,
}

impl Scope {
    /// With one more bound index. One that is bound already gets a new value: what was made for the old one is forgotten
    /// (Σⱼ beside an update's own j).
    #[must_use]
    pub fn with(&self, s: &Store, ix: IxId, at: impl Into<Index>) -> Self {
        let mut scope = self.clone();
        if scope.env.insert(ix, at.into()).is_some() {
            scope.made.retain(|&t, _| !s.free_indices(t).contains(&ix));
            scope.chol.retain(|&t, _| !s.free_indices(t).contains(&ix));
        }
        scope
    }
}

/// Both builders make buffers.
pub trait NewBuffer {
    /// A new buffer.
    fn new_buffer(&mut self, name: &str, kind: BufKind, len: usize) -> BufId;
}

impl NewBuffer for ProgramBuilder {
    fn new_buffer(&mut self, name: &str, kind: BufKind, len: usize) -> BufId {
        self.buffer(name, kind, len)
    }
}

impl NewBuffer for FuncBuilder<'_> {
    fn new_buffer(&mut self, name: &str, kind: BufKind, len: usize) -> BufId {
        self.buffer(name, kind, len)
    }
}

/// An internal inconsistency, reported as a bug of the stage `loops`.
pub fn bug(message: impl Into<String>, ir: impl Into<String>) -> Bug {
    Bug {
        stage: "loops",
        message: message.into(),
        ir: ir.into(),
    }
}

impl Lower<'_> {
    /// The number of a size.
    pub fn size(&self, size: &Size) -> usize {
        match size {
            Size::Const(n) => *n,
            Size::Dim(d) => self.sizes.get(d).copied().unwrap_or(1),
            Size::Sum(parts) => parts.iter().map(|p| self.size(p)).sum(),
        }
    }
    /// The numbers of a shape.
    pub fn dims(&self, shape: &Shape) -> Vec<usize> {
        shape.iter().map(|n| self.size(n)).collect()
    }
    /// The dims of a term.
    pub fn dims_of(&self, t: Term) -> Vec<usize> {
        self.dims(self.s.shape(t))
    }
    /// The number of elements of a term.
    pub fn len_of(&self, t: Term) -> usize {
        self.dims_of(t).iter().product()
    }
    /// The number of values of a bound index.
    pub fn extent(&self, ix: IxId) -> usize {
        self.size(&self.s.ix(ix).size.clone())
    }
    /// The number of values of a finite variable.
    pub fn finite_size(&self, v: usize) -> usize {
        self.size(&self.plan.finite[v].size)
    }
    /// The position of a finite variable by symbol.
    pub fn finite_of(&self, sym: SymId) -> Option<usize> {
        self.plan.finite.iter().position(|f| f.sym == sym)
    }
    /// True where a term is a column that a sweep may read: data, or what a posterior defines.
    pub fn is_feature(&self, t: Term) -> bool {
        self.own == Some(t)
            || self.is_data(t)
            || self.s.per_row(t)
                && self
                    .defined_place(t)
                    .is_some_and(|p| self.configured || p.by.is_empty())
    }
    /// True where a term is made of data, constants and sizes alone, and varies by row.
    pub fn is_data(&self, t: Term) -> bool {
        self.s.per_row(t)
            && self.s.free_indices(t).is_empty()
            && !self.s.depends_on(t, |n| match n {
                Node::Sym(x) => {
                    matches!(
                        self.s.sym(*x).kind,
                        SymKind::Param | SymKind::Latent | SymKind::Aux | SymKind::Noise
                    ) || self.temps.contains_key(x)
                }
                Node::Resp(_) | Node::RowSum(_) => true,
                _ => false,
            })
    }
    /// True where a term does not vary by row.
    pub fn is_flat(&self, t: Term) -> bool {
        !self.s.per_row(t)
    }

    /// Makes slots for the data and given variables that the plan's terms mention.
    pub fn add_columns(&mut self, pb: &mut ProgramBuilder, used: &[SymId]) {
        for &x in used {
            let sym = self.s.sym(x).clone();
            if !sym.per_row || !matches!(sym.kind, SymKind::Data | SymKind::Given) {
                continue;
            }
            let cols = self.dims(&sym.shape).iter().product::<usize>().max(1);
            let buf = pb.buffer(&sym.name, BufKind::Column, cols);
            let real = sym.support == Support::Real;
            let centre = real.then(|| pb.buffer(&format!("{}.centre", sym.name), BufKind::Input, cols));
            let numeric = !matches!(sym.support, Support::Category(_));
            let scale = numeric.then(|| pb.buffer(&format!("{}.scale", sym.name), BufKind::Input, cols));
            self.columns.insert(
                x,
                Column {
                    buf,
                    cols,
                    centre,
                    scale,
                },
            );
        }
        for mask in self.plan.masks.clone() {
            let Some(centre) = self.columns.get(&mask.of).and_then(|c| c.centre) else {
                continue;
            };
            let of = self.s.sym(mask.of).clone();
            let sym = self.s.add_sym(lvmc_term::Sym {
                name: format!("centre_{}", of.name),
                kind: SymKind::Const,
                per_row: false,
                ..of
            });
            self.flat.insert(sym, centre);
            self.centres.push((mask.sym, mask.of, sym));
        }
    }

    /// Mask, and centre of a variable with missing cells, of the product `o ⊙ x`: its stored columns, 0 where a cell is
    /// missing, are o ⊙ (x − centre).
    pub fn masked_value(&mut self, t: Term) -> Option<(Term, SymId, Term)> {
        let Node::Mul(factors) = self.s.node(t).clone() else {
            return None;
        };
        let [a, b] = factors[..] else { return None };
        for (o, x) in [(a, b), (b, a)] {
            if let (&Node::Sym(o_sym), &Node::Sym(x_sym)) = (self.s.node(o), self.s.node(x))
                && let Some(&(_, _, c)) = self.centres.iter().find(|c| (c.0, c.1) == (o_sym, x_sym))
                && self.s.shape(o) == self.s.shape(x)
            {
                return Some((o, x_sym, self.s.var(c)));
            }
        }
        None
    }

    /// The feature of a row term: a data column as it lies, or columns that `features` computes.
    pub fn feature(&mut self, b: &mut impl NewBuffer, t: Term) -> Feature {
        if let Some(f) = self.features.iter().find(|f| f.term == t) {
            return f.clone();
        }
        let cols = self.len_of(t).max(1);
        let defined = self.defined_place(t);
        let masked = self.masked_value(t).and_then(|m| self.columns.get(&m.1).copied());
        let feature = match self.s.node(t).clone() {
            _ if masked.is_some() => {
                let c = masked.unwrap_or_else(|| unreachable!());
                Feature {
                    term: t,
                    buf: c.buf,
                    first: 0,
                    cols: c.cols,
                    centre: None,
                    derived: false,
                    by: vec![],
                }
            }
            _ if defined.is_some() => {
                let place = defined.unwrap_or_else(|| unreachable!());
                Feature {
                    term: t,
                    buf: place.buf,
                    first: place.first,
                    cols,
                    centre: None,
                    derived: false,
                    by: place.by,
                }
            }
            Node::Sym(x) if self.columns.contains_key(&x) => {
                let c = self.columns[&x];
                Feature {
                    term: t,
                    buf: c.buf,
                    first: 0,
                    cols: c.cols,
                    centre: c.centre.map(|b| (b, 0)),
                    derived: false,
                    by: vec![],
                }
            }
            Node::At(base, at) if self.column_at(base, &at).is_some() => {
                let (c, first) = self.column_at(base, &at).unwrap_or_else(|| unreachable!());
                Feature {
                    term: t,
                    buf: c.buf,
                    first,
                    cols: 1,
                    centre: c.centre.map(|b| (b, first)),
                    derived: false,
                    by: vec![],
                }
            }
            _ => {
                let buf = b.new_buffer(&format!("feature.{}", self.features.len()), BufKind::Feature, cols);
                Feature {
                    term: t,
                    buf,
                    first: 0,
                    cols,
                    centre: None,
                    derived: true,
                    by: vec![],
                }
            }
        };
        self.features.push(feature.clone());
        feature
    }

    /// One element of a data vector at a known position.
    fn column_at(&self, base: Term, at: &[Term]) -> Option<(Column, usize)> {
        let Node::Sym(x) = *self.s.node(base) else { return None };
        let c = *self.columns.get(&x)?;
        let [i] = at else { return None };
        let i = self.s.as_num(*i)? as usize;
        (self.s.shape(base).len() == 1 && i < c.cols).then_some((c, i))
    }
}

/// Loops over all positions of an array, row-major.
pub fn each(b: &mut FuncBuilder<'_>, dims: &[usize], f: &mut dyn FnMut(&mut FuncBuilder<'_>, &[Index])) {
    fn go(
        b: &mut FuncBuilder<'_>,
        dims: &[usize],
        at: &mut Vec<Index>,
        f: &mut dyn FnMut(&mut FuncBuilder<'_>, &[Index]),
    ) {
        let Some((&n, rest)) = dims.split_first() else {
            return f(b, at);
        };
        if n == 1 {
            at.push(Index::default());
            go(b, rest, at, f);
            at.pop();
            return;
        }
        b.for_(n, |b, i| {
            at.push(i.into());
            go(b, rest, at, f);
            at.pop();
        });
    }
    go(b, dims, &mut Vec::new(), f);
}
