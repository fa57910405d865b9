//! A fit put to use on new data: what `predict`, `score` and `sample` share.

use crate::bind::{self, Binding, Options};
use crate::data::{DataError, Table};
use crate::dataset::{self, Dataset, LoadOptions};
use crate::engine::{Compiled, Engine};
use crate::fitfile::FileError;
use crate::result::Fit;
use lvmc_base::{Bug, Exit};
use lvmc_loops::Machine;
use lvmc_loops::ir::Program;
use lvmc_loops::lowered::Lowered;
use lvmc_model::graph::ModelGraph;
use lvmc_term::DimId;
use miette::Diagnostic;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Why a fit cannot be used.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum ApplyError {
    /// The data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// The fit file, or the output.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    #[diagnostic(code(lvm::file::output), help("check the disk and the receiving end of the pipe"))]
    Output(String),
    /// A bug of ours.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bug(#[from] Bug),
}

impl ApplyError {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Data(e) => e.exit(),
            Self::File(e) => e.exit(),
            Self::Output(_) => Exit::Usage,
            Self::Bug(_) => Exit::Bug,
        }
    }
}

impl From<csv::Error> for ApplyError {
    fn from(e: csv::Error) -> Self {
        Self::Output(e.to_string())
    }
}

impl From<std::io::Error> for ApplyError {
    fn from(e: std::io::Error) -> Self {
        Self::Output(e.to_string())
    }
}

/// A fit with its model lowered and compiled again.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// The typed graph of the fit's source.
    pub graph: &'a ModelGraph,
    /// Lowered for the fit's sizes.
    pub lowered: &'a Lowered,
    /// Its program.
    pub program: &'a Arc<Program>,
    /// What runs it.
    pub machine: &'a dyn Machine,
    /// The fit.
    pub fit: &'a Fit,
    /// Threads.
    pub threads: usize,
}

/// The sizes of a fit by the graph's symbols.
#[must_use]
pub fn sizes(graph: &ModelGraph, fit: &Fit) -> BTreeMap<DimId, usize> {
    graph
        .store
        .dims()
        .filter_map(|(id, d)| Some((id, *fit.sizes.get(&d.name)?)))
        .collect()
}

/// Binds new data as the fit's were bound; `binds` go before. `data` variables may be absent.
///
/// # Errors
/// As [`bind::bind`].
pub fn rebind(graph: &ModelGraph, fit: &Fit, table: &Table, binds: &[String]) -> Result<Binding, DataError> {
    let weights = fit.weights.clone().filter(|w| table.lookup(w).is_some());
    let mut graph = std::borrow::Cow::Borrowed(graph);
    if weights.is_none() && graph.weight.is_some() {
        graph.to_mut().weight = None; // new rows count once
    }
    bind::bind(
        &graph,
        table,
        &Options {
            binds: binds.to_vec(),
            weights,
            columns: fit.binding.iter().cloned().collect(),
            sizes: sizes(&graph, fit),
            labels: fit.labels.clone(),
            data_may_be_absent: true,
        },
    )
}

impl Model<'_> {
    /// New data, laid out as the fit's were.
    ///
    /// # Errors
    /// Data that do not fit.
    pub fn load(&self, table: Table, binding: &Binding, fill_absent: bool) -> Result<Dataset, DataError> {
        // groups that the fit has not seen may be asked for: what picks nothing but effects
        let elsewhere = |sym| self.lowered.latents.iter().any(|l| l.sym == sym);
        let open = self.lowered.groups.iter().filter_map(|g| g.by);
        let options = LoadOptions {
            moments: Some(self.fit.moments.clone()),
            fill_absent,
            open: if fill_absent {
                open.filter(|&s| !elsewhere(s)).collect()
            } else {
                vec![]
            },
        };
        dataset::load(self.lowered, self.graph, binding, table, &options)
    }

    /// Posterior marginals and scores of the rows, in the order of the table.
    ///
    /// # Errors
    /// A fit that does not hold the model's parameters.
    pub fn posterior(&self, data: &Dataset) -> Result<crate::engine::Posteriors, Bug> {
        let mut found = self.with_engine(data, |engine| engine.posterior())?;
        if data.order.rows.is_some() {
            found.rearrange(&data.by_table());
        }
        Ok(found)
    }

    /// What an engine over the data at the fit's parameters says; rows are in the order of the data.
    ///
    /// # Errors
    /// A fit that does not hold the model's parameters.
    pub fn with_engine<T>(&self, data: &Dataset, ask: impl FnOnce(&mut Engine<'_>) -> T) -> Result<T, Bug> {
        let consts = crate::terms::constants(self.graph, &sizes(self.graph, self.fit));
        let compiled = Compiled {
            lowered: self.lowered,
            program: self.program,
            machine: self.machine,
            consts: &consts,
            floor: 0.0,
        };
        let values = self.fit.values(self.lowered).ok_or_else(|| Bug {
            stage: "predict",
            message: "the fit's parameters are not the model's".into(),
            ir: self.fit.source.clone(),
        })?;
        let mut engine = Engine::new(compiled, data, self.threads);
        engine.set_params(&values);
        Ok(ask(&mut engine))
    }
}
