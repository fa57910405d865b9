//! Statistics that hold still: a sum over rows that is evaluated directly must not mention a parameter that another exact
//! update of the same statistics changes. Such parameters are taken out of the sum:
//! `Σₙ (yₙ − a) wₙ = Σₙ yₙ wₙ − a Σₙ wₙ`.

use super::context::Lower;
use super::stats::Body;
use lvmc_derive::plan::{Solution, Update};
use lvmc_term::{Node, SymId, Term};
use std::collections::{BTreeSet, HashMap};

impl Lower<'_> {
    /// The plan's updates with their sums over rows taken apart where that is needed.
    pub fn settled(&mut self) -> Vec<Update> {
        let mut updates = self.plan.updates.clone();
        let moving: BTreeSet<SymId> = updates
            .iter()
            .filter(|u| !u.solution.is_step())
            .flat_map(|u| &u.targets)
            .filter_map(|&t| self.s.as_symbol(t).map(|x| x.0))
            .collect();
        for u in &mut updates {
            match &mut u.solution {
                Solution::Explicit(values) => values.iter_mut().for_each(|v| *v = self.settle(*v, &moving)),
                Solution::Linear { h, g, .. } => {
                    *h = self.settle(*h, &moving);
                    *g = self.settle(*g, &moving);
                }
                Solution::Newton { parts } => parts.iter_mut().for_each(|p| p.0 = self.settle(p.0, &moving)),
                Solution::Ascent { .. } | Solution::Gradient { .. } => {}
            }
        }
        updates
    }

    /// What the plan's definitions compute.
    pub fn defined_terms(&self) -> Vec<Term> {
        self.plan.definitions.iter().filter_map(|d| d.value.term()).collect()
    }

    fn settle(&mut self, t: Term, moving: &BTreeSet<SymId>) -> Term {
        let mut with = HashMap::new();
        for sub in self.s.subterms(t) {
            let Node::RowSum(inner) = *self.s.node(sub) else {
                continue;
            };
            let (_, _, body) = self.read(sub);
            let Body::Direct(whole) = body else { continue };
            if self.s.symbols(whole).is_disjoint(moving) {
                continue;
            }
            let expanded = self.s.expand(inner);
            let mut sums = vec![];
            for addend in self.s.addends(expanded) {
                let (rows, flat): (Vec<Term>, Vec<Term>) =
                    self.s.factors(addend).into_iter().partition(|&f| self.s.per_row(f));
                let row = self.s.product_of(&rows);
                let sum = self.s.row_sum(row);
                let outside = self.s.product_of(&flat);
                sums.push(self.s.mul(outside, sum));
            }
            let sum = self.s.sum(&sums);
            // an array may have become a scalar where all of it is 0
            let shape = self.s.shape(sub).clone();
            with.insert(sub, self.s.refill(sum, shape));
        }
        self.s.substitute(t, &with)
    }
}
