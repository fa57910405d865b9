//! What is known of a term's values without evaluating it: signs, finiteness, symmetry. All answers are conservative:
//! `false` means "not known". The facts speak of every element of an array.

use crate::node::{Cmp, Draw, Fun, Node, Support, Sym, SymId, Term};
use crate::store::Store;

impl Store {
    /// The symbol whose element or whole this term is, with the number of indices already picked.
    #[must_use]
    pub fn as_symbol(&self, t: Term) -> Option<(SymId, usize)> {
        match self.node(t) {
            Node::Sym(s) => Some((*s, 0)),
            Node::At(base, at) => match self.node(*base) {
                Node::Sym(s) => Some((*s, at.len())),
                _ => None,
            },
            _ => None,
        }
    }

    fn facts_of(&self, t: Term) -> Option<&Sym> {
        let base = match self.node(t) {
            Node::Slice(base, ..) => *base,
            _ => t,
        };
        self.as_symbol(base).map(|(s, _)| self.sym(s))
    }

    /// Every element is > 0.
    #[must_use]
    pub fn is_positive(&self, t: Term) -> bool {
        if let Some(sym) = self.facts_of(t) {
            return sym.support == Support::Positive;
        }
        let all = |ts: &[Term]| ts.iter().all(|&x| self.is_positive(x));
        match self.node(t) {
            Node::Num(x) => x.get() > 0.0,
            Node::Size(_)
            | Node::Softmax(_)
            | Node::Fun(Fun::Exp | Fun::Sigmoid | Fun::Softplus | Fun::Trigamma, _) => true,
            Node::Mul(ts) => all(ts),
            Node::Stack { parts, .. } => all(parts),
            Node::Add(ts) => {
                let some = |s: &Self| ts.iter().any(|&x| s.is_positive(x));
                (ts.iter().all(|&x| self.is_nonneg(x)) && some(self)) || self.complement_of_sigmoid(ts).is_some()
            }
            Node::Pow(a, _)
            | Node::Total(a)
            | Node::Product(a)
            | Node::Fill(a, _)
            | Node::IxSum(_, a)
            | Node::Hold(a)
            | Node::Transpose(a)
            | Node::Reshape(a, _)
            | Node::Slice(a, ..)
            | Node::At(a, _) => self.is_positive(*a),
            Node::Dot(a, b) | Node::Select(_, a, b) => self.is_positive(*a) && self.is_positive(*b),
            Node::DiagOf(m) | Node::Trace(m) => self.is_spd(*m),
            _ => false,
        }
    }

    /// Every element is ≥ 0.
    #[must_use]
    pub fn is_nonneg(&self, t: Term) -> bool {
        if let Some(sym) = self.facts_of(t) {
            return !matches!(
                sym.support,
                Support::Real | Support::Int | Support::Ordered | Support::Cov | Support::Corr
            );
        }
        if self.is_positive(t) {
            return true;
        }
        let all = |ts: &[Term]| ts.iter().all(|&x| self.is_nonneg(x));
        match self.node(t) {
            Node::Num(x) => x.get() >= 0.0,
            Node::Draw(Draw::Poisson | Draw::Binomial, _) => true,
            Node::Fixed(a) => self.is_nonneg(*a),
            Node::Ix(_)
            | Node::Resp(_)
            | Node::Cmp(..)
            | Node::Eye(_)
            | Node::Fun(Fun::Abs | Fun::Relu | Fun::NormalCdf | Fun::Not, _) => true,
            Node::Quad(..) => true,
            Node::Mul(ts) => all(ts),
            Node::Stack { parts, .. } => all(parts),
            Node::Add(ts) => all(ts) || self.is_one_minus_unit(ts),
            Node::Pow(a, p) => self.is_nonneg(*a) || self.as_num(*p).is_some_and(|p| p % 2.0 == 0.0),
            Node::Total(a)
            | Node::Product(a)
            | Node::Fill(a, _)
            | Node::IxSum(_, a)
            | Node::RowSum(a)
            | Node::Hold(a)
            | Node::Transpose(a)
            | Node::Diag(a)
            | Node::DiagOf(a)
            | Node::Reshape(a, _)
            | Node::Pick { of: a, .. }
            | Node::Unpick { of: a, .. }
            | Node::Slice(a, ..)
            | Node::At(a, _) => self.is_nonneg(*a),
            Node::Dot(a, b) => (self.is_nonneg(*a) && self.is_nonneg(*b)) || a == b,
            Node::Select(_, a, b) | Node::MatVec(a, b) | Node::MatMul(a, b) | Node::Outer(a, b) => {
                self.is_nonneg(*a) && self.is_nonneg(*b)
            }
            _ => false,
        }
    }

    /// Every element lies in [0, 1].
    #[must_use]
    pub fn is_unit(&self, t: Term) -> bool {
        if let Some(sym) = self.facts_of(t) {
            return matches!(sym.support, Support::Unit | Support::Binary | Support::Simplex);
        }
        match self.node(t) {
            Node::Num(x) => (0.0..=1.0).contains(&x.get()),
            Node::Softmax(_)
            | Node::Resp(_)
            | Node::Cmp(..)
            | Node::Fun(Fun::Sigmoid | Fun::NormalCdf | Fun::Not, _) => true,
            Node::Mul(ts) => ts.iter().all(|&x| self.is_unit(x)),
            Node::Add(ts) => self.is_one_minus_unit(ts),
            Node::At(a, _) | Node::Fill(a, _) | Node::Hold(a) | Node::Reshape(a, _) | Node::Pick { of: a, .. } => {
                self.is_unit(*a)
            }
            Node::Pow(a, p) => self.is_unit(*a) && self.is_nonneg(*p),
            _ => false,
        }
    }

    /// 1 − u for a u in [0, 1].
    fn is_one_minus_unit(&self, addends: &[Term]) -> bool {
        self.known_sign(addends) == Some(true)
    }

    /// x of 1 − σ(x).
    pub(crate) fn complement_of_sigmoid(&self, addends: &[Term]) -> Option<Term> {
        let [one, rest] = addends else { return None };
        let Node::Mul(factors) = self.node(*rest) else {
            return None;
        };
        match (self.as_num(*one), &factors[..]) {
            (Some(1.0), &[c, sigmoid]) if self.as_num(c) == Some(-1.0) => match self.node(sigmoid) {
                Node::Fun(Fun::Sigmoid, x) => Some(*x),
                _ => None,
            },
            _ => None,
        }
    }

    /// `true` for 1 − u and `false` for u − 1, with a u in [0, 1].
    pub(crate) fn known_sign(&self, addends: &[Term]) -> Option<bool> {
        let [one, rest] = addends else { return None };
        let one = self.as_num(*one)?;
        let (c, factors) = match self.node(*rest) {
            Node::Mul(fs) => match self.as_num(fs[0]) {
                Some(c) => (c, &fs[1..]),
                None => (1.0, &fs[..]),
            },
            _ => (1.0, std::slice::from_ref(rest)),
        };
        if !factors.iter().all(|&f| self.is_unit(f)) {
            return None;
        }
        match (one == 1.0, one == -1.0) {
            (true, _) if (-1.0..0.0).contains(&c) => Some(true),
            (_, true) if c > 0.0 && c <= 1.0 => Some(false),
            _ => None,
        }
    }

    /// Every element is an integer.
    #[must_use]
    pub fn is_integer(&self, t: Term) -> bool {
        if let Some(sym) = self.facts_of(t) {
            return matches!(
                sym.support,
                Support::Int | Support::Count | Support::Binary | Support::Category(_)
            );
        }
        match self.node(t) {
            Node::Num(x) => x.get().fract() == 0.0,
            Node::Size(_) | Node::Ix(_) | Node::Cmp(..) | Node::Fun(Fun::Floor | Fun::Sign | Fun::Not, _) => true,
            Node::Add(ts) | Node::Mul(ts) => ts.iter().all(|&x| self.is_integer(x)),
            Node::Draw(Draw::Poisson | Draw::Binomial, _) => true,
            Node::Fill(a, _) | Node::Hold(a) | Node::Fixed(a) | Node::Reshape(a, _) => self.is_integer(*a),
            _ => false,
        }
    }

    /// No element is infinite, taking symbols to be finite and covariances to be positive definite: what the rewrite
    /// 0 · x → 0 asks of x.
    #[must_use]
    pub fn is_finite(&self, t: Term) -> bool {
        match self.node(t) {
            Node::Num(x) => x.get().is_finite(),
            Node::Pow(a, p) => self.is_finite(*a) && self.is_finite(*p) && (self.is_positive(*a) || self.is_nonneg(*p)),
            Node::Fun(Fun::Log | Fun::Digamma | Fun::Trigamma | Fun::Tetragamma | Fun::Lgamma, a) => {
                self.is_positive(*a) && self.is_finite(*a)
            }
            Node::Fun(Fun::Log1p, a) => self.is_nonneg(*a) && self.is_finite(*a),
            Node::XLogY(y, x) => self.is_positive(*x) && self.is_finite(*y),
            node => crate::walk::children(node).iter().all(|&c| self.is_finite(c)),
        }
    }

    /// A symmetric positive definite matrix.
    #[must_use]
    pub fn is_spd(&self, t: Term) -> bool {
        if self.shape(t).len() != 2 {
            return false;
        }
        match self.node(t) {
            Node::Sym(_) | Node::At(..) if self.as_symbol(t).is_some() => self
                .facts_of(t)
                .is_some_and(|s| matches!(s.support, Support::Cov | Support::Corr)),
            Node::Eye(_) => true,
            Node::Inv(a) | Node::Hold(a) => self.is_spd(*a),
            Node::Diag(v) => self.is_positive(*v),
            Node::Add(ts) => ts.iter().all(|&x| self.is_spd(x)),
            Node::Mul(ts) => {
                let (scalars, arrays): (Vec<Term>, Vec<Term>) = ts.iter().partition(|&&x| self.shape(x).is_empty());
                scalars.iter().all(|&x| self.is_positive(x)) && arrays.iter().all(|&x| self.is_spd(x))
            }
            _ => false,
        }
    }

    /// A symmetric matrix.
    #[must_use]
    pub fn is_symmetric(&self, t: Term) -> bool {
        if self.shape(t).len() != 2 {
            return false;
        }
        let all = |ts: &[Term]| ts.iter().all(|&x| self.shape(x).is_empty() || self.is_symmetric(x));
        match self.node(t) {
            Node::Sym(_) | Node::At(..) => self
                .facts_of(t)
                .is_some_and(|s| matches!(s.support, Support::Cov | Support::Corr)),
            Node::Eye(_) | Node::Diag(_) | Node::Inv(_) => true,
            Node::Fill(..) => self.shape(t)[0] == self.shape(t)[1],
            Node::Outer(a, b) => a == b,
            Node::MatMul(a, b) => {
                matches!(self.node(*b), Node::Transpose(c) if c == a)
                    || matches!(self.node(*a), Node::Transpose(c) if c == b)
            }
            Node::Add(ts) | Node::Mul(ts) => all(ts),
            Node::Transpose(a) | Node::RowSum(a) | Node::IxSum(_, a) | Node::Hold(a) | Node::Fun(_, a) => {
                self.is_symmetric(*a)
            }
            Node::Pow(a, b) => all(&[*a, *b]),
            Node::Select(c, a, b) => self.shape(*c).is_empty() && all(&[*a, *b]),
            _ => false,
        }
    }

    /// What a comparison of values with known signs must give.
    pub(crate) fn known_cmp(&self, c: Cmp, a: Term, b: Term) -> Option<bool> {
        if let (Some(x), Some(y)) = (self.as_num(a), self.as_num(b)) {
            return Some(match c {
                Cmp::Lt => x < y,
                Cmp::Le => x <= y,
                Cmp::Eq => x == y,
            });
        }
        if a == b {
            return Some(c != Cmp::Lt);
        }
        let (zero_a, zero_b) = (self.as_num(a) == Some(0.0), self.as_num(b) == Some(0.0));
        match c {
            Cmp::Le if zero_a && self.is_nonneg(b) => Some(true),
            Cmp::Lt if zero_a && self.is_positive(b) => Some(true),
            Cmp::Lt if zero_b && self.is_nonneg(a) => Some(false),
            Cmp::Le if zero_b && self.is_positive(a) => Some(false),
            Cmp::Eq if (zero_a && self.is_positive(b)) || (zero_b && self.is_positive(a)) => Some(false),
            _ => None,
        }
    }
}
