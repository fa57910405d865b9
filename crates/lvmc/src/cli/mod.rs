//! The command line: parses it, runs the command, shows what went wrong, and sets the exit code.

mod apply;
pub mod args;
mod check;
mod derive;
mod emit;
mod explain;
mod fit;
mod fmt;
mod interrupt;
mod load;
mod models;
pub mod output;
mod pictures;
mod plots;
mod train;

use crate::failure::Failure;
use crate::stage;
use args::{Cli, Command};
use clap::Parser;
use lvmc_base::{Bug, Exit};
use std::process::ExitCode;
use std::sync::Mutex;

/// Room for the recursion of deeply nested models; reserved, not used.
const STACK: usize = 256 << 20;

/// What the panic hook saw: message and place.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload();
        let text = what
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| what.downcast_ref::<String>().cloned());
        let place = info
            .location()
            .map(|l| format!(" ({}:{})", l.file(), l.line()))
            .unwrap_or_default();
        let message = format!("{}{place}", text.unwrap_or_else(|| "a panic".into()));
        // the first panic is the cause; those of other threads follow from it
        PANIC
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get_or_insert(message);
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                Exit::Usage as u8
            } else {
                Exit::Fine as u8
            });
        }
    };
    interrupt::listen();
    let json = wants_json(&cli.command);
    let worker = std::thread::Builder::new()
        .name("lvmc".into())
        .stack_size(STACK)
        .spawn(move || run(&cli.command));
    let result = match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(panicked()),
        Err(error) => Err(Failure::usage(
            format!("no thread could be started: {error}"),
            "free some memory",
        )),
    };
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            output::show(&failure, json);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn panicked() -> Failure {
    let message = PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    Failure::from(Bug {
        stage: stage::current(),
        message: message.unwrap_or_else(|| "a panic".into()),
        ir: String::new(),
    })
}

fn run(command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Derive(args) => derive::run(args),
        Command::Check(args) => check::run(args),
        Command::Emit(args) => emit::run(args),
        Command::Models(args) => models::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Fit(args) => fit::run(args),
        Command::Predict(args) => apply::predict(args),
        Command::Score(args) => apply::score(args),
        Command::Impute(args) => apply::impute(args),
        Command::Sample(args) => apply::sample(args),
    }
}

fn wants_json(command: &Command) -> bool {
    match command {
        Command::Fit(a) => a.model.json,
        Command::Predict(a) => a.apply.json,
        Command::Score(a) => a.apply.json,
        Command::Impute(a) => a.json,
        Command::Sample(a) => a.json,
        Command::Derive(a) => a.model.json || a.format == Some(args::Format::Json),
        Command::Check(a) => a.model.json,
        Command::Emit(a) => a.model.json,
        Command::Models(a) => a.json,
        Command::Fmt(a) => a.json,
        Command::Explain(a) => a.model.json,
    }
}
