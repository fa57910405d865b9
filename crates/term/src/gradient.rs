//! Reverse-mode differentiation on array terms.
//!
//! Adjoints are terms, so they are shared by hash-consing. A scope (the body of a sum over rows or over an index) is
//! differentiated on its own and summed. Parts of an index's scope that do not know the index can be leaves of it, whose
//! adjoints are summed before they go on: a net in a sum over components is walked back through once, and not once for
//! each. Derivatives of comparisons, `Floor` and `Sign` are 0.

use crate::node::{Cmp, IxId, Node, Term};
use crate::store::Store;
use crate::walk::children;
use std::collections::{BTreeMap, HashMap, HashSet};
use thiserror::Error;

/// Why a term has no derivative here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoGradient {
    /// A net is opaque to the algebra.
    #[error("a net is differentiated where it is lowered, not as a term")]
    Net,
    /// An element of an array of rank 3, or of a part whose length is symbolic.
    #[error("the derivative with respect to a whole family needs an array of higher rank: take one element at a time")]
    Rank,
    /// A sum over rows, inside a row, of an array.
    #[error("a sum over the rows inside of a row")]
    NestedRows,
}

type Grads = Result<Vec<Option<Term>>, NoGradient>;

impl Store {
    /// The gradient of a scalar with respect to leaves: a symbol, or an element `At(symbol, [i, …])` of one. Each has
    /// the shape of its leaf. With respect to a per-row leaf a sum over rows counts that row's own addend.
    /// What cannot be differentiated (see [`Store::try_gradient`]) gives a term that evaluates to NaN.
    pub fn gradient(&mut self, t: Term, wrt: &[Term]) -> Vec<Term> {
        self.try_gradient(t, wrt).unwrap_or_else(|_| {
            let minus = self.num(-1.0);
            let nan = self.log(minus);
            wrt.iter().map(|&w| self.refill(nan, self.shape(w).clone())).collect()
        })
    }

    /// As [`Store::gradient`].
    ///
    /// # Errors
    /// Where an operator on the way has no derivative as a term.
    pub fn try_gradient(&mut self, t: Term, wrt: &[Term]) -> Result<Vec<Term>, NoGradient> {
        self.gradient_of(t, wrt, false)
    }

    /// As [`Store::try_gradient`], for terms that are computed and not read: what a sum over an index shares with its
    /// surroundings is differentiated once.
    ///
    /// # Errors
    /// As there.
    pub fn try_gradient_once(&mut self, t: Term, wrt: &[Term]) -> Result<Vec<Term>, NoGradient> {
        self.gradient_of(t, wrt, true)
    }

    fn gradient_of(&mut self, t: Term, wrt: &[Term], once: bool) -> Result<Vec<Term>, NoGradient> {
        debug_assert!(self.shape(t).is_empty(), "gradient of an array");
        let one = self.num(1.0);
        let found = Reverse { s: self, wrt, once }.scope(t, one)?;
        let shapes: Vec<_> = wrt.iter().map(|&w| self.shape(w).clone()).collect();
        let zero = self.num(0.0);
        Ok(found
            .into_iter()
            .zip(shapes)
            .map(|(g, shape)| self.refill(g.unwrap_or(zero), shape))
            .collect())
    }

    /// ∂t/∂x of scalars.
    pub fn derivative(&mut self, t: Term, x: Term) -> Term {
        debug_assert!(self.shape(x).is_empty(), "derivative with respect to an array");
        self.gradient(t, &[x])[0]
    }
}

struct Reverse<'a> {
    s: &'a mut Store,
    wrt: &'a [Term],
    /// Adjoints of what a sum over an index shares are summed before they go on.
    once: bool,
}

impl Reverse<'_> {
    /// ⟨seed, ∂root/∂w⟩ for each w, within one scope.
    fn scope(&mut self, root: Term, seed: Term) -> Grads {
        let live = self.live(root);
        let mut grads: Vec<Option<Term>> = vec![None; self.wrt.len()];
        let mut adjoints: BTreeMap<Term, Term> = BTreeMap::from([(root, seed)]);
        // a part is always older than its whole, so the youngest term has its whole adjoint
        while let Some((t, g)) = adjoints.pop_last() {
            if self.leaf(t, g, &mut grads)? || !live.contains(&t) {
                continue;
            }
            match *self.s.node(t) {
                Node::RowSum(body) => self.row_sum(body, g, &mut grads)?,
                Node::IxSum(i, body) => {
                    for (shared, part) in self.ix_sum(i, body, g, &live, &mut grads)? {
                        let sum = match adjoints.get(&shared) {
                            Some(&before) => self.s.add(before, part),
                            None => part,
                        };
                        adjoints.insert(shared, sum);
                    }
                }
                _ => {
                    for (child, part) in self.parts(t, g, &live)? {
                        let shape = self.s.shape(child).clone();
                        let part = if shape.is_empty() {
                            self.s.total(part)
                        } else {
                            self.s.refill(part, shape)
                        };
                        let sum = match adjoints.get(&child) {
                            Some(&before) => self.s.add(before, part),
                            None => part,
                        };
                        adjoints.insert(child, sum);
                    }
                }
            }
        }
        Ok(grads)
    }

    /// The parts of `root` that depend on a leaf.
    fn live(&self, root: Term) -> HashSet<Term> {
        let mut symbols: HashSet<Term> = self.wrt.iter().copied().collect();
        for &w in self.wrt {
            if let Node::At(base, _) = self.s.node(w) {
                symbols.insert(*base);
            }
        }
        let mut live = HashSet::new();
        for t in self.s.subterms(root) {
            if symbols.contains(&t) || children(self.s.node(t)).iter().any(|c| live.contains(c)) {
                live.insert(t);
            }
        }
        live
    }

    /// Adds the adjoint of a leaf; true where `t` is one. An element S[j] contributes to S[k] where j = k.
    fn leaf(&mut self, t: Term, g: Term, grads: &mut [Option<Term>]) -> Result<bool, NoGradient> {
        let mut found = false;
        for (&w, grad) in self.wrt.iter().zip(grads) {
            let Some(part) = self.leaf_part(w, t, g)? else { continue };
            found = true;
            *grad = Some(match *grad {
                Some(before) => self.s.add(before, part),
                None => part,
            });
        }
        Ok(found)
    }

    /// What the adjoint `g` of `t` gives to the leaf `w`.
    fn leaf_part(&mut self, w: Term, t: Term, g: Term) -> Result<Option<Term>, NoGradient> {
        if w == t {
            return Ok(Some(g));
        }
        let (Node::At(base, k), node) = (self.s.node(w).clone(), self.s.node(t).clone()) else {
            return Ok(None);
        };
        let j = match node {
            Node::At(other, j) if other == base => j,
            _ if t == base => [].into(),
            _ => return Ok(None),
        };
        let same: Vec<Term> = k.iter().zip(&j).map(|(&a, &b)| self.s.cmp(Cmp::Eq, a, b)).collect();
        let same = self.s.product_of(&same);
        let g = if k.len() >= j.len() {
            self.s.at(g, &k[j.len()..])
        } else {
            let shape = self.s.shape(w).clone();
            self.s.scatter(&shape, &j[k.len()..], g)?
        };
        Ok(Some(self.s.mul(same, g)))
    }

    fn merge(&mut self, grads: &mut [Option<Term>], inner: Vec<Option<Term>>) {
        for (grad, part) in grads.iter_mut().zip(inner) {
            *grad = match (*grad, part) {
                (Some(a), Some(b)) => Some(self.s.add(a, b)),
                (a, b) => a.or(b),
            };
        }
    }

    fn row_sum(&mut self, body: Term, g: Term, grads: &mut [Option<Term>]) -> Result<(), NoGradient> {
        let scalar = self.s.shape(body).is_empty();
        if !scalar && self.s.per_row(g) {
            return Err(NoGradient::NestedRows);
        }
        let seed = if scalar { self.s.num(1.0) } else { g };
        let mut inner = self.scope(body, seed)?;
        for (part, &w) in inner.iter_mut().zip(self.wrt) {
            if let Some(x) = part {
                *x = if self.s.per_row(w) { *x } else { self.s.row_sum(*x) };
                *x = if scalar { self.s.mul(g, *x) } else { *x };
            }
        }
        self.merge(grads, inner);
        Ok(())
    }

    /// Adds what the leaves get; returns the adjoints of what is shared.
    fn ix_sum(
        &mut self,
        i: IxId,
        body: Term,
        g: Term,
        live: &HashSet<Term>,
        grads: &mut [Option<Term>],
    ) -> Result<Vec<(Term, Term)>, NoGradient> {
        // the bound index must not be one that a leaf or the adjoint speaks of
        let outside = self
            .wrt
            .iter()
            .copied()
            .chain([g])
            .any(|x| self.s.free_indices(x).contains(&i));
        let (i, body) = if outside { self.renamed(i, body) } else { (i, body) };
        let scalar = self.s.shape(body).is_empty();
        let seed = if scalar { self.s.num(1.0) } else { g };
        let shared = if self.once { self.shared(i, body, live) } else { vec![] };
        let leaves = [self.wrt, &shared].concat();
        let mut inner = Reverse {
            s: self.s,
            wrt: &leaves,
            once: self.once,
        }
        .scope(body, seed)?;
        for x in inner.iter_mut().flatten() {
            *x = self.s.ix_sum_collapsed(i, *x);
            *x = if scalar { self.s.mul(g, *x) } else { *x };
        }
        let parts = inner.split_off(self.wrt.len());
        self.merge(grads, inner);
        let parts = shared.into_iter().zip(parts);
        Ok(parts.filter_map(|(t, part)| Some((t, part?))).collect())
    }

    /// The largest parts of a sum's body that depend on a leaf and not on the index. Symbols and their elements are leaves
    /// themselves.
    fn shared(&self, i: IxId, body: Term, live: &HashSet<Term>) -> Vec<Term> {
        let mut found = vec![];
        let (mut todo, mut seen) = (vec![body], HashSet::from([body]));
        while let Some(t) = todo.pop() {
            if !live.contains(&t) || self.wrt.contains(&t) {
                continue;
            }
            let own = matches!(self.s.node(t), Node::Sym(_) | Node::At(..));
            if !own && !self.s.free_indices(t).contains(&i) {
                found.push(t);
                continue;
            }
            // the addends of a sum over rows are not this scope's
            if !matches!(self.s.node(t), Node::RowSum(_)) {
                todo.extend(children(self.s.node(t)).into_iter().filter(|&c| seen.insert(c)));
            }
        }
        found.sort_unstable();
        found
    }

    fn renamed(&mut self, i: IxId, body: Term) -> (IxId, Term) {
        let ix = self.s.ix(i).clone();
        let fresh = self.s.add_ix(ix.name, ix.size);
        let (old, new) = (self.s.index(i), self.s.index(fresh));
        (fresh, self.s.substitute(body, &HashMap::from([(old, new)])))
    }

    /// The adjoints that `t` with adjoint `g` passes to its parts.
    fn parts(&mut self, t: Term, g: Term, live: &HashSet<Term>) -> Result<Vec<(Term, Term)>, NoGradient> {
        let s = &mut *self.s;
        Ok(match s.node(t).clone() {
            Node::Add(ts) => ts.iter().map(|&x| (x, g)).collect(),
            Node::Mul(ts) => {
                let mut out = vec![];
                for (i, &x) in ts.iter().enumerate().filter(|(_, x)| live.contains(x)) {
                    let others: Vec<Term> = ts
                        .iter()
                        .enumerate()
                        .filter(|&(j, _)| j != i)
                        .map(|(_, &y)| y)
                        .collect();
                    let rest = s.product_of(&others);
                    out.push((x, s.mul(g, rest)));
                }
                out
            }
            Node::Pow(a, b) => s.adjoint_of_power(t, g, a, b, live),
            Node::Fun(f, a) => {
                let d = s.fun_derivative(f, a, t);
                vec![(a, s.mul(g, d))]
            }
            Node::XLogY(y, x) => {
                let (l, r) = (s.log(x), s.div(y, x));
                let mut out = vec![];
                if live.contains(&y) {
                    out.push((y, s.mul(g, l)));
                }
                out.push((x, s.mul(g, r)));
                out
            }
            Node::Select(c, a, b) => {
                let zero = s.num(0.0);
                vec![(a, s.select(c, g, zero)), (b, s.select(c, zero, g))]
            }
            Node::Cmp(..) | Node::Fixed(_) => vec![],
            Node::Draw(draw, args) => s.adjoint_of_draw(t, g, draw, &args),
            Node::At(base, at) => {
                let shape = s.shape(base).clone();
                vec![(base, s.scatter(&shape, &at, g)?)]
            }
            Node::Slice(base, from, _) => vec![(base, s.unslice(base, from, t, g)?)],
            Node::Stack { rows, parts } => s.adjoint_of_stack(rows, &parts, g),
            Node::Hold(a) => vec![(a, g)],
            Node::Net { .. } => return Err(NoGradient::Net),
            _ => s.adjoint_of_linear(t, g),
        }
        .into_iter()
        .filter(|(x, _)| live.contains(x))
        .collect())
    }
}

impl Store {
    /// Σᵢ t where t may hold a factor [i = k]: that addend alone, with k for i.
    fn ix_sum_collapsed(&mut self, i: IxId, t: Term) -> Term {
        let ix = self.index(i);
        if let Node::Add(ts) = self.node(t).clone() {
            let shape = self.shape(t).clone();
            let sums: Vec<Term> = ts.iter().map(|&x| self.ix_sum_collapsed(i, x)).collect();
            let sum = self.sum(&sums);
            return self.refill(sum, shape);
        }
        let fs = self.factors(t);
        for (n, &f) in fs.iter().enumerate() {
            let Node::Cmp(Cmp::Eq, a, b) = *self.node(f) else {
                continue;
            };
            let k = if a == ix { b } else { a };
            // another bound index of the same size, or a position in it
            let same_range = matches!(self.node(k), Node::Ix(j) if self.ix(*j).size == self.ix(i).size);
            if (a == ix || b == ix) && same_range && k != ix {
                let rest: Vec<Term> = fs
                    .iter()
                    .enumerate()
                    .filter(|&(m, _)| m != n)
                    .map(|(_, &x)| x)
                    .collect();
                let rest = self.product_of(&rest);
                return self.substitute(rest, &HashMap::from([(ix, k)]));
            }
        }
        self.ix_sum(i, t)
    }
}
