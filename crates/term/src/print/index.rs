//! Indices, positions, sizes, comparisons: what counts from 1 on paper and from 0 in a program.

use super::Math;
use super::build::{Builder, Elem, subscripted};
use crate::node::{Cmp, Fun, Node, SymId, Term};
use crate::shape::Size;

impl Builder<'_> {
    pub(super) fn own_element(&self, a: Term) -> (Math, Math) {
        let indices = self.own_indices(a);
        let element = self.part(a, &indices);
        (indices.into_iter().next().unwrap_or(Math::name("i")), element)
    }

    /// An index letter for each axis: that of its size (`d` for D) where it is free, otherwise the next ones.
    pub(super) fn own_indices(&self, a: Term) -> Vec<Math> {
        let mut used: Vec<String> = self
            .s
            .subterms(a)
            .iter()
            .filter_map(|&t| match self.s.node(t) {
                Node::Ix(i) => Some(self.s.ix(*i).name.clone()),
                Node::Sym(x) => Some(self.s.sym(*x).name.clone()),
                _ => None,
            })
            .collect();
        used.push("n".into());
        let mut out = vec![];
        for size in self.s.shape(a) {
            let own = match size {
                Size::Dim(d) => self.s.dim(*d).name.to_lowercase(),
                _ => "i".into(),
            };
            let candidates = std::iter::once(own.as_str())
                .filter(|c| c.chars().count() == 1)
                .chain(["j", "k", "l", "m", "s", "i"]);
            let letter = candidates
                .into_iter()
                .find(|c| !used.iter().any(|u| u == c))
                .unwrap_or("i")
                .to_owned();
            used.push(letter.clone());
            out.push(Math::name(&letter));
        }
        out
    }

    /// What an indicator holds: a comparison without its brackets; of codes, numbers count from 1.
    pub(super) fn condition(&self, t: Term, e: Elem<'_>) -> Math {
        match *self.s.node(t) {
            Node::Cmp(c, a, b) => self.relation(["<", "≤", "="][c as usize], a, b, e),
            Node::Fun(Fun::Not, a) => self.negation(a, e),
            _ => self.part(t, e),
        }
    }

    pub(super) fn negation(&self, a: Term, e: Elem<'_>) -> Math {
        match *self.s.node(a) {
            Node::Cmp(Cmp::Eq, x, y) => self.relation("≠", x, y, e),
            Node::Cmp(Cmp::Lt, x, y) => self.relation("≤", y, x, e),
            Node::Cmp(Cmp::Le, x, y) => self.relation("<", y, x, e),
            _ => Math::Relation(self.boxed(a, e), "=", Box::new(Math::Num(0.0))),
        }
    }

    pub(super) fn relation(&self, op: &'static str, a: Term, b: Term, e: Elem<'_>) -> Math {
        let code = |t: Term| match self.s.node(t) {
            Node::Ix(_) => true,
            _ => self
                .s
                .as_symbol(t)
                .is_some_and(|(x, _)| matches!(self.s.sym(x).support, crate::Support::Category(_))),
        };
        let side = |t: Term| {
            if code(a) || code(b) {
                self.index(t)
            } else {
                self.part(t, e)
            }
        };
        // [z = k]: the variable first, however they are stored
        let swap = matches!(op, "=" | "≠") && self.s.content(b) < self.s.content(a);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        Math::Relation(Box::new(side(a)), op, Box::new(side(b)))
    }

    /// A position, written from 1: constants move by one, indices and codes have their names.
    pub(super) fn index(&self, i: Term) -> Math {
        match self.s.node(i) {
            Node::Num(x) => Math::Num(x.get() + 1.0),
            Node::Ix(i) => Math::name(&self.s.ix(*i).name),
            Node::Add(ts) => {
                let number = |t: &&Term| self.s.as_num(**t).is_some();
                let (numbers, names): (Vec<&Term>, Vec<&Term>) = ts.iter().partition(number);
                let mut parts: Vec<(bool, Math)> = names.into_iter().map(|&t| self.signed_index(t)).collect();
                parts.sort_by_key(|p| p.0);
                parts.extend(
                    numbers
                        .into_iter()
                        .filter_map(|&t| self.s.as_num(t))
                        .map(|x| (x < 0.0, Math::Num(x.abs()))),
                );
                Math::Sum(parts)
            }
            _ => self.math(i),
        }
    }

    pub(super) fn signed_index(&self, t: Term) -> (bool, Math) {
        match self.s.node(t) {
            Node::Mul(fs) if fs.len() == 2 && self.s.as_num(fs[0]) == Some(-1.0) => (true, self.index(fs[1])),
            _ => (false, self.index(t)),
        }
    }

    pub(super) fn element(&self, base: Term, at: Vec<Math>) -> Math {
        match self.s.node(base) {
            Node::Sym(x) => self.symbol(*x, at),
            _ => subscripted(self.math(base), &at),
        }
    }

    /// A symbol with its row and indices below it.
    pub(super) fn symbol(&self, x: SymId, at: Vec<Math>) -> Math {
        let sym = self.s.sym(x);
        let row = sym.per_row.then(|| Math::name("n"));
        let subs: Vec<Math> = row.into_iter().chain(at).collect();
        subscripted(Math::name(&sym.name), &subs)
    }

    pub(super) fn size(&self, n: &Size) -> Math {
        match n {
            Size::Const(n) => Math::Num(*n as f64),
            Size::Dim(d) => Math::name(&self.s.dim(*d).name),
            Size::Sum(parts) => Math::Sum(parts.iter().map(|p| (false, self.size(p))).collect()),
        }
    }

    pub(super) fn slice(&self, base: Term, from: Term, len: &Size, e: Elem<'_>) -> Math {
        let (first, last) = self.ends(from, len);
        subscripted(Math::Range(self.boxed(base, &[]), Box::new(first), Box::new(last)), e)
    }

    /// The first and the last position of a slice, from 1.
    pub(super) fn ends(&self, from: Term, len: &Size) -> (Math, Math) {
        let first = self.index(from);
        let last = match (self.s.as_num(from), len) {
            (Some(x), Size::Const(n)) => Math::Num(x + *n as f64),
            (Some(0.0), n) => self.size(n),
            _ => {
                let start = match first.clone() {
                    Math::Sum(parts) => parts,
                    other => vec![(false, other)],
                };
                Math::Sum(
                    start
                        .into_iter()
                        .chain([(false, self.size(len)), (true, Math::Num(1.0))])
                        .collect(),
                )
            }
        };
        (first, last)
    }
}
