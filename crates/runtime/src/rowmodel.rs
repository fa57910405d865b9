//! The factors of a row, evaluated term by term: drawing from a model, and means of variables that were not observed.

use crate::bind::Binding;
use crate::dataset::Dataset;
use crate::result::Fit;
use lvmc_base::Bug;
use lvmc_families::Family;
use lvmc_loops::RowLayout;
use lvmc_loops::lowered::{Lowered, MissingCells};
use lvmc_model::graph::{Dist, ModelGraph, Plate, Role, When};
use lvmc_term::{Array, DimId, Env, IxId, Store, Support, SymId, Term};
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
    /// In which rows of a chain it holds.
    when: When,
    /// Row variables that must have values before it.
    parents: Vec<SymId>,
}

/// What rows of a chain know of their place.
#[derive(Default)]
struct Place {
    position: Option<SymId>,
    marks: Vec<(SymId, When)>,
    /// (symbol, that it is of, how many rows before).
    lags: Vec<(SymId, SymId, usize)>,
}

/// The prior of a global latent.
struct Global {
    sym: SymId,
    made: Made,
    elementwise: bool,
    /// Indices of its members.
    ranges: Vec<IxId>,
    /// It refers to other global latents.
    coupled: bool,
}

/// The row plate of a model, with fitted parameters.
pub struct RowModel {
    store: Store,
    factors: Vec<Factor>,
    globals: Vec<Global>,
    sizes: BTreeMap<DimId, usize>,
    fixed: Vec<(SymId, Array)>,
    place: Place,
}

fn bug(message: String) -> Bug {
    Bug {
        stage: "rows",
        message,
        ir: String::new(),
    }
}

impl Place {
    fn of(graph: &ModelGraph) -> Self {
        let Some(chain) = &graph.chain else {
            return Self::default();
        };
        let sym = |v| graph.var(v).sym;
        Self {
            position: chain.position.map(sym),
            marks: chain.marks.iter().map(|m| (sym(m.var), m.when)).collect(),
            lags: chain.lags.iter().map(|l| (sym(l.var), sym(l.of), l.by)).collect(),
        }
    }
}

impl RowModel {
    /// Sets what a row of a chain knows of its place, at a position of its sequence, from the values of the rows `before`
    /// it in the sequence, the last one last. Values of rows that do not exist are left: no statement that holds asks.
    #[allow(clippy::cast_precision_loss)]
    pub fn enter(&self, env: &mut Env<'_>, position: usize, before: &[Vec<(SymId, Array)>]) {
        if let Some(sym) = self.place.position {
            env.set(sym, Array::scalar(position as f64));
        }
        for &(sym, when) in &self.place.marks {
            env.set(sym, Array::scalar(f64::from(u8::from(when.holds(position)))));
        }
        for &(sym, of, by) in &self.place.lags {
            let row = before.len().checked_sub(by).and_then(|i| before.get(i));
            if let Some((_, value)) = row.and_then(|values| values.iter().find(|v| v.0 == of)) {
                env.set(sym, value.clone());
            }
        }
    }

    /// How many rows back a row looks.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.place.lags.iter().map(|l| l.2).max().unwrap_or(0)
    }

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
        let mut globals = Vec::new();
        let latent = |f: &lvmc_model::graph::Factor| {
            graph.var(f.var).role == Role::Latent && matches!(graph.plates.get(f.plate.index()), Some(Plate::Global))
        };
        for f in graph.factors.iter().filter(|f| latent(f)) {
            let made = make(&mut store, &f.dist, f.value, f.elementwise);
            let sym = graph.var(f.var).sym;
            let coupled = graph
                .factors
                .iter()
                .any(|g| latent(g) && g.var != f.var && mentions(&store, &made, graph.var(g.var).sym));
            globals.push(Global {
                sym,
                made,
                elementwise: f.elementwise,
                ranges: f.ranges.clone(),
                coupled,
            });
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
                when: f.when,
                parents,
            });
        }
        let own: Vec<SymId> = open.iter().map(|f| f.sym).collect();
        let mut factors: Vec<Factor> = Vec::new();
        while !open.is_empty() {
            let ready = open.iter().position(|f| {
                f.parents
                    .iter()
                    .all(|p| !own.contains(p) || open.iter().all(|other| other.sym != *p))
            });
            let Some(i) = ready else {
                return Err(bug("row variables depend on each other in a circle".into()));
            };
            factors.push(open.remove(i));
        }
        Ok(Self {
            store,
            factors,
            globals,
            sizes: sizes.clone(),
            fixed,
            place: Place::of(graph),
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

    /// Draws every row variable but the given ones, parents first, by the statements that hold at a position; sets them in
    /// `env` and returns them.
    ///
    /// # Errors
    /// A [`Bug`] where a term cannot be evaluated.
    pub fn draw(
        &self,
        env: &mut Env<'_>,
        rng: &mut StdRng,
        position: usize,
        given: &[SymId],
    ) -> Result<Vec<(SymId, Array)>, Bug> {
        let mut out = Vec::new();
        let open = |f: &&Factor| f.when.holds(position) && !given.contains(&f.sym);
        for f in self.factors.iter().filter(open) {
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

    /// Draws every member of the global latents from its prior; sets them in `env`.
    ///
    /// # Errors
    /// A [`Bug`] where a term cannot be evaluated.
    pub fn draw_globals(&self, env: &mut Env<'_>, rng: &mut StdRng) -> Result<(), Bug> {
        for g in &self.globals {
            let shape = self.shape(g.sym, env)?;
            let members = self.members(g, env)?;
            let own = shape.iter().product::<usize>() / members.iter().product::<usize>().max(1);
            let mut data = Vec::with_capacity(shape.iter().product());
            for number in 0..members.iter().product() {
                self.set_member(g, number, &members, env);
                let Made::Family {
                    family,
                    signature,
                    args,
                    ..
                } = self.chosen(&g.made, env)?
                else {
                    continue;
                };
                let args: Vec<Array> = args.iter().map(|&a| self.eval(a, env)).collect::<Result<_, _>>()?;
                if g.elementwise && own > 1 {
                    for i in 0..own {
                        let mine: Vec<Array> = args.iter().map(|a| element(a, i, own)).collect();
                        data.push(family.sample(rng, *signature, &mine).as_scalar());
                    }
                } else {
                    data.extend(family.sample(rng, *signature, &args).data);
                }
            }
            env.set(g.sym, Array { shape, data });
        }
        Ok(())
    }

    /// Numbers of members, one for each index of a global latent.
    fn members(&self, g: &Global, env: &Env<'_>) -> Result<Vec<usize>, Bug> {
        g.ranges
            .iter()
            .map(|&i| {
                env.size(&self.store, &self.store.ix(i).size)
                    .map_err(|e| bug(e.to_string()))
            })
            .collect()
    }

    fn set_member(&self, g: &Global, number: usize, members: &[usize], env: &mut Env<'_>) {
        let mut rest = number;
        for (&i, &n) in g.ranges.iter().zip(members).rev() {
            env.set_index(i, rest % n);
            rest /= n;
        }
    }

    /// Mean and standard deviation of a member of a global latent before anything is observed, element by element: what
    /// is known of a group that the fit has not seen. Read off the log prior, which is quadratic. The deviation of one that
    /// depends on others is NaN.
    ///
    /// # Errors
    /// A [`Bug`] where a term cannot be evaluated.
    pub fn prior(&self, sym: SymId, env: &mut Env<'_>) -> Result<(Vec<f64>, Vec<f64>), Bug> {
        let mut found = (vec![], vec![]);
        for g in &self.globals {
            let shape = self.shape(g.sym, env)?;
            let members = self.members(g, env)?;
            let n = shape.iter().product::<usize>() / members.iter().product::<usize>().max(1);
            self.set_member(g, 0, &members, env);
            let Made::Family { density, .. } = self.chosen(&g.made, env)? else {
                continue;
            };
            let density = *density;
            let mut whole = Array::filled(&shape, 0.0);
            let mut at = |steps: &[usize], env: &mut Env<'_>| -> Result<f64, Bug> {
                whole.data.fill(0.0);
                steps.iter().for_each(|&i| whole.data[i] += 1.0);
                env.set(g.sym, whole.clone());
                Ok(self.eval(density, env)?.data.iter().sum())
            };
            let here = at(&[], env)?;
            let single: Vec<f64> = (0..n).map(|i| at(&[i], env)).collect::<Result<_, _>>()?;
            let mut precision = Array::filled(&[n, n], 0.0);
            for i in 0..n {
                for j in 0..=i {
                    let both = at(&[i, j], env)?;
                    let cross = -(both - single[i] - single[j] + here);
                    precision.data[i * n + j] = cross;
                    precision.data[j * n + i] = cross;
                }
            }
            // log p(e_i) − log p(0) = η_i − ½ Λ_ii
            let eta = (0..n)
                .map(|i| single[i] - here + 0.5 * precision.data[i * n + i])
                .collect();
            let covariance = precision
                .spd_inverse()
                .ok_or_else(|| bug("a prior's precision is not positive definite".into()))?;
            let mean = covariance.matmul(&Array::matrix(n, 1, eta)).data;
            let mut all = Vec::new();
            (0..members.iter().product::<usize>()).for_each(|_| all.extend(mean.iter().copied()));
            env.set(g.sym, Array { shape, data: all });
            if g.sym == sym {
                let sd = (0..n).map(|i| {
                    if g.coupled {
                        f64::NAN
                    } else {
                        covariance.at2(i, i).sqrt()
                    }
                });
                found = (mean, sd.collect());
            }
        }
        Ok(found)
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

fn mentions(store: &Store, made: &Made, sym: SymId) -> bool {
    match made {
        Made::Family { args, .. } => args.iter().any(|&a| store.depends_on_sym(a, sym)),
        Made::If {
            condition,
            then,
            otherwise,
        } => store.depends_on_sym(*condition, sym) || mentions(store, then, sym) || mentions(store, otherwise, sym),
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
