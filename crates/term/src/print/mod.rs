//! Terms as mathematics, in Unicode for terminals and in LaTeX.
//!
//! A term becomes a [`Math`] tree, where everything that depends on convention is decided once (order of addends and
//! factors, fractions, subscripts, `eᵀ S⁻¹ e`), and each printer only writes that tree. Rows are counted by n; positions
//! are written from 1.

mod build;
mod index;
mod latex;
mod names;
mod normal;
mod number;
mod order;
mod product;
mod sum;
mod unicode;

use crate::node::Term;
use crate::store::Store;

/// A formula as it is written, without its alphabet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Math {
    /// A number ≥ 0.
    Num(f64),
    /// A name: its letters, the digits below it, and whether it is a square (`sigma2`).
    Name {
        base: String,
        digits: String,
        square: bool,
    },
    /// Several subscripts.
    Sub(Box<Math>, Vec<Math>),
    /// Addends, `true` where subtracted.
    Sum(Vec<(bool, Math)>),
    /// Factors side by side.
    Prod(Vec<Math>),
    /// Elementwise product.
    Hadamard(Vec<Math>),
    Frac(Box<Math>, Box<Math>),
    Pow(Box<Math>, Box<Math>),
    Root(Box<Math>),
    Transpose(Box<Math>),
    Inverse(Box<Math>),
    /// f(a, b).
    Call(String, Vec<Math>),
    /// log x, with parentheses only where they are needed.
    Apply(&'static str, Box<Math>),
    /// |x|.
    Bars(Box<Math>),
    /// ‖x‖².
    SquaredNorm(Box<Math>),
    /// Σ or Π over an index.
    Big(Big, Box<Math>, Box<Math>),
    /// [a = b].
    Indicator(Box<Math>),
    Relation(Box<Math>, &'static str, Box<Math>),
    If(Box<Math>, Box<Math>, Box<Math>),
    /// [a, b] and [a; b].
    List(Vec<Math>, &'static str),
    /// base[from..to].
    Range(Box<Math>, Box<Math>, Box<Math>),
    /// N(x; m, S).
    Normal(Box<[Math; 3]>),
    /// from..to, as the range of an index.
    Span(Box<Math>, Box<Math>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Big {
    Sum,
    Product,
}

impl Math {
    /// How tightly the outermost operator holds: a part that holds less than its place asks for gets parentheses.
    fn holds(&self) -> u8 {
        match self {
            Math::If(..) | Math::Relation(..) => 0,
            Math::Sum(_) => 1,
            Math::Hadamard(_) => 2,
            Math::Big(..) | Math::Frac(..) => 3,
            Math::Prod(_) => 4,
            Math::Apply(..) => 5,
            Math::Pow(..) | Math::Transpose(_) | Math::Inverse(_) | Math::Root(_) => 6,
            Math::Num(x) if number::is_fraction(*x) => 4,
            _ => 7,
        }
    }

    /// What is written to the right of it would seem to belong to it.
    fn open_on_the_right(&self) -> bool {
        match self {
            Math::Big(..) | Math::Apply(..) | Math::If(..) | Math::Frac(..) => true,
            Math::Prod(fs) => fs.last().is_some_and(Math::open_on_the_right),
            _ => false,
        }
    }

    fn name(text: &str) -> Math {
        names::parse(text)
    }
}

/// The term in Unicode, as a statistician would write it: `Σₙ rₙₖ (xₙ − μₖ)(xₙ − μₖ)ᵀ`.
#[must_use]
pub fn unicode(s: &Store, t: Term) -> String {
    unicode::write(&build::Builder { s, short: false }.math(t))
}

/// As [`unicode`], with normal log densities written `log N(xₙ; μₖ, Σₖ)`.
#[must_use]
pub fn unicode_short(s: &Store, t: Term) -> String {
    unicode::write(&build::Builder { s, short: true }.math(t))
}

/// The term in LaTeX (math mode, without delimiters).
#[must_use]
pub fn latex(s: &Store, t: Term) -> String {
    latex::write(&build::Builder { s, short: false }.math(t))
}

/// As [`latex`], with normal log densities written `\log \mathcal{N}(x_n; \mu_k, \Sigma_k)`.
#[must_use]
pub fn latex_short(s: &Store, t: Term) -> String {
    latex::write(&build::Builder { s, short: true }.math(t))
}

/// A character of prose as LaTeX writes it, where that is mathematics: β as `$\beta$`, ₙ as `$_{n}$`.
#[must_use]
pub fn latex_in_prose(c: char) -> Option<String> {
    names::latex_in_prose(c)
}

/// A name as Unicode mathematics: `sigma2` as σ², `gate0` as gate₀.
#[must_use]
pub fn unicode_name(name: &str) -> String {
    unicode::write(&Math::name(name))
}

/// A name in LaTeX.
#[must_use]
pub fn latex_name(name: &str) -> String {
    latex::write(&Math::name(name))
}

/// A number as it is printed in formulas: ½, 2π, 10⁶, −3.
#[must_use]
pub fn unicode_number(x: f64) -> String {
    let sign = if x < 0.0 { "−" } else { "" };
    format!("{sign}{}", number::unicode(x.abs()))
}
