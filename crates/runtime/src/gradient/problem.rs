//! A derivation and sizes, lowered: the program of a training step, and programs of other terms.

use lvmc_base::Bug;
use lvmc_dense::ir::{ArrayId, Noise, Role};
use lvmc_dense::{Leaf, LowerError, Lowered, Root, lower};
use lvmc_derive::guided::{Aim, Free, Guided, Random, Source, Written};
use lvmc_model::graph::ModelGraph;
use lvmc_term::{Array, DimId, Env, EvalError, Size, Store, Support, SymId, SymKind, Term};
use std::collections::{BTreeMap, HashMap};

use crate::terms;

/// What gradients are taken of, and the programs for it.
#[derive(Debug)]
pub struct Problem {
    /// The derivation.
    pub guided: Guided,
    /// Its objective.
    pub written: Written,
    /// Sizes and constants, tables of a noising chain among them.
    pub known: Known,
    /// Objective and gradients of a batch.
    pub step: Step,
}

/// The program of a training step: Σₙ objective + share · log prior over a batch, and its gradients. The mean over the rows
/// and the sign are the optimiser's: a factor of every gradient costs a pass over all of them here.
#[derive(Debug)]
pub struct Step {
    /// The program.
    pub lowered: Lowered,
    /// The objective, one number.
    pub objective: ArrayId,
    /// Each parameter's array of free coordinates, and that of its gradient; none where it takes no gradients.
    pub params: Vec<(ArrayId, Option<ArrayId>)>,
    /// Whether a parameter's values are exponentials of its coordinates.
    pub exponentials: Vec<bool>,
    /// The rows of the batch over those of the data.
    pub share: Option<ArrayId>,
    /// The divergence's weight.
    pub beta: Option<ArrayId>,
    /// Weights of rows.
    pub weight: Option<ArrayId>,
}

/// Sizes and values that no fit changes.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Every size.
    pub sizes: BTreeMap<DimId, usize>,
    /// Constants.
    pub constants: Vec<(SymId, Array)>,
}

fn bug(message: String) -> Bug {
    Bug {
        stage: "gradient",
        message,
        ir: String::new(),
    }
}

impl Known {
    /// Of a model: its constants, and the tables that its derivation defines.
    ///
    /// # Errors
    /// A table that cannot be computed, or a chain whose steps are not random.
    pub fn new(graph: &ModelGraph, guided: &Guided, sizes: &BTreeMap<DimId, usize>) -> Result<Self, ProblemError> {
        let mut known = Self {
            sizes: sizes.clone(),
            constants: terms::tabulated(graph, sizes),
        };
        let Some(n) = &guided.noising else { return Ok(known) };
        let mut env = known.environment();
        let length = env
            .size(&guided.store, &n.length)
            .map_err(|e| bug(format!("the length of the chain: {e}")))?;
        for table in &n.tables {
            let mut values = vec![table.first];
            for t in 1..length {
                // entries before are there; the rest is not looked at
                let mut so_far = values.clone();
                so_far.resize(length, 0.0);
                env.set(table.sym, Array::vector(so_far)).set_index(n.index, t);
                let x = guided
                    .store
                    .eval_scalar(table.value, &env)
                    .map_err(|e| bug(format!("{} at {t}: {e}", table.meaning)))?;
                values.push(x);
            }
            if let Some(t) = (1..length).find(|&t| !values[t].is_finite()) {
                return Err(ProblemError::Chain(format!(
                    "{} is {} at t = {t}",
                    table.meaning, values[t]
                )));
            }
            let spread = table.sym == n.marginal.1 || n.tables.get(1).is_some_and(|s| s.sym == table.sym);
            if let Some(t) = (1..length).find(|&t| spread && values[t] <= 0.0) {
                return Err(ProblemError::Chain(format!(
                    "{} is {} at t = {t}",
                    table.meaning, values[t]
                )));
            }
            let values = Array::vector(values);
            env.set(table.sym, values.clone());
            known.constants.push((table.sym, values));
        }
        Ok(known)
    }

    /// Adds the positions that free coordinates use.
    pub fn add_positions(&mut self, store: &Store, written: &Written) {
        for p in &written.positions {
            let n = self.size(store, &p.len).unwrap_or(0);
            let values = (0..n).map(|i| i as f64).collect();
            self.constants.push((p.sym, Array::vector(values)));
        }
    }

    /// An environment with the sizes and constants.
    #[must_use]
    pub fn environment(&self) -> Env<'static> {
        let mut env = Env::new();
        for (&d, &n) in &self.sizes {
            env.set_dim(d, n);
        }
        for (s, value) in &self.constants {
            env.set(*s, value.clone());
        }
        env
    }

    /// A size as a number.
    ///
    /// # Errors
    /// Where it has no value.
    pub fn size(&self, store: &Store, n: &Size) -> Result<usize, EvalError> {
        self.environment().size(store, n)
    }

    /// The values of a constant.
    #[must_use]
    pub fn constant(&self, sym: SymId) -> Option<&Array> {
        self.constants.iter().find(|c| c.0 == sym).map(|c| &c.1)
    }

    /// Lowers terms over a batch; symbols are what their kinds say, or what `inputs` makes of them.
    ///
    /// # Errors
    /// Where a term has a form that array programs lack.
    pub fn lower(
        &self,
        store: &mut Store,
        roots: &[Root],
        noise: &[Source],
        inputs: &[SymId],
    ) -> Result<Lowered, LowerError> {
        let constants: HashMap<SymId, &Array> = self.constants.iter().map(|(s, a)| (*s, a)).collect();
        let mut draws = HashMap::new();
        for source in noise {
            let random = match &source.random {
                Random::Normal => Noise::Normal,
                Random::Uniform => Noise::Uniform,
                Random::Step(n) => {
                    Noise::Index(u32::try_from(self.size(store, n)?.saturating_sub(1)).unwrap_or(u32::MAX))
                }
            };
            draws.insert(source.sym, random);
        }
        let dims = self.sizes.clone();
        let size = move |s: &Store, n: &Size| size_of(&dims, s, n);
        let leaf = |s: &Store, sym: SymId| {
            if inputs.contains(&sym) {
                return Leaf::Array(Role::Input);
            }
            if let Some(value) = constants.get(&sym) {
                return Leaf::Constant(value.data.clone());
            }
            if let Some(&noise) = draws.get(&sym) {
                return Leaf::Array(Role::Noise(noise));
            }
            Leaf::Array(match s.sym(sym).kind {
                SymKind::Param => Role::Param,
                _ => Role::Input,
            })
        };
        lower(store, roots, &size, &leaf)
    }
}

fn size_of(dims: &BTreeMap<DimId, usize>, s: &Store, n: &Size) -> Result<usize, EvalError> {
    match n {
        Size::Const(n) => Ok(*n),
        Size::Dim(d) => dims
            .get(d)
            .copied()
            .ok_or_else(|| EvalError::Size(s.dim(*d).name.clone())),
        Size::Sum(parts) => parts.iter().map(|p| size_of(dims, s, p)).sum(),
    }
}

impl Problem {
    /// Lowers the training step.
    ///
    /// # Errors
    /// A term without a gradient, or a form that array programs lack: bugs, or models that the caller refuses before.
    pub fn new(
        graph: &ModelGraph,
        mut guided: Guided,
        sizes: &BTreeMap<DimId, usize>,
        aim: Aim,
        draws: usize,
        weighted: bool,
    ) -> Result<Self, ProblemError> {
        let mut known = Known::new(graph, &guided, sizes)?;
        let written = guided.written(graph, aim, draws).map_err(ProblemError::Aim)?;
        known.add_positions(&guided.store, &written);
        let step = step(&mut guided, &known, &written, weighted)?;
        Ok(Self {
            guided,
            written,
            known,
            step,
        })
    }
}

/// Why there is no program.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProblemError {
    /// The model has no such objective.
    #[error("{0}")]
    Aim(&'static str),
    /// A chain away from the data that has no density, or none back.
    #[error("{0}")]
    Chain(String),
    /// A form that array programs lack.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// A bug.
    #[error(transparent)]
    Bug(#[from] Bug),
}

fn step(guided: &mut Guided, known: &Known, written: &Written, weighted: bool) -> Result<Step, ProblemError> {
    let share = guided.once("B/N");
    let weight = weighted.then(|| guided.row_weight());
    let s = &mut guided.store;
    let row = match weight {
        Some(w) => {
            let w = s.var(w);
            s.mul(w, written.row)
        }
        None => written.row,
    };
    let share_term = s.var(share);
    let rows = s.row_sum(row);
    let prior = s.mul(share_term, written.prior);
    let objective = s.add(rows, prior);
    let exact = guided.exact.as_ref().map_or(&[][..], |e| &e.params);
    let moving: Vec<&Free> = written.free.iter().filter(|f| !exact.contains(&f.param)).collect();
    let free: Vec<Term> = moving.iter().map(|f| s.var(f.free)).collect();
    let gradients = s
        .try_gradient_once(objective, &free)
        .map_err(|e| bug(format!("the objective has no gradient: {e}")))?;
    let mut roots = vec![Root {
        name: "objective".into(),
        term: objective,
    }];
    for (f, g) in moving.iter().zip(gradients) {
        roots.push(Root {
            name: format!("gradient of {}", s.sym(f.free).name),
            term: g,
        });
    }
    // a parameter that this objective does not have stays where it starts, but it has its array
    for f in &written.free {
        if !s.depends_on_sym(objective, f.free) {
            roots.push(Root {
                name: format!("unused {}", s.sym(f.free).name),
                term: s.var(f.free),
            });
        }
    }
    let lowered = known.lower(s, &roots, &written.noise, &[])?;
    let gradient = |f: &Free| {
        let at = moving.iter().position(|m| m.param == f.param)?;
        lowered.roots.get(1 + at).copied()
    };
    let params = written
        .free
        .iter()
        .filter_map(|f| Some((*lowered.symbols.get(&f.free)?, gradient(f))))
        .collect();
    let exponentials = written
        .free
        .iter()
        .filter(|f| lowered.symbols.contains_key(&f.free))
        .map(|f| {
            let support = &guided.store.sym(f.param).support;
            !f.is_itself() && matches!(support, Support::Positive | Support::NonNegative | Support::Cov)
        })
        .collect();
    let find = |sym: Option<SymId>| sym.and_then(|s| lowered.symbols.get(&s).copied());
    Ok(Step {
        objective: lowered.roots[0],
        params,
        exponentials,
        share: find(Some(share)),
        beta: find(written.beta),
        weight: find(weight),
        lowered,
    })
}
