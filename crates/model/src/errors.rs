//! What can be wrong with a model: one variant per diagnostic code, each with its place and the edit that fixes it.

use lvmc_base::{Limit, Source, Span};
use miette::Diagnostic;
use thiserror::Error;

/// A mistake in a model. `help` always holds text that can be typed.
#[derive(Debug, Clone, Error, Diagnostic)]
#[allow(missing_docs, reason = "the fields are named for what the message says of them")]
pub enum ModelError {
    // names
    #[error("`{name}` is not declared")]
    #[diagnostic(code(lvm::model::undeclared), help("{help}"))]
    Undeclared {
        name: String,
        #[label("not known here")]
        at: Span,
        help: String,
    },
    #[error("there is no function `{name}`")]
    #[diagnostic(code(lvm::model::unknown_function), help("{help}"))]
    UnknownFunction {
        name: String,
        #[label("not a function or net")]
        at: Span,
        help: String,
    },
    #[error("there is no distribution `{name}`")]
    #[diagnostic(code(lvm::model::unknown_distribution), help("{help}"))]
    UnknownDistribution {
        name: String,
        #[label("not a distribution")]
        at: Span,
        help: String,
    },
    #[error("there is no type `{name}`")]
    #[diagnostic(code(lvm::model::unknown_type), help("{help}"))]
    UnknownType {
        name: String,
        #[label("not a type")]
        at: Span,
        help: String,
    },
    #[error("`{name}` takes {expected}")]
    #[diagnostic(code(lvm::model::type_sizes), help("{help}"))]
    TypeSizes {
        name: String,
        expected: String,
        #[label("{found}")]
        at: Span,
        found: String,
        help: String,
    },
    #[error("{what} is not a size")]
    #[diagnostic(code(lvm::model::bad_size), help("{help}"))]
    BadSize {
        what: String,
        #[label("sizes are whole numbers from 1, dims, and sums of these")]
        at: Span,
        help: String,
    },
    #[error("`{name}` is {what} twice")]
    #[diagnostic(code(lvm::model::declared_twice), help("{help}"))]
    DeclaredTwice {
        name: String,
        what: String,
        #[label("again here")]
        at: Span,
        #[label("first here")]
        first: Span,
        help: String,
    },
    #[error("{names} are defined by each other")]
    #[diagnostic(
        code(lvm::model::cyclic),
        help("break the circle: one of them must be defined without the others")
    )]
    Cyclic {
        names: String,
        #[label("this definition comes back to itself")]
        at: Span,
    },
    #[error("{what} cannot be used as a value")]
    #[diagnostic(code(lvm::model::not_a_value), help("{help}"))]
    NotAValue {
        what: String,
        #[label("a value is needed here")]
        at: Span,
        help: String,
    },
    #[error("the right side of `~` is not a distribution")]
    #[diagnostic(code(lvm::model::not_a_distribution), help("{help}"))]
    NotADistribution {
        #[label("this is {found}")]
        at: Span,
        found: String,
        help: String,
    },
    // roles
    #[error("`{name}` is given, so it cannot have a distribution")]
    #[diagnostic(code(lvm::model::given_with_distribution), help("{help}"))]
    GivenWithDistribution {
        name: String,
        #[label("distribution written here")]
        at: Span,
        #[label("given, written here")]
        declared: Span,
        help: String,
    },
    #[error("{role} `{name}` has no distribution")]
    #[diagnostic(code(lvm::model::no_distribution), help("{help}"))]
    NoDistribution {
        name: String,
        role: String,
        #[label("declared here")]
        at: Span,
        help: String,
    },
    #[error("`{name}` has neither a role nor a distribution")]
    #[diagnostic(code(lvm::model::no_role), help("{help}"))]
    NoRole {
        name: String,
        #[label("declared here")]
        at: Span,
        help: String,
    },
    #[error("`{name}` is {first_role} and {role}")]
    #[diagnostic(code(lvm::model::role_conflict), help("{help}"))]
    RoleConflict {
        name: String,
        role: String,
        first_role: String,
        #[label("{role} here")]
        at: Span,
        #[label("{first_role} here")]
        first: Span,
        help: String,
    },
    #[error("{what}")]
    #[diagnostic(code(lvm::model::misplaced), help("{help}"))]
    Misplaced {
        what: String,
        #[label("written here")]
        at: Span,
        help: String,
    },
    #[error("`{name}` is a column of the data, but the model makes it a latent variable")]
    #[diagnostic(code(lvm::model::column_is_latent), help("{help}"))]
    ColumnIsLatent {
        name: String,
        #[label("{because}")]
        at: Span,
        because: String,
        help: String,
    },
    // distributions
    #[error("`{name}` takes {expected}")]
    #[diagnostic(code(lvm::model::distribution_arguments), help("{help}"))]
    DistributionArguments {
        name: String,
        expected: String,
        #[label("{found}")]
        at: Span,
        found: String,
        help: String,
    },
    #[error("`{name}` has no argument `{argument}`")]
    #[diagnostic(code(lvm::model::unknown_argument), help("{help}"))]
    UnknownArgument {
        name: String,
        argument: String,
        #[label("not an argument of {name}")]
        at: Span,
        help: String,
    },
    #[error("a vector needs a covariance, and `{found}` is {what}")]
    #[diagnostic(code(lvm::model::variance_shape), help("{help}"))]
    VarianceShape {
        found: String,
        what: String,
        #[label("{label}")]
        at: Span,
        label: String,
        help: String,
    },
    #[error("`{argument}` of {name} must be {expected}, and this is {found}")]
    #[diagnostic(code(lvm::model::argument_shape), help("{help}"))]
    ArgumentShape {
        name: String,
        argument: String,
        expected: String,
        found: String,
        #[label("{found}")]
        at: Span,
        help: String,
    },
    #[error("`{argument}` of {name} must be {expected}, and `{text}` {found}")]
    #[diagnostic(code(lvm::model::argument_support), help("{help}"))]
    ArgumentSupport {
        name: String,
        argument: String,
        expected: String,
        text: String,
        found: String,
        #[label("{found}")]
        at: Span,
        help: String,
    },
    #[error("{family} gives {event}, and `{name}` is {found}")]
    #[diagnostic(code(lvm::model::event_shape), help("{help}"))]
    EventShape {
        family: String,
        event: String,
        name: String,
        found: String,
        #[label("{found}")]
        at: Span,
        help: String,
    },
    #[error("{family} gives {gives} values, and `{name}` is {found}")]
    #[diagnostic(code(lvm::model::value_support), help("{help}"))]
    ValueSupport {
        family: String,
        gives: String,
        name: String,
        found: String,
        #[label("{gives} values")]
        at: Span,
        help: String,
    },
    // expressions
    #[error("a vector times a vector can mean several things")]
    #[diagnostic(code(lvm::model::vector_product), help("{help}"))]
    VectorProduct {
        #[label("both sides are vectors")]
        at: Span,
        help: String,
    },
    #[error("sizes do not fit: {left} {operation} {right}")]
    #[diagnostic(code(lvm::model::shape_mismatch), help("{help}"))]
    ShapeMismatch {
        operation: String,
        left: String,
        right: String,
        #[label("{left}")]
        at: Span,
        #[label("{right}")]
        other: Span,
        help: String,
    },
    #[error("`{name}` takes {expected}")]
    #[diagnostic(code(lvm::model::function_arguments), help("{help}"))]
    FunctionArguments {
        name: String,
        expected: String,
        #[label("{found}")]
        at: Span,
        found: String,
        help: String,
    },
    #[error("a condition is true or false, and this is {found}")]
    #[diagnostic(code(lvm::model::condition), help("{help}"))]
    Condition {
        #[label("{found}")]
        at: Span,
        found: String,
        help: String,
    },
    #[error("{what}")]
    #[diagnostic(code(lvm::model::index), help("{help}"))]
    Index {
        what: String,
        #[label("{label}")]
        at: Span,
        label: String,
        help: String,
    },
    #[error("{left} names take the results of something with {right}")]
    #[diagnostic(code(lvm::model::results), help("{help}"))]
    Results {
        left: usize,
        right: usize,
        #[label("{right} here")]
        at: Span,
        help: String,
    },
    #[error("{what}")]
    #[diagnostic(code(lvm::model::array_literal), help("{help}"))]
    ArrayLiteral {
        what: String,
        #[label("this does not fit")]
        at: Span,
        help: String,
    },
    // plates
    #[error("`{name}` has one value per {inner}, and this holds once per {outer}")]
    #[diagnostic(code(lvm::model::plate), help("{help}"))]
    Plate {
        name: String,
        inner: String,
        outer: String,
        #[label("one value per {inner}")]
        at: Span,
        help: String,
    },
    #[error("`{name}` has no statement at {position}")]
    #[diagnostic(code(lvm::model::missing_position), help("{help}"))]
    MissingPosition {
        name: String,
        position: String,
        #[label("does not hold there: what it refers to does not exist")]
        at: Span,
        help: String,
    },
    // blocks
    #[error("the guide gives no distribution to `{name}`")]
    #[diagnostic(code(lvm::model::guide_misses), help("{help}"))]
    GuideMisses {
        name: String,
        #[label("this guide")]
        at: Span,
        #[label("latent")]
        declared: Span,
        help: String,
    },
    #[error("the guide gives a distribution to `{name}`, which is {what}")]
    #[diagnostic(code(lvm::model::guide_extra), help("{help}"))]
    GuideExtra {
        name: String,
        what: String,
        #[label("here")]
        at: Span,
        help: String,
    },
    #[error("net `{net}`: {what}")]
    #[diagnostic(code(lvm::model::net), help("{help}"))]
    Net {
        net: String,
        what: String,
        #[label("here")]
        at: Span,
        help: String,
    },
    #[error("`fit` has no option `{name}`")]
    #[diagnostic(code(lvm::model::fit_option), help("{help}"))]
    FitOption {
        name: String,
        #[label("not an option")]
        at: Span,
        help: String,
    },
    #[error("`{name}` in `fit` must be {expected}")]
    #[diagnostic(code(lvm::model::fit_value), help("{help}"))]
    FitValue {
        name: String,
        expected: String,
        #[label("this value")]
        at: Span,
        help: String,
    },
    // settings
    #[error("--set {name}: the model has no size or constant `{name}`")]
    #[diagnostic(code(lvm::model::unknown_setting), help("{help}"))]
    UnknownSetting { name: String, help: String },
    #[error("`{name}` = {value} is not {expected}")]
    #[diagnostic(code(lvm::model::bad_setting), help("{help}"))]
    BadSetting {
        name: String,
        value: String,
        expected: String,
        #[label("declared here")]
        at: Span,
        help: String,
    },
    #[error("{what} is not supported")]
    #[diagnostic(code(lvm::model::unsupported), help("{help}"))]
    Unsupported {
        what: String,
        #[label("here")]
        at: Span,
        help: String,
    },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Limit(#[from] Limit),
}

/// All mistakes found, those that follow from others left out.
#[derive(Debug, Clone, Error, Diagnostic)]
#[error("{}", count(.0.len()))]
#[diagnostic(code(lvm::model))]
pub struct ModelErrors(#[related] pub Vec<ModelError>);

fn count(n: usize) -> String {
    if n == 1 {
        "the model has a mistake".into()
    } else {
        format!("the model has {n} mistakes")
    }
}

impl ModelErrors {
    /// One report per mistake, with the source to show.
    #[must_use]
    pub fn reports(self, source: &Source) -> Vec<miette::Report> {
        self.0
            .into_iter()
            .map(|e| miette::Report::new(e).with_source_code(source.named()))
            .collect()
    }
    /// True where a limit was met (exit code 6 rather than 3).
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.0.iter().any(|e| matches!(e, ModelError::Limit(_)))
    }
}
