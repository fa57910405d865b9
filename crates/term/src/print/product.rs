//! Products and fractions as they are written.

use super::build::{Builder, Elem};
use super::sum::Merged;
use super::{Math, number, order};
use crate::node::{Node, Term};

/// What a product has beside its factors.
#[derive(Debug, Clone)]
pub(super) enum Extra {
    None,
    /// A last factor that is no term.
    Log(Merged),
    /// log N(x; m, S), already written.
    Written(Math),
    /// The factor at that position is written with its sign turned.
    Negated(usize),
}

impl Builder<'_> {
    /// number · factors (· something more), with negative powers below a fraction bar. `number` ≥ 0.
    pub(super) fn product(&self, number: f64, factors: &[Term], extra: Extra, e: Elem<'_>) -> Math {
        let turned = match extra {
            Extra::Negated(at) => Some(factors[at]),
            _ => None,
        };
        let (mut above, mut below) = (vec![], vec![]);
        for &f in factors {
            match self.below(f) {
                Some((base, p)) => below.push((base, p)),
                None => above.push(f),
            }
        }
        above.sort_by_key(|&f| order::factor(self.s, f));
        below.sort_by_key(|&(b, _)| order::factor(self.s, b));
        let mut top = self.factors(&above, turned, e);
        match extra {
            Extra::Log(m) => top.push(self.merged_log(m, e)),
            Extra::Written(m) => top.push(m),
            Extra::None | Extra::Negated(_) => {}
        }
        let mut bottom: Vec<Math> = below.into_iter().map(|(b, p)| self.power(b, p, e)).collect();
        Self::fraction(number, &mut top, &mut bottom)
    }

    /// Base and positive exponent of a factor that belongs below the bar.
    fn below(&self, f: Term) -> Option<(Term, f64)> {
        let Node::Pow(base, p) = *self.s.node(f) else {
            return None;
        };
        let p = self.s.as_num(p)?;
        (p < 0.0).then_some((base, -p))
    }

    /// Scalars side by side; several arrays by ⊙ (in an element, side by side too).
    fn factors(&self, ts: &[Term], turned: Option<Term>, e: Elem<'_>) -> Vec<Math> {
        let part = |t: Term| {
            if turned == Some(t) {
                self.turned(t, e)
            } else {
                self.part(t, e)
            }
        };
        let (scalars, arrays): (Vec<Term>, Vec<Term>) =
            ts.iter().partition(|&&t| self.s.shape(t).is_empty() || !e.is_empty());
        if arrays.len() < 2 {
            return ts.iter().map(|&t| part(t)).collect();
        }
        let mut out: Vec<Math> = scalars.iter().map(|&t| part(t)).collect();
        out.push(Math::Hadamard(arrays.iter().map(|&t| part(t)).collect()));
        out
    }

    fn merged_log(&self, m: Merged, e: Elem<'_>) -> Math {
        let inner = match self.part(m.inner, if m.determinant { &[] } else { e }) {
            Math::Prod(fs) => fs,
            other => vec![other],
        };
        let product = Math::Prod(std::iter::once(Math::Num(m.number)).chain(inner).collect());
        Math::Apply(
            "log",
            Box::new(if m.determinant {
                Math::Bars(Box::new(product))
            } else {
                product
            }),
        )
    }

    fn fraction(number: f64, top: &mut Vec<Math>, bottom: &mut Vec<Math>) -> Math {
        let flat = |fs: &mut Vec<Math>| {
            let mut out = vec![];
            for f in fs.drain(..) {
                match f {
                    Math::Prod(inner) => out.extend(inner),
                    other => out.push(other),
                }
            }
            out
        };
        let (mut above, mut below) = (flat(top), flat(bottom));
        let big = matches!(above.last(), Some(Math::Big(..)));
        let bare = above.is_empty() || (big && above.len() == 1);
        match number::fraction(number) {
            // 1/(2σ²) rather than ½ / σ²
            Some((p, q)) if bare && !below.is_empty() && number::of_pi(number).is_none() => {
                below.insert(0, Math::Num(f64::from(q)));
                if p > 1 {
                    above.insert(0, Math::Num(f64::from(p)));
                }
            }
            _ if number != 1.0 || (above.is_empty() && below.is_empty()) => above.insert(0, Math::Num(number)),
            _ => {}
        }
        if below.is_empty() {
            return product_of(above);
        }
        let under = Box::new(product_of(below));
        match above.last() {
            // 1/n Σ …
            Some(Math::Big(..)) if big && !matches!(*under, Math::Big(..)) => {
                let Some(last) = above.pop() else { return Math::Num(1.0) };
                Math::Prod(vec![Math::Frac(Box::new(product_of(above)), under), last])
            }
            _ => Math::Frac(Box::new(product_of(above)), under),
        }
    }
}

fn product_of(mut fs: Vec<Math>) -> Math {
    match fs.len() {
        0 => Math::Num(1.0),
        1 => fs.remove(0),
        _ => Math::Prod(fs),
    }
}
