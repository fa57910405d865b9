//! Questions about terms, and substitution.

use crate::node::{IxId, Node, SymId, SymKind, Term};
use crate::store::Store;
use crate::walk::{binder, children};
use std::collections::{BTreeSet, HashMap, HashSet};

impl Store {
    /// True where some node in `t` (itself included) satisfies `pred`. Each shared part is visited once.
    pub fn depends_on(&self, t: Term, pred: impl Fn(&Node) -> bool) -> bool {
        let mut seen = HashSet::new();
        let mut todo = vec![t];
        while let Some(t) = todo.pop() {
            if seen.insert(t) {
                if pred(self.node(t)) {
                    return true;
                }
                todo.extend(children(self.node(t)));
            }
        }
        false
    }

    /// All distinct terms in `t`, itself included, parts before wholes.
    #[must_use]
    pub fn subterms(&self, t: Term) -> Vec<Term> {
        let mut seen = HashSet::from([t]);
        let mut todo = vec![t];
        while let Some(t) = todo.pop() {
            todo.extend(children(self.node(t)).into_iter().filter(|&c| seen.insert(c)));
        }
        let mut all: Vec<Term> = seen.into_iter().collect();
        all.sort(); // a part is always older than its whole
        all
    }

    /// The symbols in `t`; those of a `Resp` are the latents whose posterior it is.
    #[must_use]
    pub fn symbols(&self, t: Term) -> BTreeSet<SymId> {
        let mut out = BTreeSet::new();
        for x in self.subterms(t) {
            match self.node(x) {
                Node::Sym(s) => {
                    out.insert(*s);
                }
                Node::Resp(values) => out.extend(values.iter().map(|&(s, _)| s)),
                _ => {}
            }
        }
        out
    }

    /// True where the symbol itself occurs (a `Resp` of it does not count: responsibilities are numbers once made).
    #[must_use]
    pub fn depends_on_sym(&self, t: Term, s: SymId) -> bool {
        self.may_contain(t, s) && self.depends_on(t, |n| *n == Node::Sym(s))
    }

    /// True where some symbol of that kind occurs.
    #[must_use]
    pub fn depends_on_kind(&self, t: Term, kind: SymKind) -> bool {
        self.depends_on(t, |n| matches!(n, Node::Sym(s) if self.sym(*s).kind == kind))
    }

    /// The bound indices that occur free in `t`.
    #[must_use]
    pub fn free_indices(&self, t: Term) -> BTreeSet<IxId> {
        if !self.has_index(t) {
            return BTreeSet::new();
        }
        let mut memo: HashMap<Term, BTreeSet<IxId>> = HashMap::new();
        for x in self.subterms(t) {
            let node = self.node(x);
            let mut free: BTreeSet<IxId> = children(node).iter().flat_map(|c| memo[c].iter().copied()).collect();
            match node {
                Node::Ix(i) => {
                    free.insert(*i);
                }
                Node::IxSum(i, _) => {
                    free.remove(i);
                }
                _ => {}
            }
            memo.insert(x, free);
        }
        memo.remove(&t).unwrap_or_default()
    }

    /// The addends of a sum, or the term itself.
    #[must_use]
    pub fn addends(&self, t: Term) -> Vec<Term> {
        match self.node(t) {
            Node::Add(ts) => ts.to_vec(),
            _ => vec![t],
        }
    }

    /// The factors of a product, or the term itself.
    #[must_use]
    pub fn factors(&self, t: Term) -> Vec<Term> {
        match self.node(t) {
            Node::Mul(ts) => ts.to_vec(),
            _ => vec![t],
        }
    }

    /// `t` with terms replaced, all at once, rebuilt through the constructors. What is put in is not searched again.
    /// A sum over an index hides that index: keys that mention it do not match inside, and it is renamed where a
    /// replacement would be captured.
    pub fn substitute(&mut self, t: Term, with: &HashMap<Term, Term>) -> Term {
        self.replace(t, with, &mut HashMap::new())
    }

    fn replace(&mut self, t: Term, with: &HashMap<Term, Term>, memo: &mut HashMap<Term, Term>) -> Term {
        if let Some(&to) = with.get(&t).or_else(|| memo.get(&t)) {
            return to;
        }
        let out = match binder(self.node(t)) {
            Some(i) => self.replace_bound(t, i, with, memo),
            None => self.map_children(t, |s, c| s.replace(c, with, memo)),
        };
        memo.insert(t, out);
        out
    }

    fn replace_bound(&mut self, t: Term, i: IxId, with: &HashMap<Term, Term>, memo: &mut HashMap<Term, Term>) -> Term {
        let Node::IxSum(_, body) = *self.node(t) else { return t };
        let ix = Node::Ix(i);
        let hidden = |s: &Store, x: Term| s.depends_on(x, |n| *n == ix);
        let kept: HashMap<Term, Term> = with
            .iter()
            .filter(|&(&k, _)| !hidden(self, k))
            .map(|(&k, &v)| (k, v))
            .collect();
        let captured = kept.iter().any(|(&k, &v)| hidden(self, v) && self.contains(body, k));
        if captured {
            let (name, size) = (self.ix(i).name.clone(), self.ix(i).size.clone());
            let fresh = self.add_ix(name, size);
            let (old, new) = (self.index(i), self.index(fresh));
            let body = self.substitute(body, &HashMap::from([(old, new)]));
            let body = self.substitute(body, &kept);
            return self.ix_sum(fresh, body);
        }
        let body = if kept.len() == with.len() {
            self.replace(body, with, memo)
        } else {
            self.substitute(body, &kept)
        };
        self.ix_sum(i, body)
    }

    /// True where `part` occurs in `t`.
    #[must_use]
    pub fn contains(&self, t: Term, part: Term) -> bool {
        // a part is never younger than its whole
        let possible = part <= t && self.as_symbol(part).is_none_or(|(s, _)| self.may_contain(t, s));
        possible && self.subterms(t).binary_search(&part).is_ok()
    }

    /// The term as nested constructors, for debugging; `print::unicode` is for people.
    #[must_use]
    pub fn print_debug(&self, t: Term) -> String {
        self.print_debug_short(t, usize::MAX)
    }

    /// As [`Store::print_debug`], cut after about so many bytes: written out, shared parts may be many.
    #[must_use]
    pub fn print_debug_short(&self, t: Term, longest: usize) -> String {
        let mut out = String::new();
        self.write_debug(&mut out, t, longest);
        out
    }

    fn write_debug(&self, out: &mut String, t: Term, longest: usize) {
        if out.len() > longest {
            return;
        }
        let node = self.node(t);
        match node {
            Node::Num(x) => out.push_str(&format!("{}", x.get())),
            Node::Size(n) => out.push_str(&format!("{n:?}")),
            Node::Sym(s) => out.push_str(&self.sym(*s).name),
            Node::Ix(i) => out.push_str(&format!("{}#{}", self.ix(*i).name, i.0)),
            _ => {
                match node {
                    Node::IxSum(i, _) => out.push_str(&format!("IxSum({}#{}, ", self.ix(*i).name, i.0)),
                    Node::Fun(f, _) => out.push_str(&format!("{f:?}(")),
                    Node::Pick { map, .. } => out.push_str(&format!("Pick({} positions, ", map.len())),
                    Node::Unpick { map, .. } => out.push_str(&format!("Unpick({} positions, ", map.len())),
                    other => {
                        let text = format!("{other:?}");
                        out.extend(text.chars().take_while(|c| c.is_alphanumeric()));
                        out.push('(');
                    }
                }
                for (i, c) in children(node).into_iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    self.write_debug(out, c, longest);
                }
                out.push(')');
            }
        }
    }
}
