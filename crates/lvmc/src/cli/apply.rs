//! `lvmc predict`, `lvmc score` and `lvmc sample`: a fit put to use.

use super::args::{Apply, Impute, Predict, RunArgs, Sample, Score};
use super::fit::{how, read, threads};
use super::{output, pictures};
use crate::failure::Failure;
use crate::gradient;
use crate::pipeline::{self, Restored};
use crate::stage;
use lvmc_base::Exit;
use lvmc_report::numbers::{counted, fixed};
use lvmc_report::words;
use lvmc_runtime::data::Table;
use lvmc_runtime::fitfile;
use lvmc_runtime::forecast as forecasting;
use lvmc_runtime::future;
use lvmc_runtime::gradient::chain::{self, Walk};
use lvmc_runtime::gradient::predict as guided;
use lvmc_runtime::impute as imputing;
use lvmc_runtime::predict::{Cell, Predictions, predict as predicted};
use lvmc_runtime::result::Fit;
use lvmc_runtime::sample::{self as sampling};
use lvmc_runtime::score::score as scored;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The fit's model for the rows of the data, and the data.
fn restored(fit: Fit, table: &mut Table, args: &Apply) -> Result<Restored, Failure> {
    pipeline::restore(fit, table, &args.bind, how(&args.run), threads(&args.run))
}

/// The fit and the data.
fn loaded(args: &Apply) -> Result<(Fit, Table), Failure> {
    stage::enter("fit file");
    let fit = fitfile::read(Path::new(&args.fit))?;
    Ok((fit, read(&args.data)?))
}

/// The importance-weighted bound of every row of a fit by gradients.
fn guided_score(fit: &Fit, table: &Table, args: &Apply, draws: usize, seed: u64) -> Result<Exit, Failure> {
    stage::enter("score");
    let out = gradient::restored(fit, how(&args.run), threads(&args.run), |r| {
        guided::score(r, table, &args.bind, draws, seed)
    })?;
    if args.json {
        let object = json!({
            "rows": out.rows, "standard_errors": out.errors, "total": out.total, "standard_error": out.error,
            "draws": out.draws, "score": out.what,
        });
        output::write(args.out.as_deref(), &format!("{object:#}\n"))?;
    } else {
        let mut text = String::from("row,score,se\n");
        for (i, (x, e)) in out.rows.iter().zip(&out.errors).enumerate() {
            text.push_str(&format!("{},{x},{e}\n", i + 1));
        }
        output::write(args.out.as_deref(), &text)?;
    }
    if !args.quiet && !args.json {
        let rows = counted(out.rows.len(), "row");
        let each = fixed(out.total / out.rows.len().max(1) as f64, 4);
        let by = if out.draws > 1 {
            format!(", {} draws", out.draws)
        } else {
            String::new()
        };
        output::remark(&format!(
            "{} {} ± {} ({rows}, {each} each{by})",
            out.what,
            fixed(out.total, 3),
            fixed(out.error, 3)
        ));
    }
    Ok(Exit::Fine)
}

/// The posterior of every unobserved variable, row by row; with `--ahead`, of the rows after the last.
pub fn predict(args: &Predict) -> Result<Exit, Failure> {
    if let Some(ahead) = args.ahead {
        return forecast(args, ahead);
    }
    let (fit, mut table) = loaded(&args.apply)?;
    if fit.training.is_some() {
        stage::enter("predict");
        let apply = &args.apply;
        let picture = match &args.png {
            Some(_) => Some(pictures::wanted(&fit, args.shape)?),
            None => None,
        };
        let (out, data) = gradient::restored(&fit, how(&apply.run), threads(&apply.run), |r| {
            let out = guided::predict(r, &table, &apply.bind)?;
            let decoded = guided::decodes(r, &apply.bind);
            let data = picture.as_ref().filter(|_| !decoded);
            let data = data.and_then(|p| p.observed(r, &table, &apply.bind));
            Ok((out, data))
        })?;
        if let (Some(path), Some(picture)) = (&args.png, &picture) {
            pictures::of_predictions(picture, path, &out, data, apply.quiet || apply.json)?;
        }
        // pictures that are asked for stand in place of a screen of numbers
        if args.png.is_none() || apply.out.is_some() || apply.json {
            written(&out, apply)?;
        }
        return Ok(Exit::Fine);
    }
    if args.png.is_some() {
        return Err(Failure::usage(
            "--png shows reconstructions, and this fit has no guide that makes them",
            "lvmc sample FIT --png FILE draws pictures from any fit",
        ));
    }
    let restored = restored(fit, &mut table, &args.apply)?;
    stage::enter("predict");
    let out = predicted(restored.model(), table, &args.apply.bind)?;
    if let Some(path) = &args.groups {
        let mut bytes = Vec::new();
        lvmc_runtime::predict::write_groups(&restored.fit, &mut bytes)?;
        output::write(Some(path), &String::from_utf8_lossy(&bytes))?;
    }
    written(&out, &args.apply)?;
    Ok(Exit::Fine)
}

fn written(out: &Predictions, args: &Apply) -> Result<(), Failure> {
    if args.json {
        let mut columns = Map::new();
        for (name, cells) in out.header.iter().zip(&out.columns) {
            let list: Vec<Value> = cells
                .iter()
                .map(|c| match c {
                    Cell::Number(x) => json!(x),
                    Cell::Label(text) => json!(**text),
                })
                .collect();
            columns.insert(name.clone(), Value::Array(list));
        }
        let text = format!("{:#}\n", json!({ "rows": out.rows, "columns": columns }));
        output::write(args.out.as_deref(), &text)?;
    } else {
        let mut bytes = Vec::new();
        out.write(&mut bytes)?;
        output::write(args.out.as_deref(), &String::from_utf8_lossy(&bytes))?;
    }
    Ok(())
}

/// The rows after the end of every sequence.
fn forecast(args: &Predict, ahead: usize) -> Result<Exit, Failure> {
    let apply = &args.apply;
    stage::enter("fit file");
    let fit = fitfile::read(Path::new(&apply.fit))?;
    let table = read(&apply.data)?;
    let given = args.given.as_deref().map(read).transpose()?;
    let graph = pipeline::graph_of(&fit)?;
    stage::enter("forecast");
    let request = future::Request {
        ahead,
        binds: apply.bind.clone(),
    };
    let later = future::extend(&graph, &fit, table.clone(), given.as_ref(), &request)?;
    let restore = |table: &Table| {
        pipeline::restore(
            fit.clone(),
            &mut table.clone(),
            &apply.bind,
            how(&apply.run),
            threads(&apply.run),
        )
    };
    let mut obstacle = forecasting::obstacle(&graph);
    if obstacle.is_none() {
        let restored = restore(&later.table)?;
        obstacle = forecasting::obstacle_in(&restored.plan);
        if obstacle.is_none() && forecasting::has_moments(&graph, &restored.lowered) {
            stage::enter("forecast");
            let out = forecasting::exact(restored.model(), &later, &apply.bind)?;
            written(&out, apply)?;
            return Ok(Exit::Fine);
        }
        obstacle = obstacle.or_else(|| Some("moments of the data have no closed form".into()));
    }
    let restored = restore(&table)?;
    stage::enter("forecast");
    let how = forecasting::Simulation {
        draws: args.draws,
        seed: args.seed,
    };
    let out = forecasting::simulated(restored.model(), &restored.plan, table, &later, &apply.bind, how)?;
    written(&out, apply)?;
    if !apply.quiet && !apply.json {
        let futures = counted(args.draws, "simulated future");
        let why = obstacle.unwrap_or_default();
        output::remark(&format!(
            "moments of {futures} of every sequence (seed {}): {why}",
            args.seed
        ));
    }
    Ok(Exit::Fine)
}

/// The log-likelihood of every row, and the total.
pub fn score(args: &Score) -> Result<Exit, Failure> {
    let (draws, seed) = (args.draws, args.seed);
    let args = &args.apply;
    let (fit, mut table) = loaded(args)?;
    if fit.training.is_some() {
        return guided_score(&fit, &table, args, draws, seed);
    }
    let restored = restored(fit, &mut table, args)?;
    stage::enter("score");
    let out = scored(restored.model(), table, &args.bind)?;
    if args.json {
        let mut object = json!({ "rows": out.rows, "total": out.total, "weight_sum": out.weight_sum });
        if let Some(q) = &out.bound {
            object["bound"] = json!(words::bound(q));
        }
        output::write(args.out.as_deref(), &format!("{object:#}\n"))?;
    } else {
        let mut bytes = Vec::new();
        out.write(&mut bytes)?;
        output::write(args.out.as_deref(), &String::from_utf8_lossy(&bytes))?;
    }
    if !args.quiet && !args.json {
        let each = fixed(out.total / out.weight_sum, 4);
        let rows = counted(out.rows.len(), "row");
        let what = match &out.bound {
            Some(q) => words::bound(q),
            None => "log-likelihood".to_owned(),
        };
        output::remark(&format!("{what} {} ({rows}, {each} each)", fixed(out.total, 3)));
    }
    Ok(Exit::Fine)
}

/// A data file with its missing cells filled.
pub fn impute(args: &Impute) -> Result<Exit, Failure> {
    stage::enter("fit file");
    let fit = fitfile::read(Path::new(&args.fit))?;
    let mut table = read(&args.data)?;
    let request = imputing::Request {
        binds: args.bind.clone(),
        sd: args.sd,
        draws: args.draws,
        seed: args.seed,
    };
    let mut bytes = Vec::new();
    let mut rough = None;
    let (filled, left) = if fit.training.is_some() {
        stage::enter("impute");
        let done = gradient::restored(&fit, how(&args.run), threads(&args.run), |r| {
            lvmc_runtime::gradient::impute::impute(r, &table, &request, &mut bytes)
        })?;
        rough = Some(done).filter(|d| d.rough > 0);
        (done.filled, done.left)
    } else {
        let restored = pipeline::restore(fit, &mut table, &args.bind, how(&args.run), threads(&args.run))?;
        stage::enter("impute");
        imputing::impute(restored.model(), &restored.plan, table, &request, &mut bytes)?
    };
    let text = String::from_utf8_lossy(&bytes);
    let text = if args.json { as_json(&text) } else { text.into_owned() };
    output::write(args.out.as_deref(), &text)?;
    if !args.quiet && !args.json {
        let rest = match left {
            0 => String::new(),
            n => format!("; {} of other columns stay missing", counted(n, "cell")),
        };
        output::remark(&format!("{} filled{rest}", counted(filled, "cell")));
        if let Some(d) = rough {
            output::remark(&format!(
                "in {} a few of {} draws of the guide carry most of the weight: their cells are rough",
                counted(d.rough, "row"),
                d.draws
            ));
        }
    }
    Ok(Exit::Fine)
}

/// What is drawn.
pub struct Draw<'a> {
    /// How many rows.
    pub rows: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// A file of covariates.
    pub given: Option<&'a str>,
    /// Their columns.
    pub bind: &'a [String],
    /// The latent variables too.
    pub latents: bool,
    /// The means of the data given the latent variables drawn.
    pub means: bool,
    /// Steps without noise, of a chain.
    pub steps: Option<usize>,
    /// How the program is run.
    pub run: &'a RunArgs,
}

/// New rows.
pub fn sample(args: &Sample) -> Result<Exit, Failure> {
    stage::enter("fit file");
    let fit = fitfile::read(Path::new(&args.fit))?;
    let through_fit = args.through.as_deref().map(decoder).transpose()?;
    let picture = match &args.png {
        Some(_) => Some(pictures::wanted(through_fit.as_ref().unwrap_or(&fit), args.shape)?),
        None => None,
    };
    let draw = Draw {
        rows: args.rows,
        seed: args.seed,
        given: args.given.as_deref(),
        bind: &args.bind,
        latents: args.latents,
        means: args.means,
        steps: args.steps,
        run: &args.run,
    };
    let mut text = drawn(&fit, &draw)?;
    if let Some(by) = &through_fit {
        let columns = text.lines().next().unwrap_or_default().to_owned();
        text = decoded(by, &text, &columns, &args.run)?;
    }
    if let (Some(path), Some(picture)) = (&args.png, &picture) {
        let rows = picture.sampled(&text)?;
        picture.write(path, &rows)?;
        if !args.quiet && !args.json {
            output::remark(&format!("{}: {}", path.display(), picture.counted(rows.len())));
        }
    }
    // pictures that are asked for stand in place of a screen of numbers
    if args.png.is_none() || args.out.is_some() || args.json {
        let text = if args.json { as_json(&text) } else { text };
        output::write(args.out.as_deref(), &text)?;
    }
    Ok(Exit::Fine)
}

/// A fit that decodes codes.
fn decoder(path: &Path) -> Result<Fit, Failure> {
    stage::enter("fit file");
    let fit = fitfile::read(path)?;
    if fit.training.is_none() || gradient::is_chain(&fit)? {
        return Err(Failure::usage(
            format!(
                "--through decodes by a fit with a guide, and {} has none that makes codes",
                path.display()
            ),
            "give the fit whose `predict` wrote the codes",
        ));
    }
    Ok(fit)
}

/// Rows of codes decoded by the fit that made them; `columns` are those of its code, commas between.
fn decoded(by: &Fit, codes: &str, columns: &str, run: &RunArgs) -> Result<String, Failure> {
    stage::enter("decode");
    let table = lvmc_runtime::data::read_from(codes.as_bytes(), "codes")?;
    let count = columns.split(',').count();
    let binds = gradient::restored(by, how(run), threads(run), |r| {
        Ok(guided::latent_columns(r)
            .into_iter()
            .map(|(name, names)| (name, names.len()))
            .collect::<Vec<_>>())
    })?;
    let [(name, wanted)] = binds.as_slice() else {
        let names: Vec<&str> = binds.iter().map(|b| b.0.as_str()).collect();
        return Err(Failure::usage(
            format!(
                "{} has {} latent variables ({}), and codes are one",
                by.model,
                names.len(),
                names.join(", ")
            ),
            "lvmc predict FIT CODES --bind z=… decodes any of them",
        ));
    };
    if *wanted != count {
        return Err(Failure::usage(
            format!(
                "the rows drawn have {}, and the code `{name}` of {} has {wanted}",
                counted(count, "column"),
                by.model
            ),
            "--through takes the fit whose `predict` wrote the codes that this one was fitted to",
        ));
    }
    predicted_text(by, &table, &[format!("{name}={columns}")], run)
}

fn predicted_text(by: &Fit, table: &Table, binds: &[String], run: &RunArgs) -> Result<String, Failure> {
    let out = gradient::restored(by, how(run), threads(run), |r| guided::predict(r, table, binds))?;
    let mut bytes = Vec::new();
    out.write(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Rows of the data given latent variables drawn from the model.
fn means(fit: &Fit, draw: &Draw<'_>) -> Result<String, Failure> {
    let latents = match fit.training {
        Some(_) => gradient::restored(fit, how(draw.run), threads(draw.run), |r| Ok(guided::latent_columns(r)))?,
        None => vec![],
    };
    if latents.is_empty() {
        return Err(Failure::usage(
            "--means decodes latent variables, and this fit has no guide with some",
            "leave it out: rows are drawn from the model",
        ));
    }
    let text = drawn(
        fit,
        &Draw {
            means: false,
            latents: true,
            ..*draw
        },
    )?;
    let table = lvmc_runtime::data::read_from(text.as_bytes(), "samples")?;
    let binds: Vec<String> = latents
        .iter()
        .map(|(name, columns)| format!("{name}={}", columns.join(",")))
        .collect();
    predicted_text(fit, &table, &binds, draw.run)
}

/// Rows as CSV.
///
/// # Errors
/// Covariates that are missing or do not fit, and choices that the fit does not have.
pub fn drawn(fit: &Fit, draw: &Draw<'_>) -> Result<String, Failure> {
    if fit.training.is_some() && gradient::is_chain(fit)? {
        if draw.means || draw.latents {
            return Err(Failure::usage(
                "a chain back from noise is walked to its end: it has no means and no latent variables to show",
                "leave out --means and --latents; --steps N walks it without noise",
            ));
        }
        return chain_sample(fit, draw);
    }
    if draw.steps.is_some() {
        return Err(Failure::usage(
            "--steps walks a chain back from noise, and this fit has none: its rows are drawn in one step",
            "leave it out",
        ));
    }
    if draw.means {
        return means(fit, draw);
    }
    let graph = gradient::written_out(fit, pipeline::graph_of(fit)?);
    let mut given = draw.given.map(read).transpose()?;
    if let Some(table) = &mut given {
        lvmc_runtime::nested::add_columns(&graph, table, draw.bind, &fit.binding)?;
    }
    stage::enter("sample");
    let request = sampling::Request {
        rows: draw.rows,
        seed: draw.seed,
        latents: draw.latents,
        binds: draw.bind.to_vec(),
    };
    let mut bytes = Vec::new();
    sampling::sample(&graph, fit, given.as_ref(), &request, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Rows drawn along a chain back from noise.
fn chain_sample(fit: &Fit, args: &Draw<'_>) -> Result<String, Failure> {
    stage::enter("sample");
    let walk = match args.steps {
        Some(n) => Walk::Deterministic(n),
        None => Walk::Ancestral,
    };
    let (values, width) = gradient::restored(fit, how(args.run), threads(args.run), |r| {
        chain::sample(r, args.rows, args.seed, walk)
    })?;
    let names = fit.binding.first().map(|b| b.1.clone()).filter(|n| n.len() == width);
    let names = names.unwrap_or_else(|| (1..=width).map(|i| format!("x_{i}")).collect());
    let mut text = names.join(",");
    text.push('\n');
    for row in values.chunks(width.max(1)) {
        let cells: Vec<String> = row.iter().map(|x| lvmc_runtime::data::show_number(*x)).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    Ok(text)
}

/// The columns of a CSV text.
fn as_json(text: &str) -> String {
    let mut lines = text.lines().map(|l| l.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap_or_default();
    let mut columns: Vec<Vec<Value>> = vec![vec![]; header.len()];
    for line in lines {
        for (column, cell) in columns.iter_mut().zip(line) {
            column.push(cell.parse::<f64>().map_or_else(|_| json!(cell), |x| json!(x)));
        }
    }
    let rows = columns.first().map_or(0, Vec::len);
    let object: Map<String, Value> = header
        .iter()
        .map(|h| (*h).to_owned())
        .zip(columns.into_iter().map(Value::Array))
        .collect();
    format!("{:#}\n", json!({ "rows": rows, "columns": object }))
}
