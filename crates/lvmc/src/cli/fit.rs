//! `lvmc fit`.

use super::args::{By, Fit, Kernels, RunArgs};
use super::{interrupt, load, output, plots};
use crate::failure::Failure;
use crate::gradient;
use crate::pipeline::{self, How, Request};
use crate::stage;
use lvmc_base::Exit;
use lvmc_model::graph::FitValue;
use lvmc_report::{fit as page, numbers};
use lvmc_runtime::bind;
use lvmc_runtime::data::{self, Table};
use lvmc_runtime::fit::{Hooks, Progress, Settings, When};
use lvmc_runtime::fitfile;
use lvmc_runtime::selection::Criterion;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

/// Fits and prints the result.
pub fn run(args: &Fit) -> Result<Exit, Failure> {
    let loaded = load::load(&args.files, &args.model, "fit MODEL DATA", 1)?;
    let Some(path) = loaded.rest.first() else {
        return Err(Failure::usage(
            "the data are missing",
            "lvmc fit MODEL DATA; - reads them from standard input",
        ));
    };
    // a mistake in the model is told before a long file is read
    let graph = pipeline::graph(&pipeline::parse(&loaded.source)?, &loaded.source, &loaded.settings)?;
    if gradient::applies(&graph) {
        super::train::refuse(args)?;
    } else if args.epochs.is_some() {
        return Err(Failure::usage(
            "--epochs are those of a fit by gradients, and this model is fitted by EM",
            "--max-iter N is the most iterations of one start",
        ));
    }
    plots::prepare(args)?;
    let start = Instant::now();
    let table = read(path)?;
    let read_in = start.elapsed().as_secs_f64();
    let request = Request {
        settings: loaded.settings.clone(),
        bind: bind::Options {
            binds: args.bind.bind.clone(),
            weights: args.bind.weights.clone(),
            ..bind::Options::default()
        },
        fit: settings(args),
        init: args.init.clone(),
        how: how(&args.run),
        select: args.select.clone(),
        by: match args.by {
            By::Bic => Criterion::Bic,
            By::Aic => Criterion::Aic,
            By::Icl => Criterion::Icl,
            By::Holdout => Criterion::Holdout,
        },
        holdout: args.holdout,
        errors: match args {
            a if a.se => When::Asked,
            a if a.model.json || a.out.is_some() => When::Cheap,
            _ => When::Never,
        },
        options: options(args),
    };
    if gradient::applies(&graph) {
        return super::train::run(args, &loaded, &request, table, read_in);
    }
    if args.resume.is_some() {
        return Err(Failure::usage(
            "--resume goes on with a fit by gradients, and this model is fitted by EM",
            "start EM from a fit instead: --init FIT",
        ));
    }
    let show = !args.quiet && !args.model.json && std::io::stderr().is_terminal();
    let progress = |p: Progress| {
        let line = format!("\r{} starts, best {}\x1b[K", p.starts, numbers::fixed(p.best, 3));
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    };
    let hooks = Hooks {
        progress: if show { Some(&progress) } else { None },
        stop: Some(&interrupt::STOP),
    };
    let kept = args.plots.as_ref().map(|_| table.clone());
    interrupt::fitting(true);
    let result = pipeline::fit(&loaded.source, table, &request, hooks);
    interrupt::fitting(false);
    if show {
        let _ = std::io::stderr().lock().write_all(b"\r\x1b[K");
    }
    let mut fit = result?;
    fit.seconds.read += read_in;
    finish(args, &fit, kept)
}

/// Options of the model's block: those of `--fit`, and the short ones.
fn options(args: &Fit) -> Vec<(String, FitValue)> {
    let mut all = args.options.clone();
    #[allow(clippy::cast_precision_loss)]
    all.extend(args.epochs.map(|n| ("epochs".to_owned(), FitValue::Number(n as f64))));
    all
}

/// Prints a fit, and keeps it where asked; `table` are the data, where plots are.
pub(super) fn finish(args: &Fit, fit: &lvmc_runtime::result::Fit, table: Option<Table>) -> Result<Exit, Failure> {
    stage::enter("report");
    if let Some(out) = &args.out {
        fitfile::write(out, fit)?;
    }
    if args.model.json {
        output::print_json(&page::json(fit))?;
    } else {
        output::print(&page::text(fit, args.se))?;
    }
    if !args.quiet && !args.model.json {
        for text in fit
            .warnings
            .iter()
            .map(|w| format!("warning: {w}"))
            .chain(fit.remarks.iter().cloned())
            .chain(fit.error_remarks.iter().filter(|_| args.se).cloned())
        {
            output::remark(&text);
        }
        let next = match &args.out {
            None => "--out fit.json keeps it; lvmc predict fit.json new.csv uses it".to_owned(),
            Some(out) => format!("lvmc predict {} new.csv uses it", out.display()),
        };
        output::remark(&format!("\n  {:<38}  {next}", page::timings(fit)));
    }
    if let Some(table) = table {
        plots::write(args, fit, table)?;
    }
    Ok(if interrupt::stopped() {
        Exit::Interrupted
    } else {
        fit.exit()
    })
}

/// A table of data, from a file or standard input.
pub fn read(path: &str) -> Result<Table, Failure> {
    stage::enter("data");
    if path == "-" {
        return Ok(data::read_from(std::io::stdin().lock(), "standard input")?);
    }
    Ok(data::read(Path::new(path))?)
}

fn settings(args: &Fit) -> Settings {
    let mut s = Settings {
        seed: args.seed,
        ..Settings::default()
    };
    if args.run.threads > 0 {
        s.threads = args.run.threads;
    }
    if let Some(n) = args.max_iter {
        s.max_iter = n;
    }
    if let Some(tol) = args.tol {
        s.tol = tol;
    }
    if let Some(n) = args.restarts {
        s.rounds = 1;
        s.starts = usize::try_from(n).unwrap_or(usize::MAX);
    }
    s
}

/// Native code or the interpreter.
#[must_use]
pub fn how(args: &RunArgs) -> How {
    How {
        code: code(args.kernels),
        interpret: args.interpret,
    }
}

/// Which kernels serve the loops.
#[must_use]
pub fn code(kernels: Kernels) -> lvmc_loops::Options {
    let kernels = match kernels {
        Kernels::Block => lvmc_loops::Kernels::Block,
        Kernels::None => lvmc_loops::Kernels::None,
    };
    lvmc_loops::Options { kernels }
}

/// All threads of the machine where none are asked for.
#[must_use]
pub fn threads(args: &RunArgs) -> usize {
    if args.threads > 0 {
        args.threads
    } else {
        Settings::default().threads
    }
}
