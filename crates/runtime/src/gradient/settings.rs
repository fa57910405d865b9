//! What may be chosen of a fit by gradients: the `fit { }` block, and the command line over it.

use lvmc_base::{Span, closest};
use lvmc_dense::ir::Precision;
use lvmc_model::graph::FitValue;
use miette::Diagnostic;
use thiserror::Error;

/// An option that is none, or a value that it does not take.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum SettingError {
    /// A word that the option does not know.
    #[error("`{option}` has no choice `{found}`")]
    #[diagnostic(code(lvm::fit::choice), help("{help}"))]
    Choice {
        /// The option.
        option: String,
        /// What was written.
        found: String,
        /// The choices.
        help: String,
        /// Where, if it stands in the model.
        #[label("not a choice")]
        span: Option<Span>,
    },
    /// An argument that the choice does not take, or a value outside its range.
    #[error("`{option}`: {reason}")]
    #[diagnostic(code(lvm::fit::argument), help("{help}"))]
    Argument {
        /// The option.
        option: String,
        /// What is wrong.
        reason: String,
        /// What would do.
        help: String,
        /// Where, if it stands in the model.
        #[label("here")]
        span: Option<Span>,
    },
}

/// How parameters move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimiser {
    /// Adam (Kingma and Ba 2015); with `decay` its weights shrink apart from the gradient (AdamW, Loshchilov and Hutter
    /// 2019).
    Adam {
        /// Decay of the mean of gradients.
        beta1: f64,
        /// Decay of the mean of squares.
        beta2: f64,
        /// Added to the root of the mean of squares.
        eps: f64,
        /// Decoupled weight decay, per unit of learning rate.
        decay: f64,
    },
    /// Gradient steps with momentum.
    Sgd {
        /// Share of the last step that is kept.
        momentum: f64,
        /// Weight decay.
        decay: f64,
    },
    /// Limited-memory BFGS on all rows at once, with the noise held fixed.
    Lbfgs {
        /// Pairs kept.
        memory: usize,
    },
}

/// How the learning rate changes over the steps of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Schedule {
    /// Not at all.
    #[default]
    Constant,
    /// Down to 0 along half a cosine.
    Cosine,
    /// Down to 0 in a straight line.
    Linear,
    /// Times `factor` after every `epochs`.
    Step {
        /// Epochs between drops.
        epochs: f64,
        /// What remains.
        factor: f64,
    },
    /// Times `factor` an epoch.
    Exponential {
        /// What remains after an epoch.
        factor: f64,
    },
}

impl Schedule {
    /// The rate's factor at a step of `total`, `per_epoch` of which are an epoch.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn factor(self, step: u64, total: u64, per_epoch: u64) -> f64 {
        let done = step as f64 / total.max(1) as f64;
        let epoch = step as f64 / per_epoch.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Self::Linear => 1.0 - done,
            Self::Step { epochs, factor } => factor.powf((epoch / epochs).floor()),
            Self::Exponential { factor } => factor.powf(epoch),
        }
    }
}

/// What is maximised.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Aim {
    /// The bound (or the log-likelihood, where nothing is latent).
    #[default]
    Elbo,
    /// The bound of several weighted draws (Burda and others 2016).
    Importance {
        /// Draws.
        draws: usize,
    },
    /// The bound with its divergence weighted by β, reached in a straight line over the first epochs.
    Beta {
        /// β.
        beta: f64,
        /// Epochs of the rise.
        warmup: f64,
    },
    /// The unweighted squared error of what a net of a noising chain predicts.
    Simple,
}

/// Everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How parameters move.
    pub optimiser: Optimiser,
    /// The learning rate.
    pub rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Steps over which the rate rises from 0.
    pub warmup: u64,
    /// Rows of a step.
    pub batch: usize,
    /// Passes over the rows.
    pub epochs: usize,
    /// Draws of q a row and step.
    pub draws: usize,
    /// What is maximised.
    pub aim: Aim,
    /// Numbers of the fit; f32 where there are nets and nothing is asked.
    pub precision: Precision,
    /// Gradients longer than this are shortened to it.
    pub clip: Option<f64>,
    /// Stop after so many epochs without a better held-out score.
    pub patience: Option<usize>,
    /// Share of the rows held out for that.
    pub holdout: Option<f64>,
    /// Everything random depends on it.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
}

/// What the command line says over the model's block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Options with values as written in a `fit` block: `optimizer`, `adam(lr = 1e-3)`.
    pub options: Vec<(String, FitValue)>,
    /// Threads; 0 for the default.
    pub threads: usize,
    /// Everything random depends on it.
    pub seed: Option<u64>,
}

const OPTIMISERS: [&str; 4] = ["adam", "adamw", "sgd", "lbfgs"];
const SCHEDULES: [&str; 5] = ["constant", "cosine", "linear", "step", "exponential"];
const AIMS: [&str; 4] = ["elbo", "importance", "beta", "simple"];

impl Settings {
    /// Exact updates go with steps on the bound itself. L-BFGS walks along one function of all parameters, and a bound whose
    /// divergence is weighted, or of several weighted draws, is another function of those that have closed forms.
    #[must_use]
    pub fn takes_exact(&self) -> bool {
        self.aim == Aim::Elbo && !matches!(self.optimiser, Optimiser::Lbfgs { .. })
    }

    /// From the model's block and the command line.
    ///
    /// # Errors
    /// Choices and values that do not exist.
    pub fn read(fit: &[(String, FitValue, Span)], over: &Overrides) -> Result<Self, SettingError> {
        let mut s = Self {
            optimiser: Optimiser::Adam {
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                decay: 0.0,
            },
            rate: 1e-3,
            schedule: Schedule::Constant,
            warmup: 0,
            batch: 128,
            epochs: 100,
            draws: 1,
            aim: Aim::Elbo,
            precision: Precision::F32,
            clip: None,
            patience: None,
            holdout: None,
            seed: 1,
            threads: over.threads,
        };
        let own = fit.iter().map(|(n, v, at)| (n, v, Some(*at)));
        let typed = over.options.iter().map(|(n, v)| (n, v, None));
        for (name, value, span) in own.chain(typed) {
            s.set(name, value, span)?;
        }
        s.seed = over.seed.unwrap_or(s.seed);
        Ok(s)
    }

    fn set(&mut self, name: &str, value: &FitValue, span: Option<Span>) -> Result<(), SettingError> {
        let o = Option_ { name, value, span };
        match name {
            "optimizer" => self.set_optimiser(&o)?,
            "schedule" => self.schedule = o.schedule()?,
            "objective" => self.aim = o.aim()?,
            "precision" => {
                self.precision = match o.choice(&["f32", "f64"])? {
                    "f64" => Precision::F64,
                    _ => Precision::F32,
                }
            }
            "lr" => self.rate = o.positive()?,
            "batch" => self.batch = o.count()?,
            "epochs" => self.epochs = o.count()?,
            "samples" => self.draws = o.count()?,
            "warmup" => self.warmup = o.count()? as u64,
            "patience" => self.patience = Some(o.count()?),
            "threads" => self.threads = o.count()?,
            "clip" => self.clip = Some(o.positive()?),
            "holdout" => {
                let share = o.positive()?;
                if share >= 1.0 {
                    return Err(o.wrong("the share of rows held out is below 1", "0.1"));
                }
                self.holdout = Some(share);
            }
            "seed" => self.seed = o.number()?.max(0.0) as u64,
            // of fits by EM
            _ => {}
        }
        Ok(())
    }

    fn set_optimiser(&mut self, o: &Option_<'_>) -> Result<(), SettingError> {
        let name = o.choice(&OPTIMISERS)?;
        let (rate, takes): (f64, &[&str]) = match name {
            "sgd" => (1e-2, &["lr", "momentum", "decay"]),
            "lbfgs" => (1.0, &["memory", "lr"]),
            _ => (1e-3, &["lr", "beta1", "beta2", "eps", "decay"]),
        };
        let get = |key: &str, default: f64| o.argument(key, default, takes);
        self.rate = get("lr", rate)?;
        if self.rate <= 0.0 {
            return Err(o.wrong("the learning rate is positive", &format!("{name}(lr = {rate})")));
        }
        self.optimiser = match name {
            "sgd" => Optimiser::Sgd {
                momentum: get("momentum", 0.0)?,
                decay: get("decay", 0.0)?,
            },
            "lbfgs" => Optimiser::Lbfgs {
                memory: get("memory", 10.0)?.clamp(1.0, 1000.0) as usize,
            },
            _ => Optimiser::Adam {
                beta1: get("beta1", 0.9)?,
                beta2: get("beta2", 0.999)?,
                eps: get("eps", 1e-8)?,
                decay: get("decay", if name == "adamw" { 1e-2 } else { 0.0 })?,
            },
        };
        if let Optimiser::Adam { beta1, beta2, .. } = self.optimiser
            && !((0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2))
        {
            return Err(o.wrong("the decays of Adam lie in [0, 1)", "adam(beta1 = 0.9, beta2 = 0.999)"));
        }
        Ok(())
    }
}

/// One option as written.
struct Option_<'a> {
    name: &'a str,
    value: &'a FitValue,
    span: Option<Span>,
}

impl Option_<'_> {
    fn word(&self) -> Option<&str> {
        match self.value {
            FitValue::Word(w) | FitValue::Call(w, _) => Some(w),
            FitValue::Number(_) => None,
        }
    }

    fn wrong(&self, reason: &str, example: &str) -> SettingError {
        SettingError::Argument {
            option: self.name.into(),
            reason: reason.into(),
            help: format!("such as: {} = {example}", self.name),
            span: self.span,
        }
    }

    fn choice<'c>(&self, choices: &[&'c str]) -> Result<&'c str, SettingError> {
        let word = self.word().unwrap_or("");
        if let Some(found) = choices.iter().find(|c| **c == word) {
            return Ok(found);
        }
        let help = match closest(word, choices.iter().copied()) {
            Some(c) => format!("did you mean `{c}`?"),
            None => format!("the choices are {}", choices.join(", ")),
        };
        Err(SettingError::Choice {
            option: self.name.into(),
            found: match self.value {
                FitValue::Number(x) => x.to_string(),
                _ => word.into(),
            },
            help,
            span: self.span,
        })
    }

    fn number(&self) -> Result<f64, SettingError> {
        match self.value {
            FitValue::Number(x) => Ok(*x),
            _ => Err(self.wrong("it takes a number", "100")),
        }
    }

    fn count(&self) -> Result<usize, SettingError> {
        let x = self.number()?;
        if x >= 1.0 && x.fract() == 0.0 && x < 1e15 {
            Ok(x as usize)
        } else {
            Err(self.wrong("it takes a whole number from 1", "100"))
        }
    }

    fn positive(&self) -> Result<f64, SettingError> {
        let x = self.number()?;
        if x > 0.0 && x.is_finite() {
            Ok(x)
        } else {
            Err(self.wrong("it takes a positive number", "1e-3"))
        }
    }

    /// A named argument of a call, or the default. Names that it does not take are errors.
    fn argument(&self, key: &str, default: f64, takes: &[&str]) -> Result<f64, SettingError> {
        let FitValue::Call(word, args) = self.value else {
            return Ok(default);
        };
        let mut found = default;
        for (i, (name, value)) in args.iter().enumerate() {
            // a first argument without a name is the first that the choice takes
            let name = name.as_deref().or_else(|| takes.get(i).copied()).unwrap_or("");
            if !takes.contains(&name) {
                let help = closest(name, takes.iter().copied())
                    .map_or(format!("{word} takes {}", takes.join(", ")), |c| {
                        format!("did you mean `{c}`?")
                    });
                return Err(SettingError::Argument {
                    option: self.name.into(),
                    reason: format!("{word} takes no `{name}`"),
                    help,
                    span: self.span,
                });
            }
            if name == key {
                let FitValue::Number(x) = value else {
                    return Err(self.wrong(&format!("`{key}` is a number"), &format!("{word}({key} = {default})")));
                };
                found = *x;
            }
        }
        Ok(found)
    }

    fn schedule(&self) -> Result<Schedule, SettingError> {
        Ok(match self.choice(&SCHEDULES)? {
            "cosine" => Schedule::Cosine,
            "linear" => Schedule::Linear,
            "step" => Schedule::Step {
                epochs: self.argument("epochs", 10.0, &["epochs", "factor"])?.max(1e-9),
                factor: self.argument("factor", 0.5, &["epochs", "factor"])?,
            },
            "exponential" => Schedule::Exponential {
                factor: self.argument("factor", 0.95, &["factor"])?,
            },
            _ => Schedule::Constant,
        })
    }

    fn aim(&self) -> Result<Aim, SettingError> {
        Ok(match self.choice(&AIMS)? {
            "importance" => Aim::Importance {
                draws: self.argument("draws", 10.0, &["draws"])?.clamp(1.0, 1e6) as usize,
            },
            "beta" => Aim::Beta {
                beta: self.argument("beta", 1.0, &["beta", "warmup"])?,
                warmup: self.argument("warmup", 0.0, &["beta", "warmup"])?,
            },
            "simple" => Aim::Simple,
            _ => Aim::Elbo,
        })
    }
}
