//! `lvmc fit` of a model with nets or a guide: progress, interruption, and going on.

use super::args::Fit;
use super::load::Loaded;
use super::{fit, interrupt};
use crate::failure::Failure;
use crate::gradient::{self, Asked};
use crate::pipeline::{self, Request};
use lvmc_base::Exit;
use lvmc_report::numbers;
use lvmc_runtime::data::Table;
use lvmc_runtime::fit::Hooks;
use lvmc_runtime::gradient::checkpoint;
use lvmc_runtime::gradient::train::Progress;
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Fits and prints the result.
pub fn run(args: &Fit, loaded: &Loaded, request: &Request, table: Table, read_in: f64) -> Result<Exit, Failure> {
    let start = Instant::now();
    let settings = pipeline::with_columns(&loaded.settings, &table);
    let graph = pipeline::graph(&pipeline::parse(&loaded.source)?, &loaded.source, &settings)?;
    let from = match &args.resume {
        Some(path) => Some(checkpoint::read(path, &loaded.source.text)?),
        None => None,
    };
    let show = !args.quiet && !args.model.json && std::io::stderr().is_terminal();
    let (began, last) = (Instant::now(), Cell::new(None::<Instant>));
    let progress = |p: Progress| {
        if last.get().is_some_and(|t| t.elapsed() < Duration::from_millis(100)) {
            return;
        }
        last.set(Some(Instant::now()));
        let _ = std::io::stderr().lock().write_all(line(p, began.elapsed()).as_bytes());
    };
    let hooks = Hooks {
        progress: None,
        stop: Some(&interrupt::STOP),
    };
    let asked = Asked {
        progress: if show { Some(&progress) } else { None },
        from,
    };
    let kept = args.plots.as_ref().map(|_| table.clone());
    interrupt::fitting(true);
    let result = gradient::fit(&graph, table, request, hooks, asked, start);
    interrupt::fitting(false);
    if show {
        let _ = std::io::stderr().lock().write_all(b"\r\x1b[K");
    }
    let (mut fitted, state) = result?;
    fitted.seconds.read += read_in;
    if let Some(out) = &args.out {
        checkpoint::write(out, &loaded.source.text, &state)?;
    }
    fit::finish(args, &fitted, kept)
}

/// Refuses options that only fits by EM have, each with what does the same here.
///
/// # Errors
/// Such an option.
pub fn refuse(args: &Fit) -> Result<(), Failure> {
    let others = [
        (
            !args.select.is_empty(),
            "--select",
            "fit each size with --set and --holdout 0.1, and compare the scores held out",
        ),
        (args.init.is_some(), "--init", "--resume FIT goes on from a fit"),
        (
            args.max_iter.is_some(),
            "--max-iter",
            "--epochs N is how often the rows are gone through",
        ),
        (
            args.tol.is_some(),
            "--tol",
            "--fit patience=5 stops where the score of rows held out no longer rises",
        ),
        (args.restarts.is_some(), "--restarts", "--seed N begins elsewhere"),
        (args.se, "--se", "leave it out: weights of nets have no standard errors"),
    ];
    match others.into_iter().find(|o| o.0) {
        None => Ok(()),
        Some((_, option, help)) => Err(Failure::usage(
            format!("{option} belongs to fits by EM, and this model is fitted by gradients"),
            help,
        )),
    }
}

/// `epoch 3.2 of 20   objective −103.21   held out −105.30   12 s left`.
fn line(p: Progress, elapsed: Duration) -> String {
    let of = p.of as f64;
    let done = (p.epochs / of).clamp(1e-9, 1.0);
    let left = elapsed.as_secs_f64() * (1.0 - done) / done;
    let filled = (done * 20.0) as usize;
    let bar: String = (0..20).map(|i| if i < filled { '━' } else { '─' }).collect();
    let held = p
        .held
        .map(|h| format!("   held out {}", numbers::fixed(h, 3)))
        .unwrap_or_default();
    format!(
        "\r{bar} epoch {:.1} of {}   objective {}{held}   {left:.0} s left\x1b[K",
        p.epochs,
        p.of,
        numbers::fixed(p.objective, 3)
    )
}
