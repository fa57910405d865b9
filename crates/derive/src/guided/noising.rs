//! A guide that is a fixed linear-Gaussian chain away from the data, and a generative chain back.
//!
//! With q(xₜ | xₜ₋₁) = N(aₜ xₜ₋₁, sₜ I) and x₀ observed,
//!
//! - the marginal is q(xₜ | x₀) = N(Aₜ x₀, Vₜ I), Aₜ = aₜ Aₜ₋₁, Vₜ = aₜ² Vₜ₋₁ + sₜ, A₀ = 1, V₀ = 0;
//! - by the product of q(xₜ | xₜ₋₁) and q(xₜ₋₁ | x₀), q(xₜ₋₁ | xₜ, x₀) = N(Cₜ xₜ + Eₜ x₀, Uₜ I) with Cₜ = aₜ Vₜ₋₁ / Vₜ,
//!   Eₜ = Aₜ₋₁ sₜ / Vₜ, Uₜ = sₜ Vₜ₋₁ / Vₜ;
//! - the bound splits into −KL(q(x_T | x₀) ‖ p(x_T)), −KL(q(xₜ₋₁ | xₜ, x₀) ‖ p(xₜ₋₁ | xₜ)) for t ≥ 2, and
//!   E log p(x₀ | x₁); with p(xₜ₋₁ | xₜ) = N(μ(xₜ, t), vₜ I) each is a squared error of the means and a constant;
//! - where μ(xₜ, t) = Pₜ xₜ + Gₜ f(xₜ, t) for a net f, and xₜ = Aₜ x₀ + √Vₜ ε, the squared error is
//!   Gₜ² / (2 vₜ) ‖τₜ − f(xₜ, t)‖² with the target τₜ = uₜ x₀ + wₜ ε: whatever the parametrisation makes the net predict.
//!
//! Nothing here knows what the chain is for: any aₜ and sₜ, any mean that is affine in one net (or in none).

use crate::error::DeriveError;
use lvmc_base::Span;
use lvmc_model::graph::{Dist, Factor, ModelGraph, Plate, Role};
use lvmc_term::{IxId, Node, Size, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

/// A number for each t = 0 … T, computed once.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its symbol, an array of T + 1.
    pub sym: SymId,
    /// Its value at [`Noising::index`] (which counts t from 0); the entry of the step before is that table at `index − 1`.
    pub value: Term,
    /// Its value at t = 0.
    pub first: f64,
    /// What it is, for the derivation.
    pub meaning: &'static str,
}

/// What a net predicts, and how much an error of it costs.
#[derive(Debug, Clone)]
pub struct Predicted {
    /// The net's call, of [`Noising::state`] and [`Noising::time`].
    pub call: Term,
    /// Pₜ, of `time`.
    pub state: Term,
    /// Gₜ.
    pub gain: Term,
    /// uₜ, the target's coefficient of x₀.
    pub data: SymId,
    /// wₜ, that of the noise.
    pub noise: SymId,
    /// Gₜ² / (2 vₜ), where vₜ has no parameters.
    pub weight: Option<SymId>,
}

/// The derivation of a noising chain.
#[derive(Debug, Clone)]
pub struct Noising {
    /// The chain's variable.
    pub variable: SymId,
    /// x₀ of a row.
    pub data: SymId,
    /// T.
    pub length: Size,
    /// The index that tables range over.
    pub index: IxId,
    /// Tables, in the order of computation.
    pub tables: Vec<Table>,
    /// Aₜ and Vₜ.
    pub marginal: (SymId, SymId),
    /// Cₜ, Eₜ and Uₜ.
    pub posterior: (SymId, SymId, SymId),
    /// xₜ of a row, where the model's mean and the net speak of it.
    pub state: SymId,
    /// t of a row, 1 … T.
    pub time: SymId,
    /// ε.
    pub noise: SymId,
    /// μ(xₜ, t), nets not written out.
    pub mean: Term,
    /// vₜ.
    pub variance: Term,
    /// Mean and variance of p(x_T).
    pub last: (Term, Term),
    /// What the net predicts, where the mean is affine in one.
    pub predicted: Option<Predicted>,
    /// Statements, for messages: of the guide, of the chain back.
    pub spans: (Span, Span),
}

/// True where the guide is a chain over an index of the model's own.
#[must_use]
pub fn is_noising(graph: &ModelGraph) -> bool {
    graph
        .guide
        .iter()
        .flat_map(|g| &g.factors)
        .any(|f| matches!(graph.plates[f.plate.index()], Plate::Chain { range: Some(_), .. }))
}

fn refuse<T>(what: &str, span: Span, help: &str) -> Result<T, DeriveError> {
    Err(DeriveError::MissingRule {
        what: what.into(),
        rule: "noising-chain".into(),
        span,
        help: help.into(),
    })
}

/// Derives the chain.
pub(super) fn derive(graph: &ModelGraph, s: &mut Store) -> Result<Noising, DeriveError> {
    let factors: Vec<&Factor> = graph.guide.iter().flat_map(|g| &g.factors).collect();
    let [step] = factors[..] else {
        return refuse(
            "a guide with a chain and other statements",
            factors[1].span,
            "one statement of the guide: x[t] ~ Normal(a[t] * x[t-1], s[t] * I)",
        );
    };
    let var = graph.var(step.var);
    let observed = var.observed_at.and_then(|at| s.as_num(at));
    if observed != Some(0.0) {
        return refuse(
            "a chain away from other than x[0]",
            step.span,
            "observe the chain's first position: data x[0] : real[D]",
        );
    }
    for f in &graph.factors {
        if f.var != step.var && graph.var(f.var).role != Role::Param {
            return refuse(
                "a chain with a guide beside other variables",
                f.span,
                "a model of one chain: data x[0], and x[t-1] ~ Normal(…) of x[t]",
            );
        }
    }
    Deriver { graph, s }.find(step)
}

struct Deriver<'a> {
    graph: &'a ModelGraph,
    s: &'a mut Store,
}

/// What the algebra calls the parts of a step: `target ~ N(scale · source, spread I)`.
struct Linear {
    scale: Term,
    spread: Term,
}

impl Deriver<'_> {
    fn find(mut self, step: &Factor) -> Result<Noising, DeriveError> {
        let variable = self.graph.var(step.var).sym;
        let shape = self.s.sym(variable).shape.clone();
        let (positions, event) = (shape[0].clone(), shape[1..].to_vec());
        let x = self.s.var(variable);
        let Plate::Chain { index, .. } = self.graph.plates[step.plate.index()] else {
            return refuse(
                "a statement of the guide outside its chain",
                step.span,
                "put it into the chain",
            );
        };
        // the guide makes position t + 1 of position t, counted from 0
        let (i, one) = (self.s.index(index), self.s.num(1.0));
        let next = self.s.add(i, one);
        let (from, to) = (self.s.at(x, &[i]), self.s.at(x, &[next]));
        if step.value != to {
            return refuse(
                "a chain of the guide that does not run away from the data",
                step.span,
                "x[t] ~ Normal(a[t] * x[t-1], s[t] * I)",
            );
        }
        let linear = self.linear(step, from)?;
        let data = self.symbol(
            &self.graph.var(step.var).name.clone(),
            event.clone(),
            SymKind::Data,
            true,
        );
        let state = self.symbol(
            &format!("{}_t", self.graph.var(step.var).name),
            event.clone(),
            SymKind::Latent,
            true,
        );
        let time = self.symbol("t", vec![], SymKind::Noise, true);
        let noise = self.symbol("epsilon", event.clone(), SymKind::Noise, true);
        let ix = self.s.add_ix("t", positions.clone());
        let mut n = Noising {
            variable,
            data,
            length: positions.clone(),
            index: ix,
            tables: vec![],
            marginal: (data, data),
            posterior: (data, data, data),
            state,
            time,
            noise,
            mean: from,
            variance: from,
            last: (from, from),
            predicted: None,
            spans: (step.span, step.span),
        };
        self.forward(&mut n, &linear, index);
        self.back(&mut n, x)?;
        self.prediction(&mut n);
        Ok(n)
    }

    fn symbol(&mut self, name: &str, shape: Vec<Size>, kind: SymKind, per_row: bool) -> SymId {
        let support = if name == "t" { Support::Count } else { Support::Real };
        self.s.add_sym(Sym {
            name: name.into(),
            kind,
            shape,
            family: 0,
            per_row,
            support,
        })
    }

    /// a and s of a step, or what stands in the way.
    fn linear(&mut self, step: &Factor, from: Term) -> Result<Linear, DeriveError> {
        let help = "x[t] ~ Normal(a[t] * x[t-1], s[t] * I) with numbers a[t] and s[t]";
        let Dist::Family {
            family,
            signature,
            args,
            ..
        } = &step.dist
        else {
            return refuse("a guide that chooses between distributions", step.span, help);
        };
        let Some((mean, cov)) = family.gaussian(self.s, *signature, args) else {
            return refuse(&format!("a chain of {}", family.name()), step.span, help);
        };
        let zero = self.s.num(0.0);
        let offset = self.s.substitute(mean, &HashMap::from([(from, zero)]));
        let scale = self.coefficient(mean, from);
        let (Some(scale), true) = (scale, self.is_zero(offset)) else {
            return refuse(
                "a chain of the guide that is not a multiple of the step before",
                step.span,
                help,
            );
        };
        let spread = if self.s.shape(cov).is_empty() {
            Some(cov)
        } else {
            self.s.written_diagonal(cov)
        };
        let spread = spread.map(|v| match *self.s.node(v) {
            Node::Fill(c, _) => c,
            _ => v,
        });
        let Some(spread) = spread.filter(|&v| self.s.shape(v).is_empty()) else {
            return refuse(
                "a chain of the guide whose noise is no multiple of the identity",
                step.span,
                help,
            );
        };
        for t in [scale, spread] {
            let open = self.s.depends_on(
                t,
                |n| matches!(n, Node::Sym(x) if !matches!(self.s.sym(*x).kind, SymKind::Const)),
            );
            if open {
                return refuse(
                    "a chain of the guide with parameters",
                    step.span,
                    "constants: const beta[t in 1..T] = …",
                );
            }
        }
        Ok(Linear { scale, spread })
    }

    /// 0, or a product with 0 (which the algebra keeps where another factor may be infinite; tables are finite).
    fn is_zero(&self, t: Term) -> bool {
        match self.s.node(t) {
            Node::Fill(c, _) | Node::Hold(c) => self.is_zero(*c),
            Node::Mul(ts) => ts.iter().any(|&x| self.is_zero(x)),
            _ => self.s.as_num(t) == Some(0.0),
        }
    }

    /// c where `t` is c · x plus what does not mention x, and c is a number.
    fn coefficient(&mut self, t: Term, x: Term) -> Option<Term> {
        if t == x {
            return Some(self.s.num(1.0));
        }
        if !self.s.contains(t, x) {
            return Some(self.s.num(0.0));
        }
        match self.s.node(t).clone() {
            Node::Add(ts) => {
                let parts: Vec<Term> = ts.iter().map(|&a| self.coefficient(a, x)).collect::<Option<_>>()?;
                Some(self.s.sum(&parts))
            }
            Node::Mul(ts) => {
                let (open, fixed): (Vec<Term>, Vec<Term>) = ts.iter().partition(|&&a| self.s.contains(a, x));
                let [one] = open[..] else { return None };
                if fixed.iter().any(|&f| !self.s.shape(f).is_empty()) {
                    return None;
                }
                let mut all = fixed;
                all.push(self.coefficient(one, x)?);
                Some(self.s.product_of(&all))
            }
            Node::Hold(a) => self.coefficient(a, x),
            _ => None,
        }
    }

    /// A new table; returns its entry at the index.
    fn table(&mut self, n: &mut Noising, name: &str, meaning: &'static str, first: f64, value: Term) -> SymId {
        let sym = self.s.add_sym(Sym {
            name: name.into(),
            kind: SymKind::Const,
            shape: vec![n.length.clone()],
            family: 1,
            per_row: false,
            support: Support::Real,
        });
        n.tables.push(Table {
            sym,
            value,
            first,
            meaning,
        });
        sym
    }

    fn entry(&mut self, table: SymId, at: Term) -> Term {
        let t = self.s.var(table);
        self.s.at(t, &[at])
    }

    /// Marginals and posteriors of the guide.
    fn forward(&mut self, n: &mut Noising, linear: &Linear, guide: IxId) {
        let (t, one) = (self.s.index(n.index), self.s.num(1.0));
        let before = self.s.sub(t, one);
        // the guide's own index counts the step before
        let old = self.s.index(guide);
        let shift = HashMap::from([(old, before)]);
        let (a, v) = (
            self.s.substitute(linear.scale, &shift),
            self.s.substitute(linear.spread, &shift),
        );
        let a = self.table(n, "a", "q(x_t | x_{t-1}): factor", 1.0, a);
        let s = self.table(n, "s", "q(x_t | x_{t-1}): variance", 0.0, v);
        let (a, s) = (self.entry(a, t), self.entry(s, t));
        // A_t = a_t A_{t−1}
        let big_a = self.table(n, "A", "q(x_t | x_0): factor", 1.0, one);
        let prior = self.entry(big_a, before);
        let value = self.s.mul(a, prior);
        self.redefine(n, value);
        // V_t = a_t² V_{t−1} + s_t
        let big_v = self.table(n, "V", "q(x_t | x_0): variance", 0.0, one);
        let v_before = self.entry(big_v, before);
        let (a2, a_before) = (self.s.square(a), self.entry(big_a, before));
        let value = self.s.mul(a2, v_before);
        let value = self.s.add(value, s);
        self.redefine(n, value);
        let v = self.entry(big_v, t);
        n.marginal = (big_a, big_v);
        // C_t = a_t V_{t−1} / V_t, E_t = A_{t−1} s_t / V_t, U_t = s_t V_{t−1} / V_t
        let c = self.s.mul(a, v_before);
        let c = self.s.div(c, v);
        let c = self.table(n, "C", "q(x_{t-1} | x_t, x_0): factor of x_t", 0.0, c);
        let e = self.s.mul(a_before, s);
        let e = self.s.div(e, v);
        let e = self.table(n, "E", "q(x_{t-1} | x_t, x_0): factor of x_0", 0.0, e);
        let u = self.s.mul(s, v_before);
        let u = self.s.div(u, v);
        let u = self.table(n, "U", "q(x_{t-1} | x_t, x_0): variance", 0.0, u);
        n.posterior = (c, e, u);
    }

    fn redefine(&mut self, n: &mut Noising, value: Term) {
        if let Some(last) = n.tables.last_mut() {
            last.value = value;
        }
    }

    /// The chain back, and where it starts.
    fn back(&mut self, n: &mut Noising, x: Term) -> Result<(), DeriveError> {
        let (state, time) = (self.s.var(n.state), self.s.var(n.time));
        let mut found = (None, None);
        for f in &self.graph.factors {
            if self.graph.var(f.var).sym != n.variable {
                continue;
            }
            let help = "x[T] ~ Normal(0, I); x[t-1] ~ Normal(mean of x[t] and t, v[t] * I)";
            let Dist::Family {
                family,
                signature,
                args,
                ..
            } = &f.dist
            else {
                return refuse("a chain back that chooses between distributions", f.span, help);
            };
            let Some((mean, cov)) = family.gaussian(self.s, *signature, args) else {
                return refuse(&format!("a chain back of {}", family.name()), f.span, help);
            };
            let number = self.s.shape(cov).is_empty();
            let spread = if number {
                Some(cov)
            } else {
                self.s.written_diagonal(cov)
            };
            let Some(spread) = spread else {
                return refuse("a chain back whose noise is not diagonal", f.span, help);
            };
            if f.position.is_some() {
                found.0 = Some((mean, spread));
                continue;
            }
            let Plate::Chain { index, .. } = self.graph.plates[f.plate.index()] else {
                return refuse("a statement of the chain outside of it", f.span, help);
            };
            // position t of position t + 1
            let (i, one) = (self.s.index(index), self.s.num(1.0));
            let next = self.s.add(i, one);
            let source = self.s.at(x, &[next]);
            let here = self.s.at(x, &[i]);
            if f.value != here {
                return refuse("a chain back that does not end at the data", f.span, help);
            }
            let less = self.s.sub(time, one);
            let mut both = [mean, spread];
            for t in &mut both {
                *t = self.s.substitute(*t, &HashMap::from([(source, state)]));
                *t = self.s.substitute(*t, &HashMap::from([(i, less)]));
            }
            if both.iter().any(|&t| self.s.depends_on_sym(t, n.variable)) {
                return refuse("a chain back that looks further than one step", f.span, help);
            }
            n.spans.1 = f.span;
            let spread = match *self.s.node(both[1]) {
                Node::Fill(c, _) => c,
                _ => both[1],
            };
            both[1] = spread;
            found.1 = Some((both[0], both[1]));
        }
        let (Some(last), Some((mean, variance))) = found else {
            return refuse(
                "a chain back without a start",
                n.spans.0,
                "x[T] ~ Normal(0, I) beside the general statement",
            );
        };
        if !self.s.shape(variance).is_empty() {
            return refuse(
                "a chain back whose noise differs between elements",
                n.spans.1,
                "one variance for all of them: v[t] * I",
            );
        }
        n.last = last;
        let shape = self.s.shape(state).clone();
        n.mean = self.s.refill(mean, shape);
        n.variance = variance;
        Ok(())
    }

    /// Pₜ, Gₜ and the target, where the mean is affine in one net.
    fn prediction(&mut self, n: &mut Noising) {
        let calls: Vec<Term> = self
            .s
            .subterms(n.mean)
            .into_iter()
            .filter(|&t| matches!(self.s.node(t), Node::Net { .. }))
            .collect();
        let [call] = calls[..] else { return };
        let Some(gain) = self.coefficient(n.mean, call) else {
            return;
        };
        let zero = self.s.num(0.0);
        let rest = self.s.substitute(n.mean, &HashMap::from([(call, zero)]));
        let state = self.s.var(n.state);
        let Some(factor) = self.coefficient(rest, state) else {
            return;
        };
        let back = self.s.substitute(rest, &HashMap::from([(state, zero)]));
        if !self.is_zero(back)
            || [gain, factor]
                .iter()
                .any(|&t| self.s.contains(t, state) || self.s.contains(t, call))
        {
            return;
        }
        // as tables, t for the row's own time
        let (t, time) = (self.s.index(n.index), self.s.var(n.time));
        let here = HashMap::from([(time, t)]);
        let (g, p) = (self.s.substitute(gain, &here), self.s.substitute(factor, &here));
        let (a, v) = (self.entry(n.marginal.0, t), self.entry(n.marginal.1, t));
        let (c, e) = (self.entry(n.posterior.0, t), self.entry(n.posterior.1, t));
        let d = self.s.sub(c, p);
        // u_t = ((C_t − P_t) A_t + E_t) / G_t, w_t = (C_t − P_t) √V_t / G_t
        let u = self.s.mul(d, a);
        let u = self.s.add(u, e);
        let u = self.s.div(u, g);
        let root = self.s.sqrt(v);
        let w = self.s.mul(d, root);
        let w = self.s.div(w, g);
        let data = self.table(n, "u", "target: factor of x_0", 0.0, u);
        let noise = self.table(n, "w", "target: factor of the noise", 0.0, w);
        let fixed =
            |s: &Store, x: Term| !s.depends_on(x, |n| matches!(n, Node::Sym(y) if s.sym(*y).kind != SymKind::Const));
        let variance = self.s.substitute(n.variance, &here);
        let weight = (fixed(self.s, variance) && fixed(self.s, g) && self.s.shape(variance).is_empty()).then(|| {
            let g2 = self.s.square(g);
            let two = self.s.scale(2.0, variance);
            let weight = self.s.div(g2, two);
            self.table(n, "omega", "weight of the squared error in the bound", 0.0, weight)
        });
        n.predicted = Some(Predicted {
            call,
            state: factor,
            gain,
            data,
            noise,
            weight,
        });
    }
}

impl Noising {
    /// xₜ = Aₜ x₀ + √Vₜ ε.
    pub fn draw(&self, s: &mut Store) -> Term {
        let (x0, e, t) = (s.var(self.data), s.var(self.noise), s.var(self.time));
        let (a, v) = (s.var(self.marginal.0), s.var(self.marginal.1));
        let (a, v) = (s.at(a, &[t]), s.at(v, &[t]));
        let sd = s.sqrt(v);
        let (ax, se) = (s.mul(a, x0), s.mul(sd, e));
        s.add(ax, se)
    }

    /// τₜ = uₜ x₀ + wₜ ε.
    pub fn target(&self, s: &mut Store, p: &Predicted) -> Term {
        let (x0, e, t) = (s.var(self.data), s.var(self.noise), s.var(self.time));
        let (u, w) = (s.var(p.data), s.var(p.noise));
        let (u, w) = (s.at(u, &[t]), s.at(w, &[t]));
        let (ux, we) = (s.mul(u, x0), s.mul(w, e));
        s.add(ux, we)
    }

    /// ‖τₜ − f(xₜ, t)‖² of a draw, or ‖Cₜ xₜ + Eₜ x₀ − μ(xₜ, t)‖² where no net predicts alone.
    pub fn error(&self, s: &mut Store) -> Term {
        let state = s.var(self.state);
        let draw = self.draw(s);
        let difference = match &self.predicted {
            Some(p) => {
                let tau = self.target(s, p);
                s.sub(tau, p.call)
            }
            None => {
                let t = s.var(self.time);
                let (c, e) = (s.var(self.posterior.0), s.var(self.posterior.1));
                let (c, e, x0) = (s.at(c, &[t]), s.at(e, &[t]), s.var(self.data));
                let (cx, ex) = (s.mul(c, state), s.mul(e, x0));
                let mean = s.add(cx, ex);
                s.sub(mean, self.mean)
            }
        };
        let square = s.square(difference);
        let total = s.total(square);
        s.substitute(total, &HashMap::from([(state, draw)]))
    }

    /// T as a number.
    pub fn steps(&self, s: &mut Store) -> Term {
        let (n, one) = (s.size(self.length.clone()), s.num(1.0));
        s.sub(n, one)
    }

    /// D, the number of elements of x₀: the chain is the same for each of them, whatever their shape.
    fn elements(&self, s: &mut Store) -> Term {
        let sizes: Vec<Term> = s.sym(self.data).shape.clone().into_iter().map(|d| s.size(d)).collect();
        s.product_of(&sizes)
    }

    /// Minus the part of the bound at the row's t, without the start's: the squared error with its weight, and the constant.
    pub fn cost(&self, s: &mut Store) -> Term {
        let (t, one) = (s.var(self.time), s.num(1.0));
        let d = self.elements(s);
        let error = self.error(s);
        let v = self.variance;
        let weighted = match &self.predicted {
            Some(p) => match p.weight {
                Some(w) => {
                    let w = s.var(w);
                    let w = s.at(w, &[t]);
                    s.mul(w, error)
                }
                None => {
                    let g2 = s.square(p.gain);
                    let w = s.scale(0.5, g2);
                    let w = s.div(w, v);
                    s.mul(w, error)
                }
            },
            None => {
                let half = s.scale(0.5, error);
                s.div(half, v)
            }
        };
        // t = 1: D/2 log 2πv; t ≥ 2: D/2 (U/v − 1 − log(U/v))
        let is_first = s.cmp(lvmc_term::Cmp::Eq, t, one);
        let u = s.var(self.posterior.2);
        let u = s.at(u, &[t]);
        // U₁ = 0 is not looked at; as 1 the branch not taken has finite derivatives
        let u = s.select(is_first, one, u);
        let two_pi = s.two_pi();
        let all = s.mul(two_pi, v);
        let first = s.log(all);
        let ratio = s.div(u, v);
        let log = s.log(ratio);
        let rest = s.sub(ratio, log);
        let rest = s.sub(rest, one);
        let constant = s.select(is_first, first, rest);
        let constant = s.mul(constant, d);
        let constant = s.scale(0.5, constant);
        s.add(weighted, constant)
    }

    /// KL(q(x_T | x₀) ‖ p(x_T)) = ½ Σ ( (A x₀ − m)² / c + V/c − 1 − log(V/c) ).
    pub fn start(&self, s: &mut Store) -> Term {
        let x0 = s.var(self.data);
        let shape = s.shape(x0).clone();
        let (n, one) = (s.size(self.length.clone()), s.num(1.0));
        let last = s.sub(n, one);
        let (a, v) = (s.var(self.marginal.0), s.var(self.marginal.1));
        let (a, v) = (s.at(a, &[last]), s.at(v, &[last]));
        let (m, c) = self.last;
        let mean = s.mul(a, x0);
        let e = s.sub(mean, m);
        let e2 = s.square(e);
        let e2 = s.div(e2, c);
        let ratio = s.div(v, c);
        let log = s.log(ratio);
        let rest = s.sub(ratio, log);
        let rest = s.sub(rest, one);
        let sum = s.add(e2, rest);
        let sum = s.refill(sum, shape);
        let total = s.total(sum);
        s.scale(0.5, total)
    }
}
