//! Statistics of elements that may be missing, `Σₙ r oⱼ e₁ e₂` for every element j, and of how far the latents of a row
//! spread, `Σₙ r Σ_p e₁(ℓ_p) e₂(ℓ_p)`.
//!
//! The forms e read the element itself and features that all elements share, a = (1, f₁ … f_P, x̃ⱼ), so that everything is
//! read from one symmetric matrix Tⱼ = Σₙ r oⱼ a aᵀ per element. Its parts are three products of all elements' columns
//! with columns that they share, which the kernels of first moments compute: masks with (1, f, vech f fᵀ), the elements
//! (0 where one is missing) with (1, f), and the elements' squares. Of a spread the second moments are summed over p first.

use super::context::{Lower, Scope};
use super::form::{Form, Inputs};
use super::stats::{Body, Set, SetKind, Use};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel, Reg, Rows};
use crate::lens::{moments_len, syrk_len};
use lvmc_term::{IxId, Node, SymId, Term};
use std::collections::HashMap;

/// Products of features that are written one by one.
const UNROLLED: usize = 160;

/// Which elements a sum is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one at that position.
    At(Term),
    /// Each: the value is a vector.
    Each(IxId),
    /// All, added up.
    Total(IxId),
    /// There is no mask.
    None,
}

/// A row sum over a masked element, or over a spread.
#[derive(Debug, Clone)]
pub struct Masked {
    /// The mask, and the variable.
    pub mask: Option<(SymId, SymId)>,
    /// Which elements.
    pub which: Which,
    /// Flat factors, of one element.
    pub weight: Vec<Term>,
    /// What is summed, of one element.
    pub body: Box<Body>,
    /// The element as the forms know it.
    pub own: Option<Term>,
    /// The directions of a spread.
    pub pool: Option<IxId>,
}

/// What is accumulated for them.
#[derive(Debug, Clone)]
pub struct MaskedSet {
    /// The mask, and the variable.
    pub mask: Option<(SymId, SymId)>,
    /// Features that the elements share.
    pub shared: Inputs,
    /// The directions of a spread.
    pub pool: Option<IxId>,
    /// Elements.
    pub elements: usize,
    /// The variable itself is read.
    pub own: bool,
}

impl MaskedSet {
    fn squares(&self) -> usize {
        let p = self.shared.cols;
        p * (p + 1) / 2
    }
    /// Columns beside 1 that the masks are multiplied with.
    fn inputs(&self) -> usize {
        if self.pool.is_some() {
            self.squares()
        } else {
            self.shared.cols + self.squares()
        }
    }
    /// Where the elements' first moments begin.
    fn second(&self) -> usize {
        self.elements * (1 + self.inputs())
    }
    /// Where the elements' squares begin.
    fn third(&self) -> usize {
        self.second() + self.elements * (1 + self.shared.cols)
    }
    /// Numbers of one configuration.
    pub fn stride(&self) -> usize {
        if self.own {
            self.third() + 1 + 2 * self.elements
        } else {
            self.second()
        }
    }
    /// Raw numbers of one configuration: the same layout.
    pub fn raw(&self) -> usize {
        let first = moments_len(self.inputs(), self.elements);
        let own = moments_len(self.shared.cols, self.elements) + syrk_len(self.elements, true);
        if self.own { first + own } else { first }
    }
}

/// A set before its buffers exist: key, shared features, whether the variable is read, users.
struct Wish {
    resp: Vec<SymId>,
    over: Vec<IxId>,
    by: Option<Term>,
    mask: Option<(SymId, SymId)>,
    pool: Option<IxId>,
    shared: Vec<Term>,
    own: bool,
    users: Vec<Term>,
}

impl Lower<'_> {
    fn mask_in(&self, t: Term) -> Option<(SymId, SymId)> {
        let vector = |m: &&lvmc_derive::plan::Mask| !self.s.sym(m.sym).shape.is_empty();
        let found = self.plan.masks.iter().filter(vector);
        found.map(|m| (m.sym, m.of)).find(|m| self.s.depends_on_sym(t, m.0))
    }

    /// Reads the factors of a row sum's body (without its posterior weight).
    pub fn read_masked(&mut self, rest: &[Term]) -> Option<Masked> {
        let whole = self.s.product_of(rest);
        let mask = self.mask_in(whole);
        if mask.is_none() && !rest.iter().any(|&f| matches!(self.s.node(f), Node::IxSum(..))) {
            return None;
        }
        let Some((o, x)) = mask else {
            return self.read_element(None, Which::None, rest);
        };
        let o_term = self.s.var(o);
        let rest = &self.sums_outside(rest, o)[..];
        let totals: Vec<Term> = rest
            .iter()
            .copied()
            .filter(|&f| matches!(self.s.node(f), Node::Total(_)) && self.s.depends_on_sym(f, o))
            .collect();
        let at = rest.iter().find_map(|&f| match self.s.node(f) {
            Node::At(base, at) if *base == o_term && at.len() == 1 => Some(at[0]),
            _ => None,
        });
        if let Some(i) = at {
            if self.s.per_row(i) {
                return None;
            }
            return self.read_element(Some((o, x)), Which::At(i), rest);
        }
        let size = self.s.sym(o).shape.clone();
        let [size] = &size[..] else { return None };
        let j = self.s.add_ix("j", size.clone());
        let index = self.s.index(j);
        if let [total] = totals[..] {
            let Node::Total(u) = *self.s.node(total) else {
                return None;
            };
            let scalars: Vec<Term> = rest.iter().copied().filter(|&f| f != total).collect();
            if scalars.len() + 1 != rest.len() || self.s.shape(u).len() != 1 {
                return None;
            }
            let element = self.s.at(u, &[index]);
            let all = [self.s.factors(element), scalars].concat();
            return self.read_element(Some((o, x)), Which::Total(j), &all);
        }
        if self.s.shape(whole).len() != 1 || !self.s.factors(whole).contains(&o_term) {
            return None;
        }
        let element = self.s.at(whole, &[index]);
        let all = self.s.factors(element);
        self.read_element(Some((o, x)), Which::Each(j), &all)
    }

    /// Σ_p Σ_j c_j e_jp² as Σ_j c_j Σ_p e_jp²: what does not depend on the direction p goes before its sum.
    fn sums_outside(&mut self, rest: &[Term], o: SymId) -> Vec<Term> {
        let mut out = vec![];
        for &f in rest {
            let Node::IxSum(p, body) = *self.s.node(f) else {
                out.push(f);
                continue;
            };
            let factors = self.s.factors(body);
            let total = factors.iter().copied().find_map(|t| match *self.s.node(t) {
                Node::Total(u) if self.s.depends_on_sym(u, o) => Some((t, u)),
                _ => None,
            });
            let Some((total, u)) = total else {
                out.push(f);
                continue;
            };
            let index = self.s.index(p);
            let moves = |s: &lvmc_term::Store, t: Term| s.contains(t, index);
            let (inner, fixed): (Vec<Term>, Vec<Term>) =
                self.s.factors(u).into_iter().partition(|&t| moves(&self.s, t));
            let (more, outer): (Vec<Term>, Vec<Term>) = factors
                .into_iter()
                .filter(|&t| t != total)
                .partition(|&t| moves(&self.s, t));
            let body = self.s.product_of(&[inner, more].concat());
            let sum = self.s.ix_sum(p, body);
            let element = self.s.product_of(&[fixed, vec![sum]].concat());
            let whole = self.s.total(element);
            out.extend(outer);
            out.push(whole);
        }
        out
    }

    fn read_element(&mut self, mask: Option<(SymId, SymId)>, which: Which, factors: &[Term]) -> Option<Masked> {
        let index = match which {
            Which::At(t) => Some(t),
            Which::Each(j) | Which::Total(j) => Some(self.s.index(j)),
            Which::None => None,
        };
        let (mut weight, mut rest, mut masks) = (vec![], vec![], 0);
        let own_of = |l: &mut Self, sym: SymId| {
            let base = l.s.var(sym);
            index.map(|i| l.s.at(base, &[i]))
        };
        let o = mask.and_then(|m| own_of(self, m.0));
        let own = mask.and_then(|m| own_of(self, m.1));
        for &f in factors {
            match () {
                () if Some(f) == o => masks += 1,
                () if !self.s.per_row(f) => weight.push(f),
                () => rest.push(f),
            }
        }
        if masks != usize::from(mask.is_some()) || rest.iter().any(|&f| self.mask_in(f).is_some()) {
            return None;
        }
        let mut pool = None;
        if let [one] = rest[..]
            && let Node::IxSum(p, body) = *self.s.node(one)
        {
            pool = Some(p);
            rest = self.s.factors(body);
        }
        let (own_before, pool_before) = (
            std::mem::replace(&mut self.own, own),
            std::mem::replace(&mut self.pool, pool),
        );
        let body = self.read_body(&rest);
        (self.own, self.pool) = (own_before, pool_before);
        if matches!(
            body,
            Body::Direct(_) | Body::Code(..) | Body::Transitions(_) | Body::Masked(_)
        ) {
            return None;
        }
        if let Some(p) = pool {
            let spread = |f: &Term| self.s.free_indices(*f).contains(&p);
            if !matches!(body, Body::Bilinear(..)) || !features_of(&body).iter().all(spread) {
                return None;
            }
        }
        Some(Masked {
            mask,
            which,
            weight,
            body: Box::new(body),
            own,
            pool,
        })
    }

    /// Sets that serve the masked uses.
    pub fn masked_sets(&mut self, pb: &mut impl super::context::NewBuffer) {
        let mut uses: Vec<(Term, Use)> = self.stats.uses.iter().map(|(&t, u)| (t, u.clone())).collect();
        uses.sort_by_key(|u| u.0);
        let mut wishes: Vec<Wish> = vec![];
        for (t, u) in uses {
            let Body::Masked(m) = &u.body else { continue };
            let mut features = features_of(&m.body);
            let own = m.own.is_some_and(|x| features.contains(&x));
            features.retain(|&f| Some(f) != m.own);
            let resp: Vec<SymId> = u.resp.iter().map(|r| r.0).collect();
            // a spread's direction has a name of its own in every sum
            let features: Vec<Term> = features.into_iter().map(|f| self.named(f, m.pool)).collect();
            let pool = m.pool.map(|p| self.pool_name(p));
            let same = |w: &&mut Wish| {
                (&w.resp, &w.over, w.by, w.mask, w.pool.is_some()) == (&resp, &u.over, u.by, m.mask, m.pool.is_some())
                    && (w.pool.is_none() || w.shared == features)
            };
            if let Some(w) = wishes.iter_mut().find(same) {
                features.iter().for_each(|f| {
                    if !w.shared.contains(f) {
                        w.shared.push(*f);
                    }
                });
                w.own |= own;
                w.users.push(t);
                continue;
            }
            wishes.push(Wish {
                resp,
                over: u.over,
                by: u.by,
                mask: m.mask,
                pool,
                shared: features,
                own,
                users: vec![t],
            });
        }
        for w in wishes {
            self.masked_set(pb, w);
        }
    }

    fn masked_set(&mut self, pb: &mut impl super::context::NewBuffer, w: Wish) {
        self.pool = w.pool;
        let shared = w.shared.iter().map(|&f| self.feature(pb, f)).collect();
        self.pool = None;
        let elements = w
            .mask
            .map_or(1, |m| self.dims(&self.s.sym(m.0).shape.clone()).iter().product());
        let set = MaskedSet {
            mask: w.mask,
            shared: Inputs::new(shared),
            pool: w.pool,
            elements,
            own: w.own,
        };
        let configs = self.configs_of(&w.resp) * self.extents(&w.over);
        let stride = set.stride();
        let out = pb.new_buffer("stat.masked", BufKind::Stat, configs * stride);
        let acc = pb.new_buffer("acc.masked", BufKind::Acc, configs * set.raw());
        let at = self.stats.sets.len();
        for t in w.users {
            if let Some(u) = self.stats.uses.get_mut(&t) {
                u.set = at;
            }
        }
        self.stats.sets.push(Set {
            resp: w.resp,
            over: w.over,
            by: w.by,
            kind: SetKind::Masked(set),
            out,
            stride,
            acc: Some(acc),
            configs,
        });
    }

    /// The feature with one name for the direction of a spread.
    fn named(&mut self, f: Term, pool: Option<IxId>) -> Term {
        let Some(p) = pool else { return f };
        let q = self.pool_name(p);
        let (from, to) = (self.s.index(p), self.s.index(q));
        self.s.substitute(f, &HashMap::from([(from, to)]))
    }

    fn pool_name(&mut self, p: IxId) -> IxId {
        let size = self.s.ix(p).size.clone();
        let known = self.pools.iter().find(|q| self.s.ix(**q).size == size).copied();
        known.unwrap_or_else(|| {
            self.pools.push(p);
            p
        })
    }

    /// The masked part of a sweep.
    pub fn accumulate_masked(&mut self, b: &mut FuncBuilder<'_>, set: &Set, m: &MaskedSet, table: Option<BufId>) {
        let Some(acc) = set.acc else { return };
        let ones = (m.mask.is_none() && table.is_none()).then(|| self.ones(b));
        let (n, p) = (m.elements, m.shared.cols);
        let values = b.buffer("squares", BufKind::Temp, m.inputs().max(1));
        let raw = m.raw();
        let m = m.clone();
        let unweighted = table.is_none() && !self.masked;
        let centred = |l: &Self, x: &SymId| l.columns.get(x).is_some_and(|c| c.centre.is_some());
        let products = m.mask.map(|mask| {
            let mut temp = |name: &str, wanted: bool| wanted.then(|| b.buffer(name, BufKind::Temp, n));
            (
                temp("observed", !unweighted),
                temp("elements", m.own && !unweighted),
                temp("filled", m.own && !centred(self, &mask.1)),
            )
        });
        self.each_config(b, &set.clone(), &mut |l, b, scope, at, weight| {
            let w = l.weight_column(table, weight.clone());
            l.shared_columns(b, &m, scope, values);
            let first = at.clone() * raw;
            let Some((o, x)) = m.mask else {
                let w = w.or_else(|| ones.map(|o| o.col(0)));
                let Some(w) = w else { return };
                b.kernel(Kernel::Moments {
                    x: values.col(0),
                    inputs: m.inputs(),
                    w,
                    weights: 1,
                    acc: acc.at(first),
                });
                return;
            };
            let (Some(mask), Some(column)) = (l.columns.get(&o).copied(), l.columns.get(&x).copied()) else {
                return;
            };
            let (observed, elements, filled) = products.unwrap_or_default();
            let by = weighted(b, mask.buf, observed, n, w.as_ref(), None);
            b.kernel(Kernel::Moments {
                x: values.col(0),
                inputs: m.inputs(),
                w: by.col(0),
                weights: n,
                acc: acc.at(first.clone()),
            });
            if !m.own {
                return;
            }
            // stored 0 where a cell is missing, or made so
            let plain = weighted(b, column.buf, filled, n, None, Some(mask.buf));
            let by = weighted(b, plain, elements, n, w.as_ref(), None);
            b.kernel(Kernel::Moments {
                x: values.col(0),
                inputs: p,
                w: by.col(0),
                weights: n,
                acc: acc.at(first.clone() + moments_len(m.inputs(), n)),
            });
            b.kernel(Kernel::Syrk {
                x: plain.col(0),
                inputs: n,
                w,
                acc: acc.at(first + (moments_len(m.inputs(), n) + moments_len(p, n))),
                diagonal: true,
            });
        });
    }

    /// (f, vech f fᵀ), or Σ_p vech f fᵀ of a spread.
    fn shared_columns(&mut self, b: &mut FuncBuilder<'_>, m: &MaskedSet, scope: &Scope, out: BufId) {
        let p = m.shared.cols;
        if p == 0 {
            return;
        }
        let packed = |i: usize, j: crate::ir::LoopId| Index::from(j) + i * (i + 1) / 2;
        let turns = m.pool.map_or(1, |p| self.extent(p));
        if turns * p * (p + 1) / 2 <= UNROLLED {
            self.shared_unrolled(b, m, scope, out);
            return;
        }
        let Some(pool) = m.pool else {
            let x = m.shared.adjacent_at(b, &scope.env);
            for i in 0..p {
                b.for_(i + 1, |b, j| {
                    b.rows(|b| {
                        let (u, v) = (b.load_row(x.plus(i)), b.load_row(x.plus(j)));
                        let w = b.mul(u, v);
                        b.store_row(out.col(packed(i, j) + p), w);
                    });
                });
            }
            b.for_(p, |b, i| {
                b.rows(|b| {
                    let v = b.load_row(x.plus(i));
                    b.store_row(out.col(i), v);
                });
            });
            return;
        };
        self.zero_columns(b, out, p * (p + 1) / 2);
        b.for_(turns, |b, q| {
            let x = m.shared.adjacent_at(b, &scope.with(&self.s, pool, q).env);
            for i in 0..p {
                b.for_(i + 1, |b, j| {
                    b.rows(|b| {
                        let (u, v) = (b.load_row(x.plus(i)), b.load_row(x.plus(j)));
                        let old = b.load_row(out.col(packed(i, j)));
                        let w = b.fma(u, v, old);
                        b.store_row(out.col(packed(i, j)), w);
                    });
                });
            }
        });
    }

    /// As [`Self::shared_columns`], in one pass: every feature is read once.
    fn shared_unrolled(&mut self, b: &mut FuncBuilder<'_>, m: &MaskedSet, scope: &Scope, out: BufId) {
        let p = m.shared.cols;
        let turns = m.pool.map_or(1, |pool| self.extent(pool));
        b.rows(|b| {
            let mut sums: Vec<Reg> = vec![];
            for q in 0..turns {
                let mut env = scope.env.clone();
                env.extend(m.pool.map(|pool| (pool, Index::constant(q))));
                let columns: Vec<_> = (0..p).filter_map(|i| m.shared.column(i, &env)).collect();
                let x: Vec<Reg> = columns.into_iter().map(|c| b.load_row(c)).collect();
                if m.pool.is_none() {
                    x.iter().enumerate().for_each(|(i, v)| b.store_row(out.col(i), *v));
                }
                for i in 0..x.len() {
                    for j in 0..=i {
                        let at = i * (i + 1) / 2 + j;
                        match sums.get(at) {
                            Some(&old) => sums[at] = b.fma(x[i], x[j], old),
                            None => sums.push(b.mul(x[i], x[j])),
                        }
                    }
                }
            }
            let first = if m.pool.is_none() { p } else { 0 };
            for (at, sum) in sums.into_iter().enumerate() {
                b.store_row(out.col(first + at), sum);
            }
        });
    }

    /// Raw numbers to statistics.
    pub fn fold_masked(&mut self, b: &mut FuncBuilder<'_>, set: &Set, m: &MaskedSet, acc: BufId) {
        let (n, raw) = (m.elements, m.raw());
        b.for_(set.configs, |b, k| {
            let (from, to) = (Index::from(k) * raw, Index::from(k) * set.stride);
            b.kernel(Kernel::MomentsFold {
                acc: acc.at(from.clone()),
                inputs: m.inputs(),
                weights: n,
                out: set.out.at(to.clone()),
            });
            if !m.own {
                return;
            }
            let at = moments_len(m.inputs(), n);
            b.kernel(Kernel::MomentsFold {
                acc: acc.at(from.clone() + at),
                inputs: m.shared.cols,
                weights: n,
                out: set.out.at(to.clone() + m.second()),
            });
            let at = at + moments_len(m.shared.cols, n);
            b.kernel(Kernel::SyrkFold {
                acc: acc.at(from + at),
                inputs: n,
                out: set.out.at(to + m.third()),
                diagonal: true,
            });
        });
    }

    /// The value of a masked row sum, from its statistics into `out`.
    pub fn masked_into(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        m: &Masked,
        set: &Set,
        base: Index,
        out: BufId,
    ) {
        let SetKind::Masked(ms) = &set.kind else { return };
        let len = match &*m.body {
            Body::Count => 1,
            Body::Linear(f) => f.rows,
            Body::Bilinear(f, g, super::stats::Product::Outer) => f.rows * g.rows,
            Body::Bilinear(f, g, super::stats::Product::Elementwise) => f.rows.max(g.rows),
            _ => 1,
        };
        match m.which {
            Which::None => self.element_into(b, scope, m, ms, set, &base, &Index::default(), out),
            Which::At(t) => {
                let j = self.as_index(b, scope, t, ms.elements);
                self.element_into(b, scope, m, ms, set, &base, &j, out);
            }
            Which::Each(ix) | Which::Total(ix) => {
                let each = matches!(m.which, Which::Each(_));
                let one = b.buffer("element", BufKind::Scratch, len);
                let zero = b.num(0.0);
                if !each {
                    b.store(out.at(0), zero);
                }
                b.for_(ms.elements, |b, j| {
                    let mut inner = scope.with(&self.s, ix, j);
                    self.element_into(b, &mut inner, m, ms, set, &base, &j.into(), one);
                    let v = b.load(one.at(0));
                    if each {
                        b.store(out.at(j), v);
                    } else {
                        b.accum(out.at(0), v);
                    }
                });
            }
        }
    }

    /// One element's value: forms times Tⱼ.
    #[allow(clippy::too_many_arguments)]
    fn element_into(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        m: &Masked,
        ms: &MaskedSet,
        set: &Set,
        base: &Index,
        j: &Index,
        out: BufId,
    ) {
        let t = self.matrix_of(b, ms, set, base, j);
        let mut features = ms.shared.features.clone();
        if let (Some(own), true) = (m.own, ms.own) {
            let own = super::context::Feature {
                term: own,
                buf: t,
                first: 0,
                cols: 1,
                centre: None,
                derived: false,
                by: vec![],
            };
            features.push((own, ms.shared.cols));
        }
        // of a spread, the direction's name in this sum
        if let (Some(p), Some(q)) = (m.pool, ms.pool) {
            let (from, to) = (self.s.index(q), self.s.index(p));
            for (f, _) in &mut features {
                f.term = self.s.substitute(f.term, &HashMap::from([(from, to)]));
            }
        }
        let inputs = Inputs {
            cols: ms.shared.cols + usize::from(ms.own),
            features,
        };
        let side = 1 + inputs.cols;
        let shift = m
            .mask
            .filter(|_| ms.own)
            .and_then(|mask| self.columns.get(&mask.1)?.centre);
        let matrix = |l: &mut Self, b: &mut FuncBuilder<'_>, scope: &mut Scope, f: &Form| {
            let rows = f.rows;
            let buf = b.buffer("form", BufKind::Scratch, rows * side);
            l.form_matrix(b, scope, f, &inputs, buf, &Index::default());
            if let Some(centre) = shift {
                // the element is stored as x − centre
                b.for_(rows, |b, i| {
                    let (c, x) = (
                        b.load(centre.at(j.clone())),
                        b.load(buf.at(Index::from(i) * side + (side - 1))),
                    );
                    let v = b.mul(c, x);
                    b.accum(buf.at(Index::from(i) * side), v);
                });
            }
            buf
        };
        match &*m.body {
            Body::Count => {
                let v = b.load(t.at(0));
                b.store(out.at(0), v);
            }
            Body::Linear(f) => {
                let a = matrix(self, b, scope, f);
                b.kernel(Kernel::MatMul {
                    a: a.at(0),
                    ta: false,
                    b: t.at(0),
                    tb: false,
                    out: out.at(0),
                    m: f.rows,
                    k: side,
                    n: 1,
                });
            }
            Body::Bilinear(f, g, product) => {
                let (left, right) = (matrix(self, b, scope, f), matrix(self, b, scope, g));
                self.product_of_forms(b, scope, (f, g, *product), (left, right), t.at(0), side, out);
            }
            Body::Code(..) | Body::Direct(_) | Body::Transitions(_) | Body::Masked(_) => {}
        }
        let len = self.get_len(out, b);
        for &w in &m.weight {
            self.ensure(b, scope, w);
            let scalar = self.s.shape(w).is_empty();
            b.for_(len, |b, i| {
                let index: Index = i.into();
                let x = self.elem(b, scope, w, if scalar { &[] } else { std::slice::from_ref(&index) });
                let v = b.load(out.at(i));
                let v = b.mul(v, x);
                b.store(out.at(i), v);
            });
        }
    }

    fn get_len(&self, out: BufId, b: &FuncBuilder<'_>) -> usize {
        b.get(out).len
    }

    /// Tⱼ, (1 + P + 1)², or without the last row and column.
    fn matrix_of(&mut self, b: &mut FuncBuilder<'_>, ms: &MaskedSet, set: &Set, base: &Index, j: &Index) -> BufId {
        let p = ms.shared.cols;
        let side = 1 + p + usize::from(ms.own);
        let t = b.buffer("moments", BufKind::Scratch, side * side);
        let row = base.clone() + j.clone() * (1 + ms.inputs());
        let symmetric = |b: &mut FuncBuilder<'_>, x: Index, y: Index, v| {
            b.store(t.at(x.clone() * side + y.clone()), v);
            b.store(t.at(y * side + x), v);
        };
        let zero = b.num(0.0);
        let n = b.load(set.out.at(row.clone()));
        // a spread has no first moments: its forms have no constant
        let (pooled, squares) = (ms.pool.is_some(), if ms.pool.is_some() { 1 } else { 1 + p });
        b.store(t.at(0), if pooled { zero } else { n });
        b.for_(p.max(1), |b, i| {
            if p == 0 {
                return;
            }
            let v = if pooled {
                b.num(0.0)
            } else {
                b.load(set.out.at(row.clone() + i + 1usize))
            };
            symmetric(b, Index::default(), Index::from(i) + 1usize, v);
        });
        for i in 0..p {
            b.for_(i + 1, |b, k| {
                let v = b.load(set.out.at(row.clone() + k + (squares + i * (i + 1) / 2)));
                symmetric(b, Index::constant(1 + i), Index::from(k) + 1usize, v);
            });
        }
        if ms.own {
            let own = base.clone() + j.clone() * (1 + p) + ms.second();
            b.for_(1 + p, |b, i| {
                let v = b.load(set.out.at(own.clone() + i));
                symmetric(b, i.into(), Index::constant(1 + p), v);
            });
            let v = b.load(set.out.at(base.clone() + j.clone() + (ms.third() + 1 + ms.elements)));
            b.store(t.at(side * side - 1), v);
        }
        t
    }
}

fn features_of(body: &Body) -> Vec<Term> {
    match body {
        Body::Linear(f) => f.features(),
        Body::Bilinear(f, g, _) => {
            let mut all = f.features();
            g.features().into_iter().for_each(|x| {
                if !all.contains(&x) {
                    all.push(x);
                }
            });
            all
        }
        _ => vec![],
    }
}

/// n columns times weights, and times n other columns, in `out`; the columns themselves where there is nothing to multiply.
fn weighted(
    b: &mut FuncBuilder<'_>,
    columns: BufId,
    out: Option<BufId>,
    n: usize,
    w: Option<&Rows>,
    other: Option<BufId>,
) -> BufId {
    let Some(out) = out else { return columns };
    b.for_(n, |b, j| {
        b.rows(|b| {
            let mut v = b.load_row(columns.col(j));
            if let Some(w) = w {
                let w = b.load_row(w.clone());
                v = b.mul(v, w);
            }
            if let Some(other) = other {
                let o = b.load_row(other.col(j));
                v = b.mul(v, o);
            }
            b.store_row(out.col(j), v);
        });
    });
    out
}
