//! The factors of a row, evaluated term by term: drawing from a model, and means of variables that were not observed.

use crate::bind::Binding;
use crate::dataset::Dataset;
use crate::result::Fit;
use lvmc_base::Bug;
use lvmc_families::Family;
use lvmc_loops::RowLayout;
use lvmc_loops::lowered::{Lowered, MissingCells};
use lvmc_model::graph::{Dist, ModelGraph, Plate, Role};
use lvmc_term::{Array, DimId, Env, Store, Support, SymId, Term};
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// A distribution with its terms made.
enum Made {
    Family {
        family: &'static dyn Family,
        signature: usize,
        args: Vec<Term>,
        density: Term,
        mean: Option<Term>,
    },
    If {
        condition: Term,
        then: Box<Made>,
        otherwise: Box<Made>,
    },
}

/// A factor of the row's joint density.
struct Factor {
    sym: SymId,
    made: Made,
    elementwise: bool,
    /// Row variables that must have values before it.
    parents: Vec<SymId>,
}

/// The row plate of a model, with fitted parameters.
pub struct RowModel {
    store: Store,
    factors: Vec<Factor>,
    sizes: BTreeMap<DimId, usize>,
    fixed: Vec<(SymId, Array)>,
}

fn bug(message: String) -> Bug {
    Bug {
        stage: "rows",
        message,
        ir: String::new(),
    }
}

impl RowModel {
    /// The row model of a fit; factors come in an order in which parents go first.
    ///
    /// # Errors
    /// The fit does not hold the model's parameters.
    pub fn new(graph: &ModelGraph, fit: &Fit, sizes: &BTreeMap<DimId, usize>) -> Result<Self, Bug> {
        let mut store = graph.store.clone();
        let mut fixed = crate::terms::constants(graph, sizes);
        for var in graph.vars.iter().filter(|v| v.role == Role::Param) {
            let p = fit
                .parameter(&var.name)
                .ok_or_else(|| bug(format!("the fit has no `{}`", var.name)))?;
            fixed.push((
                var.sym,
                Array {
                    shape: p.shape.clone(),
                    data: p.values.clone(),
                },
            ));
        }
        let mut open = Vec::new();
        for f in &graph.factors {
            let global = matches!(graph.plates.get(f.plate.index()), Some(Plate::Global));
            let var = graph.var(f.var);
            if global || !matches!(var.role, Role::Data | Role::Latent) {
                continue;
            }
            let x = store.var(var.sym);
            let made = make(&mut store, &f.dist, x, f.elementwise);
            let mut parents = Vec::new();
            collect(&store, &made, var.sym, &mut parents);
            open.push(Factor {
                sym: var.sym,
                made,
                elementwise: f.elementwise,
                parents,
            });
        }
        let own: Vec<SymId> = open.iter().map(|f| f.sym).collect();
        let mut factors: Vec<Factor> = Vec::new();
        while !open.is_empty() {
            let ready = open.iter().position(|f| {
                f.parents
                    .iter()
                    .all(|p| !own.contains(p) || factors.iter().any(|done| done.sym == *p))
            });
            let Some(i) = ready else {
                return Err(bug("row variables depend on each other in a circle".into()));
            };
            factors.push(open.remove(i));
        }
        Ok(Self {
            store,
            factors,
            sizes: sizes.clone(),
            fixed,
        })
    }

    /// An environment with everything that does not change by row.
    #[must_use]
    pub fn environment(&self) -> Env<'static> {
        let mut env = Env::new();
        for (&d, &n) in &self.sizes {
            env.set_dim(d, n);
        }
        for (sym, value) in &self.fixed {
            env.set(*sym, value.clone());
        }
        env.set_row_count(1);
        env.set_row(0);
        env
    }

    fn shape(&self, sym: SymId, env: &Env<'_>) -> Result<Vec<usize>, Bug> {
        let shape = &self.store.sym(sym).shape;
        shape
            .iter()
            .map(|s| env.size(&self.store, s).map_err(|e| bug(e.to_string())))
            .collect()
    }

    fn eval(&self, t: Term, env: &Env<'_>) -> Result<Array, Bug> {
        self.store.eval(t, env).map_err(|e| bug(e.to_string()))
    }

    fn chosen<'m>(&self, made: &'m Made, env: &Env<'_>) -> Result<&'m Made, Bug> {
        match made {
            Made::Family { .. } => Ok(made),
            Made::If {
                condition,
                then,
                otherwise,
            } => {
                let yes = self.eval(*condition, env)?.as_scalar() != 0.0;
                self.chosen(if yes { then } else { otherwise }, env)
            }
        }
    }

    /// Draws every row variable that `given` does not hold, parents first; sets them in `env` and returns them.
    ///
    /// # Errors
    /// A [`Bug`] where a term cannot be evaluated.
    pub fn draw(&self, env: &mut Env<'_>, rng: &mut StdRng, given: &[SymId]) -> Result<Vec<(SymId, Array)>, Bug> {
        let mut out = Vec::new();
        for f in self.factors.iter().filter(|f| !given.contains(&f.sym)) {
            let Made::Family {
                family,
                signature,
                args,
                ..
            } = self.chosen(&f.made, env)?
            else {
                continue;
            };
            let args: Vec<Array> = args.iter().map(|&a| self.eval(a, env)).collect::<Result<_, _>>()?;
            let shape = self.shape(f.sym, env)?;
            let mut value = if f.elementwise && !shape.is_empty() {
                let n: usize = shape.iter().product();
                let data = (0..n).map(|i| {
                    let own: Vec<Array> = args.iter().map(|a| element(a, i, n)).collect();
                    family.sample(rng, *signature, &own).as_scalar()
                });
                Array {
                    shape: shape.clone(),
                    data: data.collect(),
                }
            } else {
                family.sample(rng, *signature, &args)
            };
            value.shape = shape;
            env.set(f.sym, value.clone());
            out.push((f.sym, value));
        }
        Ok(out)
    }

    /// E[target | the values in `env`]: the mean of the target's distribution, averaged over the finite variables in
    /// `hidden` (with their numbers of values) by what the `seen` variables say of them. `None` where some mean is not
    /// known in closed form.
    ///
    /// # Errors
    /// A [`Bug`] where a term cannot be evaluated.
    pub fn mean(
        &self,
        target: SymId,
        env: &mut Env<'_>,
        hidden: &[(SymId, usize)],
        seen: &[SymId],
    ) -> Result<Option<Vec<f64>>, Bug> {
        let combinations: usize = hidden.iter().map(|h| h.1).product();
        let mut terms: Vec<(f64, Vec<f64>)> = Vec::with_capacity(combinations);
        for c in 0..combinations {
            let mut rest = c;
            for &(sym, n) in hidden {
                #[allow(clippy::cast_precision_loss)]
                env.set(sym, Array::scalar((rest % n) as f64));
                rest /= n;
            }
            let mut log = 0.0;
            let mut mean = None;
            for f in &self.factors {
                if f.sym != target && !seen.contains(&f.sym) && !hidden.iter().any(|h| h.0 == f.sym) {
                    continue;
                }
                let Made::Family { density, mean: m, .. } = self.chosen(&f.made, env)? else {
                    continue;
                };
                if f.sym != target {
                    log += self.eval(*density, env)?.data.iter().sum::<f64>();
                } else if let Some(m) = m {
                    mean = Some(self.eval(*m, env)?);
                }
            }
            let Some(mean) = mean else { return Ok(None) };
            if log > f64::NEG_INFINITY {
                terms.push((log, mean.data));
            }
        }
        let top = terms.iter().map(|t| t.0).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = terms.iter().map(|t| (t.0 - top).exp()).sum();
        let len = terms.iter().map(|t| t.1.len()).max().unwrap_or(0);
        let mut out = vec![0.0; len];
        for (log, mean) in &terms {
            let w = (log - top).exp() / total;
            for (i, o) in out.iter_mut().enumerate() {
                *o += w * mean
                    .get(if mean.len() == 1 { 0 } else { i })
                    .copied()
                    .unwrap_or(f64::NAN);
            }
        }
        Ok((!terms.is_empty()).then_some(out))
    }
}

/// Element i of an argument that is one number per element, else all of it.
fn element(a: &Array, i: usize, n: usize) -> Array {
    if a.data.len() == n && n > 1 || a.shape.len() == 1 && a.data.len() == 1 {
        Array::scalar(a.data.get(i).or(a.data.first()).copied().unwrap_or(f64::NAN))
    } else {
        a.clone()
    }
}

fn make(store: &mut Store, dist: &Dist, x: Term, elementwise: bool) -> Made {
    match dist {
        Dist::Family {
            family,
            signature,
            args,
            ..
        } => {
            let density = family.log_density(store, *signature, x, args);
            let density = if elementwise { store.total(density) } else { density };
            Made::Family {
                family: *family,
                signature: *signature,
                args: args.clone(),
                density,
                mean: family.mean(store, *signature, args),
            }
        }
        Dist::If {
            condition,
            then,
            otherwise,
        } => Made::If {
            condition: *condition,
            then: Box::new(make(store, then, x, elementwise)),
            otherwise: Box::new(make(store, otherwise, x, elementwise)),
        },
    }
}

/// Row symbols that a distribution mentions, but for the variable itself.
fn collect(store: &Store, made: &Made, own: SymId, out: &mut Vec<SymId>) {
    let mut add = |t: Term| {
        for s in store.symbols(t) {
            if s != own && store.sym(s).per_row && !out.contains(&s) {
                out.push(s);
            }
        }
    };
    match made {
        Made::Family { args, .. } => args.iter().for_each(|&a| add(a)),
        Made::If {
            condition,
            then,
            otherwise,
        } => {
            add(*condition);
            collect(store, then, own, out);
            collect(store, otherwise, own, out);
        }
    }
}

/// The values of a row's bound variables, as the model sees them (not centred); missing cells are NaN.
#[must_use]
pub fn row_values(
    graph: &ModelGraph,
    lowered: &Lowered,
    binding: &Binding,
    data: &Dataset,
    row: usize,
) -> Vec<(SymId, Array)> {
    let layout = RowLayout {
        rows: data.rows,
        block: data.block,
    };
    let mut out = Vec::new();
    for slot in &lowered.columns {
        // a variable of which cells are missing beside its mask holds some value there
        if slot.missing == MissingCells::Refused && binding.absent.contains(&slot.sym) {
            continue;
        }
        let Some(values) = data.columns.get(&slot.buf) else {
            continue;
        };
        let centre = data
            .moments
            .get(&slot.name)
            .map(|m| m.centre.as_slice())
            .unwrap_or_default();
        let shape = match binding.var(slot.sym) {
            Some(b) => b.shape.clone(),
            None if slot.mask_of().is_some() && slot.cols == 1 => vec![],
            None if slot.mask_of().is_some() => vec![slot.cols],
            None if graph.store.sym(slot.sym).shape.is_empty() => vec![],
            None => vec![slot.cols],
        };
        let cells = (0..slot.cols).map(|c| {
            let x = values.get(layout.at(slot.cols, row, c)).copied().unwrap_or(f64::NAN);
            x + centre.get(c).copied().unwrap_or(0.0)
        });
        out.push((
            slot.sym,
            Array {
                shape,
                data: cells.collect(),
            },
        ));
    }
    out
}

/// The number of values of a finite variable.
#[must_use]
pub fn values_of(graph: &ModelGraph, sym: SymId, sizes: &BTreeMap<DimId, usize>) -> Option<usize> {
    let s = graph.store.sym(sym);
    match &s.support {
        _ if !s.shape.is_empty() => None,
        Support::Binary => Some(2),
        Support::Category(size) => crate::terms::environment(graph, sizes).size(&graph.store, size).ok(),
        _ => None,
    }
}
