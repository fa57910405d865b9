//! The command line: commands, options and their help.

use clap::{Args, Parser, Subcommand, ValueEnum};
use lvmc_model::graph::FitValue;
use lvmc_report::pictures::Shape;
use std::path::PathBuf;

/// A compiler for latent variable models.
#[derive(Debug, Parser)]
#[command(
    name = "lvmc",
    version,
    about = "A compiler for latent variable models: write the story of the data; lvmc derives the inference \
             algorithm, shows its work, and runs it as native code.",
    after_help = "Examples:
  lvmc check model.lvm                    what was inferred, and how each parameter is found
  lvmc derive model.lvm                   the ELBO, the E-step and the M-step, step by step
  lvmc fit model.lvm data.csv --set K=2   the parameters
  lvmc fit -e 'z ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])' data.csv --set K=3

A MODEL is a file, - for standard input, or the name of a built-in model (lvmc models); -e TEXT stands in its place.

Exit codes: 0 fine, 1 finished but suspect, 2 usage and files, 3 model, 4 data, 5 numerical, 6 a limit, 70 a bug in
lvmc, 130 interrupted.",
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fit a model to data: maximum likelihood, or MAP where parameters have priors
    Fit(Fit),
    /// The posterior of every unobserved variable, row by row, or a forecast (--ahead), as CSV
    Predict(Predict),
    /// The log-likelihood of every row, and the total
    Score(Score),
    /// Fill the missing cells of a data file: posterior means, or draws
    Impute(Impute),
    /// Draw new rows from a fitted model, as CSV
    Sample(Sample),
    /// Print the derivation: joint, E-step, Q, ELBO, and every M-step with its rule
    Derive(Derive),
    /// Say what was inferred and how each variable is found; with --numeric, certify it
    Check(Check),
    /// Print what one stage of the compiler makes
    Emit(Emit),
    /// List the built-in models, or print one
    Models(Models),
    /// Format model files in place
    Fmt(Fmt),
    /// Say which rules were tried for a variable, and why the others declined
    Explain(Explain),
}

/// The model and the sizes given for it.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// The model's text, in place of MODEL
    #[arg(short = 'e', long = "expression", value_name = "TEXT")]
    pub expression: Option<String>,
    /// Set a size or a constant (repeatable)
    #[arg(long = "set", value_name = "NAME=NUMBER", value_parser = parse_set)]
    pub set: Vec<(String, f64)>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Which columns are which variable.
#[derive(Debug, Clone, Args)]
pub struct BindArgs {
    /// Columns of a variable: x=a,b or x=first..last (repeatable)
    #[arg(long = "bind", value_name = "NAME=COLUMNS")]
    pub bind: Vec<String>,
    /// A column that counts its row that many times
    #[arg(long, value_name = "COLUMN")]
    pub weights: Option<String>,
}

/// How the program is run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Threads, 0 for all; the result is the same for any number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Kernels compiled ahead for blocks of rows, or none: the same answer from the model's own code alone
    #[arg(long, value_enum, default_value_t = Kernels::Block)]
    pub kernels: Kernels,
    /// Run the loop IR in the interpreter instead of compiling it
    #[arg(long)]
    pub interpret: bool,
}

/// Which kernels serve the loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kernels {
    /// Block kernels where they fit.
    Block,
    /// The model's own machine code alone.
    None,
}

/// `lvmc fit`.
#[derive(Debug, Args)]
#[command(
    override_usage = "lvmc fit MODEL DATA [OPTIONS]\n       lvmc fit -e TEXT DATA [OPTIONS]",
    after_help = "Examples:
  lvmc fit model.lvm data.csv --set K=2
  lvmc fit model.lvm data.csv --bind x=sepal_length..petal_width --out fit.json
  lvmc fit model.lvm data.csv --select K=1..9              the size with the smallest BIC
  lvmc fit model.lvm data.csv --select K=2,4,8 --holdout 0.2 --by holdout
  lvmc fit model.lvm data.csv --set K=2 --se               estimates with standard errors
  lvmc fit model.lvm data.csv --init start.json --max-iter 20 --tol 0     a comparison: nothing is left open
  lvmc fit -e 'z ~ Categorical(pi); y ~ Poisson(rate[z])' data.csv --set K=3 --bind y=count
  lvmc fit vae.lvm digits.csv --bind x=p0..p63 --epochs 100 --holdout 0.1 --fit patience=10 --out vae.json
  lvmc fit vae.lvm digits.csv --bind x=p0..p63 --fit 'optimizer=adam(lr = 5e-4)' --fit schedule=cosine --fit clip=1
  lvmc fit vae.lvm digits.csv --bind x=p0..p63 --resume vae.json --epochs 200 --out vae.json
  lvmc fit vae.lvm digits.csv --bind x=p0..p63 --plots plots/      training curve, map of codes, pictures"
)]
pub struct Fit {
    /// MODEL and DATA; with -e, DATA alone
    #[arg(value_name = "FILES", num_args = 0..=2)]
    pub files: Vec<String>,
    /// Model options.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Binding options.
    #[command(flatten)]
    pub bind: BindArgs,
    /// Run options.
    #[command(flatten)]
    pub run: RunArgs,
    /// Fit with each of these sizes and keep the best: K=1..9 or K=1,2,4 (repeatable: every combination)
    #[arg(long, value_name = "NAME=SIZES", value_parser = parse_select)]
    pub select: Vec<(String, Vec<usize>)>,
    /// What --select compares: BIC, AIC, ICL (BIC with the entropy of the posterior), or rows held out
    #[arg(long, value_enum, default_value_t = By::Bic, requires = "select")]
    pub by: By,
    /// Keep this share of the rows aside, and report the log-likelihood of both parts
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub holdout: Option<f64>,
    /// Standard errors, from the curvature of the log-likelihood at its maximum
    #[arg(long)]
    pub se: bool,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Start from these parameters: a fit file, or a JSON object of nested arrays; no other start is tried
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// The most iterations of one start
    #[arg(long, value_name = "N")]
    pub max_iter: Option<usize>,
    /// Converged when less than this share of the objective is left to gain; 0 runs all of --max-iter
    #[arg(long, value_name = "X", value_parser = parse_tolerance)]
    pub tol: Option<f64>,
    /// Exactly this many starts (by default until the best was found three times)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub restarts: Option<u64>,
    /// An option of the model's fit block, over it: epochs=50, batch=256, 'optimizer=adam(lr = 1e-4)' (repeatable)
    #[arg(long = "fit", value_name = "NAME=VALUE", value_parser = parse_option)]
    pub options: Vec<(String, FitValue)>,
    /// Passes over the rows, of a fit by gradients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub epochs: Option<u64>,
    /// Go on from where the fit in this file ended (with more --epochs, or after an interruption), bit for bit
    #[arg(long, value_name = "FIT")]
    pub resume: Option<PathBuf>,
    /// Keep the fit in this file, for predict, score and sample
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write plots into this folder: the objective over the search, the map of two-dimensional codes, and samples and
    /// reconstructions where the data are pictures
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    /// The data are pictures of that height and width (of channels, height and width), such as 8x8, where the model says
    /// vector
    #[arg(long, value_name = "HxW", requires = "plots", value_parser = parse_shape)]
    pub shape: Option<Shape>,
    /// No progress
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// What sizes are selected by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The Bayesian information criterion.
    Bic,
    /// Akaike's criterion.
    Aic,
    /// BIC with the entropy of the posterior of the finite latents.
    Icl,
    /// The log-likelihood of the rows held out.
    Holdout,
}

/// What `lvmc predict` and `lvmc score` share.
#[derive(Debug, Args)]
pub struct Apply {
    /// A file that `lvmc fit --out` wrote
    #[arg(value_name = "FIT")]
    pub fit: String,
    /// Data with the columns of the fit (- for standard input)
    #[arg(value_name = "DATA")]
    pub data: String,
    /// Columns of a variable, where they have other names than in the fit: x=a,b (repeatable)
    #[arg(long = "bind", value_name = "NAME=COLUMNS")]
    pub bind: Vec<String>,
    /// Run options.
    #[command(flatten)]
    pub run: RunArgs,
    /// Write there instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print one JSON object instead of CSV
    #[arg(long)]
    pub json: bool,
    /// No remarks
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// `lvmc score`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lvmc fit model.lvm data.csv --out fit.json
  lvmc score fit.json new.csv
  lvmc score fit.json new.csv --json")]
pub struct Score {
    /// What to use.
    #[command(flatten)]
    pub apply: Apply,
    /// Draws of q for each row, where a guide's bound is drawn (importance-weighted)
    #[arg(long, value_name = "N", value_parser = parse_count, default_value = "100")]
    pub draws: usize,
    /// Seed of those draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// `lvmc predict`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lvmc fit model.lvm data.csv --out fit.json
  lvmc predict fit.json new.csv --out posterior.csv
  lvmc predict vae.json digits.csv --png pairs.png                  the data, their reconstructions below them
  lvmc predict vae.json codes.csv --bind z=z_1,z_2                  decodes codes
  lvmc predict fit.json data.csv --ahead 12                         the twelve rows after the end of every sequence
  lvmc predict fit.json data.csv --ahead 12 --given future.csv      with the covariates of those rows")]
pub struct Predict {
    /// What to use.
    #[command(flatten)]
    pub apply: Apply,
    /// Write the posterior of every group's effects there, as CSV
    #[arg(long, value_name = "FILE")]
    pub groups: Option<PathBuf>,
    /// Forecast that many rows after the end of every sequence of a chain, instead of the rows of DATA: means and standard
    /// deviations of the data, probabilities of states and categories
    #[arg(long, value_name = "N", value_parser = parse_count, conflicts_with = "groups")]
    pub ahead: Option<usize>,
    /// The covariates of the rows to come, with the columns that name and order sequences
    #[arg(long, value_name = "FUTURE", requires = "ahead")]
    pub given: Option<String>,
    /// Write rows of pictures there, as one PNG: data above their reconstructions
    #[arg(long, value_name = "FILE", conflicts_with = "ahead")]
    pub png: Option<PathBuf>,
    /// Rows are pictures of that height and width (of channels, height and width), such as 8x8, where the model says vector
    #[arg(long, value_name = "HxW", requires = "png", value_parser = parse_shape)]
    pub shape: Option<Shape>,
    /// Futures of every sequence that are drawn where a forecast has no closed form (rows that read the data before them)
    #[arg(long, value_name = "N", value_parser = parse_count, default_value = "10000")]
    pub draws: usize,
    /// Seed of those draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// `lvmc impute`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lvmc impute fit.json data.csv --out full.csv
  lvmc impute fit.json data.csv --sd            a column NAME_sd beside every column that was filled
  lvmc impute fit.json data.csv --draws 20      twenty completed files, one after the other, in the column draw")]
pub struct Impute {
    /// A file that `lvmc fit --out` wrote
    #[arg(value_name = "FIT")]
    pub fit: String,
    /// Data with the columns of the fit (- for standard input)
    #[arg(value_name = "DATA")]
    pub data: String,
    /// Columns of a variable, where they have other names than in the fit: x=a,b (repeatable)
    #[arg(long = "bind", value_name = "NAME=COLUMNS")]
    pub bind: Vec<String>,
    /// Standard deviations of the cells that are filled, in a column beside each column of numbers
    #[arg(long, conflicts_with = "draws")]
    pub sd: bool,
    /// Completed files drawn from the posterior instead of means: multiple imputation
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub draws: usize,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Run options.
    #[command(flatten)]
    pub run: RunArgs,
    /// Write there instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print one JSON object instead of CSV
    #[arg(long)]
    pub json: bool,
    /// No remarks
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// `lvmc sample`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lvmc sample fit.json -n 1000 --seed 7 --out new.csv
  lvmc sample fit.json -n 5
  lvmc sample vae.json -n 64 --means --png grid.png           means of the data at codes drawn from their prior
  lvmc sample ddpm.json -n 500 --steps 50                     fifty steps without noise instead of all with it
  lvmc sample codes.json -n 64 --through vae.json --png grid.png       a diffusion of codes, decoded")]
pub struct Sample {
    /// A file that `lvmc fit --out` wrote
    #[arg(value_name = "FIT")]
    pub fit: String,
    /// How many rows
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 10)]
    pub rows: usize,
    /// Covariates of the rows, for a model with `given` variables
    #[arg(long, value_name = "DATA")]
    pub given: Option<String>,
    /// Columns of a covariate, where they have other names than in the fit (repeatable)
    #[arg(long = "bind", value_name = "NAME=COLUMNS")]
    pub bind: Vec<String>,
    /// Write the latent variables too
    #[arg(long)]
    pub latents: bool,
    /// Write rows of pictures there, as one PNG
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Rows are pictures of that height and width (of channels, height and width), such as 8x8, where the model says vector
    #[arg(long, value_name = "HxW", requires = "png", value_parser = parse_shape)]
    pub shape: Option<Shape>,
    /// Instead of the data, their means given the latent variables drawn
    #[arg(long, conflicts_with_all = ["through", "steps", "given", "latents"])]
    pub means: bool,
    /// Decode the rows through this fit: they are codes that its `predict` wrote
    #[arg(long, value_name = "FIT")]
    pub through: Option<PathBuf>,
    /// Of a chain back from noise: that many steps without noise, instead of every step with it
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub steps: Option<usize>,
    /// Run options.
    #[command(flatten)]
    pub run: RunArgs,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write there instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print one JSON object instead of CSV
    #[arg(long)]
    pub json: bool,
    /// No remarks
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// `lvmc derive`.
#[derive(Debug, Args)]
#[command(
    override_usage = "lvmc derive MODEL [--format unicode|latex|json]\n       lvmc derive -e TEXT",
    after_help = "Examples:
  lvmc derive model.lvm
  lvmc derive model.lvm --format latex > model.tex
  lvmc derive model.lvm --missing x            where cells of x are missing
  lvmc derive -e 'z ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])'"
)]
pub struct Derive {
    /// MODEL; none with -e
    #[arg(value_name = "MODEL", num_args = 0..=1)]
    pub files: Vec<String>,
    /// Model options.
    #[command(flatten)]
    pub model: ModelArgs,
    /// How to write it
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// As for data in which cells of these variables are missing: names with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub missing: Vec<String>,
}

/// Formats of a derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal.
    Unicode,
    /// A document for `pdflatex`.
    Latex,
    /// Both, as data.
    Json,
}

/// `lvmc check`.
#[derive(Debug, Args)]
#[command(
    override_usage = "lvmc check MODEL [DATA] [OPTIONS]\n       lvmc check -e TEXT [DATA] [OPTIONS]",
    after_help = "Examples:
  lvmc check model.lvm                         names, roles, types, sizes, and the inference plan
  lvmc check model.lvm data.csv --set K=2      the columns too
  lvmc check model.lvm --numeric               certify every rule on simulated data"
)]
pub struct Check {
    /// MODEL and perhaps DATA; with -e, DATA alone
    #[arg(value_name = "FILES", num_args = 0..=2)]
    pub files: Vec<String>,
    /// Model options.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Binding options.
    #[command(flatten)]
    pub bind: BindArgs,
    /// Certify the derivation on simulated data: posterior against enumeration, updates against Q's gradient, the
    /// bound's rise, the interpreter against native code
    #[arg(long)]
    pub numeric: bool,
    /// As for data in which cells of these variables are missing: names with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub missing: Vec<String>,
    /// Seed of the simulated data
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// `lvmc emit`.
#[derive(Debug, Args)]
#[command(
    override_usage = "lvmc emit MODEL [DATA] --stage STAGE [OPTIONS]\n       lvmc emit -e TEXT [DATA] --stage STAGE",
    after_help = "Examples:
  lvmc emit model.lvm --stage plan
  lvmc emit model.lvm --stage loops --set K=3 --set D=2
  lvmc emit model.lvm data.csv --stage asm"
)]
pub struct Emit {
    /// MODEL and perhaps DATA (its sizes); with -e, DATA alone
    #[arg(value_name = "FILES", num_args = 0..=2)]
    pub files: Vec<String>,
    /// Model options.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Binding options.
    #[command(flatten)]
    pub bind: BindArgs,
    /// Kernels compiled ahead for blocks of rows, or none
    #[arg(long, value_enum, default_value_t = Kernels::Block)]
    pub kernels: Kernels,
    /// As for data in which cells of these variables are missing: names with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub missing: Vec<String>,
    /// Which stage
    #[arg(long, value_enum)]
    pub stage: Stage,
}

/// What each stage makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The syntax tree.
    Ast,
    /// The typed graph.
    Graph,
    /// The log joint density.
    Joint,
    /// The expected log joint and the bound.
    Elbo,
    /// The update plan.
    Plan,
    /// The loop program, with the route of each loop.
    Loops,
    /// Cranelift's IR.
    Clif,
    /// Machine code.
    Asm,
}

/// `lvmc models`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lvmc models
  lvmc models NAME > mine.lvm")]
pub struct Models {
    /// Print this one
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `lvmc fmt`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lvmc fmt *.lvm
  lvmc fmt --check models/*.lvm
  lvmc fmt - < model.lvm")]
pub struct Fmt {
    /// Model files (- from standard input to standard output)
    #[arg(value_name = "FILES", required = true)]
    pub files: Vec<String>,
    /// Change nothing; exit 1 where a file is not formatted
    #[arg(long)]
    pub check: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `lvmc explain`.
#[derive(Debug, Args)]
#[command(
    override_usage = "lvmc explain MODEL NAME\n       lvmc explain -e TEXT NAME",
    after_help = "Examples:
  lvmc explain model.lvm sigma2
  lvmc explain -e 'x ~ Gamma(a, b)' a"
)]
pub struct Explain {
    /// MODEL and NAME; with -e, NAME alone
    #[arg(value_name = "MODEL NAME", num_args = 0..=2)]
    pub files: Vec<String>,
    /// Model options.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// `K=2`.
fn parse_set(text: &str) -> Result<(String, f64), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("it takes the form NAME=NUMBER, such as K=2".into());
    };
    let name = name.trim();
    if name.is_empty() {
        return Err("a name is missing before `=`".into());
    }
    match value.trim().parse::<f64>() {
        Ok(x) if x.is_finite() => Ok((name.to_owned(), x)),
        _ => Err(format!("`{}` is not a finite number", value.trim())),
    }
}

/// The most values of one size that are tried.
const MOST_SIZES: usize = 1000;

/// `K=1..9`, `K=1,2,4`, `K=1..4,8`.
fn parse_select(text: &str) -> Result<(String, Vec<usize>), String> {
    const FORM: &str = "it takes the form NAME=FIRST..LAST or NAME=SIZE,SIZE, such as K=1..9";
    let (name, list) = text.split_once('=').ok_or(FORM)?;
    let (name, mut out) = (name.trim(), vec![]);
    if name.is_empty() {
        return Err("a name is missing before `=`".into());
    }
    for part in list.split(',').map(str::trim) {
        let (first, last) = match part.split_once("..") {
            Some((first, last)) => (parse_size(first)?, parse_size(last)?),
            None => (parse_size(part)?, parse_size(part)?),
        };
        if first > last {
            return Err(format!("{part} is empty: the first size is larger than the last"));
        }
        if last - first >= MOST_SIZES || out.len() + (last - first) >= MOST_SIZES {
            return Err(format!(
                "that is more than {MOST_SIZES} sizes: give fewer, such as {name}=1,2,4,8"
            ));
        }
        out.extend(first..=last);
    }
    for (i, k) in out.iter().enumerate() {
        if out[..i].contains(k) {
            return Err(format!("{k} stands there twice"));
        }
    }
    Ok((name.to_owned(), out))
}

/// A whole number from 1, `1e9` among them, so that it is refused for what it is.
fn parse_size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    match text.parse::<f64>() {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(x) if x >= 1.0 && x.fract() == 0.0 && x < 1e15 => Ok(x as usize),
        Ok(x) if x >= 1e15 && x.is_finite() => Err(format!("`{text}` is no size: sizes are whole numbers below 1e15")),
        Ok(_) => Err(format!("`{text}` is no size: sizes are whole numbers from 1")),
        Err(_) => Err(format!(
            "`{text}` is not a whole number; NAME=FIRST..LAST or NAME=SIZE,SIZE, such as K=1..9"
        )),
    }
}

/// A whole number from 1.
fn parse_count(text: &str) -> Result<usize, String> {
    parse_size(text)
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x < 1.0 => Ok(x),
        _ => Err("a share lies between 0 and 1, such as 0.2: some rows are fitted and some held out".into()),
    }
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err("a tolerance is a number, 0 or more".into()),
    }
}

fn parse_shape(text: &str) -> Result<Shape, String> {
    Shape::parse(text)
        .ok_or_else(|| "a picture is height x width, such as 8x8, or channels x height x width: 3x32x32".into())
}

fn parse_option(text: &str) -> Result<(String, FitValue), String> {
    lvmc_model::fit_option(text)
}
