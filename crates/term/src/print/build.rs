//! From a term to its written form.

use super::product::Extra;
use super::{Big, Math};
use crate::node::{Draw, Fun, Node, Term};
use crate::store::Store;

/// The indices of the element that is written, for each leading axis of an array; none for the array as a whole.
pub(super) type Elem<'a> = &'a [Math];

pub(super) struct Builder<'s> {
    pub(super) s: &'s Store,
    /// Normal log densities are abbreviated.
    pub(super) short: bool,
}

impl Builder<'_> {
    pub(super) fn math(&self, t: Term) -> Math {
        self.part(t, &[])
    }

    pub(super) fn boxed(&self, t: Term, e: Elem<'_>) -> Box<Math> {
        Box::new(self.part(t, e))
    }

    /// `t`, or its element `e` where it is an array.
    pub(super) fn part(&self, t: Term, e: Elem<'_>) -> Math {
        let s = self.s;
        let e = if s.shape(t).is_empty() { &[] } else { e };
        match s.node(t) {
            Node::Num(x) if x.get() < 0.0 => Math::Sum(vec![(true, Math::Num(-x.get()))]),
            Node::Num(x) => Math::Num(x.get()),
            Node::Size(n) => self.size(n),
            Node::Sym(x) => self.symbol(*x, e.to_vec()),
            // its value counts from 0, its name from 1
            Node::Ix(i) => Math::Sum(vec![(false, Math::name(&s.ix(*i).name)), (true, Math::Num(1.0))]),
            Node::At(base, at) => self.element(
                *base,
                at.iter().map(|&i| self.index(i)).chain(e.iter().cloned()).collect(),
            ),
            Node::Add(ts) => self.sum(ts, e),
            Node::Mul(_) => self.signed_product(t, e),
            Node::Pow(a, p) => match s.as_num(*p) {
                Some(p) if p < 0.0 => self.product(1.0, &[t], Extra::None, e),
                Some(p) => self.power(*a, p, e),
                None => Math::Pow(self.boxed(*a, e), self.boxed(*p, e)),
            },
            Node::Fun(f, a) => self.function(*f, *a, e),
            Node::XLogY(y, x) => self.xlogy(*y, *x, e),
            Node::Draw(draw, args) => {
                let mut args: Vec<Math> = args.iter().map(|&a| self.part(a, e)).collect();
                if *draw == Draw::LogGamma
                    && let Some(noise) = args.pop()
                {
                    args.push(Math::Call("Φ".into(), vec![noise]));
                }
                // quantiles, the last two in an order of their own
                let name = match draw {
                    Draw::LogGamma => "Gamma⁻¹",
                    Draw::LogGammaSlope => "∂log Gamma⁻¹",
                    Draw::Poisson => "Poisson⁻¹",
                    Draw::Binomial => "Binomial⁻¹",
                };
                let call = Math::Call(name.into(), args);
                if *draw == Draw::LogGamma {
                    Math::Apply("log", Box::new(call))
                } else {
                    call
                }
            }
            Node::Fixed(a) => Math::Call("fixed".into(), vec![self.part(*a, e)]),
            Node::Cmp(..) => Math::Indicator(Box::new(self.condition(t, e))),
            Node::Select(c, a, b) => Math::If(Box::new(self.condition(*c, e)), self.boxed(*a, e), self.boxed(*b, e)),
            Node::Fill(c, _) => self.part(*c, &[]),
            Node::Hold(a) => self.part(*a, e),
            Node::RowSum(a) if s.as_num(*a) == Some(1.0) => Math::name("N"),
            Node::RowSum(a) => self.big(Big::Sum, Math::name("n"), self.part(*a, e)),
            Node::IxSum(i, a) => self.big(Big::Sum, Math::name(&s.ix(*i).name), self.part(*a, e)),
            Node::Resp(values) => {
                let subs = std::iter::once(Math::name("n"))
                    .chain(values.iter().map(|&(z, v)| match s.as_num(v) {
                        // binaries count from 0, categories from 1
                        Some(x) if s.sym(z).support == crate::node::Support::Binary => Math::Num(x),
                        _ => self.index(v),
                    }))
                    .collect();
                Math::Sub(Box::new(Math::name("r")), subs)
            }
            Node::Softmax(a) => subscripted(Math::Call("softmax".into(), vec![self.part(*a, &[])]), e),
            Node::Net { net, output, args, .. } => {
                let name = s
                    .net_name(*net, *output)
                    .map_or_else(|| format!("net{}", net + 1), str::to_owned);
                subscripted(Math::Call(name, args.iter().map(|&a| self.part(a, &[])).collect()), e)
            }
            Node::Stack { rows, parts } => {
                let parts = parts.iter().map(|&p| self.part(p, &[])).collect();
                subscripted(Math::List(parts, if *rows { "; " } else { ", " }), e)
            }
            Node::Reshape(a, _) if e.is_empty() => self.part(*a, &[]),
            Node::Reshape(a, _) => subscripted(self.part(*a, &[]), e),
            Node::Pick { of, .. } => subscripted(Math::Call("pick".into(), vec![self.part(*of, &[])]), e),
            Node::Unpick { of, .. } => subscripted(Math::Call("unpick".into(), vec![self.part(*of, &[])]), e),
            Node::Slice(base, from, len) => self.slice(*base, *from, len, e),
            _ => self.linear(t, e),
        }
    }

    fn signed_product(&self, t: Term, e: Elem<'_>) -> Math {
        let (number, factors) = self.number_and_factors(t);
        match self.signed(number, &factors, e) {
            (true, m) => Math::Sum(vec![(true, m)]),
            (false, m) => m,
        }
    }

    pub(super) fn number_and_factors(&self, t: Term) -> (f64, Vec<Term>) {
        let mut factors = self.s.factors(t);
        match self.s.as_num(factors[0]) {
            Some(x) => {
                factors.remove(0);
                (x, factors)
            }
            None => (1.0, factors),
        }
    }

    /// A product and whether it is subtracted. A minus goes into a log density among the factors: log π − ½ log|2πΣ|
    /// reads better than −(½ log|2πΣ| − log π).
    pub(super) fn signed(&self, number: f64, factors: &[Term], e: Elem<'_>) -> (bool, Math) {
        let at = factors.iter().position(|&f| self.turns(f));
        match at {
            Some(at) if number < 0.0 => (false, self.product(-number, factors, Extra::Negated(at), e)),
            _ => (number < 0.0, self.product(number.abs(), factors, Extra::None, e)),
        }
    }

    /// A log density, or a sum or product over one: something that takes a minus well.
    fn turns(&self, t: Term) -> bool {
        match self.s.node(t) {
            Node::Add(ts) => super::order::is_log_density(self.s, ts),
            Node::RowSum(a) | Node::IxSum(_, a) => self.turns(*a),
            Node::Mul(fs) => self.s.as_num(fs[0]).is_none() && fs.iter().any(|&f| self.turns(f)),
            _ => false,
        }
    }

    /// −t of a term that [turns](Self::turns).
    pub(super) fn turned(&self, t: Term, e: Elem<'_>) -> Math {
        match self.s.node(t) {
            Node::Add(ts) => self.sum_signed(ts, -1.0, e),
            Node::RowSum(a) => self.big(Big::Sum, Math::name("n"), self.turned(*a, e)),
            Node::IxSum(i, a) => self.big(Big::Sum, Math::name(&self.s.ix(*i).name), self.turned(*a, e)),
            _ => self.signed(-1.0, &self.s.factors(t), e).1,
        }
    }

    /// Reductions and linear algebra.
    fn linear(&self, t: Term, e: Elem<'_>) -> Math {
        let s = self.s;
        match *s.node(t) {
            Node::Total(a) => self.total(a),
            Node::Product(a) => self.reduced(Big::Product, a),
            Node::LogSumExp(a) => {
                let (i, element) = self.own_element(a);
                let exp = Math::Call("exp".into(), vec![element]);
                Math::Apply("log", Box::new(self.big(Big::Sum, i, exp)))
            }
            Node::Dot(a, b) => {
                let (a, b) = self.dot_order(a, b);
                chain(vec![transposed(self.math(a)), self.math(b)])
            }
            Node::Quad(m, v) => {
                let v = self.math(v);
                let middle = match *s.node(m) {
                    Node::Inv(p) => self.math(p),
                    _ => inverse(self.math(m)),
                };
                chain(vec![transposed(v.clone()), middle, v])
            }
            Node::MatVec(m, v) => match (e, s.node(m)) {
                // (W z)ₖ = Wₖᵀ z
                ([i], Node::Sym(x)) => chain(vec![transposed(self.symbol(*x, vec![i.clone()])), self.math(v)]),
                _ => subscripted(chain(vec![self.math(m), self.math(v)]), e),
            },
            Node::MatMul(a, b) => subscripted(chain(vec![self.math(a), self.math(b)]), e),
            Node::Outer(u, v) => match e {
                [i, j] => chain(vec![
                    self.part(u, std::slice::from_ref(i)),
                    self.part(v, std::slice::from_ref(j)),
                ]),
                _ => subscripted(chain(vec![self.math(u), transposed(self.math(v))]), e),
            },
            Node::Transpose(a) => subscripted(transposed(self.math(a)), e),
            Node::Diag(v) => subscripted(Math::Call("diag".into(), vec![self.math(v)]), e),
            Node::DiagOf(m) => match e {
                [i] => self.part(m, &[i.clone(), i.clone()]),
                _ => Math::Call("diag".into(), vec![self.math(m)]),
            },
            Node::Eye(_) => subscripted(Math::name("I"), e),
            Node::Inv(a) => subscripted(inverse(self.math(a)), e),
            Node::LogDet(a) => Math::Apply("log", Box::new(Math::Bars(Box::new(self.math(a))))),
            Node::Trace(a) => Math::Call("tr".into(), vec![self.math(a)]),
            // every other node is written by `part`
            _ => Math::name(&s.print_debug(t)),
        }
    }

    /// Σ of the elements: ‖v‖², or with an index of its own.
    fn total(&self, a: Term) -> Math {
        match self.s.node(a) {
            Node::Pow(v, p) if self.s.as_num(*p) == Some(2.0) && self.s.shape(*v).len() == 1 => {
                Math::SquaredNorm(self.boxed(*v, &[]))
            }
            _ => self.reduced(Big::Sum, a),
        }
    }

    fn reduced(&self, big: Big, a: Term) -> Math {
        let indices = self.own_indices(a);
        if let (Node::Slice(base, from, len), [i]) = (self.s.node(a), &indices[..]) {
            let (first, last) = self.ends(*from, len);
            let range = Math::Relation(
                Box::new(i.clone()),
                "=",
                Box::new(Math::Span(Box::new(first), Box::new(last))),
            );
            return self.big(big, range, self.part(*base, std::slice::from_ref(i)));
        }
        let element = self.part(a, &indices);
        indices
            .into_iter()
            .rev()
            .fold(element, |inner, i| self.big(big, i, inner))
    }

    fn big(&self, big: Big, index: Math, body: Math) -> Math {
        Math::Big(big, Box::new(index), Box::new(body))
    }

    /// Parameters stand before data, and a matrix product on the right: wᵀ x, aᵀ M b.
    fn dot_order(&self, a: Term, b: Term) -> (Term, Term) {
        let product = |t: Term| matches!(self.s.node(t), Node::MatVec(..));
        let key = |t: Term| (product(t), self.s.per_row(t));
        if key(b) < key(a) { (b, a) } else { (a, b) }
    }

    /// aᵖ for p > 0; roots, and powers of squares: sigma2² is σ⁴.
    pub(super) fn power(&self, a: Term, p: f64, e: Elem<'_>) -> Math {
        let base = self.part(a, e);
        if p == 1.0 {
            return base;
        }
        let (plain, doubled) = match base.clone() {
            Math::Name {
                base,
                digits,
                square: true,
            } => (
                Math::Name {
                    base,
                    digits,
                    square: false,
                },
                true,
            ),
            Math::Sub(inner, subs) => match *inner {
                Math::Name {
                    base,
                    digits,
                    square: true,
                } => (
                    Math::Sub(
                        Box::new(Math::Name {
                            base,
                            digits,
                            square: false,
                        }),
                        subs,
                    ),
                    true,
                ),
                _ => (base.clone(), false),
            },
            other => (other, false),
        };
        let p = if doubled { 2.0 * p } else { p };
        if p == 1.0 {
            plain
        } else if p == 0.5 {
            Math::Root(Box::new(plain))
        } else {
            Math::Pow(Box::new(plain), Box::new(Math::Num(p)))
        }
    }

    fn xlogy(&self, y: Term, x: Term, e: Elem<'_>) -> Math {
        let log = Math::Apply("log", self.boxed(x, e));
        match self.part(y, e) {
            Math::Prod(fs) => Math::Prod(fs.into_iter().chain([log]).collect()),
            Math::Sum(parts) if matches!(parts[..], [(true, _)]) => Math::Sum(
                parts
                    .into_iter()
                    .map(|(sign, p)| (sign, chain(vec![p, log.clone()])))
                    .collect(),
            ),
            y => Math::Prod(vec![y, log]),
        }
    }

    fn function(&self, f: Fun, a: Term, e: Elem<'_>) -> Math {
        let x = self.boxed(a, e);
        let call = |name: &str, x: Box<Math>| Math::Call(name.into(), vec![*x]);
        match f {
            Fun::Log => Math::Apply("log", x),
            Fun::Exp => call("exp", x),
            Fun::Log1p => Math::Apply("log", Box::new(Math::Sum(vec![(false, Math::Num(1.0)), (false, *x)]))),
            Fun::Sqrt => Math::Root(x),
            Fun::Abs => Math::Bars(x),
            Fun::Lgamma => Math::Apply("log", Box::new(call("Γ", x))),
            Fun::Digamma => call("ψ", x),
            Fun::Trigamma => call("ψ′", x),
            Fun::Tetragamma => call("ψ″", x),
            Fun::NormalCdf => call("Φ", x),
            Fun::Not => Math::Indicator(Box::new(self.negation(a, e))),
            Fun::Sign => call("sign", x),
            Fun::Floor => call("floor", x),
            Fun::Sigmoid => call("sigmoid", x),
            Fun::Softplus => call("softplus", x),
            Fun::Tanh => call("tanh", x),
            Fun::Sin => call("sin", x),
            Fun::Cos => call("cos", x),
            Fun::Relu => call("relu", x),
        }
    }
}

/// Factors of a matrix product, flattened: the product is associative.
fn chain(parts: Vec<Math>) -> Math {
    let mut out = vec![];
    for p in parts {
        match p {
            Math::Prod(inner) => out.extend(inner),
            other => out.push(other),
        }
    }
    Math::Prod(out)
}

pub(super) fn subscripted(base: Math, at: &[Math]) -> Math {
    match base {
        _ if at.is_empty() => base,
        Math::Sub(inner, mut subs) => {
            subs.extend(at.iter().cloned());
            Math::Sub(inner, subs)
        }
        _ => Math::Sub(Box::new(base), at.to_vec()),
    }
}

fn transposed(m: Math) -> Math {
    match m {
        Math::Transpose(inner) => *inner,
        other => Math::Transpose(Box::new(other)),
    }
}

fn inverse(m: Math) -> Math {
    match m {
        Math::Inverse(inner) => *inner,
        other => Math::Inverse(Box::new(other)),
    }
}
