//! What can be wrong with a text, each with the place and the fix to type.

use lvmc_base::{Bug, Exit, Limit, Span};
use miette::Diagnostic;
use thiserror::Error;

/// A text that is not a model. Show it with `miette::Report::new(e).with_source_code(source.named())`.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum SyntaxError {
    /// Nothing but blanks and comments.
    #[error("the model is empty")]
    #[diagnostic(
        code(lvm::syntax::empty),
        help("a model can be one line: z ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])")
    )]
    Empty,

    /// Bytes that no text holds.
    #[error("{name} is not a text: byte {at} is zero")]
    #[diagnostic(
        code(lvm::syntax::binary),
        help("a model is a text file, such as model.lvm; is this its data or a fit?")
    )]
    Binary {
        /// The file.
        name: String,
        /// The byte's 1-based position.
        at: usize,
    },

    /// Text in another encoding.
    #[error("{name} is not UTF-8: byte {at} ({byte:#04x}) cannot stand there")]
    #[diagnostic(code(lvm::syntax::encoding), help("{help}"))]
    Encoding {
        /// The file.
        name: String,
        /// The 1-based position of the first wrong byte.
        at: usize,
        /// That byte.
        byte: u8,
        /// How to convert the file.
        help: String,
    },

    /// A limit of the whole file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Limit(#[from] Limit),

    /// Brackets, prefix operators, powers or `if`s inside each other, too deep.
    #[error("nested more than {limit} deep")]
    #[diagnostic(
        code(lvm::syntax::nesting),
        help("name the inner parts in statements of their own: a = ..., then use a")
    )]
    Nesting {
        /// The first token too deep.
        #[label("level {} begins here", limit + 1)]
        span: Span,
        /// The deepest allowed.
        limit: usize,
    },

    /// An expression of too many operators.
    #[error("an expression with more than {limit} operators in a row")]
    #[diagnostic(
        code(lvm::syntax::length),
        help("write what repeats as a family, x[k in 1..K] = ..., and sum(x) or prod(x)")
    )]
    Length {
        /// The expression up to there.
        #[label("this operator is one too many")]
        span: Span,
        /// The most allowed.
        limit: usize,
    },

    /// Brackets that do not match.
    #[error("{message}")]
    #[diagnostic(code(lvm::syntax::bracket))]
    Bracket {
        /// What is wrong.
        message: String,
        /// The bracket.
        #[label("{label}")]
        span: Span,
        /// What of it.
        label: String,
        /// Where that was noticed.
        #[label("not closed before this")]
        noticed: Option<Span>,
        /// The fix.
        #[help]
        help: String,
    },

    /// A character that the language does not use.
    #[error("{found} has no meaning here")]
    #[diagnostic(code(lvm::syntax::character))]
    Character {
        /// The character, in words.
        found: String,
        /// Where.
        #[label("not part of the language")]
        span: Span,
        /// What to type instead.
        #[help]
        help: String,
    },

    /// A comment as other languages write it.
    #[error("a comment begins with `#`")]
    #[diagnostic(code(lvm::syntax::comment))]
    Comment {
        /// The mark.
        #[label("not a comment here")]
        span: Span,
        /// What to type instead.
        #[help]
        help: String,
    },

    /// An operator of another language, or one of ours in another's place.
    #[error("{message}")]
    #[diagnostic(code(lvm::syntax::operator))]
    Operator {
        /// What is wrong.
        message: String,
        /// Where.
        #[label("write `{instead}`")]
        span: Span,
        /// The language's own.
        instead: String,
        /// Why, or when which.
        #[help]
        help: String,
    },

    /// A number in a form that is not one.
    #[error("{message}")]
    #[diagnostic(code(lvm::syntax::number))]
    Number {
        /// What is wrong.
        message: String,
        /// Where.
        #[label("here")]
        span: Span,
        /// What to type instead.
        #[help]
        help: String,
    },

    /// A keyword misspelt, or used as a name.
    #[error("{message}")]
    #[diagnostic(code(lvm::syntax::keyword))]
    Keyword {
        /// What is wrong.
        message: String,
        /// Where.
        #[label("{label}")]
        span: Span,
        /// What of it.
        label: String,
        /// What to type instead.
        #[help]
        help: String,
    },

    /// Two things in a row with nothing between them.
    #[error("{message}")]
    #[diagnostic(code(lvm::syntax::comma))]
    Comma {
        /// What is wrong.
        message: String,
        /// The second thing.
        #[label("{label}")]
        span: Span,
        /// What is missing.
        label: String,
        /// What to type instead.
        #[help]
        help: String,
    },

    /// `a < b < c`.
    #[error("comparisons do not chain")]
    #[diagnostic(code(lvm::syntax::comparison), help("compare two at a time: a < b and b < c"))]
    Comparison {
        /// The second comparison's operands and operator.
        #[label("a second comparison of the same value")]
        span: Span,
    },

    /// A statement where it cannot stand.
    #[error("{message}")]
    #[diagnostic(code(lvm::syntax::misplaced))]
    Misplaced {
        /// What is wrong.
        message: String,
        /// The statement.
        #[label("here")]
        span: Span,
        /// Where it belongs.
        #[help]
        help: String,
    },

    /// Anything else that the grammar does not allow.
    #[error("expected {expected}, found {found}")]
    #[diagnostic(code(lvm::syntax::unexpected))]
    Unexpected {
        /// What could have stood there, in words.
        expected: String,
        /// What stands there, in words.
        found: String,
        /// Where.
        #[label("{label}")]
        span: Span,
        /// What of it.
        label: String,
        /// A line above that goes on here.
        #[label("this line goes on in the next")]
        continued: Option<Span>,
        /// What to type instead, where that is clear.
        #[help]
        help: Option<String>,
    },

    /// A bug in lvmc.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bug(#[from] Bug),
}

impl SyntaxError {
    /// The exit code that the command line gives.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Limit(_) | Self::Nesting { .. } | Self::Length { .. } => Exit::Limit,
            Self::Bug(_) => Exit::Bug,
            _ => Exit::Model,
        }
    }

    /// Where the fault is, if it has a place in the text.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Empty | Self::Binary { .. } | Self::Encoding { .. } | Self::Limit(_) | Self::Bug(_) => None,
            Self::Nesting { span, .. }
            | Self::Length { span, .. }
            | Self::Bracket { span, .. }
            | Self::Character { span, .. }
            | Self::Comment { span, .. }
            | Self::Operator { span, .. }
            | Self::Number { span, .. }
            | Self::Keyword { span, .. }
            | Self::Comma { span, .. }
            | Self::Comparison { span }
            | Self::Misplaced { span, .. }
            | Self::Unexpected { span, .. } => Some(*span),
        }
    }
}

/// The grammar and the code that reads its pairs disagree.
pub(crate) fn bug(message: impl Into<String>) -> SyntaxError {
    SyntaxError::Bug(Bug {
        stage: "syntax",
        message: message.into(),
        ir: String::new(),
    })
}
