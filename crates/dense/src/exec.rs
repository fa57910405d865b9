//! What runs a program: the interface that the interpreter and native code share.

use crate::ir::{ArrayId, Precision, Program};
use lvmc_base::Bug;
use lvmc_kernels::array::update::{Rule, Update};

/// Numbers of a table in memory.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// 32 bits.
    F32(&'a [f32]),
    /// 64 bits.
    F64(&'a [f64]),
}

impl Numbers<'_> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F64(x) => x.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Columns of a row-major table: row r begins at `r · width + offset`.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// The table.
    pub numbers: Numbers<'a>,
    /// Numbers from one row to the next.
    pub width: usize,
    /// The first column.
    pub offset: usize,
}

impl<'a> Columns<'a> {
    /// A whole table of f64.
    #[must_use]
    pub fn f64(numbers: &'a [f64], width: usize) -> Self {
        Self {
            numbers: Numbers::F64(numbers),
            width,
            offset: 0,
        }
    }

    /// A whole table of f32.
    #[must_use]
    pub fn f32(numbers: &'a [f32], width: usize) -> Self {
        Self {
            numbers: Numbers::F32(numbers),
            width,
            offset: 0,
        }
    }
}

/// How an optimiser turns a gradient g into a change of a parameter; g is first multiplied by [`OptimiserStep::scale`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², θ ← θ − η m̂ / (√v̂ + ε), with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).
    /// Adam's weight decay adds λ θ to g; with `decoupled` (AdamW) θ is multiplied by 1 − η λ first.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second.
        beta2: f64,
        /// Keeps the division finite.
        epsilon: f64,
        /// Weight decay acts on the parameter alone.
        decoupled: bool,
    },
    /// m ← μ m + g (g at the first step), θ ← θ − η m, or θ − η (g + μ m) with `nesterov`. Weight decay adds λ θ to g.
    Sgd {
        /// μ; 0 for plain gradient descent.
        momentum: f64,
        /// Looks ahead.
        nesterov: bool,
    },
}

/// A parameter and where its gradient stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trained {
    /// An array of role `Param`.
    pub param: ArrayId,
    /// An array held once, of the same length.
    pub gradient: ArrayId,
    /// Its weight decay λ.
    pub decay: f64,
}

/// One update of parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimiserStep<'a> {
    /// The rule.
    pub method: Method,
    /// The learning rate η.
    pub rate: f64,
    /// What gradients are multiplied by: 1/N, −1 to climb, the factor of clipping.
    pub scale: f64,
    /// Updates so far, this one included: t, from 1.
    pub step: u64,
    /// What to update.
    pub trained: &'a [Trained],
}

/// The optimiser's memory of one parameter: its first and second moments (SGD uses the first).
pub type Moments = [Vec<f64>; 2];

/// Runs one program, whose arrays it owns.
///
/// Array ids are the program's. Methods panic where an id, a length or a role is not what they ask for: callers made the
/// program. Nothing is allocated by `set`, `set_rows_from`, `read`, `run`, `train`, `gradient_norm` and
/// `optimise`.
pub trait Executor: Send {
    /// The program.
    fn program(&self) -> &Program;

    /// Rows for which there is room.
    fn capacity(&self) -> usize;

    /// What numbers are stored in.
    fn precision(&self) -> Precision;

    /// Sets an array that no step writes (also noise, where `run_given` is to use it): all of it if held once, else the
    /// first rows.
    fn set(&mut self, array: ArrayId, values: &[f64]);

    /// Sets an array of the batch to rows of a table: row i of the batch is row `rows[i]`, the array's `len` numbers from
    /// the table's `offset` on.
    fn set_rows_from(&mut self, array: ArrayId, source: &Columns<'_>, rows: &[u32]);

    /// An array into `out`: all of it if held once, else as many rows as `out` holds.
    fn read(&self, array: ArrayId, out: &mut [f64]);

    /// An array: all of it if held once, else the rows of the last run.
    fn get(&self, array: ArrayId) -> Vec<f64>;

    /// Copies an array to another of the same length and extent, which no step writes: a chain's next state. Of rows, those
    /// of the last run.
    fn copy(&mut self, from: ArrayId, to: ArrayId);

    /// The ids of the batch's rows, by which their noise is keyed; empty for their positions.
    fn set_row_ids(&mut self, ids: &[u32]);

    /// Draws the noise of `draw` and runs all steps for the first `rows` rows.
    fn run(&mut self, rows: usize, draw: u64);

    /// Runs all steps with noise arrays as they are: drawn by the last run, or set.
    fn run_given(&mut self, rows: usize);

    /// ‖g‖ over the gradients of some parameters, in f64 and in a fixed order.
    fn gradient_norm(&mut self, trained: &[Trained]) -> f64;

    /// Updates parameters by the gradients of the last run.
    fn optimise(&mut self, step: &OptimiserStep<'_>);

    /// [`Executor::run`], then [`Executor::optimise`]: the same bits. Gradients may be used as soon as they are known.
    fn train(&mut self, rows: usize, draw: u64, step: &OptimiserStep<'_>) {
        self.run(rows, draw);
        self.optimise(step);
    }

    /// The optimiser's memory, of every `Param` array in the order of the table; exact.
    fn state(&self) -> Vec<Moments>;

    /// Restores what [`Executor::state`] gave.
    fn set_state(&mut self, state: &[Moments]);
}

/// Makes an executor of a verified program: seed of its noise and room for `capacity` rows.
///
/// # Errors
/// A [`Bug`] where the program violates an invariant.
pub trait Build: Executor + Sized {
    /// See [`Build`].
    #[allow(missing_docs, clippy::missing_errors_doc)]
    fn build(program: Program, capacity: usize, precision: Precision, seed: u64) -> Result<Self, Bug>;
}

impl OptimiserStep<'_> {
    /// The rule and its factors for parameters of weight decay `decay`.
    #[must_use]
    pub fn update(&self, decay: f64) -> Update {
        let t = self.step.max(1) as f64;
        match self.method {
            Method::Adam {
                beta1,
                beta2,
                epsilon,
                decoupled,
            } => Update {
                rule: Rule::Adam {
                    beta1,
                    beta2,
                    unbias: 1.0 / (1.0 - beta2.powf(t)),
                    epsilon,
                },
                scale: self.scale,
                coupled: if decoupled { 0.0 } else { decay },
                shrink: if decoupled { 1.0 - self.rate * decay } else { 1.0 },
                rate: self.rate / (1.0 - beta1.powf(t)),
            },
            Method::Sgd { momentum, nesterov } => Update {
                rule: Rule::Momentum {
                    keep: if self.step <= 1 { 0.0 } else { momentum },
                    ahead: nesterov.then_some(momentum),
                },
                scale: self.scale,
                coupled: decay,
                shrink: 1.0,
                rate: self.rate,
            },
        }
    }
}
