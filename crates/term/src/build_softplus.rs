//! One form of log odds: log(1 + eᵃ) and log(1 + e⁻ᵃ) in one sum.
//!
//! log(1 + e⁻ᵃ) = log(1 + eᵃ) − a, so u log(1 + eᵃ) + v log(1 + e⁻ᵃ) → (u + v) log(1 + eᵃ) − v a where u + v is a number:
//! the log density of a Bernoulli variable, −x log(1 + e⁻ˡ) − (1 − x) log(1 + eˡ), becomes x l − log(1 + eˡ), and its
//! gradient in l is x − σ(l) as it stands.

use crate::node::{Fun, Node, Term};
use crate::store::Store;
use std::collections::BTreeMap;

impl Store {
    /// Collects such pairs among the addends of a sum; true where there was one.
    pub(crate) fn pair_softplus(&mut self, parts: &mut BTreeMap<Term, f64>) -> bool {
        let found: Vec<(Term, Term)> = parts
            .iter()
            .filter(|&(_, &c)| c != 0.0)
            .filter_map(|(&core, _)| Some((self.softplus_of(core)?, core)))
            .collect();
        if found.len() < 2 {
            return false;
        }
        let mut any = false;
        for &(a, _) in &found {
            // of a and −a the one that is written without a minus
            if self.split_sign(a).0 < 0.0 {
                continue;
            }
            let minus = self.neg(a);
            let of = |x: Term| -> Vec<Term> { found.iter().filter(|f| f.0 == x).map(|f| f.1).collect() };
            let (plus_cores, minus_cores) = (of(a), of(minus));
            if minus_cores.is_empty() || plus_cores.iter().any(|core| !parts.contains_key(core)) {
                continue;
            }
            let (u, v) = (
                self.coefficient(&plus_cores, parts),
                self.coefficient(&minus_cores, parts),
            );
            let both = self.add(u, v);
            let both = self.unfilled(both);
            if self.as_num(both).is_none() {
                continue;
            }
            for core in plus_cores.iter().chain(&minus_cores) {
                parts.remove(core);
            }
            let l = self.fun(Fun::Softplus, a);
            let (l, va) = (self.mul(both, l), self.mul(v, a));
            for (sign, t) in [(1.0, l), (-1.0, va)] {
                for x in self.addends(t) {
                    let (c, core) = self.split_number(x);
                    *parts.entry(core).or_insert(0.0) += sign * c;
                }
            }
            any = true;
        }
        any
    }

    /// a of a product with one factor log(1 + eᵃ).
    fn softplus_of(&self, core: Term) -> Option<Term> {
        let argument = |t: Term| match self.node(t) {
            Node::Fun(Fun::Softplus, a) => Some(*a),
            _ => None,
        };
        match self.node(core) {
            Node::Mul(fs) => fs.iter().find_map(|&f| argument(f)),
            _ => argument(core),
        }
    }

    /// The sum of what stands before the softplus.
    fn coefficient(&mut self, cores: &[Term], parts: &BTreeMap<Term, f64>) -> Term {
        let mut sum = vec![];
        for &core in cores {
            let rest: Vec<Term> = match self.node(core).clone() {
                Node::Mul(fs) => {
                    let at = fs
                        .iter()
                        .position(|&f| matches!(self.node(f), Node::Fun(Fun::Softplus, _)));
                    let others = fs.iter().enumerate().filter(|&(i, _)| Some(i) != at);
                    others.map(|(_, &f)| f).collect()
                }
                _ => vec![],
            };
            let rest = self.product_of(&rest);
            sum.push(self.scale(parts[&core], rest));
        }
        self.sum(&sum)
    }
}
