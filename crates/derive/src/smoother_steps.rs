//! The E-step of a Gaussian chain as steps of the derivation: the filter's recursions, then the smoother's.

use crate::plan::{Left, Linear, LinearGaussian, Plan, Section, Step};
use crate::posterior::kalman::NAME;
use crate::posterior::structured;
use crate::steps::positions;
use lvmc_model::graph::When;
use lvmc_term::{Shape, Size, Store, Support, Sym, SymKind, Term, sum_sizes};

/// Where cells are missing.
const OBSERVED: &str = "of the observed cells; a row without any leaves a⁻ and P⁻";

/// See the module.
pub fn steps(plan: &mut Plan, out: &mut Vec<Step>) {
    let Some(chain) = plan.gaussian_chain.clone() else {
        return;
    };
    if chain.mean_field {
        return out.extend(product(plan, &chain));
    }
    let own: Vec<usize> = (0..chain.parts.len()).filter(|&i| !chain.parts[i].lagged).collect();
    let lines = match own[..] {
        // its own statements' terms
        [z] if chain.parts.len() == 2 && chain.statements.iter().all(|st| readable(st, z)) => one(plan, &chain, z),
        _ => stacked(plan, &chain),
    };
    out.extend(lines);
}

/// q(s) of a q that is a product: a quadratic, which the scan makes triangular; and the bound.
fn product(plan: &mut Plan, chain: &LinearGaussian) -> Vec<Step> {
    let mut sum = vec![];
    for f in plan.complete.clone() {
        if !chain.statements.iter().any(|st| st.factor == f.factor) {
            continue;
        }
        for case in &f.cases {
            let (values, bound) = positions(plan, &f, &case.fixed);
            let s = &mut plan.store;
            let weight = if values.is_empty() { s.num(1.0) } else { s.resp(&values) };
            let body = s.mul(weight, case.term);
            let body = bound.iter().rev().fold(body, |t, &i| s.ix_sum(i, t));
            sum.push(s.row_sum(body));
        }
    }
    let right = plan.store.sum(&sum);
    let line = |section: Section, left: &'static str, right: Term, remark: String| Step {
        section,
        left: Left::Word(left),
        right,
        rule: structured::NAME,
        condition: None,
        remark,
    };
    let own = chain.parts.iter().filter(|p| !p.lagged);
    let names: Vec<&str> = own.map(|p| plan.store.sym(p.sym).name.as_str()).collect();
    let names = names.join(", ");
    let mut quadratic = format!("quadratic in {names}, up to a constant: Gaussian, by a square-root scan");
    for p in &chain.parts {
        if plan.masks.iter().any(|m| m.completed && m.of == p.sym) {
            let name = &plan.store.sym(p.sym).name;
            quadratic += &format!("; the observed cells of {name} are numbers in it, q is of the others");
        }
    }
    let Some(q) = plan.factorisation() else {
        return vec![line(Section::EStep, "log q", right, quadratic)];
    };
    let why = format!("q = {q}: the posterior of {names} has a Gaussian for every path of the others; {quadratic}");
    let mut bound = vec![];
    for part in ["Q".to_owned()]
        .into_iter()
        .chain(q.split(' ').map(|p| format!("H({p})")))
    {
        let symbol = plan.store.add_sym(Sym {
            name: part,
            kind: SymKind::Aux,
            shape: vec![],
            family: 0,
            per_row: false,
            support: Support::Real,
        });
        bound.push(plan.store.var(symbol));
    }
    let bound = plan.store.sum(&bound);
    let below = "≤ log-likelihood, by KL(q ‖ posterior); the parts of q in turns raise it".to_owned();
    vec![
        line(Section::EStep, "log q", right, why),
        line(Section::Elbo, "ELBO", bound, below),
    ]
}

/// An observation looks at the row's own latent alone.
fn readable(st: &Linear, z: usize) -> bool {
    st.of.is_some() || st.slopes.iter().all(|b| b.0 == z)
}

/// Writes the lines.
struct Writer<'a> {
    s: &'a mut Store,
    shape: Shape,
    index: String,
    lines: Vec<Step>,
}

impl Writer<'_> {
    fn symbol(&mut self, name: &str, shape: Shape) -> Term {
        // slopes and covariances are the same for all rows
        let per_row = !matches!(name, "T" | "H" | "Q" | "R");
        let sym = self.s.add_sym(Sym {
            name: name.into(),
            kind: SymKind::Aux,
            shape,
            family: 0,
            per_row,
            support: Support::Real,
        });
        self.s.var(sym)
    }

    fn mean(&mut self, name: &str) -> Term {
        let shape = self.shape.clone();
        self.symbol(name, shape)
    }

    fn covariance(&mut self, name: &str) -> Term {
        let shape = [self.shape.clone(), self.shape.clone()].concat();
        self.symbol(name, shape)
    }

    fn line(&mut self, left: Term, right: Term, remark: &str) {
        self.lines.push(Step {
            section: Section::EStep,
            left: Left::Term(left),
            right,
            rule: NAME,
            condition: None,
            remark: remark.into(),
        });
    }

    /// a b for maps between vectors or numbers: x ← y ← z, by their ranks.
    fn times(&mut self, a: Term, b: Term, ranks: (usize, usize, usize)) -> Term {
        let s = &mut *self.s;
        match ranks {
            (1, 1, 1) => s.matmul(a, b),
            (1, 1, 0) => s.matvec(a, b),
            (0, 1, 1) => {
                let bt = s.transpose(b);
                s.matvec(bt, a)
            }
            (0, 1, 0) => s.dot(a, b),
            (1, 0, 1) => s.outer(a, b),
            _ => s.mul(a, b),
        }
    }

    fn transposed(&mut self, a: Term) -> Term {
        if self.s.shape(a).len() == 2 {
            self.s.transpose(a)
        } else {
            a
        }
    }

    /// a P aᵀ.
    fn around(&mut self, a: Term, p: Term, (x, z): (usize, usize)) -> Term {
        let at = self.transposed(a);
        let left = self.times(a, p, (x, z, z));
        self.times(left, at, (x, z, x))
    }

    fn inverse(&mut self, m: Term) -> Term {
        if self.s.shape(m).is_empty() {
            self.s.recip(m)
        } else {
            self.s.inv(m)
        }
    }

    fn full(&mut self, covariance: Term) -> Term {
        if self.s.shape(covariance).len() == 1 {
            self.s.diag(covariance)
        } else {
            covariance
        }
    }

    /// a⁻ = B a + c, P⁻ = B P Bᵀ + S.
    fn predict(&mut self, slope: Option<Term>, c: Term, covariance: Term, remark: &str) {
        let before = format!("[{}-1]", self.index);
        let (a, p) = (self.mean(&format!("a{before}")), self.covariance(&format!("P{before}")));
        let (a_next, p_next) = (self.mean("a⁻"), self.covariance("P⁻"));
        let z = self.shape.len();
        let (mut mean, mut cov) = (c, self.full(covariance));
        if let Some(b) = slope {
            let moved = self.times(b, a, (z, z, 0));
            let moved = if z == 0 { self.s.mul(b, a) } else { moved };
            mean = self.s.add(moved, mean);
            let around = self.around(b, p, (z, z));
            cov = self.s.add(around, cov);
        }
        self.line(a_next, mean, remark);
        self.line(p_next, cov, remark);
    }

    /// What an observation adds to a⁻ and P⁻.
    fn observe(&mut self, rest: Term, slope: Term, covariance: Term, remark: &str, first: bool) {
        let z = self.shape.len();
        let shape = self.s.shape(rest).clone();
        let x = shape.len();
        // another observation of the row is taken in after the one before
        let (a, p) = if first { ("a⁻", "P⁻") } else { ("a", "P") };
        let (a_before, p_before) = (self.mean(a), self.covariance(p));
        let v = self.symbol("v", shape.clone());
        let f = self.symbol("F", [shape.clone(), shape.clone()].concat());
        let k = self.symbol("K", [self.shape.clone(), shape].concat());
        let known = if x + z == 0 {
            self.s.mul(slope, a_before)
        } else {
            self.times(slope, a_before, (x, z, 0))
        };
        let rest = self.s.sub(rest, known);
        self.line(v, rest, remark);
        let r = self.full(covariance);
        let around = self.around(slope, p_before, (x, z));
        let whole = self.s.add(around, r);
        self.line(f, whole, "log p(row | rows before) = log Normal(v; 0, F)");
        let (ht, inverse) = (self.transposed(slope), self.inverse(f));
        let gain = self.times(p_before, ht, (z, z, x));
        let gain = self.times(gain, inverse, (z, x, x));
        self.line(k, gain, "");
        let (a, p) = (self.mean("a"), self.covariance("P"));
        let moved = self.times(k, v, (z, x, 0));
        let mean = self.s.add(a_before, moved);
        self.line(a, mean, "");
        let kh = self.times(k, slope, (z, x, z));
        let left = self.less(kh);
        let (kept, noise) = (self.around(left, p_before, (z, z)), self.around(k, r, (z, x)));
        let cov = self.s.add(kept, noise);
        self.line(p, cov, "in roots: nothing is subtracted from a covariance");
    }

    /// m = a + J (m[t+1] − a⁻[t+1]) and the covariance, whose root the ℓ are.
    fn smooth(&mut self, mean: Term, slope: Term, covariance: Term) {
        let z = self.shape.len();
        let after = format!("[{}+1]", self.index);
        let (a, p, j) = (self.mean("a"), self.covariance("P"), self.covariance("J"));
        let (v, v_after) = (self.covariance("V"), self.covariance(&format!("V{after}")));
        let (a_after, p_after) = (self.mean(&format!("a⁻{after}")), self.covariance(&format!("P⁻{after}")));
        let name = self
            .s
            .as_symbol(mean)
            .map_or_else(|| "m".into(), |x| self.s.sym(x.0).name.clone());
        let m_after = self.mean(&format!("{name}{after}"));
        let (bt, inverse) = (self.transposed(slope), self.inverse(p_after));
        let back = self.times(p, bt, (z, z, z));
        let back = self.times(back, inverse, (z, z, z));
        self.line(j, back, "from the last row, where the smoothed state is the filtered");
        let change = self.s.sub(m_after, a_after);
        let moved = self.times(j, change, (z, z, 0));
        let right = self.s.add(a, moved);
        self.line(mean, right, "");
        // cov(z | the next) = (I − J B) P (I − J B)ᵀ + J S Jᵀ
        let jb = self.times(j, slope, (z, z, z));
        let left = self.less(jb);
        let noise = self.full(covariance);
        let ahead = self.s.add(noise, v_after);
        let (kept, around) = (self.around(left, p, (z, z)), self.around(j, ahead, (z, z)));
        let right = self.s.add(kept, around);
        self.line(v, right, "V = Σₚ l lᵀ");
    }

    /// I − m.
    fn less(&mut self, m: Term) -> Term {
        let one = match self.shape.first().cloned() {
            Some(n) => self.s.eye(n),
            None => self.s.num(1.0),
        };
        self.s.sub(one, m)
    }
}

/// A single latent: the terms of its own statements.
fn one(plan: &mut Plan, chain: &LinearGaussian, z: usize) -> Vec<Step> {
    let s = &mut plan.store;
    let shape = s.sym(chain.parts[z].sym).shape.clone();
    let mean = s.var(chain.parts[z].mean);
    let mut w = writer(s, shape.to_vec(), chain);
    let mut first = true;
    for st in &chain.statements {
        let slope = st.slopes.first().map(|b| b.1);
        let remark = st.when.text(&chain.index);
        match (st.of, slope) {
            (Some(_), _) => w.predict(slope, st.offset, st.covariance, &remark),
            (None, Some(slope)) => {
                let remark = match (st.mask, remark.is_empty()) {
                    (None, _) => remark,
                    (Some(_), true) => OBSERVED.into(),
                    (Some(_), false) => format!("{remark}; {OBSERVED}"),
                };
                w.observe(st.offset, slope, st.covariance, &remark, first);
                first = false;
            }
            (None, None) => {}
        }
    }
    let mut later = chain
        .statements
        .iter()
        .filter(|s| s.of.is_some() && s.when != When::At(0));
    if let Some((slope, covariance)) = later.find_map(|s| Some((s.slopes.first()?.1, s.covariance))) {
        w.smooth(mean, slope, covariance);
    }
    w.lines
}

fn writer<'a>(s: &'a mut Store, shape: Shape, chain: &LinearGaussian) -> Writer<'a> {
    Writer {
        s,
        shape,
        index: chain.index.clone(),
        lines: vec![],
    }
}

/// Several latents, or rows that know more than one before: the statements stacked.
fn stacked(plan: &mut Plan, chain: &LinearGaussian) -> Vec<Step> {
    let s = &mut plan.store;
    let sizes = |of: &dyn Fn(usize) -> bool, s: &Store| -> Size {
        let parts = (0..chain.parts.len()).filter(|&i| of(i));
        sum_sizes(parts.map(|i| {
            let shape = s.sym(chain.parts[i].sym).shape.clone();
            shape.first().cloned().unwrap_or(Size::Const(1))
        }))
    };
    let state = sizes(&|i| chain.parts[i].lagged, s);
    let seen: Vec<Size> = chain
        .statements
        .iter()
        .filter(|st| st.of.is_none())
        .map(|st| s.shape(st.offset).first().cloned().unwrap_or(Size::Const(1)))
        .collect();
    let names = |lagged: bool, s: &Store| -> String {
        let parts = chain.parts.iter().filter(|p| p.lagged == lagged);
        parts.map(|p| s.sym(p.sym).name.clone()).collect::<Vec<_>>().join(", ")
    };
    let remark = format!("of the state: {}; from {}", names(false, s), names(true, s));
    let seen = sum_sizes(seen);
    let mut w = writer(s, vec![state.clone()], chain);
    let square: Shape = vec![state.clone(), state.clone()];
    let (t, c, q) = (
        w.symbol("T", square.clone()),
        w.symbol("c", vec![state.clone()]),
        w.symbol("Q", square),
    );
    w.predict(Some(t), c, q, &remark);
    let (y, h, r) = (
        w.symbol("y", vec![seen.clone()]),
        w.symbol("H", vec![seen.clone(), state]),
        w.symbol("R", vec![seen.clone(), seen]),
    );
    let mut remark = "observations less what does not depend on the state".to_owned();
    if chain.statements.iter().any(|st| st.mask.is_some()) {
        remark = format!("{remark}; {OBSERVED}");
    }
    w.observe(y, h, r, &remark, true);
    let mean = w.mean("m");
    w.smooth(mean, t, q);
    w.lines
}
