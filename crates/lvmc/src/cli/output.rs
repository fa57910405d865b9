//! Where results and diagnostics go: results to standard output, everything else to standard error.

use crate::failure::Failure;
use lvmc_base::Exit;
use miette::{GraphicalReportHandler, GraphicalTheme, Report};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// True where colour may be used on standard error.
fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Writes a result to standard output. A reader that went away (`| head`) ends the program quietly.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| write_failure("standard output", &e))
}

/// Writes a JSON object to standard output.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// A remark to standard error; where even that cannot be written, nobody is listening.
pub fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a result to a file or to standard output. A regular file is replaced as a whole: it holds either what it held
/// before or all of the new text.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    let Some(path) = path else { return print(text) };
    let shown = path.display().to_string();
    let regular = std::fs::metadata(path).map_or(true, |m| m.is_file());
    let done = if regular {
        replace(path, text)
    } else {
        std::fs::write(path, text)
    };
    done.map_err(|e| write_failure(&shown, &e))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let done = (|| {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    done
}

/// A failure to write, as usage (a full disk, a folder that is not there), or as the quiet end of a broken pipe.
fn write_failure(path: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::silent(Exit::Fine);
    }
    let help = match error.kind() {
        io::ErrorKind::NotFound => "the folder must exist",
        io::ErrorKind::StorageFull => "the disk is full; nothing was kept",
        io::ErrorKind::PermissionDenied => "choose a place that you may write to",
        _ => "choose another place",
    };
    Failure::usage(format!("cannot write {path}: {}", reason(error)), help)
}

/// The system's reason without its number.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |c| c.to_lowercase().chain(letters).collect())
}

/// Shows a failure: on standard error for people, or as one JSON object on standard output.
pub fn show(failure: &Failure, json: bool) {
    if failure.reports.is_empty() {
        return;
    }
    if json {
        let list: Vec<Value> = failure.reports.iter().map(as_json).collect();
        let _ = print_json(&json!({ "exit": failure.exit as u8, "errors": list }));
        return;
    }
    let theme = if colour() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(100)
        .with_links(false);
    for report in &failure.reports {
        let mut text = String::new();
        if handler.render_report(&mut text, report.as_ref()).is_err() {
            text = report.to_string();
        }
        remark(cropped(&text).trim_end());
    }
}

fn as_json(report: &Report) -> Value {
    let text = |d: Option<Box<dyn std::fmt::Display + '_>>| d.map(|d| d.to_string());
    let labels: Vec<Value> = report
        .labels()
        .into_iter()
        .flatten()
        .map(|label| {
            let place = report.source_code().and_then(|s| s.read_span(label.inner(), 0, 0).ok());
            let (line, column) = place.map_or((None, None), |p| (Some(p.line() + 1), Some(p.column() + 1)));
            json!({
                "text": label.label(),
                "offset": label.offset(),
                "length": label.len(),
                "line": line,
                "column": column,
            })
        })
        .collect();
    json!({
        "code": text(report.code()),
        "message": report.to_string(),
        "help": text(report.help()),
        "labels": labels,
    })
}

/// Longest line of a diagnostic.
const LONGEST: usize = 140;

/// A diagnostic with a window of a very long source line: what is around the mark.
fn cropped(text: &str) -> String {
    let column = |line: &str, wanted: &[char]| line.chars().position(|c| wanted.contains(&c));
    let numbered = text
        .lines()
        .filter(|l| l.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    let Some(gutter) = numbered.filter_map(|l| column(l, &['│'])).min().map(|c| c + 2) else {
        return text.to_owned();
    };
    if text.lines().all(|l| l.chars().count() <= gutter + LONGEST) {
        return text.to_owned();
    }
    let marked = text.lines().filter(|l| l.trim_start().starts_with('·'));
    let mark = marked.filter_map(|l| column(l, &['┬', '╰'])).max().unwrap_or(gutter);
    let first = mark.saturating_sub(gutter + LONGEST / 3);
    let mut out = String::new();
    for line in text.lines() {
        let source = line.chars().nth(gutter - 2).is_some_and(|c| matches!(c, '·' | '│'));
        if source {
            out.extend(line.chars().take(gutter));
            out.extend(line.chars().skip(gutter + first).take(LONGEST));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}
