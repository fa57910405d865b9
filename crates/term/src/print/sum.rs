//! Sums as they are written.

use super::Math;
use super::build::{Builder, Elem};
use super::order;
use super::product::Extra;
use crate::node::{Fun, Node, Term};
use crate::shape::Size;

/// An addend: a number, factors, and perhaps a log that was merged from two addends.
#[derive(Debug, Clone)]
pub(super) struct Addend {
    pub(super) number: f64,
    pub(super) factors: Vec<Term>,
    pub(super) extra: Extra,
    /// The term that decides its place.
    pub(super) key: Term,
}

/// log(x a), or log|x A|.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merged {
    pub(super) number: f64,
    pub(super) inner: Term,
    pub(super) determinant: bool,
}

impl Builder<'_> {
    /// A sum, elementwise where an element is asked for.
    pub(super) fn sum(&self, ts: &[Term], e: Elem<'_>) -> Math {
        self.sum_signed(ts, 1.0, e)
    }

    /// ± a sum.
    pub(super) fn sum_signed(&self, ts: &[Term], sign: f64, e: Elem<'_>) -> Math {
        let mut addends: Vec<Addend> = ts.iter().map(|&t| self.addend(t, sign)).collect();
        self.merge_logs(&mut addends);
        if self.short {
            self.abbreviate_normals(&mut addends);
        }
        self.sum_of(addends, order::is_log_density(self.s, ts), e)
    }

    /// Addends in their order.
    pub(super) fn sum_of(&self, mut addends: Vec<Addend>, logs: bool, e: Elem<'_>) -> Math {
        let constant = self.shift_indices(&mut addends);
        addends.sort_by_key(|a| match a.extra {
            // log π + log N(x; μ, Σ), in the order of the joint
            Extra::Written(_) => (2, 0, a.key),
            _ => order::addend(self.s, a.key, a.number < 0.0, logs),
        });
        let mut parts: Vec<(bool, Math)> = addends
            .into_iter()
            .map(|a| match a.extra {
                // its value from 0 is its name less 1, and the 1 is among the constants
                Extra::None if self.is_index(&a.factors) => (a.number < 0.0, self.multiple_of_index(&a)),
                Extra::None => self.signed(a.number, &a.factors, e),
                extra => (a.number < 0.0, self.product(a.number.abs(), &a.factors, extra, e)),
            })
            .collect();
        if constant != 0.0 || parts.is_empty() {
            parts.push((constant < 0.0, Math::Num(constant.abs())));
        }
        // a positive addend opens the sum, if there is one
        if let Some(first) = parts.iter().position(|p| !p.0) {
            parts[..=first].rotate_right(1);
        }
        match &parts[..] {
            [(false, single)] => single.clone(),
            _ => Math::Sum(parts),
        }
    }

    fn is_index(&self, factors: &[Term]) -> bool {
        matches!(factors, &[f] if matches!(self.s.node(f), Node::Ix(_)))
    }

    fn multiple_of_index(&self, a: &Addend) -> Math {
        let name = self.index(a.factors[0]);
        match a.number.abs() {
            1.0 => name,
            c => Math::Prod(vec![Math::Num(c), name]),
        }
    }

    pub(super) fn addend(&self, t: Term, sign: f64) -> Addend {
        let (number, factors) = self.number_and_factors(t);
        Addend {
            number: sign * number,
            factors,
            extra: Extra::None,
            key: t,
        }
    }

    /// Numbers, with each index's value counted from 1: i stands for k − 1.
    fn shift_indices(&self, addends: &mut Vec<Addend>) -> f64 {
        let mut constant = 0.0;
        for a in addends.iter() {
            match &a.factors[..] {
                [] if matches!(a.extra, Extra::None) => constant += a.number,
                fs if self.is_index(fs) => constant -= a.number,
                _ => {}
            }
        }
        addends.retain(|a| !a.factors.is_empty() || !matches!(a.extra, Extra::None));
        constant
    }

    /// c f log x + c f log a = c f log(x a) for a number x; c f D log x + c f log|A| = c f log|x A|.
    fn merge_logs(&self, addends: &mut Vec<Addend>) {
        while let Some((i, j, merged, rest)) = self.mergeable(addends) {
            addends[j].factors = rest;
            addends[j].extra = Extra::Log(merged);
            addends.remove(i);
        }
    }

    fn mergeable(&self, addends: &[Addend]) -> Option<(usize, usize, Merged, Vec<Term>)> {
        for (i, a) in addends.iter().enumerate() {
            let Some((number, co)) = self.constant_log(a) else {
                continue;
            };
            for (j, b) in addends
                .iter()
                .enumerate()
                .filter(|&(j, b)| j != i && matches!(b.extra, Extra::None))
            {
                for (at, &f) in b.factors.iter().enumerate() {
                    let mut rest = b.factors.clone();
                    rest.remove(at);
                    let (inner, times) = match *self.s.node(f) {
                        Node::Fun(Fun::Log, x) if self.s.as_num(x).is_none() => (x, Size::Const(1)),
                        Node::LogDet(m) => (m, self.s.shape(m)[0].clone()),
                        _ => continue,
                    };
                    if self.same_multiple(a.number, &co, b.number, &rest, &times) {
                        let determinant = matches!(self.s.node(f), Node::LogDet(_));
                        return Some((
                            i,
                            j,
                            Merged {
                                number,
                                inner,
                                determinant,
                            },
                            rest,
                        ));
                    }
                }
            }
        }
        None
    }

    /// The number under the log of an addend c f log x, and the other factors f.
    fn constant_log(&self, a: &Addend) -> Option<(f64, Vec<Term>)> {
        let at = a
            .factors
            .iter()
            .position(|&f| matches!(self.s.node(f), Node::Fun(Fun::Log, x) if self.s.as_num(*x).is_some()))?;
        let Node::Fun(Fun::Log, x) = *self.s.node(a.factors[at]) else {
            return None;
        };
        let mut rest = a.factors.clone();
        rest.remove(at);
        Some((self.s.as_num(x)?, rest))
    }

    /// a · co = b · rest · times.
    fn same_multiple(&self, a: f64, co: &[Term], b: f64, rest: &[Term], times: &Size) -> bool {
        let mut wanted = rest.to_vec();
        let mut number = b;
        match times {
            Size::Const(n) => number *= *n as f64,
            size => match co
                .iter()
                .find(|&&f| matches!(self.s.node(f), Node::Size(n) if n == size))
            {
                Some(&f) => wanted.push(f),
                None => return false,
            },
        }
        let (mut x, mut y) = (co.to_vec(), wanted);
        x.sort();
        y.sort();
        x == y && (a - number).abs() <= 1e-12 * a.abs()
    }
}
