//! Rewrites as data: a name, a statement people can read, and the rewrite. Each is tested against the evaluator.

use crate::node::{Node, Term};
use crate::store::Store;
use std::collections::HashMap;

/// Does a term depend on the unknown?
pub type Depends<'a> = &'a dyn Fn(&Store, Term) -> bool;

/// Which addends a rewrite takes apart.
pub(crate) struct Split<'a> {
    /// The unknown, where only addends that depend on it must come apart; otherwise every sum is taken apart.
    pub(crate) depends: Option<Depends<'a>>,
}

impl Split<'_> {
    /// The addends to take apart: each one that depends on the unknown, and the rest together; `None` where the sum may
    /// stay whole.
    pub(crate) fn parts(&self, s: &mut Store, t: Term) -> Option<Vec<Term>> {
        let Node::Add(ts) = s.node(t).clone() else { return None };
        let Some(depends) = self.depends else {
            return Some(ts.to_vec());
        };
        let (mut with, without): (Vec<Term>, Vec<Term>) = ts.iter().partition(|&&x| depends(s, x));
        if with.is_empty() || (with.len() == 1 && without.is_empty()) {
            return None;
        }
        if !without.is_empty() {
            with.push(s.sum(&without));
        }
        Some(with)
    }
}

/// A rewrite of one node; it must keep the value and come to an end.
pub struct Rule {
    /// A short name, for tests and traces.
    pub name: &'static str,
    /// What it says.
    pub statement: &'static str,
    pub(crate) apply: fn(&mut Store, Term, &Split<'_>) -> Option<Term>,
}

/// All rewrites that are not part of the constructors.
#[must_use]
pub fn all() -> Vec<&'static Rule> {
    crate::structured::RULES.iter().chain(crate::expand::rules()).collect()
}

/// Which terms a rewriting pass leaves alone.
pub(crate) type Opaque<'a> = &'a dyn Fn(&Node) -> bool;

impl Store {
    /// Applies one rule at the root of `t`, if it says anything there (all sums are taken apart).
    pub fn apply_rule(&mut self, rule: &Rule, t: Term) -> Option<Term> {
        (rule.apply)(self, t, &Split { depends: None }).filter(|&u| u != t)
    }

    /// Applies rules everywhere, parts before wholes, until none applies.
    pub(crate) fn rewrite(&mut self, t: Term, rules: &[&Rule], split: &Split<'_>, opaque: Opaque<'_>) -> Term {
        self.rewrite_memo(t, rules, split, opaque, &mut HashMap::new())
    }

    fn rewrite_memo(
        &mut self,
        t: Term,
        rules: &[&Rule],
        split: &Split<'_>,
        opaque: Opaque<'_>,
        memo: &mut HashMap<Term, Term>,
    ) -> Term {
        if let Some(&u) = memo.get(&t) {
            return u;
        }
        if opaque(self.node(t)) {
            return t;
        }
        let mut u = self.map_children(t, |s, c| s.rewrite_memo(c, rules, split, opaque, memo));
        if u != t {
            // building again may have made another node, with parts of its own
            u = self.rewrite_memo(u, rules, split, opaque, memo);
        } else if let Some(v) = rules.iter().find_map(|r| (r.apply)(self, u, split).filter(|&v| v != u)) {
            u = self.rewrite_memo(v, rules, split, opaque, memo);
        }
        memo.insert(t, u);
        memo.insert(u, u);
        u
    }
}
