//! Abbreviations: a rendering pass over a plan's own terms. It names what repeats, and never changes what is said.
//!
//! Two kinds are introduced. A statement's log density, where it stands inside a longer line, is written as its
//! distribution, `log Normal(xₙ; μₖ, Σₖ)`, its meaning having been spelt out in the joint. A sum over rows that several
//! updates share gets a letter, `nₖ = Σₙ rₙₖ`.

use crate::layout::width;
use crate::math::{Style, arguments, term, word};
use lvmc_derive::plan::Plan;
use lvmc_model::graph::{Dist, Factor, ModelGraph};
use lvmc_term::{IxId, Node, Size, Store, Support, Sym, SymKind, Term};
use std::collections::{BTreeMap, HashMap};

/// A sum over rows with a letter of its own.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The letter with its indices.
    pub name: Term,
    /// What it stands for.
    pub meaning: Term,
    /// The terms it replaces, and by what.
    pub with: Vec<(Term, Term)>,
}

/// A log density with a short form.
#[derive(Debug, Clone)]
pub struct Short {
    /// The log density.
    pub density: Term,
    /// The placeholder that stands for it while it is printed.
    pub placeholder: Term,
    /// The density, and its core as products hold it (numbers pulled out), with what stands for each.
    pub with: Vec<(Term, Term)>,
    /// `log Normal(xₙ; μₖ, Σₖ)`.
    pub text: String,
}

/// `Normal(xₙ; μₖ, Σₖ)`: a statement's density, variables replaced; `None` for `if` between distributions.
#[must_use]
pub fn density_text(store: &mut Store, factor: &Factor, with: &HashMap<Term, Term>, style: Style) -> Option<String> {
    let Dist::Family {
        family,
        signature,
        args,
        ..
    } = &factor.dist
    else {
        return None;
    };
    let value = store.substitute(factor.value, with);
    let args: Vec<Term> = args.iter().map(|&a| store.substitute(a, with)).collect();
    let value = term(store, value, style);
    let list = arguments(store, *family, *signature, &args, style);
    let separator = if list.is_empty() { "" } else { "; " };
    Some(format!("{}({value}{separator}{list})", word(family.name(), style)))
}

/// A symbol that no model can name: only a placeholder.
fn placeholder(store: &mut Store, number: usize, indices: &[IxId]) -> Term {
    let shape: Vec<Size> = indices.iter().map(|&i| store.ix(i).size.clone()).collect();
    let sym = store.add_sym(Sym {
        name: format!("Zq{number}q"),
        kind: SymKind::Aux,
        family: shape.len(),
        shape,
        per_row: true,
        support: Support::Real,
    });
    let base = store.var(sym);
    let at: Vec<Term> = indices.iter().map(|&i| store.index(i)).collect();
    if at.is_empty() { base } else { store.at(base, &at) }
}

/// The log densities of a plan that are shorter as distributions.
#[must_use]
pub fn densities(store: &mut Store, graph: &ModelGraph, plan: &Plan, style: Style) -> Vec<Short> {
    let one_hot: HashMap<Term, Term> = plan
        .finite
        .iter()
        .map(|f| {
            let from = store.var(f.sym);
            (from, store.index(f.ix))
        })
        .collect();
    let log = if style == Style::Unicode { "log " } else { "\\log " };
    let mut out: Vec<Short> = vec![];
    for row in &plan.complete {
        for case in &row.cases {
            let mut with = one_hot.clone();
            for &(v, value) in &case.fixed {
                let (from, to) = (store.var(plan.finite[v].sym), store.num(value as f64));
                with.insert(from, to);
            }
            let Some(text) = density_text(store, &graph.factors[row.factor], &with, style) else {
                continue;
            };
            let long = term(store, case.term, style);
            if width(&long) < width(&text) + log.len() + 2 || out.iter().any(|s| s.density == case.term) {
                continue;
            }
            let free: Vec<IxId> = store.free_indices(case.term).into_iter().collect();
            let placeholder = placeholder(store, out.len(), &free);
            let mut with = vec![(case.term, placeholder)];
            // inside a product the constructors pull numbers out of a sum: −½ a − ½ b becomes −½ (a + b)
            let product = store.mul(placeholder, case.term);
            let (number, mut rest) = numbered(store, product);
            rest.retain(|&f| f != placeholder);
            if let [core] = rest[..]
                && core != case.term
                && number != 0.0
            {
                with.push((core, store.scale(1.0 / number, placeholder)));
            }
            out.push(Short {
                density: case.term,
                placeholder,
                with,
                text: format!("{log}{text}"),
            });
        }
    }
    out
}

/// `t` with terms replaced wherever they stand, also under sums over the indices they mention, and also as a part of a
/// longer product. Only for printing: what is put in must stand for the same value.
#[must_use]
pub fn replace(store: &mut Store, t: Term, with: &[(Term, Term)], memo: &mut HashMap<Term, Term>) -> Term {
    if let Some(&(_, to)) = with.iter().find(|(from, _)| *from == t) {
        return to;
    }
    if let Some(&done) = memo.get(&t) {
        return done;
    }
    let mut out = t;
    if matches!(store.node(t), Node::Mul(_)) {
        for &(from, to) in with {
            if let Some(rest) = without_factors(store, out, from) {
                out = store.mul(rest, to);
            }
        }
    }
    let out = store.map_children(out, |s, c| replace(s, c, with, memo));
    memo.insert(t, out);
    out
}

/// The product without the factors of `part`, where it has all of them.
fn without_factors(store: &mut Store, product: Term, part: Term) -> Option<Term> {
    if !matches!(store.node(part), Node::Mul(_)) {
        return None;
    }
    let (a, mut factors) = numbered(store, product);
    let (b, wanted) = numbered(store, part);
    for f in wanted {
        let at = factors.iter().position(|&g| g == f)?;
        factors.remove(at);
    }
    let number = store.num(a / b);
    factors.push(number);
    Some(store.product_of(&factors))
}

/// The number before a product, and its other factors.
fn numbered(store: &Store, t: Term) -> (f64, Vec<Term>) {
    let mut number = 1.0;
    let mut rest = vec![];
    for f in store.factors(t) {
        match store.as_num(f) {
            Some(x) => number *= x,
            None => rest.push(f),
        }
    }
    (number, rest)
}

/// Letters for sums over rows, in the order in which they are given; the user's own names are left alone.
const LETTERS: [&str; 8] = ["n", "s", "t", "u", "v", "w", "c", "d"];

/// Sums of a posterior over the rows that stand in at least two of the terms.
#[must_use]
pub fn shared_sums(store: &mut Store, terms: &[Term]) -> Vec<Letter> {
    let mut groups: BTreeMap<String, (usize, Vec<Term>)> = BTreeMap::new();
    for &t in terms {
        let mut here: BTreeMap<String, Vec<Term>> = BTreeMap::new();
        for sub in store.subterms(t) {
            if let Node::RowSum(body) = *store.node(sub)
                && matches!(store.node(body), Node::Resp(_))
            {
                let key = shape_key(store, sub);
                here.entry(key).or_default().push(sub);
            }
        }
        for (key, subs) in here {
            let entry = groups.entry(key).or_default();
            entry.0 += 1;
            for s in subs {
                if !entry.1.contains(&s) {
                    entry.1.push(s);
                }
            }
        }
    }
    let taken: Vec<String> = store.syms().map(|(_, s)| s.name.clone()).collect();
    let mut letters = LETTERS.iter().filter(|l| !taken.iter().any(|t| t == *l));
    let mut out = vec![];
    for (_, (count, subs)) in groups {
        if count < 2 {
            continue;
        }
        let Some(letter) = letters.next() else { break };
        out.push(name_sum(store, letter, &subs));
    }
    out
}

/// One letter for sums that differ in their indices alone.
fn name_sum(store: &mut Store, letter: &str, subs: &[Term]) -> Letter {
    let first = indices_in_order(store, subs[0]);
    let shape: Vec<Size> = first.iter().map(|&i| store.ix(i).size.clone()).collect();
    let sym = store.add_sym(Sym {
        name: letter.to_owned(),
        kind: SymKind::Aux,
        family: shape.len(),
        shape,
        per_row: false,
        support: Support::NonNegative,
    });
    let base = store.var(sym);
    let mut with = vec![];
    for &sub in subs {
        let at: Vec<Term> = indices_in_order(store, sub)
            .into_iter()
            .map(|i| store.index(i))
            .collect();
        let to = if at.is_empty() { base } else { store.at(base, &at) };
        with.push((sub, to));
    }
    Letter {
        name: with[0].1,
        meaning: subs[0],
        with,
    }
}

/// Free indices in the order in which a posterior lists them.
fn indices_in_order(store: &Store, t: Term) -> Vec<IxId> {
    let Node::RowSum(body) = *store.node(t) else {
        return vec![];
    };
    let Node::Resp(values) = store.node(body) else {
        return vec![];
    };
    values
        .iter()
        .filter_map(|&(_, v)| {
            if let Node::Ix(i) = store.node(v) {
                Some(*i)
            } else {
                None
            }
        })
        .collect()
}

/// The same for sums that differ in the names of their indices alone.
fn shape_key(store: &Store, t: Term) -> String {
    let Node::RowSum(body) = *store.node(t) else {
        return String::new();
    };
    let Node::Resp(values) = store.node(body) else {
        return String::new();
    };
    let parts: Vec<String> = values
        .iter()
        .map(|&(sym, v)| match store.node(v) {
            Node::Ix(_) => format!("{}:_", sym.0),
            _ => format!("{}:{}", sym.0, store.print_debug(v)),
        })
        .collect();
    parts.join(",")
}
