//! Sums and products: numbers and common factors are taken out, so that what differs by a number is computed once.
//!
//! A gradient repeats itself: the derivative by a bias is a sum over rows of what the derivative by the weights multiplies,
//! up to a sign and to how its products are multiplied out. As a number times factors in an order of their own, both are the
//! same values. Factors that are there earlier are multiplied first: one product has to be kept for later, not each factor.

use super::LowerError;
use super::translate::{Found, Translate};
use super::values::{Kind, Over, ValueId};
use crate::ir::{Binary, Extent, Unary};
use lvmc_term::{Node, Term};
use std::collections::BTreeMap;

/// number · Π over / Π under
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Monomial {
    number: f64,
    /// In the order of the table of values.
    over: Vec<ValueId>,
    under: Vec<ValueId>,
}

impl Monomial {
    fn number(number: f64) -> Self {
        Self {
            number,
            over: vec![],
            under: vec![],
        }
    }

    fn times(mut self, other: Self) -> Self {
        self.number *= other.number;
        self.over.extend(other.over);
        self.under.extend(other.under);
        self.over.sort_unstable();
        self.under.sort_unstable();
        self
    }

    fn factors(&self) -> (Vec<ValueId>, Vec<ValueId>) {
        (self.over.clone(), self.under.clone())
    }
}

/// What both lists hold, as often as both hold it; both are in order.
fn common(a: &[ValueId], b: &[ValueId]) -> Vec<ValueId> {
    let mut rest = b.to_vec();
    let mut found = a.to_vec();
    found.retain(|x| rest.iter().position(|y| x == y).map(|at| rest.remove(at)).is_some());
    found
}

/// A list without what another holds.
fn without(mut a: Vec<ValueId>, b: &[ValueId]) -> Vec<ValueId> {
    for x in b {
        if let Some(at) = a.iter().position(|y| x == y) {
            a.remove(at);
        }
    }
    a
}

impl Translate<'_> {
    /// Folds values with an associative operation: what is held once, short and early first, so that as little as possible is
    /// done for every element, and again later.
    pub(super) fn fold(&mut self, op: Binary, of: &[ValueId]) -> ValueId {
        let mut of = of.to_vec();
        of.sort_by_key(|&v| {
            let value = &self.values[v];
            (value.extent == Extent::Rows, value.len(), self.levels[v])
        });
        let mut rest = of.into_iter();
        let first = rest.next().unwrap_or_else(|| self.number(0.0));
        rest.fold(first, |a, b| self.binary(op, a, b))
    }

    /// A value as a monomial.
    fn factor(&self, v: ValueId) -> Monomial {
        match self.values[v].kind {
            Kind::Number(x) if self.values[v].shape.is_empty() => Monomial::number(x.get()),
            _ => Monomial {
                over: vec![v],
                ..Monomial::number(1.0)
            },
        }
    }

    /// A term as a monomial.
    pub(super) fn monomial(&mut self, t: Term) -> Result<Monomial, LowerError> {
        if let Some(known) = self.monomials.get(&t) {
            return Ok(known.clone());
        }
        let found = match self.store.node(t).clone() {
            Node::Add(ts) => self.sum(&ts)?,
            Node::Mul(ts) => self.product(&ts)?,
            Node::RowSum(body) => self.row_sum(1.0, body)?,
            Node::Pow(a, b) if self.store.as_num(b) == Some(-1.0) => {
                let a = self.value(a)?;
                let m = self.factor(a);
                if m.over.is_empty() && m.number != 0.0 {
                    Monomial::number(1.0 / m.number)
                } else {
                    Monomial {
                        under: vec![a],
                        ..Monomial::number(1.0)
                    }
                }
            }
            _ => {
                let v = self.value(t)?;
                self.factor(v)
            }
        };
        self.monomials.insert(t, found.clone());
        Ok(found)
    }

    /// Π of terms. A number next to a sum of outer products over rows moves into it: rows are shorter than matrices.
    fn product(&mut self, ts: &[Term]) -> Result<Monomial, LowerError> {
        let (numbers, others): (Vec<Term>, Vec<Term>) = ts.iter().partition(|&&t| self.store.as_num(t).is_some());
        let number = numbers.iter().filter_map(|&t| self.store.as_num(t)).product();
        if let [one] = others[..]
            && let Node::RowSum(body) = *self.store.node(one)
        {
            return self.row_sum(number, body);
        }
        let mut product = Monomial::number(number);
        for t in others {
            product = product.times(self.monomial(t)?);
        }
        Ok(product)
    }

    /// Σ of terms; sums over rows are one sum over rows.
    pub(super) fn sum(&mut self, ts: &[Term]) -> Result<Monomial, LowerError> {
        let (mut over_rows, mut addends) = (vec![], vec![]);
        for &t in ts {
            let (c, rest) = self.store.split_number(t);
            match *self.store.node(rest) {
                Node::RowSum(body) if self.store.shape(t) == self.store.shape(ts[0]) => {
                    over_rows.push(self.store.scale(c, body));
                }
                _ => addends.push(self.monomial(t)?),
            }
        }
        if !over_rows.is_empty() {
            addends.push(self.row_sum_of(1.0, &over_rows)?);
        }
        Ok(self.add_up(addends))
    }

    /// Σ of monomials: alike ones are one, common factors come out, the first number's sign comes out.
    fn add_up(&mut self, addends: Vec<Monomial>) -> Monomial {
        let mut alike: BTreeMap<(Vec<ValueId>, Vec<ValueId>), f64> = BTreeMap::new();
        for m in addends {
            *alike.entry(m.factors()).or_default() += m.number;
        }
        alike.retain(|_, number| *number != 0.0);
        let mut rests: Vec<Monomial> = alike
            .into_iter()
            .map(|((over, under), number)| Monomial { number, over, under })
            .collect();
        let [first, others @ ..] = &rests[..] else {
            return Monomial::number(0.0);
        };
        if others.is_empty() {
            return rests.remove(0);
        }
        let (mut over, mut under) = first.factors();
        for m in others {
            (over, under) = (common(&over, &m.over), common(&under, &m.under));
        }
        for m in &mut rests {
            m.over = without(std::mem::take(&mut m.over), &over);
            m.under = without(std::mem::take(&mut m.under), &under);
        }
        rests.sort_by_key(Monomial::factors);
        let lead = rests[0].number;
        let even = rests.iter().all(|m| m.number.abs() == lead.abs());
        let number = if even { lead } else { lead.signum() };
        let (mut plus, mut minus) = (vec![], vec![]);
        for m in rests {
            let c = m.number / number;
            let size = self.made(Monomial { number: c.abs(), ..m });
            if c > 0.0 { &mut plus } else { &mut minus }.push(size);
        }
        let mut total = self.fold(Binary::Add, &plus);
        for m in minus {
            total = self.binary(Binary::Sub, total, m);
        }
        Monomial { number, over, under }.times(self.factor(total))
    }

    /// The value of a monomial. What is held once comes last but for its own product, so that monomials that differ by it
    /// share the rest.
    pub(super) fn made(&mut self, m: Monomial) -> ValueId {
        let single = |s: &Self, v: ValueId| s.values[v].extent == Extent::Once && s.values[v].len() == 1;
        let (single, wide): (Vec<ValueId>, Vec<ValueId>) = m.over.iter().partition(|&&v| single(self, v));
        let mut scale = (!single.is_empty()).then(|| self.fold(Binary::Mul, &single));
        let mut number = m.number;
        if number != 1.0 && (scale.is_some() || wide.is_empty()) {
            let c = self.number(number);
            scale = Some(match scale {
                Some(v) => self.binary(Binary::Mul, c, v),
                None => c,
            });
            number = 1.0;
        }
        let mut top = (!wide.is_empty()).then(|| self.fold(Binary::Mul, &wide));
        if let Some(scale) = scale {
            top = Some(match top {
                Some(v) => self.binary(Binary::Mul, scale, v),
                None => scale,
            });
        }
        let mut v = top.unwrap_or_else(|| self.number(1.0));
        if !m.under.is_empty() {
            let bottom = self.fold(Binary::Mul, &m.under);
            v = self.binary(Binary::Div, v, bottom);
        }
        if number == -1.0 {
            self.unary(Unary::Neg, v)
        } else if number != 1.0 {
            let c = self.number(number);
            self.binary(Binary::Mul, c, v)
        } else {
            v
        }
    }

    /// Σ over the elements of a row, or over the batch, of a term; the number comes out.
    pub(super) fn total(&mut self, a: Term) -> Found {
        let m = self.monomial(a)?;
        let number = m.number;
        let v = self.made(Monomial { number: 1.0, ..m });
        // of numbers and arrays that cancelled, a number may be left that stands for each element
        let v = self.shaped(v, a)?;
        let total = self.reduce(Over::Elements, v);
        let m = Monomial::number(number).times(self.factor(total));
        Ok(self.made(m))
    }

    // -- sums over rows

    /// number · Σₙ body.
    fn row_sum(&mut self, number: f64, body: Term) -> Result<Monomial, LowerError> {
        match self.store.node(body).clone() {
            Node::Add(ts) => self.row_sum_of(number, &ts),
            _ => self.row_sum_of(number, &[body]),
        }
    }

    /// number · Σₙ Σ bodies: matrix products one by one, the others together.
    fn row_sum_of(&mut self, number: f64, bodies: &[Term]) -> Result<Monomial, LowerError> {
        let (mut plain, mut addends) = (vec![], vec![]);
        for &body in bodies {
            let (c, rest) = self.store.split_number(body);
            if matches!(self.store.node(rest), Node::Add(_)) {
                addends.push(self.row_sum(number * c, rest)?);
            } else if let Some(v) = self.product_over_rows(number * c, rest)? {
                addends.push(self.factor(v));
            } else {
                plain.push(self.monomial(body)?);
            }
        }
        if !plain.is_empty() {
            let m = self.add_up(plain);
            let (rows, once): (Vec<ValueId>, Vec<ValueId>) =
                m.over.iter().partition(|&&v| self.values[v].extent == Extent::Rows);
            let (under_rows, under): (Vec<ValueId>, Vec<ValueId>) =
                m.under.iter().partition(|&&v| self.values[v].extent == Extent::Rows);
            let body = self.made(Monomial {
                number: 1.0,
                over: rows,
                under: under_rows,
            });
            let sum = self.reduce(Over::Rows, body);
            let outside = Monomial {
                number: number * m.number,
                over: once,
                under,
            };
            addends.push(outside.times(self.factor(sum)));
        }
        Ok(self.add_up(addends))
    }

    /// number · Σₙ body where that is a matrix product, a sum into a table's rows or something of that kind.
    fn product_over_rows(&mut self, number: f64, body: Term) -> Result<Option<ValueId>, LowerError> {
        // numbers of the row move into one side
        let factors = self.store.factors(body);
        let arrays: Vec<Term> = factors
            .iter()
            .copied()
            .filter(|&f| !self.store.shape(f).is_empty())
            .collect();
        let [one] = arrays[..] else { return Ok(None) };
        let scalars: Vec<Term> = factors.into_iter().filter(|&f| f != one).collect();
        match *self.store.node(one) {
            Node::Outer(u, v) => {
                let scale = self.store.product_of(&scalars);
                let scale = self.store.scale(number, scale);
                self.outer_over_rows(u, v, scale).map(Some)
            }
            Node::MatMul(a, b) if scalars.is_empty() => {
                let ((ta, turned), (tb, straight)) = (self.untransposed(a), self.untransposed(b));
                let (va, vb) = (self.value(ta)?, self.value(tb)?);
                let both = self.values[va].extent == Extent::Rows && self.values[vb].extent == Extent::Rows;
                if !(both && turned && !straight) {
                    return Ok(None);
                }
                let scaled = Monomial::number(number).times(self.monomial(ta)?);
                let va = self.made(scaled);
                let (va, shape) = (self.shaped(va, ta)?, self.shape(one)?);
                Ok(Some(self.push(Extent::Once, shape, Kind::ProductOverRows(va, vb))))
            }
            _ => Ok(None),
        }
    }

    /// Σₙ s u vᵀ: one product; where u is a unit vector, a sum into the rows of a table.
    fn outer_over_rows(&mut self, u: Term, v: Term, scale: Term) -> Found {
        if let Node::At(eye, i) = self.store.node(u).clone()
            && let (Node::Eye(n), &[i]) = (self.store.node(eye).clone(), &i[..])
        {
            let entries = (self.sizes)(self.store, &n)?;
            let from = self.store.mul(scale, v);
            let (from, index) = (self.value(from)?, self.value(i)?);
            let shape = vec![entries, self.values[from].len()];
            return Ok(self.push(Extent::Once, shape, Kind::Scatter { from, index, entries }));
        }
        let (nu, nv) = (self.shape(u)?[0], self.shape(v)?[0]);
        // into the shorter one
        let (u, v) = if nu <= nv {
            (self.store.mul(scale, u), v)
        } else {
            (u, self.store.mul(scale, v))
        };
        let (u, v) = (self.value(u)?, self.value(v)?);
        let rows = |x: ValueId| self.values[x].extent == Extent::Rows;
        if rows(u) && rows(v) {
            return Ok(self.push(Extent::Once, vec![nu, nv], Kind::ProductOverRows(u, v)));
        }
        // what is held once comes out of the sum
        let (u, v) = if rows(u) {
            (self.reduce(Over::Rows, u), v)
        } else {
            (u, self.reduce(Over::Rows, v))
        };
        let (u, v) = (self.as_matrix(u, true), self.as_matrix(v, false));
        Ok(self.matrix_product(u.into(), v.into(), vec![nu, nv]))
    }
}
