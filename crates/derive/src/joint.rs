//! Graph to log joint: the density of every statement as a term, finite variables one-hot.
//!
//! Discrete latents are one-hot: `f(mu[z])` is `Σ_k [z=k] f(mu_k)`, so logs and expectations pass through. A factor
//! whose form depends on a value (`if z then … else …`, a number computed from z) is split into cases.

use crate::chain::{self, Lagged};
use crate::effects::{self, Effect};
use crate::error::DeriveError;
use crate::gap;
use crate::missing::{self, Missing};
use crate::plan::{
    Case, Chain, Definition, Finite, Gap, GroupPosterior, LinearGaussian, Mask, Posterior, Prior, RowFactor, Shared,
};
use crate::posterior::prescribed::{self, Prescribed};
use crate::posterior::{self, Continuous, group};
use lvmc_families::Family;
use lvmc_model::graph::{Dist, Factor, ModelGraph, Plate, Role, VarId};
use lvmc_term::{Cmp, Node, Size, Store, Support, SymId, Term, children};
use std::collections::{BTreeSet, HashMap};

/// The log joint density of a model.
#[derive(Debug, Clone)]
pub struct LogJoint {
    /// The graph's store, grown.
    pub store: Store,
    /// Finite variables.
    pub finite: Vec<Finite>,
    /// The chains that join rows: one, before [`crate::factorial`] takes it apart.
    pub chains: Vec<Chain>,
    /// The chain of Gaussian states.
    pub gaussian_chain: Option<LinearGaussian>,
    /// Factors of a row's density, the continuous latents in them.
    pub complete: Vec<RowFactor>,
    /// Factors of a row's marginal density: continuous latents integrated out.
    pub factors: Vec<RowFactor>,
    /// The expectation of `complete` over the continuous latents, given the finite ones.
    pub expected: Vec<RowFactor>,
    /// What the posteriors define.
    pub definitions: Vec<Definition>,
    /// Posteriors of continuous latents.
    pub posteriors: Vec<Posterior>,
    /// Data variables with missing cells.
    pub masks: Vec<Mask>,
    /// Those whose elements depend on each other.
    pub gaps: Vec<Gap>,
    /// Moments of variables with missing cells.
    pub imputed: Vec<Posterior>,
    /// log densities as written, before one-hot: (factor, term), for the first line of the derivation.
    pub written: Vec<(usize, Term)>,
    /// Priors.
    pub priors: Vec<Prior>,
    /// Global latents.
    pub effects: Vec<Effect>,
    /// Their priors as written.
    pub global: Vec<Prior>,
    /// Factors of the data set as a whole.
    pub shared: Shared,
    /// Posteriors of the global latents.
    pub group_posteriors: Vec<GroupPosterior>,
}

/// Builds the log joint, or says which statement has no rule yet.
pub fn log_joint(graph: &ModelGraph, missing: &Missing) -> Result<LogJoint, DeriveError> {
    log_joint_under(graph, missing, &[])
}

/// The log joint, or its expectation where the distributions of some latents are given.
///
/// # Errors
/// A statement that has no rule.
pub(crate) fn log_joint_under(
    graph: &ModelGraph,
    missing: &Missing,
    given: &[Prescribed],
) -> Result<LogJoint, DeriveError> {
    refuse_missing(graph)?;
    let mut store = graph.store.clone();
    let (finite, mut continuous) = finite_variables(graph, &mut store, missing);
    continuous.retain(|c| given.iter().all(|p| p.sym != c.sym));
    let masks = masks(&mut store, graph, &finite, missing);
    let mut joint = LogJoint {
        store,
        finite,
        chains: vec![],
        gaussian_chain: None,
        complete: vec![],
        factors: vec![],
        expected: vec![],
        definitions: vec![],
        posteriors: vec![],
        masks,
        gaps: vec![],
        imputed: vec![],
        written: vec![],
        priors: vec![],
        effects: effects::effects(graph),
        global: vec![],
        shared: Shared::default(),
        group_posteriors: vec![],
    };
    for (i, factor) in graph.factors.iter().enumerate() {
        let value = graph.var(factor.var).sym;
        let mask = joint
            .masks
            .iter()
            .find(|m| m.of == value && !m.completed)
            .map(|m| m.sym);
        let mask = mask.map(|m| joint.store.var(m));
        let whole = match gap::open(&mut joint, factor, mask) {
            Some(gap) => {
                continuous.push(gap::latent(&gap, i, factor));
                gap::density(&mut joint.store, factor, &gap)
            }
            None => density(&mut joint.store, factor, &factor.dist, mask),
        };
        let term = match factor.condition {
            // a general statement beside one for a position: it does not hold there
            Some(condition) => {
                let zero = joint.store.num(0.0);
                joint.store.select(condition, whole, zero)
            }
            None => whole,
        };
        let marked = match graph.mark_term(&mut joint.store, factor.when) {
            Some(mark) => joint.store.mul(mark, term),
            None => term,
        };
        let plain = gap::written(&mut joint.store, &joint.gaps, marked);
        joint.written.push((i, plain));
        if matches!(graph.plates[factor.plate.index()], Plate::Global) {
            let prior = Prior {
                factor: i,
                ranges: factor.ranges.clone(),
                term,
                span: factor.span,
            };
            if joint.effects.iter().any(|e| e.factor == i) {
                joint.global.push(prior);
            } else {
                joint.priors.push(prior);
            }
        } else {
            let term = effects::rowwise(&mut joint, graph, term, factor.span)?;
            let row = row_factor(&mut joint.store, &joint.finite, graph, i, term);
            joint.factors.push(row);
        }
    }
    joint.chains = chain::chain_of(graph, &joint.finite).into_iter().collect();
    joint.complete.clone_from(&joint.factors);
    joint.expected.clone_from(&joint.factors);
    missing::impute(&mut joint, graph)?;
    group::eliminate(&mut joint, graph)?;
    prescribed::eliminate(&mut joint, given).map_err(|why| DeriveError::NoPosterior {
        name: given
            .first()
            .map_or_else(String::new, |p| joint.store.sym(p.sym).name.clone()),
        reason: why.reason,
        span: why.span.unwrap_or_default(),
        help: "its moments are not enough".into(),
    })?;
    posterior::eliminate(&mut joint, graph, &continuous)?;
    mark(&mut joint, graph);
    chain::settle(&mut joint.store, graph, &mut joint.chains, &mut joint.factors);
    Ok(joint)
}

/// Factors of Q that hold in some rows of a chain only: times 1 there and 0 elsewhere.
fn mark(joint: &mut LogJoint, graph: &ModelGraph) {
    for f in joint.complete.iter_mut().chain(&mut joint.expected) {
        if let Some(mark) = graph.mark_term(&mut joint.store, f.when) {
            for case in &mut f.cases {
                case.term = joint.store.mul(mark, case.term);
            }
        }
    }
}

/// log p(value | arguments) of one statement.
pub(crate) fn density(s: &mut Store, factor: &Factor, dist: &Dist, mask: Option<Term>) -> Term {
    match dist {
        Dist::Family {
            family,
            signature,
            args,
            ..
        } => {
            if let Some(mask) = mask {
                return missing::density(s, factor, (*family, *signature, args), mask);
            }
            let t = family.log_density(s, *signature, factor.value, args);
            if factor.elementwise { s.total(t) } else { t }
        }
        Dist::If {
            condition,
            then,
            otherwise,
        } => {
            let a = density(s, factor, then, mask);
            let b = density(s, factor, otherwise, mask);
            s.select(*condition, a, b)
        }
    }
}

/// Constructs whose rules are not there yet, each refused with its place.
fn refuse_missing(graph: &ModelGraph) -> Result<(), DeriveError> {
    let missing = |what: &str, rule: &str, span, help: &str| {
        Err(DeriveError::MissingRule {
            what: what.into(),
            rule: rule.into(),
            span,
            help: help.into(),
        })
    };
    if let Some(guide) = &graph.guide {
        return missing(
            "a model with a guide",
            "gradient-elbo",
            guide.span,
            "without `guide { }` the compiler derives the posterior itself, where the latents are finite",
        );
    }
    if let Some((why, span)) = &graph.chain_left {
        return missing(
            &format!("a chain with {why}"),
            "forward-backward",
            *span,
            "inside a chain a statement may look back a fixed number of steps: `z[t] ~ Categorical(A[z[t-1]])`",
        );
    }
    for factor in &graph.factors {
        match &graph.plates[factor.plate.index()] {
            Plate::Chain { span, .. } => {
                return missing(
                    "a chain over an index of the model's own",
                    "chain-elimination",
                    *span,
                    "a chain over the rows, `chain t { }` without a range, can be fitted",
                );
            }
            Plate::Group { span, .. } => {
                return missing(
                    "a group plate",
                    "group-posterior",
                    *span,
                    "a parameter per group, `param a[G]` with `given g : category[G]` and `a[g]`, can be fitted today",
                );
            }
            Plate::Row { parent: Some(p) } => {
                if let Plate::Group { span, .. } | Plate::Chain { span, .. } = &graph.plates[p.index()] {
                    return missing(
                        "rows inside a group",
                        "group-posterior",
                        *span,
                        "write the model without groups",
                    );
                }
            }
            Plate::Global | Plate::Row { .. } => {}
        }
        if let Some(net) = nets_of(graph, factor) {
            return missing(
                &format!("the net `{}`", graph.nets[net as usize].syntax.name.name),
                "gradient",
                factor.span,
                "write the function without a net, as an affine mean or a known nonlinearity",
            );
        }
        let var = graph.var(factor.var);
        let real = graph.store.sym(var.sym).support == Support::Real;
        if var.role == Role::Latent && !real && matches!(graph.plates[factor.plate.index()], Plate::Global) {
            return missing(
                &format!("the global latent `{}`", var.name),
                "conjugate-variational-update",
                factor.span,
                &format!(
                    "`param {}` instead of `global latent` gives it a point estimate (MAP with this prior)",
                    var.name
                ),
            );
        }
    }
    Ok(())
}

fn nets_of(graph: &ModelGraph, factor: &Factor) -> Option<u32> {
    arguments(&factor.dist)
        .into_iter()
        .flat_map(|t| graph.store.subterms(t))
        .find_map(|t| match graph.store.node(t) {
            Node::Net { net, .. } => Some(*net),
            _ => None,
        })
}

/// All terms of a distribution: arguments and conditions.
pub(crate) fn arguments(dist: &Dist) -> Vec<Term> {
    match dist {
        Dist::Family { args, .. } => args.clone(),
        Dist::If {
            condition,
            then,
            otherwise,
        } => {
            let mut all = vec![*condition];
            all.extend(arguments(then));
            all.extend(arguments(otherwise));
            all
        }
    }
}

pub(crate) fn finite_size(s: &Store, dist: &Dist) -> Option<Size> {
    match dist {
        Dist::Family {
            family,
            signature,
            args,
            ..
        } => family.finite_support(s, *signature, args),
        Dist::If { then, otherwise, .. } => {
            let (a, b) = (finite_size(s, then)?, finite_size(s, otherwise)?);
            (a == b).then_some(a)
        }
    }
}

pub(crate) fn family_name(dist: &Dist) -> &'static str {
    match dist {
        Dist::Family { family, .. } => Family::name(*family),
        Dist::If { then, .. } => family_name(then),
    }
}

/// Masks of the variables with missing cells that are not summed over.
fn masks(s: &mut Store, graph: &ModelGraph, finite: &[Finite], missing: &Missing) -> Vec<Mask> {
    let mask = |x: SymId| {
        let gaps = missing.gaps(x)?;
        Some(missing::mask(s, x, gaps, missing::completes(graph, x, gaps)))
    };
    let continuous = missing.variables().filter(|x| !finite.iter().any(|f| f.sym == *x));
    continuous.filter_map(mask).collect()
}

/// Latents with finitely many values, and observed categories that other statements refer to or that have missing cells;
/// and the other latents.
fn finite_variables(graph: &ModelGraph, s: &mut Store, missing: &Missing) -> (Vec<Finite>, Vec<Continuous>) {
    let (mut finite, mut continuous): (Vec<Finite>, Vec<Continuous>) = (vec![], vec![]);
    let mut taken = BTreeSet::new();
    for (i, factor) in graph.factors.iter().enumerate() {
        if matches!(graph.plates[factor.plate.index()], Plate::Global) {
            continue;
        }
        let var = graph.var(factor.var);
        let referred = || {
            graph.factors.iter().enumerate().any(|(j, other)| {
                j != i
                    && arguments(&other.dist)
                        .iter()
                        .any(|&t| graph.store.depends_on_sym(t, var.sym))
            })
        };
        let observed = match var.role {
            Role::Latent => false,
            Role::Data
                if missing
                    .gaps(var.sym)
                    .is_some_and(|g| missing::completes(graph, var.sym, g)) =>
            {
                false
            }
            Role::Data if referred() || missing.gaps(var.sym).is_some() => true,
            _ => continue,
        };
        if finite.iter().any(|f| f.sym == var.sym) || continuous.iter().any(|c| c.sym == var.sym) {
            continue; // a statement of its own for a position
        }
        let size = finite_size(s, &factor.dist).filter(|_| s.shape(factor.value).is_empty());
        match size {
            Some(size) if s.sym(var.sym).shape.is_empty() => {
                finite.push(new_finite(s, var.sym, size, observed, &mut taken));
            }
            _ if observed => {}
            _ => continuous.push(Continuous {
                sym: var.sym,
                factor: i,
                family: family_name(&factor.dist),
                span: factor.span,
            }),
        }
    }
    for (sym, of, by) in chain::latent_lags(graph) {
        if let Some(of) = finite.iter().position(|f| f.sym == of) {
            let size = finite[of].size.clone();
            let lag = new_finite(s, sym, size, false, &mut taken);
            finite.push(Finite {
                lag: Some(Lagged { of, by }),
                ..lag
            });
        }
    }
    for sym in indexing_givens(graph) {
        if let Support::Category(size) = s.sym(sym).support.clone() {
            finite.push(new_finite(s, sym, size, true, &mut taken));
        }
    }
    (finite, continuous)
}

/// Given categories used as an index: they choose a parameter, as an observed one-hot variable does.
fn indexing_givens(graph: &ModelGraph) -> Vec<SymId> {
    let mut found = BTreeSet::new();
    let all: Vec<Term> = graph.factors.iter().flat_map(|f| arguments(&f.dist)).collect();
    for t in all.iter().copied() {
        for sub in graph.store.subterms(t) {
            if let Node::At(_, at) = graph.store.node(sub) {
                for &i in at {
                    if let Node::Sym(sym) = *graph.store.node(i)
                        && graph.var_of(sym).is_some_and(|v| graph.var(v).role == Role::Given)
                        && !effects::picks_effects_only(graph, &all, sym)
                    {
                        found.insert(sym);
                    }
                }
            }
        }
    }
    found.into_iter().collect()
}

/// Index letters as a statistician writes them: k for the first variable, then j, l, m, ….
fn new_finite(s: &mut Store, sym: SymId, size: Size, observed: bool, taken: &mut BTreeSet<&'static str>) -> Finite {
    let letter = ["k", "j", "l", "m", "h", "g", "a", "b", "c"]
        .into_iter()
        .find(|l| !taken.contains(l))
        .unwrap_or("i");
    taken.insert(letter);
    let first = i64::from(s.sym(sym).support != Support::Binary);
    let ix = s.add_ix(letter, size.clone());
    Finite {
        sym,
        ix,
        size,
        observed,
        first,
        lag: None,
    }
}

fn row_factor(s: &mut Store, finite: &[Finite], graph: &ModelGraph, i: usize, term: Term) -> RowFactor {
    let one_hot: HashMap<Term, Term> = finite
        .iter()
        .map(|f| (f.sym, f.ix))
        .map(|(sym, ix)| (s.var(sym), s.index(ix)))
        .collect();
    let term = s.substitute(term, &one_hot);
    let free = s.free_indices(term);
    let scope: Vec<usize> = (0..finite.len()).filter(|&v| free.contains(&finite[v].ix)).collect();
    let cases = split_cases(s, finite, &scope, term);
    let value = graph.var(VarId::from_index(graph.factors[i].var.index())).sym;
    RowFactor {
        factor: i,
        scope,
        cases,
        when: graph.factors[i].when,
        value,
        span: graph.factors[i].span,
    }
}

/// Splits on the variables whose value is used as a number: all values of a binary, the values that are compared with
/// of a category.
fn split_cases(s: &mut Store, finite: &[Finite], scope: &[usize], term: Term) -> Vec<Case> {
    let mut cases = vec![Case {
        fixed: vec![],
        excluded: vec![],
        term,
    }];
    for &v in scope {
        let f = &finite[v];
        let values: Vec<usize> = match f.size {
            Size::Const(n) if n <= 8 && numeric_use(s, term, f.ix) => (0..n).collect(),
            Size::Const(_) | Size::Dim(_) | Size::Sum(_) => compared_values(s, term, f.ix),
        };
        if values.is_empty() {
            continue;
        }
        let all = f.size == Size::Const(values.len());
        cases = cases
            .into_iter()
            .flat_map(|case| split_one(s, f, v, &values, all, &case))
            .collect();
    }
    cases
}

fn split_one(s: &mut Store, f: &Finite, v: usize, values: &[usize], all: bool, case: &Case) -> Vec<Case> {
    let ix = s.index(f.ix);
    if !s.contains(case.term, ix) {
        return vec![case.clone()];
    }
    let mut out = vec![];
    for &value in values {
        let number = s.num(value as f64);
        let term = s.substitute(case.term, &[(ix, number)].into());
        let fixed = [case.fixed.clone(), vec![(v, value)]].concat();
        out.push(Case {
            fixed,
            excluded: case.excluded.clone(),
            term,
        });
    }
    if !all {
        let zero = s.num(0.0);
        let mut different = HashMap::new();
        for &value in values {
            let number = s.num(value as f64);
            different.insert(s.cmp(Cmp::Eq, ix, number), zero);
        }
        let term = s.substitute(case.term, &different);
        let excluded = [case.excluded.clone(), values.iter().map(|&x| (v, x)).collect()].concat();
        out.push(Case {
            fixed: case.fixed.clone(),
            excluded,
            term,
        });
    }
    out
}

/// True where the index is used other than as a whole position of `At`.
fn numeric_use(s: &Store, t: Term, ix: lvmc_term::IxId) -> bool {
    match s.node(t) {
        Node::Ix(i) => *i == ix,
        Node::At(base, at) => {
            numeric_use(s, *base, ix)
                || at
                    .iter()
                    .any(|&a| !matches!(s.node(a), Node::Ix(_)) && numeric_use(s, a, ix))
        }
        node => children(node).into_iter().any(|c| numeric_use(s, c, ix)),
    }
}

/// Constants that the index is compared with by `==`.
fn compared_values(s: &Store, t: Term, ix: lvmc_term::IxId) -> Vec<usize> {
    let mut found = BTreeSet::new();
    for sub in s.subterms(t) {
        if let Node::Cmp(Cmp::Eq, a, b) = *s.node(sub) {
            for (x, y) in [(a, b), (b, a)] {
                if *s.node(x) == Node::Ix(ix)
                    && let Some(c) = s.as_num(y)
                    && c >= 0.0
                {
                    found.insert(c as usize);
                }
            }
        }
    }
    found.into_iter().collect()
}
