//! From text to fit. Each function is one arrow of the pipeline; [`fit`] reads as the whole of it.

use crate::border;
use crate::failure::Failure;
use crate::{gradient, selection, stage};
use lvmc_base::{Exit, Source};
use lvmc_derive::joint::LogJoint;
use lvmc_derive::{Gaps, Missing, Plan, factorial};
use lvmc_loops::ir::Program;
use lvmc_loops::lower::Sizes;
use lvmc_loops::lowered::Lowered;
use lvmc_loops::{Interpreter, Machine, Options as Code};
use lvmc_model::graph::{FitValue, Plate};
use lvmc_model::{ModelGraph, Settings};
use lvmc_runtime::bind::{self, Binding};
use lvmc_runtime::data::Table;
use lvmc_runtime::dataset::{self, LoadOptions};
use lvmc_runtime::engine::{Compiled, Engine};
use lvmc_runtime::fit::{self as fitting, Hooks};
use lvmc_runtime::holdout::{self, Holdout};
use lvmc_runtime::result::{Circumstances, Fit, Seconds, summarise};
use lvmc_runtime::selection::Criterion;
use lvmc_runtime::{apply, fitfile, gaps, nested, terms};
use lvmc_syntax::ast;
use lvmc_term::{DimId, SymId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// How a model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct How {
    /// Which kernels serve the loops.
    pub code: Code,
    /// Interpret the loop IR instead of compiling it.
    pub interpret: bool,
}

/// What may be asked of a fit.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `--set` values and the model's default name.
    pub settings: Settings,
    /// Columns of variables, and of weights.
    pub bind: bind::Options,
    /// Seed, tolerance, restarts, threads.
    pub fit: fitting::Settings,
    /// A file with starting values.
    pub init: Option<PathBuf>,
    /// Native code or the interpreter.
    pub how: How,
    /// Sizes to select, each with the values to try.
    pub select: Vec<(String, Vec<usize>)>,
    /// What they are compared by.
    pub by: Criterion,
    /// The share of the rows to hold out.
    pub holdout: Option<f64>,
    /// Whether standard errors are wanted.
    pub errors: fitting::When,
    /// Options of the model's `fit` block, over it.
    pub options: Vec<(String, FitValue)>,
}

/// What a selection asks of a fit besides the fit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Aside {
    /// A component has collapsed or vanished.
    pub degenerate: bool,
    /// BIC with the entropy of the finite latents.
    pub icl: Option<f64>,
}

/// Fits a model's text to a table; where sizes are to be selected, the fit that the criterion prefers.
///
/// # Errors
/// Whatever the stages say.
pub fn fit(source: &Source, table: Table, request: &Request, hooks: Hooks<'_>) -> Result<Fit, Failure> {
    if request.select.is_empty() {
        return one(source, table, request, hooks, false).map(|f| f.0);
    }
    selection::select(source, &table, request, hooks)
}

/// Fits a model of one size.
///
/// # Errors
/// Whatever the stages say.
pub fn one(
    source: &Source,
    table: Table,
    request: &Request,
    hooks: Hooks<'_>,
    compared: bool,
) -> Result<(Fit, Aside), Failure> {
    let start = Instant::now();
    let ast = parse(source)?;
    let graph = graph(&ast, source, &with_columns(&request.settings, &table))?;
    if gradient::applies(&graph) {
        let (fit, _) = gradient::fit(&graph, table, request, hooks, gradient::Asked::default(), start)?;
        return Ok((fit, Aside::default()));
    }
    let plan = derive(&graph)?;
    let Bound {
        binding,
        table,
        held,
        gaps,
    } = held_out(&graph, table, request)?;
    gaps::refuse_empty(&binding, &table)?;
    let plan = for_data(&graph, plan, &gaps, &binding.sizes)?;
    let lowered = lower(&graph, &plan, &binding.sizes)?;
    let (program, machine) = compile(&lowered, request.how)?;
    let compiled_in = start.elapsed().as_secs_f64();

    stage::enter("data");
    let start = Instant::now();
    let weights = binding
        .weight
        .and_then(|w| table.columns.get(w))
        .map(|c| c.name.clone());
    let data = dataset::load(&lowered, &graph, &binding, table, &LoadOptions::default())?;
    let read_in = start.elapsed().as_secs_f64();

    stage::enter("fit");
    let start = Instant::now();
    let consts = terms::constants(&graph, &binding.sizes);
    let floor = request.fit.floor;
    let compiled = Compiled {
        lowered: &lowered,
        program: &program,
        machine: machine.as_ref(),
        consts: &consts,
        floor,
    };
    let mut settings = request.fit.clone();
    if let Some(path) = &request.init {
        settings.init = Some(fitfile::read_init(path, &lowered)?);
    }
    let known = border::Known {
        graph: &graph,
        plan: &plan,
        lowered: &lowered,
        sizes: &binding.sizes,
        consts: &consts,
    };
    let fitted = fitting::fit(compiled, &data, &settings, hooks).map_err(|error| border::explained(error, known))?;
    border::refused(&fitted.outcome, known)?;
    let fit_in = start.elapsed().as_secs_f64();
    let holdout = match held {
        None => None,
        Some(held) => {
            stage::enter("held-out rows");
            let options = LoadOptions {
                moments: Some(data.moments.clone()),
                fill_absent: false,
                open: vec![],
            };
            let load = |table| dataset::load(&lowered, &graph, &binding, table, &options);
            // a difference of bounds bounds nothing
            let all = held.all.filter(|_| lowered.bound.is_none()).map(load).transpose()?;
            let rows = load(held.rows)?;
            let parts = (&rows, all.as_ref());
            Some(score_held_out(
                compiled,
                parts,
                &fitted,
                &data,
                settings.threads,
                held.share,
            ))
        }
    };

    stage::enter("standard errors");
    let start = Instant::now();
    let errors = fitting::standard_errors(compiled, &data, &fitted, settings.threads, request.errors, hooks.stop);
    let seconds = Seconds {
        read: read_in,
        compile: compiled_in,
        fit: fit_in,
        errors: start.elapsed().as_secs_f64(),
    };
    let entropy = compared
        .then(|| posterior_entropy(&graph, &plan, compiled, &data, &fitted, settings.threads))
        .flatten();
    let around = Circumstances {
        set: request.settings.set.clone(),
        weights,
        seconds,
        errors,
        holdout,
    };
    let fit = summarise(&graph, &lowered, &binding, &data, &fitted, &settings, around);
    let aside = Aside {
        degenerate: fitted.suspicions.iter().any(fitting::Suspicion::is_degenerate),
        icl: fit.bic.zip(entropy).map(|(bic, h)| bic + 2.0 * h),
    };
    Ok((fit, aside))
}

/// Columns bound to variables, and the rows to fit.
struct Bound {
    binding: Binding,
    table: Table,
    held: Option<HeldOut>,
    gaps: BTreeMap<SymId, Gaps>,
}

/// Rows held out.
struct HeldOut {
    share: f64,
    rows: Table,
    /// All rows, where those held out depend on those fitted.
    all: Option<Table>,
}

/// The table with its binding; where rows are held out, those that are left, and the share and the rows held out. Sizes and
/// labels are those of all rows.
fn held_out(graph: &ModelGraph, mut table: Table, request: &Request) -> Result<Bound, Failure> {
    nested::add_columns(graph, &mut table, &request.bind.binds, &[])?;
    let whole = bind(graph, &table, &request.bind)?;
    // of all rows: those held out are scored by the same program
    let gaps = gaps::gaps(graph, &whole, &table);
    let Some(share) = request.holdout else {
        return Ok(Bound {
            binding: whole,
            table,
            held: None,
            gaps,
        });
    };
    let units = holdout::units(graph, &whole, &table, share)?;
    let (fitted, held) = holdout::split(&units.of_row, share, request.fit.seed)?;
    let options = bind::Options {
        sizes: whole.sizes.clone(),
        labels: dataset::labels(&whole),
        ..request.bind.clone()
    };
    let (rest, part) = (table.part(&fitted), table.part(&held));
    let mut binding = bind(graph, &rest, &options)?;
    // what the user should look at is said of the whole table
    binding.remarks = whole.remarks;
    Ok(Bound {
        binding,
        table: rest,
        held: Some(HeldOut {
            share,
            rows: part,
            all: units.dependent.then_some(table),
        }),
        gaps,
    })
}

/// The score of the rows held out, or of those given the fitted ones: what all rows have beyond these.
fn score_held_out(
    compiled: Compiled<'_>,
    (rows, all): (&dataset::Dataset, Option<&dataset::Dataset>),
    fitted: &fitting::Fitted,
    data: &dataset::Dataset,
    threads: usize,
    share: f64,
) -> Holdout {
    let at_fit = |rows: &dataset::Dataset| {
        let mut engine = Engine::new(compiled, rows, threads);
        engine.set_params(&fitted.outcome.values);
        engine.evaluate();
        engine.log_likelihood()
    };
    let finite = |x: f64| x.is_finite().then_some(x);
    let found = finite(match all {
        Some(all) => at_fit(all) - fitted.outcome.log_likelihood,
        None => at_fit(rows),
    });
    let bound = compiled.lowered.bound.is_some();
    let weight_sum = rows.weight_sum;
    Holdout {
        share,
        rows: rows.rows,
        weight_sum,
        log_likelihood: found.filter(|_| !bound),
        bound,
        given_fitted: all.is_some(),
        per_row: found.and_then(|l| finite(l / weight_sum)),
        training_per_row: finite(fitted.outcome.log_likelihood / data.weight_sum),
    }
}

/// The entropy of the finite latents' posterior; `None` where there are none, and where it is not the sum of its marginals'
/// (latents that depend on each other given the data).
fn posterior_entropy(
    graph: &ModelGraph,
    plan: &Plan,
    compiled: Compiled<'_>,
    data: &dataset::Dataset,
    fitted: &fitting::Fitted,
    threads: usize,
) -> Option<f64> {
    let hidden = |v: usize| !plan.finite[v].observed;
    let of_rows = |v: &usize| {
        let var = graph.var_of(plan.finite[*v].sym).map(|v| graph.var(v));
        var.is_none_or(|v| matches!(graph.plates[v.plate.index()], Plate::Row { parent: None }))
    };
    let alone = |c: &lvmc_derive::plan::Clique| !hidden(c.var) || !c.others.iter().any(|&v| hidden(v));
    let any = (0..plan.finite.len()).any(hidden);
    if !any
        || plan.objective.is_bound()
        || !plan.chains.is_empty()
        || !(0..plan.finite.len()).all(|v| of_rows(&v))
        || !plan.cliques.iter().all(alone)
    {
        return None;
    }
    let mut engine = Engine::new(compiled, data, threads);
    engine.set_params(&fitted.outcome.values);
    let sizes: Vec<usize> = compiled.lowered.latents.iter().map(|l| l.size).collect();
    let posteriors = engine.posterior();
    Some(lvmc_runtime::selection::entropy(&posteriors, &sizes, |row| {
        data.weight_of(row)
    }))
}

/// Text → syntax tree.
///
/// # Errors
/// The text is not a model.
pub fn parse(source: &Source) -> Result<ast::Model, Failure> {
    stage::enter("syntax");
    lvmc_syntax::parse(source).map_err(|e| Failure::syntax(e, source))
}

/// Syntax tree → typed graph, verified.
///
/// # Errors
/// The model has mistakes.
pub fn graph(model: &ast::Model, source: &Source, settings: &Settings) -> Result<ModelGraph, Failure> {
    stage::enter("model");
    let graph = lvmc_model::build(model, source, settings).map_err(|e| Failure::model(e, source))?;
    lvmc_model::verify(&graph)?;
    Ok(graph)
}

/// Settings that know the data's columns, so that a column named like a latent is questioned.
#[must_use]
pub fn with_columns(settings: &Settings, table: &Table) -> Settings {
    Settings {
        columns: table.names().map(str::to_owned).collect(),
        ..settings.clone()
    }
}

/// Typed graph → log joint → bound → update plan.
///
/// # Errors
/// A variable or a parameter that no rule covers.
pub fn derive(graph: &ModelGraph) -> Result<Plan, Failure> {
    stage::enter("derive");
    derived(graph, &Missing::default())
}

/// As [`derive`], for data in which those variables have missing cells.
///
/// # Errors
/// As there.
pub fn derive_with(graph: &ModelGraph, missing: &Missing) -> Result<Plan, Failure> {
    stage::enter("derive");
    derived(graph, missing)
}

fn derived(graph: &ModelGraph, missing: &Missing) -> Result<Plan, Failure> {
    let plan = lvmc_derive::derive_with(graph, missing).map_err(|e| Failure::derive(e, &graph.source))?;
    suited(graph, plan, missing, &Sizes::new())
}

/// The plan again where cells are missing that it must know of, and where the sizes ask for another posterior.
fn for_data(
    graph: &ModelGraph,
    plan: Plan,
    gaps: &BTreeMap<SymId, Gaps>,
    sizes: &BTreeMap<DimId, usize>,
) -> Result<Plan, Failure> {
    let missing = Missing::of(graph, gaps);
    let plan = if missing.is_empty() {
        plan
    } else {
        derive_with(graph, &missing)?
    };
    let sizes: Sizes = sizes.iter().map(|(&d, &n)| (d, n)).collect();
    suited(graph, plan, &missing, &sizes)
}

/// The plan, or where the chains' joint states are too many that of a q that is a product over the chains.
fn suited(graph: &ModelGraph, plan: Plan, missing: &Missing, sizes: &Sizes) -> Result<Plan, Failure> {
    let again = match &plan.chains[..] {
        [chain] => {
            let several = plan.gaussian_chain.is_none()
                && !factorial::declined(graph)
                && factorial::along(chain, &plan.finite).len() > 1;
            several && configurations(&plan, sizes, &chain.axes()) > TRANSITIONS
        }
        // asked for, and derived before sizes were known
        all => all.len() > 1 && !sizes.is_empty(),
    };
    if !again {
        return Ok(plan);
    }
    let apart = factorial::Apart {
        sizes: sizes.iter().map(|(&d, &n)| (d, n)).collect(),
        ..factorial::Apart::default()
    };
    lvmc_derive::derive_as(graph, missing, Some(&apart)).map_err(|e| Failure::derive(e, &graph.source))
}

/// Typed graph → log joint, for `emit`.
///
/// # Errors
/// As [`derive`].
pub fn joint(graph: &ModelGraph, missing: &Missing) -> Result<LogJoint, Failure> {
    stage::enter("derive");
    lvmc_derive::joint::log_joint(graph, missing).map_err(|e| Failure::derive(e, &graph.source))
}

/// Columns → variables and sizes.
///
/// # Errors
/// The columns do not fit the model.
pub fn bind(graph: &ModelGraph, table: &Table, options: &bind::Options) -> Result<Binding, Failure> {
    stage::enter("bind");
    Ok(bind::bind(graph, table, options)?)
}

/// Update plan and sizes → loop program.
///
/// # Errors
/// Only a bug.
pub fn lower(graph: &ModelGraph, plan: &Plan, sizes: &BTreeMap<DimId, usize>) -> Result<Lowered, Failure> {
    stage::enter("loops");
    let sizes: Sizes = sizes.iter().map(|(&d, &n)| (d, n)).collect();
    too_many_states(plan, &sizes)?;
    let lowered = lvmc_loops::lower::lower(graph, plan, &sizes)?;
    lvmc_loops::verify(&lowered.program)?;
    Ok(lowered)
}

/// Transitions of a chain that are summed over at every row.
const TRANSITIONS: usize = 1 << 22;

/// Configurations of the finite variables of one factor that several chains share: each row's are enumerated.
const SHARED: usize = 1 << 18;

/// The product of the sizes of some finite variables; those that nothing is known of count 1.
fn configurations(plan: &Plan, sizes: &Sizes, of: &[usize]) -> usize {
    let number = |v: &usize| match &plan.finite[*v].size {
        lvmc_term::Size::Const(n) => *n,
        lvmc_term::Size::Dim(d) => sizes.get(d).copied().unwrap_or(1),
        lvmc_term::Size::Sum(_) => 1,
    };
    let product = of.iter().map(number).try_fold(1usize, usize::checked_mul);
    product.unwrap_or(usize::MAX)
}

fn names(plan: &Plan, of: &[usize]) -> String {
    let own = of.iter().filter(|&&v| plan.finite[v].lag.is_none());
    let names: Vec<&str> = own.map(|&v| plan.store.sym(plan.finite[v].sym).name.as_str()).collect();
    names.join(", ")
}

/// A chain is summed over the product of its finite latents, which grows with every one of them; where each is a part of q by
/// itself, over that of those that one factor depends on.
fn too_many_states(plan: &Plan, sizes: &Sizes) -> Result<(), Failure> {
    for chain in &plan.chains {
        let found = configurations(plan, sizes, &chain.axes());
        if found > TRANSITIONS {
            let states = configurations(plan, sizes, &chain.state);
            return Err(Failure::new(
                Exit::Limit,
                lvmc_base::Limit {
                    what: format!(
                        "the number of transitions of the chain of {}",
                        names(plan, &chain.state)
                    ),
                    found: format!("{found} between {states} joint states"),
                    limit: TRANSITIONS.to_string(),
                    advice:
                        "its posterior is summed over all of them at every row: fewer values, or fewer rows before \
                             that a row knows"
                            .into(),
                },
            ));
        }
    }
    let scopes = plan
        .chains
        .iter()
        .flat_map(|c| &c.shared)
        .map(|&f| &plan.factors[f].scope);
    let widest = scopes.max_by_key(|scope| configurations(plan, sizes, scope));
    let Some(scope) = widest.filter(|scope| configurations(plan, sizes, scope) > SHARED) else {
        return Ok(());
    };
    Err(Failure::new(
        Exit::Limit,
        lvmc_base::Limit {
            what: format!("the number of configurations of {}", names(plan, scope)),
            found: configurations(plan, sizes, scope).to_string(),
            limit: SHARED.to_string(),
            advice: "a statement depends on all of them together, and even with a q of their own for each they are \
                     enumerated at every row: fewer values for each, fewer of them in one statement, or a Normal whose \
                     mean is a sum of parts that depend on one each"
                .into(),
        },
    ))
}

/// Loop program → machine code, or the interpreter.
///
/// # Errors
/// This machine is not supported.
pub fn compile(lowered: &Lowered, how: How) -> Result<(Arc<Program>, Box<dyn Machine>), Failure> {
    stage::enter("jit");
    let program = Arc::new(lowered.program.clone());
    if how.interpret {
        return Ok((program.clone(), Box::new(Interpreter::new(program))));
    }
    let compiled = lvmc_jit::compile(&program, &how.code)?;
    Ok((compiled.program().clone(), Box::new(compiled)))
}

/// A fit with its model made again, to be put to use.
pub struct Restored {
    /// The typed graph of the fit's source.
    pub graph: ModelGraph,
    /// The plan, for the cells that are missing.
    pub plan: Plan,
    /// Lowered for the fit's sizes.
    pub lowered: Lowered,
    program: Arc<Program>,
    machine: Box<dyn Machine>,
    /// The fit.
    pub fit: Fit,
    threads: usize,
}

impl Restored {
    /// What predictions and scores are made from.
    #[must_use]
    pub fn model(&self) -> apply::Model<'_> {
        apply::Model {
            graph: &self.graph,
            lowered: &self.lowered,
            program: &self.program,
            machine: self.machine.as_ref(),
            fit: &self.fit,
            threads: self.threads,
        }
    }
}

/// The typed graph of a fit's source.
///
/// # Errors
/// The source is not a model of this version of the language.
pub fn graph_of(fit: &Fit) -> Result<ModelGraph, Failure> {
    let source = Source::new(fit.source_name.clone(), fit.source.clone());
    let ast = parse(&source)?;
    let settings = Settings {
        set: fit.set.clone(),
        default_name: Some(fit.model.clone()),
        columns: vec![],
    };
    graph(&ast, &source, &settings)
}

/// Makes a fit's model again, for the cells that are missing in a table of new rows.
///
/// # Errors
/// As [`fit`], for a fit of another version of the language.
pub fn restore(fit: Fit, table: &mut Table, binds: &[String], how: How, threads: usize) -> Result<Restored, Failure> {
    let graph = graph_of(&fit)?;
    let plan = derive(&graph)?;
    nested::add_columns(&graph, table, binds, &fit.binding)?;
    let binding = apply::rebind(&graph, &fit, table, binds)?;
    let sizes = apply::sizes(&graph, &fit);
    let plan = for_data(&graph, plan, &gaps::gaps(&graph, &binding, table), &sizes)?;
    let lowered = lower(&graph, &plan, &sizes)?;
    let (program, machine) = compile(&lowered, how)?;
    Ok(Restored {
        graph,
        plan,
        lowered,
        program,
        machine,
        fit,
        threads,
    })
}
