//! The typed graph of a model: every name resolved, every role, plate, shape and support decided.
//!
//! Invariants (held by `verify`):
//! - every symbol a term mentions is a variable of `vars` or an index bound around it;
//! - deterministic names do not occur in terms: their definitions are substituted;
//! - shapes fit (sizes are equal symbols or equal numbers), scalars are broadcast with `Fill` where a density needs it;
//! - indices are 0-based, offset by the family's first position already; a category's symbol is its 0-based code;
//! - a variable of a chain has the chain's positions as its first axis (`z[t-1]` is `At(z, [t − 1])`), whatever order
//!   its indices were written in; `Ix` counts from 0, so `t` as a value is `Ix + first`.

use lvmc_base::{Source, Span, id};
use lvmc_families::Family;
use lvmc_syntax::ast;
use lvmc_term::{DimId, IxId, Size, Store, Support, SymId, Term};

id!(
    /// A variable.
    VarId
);
id!(
    /// A plate: where a variable has its values.
    PlateId
);

/// What is known about a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A point estimate.
    Param,
    /// A constant.
    Const,
    /// Gets a posterior.
    Latent,
    /// Observed, has a distribution.
    Data,
    /// A covariate.
    Given,
    /// An auxiliary random variable of a guide.
    Noise,
    /// Deterministic, named for the reader (substituted in terms).
    Deterministic,
}

/// A plate.
#[derive(Debug, Clone, PartialEq)]
pub enum Plate {
    /// One value for the whole data set.
    Global,
    /// One value per row; `parent` is the group it lies in, if any.
    Row {
        /// The surrounding group.
        parent: Option<PlateId>,
    },
    /// One value per group of the column.
    Group {
        /// Grouping column.
        column: String,
        /// The surrounding group.
        parent: Option<PlateId>,
        /// Place of the `for each`.
        span: Span,
    },
    /// One value per position of a chain. With `range` the chain runs over an index of the model's own inside the
    /// parent plate; without it over the rows, in the order of `by` or as they stand.
    Chain {
        /// The chain's index.
        index: IxId,
        /// First and last position as written (`T..1` starts at T), as terms.
        range: Option<(Term, Term)>,
        /// The ordering column.
        by: Option<String>,
        /// What the chain lies in.
        parent: Option<PlateId>,
        /// Place of the `chain`.
        span: Span,
    },
}

/// A size of the model.
#[derive(Debug, Clone)]
pub struct DimInfo {
    /// Its symbol in the store.
    pub id: DimId,
    /// Its default or `--set` value as written: a constant term, if any (`dim K = 3`).
    pub default: Option<usize>,
    /// The value must come from there where nothing sets it.
    pub source: DimSource,
    /// Place of its declaration or first use.
    pub span: Span,
    /// Why it exists, for `check`'s table (`columns of x`, `line 4`).
    pub because: String,
}

/// Where an unset size comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum DimSource {
    /// The number of columns bound to that variable (its axis `axis`).
    Columns {
        /// The variable.
        var: VarId,
    },
    /// The number of distinct values in the columns of that categorical variable.
    Categories {
        /// The variable.
        var: VarId,
    },
    /// The number of rows along that chain (of each sequence, where groups hold the chain).
    Rows {
        /// The chain.
        plate: PlateId,
    },
    /// The user must say: `--set K=…`.
    Asked,
}

/// A variable.
#[derive(Debug, Clone)]
pub struct Var {
    /// Its symbol.
    pub sym: SymId,
    /// As written.
    pub name: String,
    /// Decided role.
    pub role: Role,
    /// Family indices, first position each (sizes are the leading axes of the symbol's shape).
    pub family_first: Vec<i64>,
    /// The plate.
    pub plate: PlateId,
    /// Where it was declared or first stands on a left side.
    pub span: Span,
    /// For `check`: why it has this role and type (`line 6`, `Categorical(pi); x depends on it`).
    pub because: String,
    /// `data x : unit[D] = pixels / 255`: what is computed from columns. Columns are symbols of role `Given` named
    /// here.
    pub observed_as: Option<Term>,
    /// Of a chain's variable whose role is `Latent`: the 0-based position that is data (`data x[0] : real[D]`).
    pub observed_at: Option<Term>,
    /// Of a constant: the indices its value (in `ModelGraph::consts`) ranges over, one per family axis.
    pub ranges: Vec<IxId>,
}

/// A distribution on a right side, arguments as terms.
#[derive(Debug, Clone)]
pub enum Dist {
    /// A family applied to arguments, in the order of `signature`.
    Family {
        /// The family.
        family: &'static dyn Family,
        /// Which of its signatures.
        signature: usize,
        /// Arguments, broadcast to the event.
        args: Vec<Term>,
        /// Place of the call.
        span: Span,
    },
    /// `if c then a else b`; `match` becomes nested conditions. The condition is a scalar term of value 1 or 0.
    If {
        /// The condition.
        condition: Term,
        /// Where it is 1.
        then: Box<Dist>,
        /// Where it is 0.
        otherwise: Box<Dist>,
    },
}

impl Dist {
    /// An argument or a condition mentions the symbol.
    #[must_use]
    pub fn mentions(&self, store: &Store, sym: SymId) -> bool {
        match self {
            Self::Family { args, .. } => args.iter().any(|&a| store.depends_on_sym(a, sym)),
            Self::If {
                condition,
                then,
                otherwise,
            } => store.depends_on_sym(*condition, sym) || then.mentions(store, sym) || otherwise.mentions(store, sym),
        }
    }
}

/// One `~` statement: a factor of the joint density.
#[derive(Debug, Clone)]
pub struct Factor {
    /// The variable it gives a distribution.
    pub var: VarId,
    /// The value: the symbol, or `At(symbol, indices)` for a family.
    pub value: Term,
    /// Indices that the statement ranges over (`mu[k in 1..K] ~ …`), besides its plate.
    pub ranges: Vec<IxId>,
    /// In which rows of a chain the statement holds.
    pub when: When,
    /// Inside a chain over an index: the statement holds at positions where every reference exists; `Some(term)` fixes one position
    /// (`z[1] ~ …`), 0-based.
    pub position: Option<Term>,
    /// Of a family's general statement: it holds only where this is 1, other positions having statements of their own.
    pub condition: Option<Term>,
    /// The distribution.
    pub dist: Dist,
    /// Elements are independent events of a scalar family (wrap the elementwise density in `Total`).
    pub elementwise: bool,
    /// The plate.
    pub plate: PlateId,
    /// Place of the statement.
    pub span: Span,
}

/// In which rows of a chain over the rows a statement holds; positions count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum When {
    /// In all.
    #[default]
    Always,
    /// At that position of every sequence.
    At(usize),
    /// From that position on.
    From(usize),
}

impl When {
    /// True at a position.
    #[must_use]
    pub fn holds(self, position: usize) -> bool {
        match self {
            Self::Always => true,
            Self::At(p) => position == p,
            Self::From(p) => position >= p,
        }
    }

    /// As people write it, positions from 1: `[t=1]`, `[t>1]`.
    #[must_use]
    pub fn text(self, index: &str) -> String {
        match self {
            Self::Always => String::new(),
            Self::At(p) => format!("[{index}={}]", p + 1),
            Self::From(p) => format!("[{index}>{p}]"),
        }
    }
}

/// A variable of a row that is another's value some rows before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The other.
    pub of: VarId,
    /// How many rows before.
    pub by: usize,
    /// The variable.
    pub var: VarId,
}

/// A given category of groups inside groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// The variable; its name is the columns' with `/` between.
    pub var: VarId,
    /// Columns, outermost first.
    pub columns: Vec<String>,
}

/// A 0/1 variable of a row: in which rows a statement holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Which rows.
    pub when: When,
    /// The variable.
    pub var: VarId,
}

/// A chain over the rows, flattened: its variables are the row's own, and these.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChain {
    /// The index as written.
    pub index: String,
    /// The ordering column; rows as they stand without one.
    pub by: Option<String>,
    /// Columns whose values together name a sequence, outermost first; all rows are one sequence without any.
    pub groups: Vec<String>,
    /// The row's position in its sequence, from 0, where a statement uses it as a number.
    pub position: Option<VarId>,
    /// Values of rows before.
    pub lags: Vec<Lag>,
    /// In which rows statements hold.
    pub marks: Vec<Mark>,
    /// Place of the `chain`.
    pub span: Span,
}

/// How a weight of a net starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// Uniform on ±1/√n, n the number of inputs: their sum keeps the inputs' scale (as PyTorch's layers start).
    Uniform {
        /// Inputs of one element of the layer.
        fan_in: Size,
    },
    /// 0.
    Zero,
    /// 1.
    One,
    /// Normal around 0.
    Normal {
        /// Standard deviation.
        sd: f64,
    },
}

/// An array of weights of a net.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// A parameter of the model: `decoder.h.W`.
    pub var: VarId,
    /// Where it starts.
    pub start: Start,
}

/// A dropout layer of a net.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropout {
    /// The factor of each element, 0 or 1/(1 − rate); an application of the net puts its own noise in its place.
    pub mask: SymId,
    /// The probability of 0, a scalar term.
    pub rate: Term,
}

/// A net: a function of the language with weights of its own.
#[derive(Debug, Clone)]
pub struct Net {
    /// As written.
    pub syntax: ast::Net,
    /// Input shapes.
    pub inputs: Vec<Vec<Size>>,
    /// Output shapes.
    pub outputs: Vec<Vec<Size>>,
    /// Output supports, as their types say.
    pub output_supports: Vec<Support>,
    /// One symbol an input, one value a row; a category's value is the written one, from 1.
    pub arguments: Vec<SymId>,
    /// One term an output, over the arguments, the weights, masks of dropout, constants, and applications of other nets.
    pub results: Vec<Term>,
    /// Weights, in the order in which the layers stand.
    pub weights: Vec<Weight>,
    /// Dropout layers.
    pub noises: Vec<Dropout>,
}

/// A guide: q's own factors.
#[derive(Debug, Clone)]
pub struct Guide {
    /// q's `~` statements.
    pub factors: Vec<Factor>,
    /// Place.
    pub span: Span,
}

/// A value of the `fit` block.
#[derive(Debug, Clone, PartialEq)]
pub enum FitValue {
    /// A number.
    Number(f64),
    /// A word.
    Word(String),
    /// `adam(lr = 1e-3)`.
    Call(String, Vec<(Option<String>, FitValue)>),
}

/// The typed graph.
#[derive(Debug, Clone)]
pub struct ModelGraph {
    /// `model NAME`, or the file's stem, or `model`.
    pub name: String,
    /// The head comment.
    pub doc: Option<String>,
    /// The text it came from.
    pub source: Source,
    /// Terms and symbols.
    pub store: Store,
    /// Sizes.
    pub dims: Vec<DimInfo>,
    /// Variables, in order of first appearance.
    pub vars: Vec<Var>,
    /// Plates; the first is `Global`, the second the top-level `Row`.
    pub plates: Vec<Plate>,
    /// `~` statements, in order.
    pub factors: Vec<Factor>,
    /// Constants' values: terms over sizes and other constants; `None` must be set. `--set` replaces scalars.
    pub consts: Vec<(VarId, Option<Term>)>,
    /// Nets.
    pub nets: Vec<Net>,
    /// The guide.
    pub guide: Option<Guide>,
    /// Defaults of the `fit` block.
    pub fit: Vec<(String, FitValue, Span)>,
    /// `weight COLUMN`.
    pub weight: Option<(String, Span)>,
    /// Categories whose values are the combinations of several columns': groups inside groups.
    pub nested: Vec<Nested>,
    /// The chain over the rows, if there is one: its variables are variables of a row.
    pub chain: Option<RowChain>,
    /// Why a chain over the rows could not be written so, and where.
    pub chain_left: Option<(String, Span)>,
    /// Remarks that do not stop anything (a pseudo-likelihood, a suspicious name), for `check`.
    pub remarks: Vec<String>,
}

impl ModelGraph {
    /// The variable of a symbol.
    #[must_use]
    pub fn var_of(&self, sym: SymId) -> Option<VarId> {
        self.vars.iter().position(|v| v.sym == sym).map(VarId::from_index)
    }
    /// The net that a parameter is a weight of.
    #[must_use]
    pub fn net_of_weight(&self, id: VarId) -> Option<&Net> {
        self.nets.iter().find(|n| n.weights.iter().any(|w| w.var == id))
    }
    /// A variable.
    #[must_use]
    pub fn var(&self, id: VarId) -> &Var {
        &self.vars[id.index()]
    }
}
