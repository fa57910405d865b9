//! `lvmc fit --plots DIR`: the search, the map of codes, and pictures.

use super::apply::{self, Draw};
use super::args::Fit as Args;
use super::fit::{how, threads};
use super::{output, pictures};
use crate::failure::Failure;
use crate::gradient;
use crate::pipeline;
use lvmc_report::plot::{Mark, Plot, Series};
use lvmc_runtime::data::{Column, Table};
use lvmc_runtime::fitfile;
use lvmc_runtime::gradient::predict as guided;
use lvmc_runtime::predict::{Cell, Predictions};
use lvmc_runtime::result::Fit;
use std::path::Path;

/// Labels that a map tells apart.
const LABELS: usize = 10;
/// Points of a map; more hide each other.
const POINTS: usize = 5000;
/// Pictures drawn.
const SAMPLES: usize = 64;

/// Makes the folder, before a long fit rather than after it, and checks the shape of pictures.
///
/// # Errors
/// It cannot be made.
pub fn prepare(args: &Args) -> Result<(), Failure> {
    let Some(dir) = &args.plots else { return Ok(()) };
    std::fs::create_dir_all(dir).map_err(|e| {
        Failure::usage(
            format!("cannot make the folder {}: {}", dir.display(), output::reason(&e)),
            "--plots names a folder, which is made where it does not exist",
        )
    })
}

/// Writes every plot that the fit has.
///
/// # Errors
/// A file that cannot be written, or a shape that the data do not have.
pub fn write(args: &Args, fit: &Fit, table: Table) -> Result<(), Failure> {
    let Some(dir) = &args.plots else { return Ok(()) };
    let mut made = vec!["training.svg"];
    save(&dir.join("training.svg"), &search(fit))?;
    let picture = pictures::find(fit, args.shape)?;
    let labels = labels(fit, &table);
    let (out, data) = predicted(args, fit, table, picture.as_ref())?;
    if let Some(map) = map(fit, &out, labels) {
        save(&dir.join("codes.svg"), &map)?;
        made.push("codes.svg");
    }
    if let Some(picture) = &picture {
        let means = fit.training.is_some() && !gradient::is_chain(fit)?;
        let draw = Draw {
            rows: SAMPLES,
            seed: args.seed,
            means,
            run: &args.run,
            given: None,
            bind: &[],
            latents: false,
            steps: None,
        };
        // rows with covariates need some to be drawn for
        if let Ok(text) = apply::drawn(fit, &draw) {
            picture.write(&dir.join("samples.png"), &picture.sampled(&text)?)?;
            made.push("samples.png");
        }
        if let (Some(data), Ok(found)) = (data, picture.predicted(&out)) {
            picture.write_pairs(&dir.join("reconstructions.png"), &data, &found)?;
            made.push("reconstructions.png");
        }
    }
    if !args.quiet && !args.model.json {
        output::remark(&format!("{}: {}", dir.display(), made.join(", ")));
    }
    Ok(())
}

fn save(path: &Path, plot: &Plot) -> Result<(), Failure> {
    Ok(fitfile::write_atomic(path, plot.svg().as_bytes())?)
}

/// The objective of every epoch, or iteration.
fn search(fit: &Fit) -> Plot {
    let curve = |name: &str, values: &[f64]| Series {
        name: name.into(),
        points: values.iter().enumerate().map(|(i, &y)| ((i + 1) as f64, y)).collect(),
    };
    let (x, y, series) = match &fit.training {
        Some(t) => {
            let mut series = vec![curve("batches", &t.trace)];
            if !t.held_trace.is_empty() {
                series.push(curve("held out", &t.held_trace));
            }
            let y = match t.aim.as_str() {
                "simple" => "minus the simple objective".to_owned(),
                "elbo" => t.objective.clone(),
                aim => format!("{}, {aim}", t.objective),
            };
            ("epoch", format!("{y}, a row"), series)
        }
        None => ("iteration", "objective".to_owned(), vec![curve("", &fit.trace)]),
    };
    Plot {
        title: format!("{}: training", fit.model),
        x: x.into(),
        y,
        mark: Mark::Line,
        series,
    }
}

/// What `predict` says of the data, and the data as pictures.
fn predicted(
    args: &Args,
    fit: &Fit,
    mut table: Table,
    picture: Option<&pictures::Pictured>,
) -> Result<(Predictions, Option<pictures::Rows>), Failure> {
    let nothing = Predictions {
        header: vec![],
        columns: vec![],
        rows: 0,
    };
    if fit.training.is_none() {
        let restored = pipeline::restore(fit.clone(), &mut table, &[], how(&args.run), threads(&args.run))?;
        let out = lvmc_runtime::predict::predict(restored.model(), table, &[]);
        return Ok((out.unwrap_or(nothing), None));
    }
    if gradient::is_chain(fit)? {
        return Ok((nothing, None));
    }
    gradient::restored(fit, how(&args.run), threads(&args.run), |r| {
        let out = guided::predict(r, &table, &[])?;
        let data = picture.and_then(|p| p.observed(r, &table, &[]));
        Ok((out, data))
    })
}

/// A column that the model does not use and that has few values: its name and each row's.
fn labels(fit: &Fit, table: &Table) -> Option<(String, Vec<String>)> {
    let used = |c: &Column| fit.binding.iter().any(|b| b.1.contains(&c.name)) || fit.weights.as_ref() == Some(&c.name);
    let few = |c: &Column| {
        let mut seen: Vec<String> = vec![];
        for row in 0..table.rows {
            let text = c.show(row);
            // numbers with fractions are measurements
            if text.parse::<f64>().is_ok_and(|x| x.fract() != 0.0) {
                return false;
            }
            if !seen.contains(&text) {
                seen.push(text);
            }
            if seen.len() > LABELS {
                return false;
            }
        }
        seen.len() > 1
    };
    let column = table.columns.iter().find(|c| !used(c) && few(c))?;
    let all = (0..table.rows).map(|row| column.show(row)).collect();
    Some((column.name.clone(), all))
}

/// The map of the first latent with two elements.
fn map(fit: &Fit, out: &Predictions, labels: Option<(String, Vec<String>)>) -> Option<Plot> {
    let column = |name: &str| {
        let at = out.header.iter().position(|h| h == name)?;
        let number = |c: &Cell| match c {
            Cell::Number(x) => Some(*x),
            Cell::Label(_) => None,
        };
        out.columns[at].iter().map(number).collect::<Option<Vec<f64>>>()
    };
    let name = out.header.iter().find_map(|h| {
        let name = h.strip_suffix("_1")?;
        let last = !out.header.contains(&format!("{name}_3"));
        (last && out.header.contains(&format!("{name}_2"))).then(|| name.to_owned())
    })?;
    let (a, b) = (column(&format!("{name}_1"))?, column(&format!("{name}_2"))?);
    // every k-th row of a long table
    let step = a.len().div_ceil(POINTS).max(1);
    let rows: Vec<usize> = (0..a.len()).step_by(step).collect();
    let of = |label: Option<&str>, texts: &[String]| Series {
        name: label.unwrap_or_default().to_owned(),
        points: rows
            .iter()
            .filter(|&&i| label.is_none_or(|l| texts.get(i).is_some_and(|t| t == l)))
            .map(|&i| (a[i], b[i]))
            .collect(),
    };
    let (title, series) = match labels {
        None => (format!("{}: codes", fit.model), vec![of(None, &[])]),
        Some((column, texts)) => {
            let mut names = texts.clone();
            names.sort_by(|x, y| match (x.parse::<f64>(), y.parse::<f64>()) {
                (Ok(x), Ok(y)) => x.total_cmp(&y),
                _ => x.cmp(y),
            });
            names.dedup();
            let series = names.iter().map(|n| of(Some(n.as_str()), &texts)).collect();
            (format!("{}: codes, coloured by {column}", fit.model), series)
        }
    };
    Some(Plot {
        title,
        x: format!("{name}_1"),
        y: format!("{name}_2"),
        mark: Mark::Dot,
        series,
    })
}
