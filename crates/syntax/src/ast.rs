//! The abstract syntax of a model file: what was written, with spans, nothing inferred.

use lvmc_base::Span;

/// A name with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Ident {
    /// As written (Unicode allowed).
    pub name: String,
    /// Where.
    pub span: Span,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// `model NAME`, where written.
    pub name: Option<Ident>,
    /// The comment lines at the head of the file, without `#`: the description that `check` and `models` show.
    pub doc: Option<String>,
    /// The statements, in order.
    pub items: Vec<Stmt>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Stmt {
    /// Where the whole statement stands.
    pub span: Span,
    /// What it is.
    pub kind: StmtKind,
}

/// The statements of the language (DESIGN section 2).
#[derive(Debug, Clone, PartialEq)]
pub enum StmtKind {
    /// `dim K = 3, H = 64`, `dim K`.
    Dim(Vec<(Ident, Option<Expr>)>),
    /// `const beta[t in 1..T] = expr`, `const level = 0`.
    Const {
        /// Name and index.
        target: Target,
        /// Written type, if any.
        ty: Option<Type>,
        /// The value; `None` is a constant that `--set` must give.
        value: Option<Expr>,
    },
    /// Declaration, random statement or deterministic statement of one or several names.
    Var(VarStmt),
    /// `net f(x : type) -> y : type, ... { ... }`.
    Net(Net),
    /// `for each COLUMN { ... }`; `for each row { ... }` has the column `row`.
    ForEach {
        /// The grouping column's name.
        column: Ident,
        /// What holds once per group.
        body: Vec<Stmt>,
    },
    /// `chain t { }`, `chain t in a..b { }`, `chain t by COLUMN { }`.
    Chain {
        /// The chain's index.
        index: Ident,
        /// `in a..b` (may run down: `T..1`).
        range: Option<(Expr, Expr)>,
        /// `by COLUMN`.
        by: Option<Ident>,
        /// What holds at every position.
        body: Vec<Stmt>,
    },
    /// `guide { ... }`.
    Guide(Vec<Stmt>),
    /// `fit { key = value, ... }` (separated by commas, newlines or semicolons).
    Fit(Vec<(Ident, Expr)>),
    /// `weight COLUMN`.
    Weight(Ident),
}

/// `[role] name[index], ... [: type] [~ dist | = expr]`.
#[derive(Debug, Clone, PartialEq)]
pub struct VarStmt {
    /// Written role.
    pub role: Option<(Role, Span)>,
    /// `global` was written.
    pub global: Option<Span>,
    /// One or several names (`param a, b : real`; `m, v = f(x)`).
    pub targets: Vec<Target>,
    /// Written type.
    pub ty: Option<Type>,
    /// `~` or `=`.
    pub body: Option<Body>,
}

/// What a variable statement says of its names.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// `~ expr`: a call of a distribution, or `if`/`match` between such calls.
    Random(Expr),
    /// `= expr`.
    Equal(Expr),
}

/// Roles that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A point estimate.
    Param,
    /// Gets a posterior.
    Latent,
    /// Observed, has a distribution.
    Data,
    /// A covariate, never modelled.
    Given,
    /// An auxiliary random variable of a guide.
    Noise,
}

/// A name on a left side with its bracketed indices.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The name.
    pub name: Ident,
    /// In the order written; `x[a, b]` and `x[a][b]` are the same.
    pub indices: Vec<TargetIndex>,
    /// Name and brackets.
    pub span: Span,
}

/// One index of a left side.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetIndex {
    /// `k in a..b`: declares (or ranges over) a family.
    Family {
        /// The index's name.
        index: Ident,
        /// First position.
        from: Expr,
        /// Last position.
        to: Expr,
    },
    /// Anything else: `K`, `1`, `t`, `t-1`, `k` (the model stage decides whether it is a size or a position).
    Position(Expr),
}

/// `real[D, Q]`, `simplex[K]`, `category[V]`, `positive`.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// The constraint's name (`real`, `positive`, `unit`, `int`, `count`, `binary`, `category`, `simplex`, `ordered`,
    /// `cov`, `corr`); checked by the model stage, with a suggestion.
    pub base: Ident,
    /// Sizes in brackets.
    pub sizes: Vec<Expr>,
    /// Where.
    pub span: Span,
}

/// `net f(x : type, ...) -> y : type, ... { statements }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Net {
    /// The net's name.
    pub name: Ident,
    /// Inputs.
    pub inputs: Vec<(Ident, Type)>,
    /// Outputs.
    pub outputs: Vec<(Ident, Type)>,
    /// `a, b = expr` lines.
    pub body: Vec<(Vec<Ident>, Expr, Span)>,
}

/// An expression with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: ExprKind,
}

/// Expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `1`, `1e-4`, `0.5`.
    Number(f64),
    /// A name.
    Name(String),
    /// `f(a, key = b)`; a distribution, a function or a net.
    Call {
        /// What is called.
        callee: Ident,
        /// In order; the name where it was given.
        args: Vec<(Option<Ident>, Expr)>,
    },
    /// `x[i, j]`, `alpha[1..t]`.
    Index {
        /// What is indexed.
        base: Box<Expr>,
        /// In order; `x[a, b]` and `x[a][b]` are the same.
        indices: Vec<Subscript>,
    },
    /// `-a`, `not a`.
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`, ….
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `if c then a else b`.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `match z { 1 => a, 2 => b, _ => c }`; a pattern of `None` is `_`.
    Match(Box<Expr>, Vec<(Option<Expr>, Expr)>),
    /// `[a, b]`, `[[1, 0], [a, 0]]`.
    Array(Vec<Expr>),
}

/// One index of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Subscript {
    /// One position.
    At(Expr),
    /// `a..b`, both ends included.
    Slice(Expr, Expr),
}

/// Unary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-a`
    Neg,
    /// `not a`
    Not,
}

/// Binary operators, weakest last in the grammar's precedence: `^`, `* /`, `+ -`, comparisons, `and`, `or`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Or,
}
