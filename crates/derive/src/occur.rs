//! Where a parameter stands in the expected complete-data log-likelihood Q.
//!
//! Q = Σ over addends of E_q[addend], with E_q written out: a row addend under finite variables z₁…z_m becomes
//! `Σₙ Σ_{k…} r_{nk…} · addend`, a prior's addend stands as it is (summed over its ranges).

use crate::flatten::flatten;
use crate::joint::LogJoint;
use crate::plan::{Finite, Prior};
use lvmc_base::Span;
use lvmc_term::{Cmp, IxId, Node, Store, SymId, Term};
use std::collections::HashMap;

/// One addend of the log joint.
#[derive(Debug, Clone)]
pub struct Part {
    /// The addend, with `Ix` of the factor's finite variables (or of the prior's ranges).
    pub term: Term,
    /// Where it comes from.
    pub origin: Origin,
    /// Place of the statement.
    pub span: Span,
}

/// Where an addend comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A row factor's case.
    Row {
        /// Finite variables of the scope with an index (not fixed).
        open: Vec<usize>,
        /// Fixed values.
        fixed: Vec<(usize, usize)>,
        /// Excluded values.
        excluded: Vec<(usize, usize)>,
        /// Indices of elements that the addend is summed over besides.
        bound: Vec<IxId>,
    },
    /// A prior, summed over those indices.
    Prior {
        /// Its ranges.
        ranges: Vec<IxId>,
    },
}

/// All addends of a log joint.
pub fn parts_of(joint: &mut LogJoint) -> Vec<Part> {
    parts_with(joint, &[])
}

/// All addends, the affine predictors of a block of parameters held together.
pub fn parts_with(joint: &mut LogJoint, held: &[SymId]) -> Vec<Part> {
    let mut parts = vec![];
    for f in joint.expected.clone() {
        for case in &f.cases {
            let open: Vec<usize> = f
                .scope
                .iter()
                .copied()
                .filter(|v| !case.fixed.iter().any(|(w, _)| w == v))
                .collect();
            let origin = Origin::Row {
                open,
                fixed: case.fixed.clone(),
                excluded: case.excluded.clone(),
                bound: vec![],
            };
            let whole = match held {
                [] => case.term,
                _ => crate::rules::predictor::hold_predictors(&mut joint.store, case.term, held),
            };
            for term in flatten(&mut joint.store, whole) {
                open_sums(&mut joint.store, term, &[], &mut |term, bound| {
                    let mut origin = origin.clone();
                    if let Origin::Row { bound: own, .. } = &mut origin {
                        own.extend(bound);
                    }
                    let span = f.span;
                    parts.push(Part { term, origin, span });
                });
            }
        }
    }
    let priors: Vec<Prior> = joint.priors.iter().chain(&joint.shared.expected).cloned().collect();
    for p in priors {
        for term in flatten(&mut joint.store, p.term) {
            open_sums(&mut joint.store, term, &[], &mut |term, bound| {
                let ranges = [&p.ranges[..], bound].concat();
                let origin = Origin::Prior { ranges };
                let span = p.span;
                parts.push(Part { term, origin, span });
            });
        }
    }
    parts
}

/// An addend `c Σ_p body` as the addends of c · body, p bound by the part.
fn open_sums(s: &mut Store, t: Term, bound: &[IxId], push: &mut dyn FnMut(Term, &[IxId])) {
    let factors = s.factors(t);
    let sum = factors.iter().position(|&f| matches!(s.node(f), Node::IxSum(..)));
    let Some(at) = sum else { return push(t, bound) };
    let Node::IxSum(p, body) = *s.node(factors[at]) else {
        return push(t, bound);
    };
    let mut inner = factors;
    inner[at] = body;
    let whole = s.product_of(&inner);
    let bound = [bound, &[p]].concat();
    for part in flatten(s, whole) {
        open_sums(s, part, &bound, push);
    }
}

/// The unknown of an update: a parameter's value at target indices.
#[derive(Debug, Clone)]
pub struct Unknown {
    /// The parameter.
    pub sym: SymId,
    /// Its position: one term per family axis (and the element axis, for a parameter that is only used by element).
    pub at: Vec<Term>,
    /// Target indices: the positions that are not the one number at which every use stands.
    pub ranges: Vec<IxId>,
    /// `Sym` or `At(Sym, at)`.
    pub atom: Term,
}

/// One addend that depends on an unknown, with its target indices in place.
#[derive(Debug, Clone)]
pub struct Occurrence {
    /// The addend as a function of the unknown's atom.
    pub term: Term,
    /// Place of its statement.
    pub span: Span,
    /// It comes from rows, not from a prior.
    pub row: bool,
    /// (finite symbol, value) of the posterior weight.
    resp: Vec<(SymId, Term)>,
    /// Finite indices that stay bound, with the symbol.
    sums: Vec<IxId>,
    /// Indicators that multiply the posterior weight.
    guards: Vec<Term>,
    /// Indicators of target indices: outside the sum over rows.
    outer: Vec<Term>,
}

impl Occurrence {
    /// E_q[coefficient] summed over rows (or over a prior's ranges): what stands in Q beside a function of the unknown.
    /// Only factors that vary by row stay inside `Σₙ`.
    pub fn expect(&self, s: &mut Store, coefficient: Term) -> Term {
        let one = s.num(1.0);
        self.expect_around(s, coefficient, one, |_, sum| sum)
    }

    /// As `expect`, with `around` applied to the sum over rows, inside the sums over bound indices: for factors that
    /// are not scalars, such as Σⱼ⁻¹ (given as `beside`, for its indices).
    pub fn expect_around(
        &self,
        s: &mut Store,
        coefficient: Term,
        beside: Term,
        around: impl FnOnce(&mut Store, Term) -> Term,
    ) -> Term {
        let (mut outside, mut between, mut inside) = (self.outer.clone(), vec![], vec![]);
        for &g in &self.guards {
            if s.per_row(g) { inside.push(g) } else { between.push(g) }
        }
        for f in s.factors(coefficient) {
            let free = s.free_indices(f);
            if self.row && s.per_row(f) {
                inside.push(f);
            } else if self.sums.iter().any(|i| free.contains(i)) {
                between.push(f);
            } else {
                outside.push(f);
            }
        }
        let between = s.product_of(&between);
        let inside = self.pooled(s, inside, &[between, beside]);
        let one = s.num(1.0);
        let sum = if self.row {
            let weighted = self.weigh(s, inside, &[between, beside]);
            s.row_sum(weighted)
        } else {
            inside
        };
        // arrays belong inside `around`, scalars commute with it
        let (arrays, scalars): (Vec<Term>, Vec<Term>) = outside.into_iter().partition(|&f| !s.shape(f).is_empty());
        let mut outside = scalars;
        let (arrays_between, between): (Vec<Term>, Vec<Term>) =
            s.factors(between).into_iter().partition(|&f| !s.shape(f).is_empty());
        let between = s.product_of(&between);
        let all = [arrays, arrays_between, vec![sum]].concat();
        let sum = s.product_of(&all);
        let wrapped = around(s, sum);
        let body = if between == one {
            wrapped
        } else {
            s.mul(between, wrapped)
        };
        let free = s.free_indices(body);
        let needed: Vec<IxId> = self
            .sums
            .iter()
            .copied()
            .filter(|i| !self.row || free.contains(i))
            .collect();
        outside.push(self.bind(s, body, &needed));
        s.product_of(&outside)
    }

    /// The product of factors that vary by row, summed over the bound elements that stand in it alone: they are added up
    /// before the rows are.
    fn pooled(&self, s: &mut Store, factors: Vec<Term>, beside: &[Term]) -> Term {
        let finite = |s: &Store, i: IxId| self.resp.iter().any(|r| *s.node(r.1) == Node::Ix(i));
        let free: Vec<_> = beside.iter().map(|&t| s.free_indices(t)).collect();
        let own: Vec<IxId> = self
            .sums
            .iter()
            .copied()
            .filter(|&i| self.row && !finite(s, i) && !free.iter().any(|f| f.contains(&i)))
            .collect();
        let (mine, rest): (Vec<Term>, Vec<Term>) = factors.into_iter().partition(|&f| {
            let free = s.free_indices(f);
            own.iter().any(|i| free.contains(i))
        });
        let body = s.product_of(&mine);
        let free = s.free_indices(body);
        let needed: Vec<IxId> = own.into_iter().filter(|i| free.contains(i)).collect();
        let sum = self.bind(s, body, &needed);
        let all = [rest, vec![sum]].concat();
        s.product_of(&all)
    }

    /// r · body, the finite variables that neither mentions summed away (posteriors sum to 1).
    fn weigh(&self, s: &mut Store, body: Term, beside: &[Term]) -> Term {
        let mut free = s.free_indices(body);
        beside.iter().for_each(|&t| free.extend(s.free_indices(t)));
        let mut resp = vec![];
        for &(sym, value) in &self.resp {
            let away = matches!(s.node(value), Node::Ix(i) if self.sums.contains(i) && !free.contains(i));
            if !away {
                resp.push((sym, value));
            }
        }
        let weight = if resp.is_empty() { s.num(1.0) } else { s.resp(&resp) };
        s.mul(weight, body)
    }

    /// The posterior expectation of a row term, without the sum over rows.
    pub fn expect_row(&self, s: &mut Store, body: Term) -> Term {
        let guards = s.product_of(&self.guards);
        let body = s.mul(guards, body);
        let weighted = self.weigh(s, body, &[]);
        let free = s.free_indices(weighted);
        let needed: Vec<IxId> = self.sums.iter().copied().filter(|i| free.contains(i)).collect();
        self.bind(s, weighted, &needed)
    }

    /// The same occurrence with a given term's bound indices kept in the posterior weight.
    #[must_use]
    pub fn sums_in(&self, s: &Store, t: Term) -> bool {
        let free = s.free_indices(t);
        self.sums.iter().any(|i| free.contains(i))
    }

    fn bind(&self, s: &mut Store, body: Term, sums: &[IxId]) -> Term {
        sums.iter().rev().fold(body, |t, &i| s.ix_sum(i, t))
    }
}

/// The unknowns of parameters that move together (one or several, sharing their target indices) and every addend in
/// which one of them stands, or why there is no common form.
pub fn occurrences(
    s: &mut Store,
    finite: &[Finite],
    parts: &[Part],
    syms: &[SymId],
) -> Result<(Vec<Unknown>, Vec<Occurrence>), (String, Span)> {
    occurrences_in(s, finite, parts, syms, false)
}

/// As [`occurrences`], with `by_element` the sums over elements written out: one problem for each element of the unknowns'
/// first axis.
pub fn occurrences_in(
    s: &mut Store,
    finite: &[Finite],
    parts: &[Part],
    syms: &[SymId],
    elements: bool,
) -> Result<(Vec<Unknown>, Vec<Occurrence>), (String, Span)> {
    let mut mine: Vec<Part> = parts
        .iter()
        .filter(|p| syms.iter().any(|&x| s.depends_on_sym(p.term, x)))
        .cloned()
        .collect();
    if elements {
        for part in &mut mine {
            by_element(s, part);
        }
    }
    let mut uses = vec![];
    for part in &mine {
        uses.push(index_of_use(s, part, syms)?);
    }
    let depth = uses.iter().map(Vec::len).max().unwrap_or(0);
    for (part, at) in mine.iter_mut().zip(&mut uses) {
        if at.len() + 1 == depth
            && let Some(e) = by_element(s, part)
        {
            at.push(s.index(e));
        }
    }
    let fits = syms.iter().all(|&x| depth == 0 || depth >= s.sym(x).family);
    if uses.iter().any(|u| u.len() != depth) || !fits {
        let span = mine.first().map_or(Span::default(), |p| p.span);
        return Err((
            format!("{} is used both as a whole and by position", names(s, syms)),
            span,
        ));
    }
    let (mut ranges, mut indices) = (vec![], vec![]);
    for axis in 0..depth {
        if let Some(only) = only_position(s, syms, &uses, axis) {
            indices.push(only);
            continue;
        }
        let i = target_index(
            s,
            finite,
            syms[0],
            (&uses, axis),
            elements && axis + 1 == depth,
            &ranges,
        );
        ranges.push(i);
        indices.push(s.index(i));
    }
    let unknowns: Vec<Unknown> = syms
        .iter()
        .map(|&sym| {
            let whole = s.var(sym);
            let atom = if depth == 0 { whole } else { s.at(whole, &indices) };
            Unknown {
                sym,
                at: indices.clone(),
                ranges: ranges.clone(),
                atom,
            }
        })
        .collect();
    let mut found = vec![];
    for (part, at) in mine.into_iter().zip(uses) {
        found.push(place(s, finite, &part, &unknowns, &at)?);
    }
    Ok((unknowns, found))
}

/// Every addend that mentions one of the parameters, as it stands: for rules that differentiate.
pub fn whole_occurrences(
    s: &mut Store,
    finite: &[Finite],
    parts: &[Part],
    syms: &[SymId],
) -> Result<Vec<Occurrence>, (String, Span)> {
    let mine: Vec<Part> = parts
        .iter()
        .filter(|p| syms.iter().any(|&x| s.depends_on_sym(p.term, x)))
        .cloned()
        .collect();
    let unknowns: Vec<Unknown> = syms
        .iter()
        .map(|&sym| Unknown {
            sym,
            at: vec![],
            ranges: vec![],
            atom: s.var(sym),
        })
        .collect();
    mine.iter().map(|part| place(s, finite, part, &unknowns, &[])).collect()
}

fn names(s: &Store, syms: &[SymId]) -> String {
    syms.iter()
        .map(|&x| format!("`{}`", s.sym(x).name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Rewrites an addend `c · Total(u)` of a part as `Σ_e c · u_e`, the sum bound by the part.
fn by_element(s: &mut Store, part: &mut Part) -> Option<IxId> {
    let factors = s.factors(part.term);
    let at = factors.iter().position(|&f| matches!(s.node(f), Node::Total(_)))?;
    let Node::Total(u) = *s.node(factors[at]) else {
        return None;
    };
    let size = s.shape(u).first()?.clone();
    let e = s.add_ix("j", size);
    let e_term = s.index(e);
    let element = element_of(s, u, e_term);
    let element = s.total(element);
    let mut all = factors;
    all[at] = element;
    part.term = s.product_of(&all);
    match &mut part.origin {
        Origin::Row { bound, .. } => bound.push(e),
        Origin::Prior { ranges } => ranges.push(e),
    }
    Some(e)
}

/// Element `e` of a vector, the position pushed down through elementwise operators.
fn element_of(s: &mut Store, u: Term, e: Term) -> Term {
    if s.shape(u).is_empty() {
        return u;
    }
    match s.node(u) {
        Node::Add(_)
        | Node::Mul(_)
        | Node::Pow(..)
        | Node::Fun(..)
        | Node::XLogY(..)
        | Node::Select(..)
        | Node::Cmp(..) => s.map_children(u, |s, c| element_of(s, c, e)),
        _ => s.at(u, &[e]),
    }
}

/// The common index tuple of the parameters' uses in one addend.
fn index_of_use(s: &Store, part: &Part, syms: &[SymId]) -> Result<Vec<Term>, (String, Span)> {
    let mut tuple: Option<Vec<Term>> = None;
    let mut stack = vec![part.term];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(t) = stack.pop() {
        if !seen.insert(t) {
            continue;
        }
        let here = match s.node(t) {
            Node::At(base, at) if matches!(s.node(*base), Node::Sym(x) if syms.contains(x)) => {
                stack.extend(at.iter().copied());
                at.to_vec()
            }
            Node::Sym(x) if syms.contains(x) => vec![],
            node => {
                stack.extend(lvmc_term::children(node));
                continue;
            }
        };
        match &tuple {
            None => tuple = Some(here),
            Some(t) if *t == here => {}
            Some(_) => {
                return Err((
                    format!("{} stands at two positions in one term", names(s, syms)),
                    part.span,
                ));
            }
        }
    }
    Ok(tuple.unwrap_or_default())
}

/// The number at which all uses stand on one axis of a family: the other elements occur nowhere, and stay as they are.
fn only_position(s: &Store, syms: &[SymId], uses: &[Vec<Term>], axis: usize) -> Option<Term> {
    let first = uses.first()?[axis];
    let is_family = syms.iter().all(|&x| axis < s.sym(x).family);
    (is_family && s.as_num(first).is_some() && uses.iter().all(|u| u[axis] == first)).then_some(first)
}

/// The index that names one axis of the unknown: the finite variable's own letter where all uses agree on it, unless
/// another axis has it.
fn target_index(
    s: &mut Store,
    finite: &[Finite],
    sym: SymId,
    (uses, axis): (&[Vec<Term>], usize),
    element: bool,
    taken: &[IxId],
) -> IxId {
    let mut letters: Vec<IxId> = uses
        .iter()
        .filter_map(|u| match s.node(u[axis]) {
            Node::Ix(i) if finite.iter().any(|f| f.ix == *i) => Some(*i),
            _ => None,
        })
        .collect();
    letters.sort_unstable();
    letters.dedup();
    let size = s.sym(sym).shape[axis].clone();
    let own = match letters[..] {
        _ if element => "j".to_owned(),
        [one] => s.ix(one).name.clone(),
        _ => ["k", "j", "l", "m"].get(axis).unwrap_or(&"i").to_string(),
    };
    let free = |s: &Store, name: &str| taken.iter().all(|&i| s.ix(i).name != name);
    let name = match ["k", "j", "l", "m", "i"].into_iter().find(|n| free(s, n)) {
        Some(other) if !free(s, &own) => other.to_owned(),
        _ => own,
    };
    s.add_ix(name, size)
}

/// One addend with the target's indices put in place of the use's.
fn place(
    s: &mut Store,
    finite: &[Finite],
    part: &Part,
    unknowns: &[Unknown],
    at: &[Term],
) -> Result<Occurrence, (String, Span)> {
    let mut with: HashMap<Term, Term> = HashMap::new();
    let mut outer = vec![];
    let mut guards = vec![];
    let mut bound_away = vec![];
    for (&use_ix, &target_term) in at.iter().zip(&unknowns[0].at) {
        match s.node(use_ix).clone() {
            Node::Ix(i) if !with.contains_key(&use_ix) => {
                with.insert(use_ix, target_term);
                bound_away.push(i);
            }
            Node::Num(_) if use_ix == target_term => {}
            Node::Num(_) => outer.push(s.cmp(Cmp::Eq, target_term, use_ix)),
            // the same index on two axes, and positions read from data
            _ => guards.push((target_term, use_ix)),
        }
    }
    let mut atoms = HashMap::new();
    for u in unknowns {
        let whole = s.var(u.sym);
        atoms.insert(if at.is_empty() { whole } else { s.at(whole, at) }, u.atom);
    }
    let placed = s.substitute(part.term, &atoms);
    let term = s.substitute(placed, &with);
    let mut guard_terms = vec![];
    for (target, use_ix) in guards {
        let use_ix = s.substitute(use_ix, &with);
        guard_terms.push(s.cmp(Cmp::Eq, use_ix, target));
    }
    let (mut resp, mut sums) = (vec![], vec![]);
    let row = match &part.origin {
        Origin::Row {
            open,
            fixed,
            excluded,
            bound,
        } => {
            sums.extend(bound.iter().copied().filter(|i| !bound_away.contains(i)));
            for &v in open {
                let ix = s.index(finite[v].ix);
                let value = with.get(&ix).copied().unwrap_or(ix);
                resp.push((finite[v].sym, value));
                if !bound_away.contains(&finite[v].ix) {
                    sums.push(finite[v].ix);
                }
            }
            for &(v, value) in fixed {
                let value = s.num(value as f64);
                resp.push((finite[v].sym, value));
            }
            for &(v, value) in excluded {
                let ix = s.index(finite[v].ix);
                let ix = with.get(&ix).copied().unwrap_or(ix);
                let value = s.num(value as f64);
                let equal = s.cmp(Cmp::Eq, ix, value);
                guard_terms.push(s.not(equal));
            }
            true
        }
        Origin::Prior { ranges } => {
            sums.extend(ranges.iter().copied().filter(|i| !bound_away.contains(i)));
            false
        }
    };
    Ok(Occurrence {
        term,
        span: part.span,
        row,
        resp,
        sums,
        guards: guard_terms,
        outer,
    })
}

/// Writes an addend as coefficient · function of the unknown, for an unknown that acts element by element.
/// `Total(C ⊙ g(θ))` has the coefficient C, of θ's shape or a scalar. Squares of sums are multiplied out.
pub fn elementwise(s: &mut Store, term: Term, atoms: &[Term]) -> Result<Vec<(Term, Term)>, String> {
    let rank = s.shape(atoms[0]).len();
    let holds = |s: &Store, t: Term| atoms.iter().any(|&a| s.contains(t, a));
    let (free, bound): (Vec<Term>, Vec<Term>) = s.factors(term).into_iter().partition(|&f| !holds(s, f));
    let mut pairs = vec![];
    if rank == 0 {
        for (c, g) in powers(s, &bound, atoms)? {
            let all = [free.clone(), vec![c]].concat();
            pairs.push((s.product_of(&all), g));
        }
        return Ok(pairs);
    }
    let [one] = bound[..] else {
        return Err("it stands in a product of array terms".into());
    };
    let inside = match s.node(one).clone() {
        Node::Total(u) => s.factors(u),
        Node::Dot(a, b) => vec![a, b],
        _ => return Err("it does not act element by element".into()),
    };
    let (inner_free, inner_bound): (Vec<Term>, Vec<Term>) = inside.into_iter().partition(|&f| !holds(s, f));
    for (c, g) in powers(s, &inner_bound, atoms)? {
        let all = [free.clone(), inner_free.clone(), vec![c]].concat();
        pairs.push((s.product_of(&all), g));
    }
    Ok(pairs)
}

/// The product of `bound` as Σ coefficient · g(atom), squares of affine sums multiplied out.
fn powers(s: &mut Store, bound: &[Term], atoms: &[Term]) -> Result<Vec<(Term, Term)>, String> {
    if let ([one], &[atom]) = (bound, atoms)
        && let Node::Pow(base, e) = *s.node(*one)
        && matches!(s.node(base), Node::Add(_))
        && s.as_num(e) == Some(2.0)
    {
        let (with, without): (Vec<Term>, Vec<Term>) = s.addends(base).into_iter().partition(|&t| s.contains(t, atom));
        let rest = s.sum(&without);
        let mut slope = vec![];
        for t in with {
            let (f, a): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| !s.contains(f, atom));
            if a != [atom] {
                return Err("it stands in a square that is not affine in it".into());
            }
            slope.push(s.product_of(&f));
        }
        let slope = s.sum(&slope);
        let (rest2, slope2, atom2) = (s.square(rest), s.square(slope), s.square(atom));
        let cross = s.product_of(&[rest, slope]);
        let two_cross = s.scale(2.0, cross);
        let one = s.num(1.0);
        return Ok(vec![(rest2, one), (two_cross, atom), (slope2, atom2)]);
    }
    let g = s.product_of(bound);
    if !atoms.iter().all(|&a| acts_elementwise(s, g, a)) {
        return Err("it does not act element by element".into());
    }
    let one = s.num(1.0);
    Ok(vec![(one, g)])
}

/// True where only elementwise operators stand between the root and the atom.
fn acts_elementwise(s: &Store, t: Term, atom: Term) -> bool {
    if t == atom || !s.contains(t, atom) {
        return true;
    }
    let node = s.node(t);
    matches!(
        node,
        Node::Add(_)
            | Node::Mul(_)
            | Node::Pow(..)
            | Node::Fun(..)
            | Node::XLogY(..)
            | Node::Select(..)
            | Node::Cmp(..)
    ) && lvmc_term::children(node)
        .into_iter()
        .all(|c| acts_elementwise(s, c, atom))
        || s.shape(atom).is_empty() && !s.per_row(t)
}
