//! What the runtime needs to know of a lowered model besides its program: which buffer holds what.

use crate::ir::{BufId, Program};
use crate::scan::{ForwardBackward, LinearGaussian, MeanField};
use lvmc_term::{Support, SymId};

/// A parameter's place.
#[derive(Debug, Clone)]
pub struct ParamSlot {
    /// Its symbol.
    pub sym: SymId,
    /// As the user wrote it.
    pub name: String,
    /// A `Param` buffer that holds all of it, row-major.
    pub buf: BufId,
    /// Family sizes first, then the type's own.
    pub shape: Vec<usize>,
    /// How many leading axes are family indices.
    pub family: usize,
    /// Values it may take.
    pub support: Support,
    /// Degrees of freedom, for AIC and BIC (a K-simplex has K−1, a D×D covariance D(D+1)/2).
    pub free: usize,
}

/// The columns of a data or given variable: a `Column` buffer of `cols` columns. Where `centre` is an `Input` buffer of
/// `cols` numbers, the stored values are value − centre, with the runtime's choice of centre (the weighted mean of the
/// observed cells), so that moments do not cancel; `None` means stored as they are (codes, counts, binaries).
#[derive(Debug, Clone)]
pub struct ColumnSlot {
    /// Its symbol.
    pub sym: SymId,
    /// As the user wrote it.
    pub name: String,
    /// The buffer.
    pub buf: BufId,
    /// Its number of columns.
    pub cols: usize,
    /// Centres.
    pub centre: Option<BufId>,
    /// An `Input` buffer of `cols` numbers: the variable's variance per column (weighted, maximum likelihood, ≥ tiny),
    /// which relative floors refer to.
    pub scale: Option<BufId>,
    /// For a categorical variable, how many values it has.
    pub categories: Option<usize>,
    /// Cells may be missing.
    pub missing: MissingCells,
    /// It is made by a chain from other columns, or from the rows' order.
    pub made: bool,
}

/// What becomes of missing cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingCells {
    /// There may be none.
    Refused,
    /// They are stored as NaN: the variable is summed over.
    Summed,
    /// They are stored as the centre, or as some valid value where there is none; a mask says where they are.
    Masked,
    /// The column is the mask of that variable: 1 where a cell is observed, else 0. One column where a row has all or none.
    MaskOf(SymId),
}

impl ColumnSlot {
    /// Some of its cells may be missing.
    #[must_use]
    pub fn may_miss(&self) -> bool {
        matches!(self.missing, MissingCells::Summed | MissingCells::Masked)
    }
    /// The variable whose mask it is.
    #[must_use]
    pub fn mask_of(&self) -> Option<SymId> {
        match self.missing {
            MissingCells::MaskOf(x) => Some(x),
            _ => None,
        }
    }
}

/// A constant of the model: an `Input` buffer the runtime fills with its value before `prepare`.
#[derive(Debug, Clone)]
pub struct ConstSlot {
    /// Its symbol.
    pub sym: SymId,
    /// The buffer.
    pub buf: BufId,
}

/// A finite variable's posterior: written by `score`, read by `seed` as starting responsibilities.
#[derive(Debug, Clone)]
pub struct LatentSlot {
    /// Its symbol.
    pub sym: SymId,
    /// As the user wrote it.
    pub name: String,
    /// An `Out` buffer of `size` columns: the marginal posterior probability of each value.
    pub marginal: BufId,
    /// Number of values.
    pub size: usize,
    /// Number of the first value as the user counts (1 for categories, 0 for binaries).
    pub first: i64,
    /// It is a `data` variable with missing cells allowed, rather than a latent: rows where it is observed have
    /// a certain posterior.
    pub observed: bool,
}

/// The mean of a continuous latent: where `seed` reads starting values, instead of the posterior's.
#[derive(Debug, Clone)]
pub struct ScoreSlot {
    /// The latent.
    pub sym: SymId,
    /// As the user wrote it.
    pub name: String,
    /// An `Out` buffer of `cols` columns.
    pub buf: BufId,
    /// Number of columns.
    pub cols: usize,
}

/// A continuous latent's posterior: written by `score`.
#[derive(Debug, Clone)]
pub struct MomentSlot {
    /// The latent.
    pub sym: SymId,
    /// As the user wrote it.
    pub name: String,
    /// An `Out` buffer of `cols` columns: E[z].
    pub mean: BufId,
    /// An `Out` buffer of `cols` columns: E[z²], element by element.
    pub square: BufId,
    /// Number of elements.
    pub cols: usize,
}

/// A variable of a chain's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateVar {
    /// Its place in [`Lowered::latents`]; `None` for an earlier row's.
    pub latent: Option<usize>,
    /// Number of values.
    pub size: usize,
}

/// The chain of finite states: how its scan is run.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainSlot {
    /// The scan.
    pub scan: ForwardBackward,
    /// The state's variables; a state's number counts the last one fastest.
    pub state: Vec<StateVar>,
    /// The part of its potentials that later chains count too: (`Out`, its columns, the scan's buffer of the posteriors
    /// that weight it).
    pub early: Vec<(BufId, usize, BufId)>,
    /// Its potentials read the posteriors of other chains.
    pub shared: bool,
}

/// The posterior of the effects of groups: tables that `prepare` computes.
#[derive(Debug, Clone)]
pub struct GroupSlot {
    /// The latent.
    pub sym: SymId,
    /// As the user wrote it.
    pub name: String,
    /// The given category that picks a member, as the user wrote it; `None` where there is one member.
    pub by: Option<SymId>,
    /// Number of members.
    pub members: usize,
    /// Elements of a member.
    pub cols: usize,
    /// `Table` `[members][cols]`: the posterior means.
    pub mean: BufId,
    /// `Table` `[members][cols]`: the posterior variances.
    pub variance: BufId,
}

/// A latent whose loadings are determined up to rotations.
#[derive(Debug, Clone)]
pub struct RotationSlot {
    /// The latent, as the user wrote it.
    pub latent: String,
    /// Positions of its loadings in [`Lowered::params`]: families of matrices of `size` columns.
    pub loadings: Vec<usize>,
    /// Q.
    pub size: usize,
    /// Members of the loadings' families, each with rotations of its own.
    pub members: usize,
}

impl RotationSlot {
    /// Directions in which the likelihood is flat.
    #[must_use]
    pub fn flat(&self) -> usize {
        self.members * self.size * self.size.saturating_sub(1) / 2
    }
}

/// Finite latents whose labels the model does not tell apart, and what is permuted with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSlot {
    /// Positions in [`Lowered::latents`].
    pub latents: Vec<usize>,
    /// How many labels.
    pub size: usize,
    /// (position in [`Lowered::params`], axis): what runs over the labels.
    pub axes: Vec<(usize, usize)>,
    /// Position in [`Lowered::params`] of the labels' probabilities, where one parameter holds them.
    pub weights: Option<usize>,
}

/// A block of parameters that moves along a direction inside EM (not in closed form). `update` writes the step; the
/// runtime keeps α = 1 and, where the objective fell, halves α, calls `backtrack` and sweeps again.
#[derive(Debug, Clone)]
pub struct AscentSlot {
    /// Names, for messages.
    pub names: Vec<String>,
}

/// A lowered model.
///
/// Functions of the program, in the order of an iteration:
/// - `features` (Block, once, optional): fills `Feature` buffers from columns; also adds data-only terms of the log
///   density to the `constant` statistic. Weighted by `weight` itself.
/// - `prepare` (Once): tables from parameters; writes `log_prior`.
/// - `sweep`, `sweep_w` (Block): posterior and statistics of a block, and Σ lse into `objective`.
/// - `seed`, `seed_w` (Block, where there are finite latents): the same statistics with the responsibilities built from
///   the product of the marginals stored in `latents[..].marginal` instead of the posterior.
/// - `finish` (Chunk): folds raw accumulators.
/// - `update` (Once): new parameters from statistics.
/// - `backtrack` (Once, where `ascent` is not empty): parameters = old + α · step for the ascent blocks.
/// - `score` (Block): writes lse (full log-likelihood of the row, data-only terms included) and the marginals.
///
/// With a chain `potentials`, `potentials_w` (Block) and the scan go before `sweep`, the scan after `score` (which then
/// writes potentials and what the chain does not touch), and `posterior` (Block) writes the marginals after that. Of
/// several chains each has its own: `potentials` and `score` are the first one's (and what no chain touches), those of
/// chain m are `potentials.m`, `score.m`; they read the posteriors of the other chains that they share factors with.
///
/// Where q is a product (`mean_field`): `offsets` (Block, once per parameters), then in turns the scan of the Gaussian part,
/// `potentials` and the scan of the finite part, and `weights` (Block), which the next scan of the Gaussian part reads;
/// `weights_seed` writes the same from the marginals as `seed` reads them.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// The program.
    pub program: Program,
    /// Parameters.
    pub params: Vec<ParamSlot>,
    /// Data.
    pub columns: Vec<ColumnSlot>,
    /// Constants.
    pub consts: Vec<ConstSlot>,
    /// The weight column (1 for every row of an unweighted fit, 0 for padding).
    pub weight: BufId,
    /// Finite variables.
    pub latents: Vec<LatentSlot>,
    /// The chains that join rows: one, or the parts of a q that is a product, in the order in which they are updated.
    pub chains: Vec<ChainSlot>,
    /// The chain of Gaussian states.
    pub gaussian_chain: Option<LinearGaussian>,
    /// The Gaussian part of a q that is a product.
    pub mean_field: Option<MeanField>,
    /// The factorisation of q, where the objective is a bound: `q(z) q(s)`.
    pub bound: Option<String>,
    /// Continuous latents whose means `seed` reads.
    pub starts: Vec<ScoreSlot>,
    /// Tables of how far the continuous latents spread around their means, which starting values make small.
    pub spreads: Vec<BufId>,
    /// Posteriors of the continuous latents.
    pub moments: Vec<MomentSlot>,
    /// Moments of variables with missing cells, as if none of the row's were observed: written by `score`.
    pub imputed: Vec<MomentSlot>,
    /// Latents that may be rotated with their loadings.
    pub rotations: Vec<RotationSlot>,
    /// Latents whose labels may be permuted.
    pub labels: Vec<LabelSlot>,
    /// `Out`, one column: log-likelihood of a row, written by `score`.
    pub row_score: BufId,
    /// `Stat` [1]: Σ lse without data-only terms.
    pub objective: BufId,
    /// `Stat` [1]: Σ of the data-only terms, from `features`.
    pub constant: BufId,
    /// `Table` [1]: log prior density of the parameters, from `prepare`.
    pub log_prior: BufId,
    /// `Table` [1]: log density of the data set as a whole, from `prepare`: the effects' part of the log-likelihood.
    pub log_shared: BufId,
    /// Effects of groups.
    pub groups: Vec<GroupSlot>,
    /// `Input` [2]: the relative variance floor and the sum of the weights N.
    pub settings: BufId,
    /// `Table` [1]: how many floors were active in the last `update`.
    pub floors: BufId,
    /// `Table` [1]: how many pivots or directions failed in the last `prepare`/`update`.
    pub failures: BufId,
    /// Blocks that move by ascent.
    pub ascent: Vec<AscentSlot>,
    /// `Input` [1]: α, present where `ascent` is not empty.
    pub alpha: Option<BufId>,
    /// One call of `update` does not reach the maximum of Q given the statistics (blocks depend on each other).
    pub iterated: bool,
    /// The objective includes a prior (MAP).
    pub penalised: bool,
}

impl Lowered {
    /// Rows know the ones before.
    #[must_use]
    pub fn chained(&self) -> bool {
        !self.chains.is_empty() || self.gaussian_chain.is_some() || self.mean_field.is_some()
    }
}
