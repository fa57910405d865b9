//! From a graph to its bound: q's factors in the order of their draws, then each statement's expectation under them.

use super::noising;
use super::{Guided, Latent, LeftOut, Objective, Random, Source, free, order};
use crate::error::DeriveError;
use crate::joint;
use crate::missing::{self, Gaps, Missing};
use lvmc_base::Span;
use lvmc_families::Noise;
use lvmc_model::graph::{Dist, Factor, ModelGraph, Plate, Role};
use lvmc_term::{Node, Size, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

/// Derives the bound.
///
/// # Errors
/// Where a latent has no factor of q, or q's factor cannot be drawn as a function of noise.
pub fn derive(graph: &ModelGraph) -> Result<Guided, DeriveError> {
    derive_with(graph, &Missing::default(), true)
}

/// Derives the bound of data with missing cells; without `exact` every parameter takes gradients.
///
/// # Errors
/// As [`derive`].
pub fn derive_with(graph: &ModelGraph, missing: &Missing, exact: bool) -> Result<Guided, DeriveError> {
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
            masks: vec![],
            roots: vec![],
            noising: None,
            exact: None,
        },
    };
    if noising::is_noising(graph) {
        b.noising()?;
        b.coordinates()?;
        return Ok(b.g);
    }
    b.refuse()?;
    for of in missing.variables() {
        let gaps = missing.gaps(of).unwrap_or(Gaps::Whole);
        let mask = missing::mask(&mut b.g.store, of, gaps, false);
        b.g.masks.push(mask);
    }
    for factor in order::guide(graph)? {
        b.latent(factor)?;
    }
    b.left_out();
    b.missing_latents()?;
    b.parts();
    b.weigh();
    let objective: Vec<Term> = b.g.terms.iter().map(|t| t.expected).collect();
    b.g.params = b.params(&objective);
    b.g.exact = if exact { b.exact() } else { None };
    b.coordinates()?;
    Ok(b.g)
}

pub(super) struct Builder<'a> {
    pub(super) graph: &'a ModelGraph,
    pub(super) g: Guided,
}

impl<'a> Builder<'a> {
    pub(super) fn s(&mut self) -> &mut Store {
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
        self.g.params = self.params(&[cost]);
        self.g.noising = Some(n);
        Ok(())
    }

    fn coordinates(&self) -> Result<(), DeriveError> {
        for &p in self.g.params.iter().filter(|p| !self.g.is_exact(**p)) {
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

    pub(super) fn is_global(&self, f: &Factor) -> bool {
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
        if let Some(size) = finite.clone().filter(|size| shape.is_empty() && self.few(size)) {
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
                score: None,
                span: factor.span,
            });
            return Ok(());
        }
        let Some(noise) = family.noise(signature) else {
            return refuse(
                &format!("a draw from {} is not known as a function of noise", family.name()),
                &format!("q is one of {}", drawn_families().join(", ")),
            );
        };
        let sample_noise: Vec<Term> = ["epsilon", "eta"]
            .into_iter()
            .zip(noise)
            .map(|(letter, &noise)| self.noise_for(&format!("{letter}_{}", var.name), &shape, noise))
            .collect();
        let rooted: Vec<Term> = args.iter().map(|&a| self.rooted(a)).collect();
        let Some(draw) = family.draw_from(self.s(), signature, &rooted, &sample_noise) else {
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
        let support = family.support(self.s(), signature, &args);
        let score = steps(&support).then(|| self.score(factor, draw));
        self.g.latents.push(Latent {
            sym,
            draw,
            moments,
            finite: None,
            mass: None,
            auxiliary,
            point: noise.is_empty(),
            score,
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
            name: name.into(),
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
            } if family.noise(*signature).is_none_or(|n| !n.is_empty()) => Some((
                family.name(),
                family.support(self.s(), *signature, args),
                family.largest(*signature, args),
            )),
            _ => None,
        };
        let (Some((prior, wide, top)), Some((q, narrow, reach))) = (support(prior), support(factor)) else {
            return Ok(());
        };
        // counts up to the same number, or a bit among them
        let ends = top.is_none() || top == reach || narrow == Support::Binary;
        if within(&narrow, &wide) && ends {
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

    pub(super) fn density(&mut self, factor: &Factor) -> Term {
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

    /// Σ_j o_j log p(x_j | …): the density of what is observed.
    fn observed(&mut self, factor: &Factor, mask: SymId) -> Term {
        let o = self.s().var(mask);
        joint::density(self.s(), factor, &factor.dist, Some(o))
    }

    fn parts(&mut self) {
        let graph = self.graph;
        let mut parts = vec![];
        for f in &graph.factors {
            let mask = self.g.masks.iter().find(|m| m.of == graph.var(f.var).sym).copied();
            let mut written = match mask {
                Some(mask) => self.observed(f, mask.sym),
                None => self.density(f),
            };
            if let Some(condition) = f.condition {
                let zero = self.s().num(0.0);
                written = self.s().select(condition, written, zero);
            }
            let body = f.ranges.iter().rev().fold(written, |t, &i| self.g.store.ix_sum(i, t));
            if self.is_global(f) {
                self.g.prior.push(body);
            } else {
                parts.push((graph.var(f.var).sym, body));
            }
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

    pub(super) fn replaced(&mut self, t: Term, sym: SymId, by: Term) -> Term {
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
        let t = self.s().sum(&all);
        self.g.weight = Some(self.g.drawn(t));
    }

    /// Parameters of the objective and of the prior, nets' weights among them.
    fn params(&mut self, objective: &[Term]) -> Vec<SymId> {
        let all = [objective, &self.g.prior].concat();
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

/// Values of all latents that are enumerated together, at most.
const JOINTLY: usize = 256;

impl Builder<'_> {
    /// Whether a latent of that many values is enumerated, with those that are already.
    fn few(&self, size: &Size) -> bool {
        let values = |n: &Size| match n {
            Size::Const(n) => *n,
            // `--set` chooses it; what is not known is taken to be small
            Size::Dim(d) => self
                .graph
                .dims
                .iter()
                .find(|i| i.id == *d)
                .and_then(|i| i.default)
                .unwrap_or(1),
            Size::Sum(_) => 1,
        };
        let others = self.g.latents.iter().filter_map(|l| l.finite.as_ref());
        let joint = others.map(|(n, _)| values(n)).fold(values(size), usize::saturating_mul);
        joint <= JOINTLY
    }
}

/// Families that can be drawn as functions of noise.
fn drawn_families() -> Vec<&'static str> {
    let all = lvmc_families::registry::FAMILIES.iter();
    all.filter(|f| (0..f.signatures().len()).any(|i| f.noise(i).is_some()))
        .map(|f| f.name())
        .collect()
}

/// Draws step from one value to the next: gradients do not pass through them.
fn steps(support: &Support) -> bool {
    matches!(
        support,
        Support::Int | Support::Count | Support::Binary | Support::Category(_)
    )
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
