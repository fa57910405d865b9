//! Models with a guide or with nets: the evidence lower bound as one term of a row, for gradients.
//!
//! log p(x) ≥ E_q[log p(x, z) − log q(z | x)]. Each expectation is taken by the first rule that applies, from the last
//! factor of the guide to its first: a sum over the values of a finite latent (`enumeration`), moments where the term is
//! linear or quadratic in a Gaussian one (`gaussian-expectation`), its point (`point`), and else one draw written as a
//! function of noise (`reparametrisation`), so that gradients pass through it. What is left has parameters, data and noise;
//! its gradient is a term too.

mod expect;
mod free;
pub mod noising;
mod order;
mod steps;

use crate::error::DeriveError;
use crate::joint;
use expect::{Moments, Spread, diagonal};
use lvmc_base::Span;
use lvmc_families::Noise;
use lvmc_model::graph::{Dist, Factor, ModelGraph, Plate, Role};
use lvmc_term::{IxId, Node, Size, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

pub use free::{Free, Positions, coordinate};
pub use noising::Noising;

/// What the objective is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The log-likelihood: nothing is latent.
    LogLikelihood,
    /// The evidence lower bound, or one draw of it.
    Elbo,
    /// log p(x | z) at a point of z: there is no bound on the evidence.
    Point,
}

/// How an expectation was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// There was nothing to average.
    Plain,
    /// The latent is a point.
    Point,
    /// A sum over the values of a finite latent.
    Enumerated,
    /// Moments of a Gaussian.
    Moments,
    /// One draw, a function of noise.
    Drawn,
}

impl Taken {
    /// The rule's name.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Point => "point",
            Self::Enumerated => "enumeration",
            Self::Moments => "gaussian-expectation",
            Self::Drawn => "reparametrisation",
        }
    }
}

/// One statement's part of the bound.
#[derive(Debug, Clone)]
pub struct BoundTerm {
    /// The variable it is the density of.
    pub of: SymId,
    /// A factor of q, which is subtracted.
    pub guide: bool,
    /// log density as written.
    pub written: Term,
    /// Its expectation under q, nets not written out.
    pub expected: Term,
    /// How, the least exact of its parts.
    pub taken: Taken,
}

/// The distribution of noise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Random {
    /// Normal(0, 1).
    Normal,
    /// Uniform on (0, 1).
    Uniform,
    /// A step of a chain of n positions: one of 0 … n − 2, equally likely.
    Step(Size),
}

/// Noise that a draw is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The symbol.
    pub sym: SymId,
    /// Its distribution.
    pub random: Random,
}

/// What is maximised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aim {
    /// The bound (or what there is in its place).
    #[default]
    Bound,
    /// The bound of several weighted draws.
    Importance {
        /// Draws.
        draws: usize,
    },
    /// The bound with its divergence times a number that the caller sets.
    Weighted,
    /// The unweighted squared error of what the net of a noising chain predicts.
    Simple,
}

/// A latent and its factor of q.
#[derive(Debug, Clone)]
pub struct Latent {
    /// The variable.
    pub sym: SymId,
    /// A draw (or the point), a function of data, noise, and latents before it.
    pub draw: Term,
    /// Mean and variance of q, given the latents before it; none where q has none in closed form.
    pub moments: Option<(Term, Option<Term>)>,
    /// One of that many values.
    pub finite: Option<(Size, IxId)>,
    /// q of the value that the index names, where it is finite.
    pub mass: Option<Term>,
    /// Has a density: counts in importance weights. An auxiliary variable of the guide has none.
    pub auxiliary: bool,
    /// It is a point.
    pub point: bool,
    /// Its statement.
    pub span: Span,
}

/// A finite latent that the guide leaves out: it is summed out of the joint, log Σₖ p(…, k).
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// The variable.
    pub sym: SymId,
    /// Its values.
    pub size: Size,
    /// Their probabilities, given the data and the latents of the guide; none where another one is summed out after it.
    pub posterior: Option<Term>,
    /// Its statement.
    pub span: Span,
}

/// The derivation of a model that is fitted by gradients.
#[derive(Debug, Clone)]
pub struct Guided {
    /// Terms (the graph's store, grown).
    pub store: Store,
    /// What the objective is.
    pub objective: Objective,
    /// Its parts.
    pub terms: Vec<BoundTerm>,
    /// The log prior density of the parameters, once; nets not written out.
    pub prior: Vec<Term>,
    /// Latents, in the order in which q draws them.
    pub latents: Vec<Latent>,
    /// Finite latents that are summed out exactly.
    pub left_out: Vec<LeftOut>,
    /// Noise of the draws.
    pub noise: Vec<Source>,
    /// log p(x, z) − log q(z | x) of the draw, where that is what the objective averages.
    pub weight: Option<Term>,
    /// Parameters that the objective has, nets' weights among them.
    pub params: Vec<SymId>,
    /// Covariances that draws are made with, and the symbols of their roots L, S = L Lᵀ.
    pub roots: Vec<(SymId, SymId)>,
    /// The guide is a fixed chain away from the data.
    pub noising: Option<Noising>,
}

/// A row's objective, written out for lowering.
#[derive(Debug, Clone)]
pub struct Written {
    /// Of a row.
    pub row: Term,
    /// Once.
    pub prior: Term,
    /// Free coordinates of the parameters.
    pub free: Vec<Free>,
    /// Constants that they use.
    pub positions: Vec<Positions>,
    /// Noise of the draws and of the nets.
    pub noise: Vec<Source>,
    /// The divergence's weight, held once, where the aim has one.
    pub beta: Option<SymId>,
}

/// True where a model is fitted by gradients: it has a guide or a net.
#[must_use]
pub fn needs_gradients(graph: &ModelGraph) -> bool {
    graph.guide.is_some() || !graph.nets.is_empty()
}

/// Derives the bound.
///
/// # Errors
/// Where a latent has no factor of q, or q's factor cannot be drawn as a function of noise.
pub fn derive(graph: &ModelGraph) -> Result<Guided, DeriveError> {
    let mut b = Builder {
        graph,
        g: Guided {
            store: graph.store.clone(),
            objective: Objective::LogLikelihood,
            terms: vec![],
            prior: vec![],
            latents: vec![],
            left_out: vec![],
            noise: vec![],
            weight: None,
            params: vec![],
            roots: vec![],
            noising: None,
        },
    };
    if noising::is_noising(graph) {
        b.noising()?;
        b.coordinates()?;
        return Ok(b.g);
    }
    b.refuse()?;
    for factor in order::guide(graph)? {
        b.latent(factor)?;
    }
    b.left_out();
    b.missing_latents()?;
    b.parts();
    b.weigh();
    b.g.params = b.params();
    b.coordinates()?;
    Ok(b.g)
}

struct Builder<'a> {
    graph: &'a ModelGraph,
    g: Guided,
}

impl<'a> Builder<'a> {
    fn s(&mut self) -> &mut Store {
        &mut self.g.store
    }

    /// A fixed chain away from the data: the bound is its own.
    fn noising(&mut self) -> Result<(), DeriveError> {
        let n = noising::derive(self.graph, &mut self.g.store)?;
        let graph = self.graph;
        for f in &graph.factors {
            if !self.is_global(f) {
                continue;
            }
            let written = self.density(f);
            let body = f.ranges.iter().rev().fold(written, |t, &i| self.g.store.ix_sum(i, t));
            self.g.prior.push(body);
        }
        self.g.objective = Objective::Elbo;
        let cost = n.cost(&mut self.g.store);
        let used = {
            let (t, _) = self.graph.expand_nets(&mut self.g.store, cost);
            let mut used = self.g.store.symbols(t);
            for &p in &self.g.prior {
                used.extend(self.g.store.symbols(p));
            }
            used
        };
        let params = self.graph.vars.iter().filter(|v| v.role == Role::Param);
        self.g.params = params.map(|v| v.sym).filter(|s| used.contains(s)).collect();
        self.g.noising = Some(n);
        Ok(())
    }

    fn coordinates(&self) -> Result<(), DeriveError> {
        for &p in &self.g.params {
            let sym = self.g.store.sym(p);
            if !free::has_coordinates(&sym.support, sym.shape.len()) {
                let var = self.graph.var_of(p).map(|v| self.graph.var(v));
                return Err(DeriveError::MissingRule {
                    what: format!(
                        "a gradient step on `{}`, whose values are constrained as a whole",
                        sym.name
                    ),
                    rule: "free-coordinates".into(),
                    span: var.map_or_else(|| self.graph.factors[0].span, |v| v.span),
                    help: "parameters that are real, positive, unit, one simplex or one covariance take gradient steps"
                        .into(),
                });
            }
        }
        Ok(())
    }

    fn is_global(&self, f: &Factor) -> bool {
        matches!(self.graph.plates[f.plate.index()], Plate::Global)
    }

    fn refuse(&self) -> Result<(), DeriveError> {
        let refuse = |what: &str, rule: &str, span: Span, help: &str| {
            Err(DeriveError::MissingRule {
                what: what.into(),
                rule: rule.into(),
                span,
                help: help.into(),
            })
        };
        let guide = self.graph.guide.iter().flat_map(|g| &g.factors);
        for f in self.graph.factors.iter().chain(guide) {
            let plate = &self.graph.plates[f.plate.index()];
            if !matches!(plate, Plate::Global | Plate::Row { parent: None }) {
                return refuse(
                    "a chain or a group of a model with nets or a guide",
                    "gradient-elbo",
                    f.span,
                    "statements of the rows, with `given` columns for what rows share",
                );
            }
            if self.is_global(f) && self.graph.var(f.var).role == Role::Latent {
                return refuse(
                    "a global latent of a model with nets or a guide",
                    "gradient-elbo",
                    f.span,
                    "`param` instead of `global latent` gives it a point estimate (MAP with this prior)",
                );
            }
        }
        Ok(())
    }

    // -- q

    /// One factor of q: how it is drawn, and its moments.
    fn latent(&mut self, factor: &'a Factor) -> Result<(), DeriveError> {
        let var = self.graph.var(factor.var);
        let refuse = |reason: &str, help: &str| {
            Err(DeriveError::NoPosterior {
                name: var.name.clone(),
                reason: reason.into(),
                span: factor.span,
                help: help.into(),
            })
        };
        let Dist::Family {
            family,
            signature,
            args,
            ..
        } = &factor.dist
        else {
            return refuse(
                "q chooses between distributions",
                "give one distribution, and let its arguments depend on the condition",
            );
        };
        let (sym, auxiliary) = (var.sym, var.role == Role::Noise);
        let z = self.s().var(sym);
        if !auxiliary {
            self.narrower(factor)?;
        }
        let finite = family.finite_support(&self.g.store, *signature, args);
        let (mut signature, mut args) = (*signature, args.clone());
        // independent elements are drawn one by one
        if let Some((element, of)) = family.elements(self.s(), signature, &args) {
            (signature, args) = (element, of);
        }
        let shape = self.s().shape(z).clone();
        if let Some(size) = finite.clone().filter(|_| shape.is_empty()) {
            let ix = self.s().add_ix(index_name(&var.name), size.clone());
            let (log_q, k) = (self.density(factor), self.s().index(ix));
            let log_q = self.replaced(log_q, sym, k);
            let mass = self.s().exp(log_q);
            self.g.latents.push(Latent {
                sym,
                draw: z,
                moments: None,
                finite: Some((size, ix)),
                mass: Some(mass),
                auxiliary,
                point: false,
                span: factor.span,
            });
            return Ok(());
        }
        let Some(noise) = family.noise(signature) else {
            return refuse(
                &format!("a draw from {} is no smooth function of noise", family.name()),
                "q of a continuous latent is Normal, Exponential or Delta; of a category, Categorical",
            );
        };
        let sample_noise = match noise {
            Noise::None => None,
            _ => Some(self.noise_for(&var.name, &shape, noise)),
        };
        let rooted: Vec<Term> = args.iter().map(|&a| self.rooted(a)).collect();
        let Some(draw) = family.draw_from(self.s(), signature, &rooted, sample_noise) else {
            return refuse(
                "a draw needs the root of its covariance",
                "write the spread as diag(v), as s * I, as a covariance parameter, or as chol = L",
            );
        };
        let draw = self.s().refill(draw, shape.clone());
        let mean = family.mean(self.s(), signature, &args);
        let variance = family.variance(self.s(), signature, &args);
        let moments = mean.map(|m| {
            let m = self.s().refill(m, shape.clone());
            (m, variance.map(|v| self.g.store.refill(v, shape)))
        });
        self.g.latents.push(Latent {
            sym,
            draw,
            moments,
            finite: None,
            mass: None,
            auxiliary,
            point: matches!(noise, Noise::None),
            span: factor.span,
        });
        Ok(())
    }

    /// A covariance parameter, or a multiple of one, as a product L Lᵀ of its root.
    fn rooted(&mut self, t: Term) -> Term {
        let (scalars, arrays): (Vec<Term>, Vec<Term>) = match self.g.store.node(t).clone() {
            Node::Mul(ts) => ts.iter().partition(|&&f| self.g.store.shape(f).is_empty()),
            _ => (vec![], vec![t]),
        };
        let [array] = arrays[..] else { return t };
        let Node::Sym(sym) = *self.g.store.node(array) else {
            return t;
        };
        let info = self.g.store.sym(sym).clone();
        if info.support != Support::Cov || info.shape.len() != 2 || info.kind != SymKind::Param {
            return t;
        }
        let known = self.g.roots.iter().find(|r| r.0 == sym).map(|r| r.1);
        let root = known.unwrap_or_else(|| {
            let root = self.g.store.add_sym(Sym {
                name: format!("L_{}", info.name),
                support: Support::Real,
                ..info
            });
            self.g.roots.push((sym, root));
            root
        });
        let s = self.s();
        let (l, c) = (s.var(root), s.product_of(&scalars));
        let sd = s.sqrt(c);
        let l = s.mul(sd, l);
        let lt = s.transpose(l);
        s.matmul(l, lt)
    }

    fn noise_for(&mut self, name: &str, shape: &[Size], noise: Noise) -> Term {
        let sym = self.s().add_sym(Sym {
            name: format!("epsilon_{name}"),
            kind: SymKind::Noise,
            shape: shape.to_vec(),
            family: 0,
            per_row: true,
            support: Support::Real,
        });
        let random = match noise {
            Noise::Uniform => Random::Uniform,
            _ => Random::Normal,
        };
        self.g.noise.push(Source { sym, random });
        self.s().var(sym)
    }

    /// q has mass only where the prior has: elsewhere the bound is −∞.
    fn narrower(&mut self, factor: &Factor) -> Result<(), DeriveError> {
        let graph = self.graph;
        let Some(prior) = graph.factors.iter().find(|f| f.var == factor.var) else {
            return Ok(());
        };
        let mut support = |f: &Factor| match &f.dist {
            Dist::Family {
                family,
                signature,
                args,
                ..
            } if !matches!(family.noise(*signature), Some(Noise::None)) => {
                Some((family.name(), family.support(self.s(), *signature, args)))
            }
            _ => None,
        };
        let (Some((prior, wide)), Some((q, narrow))) = (support(prior), support(factor)) else {
            return Ok(());
        };
        if within(&narrow, &wide) {
            return Ok(());
        }
        Err(DeriveError::NoPosterior {
            name: graph.var(factor.var).name.clone(),
            reason: format!("{q} has mass where the prior, {prior}, has none: the bound is −∞"),
            span: factor.span,
            help: match wide {
                Support::Positive | Support::NonNegative => {
                    "give q values above 0 alone, as Exponential does; or give the model its logarithm: u ~ Normal(…), exp(u)"
                }
                Support::Unit => "give the model a number without bounds, u ~ Normal(…), and use sigmoid(u)",
                _ => "let q have the support of the prior",
            }
            .into(),
        })
    }

    /// Finite latents of a row that q does not speak of.
    fn left_out(&mut self) {
        let graph = self.graph;
        for f in &graph.factors {
            let var = graph.var(f.var);
            let known = self.g.latents.iter().any(|l| l.sym == var.sym);
            if var.role != Role::Latent || known || self.is_global(f) || !self.g.store.sym(var.sym).shape.is_empty() {
                continue;
            }
            let mut guide = graph.guide.iter().flat_map(|g| &g.factors);
            if guide.any(|g| g.dist.mentions(&graph.store, var.sym)) {
                continue;
            }
            let Dist::Family {
                family,
                signature,
                args,
                ..
            } = &f.dist
            else {
                continue;
            };
            if let Some(size) = family.finite_support(&self.g.store, *signature, args) {
                self.g.left_out.push(LeftOut {
                    sym: var.sym,
                    size,
                    posterior: None,
                    span: f.span,
                });
            }
        }
    }

    /// log Σₖ exp Σ (the parts that mention it) for each latent that the guide leaves out: one part in the place of its last.
    fn eliminate(&mut self, parts: &mut Vec<(SymId, Term)>) {
        for i in 0..self.g.left_out.len() {
            let LeftOut { sym, size, .. } = self.g.left_out[i].clone();
            let s = &mut self.g.store;
            let (with, without): (Vec<_>, Vec<_>) = parts.drain(..).partition(|p| s.depends_on_sym(p.1, sym));
            let Some(&(of, _)) = with.last() else {
                *parts = without;
                continue;
            };
            let terms: Vec<Term> = with.iter().map(|p| p.1).collect();
            let joint = s.sum(&terms);
            let ix = s.add_ix("k", size.clone());
            let (k, z, eye) = (s.index(ix), s.var(sym), s.eye(size));
            let joint = s.substitute(joint, &HashMap::from([(z, k)]));
            // the vector of the joint's values
            let unit = s.at(eye, &[k]);
            let entry = s.mul(unit, joint);
            let vector = s.ix_sum(ix, entry);
            let evidence = s.log_sum_exp(vector);
            let posterior = s.softmax(vector);
            let open = self.g.left_out[i + 1..]
                .iter()
                .any(|l| self.g.store.depends_on_sym(posterior, l.sym));
            self.g.left_out[i].posterior = (!open).then_some(posterior);
            *parts = without;
            parts.push((of, evidence));
        }
    }

    fn missing_latents(&self) -> Result<(), DeriveError> {
        for f in &self.graph.factors {
            let var = self.graph.var(f.var);
            let known = self.g.latents.iter().any(|l| l.sym == var.sym);
            if var.role == Role::Latent && !known && !self.g.left_out.iter().any(|l| l.sym == var.sym) {
                return Err(DeriveError::NoPosterior {
                    name: var.name.clone(),
                    reason: "the net that depends on it leaves its posterior no form that the algebra knows".into(),
                    span: f.span,
                    help: format!(
                        "give q in a guide, such as\n  guide {{\n    m, v = encoder(x)\n    {} ~ Normal(m, diag(v))\n  }}",
                        var.name
                    ),
                });
            }
        }
        Ok(())
    }

    // -- the bound

    fn density(&mut self, factor: &Factor) -> Term {
        let s = &mut self.g.store;
        if let Dist::Family {
            family,
            signature,
            args,
            ..
        } = &factor.dist
            && let Some((element, of)) = family.elements(s, *signature, args)
        {
            let t = family.log_density(s, element, factor.value, &of);
            let shape = s.shape(factor.value).clone();
            let t = s.refill(t, shape);
            return s.total(t);
        }
        joint::density(s, factor, &factor.dist, None)
    }

    fn parts(&mut self) {
        let graph = self.graph;
        let mut parts = vec![];
        for f in &graph.factors {
            let mut written = self.density(f);
            if let Some(condition) = f.condition {
                let zero = self.s().num(0.0);
                written = self.s().select(condition, written, zero);
            }
            if self.is_global(f) {
                let body = f.ranges.iter().rev().fold(written, |t, &i| self.g.store.ix_sum(i, t));
                self.g.prior.push(body);
                continue;
            }
            let body = f.ranges.iter().rev().fold(written, |t, &i| self.g.store.ix_sum(i, t));
            parts.push((graph.var(f.var).sym, body));
        }
        self.eliminate(&mut parts);
        for (of, body) in parts {
            self.part(of, false, body);
        }
        for f in graph.guide.iter().flat_map(|g| &g.factors) {
            let sym = graph.var(f.var).sym;
            let known = self.g.latents.iter().find(|l| l.sym == sym);
            // a point and an auxiliary draw have no entropy that counts
            if known.is_some_and(|l| l.auxiliary || l.point) {
                continue;
            }
            let written = self.density(f);
            self.part(sym, true, written);
        }
        let hidden: Vec<&Latent> = self.g.latents.iter().filter(|l| !l.auxiliary).collect();
        self.g.objective = if hidden.iter().any(|l| l.point) {
            Objective::Point
        } else if hidden.is_empty() {
            Objective::LogLikelihood
        } else {
            Objective::Elbo
        };
    }

    fn part(&mut self, of: SymId, guide: bool, written: Term) {
        let (expected, taken) = self.average(written);
        let s = self.s();
        let expected = if guide { s.neg(expected) } else { expected };
        self.g.terms.push(BoundTerm {
            of,
            guide,
            written,
            expected,
            taken,
        });
    }

    /// E_q[t], from the last factor of q to the first.
    fn average(&mut self, t: Term) -> (Term, Taken) {
        let (mut t, mut taken) = (t, Taken::Plain);
        for i in (0..self.g.latents.len()).rev() {
            let latent = self.g.latents[i].clone();
            if !self.g.store.depends_on_sym(t, latent.sym) {
                continue;
            }
            let (next, how) = self.average_over(t, &latent);
            (t, taken) = (next, taken.max(how));
        }
        (t, taken)
    }

    fn average_over(&mut self, t: Term, latent: &Latent) -> (Term, Taken) {
        if let Some(sum) = self.g.enumerated(t, latent) {
            return (sum, Taken::Enumerated);
        }
        if latent.point {
            return (self.replaced(t, latent.sym, latent.draw), Taken::Point);
        }
        let q = self.moments(latent);
        let (mut sum, mut how) = (vec![], Taken::Plain);
        for part in self.g.store.addends(t) {
            if !self.g.store.depends_on_sym(part, latent.sym) {
                sum.push(part);
                continue;
            }
            match q.as_ref().and_then(|q| self.closed(part, q)) {
                Some(e) => {
                    sum.push(e);
                    how = how.max(Taken::Moments);
                }
                None => {
                    sum.push(self.replaced(part, latent.sym, latent.draw));
                    how = how.max(Taken::Drawn);
                }
            }
        }
        (self.s().sum(&sum), how)
    }

    /// The expectation by moments, of the term as it stands or with its nets written out.
    fn closed(&mut self, t: Term, q: &Moments) -> Option<Term> {
        if let Some(e) = expect::expect(self.s(), t, q) {
            return Some(e);
        }
        let (open, masks) = self.graph.expand_nets(&mut self.g.store, t);
        if open == t || !masks.is_empty() {
            return None;
        }
        expect::expect(self.s(), open, q)
    }

    fn moments(&mut self, latent: &Latent) -> Option<Moments> {
        let factors = self.graph.guide.as_ref()?.factors.iter();
        let factor = factors.into_iter().find(|f| self.graph.var(f.var).sym == latent.sym)?;
        let Dist::Family {
            family,
            signature,
            args,
            ..
        } = &factor.dist
        else {
            return None;
        };
        let (mean, cov) = family.gaussian(self.s(), *signature, args)?;
        let shape = self.s().shape(factor.value).clone();
        let mean = self.s().refill(mean, shape);
        let spread = if self.s().shape(cov).is_empty() {
            Spread::Diagonal(cov)
        } else {
            match diagonal(self.s(), cov) {
                Some(v) => Spread::Diagonal(v),
                // element by element
                None if self.g.store.shape(cov).len() < 2 => Spread::Diagonal(cov),
                None => Spread::Full(cov),
            }
        };
        Some(Moments {
            sym: latent.sym,
            mean,
            spread,
        })
    }

    fn replaced(&mut self, t: Term, sym: SymId, by: Term) -> Term {
        let z = self.s().var(sym);
        self.s().substitute(t, &HashMap::from([(z, by)]))
    }

    /// log p(x, z) − log q(z | x) at the draw.
    fn weigh(&mut self) {
        let finite = self.g.latents.iter().any(|l| l.finite.is_some());
        let auxiliary = self.g.latents.iter().any(|l| l.auxiliary);
        if self.g.objective != Objective::Elbo || finite || auxiliary {
            return;
        }
        let mut all = vec![];
        for part in self.g.terms.clone() {
            all.push(if part.guide {
                self.s().neg(part.written)
            } else {
                part.written
            });
        }
        let mut t = self.s().sum(&all);
        for latent in self.g.latents.clone().iter().rev() {
            t = self.replaced(t, latent.sym, latent.draw);
        }
        self.g.weight = Some(t);
    }

    /// Parameters of the objective and of the prior, nets' weights among them.
    fn params(&mut self) -> Vec<SymId> {
        let mut all: Vec<Term> = self.g.terms.iter().map(|t| t.expected).collect();
        all.extend(self.g.prior.iter().copied());
        let sum = self.s().sum(&all);
        let (sum, _) = self.graph.expand_nets(&mut self.g.store, sum);
        let mut used = self.g.store.symbols(sum);
        for &(param, root) in &self.g.roots {
            if used.contains(&root) {
                used.insert(param);
            }
        }
        let params = self.graph.vars.iter().filter(|v| v.role == Role::Param);
        params.map(|v| v.sym).filter(|s| used.contains(s)).collect()
    }
}

/// True where every value of `q` is one of `p`, and both have densities of one kind.
fn within(q: &Support, p: &Support) -> bool {
    let non_negative = |s: &Support| matches!(s, Support::Positive | Support::NonNegative);
    match p {
        Support::Real => matches!(q, Support::Real | Support::Unit) || non_negative(q),
        Support::Positive | Support::NonNegative => non_negative(q) || *q == Support::Unit,
        Support::Int => matches!(q, Support::Int | Support::Count | Support::Binary),
        Support::Count => matches!(q, Support::Count | Support::Binary),
        // sizes were compared when the model was read
        Support::Category(_) => matches!(q, Support::Category(_)),
        _ => q == p,
    }
}

/// k for z, and the variable's name where it has another.
fn index_name(name: &str) -> &str {
    if name == "z" { "k" } else { name }
}

impl Guided {
    /// The objective with nets written out and parameters in free coordinates; `draws` of q are averaged.
    ///
    /// # Errors
    /// Where the model has no such objective.
    pub fn written(&mut self, graph: &ModelGraph, aim: Aim, draws: usize) -> Result<Written, &'static str> {
        let mut noise = self.noise.clone();
        let mut beta = None;
        let row = match (aim, self.noising.clone()) {
            (Aim::Simple, None) => return Err("only a chain away from the data has a simple objective"),
            (Aim::Importance { .. } | Aim::Weighted, Some(_)) => {
                return Err("a chain away from the data has the objectives elbo and simple");
            }
            (_, Some(n)) => {
                noise.push(Source {
                    sym: n.noise,
                    random: Random::Normal,
                });
                self.noising_row(&n, aim, &mut noise)
            }
            (Aim::Importance { draws }, None) => {
                let Some(weight) = self.weight else {
                    return Err("importance weights need a guide of continuous latents with densities");
                };
                let copies = self.copies(weight, draws, &mut noise);
                let all = self.store.stack(&copies);
                let lse = self.store.log_sum_exp(all);
                let n = self.store.num(-(draws as f64).ln());
                self.store.add(lse, n)
            }
            (aim, None) => {
                let weight = (aim == Aim::Weighted).then(|| self.once("beta"));
                beta = weight;
                let mut parts = vec![];
                for t in self.terms.clone() {
                    let divergence = self.latents.iter().any(|l| l.sym == t.of);
                    parts.push(match weight.filter(|_| divergence) {
                        Some(b) => {
                            let b = self.store.var(b);
                            self.store.mul(b, t.expected)
                        }
                        None => t.expected,
                    });
                }
                self.store.sum(&parts)
            }
        };
        let row = match aim {
            Aim::Importance { .. } => row,
            _ if draws > 1 => {
                let copies = self.copies(row, draws, &mut noise);
                let sum = self.store.sum(&copies);
                self.store.scale(1.0 / draws as f64, sum)
            }
            _ => row,
        };
        let prior = self.store.sum(&self.prior.clone());
        let (row, masks) = graph.expand_nets(&mut self.store, row);
        noise.extend(masks.into_iter().map(|sym| Source {
            sym,
            random: Random::Uniform,
        }));
        let mut positions = vec![];
        let free = free::free(&mut self.store, &self.params, &self.roots, &mut positions);
        Ok(Written {
            row: free::replace(&mut self.store, row, &free),
            prior: free::replace(&mut self.store, prior, &free),
            free,
            positions,
            noise,
            beta,
        })
    }

    /// The bound of a row at one draw, nets not written out, and the noise of the draw.
    pub fn bound(&mut self) -> (Term, Vec<Source>) {
        let mut noise = self.noise.clone();
        if let Some(n) = self.noising.clone() {
            noise.push(Source {
                sym: n.noise,
                random: Random::Normal,
            });
            let row = self.noising_row(&n, Aim::Bound, &mut noise);
            return (row, noise);
        }
        let parts: Vec<Term> = self.terms.iter().map(|t| t.expected).collect();
        (self.store.sum(&parts), noise)
    }

    /// A symbol that the caller sets once.
    pub fn once(&mut self, name: &str) -> SymId {
        self.store.add_sym(Sym {
            name: name.into(),
            kind: SymKind::Aux,
            shape: vec![],
            family: 0,
            per_row: false,
            support: Support::Real,
        })
    }

    /// A row's weight, which the caller sets.
    pub fn row_weight(&mut self) -> SymId {
        self.store.add_sym(Sym {
            name: "weight".into(),
            kind: SymKind::Given,
            shape: vec![],
            family: 0,
            per_row: true,
            support: Support::NonNegative,
        })
    }

    /// The bound of a noising chain at one t of T, or its simple objective.
    fn noising_row(&mut self, n: &Noising, aim: Aim, noise: &mut Vec<Source>) -> Term {
        let s = &mut self.store;
        let row = if aim == Aim::Simple {
            let e = n.error(s);
            s.neg(e)
        } else {
            let (cost, start) = (n.cost(s), n.start(s));
            let steps = n.steps(s);
            let all = s.mul(steps, cost);
            let all = s.add(all, start);
            s.neg(all)
        };
        // t is one more than a position drawn from 0 … T − 1
        let sym = self.store.add_sym(Sym {
            name: "t - 1".into(),
            kind: SymKind::Noise,
            shape: vec![],
            family: 0,
            per_row: true,
            support: Support::Count,
        });
        noise.push(Source {
            sym,
            random: Random::Step(n.length.clone()),
        });
        let (at, one, t) = (self.store.var(sym), self.store.num(1.0), self.store.var(n.time));
        let t1 = self.store.add(at, one);
        self.store.substitute(row, &HashMap::from([(t, t1)]))
    }

    /// A term with noise of its own, several times.
    fn copies(&mut self, t: Term, draws: usize, noise: &mut Vec<Source>) -> Vec<Term> {
        let own: Vec<Source> = noise.clone();
        let mut out = vec![t];
        for _ in 1..draws {
            let mut with = HashMap::new();
            for source in &own {
                let sym = self.store.sym(source.sym).clone();
                let fresh = self.store.add_sym(sym);
                with.insert(self.store.var(source.sym), self.store.var(fresh));
                noise.push(Source {
                    sym: fresh,
                    random: source.random.clone(),
                });
            }
            out.push(self.store.substitute(t, &with));
        }
        out
    }

    /// A term that is evaluated without dropout, in free coordinates.
    #[must_use]
    pub fn evaluated(&mut self, graph: &ModelGraph, t: Term, free: &[Free]) -> Term {
        let t = graph.expand_nets_without_dropout(&mut self.store, t);
        free::replace(&mut self.store, t, free)
    }

    /// Σₖ q(k) t(k) over the values of a finite latent.
    fn enumerated(&mut self, t: Term, latent: &Latent) -> Option<Term> {
        let ((_, ix), q) = (latent.finite.clone()?, latent.mass?);
        let (k, z) = (self.store.index(ix), self.store.var(latent.sym));
        let t = self.store.substitute(t, &HashMap::from([(z, k)]));
        let product = self.store.mul(q, t);
        Some(self.store.ix_sum(ix, product))
    }

    /// A term with every latent replaced by its draw, and averaged over the finite ones.
    pub fn drawn(&mut self, t: Term) -> Term {
        let mut t = t;
        for latent in self.latents.clone().iter().rev() {
            if !self.store.depends_on_sym(t, latent.sym) {
                continue;
            }
            t = match self.enumerated(t, latent) {
                Some(sum) => sum,
                None => {
                    let z = self.store.var(latent.sym);
                    self.store.substitute(t, &HashMap::from([(z, latent.draw)]))
                }
            };
        }
        t
    }

    /// A term at the means of q.
    pub fn at_means(&mut self, t: Term) -> Option<Term> {
        let mut t = t;
        for latent in self.latents.clone().iter().rev() {
            if !self.store.depends_on_sym(t, latent.sym) {
                continue;
            }
            let z = self.store.var(latent.sym);
            let at = latent.moments.as_ref().map(|m| m.0)?;
            t = self.store.substitute(t, &HashMap::from([(z, at)]));
        }
        let open = self.left_out.iter().any(|l| self.store.depends_on_sym(t, l.sym));
        (!open).then_some(t)
    }
}

/// True where the term mentions a net.
#[must_use]
pub fn has_net(s: &Store, t: Term) -> bool {
    s.depends_on(t, |n| matches!(n, Node::Net { .. }))
}
