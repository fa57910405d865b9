//! Expectations under one factor of q, where the algebra has them: terms that are linear or quadratic in it, linear in
//! functions of it whose expectations are known, or functions of single elements with few values.
//!
//! E[a] = L E[z] + c for an affine a = L z + c, and Cov[a] = L S Lᵀ; then E[a²] = E[a]² + Var[a] and
//! E[aᵀ A⁻¹ a] = E[a]ᵀ A⁻¹ E[a] + tr(A⁻¹ Cov[a]). Nothing else is needed for the divergence of two Gaussians, and for
//! Gaussian statements with affine means.

use super::Taken;
use lvmc_term::{Node, Store, SymId, Term, children};
use std::collections::HashMap;

/// A covariance, kept in the form that is cheapest to use.
#[derive(Debug, Clone)]
pub(super) enum Spread {
    /// Independent elements with these variances (a number: of each).
    Diagonal(Term),
    /// A whole matrix.
    Full(Term),
    /// M S Mᵀ.
    Image(Term, Box<Spread>),
}

/// The mean and the spread of one latent under its factor of q.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    /// The latent.
    pub sym: SymId,
    /// E[z], if there is one.
    pub mean: Option<Term>,
    /// Cov[z], if it is known.
    pub spread: Option<Spread>,
    /// Functions of z and their expectations.
    pub statistics: Vec<(Term, Term)>,
    /// The few values of an element and their probabilities; elements are independent.
    pub values: Vec<(Term, Term)>,
    /// What an expectation by them is called.
    pub how: Taken,
}

impl Spread {
    /// The variances of the elements.
    fn variances(&self, s: &mut Store) -> Term {
        match self {
            Self::Diagonal(v) => *v,
            Self::Full(m) => s.diag_of(*m),
            // (M diag(v) Mᵀ)ᵢᵢ = Σⱼ Mᵢⱼ² vⱼ
            Self::Image(m, of) => match **of {
                Self::Diagonal(v) => {
                    let m2 = s.square(*m);
                    let n = s.shape(*m)[1].clone();
                    let v = s.refill(v, vec![n]);
                    s.matvec(m2, v)
                }
                _ => {
                    let whole = self.matrix(s, Length(None));
                    s.diag_of(whole)
                }
            },
        }
    }

    /// The whole matrix of a vector with `n` elements, where a diagonal needs to know.
    fn matrix(&self, s: &mut Store, n: Length) -> Term {
        match self {
            Self::Diagonal(v) => match n {
                Length(Some(size)) => {
                    let v = s.refill(*v, vec![size]);
                    s.diag(v)
                }
                Length(None) => s.diag(*v),
            },
            Self::Full(m) => *m,
            Self::Image(m, of) => {
                let size = s.shape(*m)[1].clone();
                let inner = of.matrix(s, Length(Some(size)));
                let left = s.matmul(*m, inner);
                let mt = s.transpose(*m);
                s.matmul(left, mt)
            }
        }
    }
}

/// The length of a vector, where a spread is one number for all of its elements.
#[derive(Debug, Clone)]
struct Length(Option<lvmc_term::Size>);

/// E[t] over the latent; `None` where the term is no polynomial of degree two in it, or not visibly one.
pub(super) fn expect(s: &mut Store, t: Term, q: &Moments) -> Option<(Term, Taken)> {
    let mut memo = HashMap::new();
    let z = s.var(q.sym);
    for &(statistic, mean) in &q.statistics {
        // the mean is written more simply
        if statistic != z || q.mean.is_none() {
            memo.insert(statistic, Some(mean));
        }
    }
    // those of single elements
    if !q.statistics.is_empty() {
        for x in s.subterms(t) {
            let Node::At(base, at) = s.node(x).clone() else {
                continue;
            };
            for &(statistic, mean) in q.statistics.iter().filter(|_| base == z) {
                if statistic != z && s.shape(statistic) == s.shape(z) {
                    let (statistic, mean) = (s.at(statistic, &at), s.at(mean, &at));
                    memo.insert(statistic, Some(mean));
                }
            }
        }
    }
    let mut run = Expect {
        s,
        q,
        memo,
        enumerated: false,
    };
    let found = run.of(t)?;
    let how = if run.enumerated { Taken::Enumerated } else { q.how };
    Some((found, how))
}

struct Expect<'a> {
    s: &'a mut Store,
    q: &'a Moments,
    memo: HashMap<Term, Option<Term>>,
    /// Some part was summed over the values of its elements.
    enumerated: bool,
}

impl Expect<'_> {
    fn free(&self, t: Term) -> bool {
        !self.s.depends_on_sym(t, self.q.sym)
    }

    fn of(&mut self, t: Term) -> Option<Term> {
        if self.free(t) {
            return Some(t);
        }
        if let Some(&known) = self.memo.get(&t) {
            return known;
        }
        let found = match self.find(t) {
            None => self.by_element(t),
            found => found,
        };
        self.memo.insert(t, found);
        found
    }

    fn find(&mut self, t: Term) -> Option<Term> {
        match self.s.node(t).clone() {
            Node::Sym(_) => self.q.mean,
            // y log x is linear in y, and in log x
            Node::XLogY(y, x) if self.free(x) => {
                let y = self.of(y)?;
                Some(self.s.xlogy(y, x))
            }
            Node::XLogY(y, x) if self.free(y) => {
                let log = self.s.log(x);
                let log = self.of(log)?;
                Some(self.s.mul(y, log))
            }
            Node::Add(ts) => {
                let parts: Vec<Term> = ts.iter().map(|&x| self.of(x)).collect::<Option<_>>()?;
                Some(self.s.sum(&parts))
            }
            Node::Mul(ts) => {
                let (fixed, open): (Vec<Term>, Vec<Term>) = ts.iter().partition(|&&x| self.free(x));
                let [one] = open[..] else { return None };
                let inner = self.of(one)?;
                let mut all = fixed;
                all.push(inner);
                Some(self.s.product_of(&all))
            }
            Node::Pow(a, n) if self.s.as_num(n) == Some(2.0) => {
                let (mean, spread) = self.affine(a)?;
                let v = spread.variances(self.s);
                let m2 = self.s.square(mean);
                Some(self.s.add(m2, v))
            }
            // E[a·b] of two affine vectors is only needed where they are one
            Node::Dot(a, b) if a == b => {
                let square = self.s.square(a);
                let inner = self.of(square)?;
                Some(self.s.total(inner))
            }
            Node::Quad(m, a) if self.free(m) => {
                let (mean, spread) = self.affine(a)?;
                let centre = self.s.quad(m, mean);
                let trace = self.trace(m, &spread, a);
                Some(self.s.add(centre, trace))
            }
            // linear in what depends on the latent
            Node::Total(_)
            | Node::Dot(..)
            | Node::MatVec(..)
            | Node::At(..)
            | Node::Slice(..)
            | Node::Fill(..)
            | Node::Stack { .. }
            | Node::Hold(_)
            | Node::IxSum(..) => {
                let open = children(self.s.node(t)).into_iter().filter(|&c| !self.free(c)).count();
                let many = matches!(self.s.node(t), Node::Stack { .. });
                if open > 1 && !many {
                    return None;
                }
                let node = self.s.node(t).clone();
                let parts: Vec<Term> = children(&node).into_iter().map(|c| self.of(c)).collect::<Option<_>>()?;
                Some(self.s.rebuild(&node, &parts))
            }
            _ => None,
        }
    }

    /// Of a function of independent elements, each of its own one: Σₖ P(z = k) f(k).
    fn by_element(&mut self, t: Term) -> Option<Term> {
        let z = self.s.var(self.q.sym);
        if self.q.values.is_empty() || self.s.shape(t) != self.s.shape(z) || !self.element_by_element(t, z) {
            return None;
        }
        let mut parts = vec![];
        for &(value, mass) in &self.q.values {
            let at = self.s.substitute(t, &HashMap::from([(z, value)]));
            parts.push(self.s.mul(mass, at));
        }
        self.enumerated = true;
        let (sum, shape) = (self.s.sum(&parts), self.s.shape(t).clone());
        Some(self.s.refill(sum, shape))
    }

    fn element_by_element(&self, t: Term, z: Term) -> bool {
        if t == z || self.free(t) {
            return true;
        }
        let node = self.s.node(t);
        matches!(
            node,
            Node::Add(_)
                | Node::Mul(_)
                | Node::Pow(..)
                | Node::Fun(..)
                | Node::XLogY(..)
                | Node::Cmp(..)
                | Node::Select(..)
                | Node::Hold(_)
        ) && children(node).into_iter().all(|c| self.element_by_element(c, z))
    }

    /// E and Cov of an affine term.
    fn affine(&mut self, t: Term) -> Option<(Term, Spread)> {
        match self.s.node(t).clone() {
            Node::Sym(_) => Some((self.q.mean?, self.q.spread.clone()?)),
            Node::Add(ts) => {
                let (fixed, open): (Vec<Term>, Vec<Term>) = ts.iter().partition(|&&x| self.free(x));
                // several parts that depend on the latent are one map of it
                let [one] = open[..] else { return None };
                let (mean, spread) = self.affine(one)?;
                let mut all = fixed;
                all.push(mean);
                Some((self.s.sum(&all), spread))
            }
            Node::Mul(ts) => {
                let (fixed, open): (Vec<Term>, Vec<Term>) = ts.iter().partition(|&&x| self.free(x));
                let [one] = open[..] else { return None };
                let (mean, spread) = self.affine(one)?;
                let c = self.s.product_of(&fixed);
                Some((self.s.mul(c, mean), self.scaled(c, spread)?))
            }
            Node::MatVec(m, a) if self.free(m) => {
                let (mean, spread) = self.affine(a)?;
                Some((self.s.matvec(m, mean), Spread::Image(m, Box::new(spread))))
            }
            Node::Hold(a) => self.affine(a),
            _ => None,
        }
    }

    /// The spread of c ∘ a.
    fn scaled(&mut self, c: Term, spread: Spread) -> Option<Spread> {
        let c2 = self.s.square(c);
        let number = self.s.shape(c).is_empty();
        Some(match spread {
            Spread::Diagonal(v) => Spread::Diagonal(self.s.mul(c2, v)),
            Spread::Full(m) if number => Spread::Full(self.s.mul(c2, m)),
            Spread::Image(m, of) if number => Spread::Image(self.s.mul(c, m), of),
            other => {
                let d = self.s.diag(c);
                Spread::Image(d, Box::new(other))
            }
        })
    }

    /// tr(A⁻¹ C), for a vector like `a`.
    fn trace(&mut self, m: Term, spread: &Spread, a: Term) -> Term {
        let size = self.s.shape(a)[0].clone();
        let inverse = self.s.inv(m);
        // where A is diagonal the variances are enough
        if let Some(weights) = self.s.written_diagonal(inverse) {
            let v = spread.variances(self.s);
            let both = self.s.mul(weights, v);
            let both = self.s.refill(both, vec![size]);
            return self.s.total(both);
        }
        let c = spread.matrix(self.s, Length(Some(size.clone())));
        if c == m {
            return self.s.size(size);
        }
        let both = self.s.matmul(inverse, c);
        self.s.trace(both)
    }
}
