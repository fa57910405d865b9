//! Expressions: a Pratt parser over the grammar's flat lists.

use std::sync::LazyLock;

use lvmc_base::Span;
use pest::iterators::Pair;
use pest::pratt_parser::{Assoc, Op, PrattParser};

use super::{Parts, ident, span};
use crate::ast::{BinaryOp, Expr, ExprKind, Subscript, UnaryOp};
use crate::error::{SyntaxError, bug};
use crate::grammar::Rule;

/// The deepest expression tree. A sum of n terms is n deep; later stages walk trees by recursion, and dropping one is
/// a recursion too.
pub const MAX_DEPTH: usize = 1000;

/// Weakest first.
static PRATT: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::or))
        .op(left(Rule::and))
        .op(Op::prefix(Rule::not))
        .op(left(Rule::lt) | left(Rule::le) | left(Rule::gt) | left(Rule::ge) | left(Rule::eq) | left(Rule::ne))
        .op(left(Rule::add) | left(Rule::sub))
        .op(left(Rule::mul) | left(Rule::div))
        .op(Op::prefix(Rule::neg))
        .op(Op::infix(Rule::pow, Assoc::Right))
});

/// An expression with what its builder must know of it.
struct Tree {
    expr: Expr,
    /// Of the tree.
    height: usize,
    /// Written between parentheses.
    grouped: bool,
}

type Built = Result<Tree, SyntaxError>;

/// Reads an `expr` pair.
pub(super) fn expr(pair: Pair<'_, Rule>) -> Result<Expr, SyntaxError> {
    Ok(tree(pair)?.expr)
}

fn tree(pair: Pair<'_, Rule>) -> Built {
    if pair.as_rule() != Rule::expr {
        return Err(bug(format!("{:?} is not an expression", pair.as_rule())));
    }
    PRATT
        .map_primary(primary)
        .map_prefix(prefix)
        .map_infix(infix)
        .parse(pair.into_inner())
}

/// A node above trees of at most that height.
fn node(span: Span, below: usize, kind: ExprKind) -> Built {
    if below >= MAX_DEPTH {
        return Err(SyntaxError::Length { span, limit: MAX_DEPTH });
    }
    Ok(Tree {
        expr: Expr { span, kind },
        height: below + 1,
        grouped: false,
    })
}

fn prefix(op: Pair<'_, Rule>, operand: Built) -> Built {
    let operand = operand?;
    let kind = match op.as_rule() {
        Rule::neg => UnaryOp::Neg,
        Rule::not => UnaryOp::Not,
        other => return Err(bug(format!("{other:?} is not a prefix operator"))),
    };
    let at = span(&op).to(operand.expr.span);
    node(at, operand.height, ExprKind::Unary(kind, Box::new(operand.expr)))
}

fn infix(a: Built, op: Pair<'_, Rule>, b: Built) -> Built {
    let (a, b) = (a?, b?);
    let kind = match op.as_rule() {
        Rule::add => BinaryOp::Add,
        Rule::sub => BinaryOp::Sub,
        Rule::mul => BinaryOp::Mul,
        Rule::div => BinaryOp::Div,
        Rule::pow => BinaryOp::Pow,
        Rule::lt => BinaryOp::Lt,
        Rule::le => BinaryOp::Le,
        Rule::gt => BinaryOp::Gt,
        Rule::ge => BinaryOp::Ge,
        Rule::eq => BinaryOp::Eq,
        Rule::ne => BinaryOp::Ne,
        Rule::and => BinaryOp::And,
        Rule::or => BinaryOp::Or,
        other => return Err(bug(format!("{other:?} is not an operator"))),
    };
    if compares(kind) && !a.grouped && matches!(a.expr.kind, ExprKind::Binary(first, ..) if compares(first)) {
        return Err(SyntaxError::Comparison {
            span: span(&op).to(b.expr.span),
        });
    }
    let below = a.height.max(b.height);
    if below >= MAX_DEPTH {
        return Err(SyntaxError::Length {
            span: span(&op),
            limit: MAX_DEPTH,
        });
    }
    let at = a.expr.span.to(b.expr.span);
    node(at, below, ExprKind::Binary(kind, Box::new(a.expr), Box::new(b.expr)))
}

fn compares(op: BinaryOp) -> bool {
    use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
    matches!(op, Lt | Le | Gt | Ge | Eq | Ne)
}

fn primary(pair: Pair<'_, Rule>) -> Built {
    let at = span(&pair);
    let text = pair.as_str();
    match pair.as_rule() {
        Rule::number => node(at, 0, ExprKind::Number(number(text, at)?)),
        Rule::conditional => {
            let mut parts = Parts::of(pair);
            let (c, a, b) = (tree(parts.want()?)?, tree(parts.want()?)?, tree(parts.want()?)?);
            let below = c.height.max(a.height).max(b.height);
            node(
                at,
                below,
                ExprKind::If(Box::new(c.expr), Box::new(a.expr), Box::new(b.expr)),
            )
        }
        Rule::matching => matching(pair),
        Rule::indexed => indexed(pair),
        other => Err(bug(format!("{other:?} is not an operand"))),
    }
}

fn number(text: &str, at: Span) -> Result<f64, SyntaxError> {
    let value: f64 = text.parse().map_err(|_| bug(format!("`{text}` is not a number")))?;
    if value.is_finite() {
        return Ok(value);
    }
    Err(SyntaxError::Number {
        message: "a number too large for double precision".into(),
        span: at,
        help: "the largest is about 1.8e308".into(),
    })
}

fn matching(pair: Pair<'_, Rule>) -> Built {
    let at = span(&pair);
    let mut parts = Parts::of(pair);
    let subject = tree(parts.want()?)?;
    let mut below = subject.height;
    let mut arms = Vec::new();
    while let Some(arm) = parts.take() {
        let mut arm = Parts::of(arm);
        let pattern = match arm.take_if(Rule::wildcard) {
            Some(_) => None,
            None => {
                let pattern = tree(arm.want()?)?;
                below = below.max(pattern.height);
                Some(pattern.expr)
            }
        };
        let value = tree(arm.want()?)?;
        below = below.max(value.height);
        arms.push((pattern, value.expr));
    }
    node(at, below, ExprKind::Match(Box::new(subject.expr), arms))
}

/// A name, call, group or array, with the brackets after it.
fn indexed(pair: Pair<'_, Rule>) -> Built {
    let at = span(&pair);
    let mut parts = Parts::of(pair);
    let first = parts.want()?;
    let base = match first.as_rule() {
        Rule::array => {
            let (items, below) = trees(first)?;
            node(at, below, ExprKind::Array(items))?
        }
        Rule::group => {
            let at = span(&first);
            let mut inner = tree(Parts::of(first).want()?)?;
            inner.expr.span = at;
            inner.grouped = true;
            inner
        }
        _ => reference(first)?,
    };
    let mut indices = Vec::new();
    let mut below = base.height;
    while let Some(subscripts) = parts.take() {
        let mut subscripts = Parts::of(subscripts);
        while let Some(subscript) = subscripts.take() {
            let mut ends = Parts::of(subscript);
            let from = tree(ends.want()?)?;
            below = below.max(from.height);
            indices.push(match ends.take().map(tree).transpose()? {
                Some(to) => {
                    below = below.max(to.height);
                    Subscript::Slice(from.expr, to.expr)
                }
                None => Subscript::At(from.expr),
            });
        }
    }
    if indices.is_empty() {
        return Ok(base);
    }
    node(
        at,
        below,
        ExprKind::Index {
            base: Box::new(base.expr),
            indices,
        },
    )
}

fn trees(pair: Pair<'_, Rule>) -> Result<(Vec<Expr>, usize), SyntaxError> {
    let mut parts = Parts::of(pair);
    let (mut items, mut below) = (Vec::new(), 0);
    while let Some(item) = parts.take() {
        let item = tree(item)?;
        below = below.max(item.height);
        items.push(item.expr);
    }
    Ok((items, below))
}

fn reference(pair: Pair<'_, Rule>) -> Built {
    let at = span(&pair);
    let mut parts = Parts::of(pair);
    let name = ident(&parts.want()?);
    let Some(arguments) = parts.take() else {
        return node(at, 0, ExprKind::Name(name.name));
    };
    let mut arguments = Parts::of(arguments);
    let (mut args, mut below) = (Vec::new(), 0);
    while let Some(argument) = arguments.take() {
        let mut argument = Parts::of(argument);
        let key = argument.take_if(Rule::name).map(|p| ident(&p));
        let value = tree(argument.want()?)?;
        below = below.max(value.height);
        args.push((key, value.expr));
    }
    node(at, below, ExprKind::Call { callee: name, args })
}
