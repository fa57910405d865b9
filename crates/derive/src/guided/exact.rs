//! exact-update: parameters whose part of the bound has closed forms, beside those that take gradients.
//!
//! Statement: let B be parameters that neither q nor an argument of a net reads. The terms of the bound that mention B are
//! those of a model of their own, given q: a draw of q, a net's output and what else no parameter of B moves are columns of
//! its rows, parameters outside of B constants, latents that the bound takes by their moments have a distribution that is
//! given (`posterior::prescribed`), and finite latents that the guide leaves out stay latent. The E- and M-steps of that model
//! raise the bound at those draws, and leave it where B is at its maximum: between the gradient steps of the others they are
//! coordinate ascent.
//!
//! Side conditions: the rows' terms that mention B are taken plainly, at a point, by moments or by draws; every parameter of
//! B has a closed form there. What has none, and what stands with it in a term that is refused, takes gradients.
//!
//! Proof: the bound is a sum; its other terms do not depend on B. For a finite latent k that is summed out, log Σₖ p(…, k) is
//! raised by EM, whose bound is tight.

use super::build::Builder;
use super::expect::Spread;
use super::{Exact, Fixed, Row, Taken};
use crate::engine;
use crate::joint::arguments;
use crate::posterior::prescribed::Prescribed;
use lvmc_model::graph::{Dist, Factor, ModelGraph, PlateId, Role, Var, VarId};
use lvmc_term::{Node, Support, Sym, SymId, SymKind, Term, children};
use std::collections::{BTreeSet, HashMap};

/// Its printed name.
pub const NAME: &str = "exact-update";

/// Parameters of which a term says that they cannot be in B.
type Refused = Vec<SymId>;

/// How a statement reads the latents of q.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// One draw, or a point.
    Draws,
    /// Mean and spread.
    Moments,
}

/// The model of B, on its way.
struct Part {
    params: Vec<SymId>,
    rows: Vec<Row>,
    fixed: Vec<Fixed>,
    /// Variables besides the graph's.
    added: Vec<Var>,
    /// Latents with a given distribution.
    given: Vec<Prescribed>,
    factors: Vec<Factor>,
}

impl Builder<'_> {
    /// The largest B, if there is one.
    pub(super) fn exact(&mut self) -> Option<Exact> {
        let mut params = self.candidates();
        while !params.is_empty() {
            match self.part_of(&params) {
                Ok(exact) => return Some(exact),
                Err(refused) => {
                    let before = params.len();
                    params.retain(|p| !refused.contains(p));
                    if params.len() == before {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Parameters that neither q nor an argument of a net reads, and that are no weights.
    fn candidates(&self) -> Vec<SymId> {
        let graph = self.graph;
        let s = &graph.store;
        let weight = |p: SymId| graph.var_of(p).is_some_and(|v| graph.net_of_weight(v).is_some());
        let guide = || graph.guide.iter().flat_map(|g| &g.factors);
        let mut inside: BTreeSet<SymId> = BTreeSet::new();
        for f in &graph.factors {
            for t in arguments(&f.dist) {
                for x in s.subterms(t) {
                    if matches!(s.node(x), Node::Net { .. }) {
                        inside.extend(s.symbols(x));
                    }
                }
            }
        }
        let kept = |p: &SymId| !weight(*p) && !inside.contains(p) && !guide().any(|f| f.dist.mentions(s, *p));
        self.g.params.iter().copied().filter(kept).collect()
    }

    /// Row statements that mention B, and those that share a finite latent with them that is summed out.
    fn statements(&self, params: &[SymId]) -> Vec<usize> {
        let graph = self.graph;
        let s = &graph.store;
        let row: Vec<usize> = (0..graph.factors.len())
            .filter(|&i| !self.is_global(&graph.factors[i]))
            .collect();
        let about = |f: &Factor, x: SymId| graph.var(f.var).sym == x || f.dist.mentions(s, x);
        let mut found: Vec<usize> = row
            .iter()
            .copied()
            .filter(|&i| params.iter().any(|&p| graph.factors[i].dist.mentions(s, p)))
            .collect();
        loop {
            let before = found.len();
            for l in &self.g.left_out {
                if found.iter().any(|&i| about(&graph.factors[i], l.sym)) {
                    let more = row
                        .iter()
                        .copied()
                        .filter(|i| about(&graph.factors[*i], l.sym) && !found.contains(i));
                    let more: Vec<usize> = more.collect();
                    found.extend(more);
                }
            }
            if found.len() == before {
                found.sort_unstable();
                return found;
            }
        }
    }

    /// How the bound reads the latents in a statement; none where B is not for it.
    fn reads(&self, f: &Factor) -> Option<Reads> {
        let sym = self.graph.var(f.var).sym;
        let s = &self.graph.store;
        let plain = f.ranges.is_empty() && f.condition.is_none() && self.g.masks.iter().all(|m| m.of != sym);
        if !plain {
            return None;
        }
        let summed = |x: SymId| sym == x || f.dist.mentions(s, x);
        if self.g.left_out.iter().any(|l| summed(l.sym)) {
            let smooth = self
                .g
                .latents
                .iter()
                .all(|l| l.finite.is_none() && l.score.is_none() || !summed(l.sym));
            return smooth.then_some(Reads::Draws);
        }
        match self.g.terms.iter().find(|t| t.of == sym && !t.guide)?.taken {
            Taken::Plain | Taken::Point | Taken::Drawn => Some(Reads::Draws),
            Taken::Moments => Some(Reads::Moments),
            Taken::Enumerated | Taken::Statistics | Taken::Scored => None,
        }
    }

    fn part_of(&mut self, params: &[SymId]) -> Result<Exact, Refused> {
        let graph = self.graph;
        let mut part = Part {
            params: params.to_vec(),
            rows: vec![],
            fixed: vec![],
            added: vec![],
            given: vec![],
            factors: vec![],
        };
        for i in self.statements(params) {
            let f = &graph.factors[i];
            let mentioned = || -> Refused {
                let here = params.iter().filter(|&&p| f.dist.mentions(&graph.store, p));
                let here: Refused = here.copied().collect();
                if here.is_empty() { params.to_vec() } else { here }
            };
            let reads = self.reads(f).ok_or_else(mentioned)?;
            let made = self.statement(&mut part, f, reads).ok_or_else(mentioned)?;
            part.factors.push(made);
        }
        let global: Vec<&Factor> = graph.factors.iter().filter(|f| self.is_global(f)).collect();
        for f in global {
            let own = params.contains(&graph.var(f.var).sym);
            if own || params.iter().any(|&p| f.dist.mentions(&graph.store, p)) {
                let made = self
                    .statement(&mut part, f, Reads::Draws)
                    .ok_or_else(|| params.to_vec())?;
                part.factors.push(made);
            }
        }
        let sub = self.model_of(&part);
        let plan = engine::closed(&sub, &part.given)?;
        Ok(Exact {
            graph: sub,
            plan,
            params: part.params,
            rows: part.rows,
            fixed: part.fixed,
        })
    }

    /// A statement as one of B's model.
    fn statement(&mut self, part: &mut Part, f: &Factor, reads: Reads) -> Option<Factor> {
        let mut dist = f.dist.clone();
        self.rewrite_dist(part, &mut dist, reads)?;
        let value = self.rewrite(part, f.value, reads)?;
        let sym = self.g.store.as_symbol(value)?.0;
        let own = part.added.iter().position(|v| v.sym == sym);
        let var = match own {
            Some(i) => {
                if part.added[i].role == Role::Given {
                    part.added[i].role = Role::Data;
                }
                VarId::from_index(self.graph.vars.len() + i)
            }
            None => f.var,
        };
        Some(Factor {
            var,
            value,
            dist,
            ..f.clone()
        })
    }

    fn rewrite_dist(&mut self, part: &mut Part, dist: &mut Dist, reads: Reads) -> Option<()> {
        match dist {
            Dist::Family { args, .. } => {
                for a in args {
                    *a = self.rewrite(part, *a, reads)?;
                }
            }
            Dist::If {
                condition,
                then,
                otherwise,
            } => {
                *condition = self.rewrite(part, *condition, reads)?;
                self.rewrite_dist(part, then, reads)?;
                self.rewrite_dist(part, otherwise, reads)?;
            }
        }
        Some(())
    }

    /// A term with columns, constants and given latents in the places of what B does not move.
    fn rewrite(&mut self, part: &mut Part, t: Term, reads: Reads) -> Option<Term> {
        let t = if reads == Reads::Moments {
            let (open, masks) = self.graph.expand_nets(&mut self.g.store, t);
            if !masks.is_empty() {
                return None;
            }
            open
        } else {
            t
        };
        self.replace(part, t, reads, &mut HashMap::new())
    }

    fn replace(&mut self, part: &mut Part, t: Term, reads: Reads, memo: &mut HashMap<Term, Term>) -> Option<Term> {
        if let Some(&done) = memo.get(&t) {
            return Some(done);
        }
        let s = &self.g.store;
        let node = s.node(t).clone();
        let out = match node {
            Node::Sym(sym) => self.leaf(part, sym, reads)?,
            ref node => {
                let nets = s.depends_on(t, |n| matches!(n, Node::Net { .. }));
                if nets && self.is_column(part, t, reads) {
                    self.row(part, t, None)?
                } else if matches!(node, Node::Net { .. }) {
                    return None;
                } else {
                    let mut parts = vec![];
                    for c in children(node) {
                        parts.push(self.replace(part, c, reads, memo)?);
                    }
                    self.g.store.rebuild(node, &parts)
                }
            }
        };
        memo.insert(t, out);
        Some(out)
    }

    /// No parameter of B moves it, no latent that is summed over or averaged stands in it, and rows can hold it.
    fn is_column(&self, part: &Part, t: Term, reads: Reads) -> bool {
        let s = &self.g.store;
        let left = self.g.left_out.iter().map(|l| l.sym);
        let latents = self.g.latents.iter().map(|l| l.sym).filter(|_| reads == Reads::Moments);
        let mut open = part.params.iter().copied().chain(left).chain(latents);
        s.per_row(t) && s.shape(t).len() < 2 && s.free_indices(t).is_empty() && !open.any(|x| s.depends_on_sym(t, x))
    }

    fn leaf(&mut self, part: &mut Part, sym: SymId, reads: Reads) -> Option<Term> {
        let t = self.g.store.var(sym);
        if let Some(l) = self.g.latents.iter().find(|l| l.sym == sym).cloned() {
            if reads == Reads::Draws {
                return if l.finite.is_some() || l.score.is_some() {
                    None
                } else {
                    self.row(part, t, None)
                };
            }
            if part.given.iter().all(|g| g.sym != sym) {
                let given = self.given(part, &l)?;
                part.given.push(given);
            }
            return Some(t);
        }
        let param = self.g.store.sym(sym).kind == SymKind::Param;
        if param && !part.params.contains(&sym) {
            return Some(self.constant(part, t, None));
        }
        Some(t)
    }

    /// Mean and spread of a latent under q, as columns or constants.
    fn given(&mut self, part: &mut Part, latent: &super::Latent) -> Option<Prescribed> {
        let moments = self.moments(latent)?;
        let (mean, spread) = (moments.mean?, moments.spread?);
        let z = self.g.store.var(latent.sym);
        let shape = self.g.store.shape(z).clone();
        let (spread, rooted) = match spread {
            Spread::Diagonal(v) => {
                let v = self.g.store.refill(v, shape);
                (self.g.store.sqrt(v), false)
            }
            Spread::Full(m) => (m, true),
            Spread::Image(..) => return None,
        };
        let others = |t: Term| self.g.latents.iter().any(|l| self.g.store.depends_on_sym(t, l.sym));
        if others(mean) || others(spread) || rooted && self.g.store.per_row(spread) {
            return None;
        }
        let name = self.g.store.sym(latent.sym).name.clone();
        let mut known = |b: &mut Self, t: Term, letter: &str, rooted: bool| {
            let name = format!("{letter}_{name}");
            if b.g.store.per_row(t) {
                b.row(part, t, Some(name))
            } else {
                Some(b.constant(part, t, rooted.then_some(name)))
            }
        };
        let mean = known(self, mean, "m", false)?;
        let spread = known(self, spread, if rooted { "l" } else { "s" }, rooted)?;
        Some(Prescribed {
            sym: latent.sym,
            mean,
            spread,
        })
    }

    /// The column of a term at the draws of q.
    fn row(&mut self, part: &mut Part, t: Term, name: Option<String>) -> Option<Term> {
        let at_draw = self.g.drawn(t);
        if let Some(known) = part.rows.iter().find(|r| r.term == at_draw) {
            return Some(self.g.store.var(known.sym));
        }
        let s = &mut self.g.store;
        if s.shape(t).len() > 1 {
            return None;
        }
        let latent = s.as_symbol(t).map(|x| s.sym(x.0).clone());
        let (name, support) = match (name, latent) {
            (Some(name), _) => (name, Support::Real),
            (None, Some(sym)) => (sym.name, sym.support),
            (None, None) => (format!("h_{}", part.rows.len() + 1), Support::Real),
        };
        let sym = s.add_sym(Sym {
            name,
            kind: SymKind::Data,
            shape: s.shape(t).clone(),
            family: 0,
            per_row: true,
            support,
        });
        part.rows.push(Row {
            sym,
            term: at_draw,
            written: t,
        });
        self.add(part, sym, Role::Given);
        Some(self.g.store.var(sym))
    }

    /// A term without rows as a constant; with a name the transpose of a covariance's root.
    fn constant(&mut self, part: &mut Part, t: Term, root: Option<String>) -> Term {
        let rooted = root.is_some();
        if let Some(known) = part.fixed.iter().find(|f| f.term == t && f.rooted == rooted) {
            return self.g.store.var(known.sym);
        }
        let s = &mut self.g.store;
        let like = s.as_symbol(t).filter(|_| !rooted).map(|x| s.sym(x.0).clone());
        let sym = match like {
            Some(like) => Sym {
                kind: SymKind::Const,
                ..like
            },
            None => Sym {
                name: root.unwrap_or_else(|| format!("c_{}", part.fixed.len() + 1)),
                kind: SymKind::Const,
                shape: s.shape(t).clone(),
                family: 0,
                per_row: false,
                support: Support::Real,
            },
        };
        let sym = self.g.store.add_sym(sym);
        part.fixed.push(Fixed { sym, term: t, rooted });
        self.add(part, sym, Role::Const);
        self.g.store.var(sym)
    }

    fn add(&self, part: &mut Part, sym: SymId, role: Role) {
        // the first plate is all rows together, the second the rows
        let plate = PlateId::from_index(usize::from(role != Role::Const));
        let span = self.graph.factors.first().map(|f| f.span).unwrap_or_default();
        part.added.push(Var {
            sym,
            name: self.g.store.sym(sym).name.clone(),
            role,
            family_first: vec![1; self.g.store.sym(sym).family],
            plate,
            span,
            because: String::new(),
            observed_as: None,
            observed_at: None,
            ranges: vec![],
        });
    }

    /// The model of B: its statements, and the variables in them.
    fn model_of(&self, part: &Part) -> ModelGraph {
        let mut sub = self.graph.clone();
        sub.store = self.g.store.clone();
        sub.factors.clone_from(&part.factors);
        sub.guide = None;
        sub.nets = vec![];
        sub.remarks = vec![];
        let used: BTreeSet<SymId> = part
            .factors
            .iter()
            .flat_map(|f| arguments(&f.dist).into_iter().chain([f.value]))
            .flat_map(|t| sub.store.symbols(t))
            .collect();
        let valued: BTreeSet<SymId> = part
            .factors
            .iter()
            .filter_map(|f| sub.store.as_symbol(f.value))
            .map(|x| x.0)
            .collect();
        for v in &mut sub.vars {
            (v.observed_as, v.observed_at) = (None, None);
            v.role = match v.role {
                Role::Const => Role::Const,
                _ if !used.contains(&v.sym) => Role::Deterministic,
                Role::Data if !valued.contains(&v.sym) => Role::Given,
                role => role,
            };
        }
        sub.vars.extend(part.added.iter().cloned());
        sub
    }
}
