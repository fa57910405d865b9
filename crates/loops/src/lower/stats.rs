//! Statistics: which sums over rows a sweep accumulates, and how an update reads them.
//!
//! Every `Σₙ r body` of the plan becomes one of
//! - a count Σ r, or first moments Σ r (1, x) of features;
//! - a reading of second moments: body is a product of two linear forms, `E[e₁ e₂ᵀ] = M₁ T M₂ᵀ`;
//! - counts by category Σ r [code = v];
//! - a direct sum, its body evaluated row by row at the current parameters.

use super::context::{Lower, NewBuffer, Scope};
use super::form::{Form, Inputs};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel};
use crate::lens as block;
use lvmc_derive::plan::Value;
use lvmc_term::{Cmp, IxId, Node, SymId, Term};
use std::collections::HashMap;

/// How two linear forms are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// e₁ e₂ᵀ, a matrix.
    Outer,
    /// Element by element; a scalar beside a vector is repeated.
    Elementwise,
    /// e₁ᵀ e₂, a scalar.
    Dot,
    /// e₁ᵀ S⁻¹ e₂ for a flat covariance S, a scalar.
    Precision(Term),
}

/// What a row sum's body is.
#[derive(Debug, Clone)]
pub enum Body {
    /// 1.
    Count,
    /// A linear form.
    Linear(Form),
    /// A product of two.
    Bilinear(Form, Form, Product),
    /// [code = v] for the code's symbol and the term v.
    Code(SymId, Term),
    /// Posterior sums of a chain's transitions, of some of its tables.
    Transitions(Vec<usize>),
    /// Of elements that may be missing, or of a spread.
    Masked(super::masked::Masked),
    /// Anything else, evaluated directly.
    Direct(Term),
}

/// A row sum.
#[derive(Debug, Clone)]
pub struct Use {
    /// The posterior weight's variables and values.
    pub resp: Vec<(SymId, Term)>,
    /// Indices bound around the row sum (of how a row's latents spread, say): a sum for each of their values.
    pub over: Vec<IxId>,
    /// A feature that weights the rows besides.
    pub by: Option<Term>,
    /// The body.
    pub body: Body,
    /// The set of moments, codes or direct sums that holds it.
    pub set: usize,
}

/// Moments of features under the posterior of some finite variables, one for each of their values.
#[derive(Debug, Clone)]
pub struct Set {
    /// Finite variables.
    pub resp: Vec<SymId>,
    /// Indices bound around the row sum (of how a row's latents spread, say): a sum for each of their values.
    pub over: Vec<IxId>,
    /// A feature that weights the rows besides.
    pub by: Option<Term>,
    /// What is accumulated.
    pub kind: SetKind,
    /// The statistic: for each configuration, `stride` numbers.
    pub out: BufId,
    /// Numbers per configuration.
    pub stride: usize,
    /// Raw accumulator, for kernels that have one.
    pub acc: Option<BufId>,
    /// Configurations.
    pub configs: usize,
}

/// What a set accumulates.
#[derive(Debug, Clone)]
pub enum SetKind {
    /// (1, x)(1, x)ᵀ.
    Second(Inputs),
    /// 1, x, x².
    Squares(Inputs),
    /// 1, x.
    First(Inputs),
    /// [code = v].
    Codes(SymId, usize),
    /// Counts of transitions, from the scan.
    Transitions(Vec<usize>),
    /// Moments of elements that may be missing.
    Masked(super::masked::MaskedSet),
    /// The body, with the index terms of the weight's values.
    Direct(Term, Vec<Term>),
}

/// All statistics of a program.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Row sums by term.
    pub uses: HashMap<Term, Use>,
    /// Sets.
    pub sets: Vec<Set>,
}

/// A set before its buffers exist.
struct Wish {
    resp: Vec<SymId>,
    over: Vec<IxId>,
    by: Option<Term>,
    features: Vec<Term>,
    second: bool,
    diagonal: bool,
    users: Vec<Term>,
}

impl Lower<'_> {
    /// Reads every row sum of `terms` and lays out the sets that serve them.
    pub fn plan_statistics(&mut self, pb: &mut impl NewBuffer, terms: &[Term]) {
        let mut sums: Vec<Term> = vec![];
        for &t in terms {
            for sub in self.s.subterms(t) {
                if matches!(self.s.node(sub), Node::RowSum(_)) && !sums.contains(&sub) {
                    sums.push(sub);
                }
            }
        }
        let mut wishes: Vec<Wish> = vec![];
        for t in sums {
            let (resp, by, body) = self.read(t);
            let over = self.spread_indices(t);
            let key: Vec<SymId> = resp.iter().map(|r| r.0).collect();
            match &body {
                Body::Bilinear(a, b, p) => {
                    let mut features = a.features();
                    b.features().into_iter().for_each(|f| {
                        if !features.contains(&f) {
                            features.push(f)
                        }
                    });
                    let diagonal = *p == Product::Elementwise
                        && self.is_diagonal(a)
                        && self.is_diagonal(b)
                        && features.len() == 1
                        && !a.scalar;
                    wishes.push(Wish {
                        resp: key,
                        over: over.clone(),
                        by,
                        features,
                        second: true,
                        diagonal,
                        users: vec![t],
                    });
                }
                Body::Linear(form) => {
                    wishes.push(Wish {
                        resp: key,
                        over: over.clone(),
                        by,
                        features: form.features(),
                        second: false,
                        diagonal: true,
                        users: vec![t],
                    });
                }
                Body::Count if !key.is_empty() || by.is_some() => {
                    wishes.push(Wish {
                        resp: key,
                        over: over.clone(),
                        by,
                        features: vec![],
                        second: false,
                        diagonal: true,
                        users: vec![t],
                    });
                }
                Body::Count | Body::Code(..) | Body::Direct(_) | Body::Masked(_) | Body::Transitions(_) => {}
            }
            self.stats.uses.insert(
                t,
                Use {
                    resp,
                    over,
                    by,
                    body,
                    set: usize::MAX,
                },
            );
        }
        for wish in merge(wishes) {
            self.make_set(pb, wish);
        }
        self.masked_sets(pb);
        self.other_sets(pb);
    }

    /// The posterior weight, a feature that weights the rows besides, and the body of a row sum.
    pub fn read(&mut self, t: Term) -> (Vec<(SymId, Term)>, Option<Term>, Body) {
        self.configured = true;
        let found = self.read_sum(t);
        self.configured = false;
        found
    }

    fn read_sum(&mut self, t: Term) -> (Vec<(SymId, Term)>, Option<Term>, Body) {
        let Node::RowSum(inner) = *self.s.node(t) else {
            return (vec![], None, Body::Direct(t));
        };
        let mut resp = vec![];
        let mut rest = vec![];
        for f in self.s.factors(inner) {
            match self.s.node(f) {
                Node::Resp(values) => resp.extend(values.iter().copied()),
                _ => rest.push(f),
            }
        }
        if let Some(tables) = self.transitions(t) {
            return (resp, None, Body::Transitions(tables));
        }
        rest.retain(|&f| self.s.as_num(f) != Some(1.0));
        let body = self.read_any(&rest);
        if matches!(body, Body::Direct(_)) {
            // w · moment: the rows' moments, weighted by one feature, or by the product of all scalar ones
            let scalars: Vec<Term> = rest
                .iter()
                .copied()
                .filter(|&w| self.s.shape(w).is_empty() && self.is_feature(w))
                .collect();
            let mut tried: Vec<Vec<Term>> = scalars.iter().map(|&w| vec![w]).collect();
            if scalars.len() > 1 {
                tried.push(scalars);
            }
            for by in tried {
                let others: Vec<Term> = rest.iter().copied().filter(|t| !by.contains(t)).collect();
                if others.len() + by.len() != rest.len() {
                    continue;
                }
                let inner = self.read_any(&others);
                if matches!(inner, Body::Linear(_) | Body::Bilinear(..) | Body::Masked(_)) {
                    let by: Vec<Term> = by.into_iter().map(|w| self.canonical(w)).collect();
                    return (resp, Some(self.s.product_of(&by)), inner);
                }
            }
        }
        (resp, None, body)
    }

    fn read_any(&mut self, rest: &[Term]) -> Body {
        match self.read_masked(rest) {
            Some(m) => Body::Masked(m),
            None => self.read_body(rest),
        }
    }

    pub fn read_body(&mut self, rest: &[Term]) -> Body {
        let whole = self.s.product_of(rest);
        match *rest {
            [] => return Body::Count,
            [one] => match *self.s.node(one) {
                Node::Cmp(Cmp::Eq, a, b) => {
                    for (code, v) in [(a, b), (b, a)] {
                        if let Node::Sym(x) = *self.s.node(code)
                            && self.columns.contains_key(&x)
                            && self.is_flat(v)
                        {
                            return Body::Code(x, v);
                        }
                    }
                }
                Node::Outer(a, b) => {
                    if let (Some(a), Some(b)) = (self.linear_form(a), self.linear_form(b)) {
                        return Body::Bilinear(a, b, Product::Outer);
                    }
                }
                Node::Pow(a, e) if self.s.as_num(e) == Some(2.0) => {
                    if let Some(form) = self.linear_form(a) {
                        return Body::Bilinear(form.clone(), form, Product::Elementwise);
                    }
                }
                Node::Dot(a, b) if self.s.per_row(a) && self.s.per_row(b) => {
                    if let (Some(a), Some(b)) = (self.linear_form(a), self.linear_form(b)) {
                        return Body::Bilinear(a, b, Product::Dot);
                    }
                }
                Node::Quad(m, e) if self.is_flat(m) => {
                    if let Some(form) = self.linear_form(e) {
                        return Body::Bilinear(form.clone(), form, Product::Precision(m));
                    }
                }
                Node::Total(u) => {
                    if let Some(body) = self.read_total(u) {
                        return body;
                    }
                }
                _ => {}
            },
            [a, b] => {
                let (fa, fb) = (self.linear_form(a), self.linear_form(b));
                if let (Some(a), Some(b)) = (fa, fb) {
                    return Body::Bilinear(a, b, Product::Elementwise);
                }
            }
            _ => {}
        }
        match self.linear_form(whole) {
            Some(form) => Body::Linear(form),
            None => Body::Direct(whole),
        }
    }

    /// Σ C ⊙ e² for a flat C.
    fn read_total(&mut self, u: Term) -> Option<Body> {
        let (data, flat): (Vec<Term>, Vec<Term>) = self.s.factors(u).into_iter().partition(|&f| self.s.per_row(f));
        let [one] = data[..] else { return None };
        let Node::Pow(e, p) = *self.s.node(one) else {
            return None;
        };
        if self.s.as_num(p) != Some(2.0) {
            return None;
        }
        let form = self.linear_form(e)?;
        if flat.is_empty() {
            return Some(Body::Bilinear(form.clone(), form, Product::Dot));
        }
        let weighted = s_product(&mut self.s, &flat, e);
        let left = self.linear_form(weighted)?;
        Some(Body::Bilinear(left, form, Product::Dot))
    }

    pub fn configs_of(&self, resp: &[SymId]) -> usize {
        resp.iter()
            .filter_map(|&x| self.finite_of(x))
            .map(|v| self.finite_size(v))
            .product()
    }

    /// The indices of a row sum over which its latents spread.
    fn spread_indices(&self, t: Term) -> Vec<IxId> {
        let free = self.s.free_indices(t);
        let smoothed = self.plan.definitions.iter().filter(|d| d.value == Value::Smoothed);
        let known: Vec<IxId> = smoothed.flat_map(|d| d.ranges.iter().copied()).collect();
        free.into_iter().filter(|i| known.contains(i)).collect()
    }

    pub fn extents(&self, over: &[IxId]) -> usize {
        over.iter().map(|&i| self.extent(i)).product()
    }

    fn make_set(&mut self, pb: &mut impl NewBuffer, wish: Wish) {
        let features = wish.features.iter().map(|&t| self.feature(pb, t)).collect();
        let inputs = Inputs::new(features);
        let (p, configs) = (inputs.cols, self.configs_of(&wish.resp) * self.extents(&wish.over));
        let diagonal = wish.second && wish.diagonal;
        let (stride, raw) = if diagonal {
            (1 + 2 * p, configs * block::syrk_len(p, true))
        } else if wish.second {
            ((1 + p) * (1 + p), configs * block::syrk_len(p, false))
        } else {
            (1 + p, block::moments_len(p, configs))
        };
        let name = if wish.second { "second" } else { "first" };
        let out = pb.new_buffer(&format!("stat.{name}"), BufKind::Stat, configs * stride);
        let acc = pb.new_buffer(&format!("acc.{name}"), BufKind::Acc, raw);
        let kind = if diagonal {
            SetKind::Squares(inputs)
        } else if wish.second {
            SetKind::Second(inputs)
        } else {
            SetKind::First(inputs)
        };
        let at = self.stats.sets.len();
        for user in wish.users {
            if let Some(u) = self.stats.uses.get_mut(&user) {
                u.set = at;
            }
        }
        self.stats.sets.push(Set {
            resp: wish.resp,
            over: wish.over,
            by: wish.by,
            kind,
            out,
            stride,
            acc: Some(acc),
            configs,
        });
    }

    /// Category counts and direct sums.
    fn other_sets(&mut self, pb: &mut impl NewBuffer) {
        let mut terms: Vec<Term> = self
            .stats
            .uses
            .iter()
            .filter(|(_, u)| u.set == usize::MAX)
            .map(|(t, _)| *t)
            .collect();
        terms.sort_unstable();
        for t in terms {
            let mut u = self.stats.uses[&t].clone();
            let resp: Vec<SymId> = u.resp.iter().map(|r| r.0).collect();
            if let Body::Transitions(tables) = u.body {
                let set = self.transition_set(pb, resp, tables);
                if let Some(u) = self.stats.uses.get_mut(&t) {
                    u.set = self.stats.sets.len();
                }
                self.stats.sets.push(set);
                continue;
            }
            let (kind, stride, name) = match u.body {
                Body::Code(x, v) => {
                    let n = match self.s.node(v) {
                        Node::Ix(i) => self.extent(*i),
                        _ => self.category_size(x),
                    };
                    (SetKind::Codes(x, n), n, "codes")
                }
                Body::Direct(body) => {
                    let n = self.len_of(body).max(1);
                    let values: Vec<Term> = u.resp.iter().map(|r| r.1).collect();
                    u.over = self.around(body, &values, &resp);
                    (SetKind::Direct(body, values), n, "direct")
                }
                _ => continue,
            };
            let same = self.stats.sets.iter().position(|s| {
                s.resp == resp
                    && matches!((&s.kind, &kind), (SetKind::Codes(a, n), SetKind::Codes(b, m)) if a == b && n == m)
            });
            let configs = self.configs_of(&resp) * self.extents(&u.over);
            let over = u.over.clone();
            let at = same.unwrap_or(self.stats.sets.len());
            if same.is_none() {
                let out = pb.new_buffer(&format!("stat.{name}"), BufKind::Stat, configs * stride);
                self.stats.sets.push(Set {
                    resp,
                    over: over.clone(),
                    by: None,
                    kind,
                    out,
                    stride,
                    acc: None,
                    configs,
                });
            }
            if let Some(u) = self.stats.uses.get_mut(&t) {
                u.set = at;
                u.over = over;
            }
        }
    }

    /// Indices of a body that no posterior weight binds: of a sum around the row sum.
    fn around(&self, body: Term, values: &[Term], resp: &[SymId]) -> Vec<IxId> {
        let own = |i: &IxId| {
            values.iter().any(|&v| *self.s.node(v) == Node::Ix(*i))
                || resp
                    .iter()
                    .any(|&x| self.finite_of(x).is_some_and(|v| self.plan.finite[v].ix == *i))
        };
        self.s.free_indices(body).into_iter().filter(|i| !own(i)).collect()
    }

    /// How many values a category has.
    pub fn category_size(&self, x: SymId) -> usize {
        match &self.s.sym(x).support {
            lvmc_term::Support::Category(n) => self.size(n),
            _ => 2,
        }
    }

    /// The value of a row sum, computed from the statistics into `out`.
    pub fn statistic_into(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term, out: BufId) {
        if self.group_sum_into(b, scope, t, out) {
            return;
        }
        let Some(u) = self.stats.uses.get(&t).cloned() else {
            return;
        };
        if matches!(u.body, Body::Count) && u.resp.is_empty() && u.by.is_none() {
            let n = b.load(self.fixed.settings.at(1));
            b.store(out.at(0), n);
            return;
        }
        let set = self.stats.sets[u.set].clone();
        let mut config = Index::default();
        for &(x, value) in &u.resp {
            let n = self.configs_of(&[x]);
            config = config * n + self.as_index(b, scope, value, n);
        }
        for ix in &u.over {
            config = config * self.extent(*ix) + scope.env.get(ix).cloned().unwrap_or_default();
        }
        let base = config * set.stride;
        if matches!(set.kind, SetKind::First(_) | SetKind::Second(_) | SetKind::Squares(_)) {
            return self.read_moments(b, scope, &u.body, &set, &base, out);
        }
        match (&u.body, &set.kind) {
            (Body::Code(_, v), SetKind::Codes(_, n)) => {
                let at = self.as_index(b, scope, *v, *n);
                let v = b.load(set.out.at(base + at));
                b.store(out.at(0), v);
            }
            (Body::Masked(m), _) => self.masked_into(b, scope, m, &set, base, out),
            _ => {
                let n = set.stride;
                b.for_(n, |b, i| {
                    let v = b.load(set.out.at(base.clone() + i));
                    b.store(out.at(i), v);
                });
            }
        }
    }

    /// A statistic read off moments.
    pub fn read_moments(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        body: &Body,
        set: &Set,
        base: &Index,
        out: BufId,
    ) {
        match (body, &set.kind) {
            (Body::Count, _) => {
                let v = b.load(set.out.at(base.clone()));
                b.store(out.at(0), v);
            }
            (Body::Linear(form), SetKind::First(inputs) | SetKind::Second(inputs) | SetKind::Squares(inputs)) => {
                let m = self.matrix(b, scope, form, inputs);
                let (rows, k) = (form.rows, 1 + inputs.cols);
                let (a, right) = (m.at(0), set.out.at(base.clone()));
                b.kernel(Kernel::MatMul {
                    a,
                    ta: false,
                    b: right,
                    tb: false,
                    out: out.at(0),
                    m: rows,
                    k,
                    n: 1,
                });
            }
            (Body::Bilinear(f, g, product), SetKind::Second(inputs)) => {
                self.bilinear(b, scope, (f, g, *product), inputs, set, base, out);
            }
            (Body::Bilinear(f, g, _), SetKind::Squares(inputs)) => {
                self.squares(b, scope, (f, g), inputs, set, base, out);
            }
            _ => {}
        }
    }

    fn matrix(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, form: &Form, inputs: &Inputs) -> BufId {
        let m = b.buffer("form", BufKind::Scratch, form.rows * (1 + inputs.cols));
        self.form_matrix(b, scope, form, inputs, m, &Index::default());
        m
    }

    /// M₁ T M₂ᵀ, or its diagonal, or the sum of that.
    fn bilinear(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        (f, g, product): (&Form, &Form, Product),
        inputs: &Inputs,
        set: &Set,
        base: &Index,
        out: BufId,
    ) {
        let left = self.matrix(b, scope, f, inputs);
        let right = self.matrix(b, scope, g, inputs);
        let t = set.out.at(base.clone());
        self.product_of_forms(b, scope, (f, g, product), (left, right), t, 1 + inputs.cols, out);
    }

    /// The same, of M₁ and M₂ in buffers and a k × k matrix T.
    pub fn product_of_forms(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        (f, g, product): (&Form, &Form, Product),
        (left, right): (BufId, BufId),
        t: crate::ir::Flat,
        k: usize,
        out: BufId,
    ) {
        let half = b.buffer("moment", BufKind::Scratch, f.rows * k);
        b.kernel(Kernel::MatMul {
            a: left.at(0),
            ta: false,
            b: t,
            tb: false,
            out: half.at(0),
            m: f.rows,
            k,
            n: k,
        });
        if product == Product::Outer {
            let (a, r) = (half.at(0), right.at(0));
            b.kernel(Kernel::MatMul {
                a,
                ta: false,
                b: r,
                tb: true,
                out: out.at(0),
                m: f.rows,
                k,
                n: g.rows,
            });
            return;
        }
        if let Product::Precision(m) = product {
            return self.precision(b, scope, m, (half, right), (f.rows, k), out);
        }
        let rows = f.rows.max(g.rows);
        let zero = b.num(0.0);
        let sums = if product == Product::Dot { 1 } else { rows };
        b.for_(sums, |b, i| b.store(out.at(i), zero));
        b.for_(rows, |b, i| {
            let pick = |n: usize| if n == 1 { Index::default() } else { i.into() };
            let to: Index = if product == Product::Dot {
                Index::default()
            } else {
                i.into()
            };
            b.for_(k, |b, j| {
                let x = b.load(half.at(pick(f.rows) * k + j));
                let y = b.load(right.at(pick(g.rows) * k + j));
                let p = b.mul(x, y);
                b.accum(out.at(to.clone()), p);
            });
        });
    }

    /// tr(S⁻¹ M₁ T M₂ᵀ).
    fn precision(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        m: Term,
        (half, right): (BufId, BufId),
        (d, k): (usize, usize),
        out: BufId,
    ) {
        let scatter = b.buffer("scatter", BufKind::Scratch, d * d);
        let (a, r) = (half.at(0), right.at(0));
        b.kernel(Kernel::MatMul {
            a,
            ta: false,
            b: r,
            tb: true,
            out: scatter.at(0),
            m: d,
            k,
            n: d,
        });
        let s = self.make(b, scope, m);
        let solved = b.buffer("solved", BufKind::Scratch, d * d);
        let flag = self.fixed.failures;
        let (a, r) = (s.at(0), scatter.at(0));
        b.kernel(Kernel::SpdSolve {
            a,
            b: r,
            out: solved.at(0),
            n: d,
            m: d,
            flag: flag.at(0),
        });
        let zero = b.num(0.0);
        b.store(out.at(0), zero);
        b.for_(d, |b, i| {
            let v = b.load(solved.at(i * (d + 1)));
            b.accum(out.at(0), v);
        });
    }

    /// (k₁ + c₁x)(k₂ + c₂x) from Σ r, Σ r x, Σ r x², element by element.
    fn squares(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        (f, g): (&Form, &Form),
        inputs: &Inputs,
        set: &Set,
        base: &Index,
        out: BufId,
    ) {
        let (p, k) = (inputs.cols, 1 + inputs.cols);
        let left = self.matrix(b, scope, f, inputs);
        let right = self.matrix(b, scope, g, inputs);
        b.for_(p, |b, i| {
            let (k1, c1) = (b.load(left.at(i * k)), b.load(left.at(i * k + i + 1usize)));
            let (k2, c2) = (b.load(right.at(i * k)), b.load(right.at(i * k + i + 1usize)));
            let s0 = b.load(set.out.at(base.clone()));
            let s1 = b.load(set.out.at(base.clone() + 1usize + i));
            let s2 = b.load(set.out.at(base.clone() + (1 + p) + i));
            let (a, c) = (b.mul(k1, k2), b.mul(c1, c2));
            let (d, e) = (b.mul(k1, c2), b.mul(k2, c1));
            let cross = b.add(d, e);
            let (a, cross, c) = (b.mul(a, s0), b.mul(cross, s1), b.mul(c, s2));
            let v = b.sum([a, cross, c]);
            b.store(out.at(i), v);
        });
    }
}

/// C ⊙ e, term by term.
fn s_product(s: &mut lvmc_term::Store, flat: &[Term], e: Term) -> Term {
    let c = s.product_of(flat);
    let parts: Vec<Term> = s.addends(e).into_iter().map(|t| s.mul(c, t)).collect();
    s.sum(&parts)
}

/// Second moments that share features are one set; first moments join a second set that has their features, or the
/// one first set of their weight.
fn merge(wishes: Vec<Wish>) -> Vec<Wish> {
    let (second, first): (Vec<Wish>, Vec<Wish>) = wishes.into_iter().partition(|w| w.second);
    let mut sets: Vec<Wish> = vec![];
    for mut wish in second {
        let (joined, rest): (Vec<Wish>, Vec<Wish>) = sets.into_iter().partition(|s| {
            (&s.resp, &s.over, s.by) == (&wish.resp, &wish.over, wish.by)
                && s.features.iter().any(|f| wish.features.contains(f))
        });
        sets = rest;
        for s in joined {
            for f in s.features {
                if !wish.features.contains(&f) {
                    wish.features.push(f);
                    wish.diagonal = false;
                }
            }
            wish.diagonal &= s.diagonal;
            wish.users.extend(s.users);
        }
        wish.features.sort_unstable();
        sets.push(wish);
    }
    for wish in first {
        let fits = |s: &Wish| {
            (&s.resp, &s.over, s.by) == (&wish.resp, &wish.over, wish.by)
                && (s.second && wish.features.iter().all(|f| s.features.contains(f)))
        };
        if let Some(s) = sets.iter_mut().find(|s| fits(s)) {
            s.users.extend(wish.users);
        } else if let Some(s) = sets
            .iter_mut()
            .find(|s| !s.second && (&s.resp, &s.over, s.by) == (&wish.resp, &wish.over, wish.by))
        {
            wish.features.iter().for_each(|f| {
                if !s.features.contains(f) {
                    s.features.push(*f)
                }
            });
            s.users.extend(wish.users);
        } else {
            sets.push(wish);
        }
    }
    sets
}
