//! From pest's pairs to the syntax tree.

mod expr;

mod stmt;

use lvmc_base::Span;
use pest::iterators::{Pair, Pairs};

use crate::ast::{Ident, Model, StmtKind};
use crate::error::{SyntaxError, bug};
use crate::grammar::Rule;

pub use expr::MAX_DEPTH;

/// The children of one pair, taken one after the other.
pub(crate) struct Parts<'i> {
    pairs: Pairs<'i, Rule>,
    parent: Rule,
}

impl<'i> Parts<'i> {
    fn of(pair: Pair<'i, Rule>) -> Self {
        let parent = pair.as_rule();
        Self {
            pairs: pair.into_inner(),
            parent,
        }
    }

    /// The next child that is not a mark of punctuation.
    fn take(&mut self) -> Option<Pair<'i, Rule>> {
        self.pairs.find(|p| !is_mark(p.as_rule()))
    }

    /// The next child, which the grammar promises.
    fn want(&mut self) -> Result<Pair<'i, Rule>, SyntaxError> {
        let parent = self.parent;
        self.take()
            .ok_or_else(|| bug(format!("{parent:?} has fewer parts than the grammar promises")))
    }

    /// The next child if it is of that rule.
    fn take_if(&mut self, rule: Rule) -> Option<Pair<'i, Rule>> {
        while self.pairs.peek().is_some_and(|p| is_mark(p.as_rule())) {
            self.pairs.next();
        }
        if self.pairs.peek()?.as_rule() == rule {
            self.pairs.next()
        } else {
            None
        }
    }
}

/// Punctuation and words whose presence the grammar has checked, and which say nothing more.
fn is_mark(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::separator
            | Rule::between
            | Rule::equal
            | Rule::tilde
            | Rule::becomes
            | Rule::colon
            | Rule::comma
            | Rule::dots
            | Rule::arrow
            | Rule::open
            | Rule::close
            | Rule::left
            | Rule::right
            | Rule::left_square
            | Rule::right_square
            | Rule::kw_dim
            | Rule::kw_const
            | Rule::kw_for
            | Rule::kw_if
            | Rule::kw_then
            | Rule::kw_else
            | Rule::kw_match
            | Rule::kw_model
            | Rule::kw_net
            | Rule::kw_each
            | Rule::kw_chain
            | Rule::kw_in
            | Rule::kw_by
            | Rule::kw_guide
            | Rule::kw_fit
            | Rule::kw_weight
            | Rule::EOI
    )
}

/// Where a pair stands, without the blanks that pest counts to a rule whose last part is optional.
fn span(pair: &Pair<'_, Rule>) -> Span {
    let text = pair.as_str().trim_end_matches([' ', '\t', '\n']);
    let start = pair.as_span().start();
    Span::new(start, start + text.len())
}

fn ident(pair: &Pair<'_, Rule>) -> Ident {
    Ident {
        name: letters(pair.as_str()),
        span: span(pair),
    }
}

/// Unicode has two characters each for micro and mu, ohm and omega, which no reader and many keyboards cannot tell
/// apart: a name holds the Greek letter.
fn letters(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '\u{b5}' => 'μ',
            '\u{2126}' => 'Ω',
            c => c,
        })
        .collect()
}

/// Reads a file's pairs. The description is the file's own, which the grammar does not see.
pub(crate) fn model(mut pairs: Pairs<'_, Rule>, doc: Option<String>) -> Result<Model, SyntaxError> {
    let file = pairs.next().ok_or_else(|| bug("the grammar gave no file"))?;
    let mut parts = Parts::of(file);
    let name = match parts.take_if(Rule::header) {
        Some(header) => Some(ident(&Parts::of(header).want()?)),
        None => None,
    };
    let mut items = Vec::new();
    while let Some(pair) = parts.take() {
        items.push(stmt::statement(pair)?);
    }
    for item in &items {
        inside(&item.kind)?;
    }
    Ok(Model { name, doc, items })
}

/// Statements that are the whole model's do not stand in a block.
fn inside(kind: &StmtKind) -> Result<(), SyntaxError> {
    let (StmtKind::ForEach { body, .. } | StmtKind::Chain { body, .. } | StmtKind::Guide(body)) = kind else {
        return Ok(());
    };
    for stmt in body {
        let what = match &stmt.kind {
            StmtKind::Dim(_) => "`dim`",
            StmtKind::Net(_) => "`net`",
            StmtKind::Guide(_) => "`guide`",
            StmtKind::Fit(_) => "`fit`",
            other => {
                inside(other)?;
                continue;
            }
        };
        return Err(SyntaxError::Misplaced {
            message: format!("{what} belongs to the whole model"),
            span: stmt.span,
            help: "move it out of the braces".into(),
        });
    }
    Ok(())
}
