//! A fit by gradients put to use: what `predict`, `score` and `sample` share.

use super::data::Data;
use super::exact::coordinates;
use super::problem::Known;
use super::settings::Settings;
use super::{GradientError, Make};
use crate::apply::{rebind, sizes};
use crate::bind::Binding;
use crate::data::Table;
use crate::result::Fit;
use lvmc_base::Bug;
use lvmc_dense::ir::ArrayId;
use lvmc_dense::{Executor, Lowered, Root};
use lvmc_derive::Missing;
use lvmc_derive::guided::{self, Free, Guided, Source};
use lvmc_model::graph::ModelGraph;
use lvmc_term::{SymId, Term};

/// Rows that a program runs over at once.
pub const AT_ONCE: usize = 512;

/// A fit with its derivation made again.
pub struct Restored<'a> {
    /// The typed graph of the fit's source.
    pub graph: &'a ModelGraph,
    /// The fit.
    pub fit: &'a Fit,
    /// The derivation.
    pub guided: Guided,
    /// Free coordinates of the parameters.
    pub free: Vec<Free>,
    /// Sizes, constants and tables.
    pub known: Known,
    /// Values of the free coordinates.
    pub params: Vec<Vec<f64>>,
    /// Precision and threads.
    pub settings: Settings,
    make: Make<'a>,
}

/// A program of terms, ready to run.
pub struct Running {
    /// Runs it.
    pub executor: Box<dyn Executor>,
    /// Its arrays.
    pub lowered: Lowered,
}

impl<'a> Restored<'a> {
    /// Makes the derivation again.
    ///
    /// # Errors
    /// A model that cannot be derived (which the fit's could), or a fit without one of its parameters.
    pub fn new(
        graph: &'a ModelGraph,
        fit: &'a Fit,
        mut guided: Guided,
        settings: Settings,
        make: Make<'a>,
    ) -> Result<Self, GradientError> {
        let (free, known, params) = restored(graph, fit, &mut guided)?;
        Ok(Self {
            graph,
            fit,
            guided,
            free,
            known,
            params,
            settings,
            make,
        })
    }

    /// As for data with missing cells.
    fn leave_out(&mut self, missing: &Missing) -> Result<(), GradientError> {
        let mut guided = guided::derive_with(self.graph, missing, true).map_err(|e| Bug {
            stage: "derive",
            message: format!("a derivation with missing cells, of a model that has one without: {e}"),
            ir: String::new(),
        })?;
        (self.free, self.known, self.params) = restored(self.graph, self.fit, &mut guided)?;
        self.guided = guided;
        Ok(())
    }

    /// A program of terms: nets without dropout, parameters at the fit's values.
    ///
    /// # Errors
    /// A form that array programs lack.
    pub fn program(
        &mut self,
        terms: &[(String, Term)],
        noise: &[Source],
        inputs: &[SymId],
        capacity: usize,
        seed: u64,
    ) -> Result<Running, GradientError> {
        let lowered = self.lower(terms, noise, inputs)?;
        self.running(lowered, capacity, seed)
    }

    /// Terms as an array program, for several executors.
    ///
    /// # Errors
    /// As [`Restored::program`].
    pub fn lower(
        &mut self,
        terms: &[(String, Term)],
        noise: &[Source],
        inputs: &[SymId],
    ) -> Result<Lowered, GradientError> {
        let roots: Vec<Root> = terms
            .iter()
            .map(|(name, t)| Root {
                name: name.clone(),
                term: self.guided.evaluated(self.graph, *t, &self.free),
            })
            .collect();
        let lowered = self.known.lower(&mut self.guided.store, &roots, noise, inputs);
        Ok(lowered.map_err(super::ProblemError::Lower)?)
    }

    /// An executor of a program, parameters at the fit's values.
    ///
    /// # Errors
    /// A [`Bug`] where the program violates an invariant.
    pub fn running(&self, lowered: Lowered, capacity: usize, seed: u64) -> Result<Running, GradientError> {
        let mut executor = (self.make)(lowered.program.clone(), capacity, self.settings.precision, seed)?;
        lowered.set_constants(&mut *executor);
        for (f, values) in self.free.iter().zip(&self.params) {
            if let Some(&id) = lowered.symbols.get(&f.free) {
                executor.set(id, values);
            }
        }
        Ok(Running { executor, lowered })
    }

    /// New data, bound as the fit's were. Where cells are missing the derivation is one that leaves them out from here on.
    ///
    /// # Errors
    /// Columns that are not there or hold what the model does not take.
    pub fn data(&mut self, table: &Table, binds: &[String]) -> Result<(Binding, Data), GradientError> {
        let binding = rebind(self.graph, self.fit, table, binds)?;
        let data = Data::new(self.graph, &binding, table, self.settings.precision)?;
        let missing = data.missing(self.graph);
        if !missing.is_empty() {
            self.leave_out(&missing)?;
        }
        // as the fit's guide read them; a fit of a version before has no numbers for them
        let all: Vec<u32> = (0..data.rows as u32).collect();
        let own = self
            .fit
            .training
            .as_ref()
            .map(|t| t.centres.clone())
            .unwrap_or_default();
        let centres = if own.is_empty() {
            data.centres(self.graph, &all)
        } else {
            own
        };
        let data = data.complete(self.graph, &self.guided, &centres).named_by(&self.guided);
        Ok((binding, data))
    }
}

/// Free coordinates, sizes and constants, and a fit's parameters in these coordinates.
type Coordinates = (Vec<Free>, Known, Vec<Vec<f64>>);

/// A fit's coordinates.
fn restored(graph: &ModelGraph, fit: &Fit, guided: &mut Guided) -> Result<Coordinates, GradientError> {
    let mut known = Known::new(graph, guided, &sizes(graph, fit))?;
    let written = guided
        .written(graph, guided::Aim::Bound, 1)
        .map_err(super::ProblemError::Aim)?;
    known.add_positions(&guided.store, &written);
    let mut params = vec![];
    for f in &written.free {
        let sym = guided.store.sym(f.param);
        let Some(p) = fit.parameter(&sym.name) else {
            return Err(Bug {
                stage: "fit file",
                message: format!("the fit has no `{}`", sym.name),
                ir: String::new(),
            }
            .into());
        };
        params.push(coordinates(f, &sym.support, &p.shape, &p.values));
    }
    Ok((written.free, known, params))
}

impl Running {
    /// Sets the rows of a batch.
    pub fn set_rows(&mut self, data: &Data, rows: &[u32]) {
        for m in &data.variables {
            if let Some(&id) = self.lowered.symbols.get(&m.sym) {
                self.executor.set_rows_from(id, &m.columns(), rows);
            }
        }
    }

    /// Runs over all rows; the values of every root, row-major.
    pub fn over(&mut self, data: &Data, draw: u64) -> Vec<Vec<f64>> {
        let mut out = vec![vec![]; self.lowered.roots.len()];
        let all: Vec<u32> = (0..data.rows as u32).collect();
        for (k, chunk) in all.chunks(self.executor.capacity().max(1)).enumerate() {
            self.set_rows(data, chunk);
            self.executor.run(chunk.len(), draw << 24 | k as u64);
            for (root, values) in self.lowered.roots.iter().zip(&mut out) {
                values.extend(self.executor.get(*root));
            }
        }
        out
    }

    /// The array of a symbol, where the program has it.
    #[must_use]
    pub fn array(&self, sym: SymId) -> Option<ArrayId> {
        self.lowered.symbols.get(&sym).copied()
    }
}
