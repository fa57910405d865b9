//! From a graph with nets or a guide to a fit: the same line as the pipeline's, by gradients.

use crate::failure::Failure;
use crate::pipeline::{self, Request};
use crate::stage;
use lvmc_base::{Bug, Source};
use lvmc_dense::ir::{Precision, Program};
use lvmc_dense::{Build, Executor, Interpreter};
use lvmc_derive::Missing;
use lvmc_derive::guided::{self, Guided};
use lvmc_model::ModelGraph;
use lvmc_model::graph::Dist;
use lvmc_runtime::data::Table;
use lvmc_runtime::fit::Hooks;
use lvmc_runtime::gaps;
use lvmc_runtime::gradient::apply::Restored;
use lvmc_runtime::gradient::data::Data;
use lvmc_runtime::gradient::exact::Native;
use lvmc_runtime::gradient::outcome::summarise;
use lvmc_runtime::gradient::problem::Problem;
use lvmc_runtime::gradient::settings::{Overrides, SettingError, Settings};
use lvmc_runtime::gradient::train::{Progress, State, Watch};
use lvmc_runtime::gradient::{self, GradientError};
use lvmc_runtime::result::{Fit, Seconds};
use lvmc_term::DimId;
use std::collections::BTreeMap;
use std::time::Instant;

/// What a fit by gradients may be asked besides.
#[derive(Default)]
pub struct Asked<'a> {
    /// Called every now and then.
    pub progress: Option<&'a dyn Fn(Progress)>,
    /// Where to go on from.
    pub from: Option<State>,
}

/// True where a model is fitted by gradients.
#[must_use]
pub fn applies(graph: &ModelGraph) -> bool {
    guided::needs_gradients(graph)
}

/// Graph → bound.
///
/// # Errors
/// The model has no derivation.
pub fn derive(graph: &ModelGraph) -> Result<Guided, Failure> {
    derive_with(graph, &Missing::default(), asks_for_exact(graph))
}

/// The model's `fit` block goes with exact updates.
#[must_use]
pub fn asks_for_exact(graph: &ModelGraph) -> bool {
    Settings::read(&graph.fit, &Overrides::default()).map_or(true, |s| s.takes_exact())
}

/// Graph → bound of data with missing cells; without `exact` every parameter takes gradients.
///
/// # Errors
/// The model has no derivation.
pub fn derive_with(graph: &ModelGraph, missing: &Missing, exact: bool) -> Result<Guided, Failure> {
    stage::enter("derive");
    guided::derive_with(graph, missing, exact).map_err(|e| Failure::derive(e, &graph.source))
}

/// The settings of the model's block and the command line.
///
/// # Errors
/// Choices that do not exist.
pub fn settings(graph: &ModelGraph, request: &Request) -> Result<Settings, Failure> {
    let over = Overrides {
        options: request.options.clone(),
        threads: request.fit.threads,
        seed: Some(request.fit.seed),
    };
    let mut settings = Settings::read(&graph.fit, &over).map_err(|e| setting(e, &graph.source))?;
    if settings.holdout.is_none() {
        settings.holdout = request.holdout;
    }
    // early stopping needs rows to stop by
    if settings.patience.is_some() && settings.holdout.is_none() {
        settings.holdout = Some(0.1);
    }
    Ok(settings)
}

fn setting(e: SettingError, source: &Source) -> Failure {
    // what stands in the model is the model's fault, what was typed is the command's
    let exit = match &e {
        SettingError::Choice { span, .. } | SettingError::Argument { span, .. } if span.is_none() => {
            lvmc_base::Exit::Usage
        }
        _ => lvmc_base::Exit::Model,
    };
    Failure::in_source(exit, e, source)
}

/// Makes executors: native code, or the interpreter.
///
/// # Errors
/// A program that violates an invariant.
pub fn executor(
    program: Program,
    capacity: usize,
    precision: Precision,
    seed: u64,
    threads: usize,
    interpret: bool,
) -> Result<Box<dyn Executor>, Bug> {
    if interpret {
        return Ok(Box::new(Interpreter::build(program, capacity, precision, seed)?));
    }
    let mut native = lvmc_jit::dense::Native::build(program, capacity, precision, seed)?;
    native.set_threads(threads.max(1));
    Ok(Box::new(native))
}

/// Fits a graph to a table; also the state to go on from.
///
/// # Errors
/// Whatever the stages say.
pub fn fit(
    graph: &ModelGraph,
    mut table: Table,
    request: &Request,
    hooks: Hooks<'_>,
    asked: Asked<'_>,
    start: Instant,
) -> Result<(Fit, State), Failure> {
    let settings = settings(graph, request)?;
    let mut derived = derive_with(graph, &Missing::default(), settings.takes_exact())?;
    let compiled_in = start.elapsed().as_secs_f64();
    stage::enter("data");
    let start = Instant::now();
    lvmc_runtime::nested::add_columns(graph, &mut table, &request.bind.binds, &[])?;
    let binding = pipeline::bind(graph, &table, &request.bind)?;
    gaps::refuse_empty(&binding, &table)?;
    let data = Data::new(graph, &binding, &table, settings.precision)?;
    let missing = data.missing(graph);
    if !missing.is_empty() {
        derived = derive_with(graph, &missing, settings.takes_exact())?;
    }
    // of the rows that are fitted: what is held out says nothing of them
    let centres = data.centres(graph, &gradient::split(data.rows, &settings).0);
    let data = data.complete(graph, &derived, &centres).named_by(&derived);
    drop(table);
    let read_in = start.elapsed().as_secs_f64();
    let exact = derived.exact.as_ref();
    let lowered = exact.map(|e| pipeline::lower(&e.graph, &e.plan, &binding.sizes));
    let lowered = lowered.transpose()?;
    let compiled = lowered
        .as_ref()
        .map(|l| pipeline::compile(l, request.how))
        .transpose()?;
    let native = lowered.as_ref().zip(compiled.as_ref());
    let native = native.map(|(lowered, (program, machine))| Native {
        lowered,
        program,
        machine: machine.as_ref(),
        floor: request.fit.floor,
    });
    stage::enter("fit");
    let start = Instant::now();
    let make = |program: Program, capacity: usize, precision: Precision, seed: u64| {
        executor(
            program,
            capacity,
            precision,
            seed,
            settings.threads,
            request.how.interpret,
        )
    };
    let watch = Watch {
        progress: asked.progress,
        stop: hooks.stop,
    };
    let fitted = gradient::fit(
        graph,
        derived,
        &binding.sizes,
        &data,
        &settings,
        asked.from,
        &make,
        native,
        watch,
    )
    .map_err(|e| failure(e, &graph.source))?;
    let seconds = Seconds {
        read: read_in,
        compile: compiled_in,
        fit: start.elapsed().as_secs_f64(),
        errors: 0.0,
    };
    let fit = summarise(
        graph,
        &binding,
        &data,
        &fitted,
        &settings,
        request.settings.set.clone(),
        centres,
        seconds,
    );
    Ok((fit, fitted.state))
}

/// The program of a training step, as text.
///
/// # Errors
/// A term that cannot be computed over a batch.
pub fn emit(graph: &ModelGraph, guided: Guided, sizes: &BTreeMap<DimId, usize>) -> Result<String, Failure> {
    let problem = Problem::new(graph, guided, sizes, guided::Aim::Bound, 1, false)
        .map_err(|e| failure(e.into(), &graph.source))?;
    Ok(lvmc_dense::text::program(&problem.step.lowered.program))
}

/// A fit put to use: `then` gets it with its derivation made again.
///
/// # Errors
/// A fit of another version of the language; what `then` says.
pub fn restored<T>(
    fit: &Fit,
    how: pipeline::How,
    threads: usize,
    then: impl FnOnce(&mut Restored<'_>) -> Result<T, GradientError>,
) -> Result<T, Failure> {
    let graph = pipeline::graph_of(fit)?;
    let derived = derive(&graph)?;
    let mut settings = Settings::read(&graph.fit, &Overrides::default()).map_err(|e| setting(e, &graph.source))?;
    settings.precision = match &fit.training {
        Some(t) if t.precision == "f64" => Precision::F64,
        _ => Precision::F32,
    };
    let make = |program: Program, capacity: usize, precision: Precision, seed: u64| {
        executor(program, capacity, precision, seed, threads, how.interpret)
    };
    let mut r = Restored::new(&graph, fit, derived, settings, &make).map_err(|e| failure(e, &graph.source))?;
    then(&mut r).map_err(|e| failure(e, &graph.source))
}

/// A fit of a chain back from noise.
///
/// # Errors
/// A fit of another version of the language.
pub fn is_chain(fit: &Fit) -> Result<bool, Failure> {
    Ok(guided::noising::is_noising(&pipeline::graph_of(fit)?))
}

/// A fit's graph with its nets as terms, so that whatever reads statements can evaluate them.
#[must_use]
pub fn written_out(fit: &Fit, mut graph: ModelGraph) -> ModelGraph {
    if fit.training.is_none() {
        return graph;
    }
    let mut store = graph.store.clone();
    let mut factors = graph.factors.clone();
    for f in &mut factors {
        if let Dist::Family { args, .. } = &mut f.dist {
            for a in args {
                *a = graph.expand_nets_without_dropout(&mut store, *a);
            }
        }
    }
    graph.factors = factors;
    graph.store = store;
    graph
}

/// A failure with the model's text.
pub(crate) fn failure(e: GradientError, source: &Source) -> Failure {
    match e {
        GradientError::Data(e) => e.into(),
        GradientError::Bug(b) => b.into(),
        e => Failure::in_source(e.exit(), e, source),
    }
}
